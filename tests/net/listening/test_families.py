"""
Tests for L{devp2p_tx.net.listening.families}, on sockets of the system.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from devp2p_tx.net.discovery.udp import MAX_READ, DatagramEdge
from devp2p_tx.net.listening.families import separateFamilies
from devp2p_tx.net.listening.sockets import serverEndpoint
from tests.net.discovery.test_udp import Noting
from tests.testing.support import Datagrams


class SocketsCase(TestCase):
    """The sockets of this system."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.separate = separateFamilies(reactor)

    def listen(self, description: str) -> Deferred[Any]:
        """Listen, until the test is over."""

        def opened(port: Any) -> Any:
            self.addCleanup(port.stopListening)
            return port

        return serverEndpoint(self.reactor, description).listen(Factory.forProtocol(Protocol)).addCallback(opened)


class TCPTests(SocketsCase):
    """TCP ports."""

    async def test_sameNumber(self) -> None:
        """Both families have a socket at one number, in either order, whatever the system's default is."""
        for first, second in (("tcp", "tcp6"), ("tcp6", "tcp")):
            number = (await self.listen(f"{first}:0")).getHost().port
            port = await self.listen(f"{second}:{number}")
            self.assertEqual(port.getHost().port, number)

    async def test_ipv6Alone(self) -> None:
        """What listens on :: does not take IPv4; an address of IPv6 says so, and so does the other end's."""
        port = await self.listen("tcp6:0")
        self.assertEqual(port.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY), 1)
        self.assertEqual((port.getHost().host, port.getHost().type), ("::", "TCP"))
        factory = Factory.forProtocol(Protocol)
        protocol = await TCP6ClientEndpoint(self.reactor, "::1", port.getHost().port).connect(factory)
        self.assertEqual(protocol.transport.getPeer().host, "::1")
        protocol.transport.abortConnection()
        connecting = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port.getHost().port).connect(factory)
        await self.assertFailure(connecting, ConnectionRefusedError)

    async def test_oneAddress(self) -> None:
        """An address of IPv6 can be named."""
        port = await self.listen(r"tcp6:0:interface=\:\:1")
        self.assertEqual(port.getHost().host, "::1")

    async def test_taken(self) -> None:
        """A taken port, an address that is not ours, and a number that is no port are one kind of error."""
        number = (await self.listen("tcp6:0")).getHost().port
        error = await self.assertFailure(self.listen(f"tcp6:{number}"), CannotListenError)
        self.assertIn(f"{number}: [Errno 98] Address already in use", str(error))
        await self.assertFailure(self.listen(r"tcp6:0:interface=2600\:\:1"), CannotListenError)
        self.assertRaises(CannotListenError, self.separate.listenTCP, 70000, Factory(), interface="::")

    async def test_closed(self) -> None:
        """The port is free when it says so."""
        port = await self.listen("tcp6:0")
        number = port.getHost().port
        await port.stopListening()
        self.assertEqual((await self.listen(f"tcp6:{number}")).getHost().port, number)

    async def test_otherwiseTheReactor(self) -> None:
        """All else is the reactor's, so that every endpoint works with it."""
        self.assertEqual(self.separate.getDelayedCalls(), self.reactor.getDelayedCalls())
        port = await self.listen("tcp:0:interface=127.0.0.1")
        endpoint = HostnameEndpoint(self.separate, "127.0.0.1", port.getHost().port)
        protocol = await endpoint.connect(Factory.forProtocol(Protocol))
        protocol.transport.abortConnection()


class UDPTests(SocketsCase):
    """UDP sockets."""

    def setUp(self) -> None:
        super().setUp()
        self.edge = DatagramEdge(self.reactor, lambda: 1.0, lambda: 2.0)
        self.addCleanup(self.edge.close)
        self.handler = Noting(b"a")
        self.edge.handlers.append(self.handler)
        self.edge.listen(0)
        self.edge.listen(self.edge.port, "::")

    def peer(self, family: socket.AddressFamily, host: str) -> socket.socket:
        """Someone who has sent a datagram."""
        peer = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(peer.close)
        peer.settimeout(5)
        peer.bind((host, 0))
        peer.sendto(b"a1", (host, self.edge.port))
        return peer

    def test_sameNumber(self) -> None:
        """Both families have a socket at one number; each reads only so much at one time."""
        one, other = self.edge.sockets.values()
        self.assertEqual((one.number, self.edge.isListening), (other.number, True))
        transports: list[Any] = [each.transport for each in self.edge.sockets.values()]
        self.assertEqual([each.maxThroughput for each in transports], [MAX_READ, MAX_READ])
        self.assertEqual(transports[1].socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY), 1)

    def test_exchange(self) -> None:
        """In each family a datagram comes in, and its answer goes out."""
        peers = [self.peer(socket.AF_INET, "127.0.0.1"), self.peer(socket.AF_INET6, "::1")]
        for each in self.edge.sockets.values():
            transport: Any = each.transport
            transport.doRead()
        self.assertEqual([str(given[1]) for given in self.handler.given], ["127.0.0.1", "::1"])
        for _, ip, port, *_ in self.handler.given:
            self.edge.send(b"answer", ip, port)
        self.assertEqual([peer.recv(100) for peer in peers], [b"answer", b"answer"])

    def test_taken(self) -> None:
        """A taken port is an error at once, in either family."""
        for interface in ("", "::"):
            edge = DatagramEdge(self.reactor, lambda: 1.0, lambda: 2.0)
            self.assertRaises(CannotListenError, edge.listen, self.edge.port, interface)
            self.assertEqual(edge.versions, ())
        self.assertRaises(CannotListenError, self.separate.listenUDP, 0, Datagrams(), interface="2600::1")
