"""
The command line: options, and real processes.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node
from devp2p_tx.core.text.advertise import Advertise
from devp2p_tx.tap import NodeService, Options, formatJSON, makeService
from devp2p_tx.testing import EchoCapability

ROOT = Path(__file__).parents[1]
SECRET = "45a915e4d060149eb4365960e6a7a45f334393093061116b197e3240065ff2d8"


def url(number: int) -> str:
    """The URL of a made-up node."""
    from ipaddress import ip_address

    key = PrivateKey(number.to_bytes(32, "big")).public_key
    return format_node(Node(key, ip_address("127.0.0.1"), 30000 + number, 30000 + number))


def parse(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(["--node-key-hex", SECRET, *arguments])
    return options


class OptionTests(SynchronousTestCase):
    """What options become, and what is said of wrong ones."""

    def test_defaults(self) -> None:
        config = parse().serverConfig
        self.assertEqual(
            (config.listens, config.maxPeers, config.maxPendingPeers, config.dialRatio), (("30303",), 50, 50, 3)
        )
        self.assertEqual((config.noDial, config.netrestrict, config.capabilities), (False, None, []))
        self.assertTrue(config.name.startswith("devp2p-tx/v"))

    def test_numbers_and_flags(self) -> None:
        config = parse("--max-peers=7", "--max-pending-peers=8", "--dial-ratio=2", "--no-dial").serverConfig
        self.assertEqual((config.maxPeers, config.maxPendingPeers, config.dialRatio, config.noDial), (7, 8, 2, True))

    def test_identity_stands_in_the_name(self) -> None:
        self.assertTrue(parse("--identity", "sentry-3").serverConfig.name.startswith("devp2p-tx/sentry-3/v"))

    def test_listening_can_be_left_out(self) -> None:
        self.assertIsNone(parse("--listen", "none").serverConfig.listen)

    def test_several_places_to_listen(self) -> None:
        config = parse("-l", "30304", "--listen", "tcp:30305:interface=127.0.0.1").serverConfig
        self.assertEqual(config.listens, ("30304", "tcp:30305:interface=127.0.0.1"))
        self.patch(os, "environ", {**os.environ, "DEVP2P_LISTEN": "1 tcp6:2"})
        self.assertEqual(parse().serverConfig.listens, ("1", "tcp6:2"))
        self.assertEqual(parse("--listen=3").serverConfig.listens, ("3",))

    def test_advertised_address(self) -> None:
        self.assertIsNone(parse().serverConfig.advertise)
        said = "tcp=node.example.org:40404,udp6=[2a00::1]:40405"
        self.assertEqual(parse("--advertise", said).serverConfig.advertise, Advertise.parse(said))

    def test_nodes_come_from_urls_and_files(self) -> None:
        path = Path(self.mktemp())
        path.write_text(f"# ours\n{url(2)}\n\n{url(3)}  # a comment\n")
        config = parse("--static", url(1), "--static", str(path), "--trusted", url(4)).serverConfig
        self.assertEqual([format_node(node) for node in config.staticNodes], [url(1), url(2), url(3)])
        self.assertEqual([format_node(node) for node in config.trustedNodes], [url(4)])

    def test_netrestrict(self) -> None:
        self.assertEqual(
            str(parse("--netrestrict", "10.0.0.0/8, fd00::/8").serverConfig.netrestrict), "10.0.0.0/8,fd00::/8"
        )

    def test_netdeny_and_lan(self) -> None:
        config = parse("--netdeny", "203.0.113.0/24,2001:db8::/32", "--lan").serverConfig
        self.assertEqual((str(config.netdeny), config.lan), ("203.0.113.0/24,2001:db8::/32", True))
        config = parse().serverConfig
        self.assertEqual((config.netdeny, config.lan), (None, False))

    def test_a_capability_is_imported(self) -> None:
        config = parse("--capability", "devp2p_tx.testing:EchoCapability").serverConfig
        self.assertIsInstance(config.capabilities[0], EchoCapability)

    def test_the_key_is_made_once(self) -> None:
        folder = self.mktemp()
        keys = []
        for _ in range(2):
            options = Options()
            options.parseOptions(["--data-dir", folder])
            keys.append(options.serverConfig.key.secret)
        self.assertEqual(keys[0], keys[1])
        self.assertEqual(Path(folder, "nodekey").stat().st_mode & 0o777, 0o600)

    def test_the_service_has_the_server(self) -> None:
        service = makeService(parse("--max-peers=3"))
        self.assertIsInstance(service, NodeService)
        self.assertEqual(service.server.config.maxPeers, 3)

    def assertRefused(self, sentence: str, *arguments: str) -> None:
        refused = self.assertRaises(SystemExit, parse, *arguments)
        self.assertIn(sentence, str(refused.code))
        self.assertTrue(str(refused.code).startswith("twistd devp2p: "))
        self.assertNotIn("\n", str(refused.code))

    def test_wrong_values_get_a_sentence(self) -> None:
        for sentence, *arguments in (
            ("99999 is no port", "--listen", "99999"),
            ("--listen none goes with no other --listen", "--listen", "none", "--listen", "30303"),
            ("tcp=1.2.3.4 has no port from 1 to 65535", "--advertise", "tcp=1.2.3.4"),
            ("cannot advertise '1.2.3.4:30303': want tcp=HOST:PORT", "--advertise", "1.2.3.4:30303"),
            ("--max-peers is a whole number, not 'x'", "--max-peers", "x"),
            ("--max-peers is a whole number, not '-1'", "--max-peers=-1"),
            ("pending peers is 1 or more", "--max-pending-peers", "0"),
            ("dial ratio is 1 or more", "--dial-ratio", "0"),
            ("invalid public key", "--static", "enode://12@127.0.0.1:1"),
            ("no node URL, and cannot be read as a file", "--trusted", "/does/not/exist"),
            ("1.2.3.4/99", "--netrestrict", "1.2.3.4/99"),
            ("not a network in CIDR notation: 'everything'", "--netdeny", "everything"),
            ("want debug, info, warn, error or critical", "--log-level", "loud"),
            ("--log-format is text or json", "--log-format", "xml"),
            ("none of them a slash", "--identity", "a/b"),
            ("gave", "--capability", "os:getcwd"),
            ("ModuleNotFoundError", "--capability", "no.such.module:thing"),
            ("no capability 'unheard'", "--capability", "unheard"),
            (
                "given twice",
                "--capability=devp2p_tx.testing:EchoCapability",
                "--capability=devp2p_tx.testing:EchoCapability",
            ),
            ("not recognized", "--frobnicate"),
            ("not both", "--node-key", "file"),
            ("--network is one of none, mainnet", "--network", "morden"),
            ("--network holesky: the network holesky has ended", "--network", "holesky"),
            ("--discovery-port is a whole number", "--discovery-port", "udp"),
            ("or fd:NUMBER, not 'fd:x'", "--discovery-port", "fd:x"),
            ("no way to dial by 'http'", "--dial-via", "http:proxy:3128"),
            ("that is no SOCKS5 proxy", "--dial-via", "socks5:proxy"),
            ("the discovery port is 0 to 65535", "--discovery-port", "70000"),
            ("enrtree", "--dns-tree", "example.org"),
            ("versions v4 and v5, not 'v6'", "--discovery", "v4,v6"),
            ('--nat magic: unknown mechanism "magic"', "--nat", "magic"),
            ("--nat extip: missing IP address", "--nat", "extip"),
            ("--nat natpmp:router: invalid IP address", "--nat", "natpmp:router"),
        ):
            self.assertRefused(sentence, *arguments)

    def test_a_proxy_and_a_socket(self) -> None:
        config = parse("--dial-via", "socks5:127.0.0.1:1080", "--discovery-port", "fd:4").serverConfig
        self.assertEqual((config.dialVia, config.discoveryPort), ("socks5:127.0.0.1:1080", "fd:4"))
        config = parse().serverConfig
        self.assertEqual((config.dialVia, config.discoveryPort), (None, None))

    def test_a_wrong_proxy_password_is_not_repeated(self) -> None:
        refused = self.assertRaises(SystemExit, parse, "--dial-via", "socks5:joe:secret@host")
        self.assertNotIn("secret", str(refused.code))

    def test_the_network_is_mainnet(self) -> None:
        self.patch(os, "environ", {k: v for k, v in os.environ.items() if not k.startswith("DEVP2P_")})
        config = parse().serverConfig
        self.assertTrue(config.discovery)
        self.assertEqual((len(config.bootnodes), len(config.bootnodesV5)), (9, 15))
        self.assertIn("all.mainnet.ethdisco.net", config.dnsTrees[0])
        self.assertEqual(config.chain and config.chain.name, "mainnet")

    def test_a_network_of_ones_own(self) -> None:
        tree = "enrtree://AKA3AM6LPBYEUDMVNU3BSVQJ5AD45Y7YPOHJLEF6W26QOE4VTUDPE@nodes.example.org"
        config = parse("--network=none", "--bootnodes", f"{url(1)},{url(2)}", "--dns-tree", tree).serverConfig
        self.assertEqual([format_node(node) for node in config.bootnodes], [url(1), url(2)])
        replaced = parse("--network=mainnet", "--bootnodes", url(1)).serverConfig
        self.assertEqual((len(replaced.bootnodes), len(replaced.bootnodesV5)), (1, 0))
        self.assertEqual((config.dnsTrees, config.chain, config.ntpServer), ([tree], None, None))

    def test_time_server(self) -> None:
        """A public pool with a public network, none without one; what is no host is refused."""
        for arguments, expected in (
            (["--network=mainnet"], "pool.ntp.org"),
            (["--network=none"], None),
            (["--network=mainnet", "--ntp=none"], None),
            (["--network=none", "--ntp=time.example"], "time.example"),
            (["--network=none", "--ntp=::1"], "::1"),
        ):
            self.assertEqual(parse(*arguments).serverConfig.ntpServer, expected)
        for bad in ("time example", "1.2.3", "[::1]", "time.example:123", ""):
            with self.assertRaises(SystemExit) as raised:
                parse(f"--ntp={bad}")
            self.assertIn(f"not {bad!r}", str(raised.exception.code))

    def test_lists_can_be_left_out(self) -> None:
        self.assertEqual(parse("--network=sepolia", "--dns-tree=none").serverConfig.dnsTrees, [])

    def test_without_discovery(self) -> None:
        self.assertFalse(parse("--no-discovery").serverConfig.discovery)
        self.assertFalse(parse("--discovery=none").serverConfig.discovery)

    def test_versions_of_discovery(self) -> None:
        self.assertEqual(parse().serverConfig.discoveryVersions, ["v4", "v5"])
        self.assertEqual(parse("--discovery=v5").serverConfig.discoveryVersions, ["v5"])

    def test_ways_through_a_nat(self) -> None:
        """By default any; but none where there is no network, so that nothing goes out that nobody asked for."""
        self.assertEqual(parse("--network=mainnet").serverConfig.nat, "any")
        self.assertEqual(parse("--network=none").serverConfig.nat, "none")
        self.environ(NETWORK="none")
        self.assertEqual(parse().serverConfig.nat, "none")
        self.assertEqual(parse("--nat=ANY").serverConfig.nat, "any")
        self.environ(NAT="extip:1.2.3.4")
        self.assertEqual(parse().serverConfig.nat, "extip:1.2.3.4")

    def test_the_environment_says_what_options_do_not(self) -> None:
        self.environ(MAX_PEERS="5", DIAL_RATIO="5", NO_DIAL="1", NETWORK="hoodi", STATIC=f"{url(1)} {url(2)}")
        config = parse("--max-peers=6").serverConfig
        self.assertEqual((config.maxPeers, config.dialRatio, config.noDial), (6, 5, True))
        self.assertEqual(config.chain and config.chain.name, "hoodi")
        self.assertEqual([format_node(node) for node in config.staticNodes], [url(1), url(2)])
        config = parse("--static", url(3)).serverConfig
        self.assertEqual([format_node(node) for node in config.staticNodes], [url(3)])

    def test_wrong_words_in_the_environment_get_a_sentence(self) -> None:
        self.environ(NO_DIAL="perhaps")
        self.assertRefused("DEVP2P_NO_DIAL is 1 or 0, not 'perhaps'")

    def environ(self, **variables: str) -> None:
        for name, value in variables.items():
            self.patch(os, "environ", {**os.environ, f"DEVP2P_{name}": value})

    def test_the_database_is_in_the_data_directory(self) -> None:
        folder = self.mktemp()
        self.assertEqual(
            parse("--data-dir", folder, "--network=none").serverConfig.database, f"{folder}/nodes-none.sqlite"
        )
        self.assertEqual(parse().serverConfig.database, "")

    def test_a_wrong_key_is_not_repeated(self) -> None:
        options = Options()
        refused = self.assertRaises(SystemExit, options.parseOptions, ["--node-key-hex", "5ec2e7"])
        self.assertIn("64 hex digits", str(refused.code))
        self.assertNotIn("5ec2e7", str(refused.code))

    def test_a_wrong_option_leaves_no_key_behind(self) -> None:
        folder = self.mktemp()
        self.assertRaises(SystemExit, Options().parseOptions, ["--data-dir", folder, "--dial-ratio", "0x"])
        self.assertFalse(os.path.exists(folder))


class LoggingTests(SynchronousTestCase):
    """What is logged, and how."""

    def test_levels_by_part(self) -> None:
        predicate = parse("--log-level", "warn", "--log-level", "devp2p_tx.node=debug").logPredicate
        self.assertIs(predicate.logLevelForNamespace("twisted"), LogLevel.warn)
        self.assertIs(predicate.logLevelForNamespace("devp2p_tx.node.dialer"), LogLevel.debug)

    def test_sockets_that_open_and_close(self) -> None:
        """Nothing is logged of them, by the older parts of Twisted, unless that is asked for."""
        self.assertIs(parse().logPredicate.logLevelForNamespace("log_legacy"), LogLevel.warn)
        asked = parse("--log-level", "log_legacy=info").logPredicate
        self.assertIs(asked.logLevelForNamespace("log_legacy"), LogLevel.info)

    def line(self, log: Any) -> dict[str, Any]:
        events: list[dict[str, Any]] = []
        log(Logger(namespace="part", observer=events.append))
        text = formatJSON(events[0])
        self.assertEqual(text.count("\n"), 1)
        fields: dict[str, Any] = json.loads(text)
        return fields

    def test_json_has_the_fields_of_the_event(self) -> None:
        fields = self.line(lambda logger: logger.warn("{count} peers at {place}", count=3, place=object, nothing=None))
        self.assertEqual((fields["level"], fields["namespace"], fields["count"]), ("warn", "part", 3))
        self.assertTrue(fields["message"].startswith("3 peers at "))
        self.assertNotIn("place", fields)

    def test_json_has_the_traceback(self) -> None:
        def log(logger: Logger) -> None:
            try:
                raise KeyError("lost")
            except KeyError:
                logger.failure("oh")

        self.assertIn("KeyError", self.line(log)["traceback"])


#: A resolver that takes its time.
DEAD_NAME_SERVER = """
import socket, threading
plain = socket.getaddrinfo

def getaddrinfo(host, *args, **kwargs):
    if host == "dead.example":
        print("asked for", host, flush=True)
        threading.Event().wait(60)
    return plain(host, *args, **kwargs)

socket.getaddrinfo = getaddrinfo
"""


class ProcessTests(SynchronousTestCase):
    """The node as a process of its own."""

    def start(self, *arguments: str, path: str = "") -> "subprocess.Popen[str]":
        environment = {**os.environ, "DEVP2P_NETWORK": "none", "PYTHONUNBUFFERED": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [path, str(ROOT)]))
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from twisted.scripts.twistd import run; run()",
                "--pidfile=",
                "-n",
                "devp2p",
                "--data-dir",
                self.mktemp(),
                *arguments,
            ],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.kill)
        return process

    def readUntil(self, process: "subprocess.Popen[str]", word: str) -> str:
        assert process.stdout is not None
        for line in process.stdout:
            if word in line:
                return line
        self.fail(f"the node ended without {word}: {process.communicate()[1]}")

    def test_it_says_its_url_and_stops_when_told(self) -> None:
        process = self.start("--listen", "tcp:0:interface=127.0.0.1", "--log-format", "json")
        message = json.loads(self.readUntil(process, "enode://"))["message"]
        self.assertRegex(message, r"enode://[0-9a-f]{128}@127\.0\.0\.1:[1-9]\d*$")
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, -signal.SIGINT)  # as twistd ends when it is interrupted
        self.assertNotIn("Traceback", rest + errors)

    def test_it_stops_while_a_name_is_looked_up(self) -> None:
        """The system does not let go of a thread that asks a dead name server; the node ends without it."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(DEAD_NAME_SERVER)
        where = ("--listen", "tcp:0:interface=127.0.0.1")
        process = self.start(*where, "--nat", "stun:dead.example", path=str(folder))
        self.readUntil(process, "asked for dead.example")
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=10)
        self.assertEqual(process.returncode, -signal.SIGTERM)
        self.assertNotIn("Traceback", rest + errors)

    def test_a_taken_port_ends_it_with_a_sentence(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            process = self.start("--listen", f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1")
            _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1)
        self.assertIn("Address already in use", errors)
        self.assertEqual(len(errors.splitlines()), 1, errors)

    def test_an_unknown_endpoint_ends_it_with_a_sentence(self) -> None:
        process = self.start("--listen", "carrier-pigeon:home")
        _, errors = process.communicate(timeout=30)
        self.assertEqual((process.returncode, len(errors.splitlines())), (1, 1), errors)
        self.assertIn("carrier-pigeon", errors)

    def test_no_tor_ends_it_with_a_sentence(self) -> None:
        process = self.start("--listen", "onion:30303:control=/nowhere/tor")
        _, errors = process.communicate(timeout=30)
        self.assertEqual((process.returncode, len(errors.splitlines())), (1, 1), errors)
        self.assertIn("Tor's control port cannot be used", errors)

    def test_interrupted_while_tor_is_silent(self) -> None:
        with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as control:
            control.bind(f"{folder}/control")
            control.listen()
            process = self.start("--listen", f"onion:30303:control={folder}/control")
            control.accept()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)  # less than Tor may take to answer
        self.assertEqual((process.returncode, errors), (-signal.SIGINT, ""))

    def test_a_plugin_is_found_by_its_name(self) -> None:
        folder = Path(self.mktemp()).absolute()
        (folder / "twisted" / "plugins").mkdir(parents=True)
        (folder / "twisted" / "plugins" / "toy_plugin.py").write_text(
            "from twisted.plugin import IPlugin\n"
            "from zope.interface import alsoProvides\n"
            "from devp2p_tx.testing import EchoCapability\n"
            "toy = EchoCapability('toy', 7)\n"
            "alsoProvides(toy, IPlugin)\n"
        )
        process = self.start("--listen", "tcp:0:interface=127.0.0.1", "--capability", "toy/7", path=str(folder))
        self.readUntil(process, "enode://")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        refused = self.start("--capability", "toy/8", path=str(folder))
        self.assertIn("no capability 'toy/8'", refused.communicate(timeout=30)[1])
