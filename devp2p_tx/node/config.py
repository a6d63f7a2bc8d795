"""
How a Server is set up.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from devp2p_tx._version import __version__
from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.dnstree.entries import parse_url
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.forkid import Chain
from devp2p_tx.core.text.advertise import Advertise
from devp2p_tx.core.text.nat import NATSpecification
from devp2p_tx.errors import DevP2PError
from devp2p_tx.interfaces import ICapability, INodeSource, IPortMapper
from devp2p_tx.net.connecting.dialvia import parseVia
from devp2p_tx.net.discovery.clock import checkTimeServer
from devp2p_tx.net.listening.adopted import datagramDescriptor
from devp2p_tx.net.listening.sockets import Listen, checkListen

DEFAULT_MAX_PEERS = 50
DEFAULT_MAX_PENDING_PEERS = 50
DEFAULT_DIAL_RATIO = 3
#: The names of the sources of nodes that a node has itself.
OWN_SOURCES = frozenset({"anchors", "seeds", "discv4", "discv5", "dns"})


def clientName(identity: str = "") -> str:
    """What our Hello calls us, as C{devp2p-tx/v0.1.0/linux-x86_64/python3.11}, with an identity in second place."""
    system = f"{platform.system().lower()}-{platform.machine().lower()}"
    python = f"{platform.python_implementation().lower()}{'.'.join(platform.python_version_tuple()[:2])}"
    parts = ["devp2p-tx", identity, f"v{__version__}", system, python.replace("cpython", "python")]
    return "/".join(part for part in parts if part)


@dataclass(frozen=True)
class ServerConfig:
    """
    @ivar key: our static key; the node's identity.
    @ivar capabilities: what we offer. Without any, every peer is kept.
    @ivar listen: where to listen: a port, which is opened in both address families, an endpoint string (see
        L{devp2p_tx.net.listening.sockets.serverEndpoint}), several of these, or C{None}. Of each address family the
        first is where others are told to find us.
    @ivar name: what our Hello calls us.
    @ivar maxPeers: how many peers there may be, trusted ones aside. With 0 nobody is dialled, and only trusted nodes
        are let in.
    @ivar maxPendingPeers: how many inbound handshakes, and how many dials, may be under way.
    @ivar dialRatio: one in so many of C{maxPeers} is a dialled peer, at least one.
    @ivar noDial: dial nobody, static nodes included.
    @ivar dialVia: the proxy to dial through (see L{devp2p_tx.net.connecting.dialvia.parseVia}); C{None} to dial
        directly. Discovery, and listening, do not go through it.
    @ivar staticNodes: dialled for ever.
    @ivar trustedNodes: let in past C{maxPeers}; at an IP address that is given here, or from where they proved their
        identity last, also past rate limits and C{maxPendingPeers}. C{netrestrict} and C{netdeny} hold. Not dialled.
    @ivar netrestrict: the only networks to speak with; C{None} for all, an empty list for none.
    @ivar netdeny: networks never to speak with; C{None} for no such network.
    @ivar lan: whether nodes that others tell of may be in any network that is used privately. By default those must be
        globally reachable, or in a network that this host itself is in.
    @ivar messageEvents: whether events tell of every message sent and received.
    @ivar discovery: whether to find other nodes, and let others find us, over UDP. The settings of a public network
        are in L{devp2p_tx.node.networks}.
    @ivar discoveryVersions: which protocols share its socket: C{v4}, C{v5}.
    @ivar discoveryPort: its UDP port; C{None} for the number of the TCP port; C{"fd:4"} for the socket that was
        opened for us as that file descriptor.
    @ivar bootnodes: nodes to begin with.
    @ivar bootnodesV5: nodes that only discovery v5 begins with, too: they need not speak any other protocol.
    @ivar dnsTrees: C{enrtree://} URLs of lists of nodes.
    @ivar chain: dial only nodes whose record says that they are of this chain; C{None} for all.
    @ivar database: path of the node database; empty to keep it in memory.
    @ivar ntpServer: host name or address of the time server that our clock is compared with, while discovery runs;
        C{None} for none.
    @ivar advertise: where others are told to find us, whatever the node finds out by itself.
    @ivar nat: how other nodes get through a NAT to this one: a text (see L{NATSpecification.parse}), or a port mapper,
        which serves one Server.
    @ivar nodeSources: further sources of nodes to dial, each of which serves one Server; their nodes are chosen from as
        those of discovery are, with or without C{discovery}. A source that raises, or fails, is not asked again.
    """

    key: PrivateKey
    capabilities: Sequence[ICapability] = ()
    listen: Listen | Sequence[Listen] | None = None
    name: str = field(default_factory=clientName)
    maxPeers: int = DEFAULT_MAX_PEERS
    maxPendingPeers: int = DEFAULT_MAX_PENDING_PEERS
    dialRatio: int = DEFAULT_DIAL_RATIO
    noDial: bool = False
    dialVia: str | None = field(default=None, repr=False)  # it may have a password
    staticNodes: Sequence[Node] = ()
    trustedNodes: Sequence[Node] = ()
    netrestrict: Netlist | None = None
    netdeny: Netlist | None = None
    lan: bool = False
    messageEvents: bool = False
    discovery: bool = False
    discoveryVersions: Sequence[str] = ("v4", "v5")
    discoveryPort: int | str | None = None
    bootnodes: Sequence[Node] = ()
    bootnodesV5: Sequence[Node] = ()
    dnsTrees: Sequence[str] = ()
    chain: Chain | None = None
    database: str = ""
    ntpServer: str | None = None
    nat: str | IPortMapper = "none"
    nodeSources: Sequence[INodeSource] = ()
    advertise: Advertise | None = None

    def __post_init__(self) -> None:
        """
        The message of each error begins with the name of the field.

        @raise ValueError: a number out of range, discovery without a version, or a capability given twice.
            Or two sources of nodes have one name.
        @raise TypeError: a place to listen at is neither a port, nor a text, nor an endpoint; C{nat}, or a source of
            nodes, does not provide its interface; or a field has a text where a parsed value is wanted.
        @raise devp2p_tx.errors.InvalidNode: a tree's URL cannot be read.
        @raise devp2p_tx.errors.InvalidAddress: nor the proxy, the file descriptor, or the time server.
        @raise devp2p_tx.errors.InvalidNAT: nor C{nat}.
        """
        for name, check in _CHECKS.items():
            try:
                check(self, getattr(self, name))
            except (DevP2PError, ValueError, TypeError) as error:
                raise type(error)(f"{name}: {error}") from None

    @property
    def listens(self) -> tuple[Listen, ...]:
        """All places to listen at."""
        if self.listen is None:
            return ()
        isSeveral = isinstance(self.listen, Iterable) and not isinstance(self.listen, str)
        return tuple(self.listen) if isSeveral else (self.listen,)  # type: ignore[arg-type,return-value]

    @property
    def idle(self) -> str | None:
        """Why a node with these settings has no peers by itself, and what to set; C{None} if it may have some."""
        if self.listens:
            return None
        if not self.maxDialed:
            return (
                "this node will neither dial nor listen: set listen=, or have it dial (noDial=False, maxPeers= above 0)"
            )
        if self.discovery or self.nodeSources or self.staticNodes:
            return None
        return (
            "this node listens nowhere and knows no node to dial, so it has no peers until addPeer() or connect() names"
            " one: set listen=, staticNodes=, nodeSources=, or discovery=True with bootnodes= (for public"
            " networks see devp2p_tx.node.networks)"
        )

    @property
    def maxDialed(self) -> int:
        """How many peers may be dialled ones."""
        return 0 if self.noDial or not self.maxPeers else max(1, self.maxPeers // self.dialRatio)

    @property
    def maxInbound(self) -> int:
        """How many peers may have dialled us."""
        return self.maxPeers - self.maxDialed


def _from(low: int, high: int | None = None) -> Callable[[ServerConfig, object], None]:
    """A check of a whole number."""

    def check(config: ServerConfig, value: object) -> None:
        if not isinstance(value, int) or value < low or (high is not None and value > high):
            raise ValueError(f"want a whole number from {low}{'' if high is None else f' to {high}'}, not {value!r}")

    return check


def _isA(kind: type, maker: str) -> Callable[[ServerConfig, object], None]:
    """A check that a value was parsed; C{None} stands for no value."""

    def check(config: ServerConfig, value: object) -> None:
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"want what {maker} returns, not {value!r}")

    return check


def _areNodes(config: ServerConfig, nodes: Sequence[object]) -> None:
    if wrong := [node for node in nodes if not isinstance(node, Node)]:
        raise TypeError(f"want what parse_node returns, not {wrong[0]!r}")


def _checkDiscoveryPort(config: ServerConfig, port: int | str | None) -> None:
    if isinstance(port, str):
        datagramDescriptor(port)
    elif port is not None:
        _from(0, 0xFFFF)(config, port)


def _checkNAT(config: ServerConfig, nat: str | IPortMapper) -> None:
    if isinstance(nat, str):
        NATSpecification.parse(nat)
    elif not IPortMapper.providedBy(nat):
        raise TypeError(f"want a text or an IPortMapper, not {nat!r}")


def _checkNodeSources(config: ServerConfig, sources: Sequence[INodeSource]) -> None:
    if others := [each for each in sources if not INodeSource.providedBy(each)]:
        raise TypeError(f"want INodeSources, not {others[0]!r}")
    names = [each.name for each in sources]
    for name in names:
        if name in OWN_SOURCES or names.count(name) > 1:
            raise ValueError(f"the name {name!r} is taken by another source; give this one its own")


def _checkVersions(config: ServerConfig, versions: Sequence[str]) -> None:
    if unknown := set(versions) - {"v4", "v5"}:
        raise ValueError(f"want v4 and v5, or one of them, not {sorted(unknown)[0]!r}")
    if config.discovery and not versions:
        raise ValueError("discovery is on, so one version at least is wanted: v4, v5")


def _checkCapabilities(config: ServerConfig, capabilities: Sequence[ICapability]) -> None:
    caps = [(each.name, each.version) for each in capabilities]
    if twice := sorted({cap for cap in caps if caps.count(cap) > 1}):
        raise ValueError(f"{twice[0][0]}/{twice[0][1]} is given twice")


#: How each field is checked that has to be.
_CHECKS: dict[str, Callable[[ServerConfig, Any], None]] = {
    "key": _isA(PrivateKey, "load_or_create_key"),
    "capabilities": _checkCapabilities,
    "listen": lambda config, _: _each(checkListen, config.listens),
    "maxPeers": _from(0),
    "maxPendingPeers": _from(1),
    "dialRatio": _from(1),
    "dialVia": lambda config, proxy: _each(parseVia, () if proxy is None else (proxy,)),
    "staticNodes": _areNodes,
    "trustedNodes": _areNodes,
    "netrestrict": _isA(Netlist, "Netlist.parse"),
    "netdeny": _isA(Netlist, "Netlist.parse"),
    "discoveryVersions": _checkVersions,
    "discoveryPort": _checkDiscoveryPort,
    "bootnodes": _areNodes,
    "bootnodesV5": _areNodes,
    "dnsTrees": lambda config, urls: _each(parse_url, urls),
    "chain": _isA(Chain, "devp2p_tx.core.forkid"),
    "ntpServer": lambda config, host: checkTimeServer(host),
    "nat": _checkNAT,
    "nodeSources": _checkNodeSources,
    "advertise": _isA(Advertise, "Advertise.parse"),
}


def _each(read: Callable[[Any], object], values: Iterable[Any]) -> None:
    for value in values:
        read(value)
