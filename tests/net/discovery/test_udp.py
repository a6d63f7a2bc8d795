"""
Tests for L{devp2p_tx.net.discovery.udp}.
"""

from __future__ import annotations

from ipaddress import ip_address
from socket import AF_INET, SOCK_DGRAM
from socket import socket as Socket
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port as UDPPort
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.net.discovery.udp import MAX_READ, MAX_SIZE, REOPEN_INTERVAL, DatagramEdge
from devp2p_tx.testing import MemoryNetwork
from tests.testing.support import Datagrams

HERE, THERE = "34.0.0.1", "34.0.0.2"
THERE_4, THERE_6 = ip_address(THERE), ip_address("2600::2")


class Noting:
    """A handler that notes what it is given, and takes what begins with its letter."""

    def __init__(self, letter: bytes) -> None:
        self.letter = letter
        self.given: list[tuple[bytes, IPAddress, int, float, float]] = []

    def datagramReceived(self, data: bytes, ip: IPAddress, port: int, now: float, unixTime: float) -> bool:
        self.given.append((data, ip, port, now, unixTime))
        return data.startswith(self.letter)


class DatagramEdgeCase(SynchronousTestCase):
    """An edge with two handlers, and somebody to send it datagrams."""

    def setUp(self) -> None:
        self.network = MemoryNetwork(seed=1)
        self.here = self.network.host(HERE, "2600::1")
        self.there = self.network.host(THERE, "2600::2")
        self.ticks = 0
        self.metrics = Metrics()
        self.edge = DatagramEdge(self.here, self.tick, lambda: 1e9 + self.ticks, self.metrics)
        self.first, self.second = Noting(b"a"), Noting(b"b")
        self.edge.handlers += [self.first, self.second]
        self.edge.listen(30303)
        self.peer = Datagrams()
        self.there.listenUDP(4000, self.peer)

    def tick(self) -> float:
        self.ticks += 1
        return float(self.ticks)

    def receive(self, data: bytes) -> None:
        self.peer.transport.write(data, (HERE, 30303))
        self.network.settle()

    def sent(self, ip: str, port: int, data: bytes = b"x") -> list[Any]:
        self.edge.send(data, ip_address(ip), port)
        self.network.settle()
        return self.peer.received


class ReceivingTests(DatagramEdgeCase):
    """What comes in."""

    def test_taken(self) -> None:
        """The first handler is given the datagram, its source and the time, and the second one nothing."""
        self.receive(b"a1")
        self.assertEqual(self.first.given, [(b"a1", ip_address(THERE), 4000, 1.0, 1e9 + 1)])
        self.assertEqual(self.second.given, [])

    def test_refused(self) -> None:
        """What one refuses is the next one's, with the same time, which is taken once."""
        self.receive(b"b1")
        self.assertEqual(self.second.given, self.first.given)
        self.assertEqual(self.ticks, 1)
        self.assertEqual([name for name, _, _ in self.metrics if not name.endswith("_bytes")], [])

    def test_refused_by_all(self) -> None:
        """It is counted."""
        self.receive(b"c1")
        self.assertEqual(self.metrics.value("udp_dropped", reason="refused"), 1)

    def test_largest(self) -> None:
        """A datagram of the largest size comes whole, a larger one not at all."""
        self.receive(b"a" * MAX_SIZE)
        self.receive(b"a" * (MAX_SIZE + 1))
        self.receive(b"a" * 5000)
        self.assertEqual([len(data) for data, *_ in self.first.given], [MAX_SIZE])
        self.assertEqual(self.metrics.value("udp_dropped", reason="oversized"), 2)

    def test_empty(self) -> None:
        """A datagram without a byte is one."""
        self.receive(b"")
        self.assertEqual(len(self.second.given), 1)

    def test_source_without_an_address(self) -> None:
        """A source that cannot be read is dropped."""
        self.edge.sockets[4].datagramReceived(b"a", ("nowhere", 1))
        self.assertEqual(self.metrics.value("udp_dropped", reason="bad source"), 1)

    def test_handler_that_raises(self) -> None:
        """It does not end the edge."""
        self.first.datagramReceived = lambda *_: 1 / 0  # type: ignore[method-assign,assignment]
        self.receive(b"a1")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        del self.first.datagramReceived  # type: ignore[method-assign]
        self.receive(b"a2")
        self.assertEqual(len(self.first.given), 1)


class SendingTests(DatagramEdgeCase):
    """What goes out."""

    def test_send(self) -> None:
        """To an address that did not write before."""
        self.assertEqual(self.sent(THERE, 4000), [(b"x", (HERE, 30303))])

    def test_answer(self) -> None:
        """To the address that wrote last."""
        self.receive(b"a1")
        self.assertEqual(self.sent(THERE, 4000), [(b"x", (HERE, 30303))])

    def test_unsendable(self) -> None:
        """Destinations that are none are counted, and that is all."""
        for ip, port in ((THERE, 0), (THERE, 65536), ("2600::2", 0)):
            self.sent(ip, port)
        self.sent(THERE, 4000, bytes(70_000))
        self.assertEqual(self.metrics.value("udp_unsent"), 4)
        self.assertEqual(len(self.sent(THERE, 4000)), 1)


class FamiliesCase(DatagramEdgeCase):
    """An edge with a socket in each family, and somebody with one in each as well."""

    def setUp(self) -> None:
        super().setUp()
        self.edge.listen(30303, "::")
        self.peer6 = Datagrams()
        self.there.listenUDP(4000, self.peer6, interface="::")

    def receive6(self, data: bytes) -> None:
        self.peer6.transport.write(data, ("2600::1", 30303))
        self.network.settle()


class FamiliesTests(FamiliesCase):
    """Two families, each with a socket of its own."""

    def test_versions(self) -> None:
        """They are told, and the ports."""
        self.assertEqual((self.edge.versions, self.edge.port), ((4, 6), 30303))
        self.assertEqual([each.interface for each in self.edge.sockets.values()], ["", "::"])

    def test_received(self) -> None:
        """What comes in either is handed on."""
        self.receive(b"a1")
        self.receive6(b"a2")
        self.assertEqual([given[:2] for given in self.first.given], [(b"a1", THERE_4), (b"a2", THERE_6)])

    def test_sent(self) -> None:
        """What goes out leaves by the socket of its destination's family, whoever wrote last."""
        for prepare in (lambda: None, lambda: self.receive(b"a1"), lambda: self.receive6(b"a2")):
            prepare()
            self.edge.send(b"x", THERE_4, 4000)
            self.edge.send(b"y", THERE_6, 4000)
        self.network.settle()
        self.assertEqual(self.peer.received, 3 * [(b"x", (HERE, 30303))])
        self.assertEqual(self.peer6.received, 3 * [(b"y", ("2600::1", 30303))])

    def test_missing_family(self) -> None:
        """What is for a family without a socket is counted as unsent."""
        edge = DatagramEdge(self.here, self.tick, self.tick, self.metrics)
        edge.listen(0, "::")
        edge.send(b"x", THERE_4, 4000)
        self.assertEqual(self.metrics.value("udp_unsent"), 1)

    def test_unwrapped(self) -> None:
        """A socket that shows IPv4 in IPv6 clothes does no harm: the source is unwrapped, the answer gets to it."""
        socket = self.edge.sockets[6]
        self.patch(socket, "sendTo", lambda data, address: sent.append((data, address)))
        sent: list[object] = []
        socket.datagramReceived(b"a1", (f"::ffff:{THERE}", 4000))
        self.assertEqual(self.first.given[0][1], THERE_4)
        self.edge.send(b"x", self.first.given[0][1], 4000)
        self.assertEqual(sent, [(b"x", (f"::ffff:{THERE}", 4000))])

    def test_one_breaks(self) -> None:
        """It is opened again alone, and counted alone; meanwhile the other one goes on."""
        self.edge.sockets[6].transport.loseConnection()  # type: ignore[union-attr]
        self.network.settle()
        self.assertFalse(self.edge.isListening)
        self.receive(b"a1")
        self.receive6(b"a2")
        self.edge.send(b"x", THERE_4, 4000)
        self.edge.send(b"y", THERE_6, 4000)
        self.network.advance(REOPEN_INTERVAL)
        self.assertTrue(self.edge.isListening)
        self.receive6(b"a3")
        self.assertEqual([given[0] for given in self.first.given], [b"a1", b"a3"])
        self.assertEqual((len(self.peer.received), len(self.peer6.received)), (1, 0))
        counted = {dict(labels).get("family"): value for name, labels, value in self.metrics if name == "udp_reopened"}
        self.assertEqual((counted, self.metrics.value("udp_unsent")), ({"IPv6": 1}, 1))

    def test_close(self) -> None:
        """Both are closed."""
        closing = self.edge.close()
        self.network.settle()
        self.successResultOf(closing)
        self.receive(b"a1")
        self.receive6(b"a2")
        self.assertEqual((self.first.given, self.edge.isListening), ([], False))


class LifeTests(DatagramEdgeCase):
    """Opening and closing."""

    def test_port(self) -> None:
        """A free port is chosen for those who want any."""
        edge = DatagramEdge(self.here, self.tick, self.tick)
        self.assertEqual((edge.isListening, edge.port), (False, 0))
        edge.listen(0)
        self.assertTrue(edge.isListening and edge.port >= 1024)

    def test_taken(self) -> None:
        """A port that is taken is an error at once."""
        with self.assertRaises(CannotListenError):
            DatagramEdge(self.here, self.tick, self.tick).listen(30303)

    def test_close(self) -> None:
        """After it nothing comes in or goes out, and nothing is raised."""
        closing = self.edge.close()
        self.network.settle()
        self.successResultOf(closing)
        self.successResultOf(self.edge.close())
        self.receive(b"a1")
        self.assertEqual((self.first.given, self.sent(THERE, 4000)), ([], []))
        self.assertEqual(self.here.getDelayedCalls(), [])
        self.here.listenUDP(30303, Datagrams())

    def breakSocket(self) -> None:
        """As the reactor does with a socket that cannot be read."""
        self.edge.sockets[4].transport.loseConnection()  # type: ignore[union-attr]
        self.network.settle()
        self.assertFalse(self.edge.isListening)

    def test_broken_socket(self) -> None:
        """It is opened again, a little later."""
        self.breakSocket()
        self.sent(THERE, 4000)
        self.network.advance(REOPEN_INTERVAL)
        self.receive(b"a1")
        self.assertEqual((len(self.first.given), self.sent(THERE, 4000)), (1, [(b"x", (HERE, 30303))]))
        self.assertEqual(self.metrics.value("udp_reopened", family="IPv4"), 1)

    def test_broken_socket_whose_port_is_taken(self) -> None:
        """It is tried until the port is free."""
        self.breakSocket()
        squatter = self.here.listenUDP(30303, Datagrams())
        self.network.advance(3 * REOPEN_INTERVAL)
        self.assertFalse(self.edge.isListening)
        squatter.stopListening()
        self.network.advance(REOPEN_INTERVAL)
        self.assertTrue(self.edge.isListening)

    def test_close_while_broken(self) -> None:
        """It stays closed."""
        self.breakSocket()
        self.successResultOf(self.edge.close())
        self.network.advance(10 * REOPEN_INTERVAL)
        self.assertFalse(self.edge.isListening)


class OnePortReactor:
    """As much of a reactor as a socket needs that is read by hand."""

    def listenUDP(self, port: int, protocol: DatagramProtocol, interface: str, maxPacketSize: int) -> UDPPort:
        self.port = UDPPort(port, protocol, interface, maxPacketSize, self)
        self.port.startListening()
        return self.port

    def callLater(self, delay: float, call: object) -> None: ...

    def addReader(self, reader: object) -> None: ...

    def removeReader(self, reader: object) -> None: ...


class SocketTests(SynchronousTestCase):
    """An edge on a socket of the system, on loopback."""

    def setUp(self) -> None:
        self.metrics = Metrics()
        self.edge = DatagramEdge(OnePortReactor(), lambda: 1.0, lambda: 2.0, self.metrics)
        self.handler = Noting(b"a")
        self.edge.handlers.append(self.handler)
        self.edge.listen(0, "127.0.0.1")
        self.port: UDPPort = self.edge.sockets[4].transport  # type: ignore[assignment]
        self.addCleanup(self.port.socket.close)
        self.peer = Socket(AF_INET, SOCK_DGRAM)
        self.addCleanup(self.peer.close)
        self.peer.bind(("127.0.0.1", 0))
        self.peer.settimeout(5)

    def receive(self, *datagrams: bytes) -> None:
        for data in datagrams:
            self.peer.sendto(data, ("127.0.0.1", self.edge.port))
        self.port.doRead()

    def test_exchange(self) -> None:
        """A datagram comes in, and another one goes out."""
        self.receive(b"a1")
        (_, ip, port, _, _) = self.handler.given[0]
        self.edge.send(b"answer", ip, port)
        self.assertEqual(self.peer.recvfrom(100), (b"answer", ("127.0.0.1", self.edge.port)))

    def test_oversized(self) -> None:
        """The system cuts it off, where it can still be seen that it was too long."""
        self.receive(b"a" * MAX_SIZE, b"a" * (MAX_SIZE + 100))
        self.assertEqual([len(data) for data, *_ in self.handler.given], [MAX_SIZE])
        self.assertEqual(self.metrics.value("udp_dropped", reason="oversized"), 1)

    def test_unsendable(self) -> None:
        """What the system refuses is counted."""
        for ip, port in (("127.0.0.1", 0), ("127.0.0.1", 70000), ("::1", 30303), ("255.255.255.255", 30303)):
            self.edge.send(b"x", ip_address(ip), port)
        self.edge.send(bytes(70_000), ip_address("127.0.0.1"), 30303)
        self.assertEqual(self.metrics.value("udp_unsent"), 5)

    def test_turns(self) -> None:
        """Not more is read in one turn of the reactor than its bound and a datagram."""
        self.receive(*[b"a" * 1000] * 20)
        self.assertEqual(len(self.handler.given), -(-MAX_READ // 1000))
