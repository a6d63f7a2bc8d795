"""
Tests of the Server on sockets of other kinds than TCP's own: UNIX sockets, and those that somebody opened for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, _SystemdParser, connectProtocol
from twisted.python.systemd import ListenFDs

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import InvalidAddress
from devp2p_tx.net.listening.adopted import datagramDescriptor, datagramSocket
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.events import PeerEventType
from devp2p_tx.node.server import Server
from devp2p_tx.testing import ScriptedPeer, Stage
from tests.integration.test_server_tcp import TCPTestCase, keyOf


class EndpointTestCase(TCPTestCase):
    """Makes sockets, and sees to it that they are closed."""

    def opened(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, host: str = "127.0.0.1") -> int:
        """The descriptor of a bound socket, as systemd passes one on."""
        made = socket.socket(family, kind)
        made.bind((host, 0))
        if kind == socket.SOCK_STREAM:
            made.listen()
        self.address = made.getsockname()[:2]
        descriptor = made.detach()
        self.addCleanup(self._close, descriptor, os.fstat(descriptor).st_ino)
        return descriptor

    def _close(self, descriptor: int, inode: int) -> None:
        with contextlib.suppress(OSError):  # whoever took it over has closed it
            if os.fstat(descriptor).st_ino == inode:  # and another file may have its number
                os.close(descriptor)


class UNIXTests(EndpointTestCase):
    """C{unix:}."""

    def path(self) -> str:
        folder = TemporaryDirectory()  # whose name is short enough for a socket
        self.addCleanup(folder.cleanup)
        return str(Path(folder.name, "node"))

    async def call(self, server: Server, path: str, number: int = 2) -> ScriptedPeer:
        peer = ScriptedPeer(keyOf(1).public_key, Stage.HELLO, key=keyOf(number))
        await connectProtocol(UNIXClientEndpoint(self.reactor, path), peer)
        return peer

    async def test_a_peer(self) -> None:
        """It has no address, which no list and no throttle asks for; whoever may open the socket may come, often."""
        path = self.path()
        server = await self.start(1, listen=f"unix:{path}", netrestrict=Netlist.parse(""))
        for number in (2, 3):
            added = self.whenEvent(server, PeerEventType.ADD)
            await self.call(server, path, number)
            await added
        self.assertEqual(server.peerCount, 2)
        for info, peer in zip(server.peersInfo(), server.peers(), strict=True):
            self.assertEqual(info["enode"], f"enode://{peer.node.public_key.to_bytes().hex()}")
            self.assertEqual(info["network"]["remoteAddress"], "unix:")
            self.assertIn(path, info["network"]["localAddress"])
        info = server.nodeInfo()
        self.assertIn(path, info["listenAddr"])
        self.assertEqual(info["ports"]["listener"], 0)

    async def test_behind_a_proxy(self) -> None:
        """A proxy on the same host may connect there, too."""
        path = self.path()
        server = await self.start(1, listen=f"haproxy:unix:{path}")
        added = self.whenEvent(server, PeerEventType.ADD)
        peer = ScriptedPeer(keyOf(1).public_key, Stage.CONNECTED, key=keyOf(2))
        await connectProtocol(UNIXClientEndpoint(self.reactor, path), peer)
        peer.write(b"PROXY TCP4 23.55.1.242 127.0.0.1 4000 30303\r\n")
        peer.goOn(Stage.HELLO)
        await added
        self.assertEqual(server.peersInfo()[0]["network"]["remoteAddress"], "23.55.1.242:4000")

    async def test_with_discovery(self) -> None:
        """Its UDP port is any that is free."""
        server = await self.start(1, listen=f"unix:{self.path()}", discovery=True, discoveryPort=0)
        self.assertGreater(server.self().udp, 0)


class StreamSocketTests(EndpointTestCase):
    """C{systemd:}, as far as it needs no systemd."""

    def pass_(self, *descriptors: int) -> None:
        self.patch(_SystemdParser, "_sddaemon", ListenFDs(list(descriptors)))

    async def test_adopted(self) -> None:
        """Others find the node at that socket."""
        self.pass_(self.opened())
        server = await self.start(1, listen="systemd:domain=INET:index=0")
        self.assertEqual((str(server.self().ip), server.self().tcp), self.address)
        other = await self.start(2, listen=None)
        await other.connect(server.self())

    async def test_wrong(self) -> None:
        """What is said of a socket must be so: otherwise a sentence, and no traceback at the first connection."""
        self.pass_(self.opened(), self.opened(kind=socket.SOCK_DGRAM), self.opened(socket.AF_INET6, host="::1"))
        for text, words in (
            ("systemd:domain=INET6:index=0", "that socket is of the domain INET"),
            ("systemd:domain=INET:index=1", "that socket is none for TCP"),
            ("systemd:domain=INET:index=2", "that socket is of the domain INET6"),
            ("systemd:domain=INET:index=3", "out of range"),
            ("systemd:domain=INET9:index=0", "AF_INET9"),
            ("systemd:domain=INET:name=p2p", "p2p"),
        ):
            failure = await self.assertFailure(self.begin(text), InvalidAddress)
            self.assertIn(words, str(failure))
            self.assertIn(f"cannot listen on {text!r}", str(failure))

    def begin(self, listen: str) -> Deferred[None]:
        return Server(ServerConfig(keyOf(1), listen=listen)).startService()


class DatagramSocketTests(EndpointTestCase):
    """C{fd:}."""

    async def test_adopted(self) -> None:
        """Discovery runs on that socket, of either family, and its owner's descriptor stays open."""
        for number, (family, host) in enumerate(((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")), 1):
            descriptor = self.opened(family, socket.SOCK_DGRAM, host)
            server = await self.start(number, listen=None, discovery=True, discoveryPort=f"fd:{descriptor}")
            port = self.address[1]
            asking = await self.start(number + 5, listen=None, discovery=True, discoveryPort=self.other(family, host))
            self.assertEqual(server.discv4.edge.port if server.discv4 else 0, port)
            await asking.discv4.ping(Node(keyOf(number).public_key, ip_address(host), 0, port))  # type: ignore[union-attr]
            await server.stopService()
            os.fstat(descriptor)
            again = await self.start(number, listen=None, discovery=True, discoveryPort=f"fd:{descriptor}")
            self.assertEqual(again.self().udp, port)

    async def test_closed_by_its_owner(self) -> None:
        """The node goes on with its duplicate, and its stop closes nothing that is not its own."""
        descriptor = self.opened(kind=socket.SOCK_DGRAM)
        server = await self.start(1, listen=None, discovery=True, discoveryPort=f"fd:{descriptor}")
        os.close(descriptor)
        asking = await self.start(2, listen=None, discovery=True, discoveryPort=self.other(socket.AF_INET, "127.0.0.1"))
        await asking.discv4.ping(Node(keyOf(1).public_key, ip_address("127.0.0.1"), 0, self.address[1]))  # type: ignore[union-attr]
        await server.stopService()
        self.assertFalse(server.isRunning)

    async def test_reused_by_its_owner(self) -> None:
        """The owner's next file may have the same number: the stop leaves it open."""
        descriptor = self.openedHigh()
        server = await self.start(1, listen=None, discovery=True, discoveryPort=f"fd:{descriptor}")
        with open(__file__) as other:
            os.dup2(other.fileno(), descriptor)
            inode = os.fstat(descriptor).st_ino
            await server.stopService()
            self.assertEqual(os.fstat(descriptor).st_ino, inode)
        os.close(descriptor)

    def openedHigh(self) -> int:
        """A UDP socket whose number no other file gets meanwhile."""
        return fcntl.fcntl(self.opened(kind=socket.SOCK_DGRAM), fcntl.F_DUPFD, 500)

    async def test_closed_before_the_start(self) -> None:
        """A descriptor that its owner has closed by then is a sentence, and nothing is left open."""
        descriptor = self.openedHigh()
        server = Server(
            ServerConfig(keyOf(1), listen="tcp:0:interface=127.0.0.1", discovery=True, discoveryPort=f"fd:{descriptor}")
        )
        os.close(descriptor)
        failure = await self.assertFailure(server.startService(), InvalidAddress)
        self.assertIn(f"fd:{descriptor} is no socket: Bad file descriptor", str(failure))
        await server.stopService()

    def other(self, family: int, host: str) -> str:
        """A second socket; L{address} stays that of the first."""
        address = self.address
        text = f"fd:{self.opened(family, socket.SOCK_DGRAM, host)}"
        self.address = address
        return text

    async def test_both(self) -> None:
        """TCP and UDP, as a unit file may have them."""
        self.patch(_SystemdParser, "_sddaemon", ListenFDs([self.opened()]))
        tcp = self.address
        descriptor = self.opened(kind=socket.SOCK_DGRAM)
        server = await self.start(
            1, listen="systemd:domain=INET:index=0", discovery=True, discoveryPort=f"fd:{descriptor}"
        )
        us = server.self()
        self.assertEqual((us.tcp, us.udp), (tcp[1], self.address[1]))

    async def test_a_broken_one_is_opened_again(self) -> None:
        """From the same descriptor: nobody else could open it."""
        descriptor = self.opened(kind=socket.SOCK_DGRAM)
        server = await self.start(1, listen=None, discovery=True, discoveryPort=f"fd:{descriptor}")
        assert server.discv4 is not None
        edge = server.discv4.edge
        assert edge is not None
        adopted = edge.sockets[4]
        self.patch(type(adopted), "_reopenLater", type(adopted)._reopen)
        await adopted._port.stopListening()
        self.assertTrue(edge.isListening)
        self.assertEqual(edge.port, self.address[1])

    async def test_both_families(self) -> None:
        """A socket that takes IPv4 as well, as those of systemd do, serves both families."""
        descriptor = self.opened(socket.AF_INET6, socket.SOCK_DGRAM, "::")
        server = await self.start(1, listen=None, discovery=True, discoveryPort=f"fd:{descriptor}")
        port = self.address[1]
        for number, host in ((2, "127.0.0.1"), (3, "::1")):
            asking = await self.start(number, listen=None, discovery=True, bootnodes=[], discoveryPort=0)
            assert asking.discv4 is not None
            assert server.discv4 is not None
            await asking.discv4.ping(Node(keyOf(1).public_key, ip_address(host), 0, port))
            there = Node(keyOf(number).public_key, ip_address(host), 0, asking.self().udp)
            await server.discv4.ping(there)
        self.assertEqual((server.self().udp, server.metrics.value("udp_unsent")), (port, 0))

    async def test_wrong(self) -> None:
        """A sentence each, at the start or before."""
        for text in ("fd:", "fd:x", "fd:-1", "fd:4:5", "4", "systemd:index=1"):
            error = self.assertRaises(InvalidAddress, ServerConfig, keyOf(1), discoveryPort=text)
            self.assertIn("or fd:NUMBER", str(error))
        self.assertEqual(datagramDescriptor("fd:17"), 17)
        with open(__file__) as file:
            wrong = {self.opened(): "no UDP socket", file.fileno(): "is no socket", 987654: "is no socket"}
            for descriptor, words in wrong.items():
                self.assertIn(words, str(self.assertRaises(InvalidAddress, datagramSocket, descriptor)))
                server = Server(ServerConfig(keyOf(1), discovery=True, discoveryPort=f"fd:{descriptor}"))
                failure: Any = await self.assertFailure(server.startService(), InvalidAddress)
                self.assertIn(words, str(failure))
