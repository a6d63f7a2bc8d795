"""
Listening and dialling with the programs of others: HAProxy, systemd's socket activation, a SOCKS5 proxy, Tor.
"""

from __future__ import annotations

import os
import socket
import subprocess
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from devp2p_tx._oneshot import OneShot
from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import parse_node
from devp2p_tx.errors import ProxyError
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.events import PeerEventType
from devp2p_tx.node.server import Server
from devp2p_tx.testing import ScriptedPeer, Stage
from tests.integration.test_server_tcp import TCPTestCase, keyOf
from tests.interop.namespaces import Host, Network
from tests.interop.programs import OURS, Program, freePort, node, spawn, tool

HAPROXY = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend clients
    bind {frontend}
    default_backend node
backend node
    server node {backend} {header}
"""

#: Connects from each of the addresses in its arguments, and keeps all connections open.
CLIENT = """
import socket, sys, threading
port, *addresses = sys.argv[1:]
there = ("127.0.0.1", int(port))
for _ in range(600):  # until the proxy listens
    with socket.socket() as trying:
        trying.bind(("127.0.0.1", 0))
        if not trying.connect_ex(there):
            break
    threading.Event().wait(0.05)
opened = [socket.create_connection(there, 30, (address, 0)) for address in addresses]
print("connected", flush=True)
sys.stdin.read()
"""


class Ended(Protocol):
    """Tells when it has ended, and of what it got."""

    def __init__(self) -> None:
        self.data = b""
        self.ended: OneShot[bytes] = OneShot()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.fire(self.data)


class EndpointTestCase(TCPTestCase):
    """Runs programs in a folder of their own."""

    timeout = 120

    def setUp(self) -> None:
        super().setUp()
        folder = TemporaryDirectory(prefix="devp2p-")  # a short name, as sockets want it
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_(self, *command: str, **env: str) -> Program:
        program = spawn(Program(), *command, **env)
        self.addCleanup(program.close)
        return program

    def alone(self, *addresses: str) -> Host:
        """A host without a network; its loopback interface has these addresses, too."""
        network = Network()
        self.addCleanup(lambda: Deferred.fromCoroutine(network.close()))
        host = network.host("alone")
        for address in addresses:
            host.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        return host

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    async def accepting(self, port: int) -> None:
        """Wait until somebody listens at a port of this host."""
        for _ in range(600):
            with socket.socket() as trying:
                if trying.connect_ex(("127.0.0.1", port)) == 0:
                    return
            await self.pause(0.05)
        self.fail(f"nobody listens at {port}")

    async def pause(self, seconds: float) -> None:
        from twisted.internet.task import deferLater

        await deferLater(self.reactor, seconds)


class HAProxyTests(EndpointTestCase):
    """HAProxy before our listener, with both versions of the header."""

    HEADERS = ("send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn proxy-v2-options unique-id,crc32c")

    async def behind(self, header: str, **config: Any) -> tuple[Server, int]:
        """A server behind a proxy, and the proxy's port."""
        server = await self.start(1, listen="haproxy:tcp:0:interface=127.0.0.1", **config)
        port = freePort()
        text = HAPROXY.format(frontend=f"127.0.0.1:{port}", backend=server.nodeInfo()["listenAddr"], header=header)
        self.run_("haproxy", "-db", "-f", self.write("haproxy.cfg", text))
        await self.accepting(port)
        return server, port

    async def call(self, port: int, address: str, number: int) -> ScriptedPeer:
        peer = ScriptedPeer(keyOf(1).public_key, Stage.HELLO, key=keyOf(number))
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port, bindAddress=(address, 0))
        await connectProtocol(endpoint, peer)
        return peer

    async def test_the_clients_address(self) -> None:
        """It is what peersInfo() shows, whichever version the proxy speaks, and with all that it may add."""
        for header in self.HEADERS:
            server, port = await self.behind(header)
            added = self.whenEvent(server, PeerEventType.ADD)
            peer = await self.call(port, "127.0.0.5", 2)
            await added
            client = peer.transport.getHost()
            [info] = server.peersInfo()
            self.assertEqual(info["network"]["remoteAddress"], f"127.0.0.5:{client.port}", header)
            self.assertEqual(info["network"]["localAddress"], f"127.0.0.1:{port}")
            await server.stopService()

    async def test_netrestrict(self) -> None:
        """It is for the clients: the proxy itself is not in this list."""
        for header in self.HEADERS:
            server, port = await self.behind(header, netrestrict=Netlist.parse("127.0.0.5/32"))
            added = self.whenEvent(server, PeerEventType.ADD)
            await self.call(port, "127.0.0.5", 2)
            await added
            refused = Ended()
            endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port, bindAddress=("127.0.0.6", 0))
            await connectProtocol(endpoint, refused)
            self.assertEqual(await refused.ended.when(), b"")
            await self.count(server, "netrestrict", 1)
            await server.stopService()

    async def count(self, server: Server, reason: str, least: int) -> None:
        while server.metrics.value("accepts_refused", reason=reason) < least:
            await self.turn()

    async def test_health_checks(self) -> None:
        """A proxy that looks whether we are there says that it is not a client; that is no error of anybody's."""
        server, _ = await self.behind("send-proxy-v2 check inter 100ms")
        while server.metrics.value("accepts") < 3:
            await self.turn()
        self.assertEqual(server.metrics.value("accepts_refused", reason="proxy_header"), 0)

    async def test_no_proxy(self) -> None:
        """Who comes past the proxy, without a header, is closed on."""
        server, _ = await self.behind("send-proxy")
        stranger = Ended()
        host, _, port = server.nodeInfo()["listenAddr"].rpartition(":")
        await connectProtocol(TCP4ClientEndpoint(self.reactor, host, int(port)), stranger)
        stranger.transport.write(b"\x01" * 400)  # type: ignore[union-attr]
        self.assertEqual(await stranger.ended.when(), b"")
        await self.count(server, "proxy_header", 1)

    async def test_throttle(self) -> None:
        """A public address that comes again within 30 seconds is kept out, and another is not."""
        host = self.alone("23.55.1.242", "23.55.1.243")
        command = node(
            *("--listen", "haproxy:tcp:30303:interface=127.0.0.1", "--log-level", "debug", "--no-discovery"),
            *("--data-dir", str(self.folder)),
        )
        ours = self.run_(*host.inside(*command), **OURS)
        await ours.says("node enode://")
        text = HAPROXY.format(frontend="127.0.0.1:4000", backend="127.0.0.1:30303", header="send-proxy-v2")
        self.run_(*host.inside(tool("haproxy"), "-db", "-f", self.write("haproxy.cfg", text)))
        probe = ["23.55.1.243", "23.55.1.242", "23.55.1.242"]
        client = self.run_(*host.inside("python3", "-c", CLIENT, "4000", *probe))
        await client.says("connected")
        await ours.says(r"refused 23\.55\.1\.242:\d+: too many attempts")
        self.assertEqual(len([line for line in ours.lines if "refused " in line]), 1, ours.lines)


class SystemdTests(EndpointTestCase):
    """C{systemd-socket-activate}, which passes on sockets as systemd does: one run of it inside of another has both."""

    async def test_both_sockets(self) -> None:
        """RLPx on the one, discovery on the other; both are there before the node is."""
        tcp, udp = freePort(), freePort(socket.SOCK_DGRAM)
        environment = [f"-E{name}={value}" for name, value in OURS.items()]
        activate = tool("systemd-socket-activate")
        program = self.run_(
            *(activate, *environment, "--datagram", "-l", f"127.0.0.1:{udp}"),
            *(activate, *environment, "--fdname=discovery:rlpx", "-l", f"127.0.0.1:{tcp}"),
            *node("--listen", "systemd:domain=INET:name=rlpx", "--discovery-port", "fd:3"),
            *("--data-dir", str(self.folder)),
        )
        await program.says("Listening on .* as 3")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waking:
            waking.sendto(b"wake up", ("127.0.0.1", udp))
        enode = (await program.says(r"node (enode://\S+)"))[1]
        there = parse_node(enode)
        self.assertEqual((str(there.ip), there.tcp, there.udp), ("127.0.0.1", tcp, udp))
        ours = await self.start(1, listen=None, discovery=True, discoveryPort=0, capabilities=[])
        assert ours.discv4 is not None
        await ours.discv4.ping(there)
        await ours.connect(there)

    async def test_no_socket(self) -> None:
        """A node that was given none says so, and ends."""
        program = self.run_(*node("--listen", "systemd:domain=INET:index=0"), **OURS)
        await program.says(r"cannot listen on 'systemd:domain=INET:index=0'")
        self.assertEqual([line for line in program.lines if "Traceback" in line], [])


class SOCKS5Tests(EndpointTestCase):
    """microsocks, with a password and without."""

    async def proxy(self, *arguments: str) -> int:
        port = freePort()
        self.run_("microsocks", "-i", "127.0.0.1", "-p", str(port), *arguments)
        await self.accepting(port)
        return port

    async def test_a_peer(self) -> None:
        """By its address and by its name."""
        for number, arguments in enumerate(((), ("-u", "joe", "-P", "p@ss:word")), 1):
            port = await self.proxy(*arguments)
            credentials = "joe:p%40ss%3Aword@" if arguments else ""
            there = await self.start(10 + number)
            for host in (ip_address("127.0.0.1"), None):
                ours = await self.start(20, listen=None, dialVia=f"socks5:{credentials}127.0.0.1:{port}")
                to = Node(keyOf(10 + number).public_key, host, there.self().tcp, 0, None if host else "localhost")
                peer = await ours.connect(to)
                address: Any = peer.remoteAddress
                self.assertEqual((address.host, address.port), (to.host, to.tcp))
                await ours.stopService()

    async def test_a_wrong_password(self) -> None:
        """Who asked hears of it."""
        port = await self.proxy("-u", "joe", "-P", "secret")
        for credentials, words in (("joe:wrong@", "refused the user name"), ("", "wants a user name and a password")):
            ours = await self.start(20, listen=None, dialVia=f"socks5:{credentials}127.0.0.1:{port}")
            to = Node(keyOf(1).public_key, ip_address("127.0.0.1"), port)
            failure: Any = await self.assertFailure(ours.connect(to), ProxyError)
            self.assertIn(words, str(failure))

    async def test_nobody_there(self) -> None:
        """The proxy says that the node refused."""
        port, closed = await self.proxy(), freePort()
        ours = await self.start(20, listen=None, dialVia=f"socks5:127.0.0.1:{port}")
        to = Node(keyOf(1).public_key, ip_address("127.0.0.1"), closed)
        failure: Any = await self.assertFailure(ours.connect(to), ProxyError)
        self.assertIn("the proxy could not connect: ", str(failure))


class TorTests(EndpointTestCase):
    """Tor itself, on a host without a network: as far as it comes without a network."""

    async def tor(self, *options: str, authentication: str = "CookieAuthentication 1") -> str:
        """The path of its control socket."""
        host = self.alone()
        self.folder.chmod(0o700)
        control = str(self.folder / "control")
        lines = [
            f"DataDirectory {self.folder / 'data'}",
            f"ControlSocket {control}",
            "ControlPort 0",
            authentication,
            "Log notice stdout",
            *options,
        ]
        torrc = self.write("torrc", "\n".join(lines) + "\n")
        command = (tool("tor"), "-f", torrc, "--defaults-torrc", os.devnull)
        program = self.run_(*host.inside(*command))
        await program.says("Opened Control listener")
        while not os.path.exists(control):
            await self.turn()
        return control

    async def test_listening(self) -> None:
        """Tor lets us in, and takes the service, at an address that stays that of the node."""
        control = await self.tor("DisableNetwork 1")
        names = []
        for _ in range(2):
            server = await self.start(1, listen=f"onion:30303:control={control}")
            us = server.self()
            self.assertRegex(us.hostname or "", r"^[a-z2-7]{56}\.onion$")
            self.assertEqual((us.tcp, us.udp), (30303, 0))
            self.assertIn(f"@{us.hostname}:30303", server.nodeInfo()["enode"])
            self.assertEqual(server.nodeInfo()["listenAddr"], f"{us.hostname}:30303")
            names.append(us.hostname)
            await server.stopService()
        self.assertEqual(len(set(names)), 1)
        other = await self.start(2, listen=f"onion:30303:control={control}")
        self.assertNotIn(other.self().hostname, names)

    async def test_password(self) -> None:
        """Tor that wants one is told it; without it, or with another, it does not let us in, and says so."""
        hashing = subprocess.run(
            (tool("tor"), "--quiet", "--hash-password", "s:cret"), stdout=subprocess.PIPE, text=True
        )
        wanted = f"HashedControlPassword {hashing.stdout.split()[-1]}"
        control = await self.tor("DisableNetwork 1", authentication=wanted)
        server = await self.start(1, listen=f"onion:30303:control={control}:password=s%3Acret")
        self.assertRegex(server.self().hostname or "", r"\.onion$")
        await server.stopService()
        for rest, words in ((":password=wrong", "Password did not match"), ("", "password")):
            refused = Server(ServerConfig(keyOf(1), listen=f"onion:30303:control={control}{rest}"))
            failure: Any = await self.assertFailure(refused.startService(), ProxyError)
            self.assertIn(words, str(failure))

    async def test_dialling_without_a_network(self) -> None:
        """Tor has no SOCKS port then, as who asked hears."""
        control = await self.tor("DisableNetwork 1")
        server = await self.start(1, listen=None, dialVia=f"tor:control={control}")
        to = Node(keyOf(2).public_key, None, 30303, 0, "a" * 56 + ".onion")
        failure: Any = await self.assertFailure(server.connect(to), ProxyError)
        self.assertIn("Tor has no SOCKS port open", str(failure))

    async def test_dialling_into_nowhere(self) -> None:
        """With its network enabled, and none there: Tor is asked by its own socket, and says that it cannot."""
        control = await self.tor(f"SocksPort unix:{self.folder / 'socks'}", "SocksTimeout 5", "ClientOnly 1")
        server = await self.start(1, listen=None, dialVia=f"tor:control={control}")
        to = Node(keyOf(2).public_key, ip_address("23.55.1.242"), 30303)
        failure: Any = await self.assertFailure(server.connect(to), ProxyError)
        self.assertIn("the proxy ", str(failure))
