from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError, InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import IUDPTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from devp2p_tx.testing import MemoryNetwork
from devp2p_tx.testing._udp import MAX_DATAGRAM
from tests.testing.support import Datagrams


class DatagramCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork(seed=1)
        self.alice, self.bob = self.network.host("192.0.2.1"), self.network.host("192.0.2.2")
        self.sender, self.receiver = Datagrams(), Datagrams()
        self.port = self.bob.listenUDP(30303, self.receiver)
        self.alice.listenUDP(4000, self.sender)

    def send(self, data: bytes, address: Any = ("192.0.2.2", 30303)) -> list[tuple[bytes, tuple[str, int]]]:
        self.sender.transport.write(data, address)
        self.network.advance(self.network.latency)
        return self.receiver.received


class TestDatagrams(DatagramCase):
    def test_interface(self) -> None:
        verifyObject(IUDPTransport, self.port)

    def test_delivered(self) -> None:
        self.assertEqual(self.send(b"ping"), [(b"ping", ("192.0.2.1", 4000))])

    def test_host(self) -> None:
        self.assertEqual(self.port.getHost(), IPv4Address("UDP", "0.0.0.0", 30303))

    def test_never_inTheSameTurn(self) -> None:
        self.sender.transport.write(b"ping", ("192.0.2.2", 30303))
        self.assertEqual(self.receiver.received, [])

    def test_latency(self) -> None:
        self.network.latency = 0.1
        self.sender.transport.write(b"ping", ("192.0.2.2", 30303))
        self.network.advance(0.09)
        self.assertEqual(self.receiver.received, [])
        self.network.advance(0.02)
        self.assertEqual(len(self.receiver.received), 1)

    def test_loss(self) -> None:
        self.network.loss = 0.25
        for _ in range(1000):
            self.send(b"ping")
        self.assertTrue(700 < len(self.receiver.received) < 800, len(self.receiver.received))

    def test_copied(self) -> None:
        data = bytearray(b"ping")
        self.sender.transport.write(data, ("192.0.2.2", 30303))
        data[:] = b"pong"
        self.network.settle()
        self.assertEqual(self.receiver.received[0][0], b"ping")

    def test_nowhere(self) -> None:
        for address in (("192.0.2.2", 1), ("203.0.113.1", 30303)):
            self.assertEqual(self.send(b"ping", address), [])

    def test_silence(self) -> None:
        self.network.silence(self.bob)
        self.assertEqual(self.send(b"lost"), [])
        self.network.restore(self.bob)
        self.assertEqual(len(self.send(b"ping")), 1)

    def test_connected(self) -> None:
        self.port.connect("192.0.2.1", 4000)
        self.port.write(b"ping")
        self.network.settle()
        self.assertEqual(self.sender.received, [(b"ping", ("192.0.2.2", 30303))])
        self.alice.listenUDP(4001, other := Datagrams())
        other.transport.write(b"not from there", ("192.0.2.2", 30303))
        self.network.settle()
        self.assertEqual(self.receiver.received, [])
        self.assertRaises(RuntimeError, self.port.connect, "192.0.2.1", 4000)

    def test_ipv6Port(self) -> None:
        both = self.network.host("192.0.2.3", "2001:db8::3")
        both.listenUDP(30303, wide := Datagrams(), interface="::")
        self.send(b"ping", ("192.0.2.3", 30303))
        self.assertEqual(wide.received, [])
        self.network.v6Only = False
        self.send(b"ping", ("192.0.2.3", 30303))
        self.assertEqual(wide.received, [(b"ping", ("::ffff:192.0.2.1", 4000))])
        wide.transport.write(b"pong", ("::ffff:192.0.2.1", 4000))
        self.network.settle()
        self.assertEqual(self.sender.received, [(b"pong", ("192.0.2.3", 30303))])


class TestLimits(DatagramCase):
    def test_tooLargeForAnySocket(self) -> None:
        self.send(bytes(MAX_DATAGRAM))
        self.assertRaises(MessageLengthError, self.send, bytes(MAX_DATAGRAM + 1))

    def test_cutAtMaxPacketSize(self) -> None:
        self.bob.listenUDP(30304, narrow := Datagrams(), maxPacketSize=1280)
        self.send(bytes(1281), ("192.0.2.2", 30304))
        self.assertEqual(len(narrow.received[0][0]), 1280)

    def test_badDestinations(self) -> None:
        for address, error in (
            (("bob.example", 1), InvalidAddressError),
            (("2001:db8::1", 1), InvalidAddressError),
            (("192.0.2.2", 0), OSError),
            (("192.0.2.2", 65536), OverflowError),
        ):
            self.assertRaises(error, self.send, b"ping", address)
        self.assertRaises(InvalidAddressError, self.port.connect, "bob.example", 1)
        self.assertRaises(TypeError, self.send, "text")

    def test_taken(self) -> None:
        self.assertRaises(CannotListenError, self.bob.listenUDP, 30303, Datagrams())

    def test_stopListening(self) -> None:
        stopping = self.port.stopListening()
        self.network.settle()
        self.successResultOf(stopping)
        self.assertEqual(self.send(b"ping"), [])
        self.port.write(b"into the void", ("192.0.2.1", 4000))
        self.assertIsNone(self.port.stopListening())
        self.bob.listenUDP(30303, Datagrams())

    def test_paused(self) -> None:
        self.port.pauseProducing()
        self.send(b"lost")
        self.port.resumeProducing()
        self.assertEqual([data for data, _ in self.send(b"ping")], [b"ping"])

    def test_protocolThatRaises(self) -> None:
        self.receiver.datagramReceived = lambda datagram, addr: 1 / 0  # type: ignore[method-assign,assignment]
        self.send(b"to the bug")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
