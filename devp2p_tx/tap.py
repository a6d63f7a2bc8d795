"""
C{twistd devp2p}: a node from the command line.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from twisted.application.service import MultiService
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    InvalidLogLevelError,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    formatTime,
    textFileLogObserver,
)
from twisted.plugin import getPlugins
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import parse_node
from devp2p_tx.core.text.advertise import Advertise
from devp2p_tx.core.text.nat import NATSpecification
from devp2p_tx.errors import DevP2PError, InvalidNAT
from devp2p_tx.interfaces import ICapability
from devp2p_tx.net.hostnames import leaveUnresolved
from devp2p_tx.net.listening.sockets import portNumber
from devp2p_tx.net.reactortime import useMonotonicTime
from devp2p_tx.node.config import (
    DEFAULT_DIAL_RATIO,
    DEFAULT_MAX_PEERS,
    DEFAULT_MAX_PENDING_PEERS,
    ServerConfig,
    clientName,
)
from devp2p_tx.node.networks import NETWORKS, unknownNetwork
from devp2p_tx.node.server import Server
from devp2p_tx.storage.keyfile import load_or_create_key, parse_key

_KEY_FILE = "nodekey"
_REPEATABLE = ("listen", "capability", "static", "trusted", "bootnodes", "dns-tree", "log-level")
_NONE = "none"
_PORT = "30303"

_log = Logger()


def defaultDataDir() -> Path:
    """Where a node keeps its key if it is not told: C{$XDG_DATA_HOME/devp2p-tx}, C{~/.local/share/devp2p-tx}."""
    home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(home) / "devp2p-tx"


_FLAGS: list[list[Any]] = [
    ["no-dial", None, "Dial nobody, static nodes included."],
    ["lan", None, "Look for nodes in private networks, too, and not only in those that this host itself is in."],
    ["no-discovery", None, "Look for no nodes over UDP or DNS, and do not let others find us."],
]

_PARAMETERS: list[list[Any]] = [
    [
        "network",
        "n",
        "mainnet",
        "Whom to look for: mainnet, sepolia, hoodi, or none but those that --bootnodes and --dns-tree say.",
    ],
    [
        "advertise",
        None,
        None,
        "Where others are told to find us, whatever we find out: tcp=HOST:PORT,udp=HOST:PORT,tcp6=[HOST]:PORT,"
        "udp6=[HOST]:PORT, or some of these; a host is an address or a name. [default: what we find out]",
    ],
    ["discovery-port", None, None, "The UDP port, or fd:4 for an open socket. [default: the number of the TCP port]"],
    ["discovery", None, "v4,v5", "Which versions of discovery to speak: v4, v5, both, or none."],
    [
        "nat",
        None,
        None,
        "How others get through a NAT to us: any (UPnP, NAT-PMP or PCP, whichever answers), upnp, natpmp, natpmp:IP,"
        " pcp, pcp:IP, stun, stun:HOST:PORT, extip:IP, none. [default: any; with --network none, none]",
    ],
    [
        "ntp",
        None,
        None,
        "The time server that the system clock is compared with: HOST, or none. [default: pool.ntp.org; with --network"
        " none, none]",
    ],
    ["data-dir", "d", None, "Where the node's key is kept. [default: ~/.local/share/devp2p-tx]"],
    ["node-key", None, None, "File with the node's key, made if there is none. [default: DATA-DIR/nodekey]"],
    ["node-key-hex", None, None, "The node's key itself, as 64 hex digits; others may see it in the process list."],
    ["max-peers", None, DEFAULT_MAX_PEERS, "How many peers there may be."],
    ["max-pending-peers", None, DEFAULT_MAX_PENDING_PEERS, "How many inbound handshakes, and dials, at once."],
    ["dial-ratio", None, DEFAULT_DIAL_RATIO, "One in so many peers is one that we dialled."],
    ["dial-via", None, None, "The proxy to dial through: socks5:host:port, socks5:user:password@host:port, or tor:."],
    ["netrestrict", None, None, "The only networks to speak with, such as 10.0.0.0/8,fd00::/8."],
    ["netdeny", None, None, "Networks never to speak with, such as 203.0.113.0/24."],
    ["identity", None, "", "A word of yours in the name that peers see."],
    ["log-format", None, "text", "How to log: text, or json (an object a line)."],
]


def _variable(option: str) -> str:
    return "DEVP2P_" + option.upper().replace("-", "_")


class Options(usage.Options):
    """
    The options; after parsing, L{serverConfig} makes sense of them.

    What is wrong with them ends the process with one sentence and the status 1.
    """

    synopsis = "[options]"
    longdesc = (
        "Run an Ethereum devp2p node: RLPx over TCP, and discovery over UDP. Its enode URL is logged at start. Every"
        " option can come from the environment, too: DEVP2P_MAX_PEERS=20 is --max-peers 20, DEVP2P_NO_DIAL=1 is"
        " --no-dial, and of what is repeatable spaces separate the values; what is given here counts more."
    )

    optFlags = _FLAGS
    optParameters = _PARAMETERS

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        for name in _REPEATABLE:
            self[name] = []

    def opt_listen(self, place: str) -> None:
        """
        Where to listen (repeatable): a port, which is opened for IPv4 and IPv6, an endpoint such as
        tcp:30303:interface=127.0.0.1 or haproxy:tcp:30303, or none. [default: 30303]
        """
        self["listen"].append(place)

    opt_l = opt_listen

    def opt_capability(self, capability: str) -> None:
        """
        Offer a capability (repeatable): package.module:factory, where the factory, called with nothing, gives an
        ICapability; or name or name/version of one that Twisted's plugin system finds.
        """
        self["capability"].append(capability)

    def opt_bootnodes(self, nodes: str) -> None:
        """
        Nodes to begin with, in place of the network's (repeatable): enode URLs or records (enr:), separated by commas,
        or a file with one a line.
        """
        self["bootnodes"].append(nodes)

    def opt_dns_tree(self, url: str) -> None:
        """
        A list of nodes in DNS, in place of the network's (repeatable): an enrtree:// URL, or none.
        """
        self["dns-tree"].append(url)

    def opt_static(self, nodes: str) -> None:
        """
        A node to stay connected with (repeatable): an enode URL, or a file with one a line.
        """
        self["static"].append(nodes)

    def opt_trusted(self, nodes: str) -> None:
        """
        A node past --max-peers and rate limits (repeatable; not --netrestrict): an enode URL, or a file with one a line
        """
        self["trusted"].append(nodes)

    def opt_log_level(self, level: str) -> None:
        """
        What to log (repeatable): debug, info, warn, error or critical; with namespace= before it only for that part,
        such as devp2p_tx.node.dialer=debug. [default: info]
        """
        self["log-level"].append(level)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        See C{usage.Options}.

        @raise SystemExit: with the sentence that says what is wrong.
        """
        try:
            super().parseOptions([*self._environment(), *(sys.argv[1:] if options is None else options)])  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            raise SystemExit(f"twistd devp2p: {error}") from None

    def _environment(self) -> list[str]:
        """What the environment says, as arguments; of what is repeatable see L{postOptions}."""
        arguments = []
        for name in (str(parameter[0]) for parameter in _PARAMETERS):
            if (value := os.environ.get(_variable(name))) is not None:
                arguments.append(f"--{name}={value}")
        for name in (str(flag[0]) for flag in _FLAGS):
            value = os.environ.get(_variable(name), "").lower()
            if value not in ("", "0", "1", "no", "yes", "false", "true"):
                raise usage.UsageError(f"{_variable(name)} is 1 or 0, not {value!r}")
            if value in ("1", "yes", "true"):
                arguments.append(f"--{name}")
        return arguments

    def opt_version(self) -> None:
        """
        Print the version, and whether native code or the Python source runs, and end.
        """
        from devp2p_tx import __version__, native

        print(f"devp2p-tx {__version__} ({'native code' if native else 'Python source'})")
        sys.exit(0)

    def postOptions(self) -> None:
        """
        See C{usage.Options}.

        @raise usage.UsageError: an option's value is wrong.
        """
        for name in _REPEATABLE:
            self[name] = self[name] or os.environ.get(_variable(name), "").split()
        if self["network"] not in NETWORKS:
            raise usage.UsageError(unknownNetwork(self["network"]))
        if self["node-key"] and self["node-key-hex"]:
            raise usage.UsageError("give --node-key or --node-key-hex, not both")
        if self["log-format"] not in ("text", "json"):
            raise usage.UsageError(f"--log-format is text or json, not {self['log-format']!r}")
        self.logPredicate = logPredicate(self["log-level"])
        try:
            self.serverConfig = self._serverConfig()
        except (DevP2PError, ValueError) as error:
            raise usage.UsageError(str(error)) from None

    def _serverConfig(self) -> ServerConfig:
        return ServerConfig(
            listen=_places(self["listen"] or [_PORT]),
            advertise=None if self["advertise"] is None else Advertise.parse(self["advertise"]),
            name=clientName(_identity(self["identity"])),
            capabilities=[each for text in self["capability"] for each in findCapabilities(text)],
            maxPeers=self._number("max-peers"),
            maxPendingPeers=self._number("max-pending-peers"),
            dialRatio=self._number("dial-ratio"),
            noDial=bool(self["no-dial"]),
            staticNodes=readNodes(self["static"]),
            trustedNodes=readNodes(self["trusted"]),
            netrestrict=self._netlist("netrestrict"),
            netdeny=self._netlist("netdeny"),
            lan=bool(self["lan"]),
            dialVia=self["dial-via"],
            discoveryPort=self._discoveryPort(),
            **self._networkSettings(),
            nat=self._nat(),
            key=self._key(),
            database=self._database(),
        )

    def _networkSettings(self) -> dict[str, Any]:
        """The network's settings, and what of them was replaced."""
        versions = [] if self["discovery"] == _NONE else self["discovery"].split(",")
        settings = {
            **NETWORKS[self["network"]].settings(),
            "discovery": bool(versions) and not self["no-discovery"],
            "discoveryVersions": versions,
        }
        if self["bootnodes"]:
            settings["bootnodes"] = readNodes([each for text in self["bootnodes"] for each in text.split(",") if each])
            settings["bootnodesV5"] = ()
        if self["dns-tree"]:
            settings["dnsTrees"] = [url for url in self["dns-tree"] if url != _NONE]
        if self["ntp"] is not None:
            settings["ntpServer"] = None if self["ntp"] == _NONE else self["ntp"]
        return settings

    def _nat(self) -> str:
        """Of a node that knows of no network, nothing goes out that nobody asked for."""
        if self["nat"] is None:
            return _NONE if self["network"] == _NONE else "any"
        try:
            return str(NATSpecification.parse(self["nat"]))
        except InvalidNAT as error:
            raise usage.UsageError(f"--nat {self['nat']}: {error}") from None

    @property
    def _dataDir(self) -> Path:
        return Path(self["data-dir"]) if self["data-dir"] else defaultDataDir()

    def _database(self) -> str:
        """In the data directory; in memory for a node that has none, its key being elsewhere."""
        if not self["data-dir"] and (self["node-key"] or self["node-key-hex"]):
            return ""
        try:
            self._dataDir.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise usage.UsageError(f"cannot make the folder {self._dataDir}: {error.strerror}") from None
        return str(self._dataDir / f"nodes-{self['network']}.sqlite")

    def _netlist(self, option: str) -> Netlist | None:
        return None if self[option] is None else Netlist.parse(self[option])

    def _discoveryPort(self) -> int | str | None:
        port: str | None = self["discovery-port"]
        return port if port is None or port.startswith("fd:") else self._number("discovery-port")

    def _number(self, option: str) -> int:
        text = str(self[option])
        if not (text.isascii() and text.isdigit()):
            raise usage.UsageError(f"--{option} is a whole number, not {text!r}")
        return int(text)

    def _key(self) -> PrivateKey:
        """Last of all, since it may make a file."""
        if self["node-key-hex"]:
            return parse_key(self["node-key-hex"])
        return load_or_create_key(Path(self["node-key"] or self._dataDir / _KEY_FILE))


def _places(texts: Sequence[str]) -> Sequence[str] | None:
    """
    Where to listen.

    @raise devp2p_tx.errors.InvalidAddress: a number that is no port.
    @raise usage.UsageError: here and nowhere.
    """
    if _NONE in texts:
        if len(texts) > 1:
            raise usage.UsageError("--listen none goes with no other --listen")
        return None
    for text in texts:
        portNumber(text)
    return texts


def _identity(text: str) -> str:
    if not text.isprintable() or "/" in text or len(text) > 64:
        raise usage.UsageError("--identity has at most 64 printable characters, none of them a slash")
    return text


def readNodes(texts: Sequence[str]) -> list[Node]:
    """
    Nodes from enode URLs, records (C{enr:}), and from files with one a line, in which C{#} begins a comment.

    @raise devp2p_tx.errors.InvalidNode: a URL cannot be read.
    @raise usage.UsageError: a file cannot be read.
    """
    nodes = []
    for text in texts:
        if text.startswith(("enode:", "enr:")):
            nodes.append(parse_node(text))
            continue
        try:
            lines = Path(text).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise usage.UsageError(f"{text} is no node URL, and cannot be read as a file: {error}") from None
        bare = (line.partition("#")[0].strip() for line in lines)
        nodes += [parse_node(line) for line in bare if line]
    return nodes


def findCapabilities(text: str) -> list[ICapability]:
    """
    The capabilities that C{--capability} names.

    @raise usage.UsageError: there are none, or the code that makes them fails.
    """
    if ":" in text:
        return [_importCapability(text)]
    name, _, version = text.partition("/")
    found = [each for each in getPlugins(ICapability) if each.name == name and version in ("", str(each.version))]
    if not found:
        raise usage.UsageError(
            f"no capability {text!r} among Twisted's plugins: name one of them, or give package.module:factory"
        )
    return found


def _importCapability(text: str) -> ICapability:
    module, _, attribute = text.partition(":")
    try:
        made: Any = import_module(module)
        for part in attribute.split("."):
            made = getattr(made, part)
        if not ICapability.providedBy(made):
            made = made()
    except Exception as error:
        raise usage.UsageError(f"--capability {text}: {type(error).__name__}: {error}") from None
    if not ICapability.providedBy(made):
        raise usage.UsageError(f"--capability {text}: gave {made!r}, which provides no ICapability")
    capability: ICapability = made
    return capability


def logPredicate(levels: Sequence[str]) -> LogLevelFilterPredicate:
    """
    What is logged, for C{[namespace=]level} texts. Of what the older parts of Twisted say, a line for each socket that
    opens or closes above all, only warnings are logged, unless C{log_legacy=info} asks for more.

    @raise usage.UsageError: an unknown level.
    """
    predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
    predicate.setLogLevelForNamespace("log_legacy", LogLevel.warn)
    for text in levels:
        namespace, _, name = text.rpartition("=")
        try:
            predicate.setLogLevelForNamespace(namespace, LogLevel.levelWithName(name.lower()))
        except InvalidLogLevelError:
            raise usage.UsageError(
                f"--log-level {text}: want debug, info, warn, error or critical, after namespace= if it is for a part"
            ) from None
    return predicate


def _logFile(twistd: Any) -> TextIO:
    """Where twistd itself would log to."""
    name = twistd.get("logfile") or ("-" if twistd.get("nodaemon", True) else "twistd.log")
    return sys.stdout if name == "-" else LogFile.fromFullPath(name)


def formatJSON(event: dict[str, Any]) -> str:
    """A log event as one line: C{time}, C{level}, C{namespace}, C{message}, and the event's own plain fields."""
    own = {
        name: value
        for name, value in event.items()
        if isinstance(value, (str, int, float)) and not name.startswith("log_") and name not in _LEGACY_FIELDS
    }
    level = event.get("log_level")
    failure = event.get("log_failure")
    fields = {
        **own,
        "time": formatTime(event.get("log_time")),
        "level": level.name if level is not None else "info",
        "namespace": event.get("log_namespace", ""),
        "message": formatEvent(event),
    }
    if failure is not None:
        fields["traceback"] = failure.getTraceback()
    return json.dumps(fields, default=str) + "\n"


#: What Twisted's older logging adds to its events, all of it in the fields above.
_LEGACY_FIELDS = frozenset({"isError", "message", "system", "time", "format"})


class NodeService(MultiService):
    """
    A L{Server} under twistd: what stops it from starting ends the process, with one sentence and the status 1.

    @ivar server: the server.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._options = options
        self._twistd: Any = options.parent or {}
        self.server = Server(options.serverConfig)

    def setServiceParent(self, parent: Any) -> None:
        """See C{IService}; twistd gives us the application here, before it begins to log."""
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]
        if isinstance(parent, Componentized) and not (self._twistd.get("logger") or self._twistd.get("syslog")):
            file = _logFile(self._twistd)
            isJSON = self._options["log-format"] == "json"
            observer = FileLogObserver(file, formatJSON) if isJSON else textFileLogObserver(file)
            parent.setComponent(ILogObserver, FilteringLogObserver(observer, [self._options.logPredicate]))

    def startService(self) -> None:
        """
        See C{IService}.

        @raise RuntimeError: in a daemon, whose parent waits to be told, if the server cannot start.
        """
        from twisted.internet import reactor

        super().startService()  # type: ignore[no-untyped-call]
        leaveUnresolved(reactor)
        useMonotonicTime(reactor)
        failures: list[Failure] = []
        starting = self.server.startService().addErrback(failures.append)
        if failures and not self._twistd.get("nodaemon", True):
            raise RuntimeError(_sentence(failures[0]))
        starting.addCallback(lambda _: self._failed(failures[0]) if failures else None)

    def _failed(self, failure: Failure) -> None:
        from twisted.internet import reactor

        if not self.running:  # it was stopped while it started, as its user wanted
            return
        _log.critical("{sentence}", sentence=_sentence(failure))
        print(f"twistd devp2p: {_sentence(failure)}", file=sys.__stderr__)  # the other one goes to the log
        atexit.register(_exitWithFailure)
        reactor.callWhenRunning(reactor.stop)

    def stopService(self) -> Any:
        """See C{IService}."""
        super().stopService()  # type: ignore[no-untyped-call]
        return self.server.stopService()


def _sentence(failure: Failure) -> str:
    return str(failure.value)


def _exitWithFailure() -> None:
    """twistd ends with the status 0 whenever its reactor was stopped in order; this is the last that runs."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def makeService(options: Options) -> NodeService:
    """See C{IServiceMaker}."""
    return NodeService(options)
