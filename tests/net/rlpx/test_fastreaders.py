"""
Tests with a peer that reads faster than we write, or writes faster than we read.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from devp2p_tx.net.rlpx import protocol as rlpx
from devp2p_tx.net.rlpx.channels import HIGH_WATER
from devp2p_tx.net.rlpx.protocol import BURST, LARGE_READ, READ
from devp2p_tx.testing._tcp import Connection
from tests.net.rlpx.flow import KIB, PullProducer, PushProducer
from tests.net.rlpx.support import FIRST, ConnectionCase


class Gulping:
    """A socket that takes all that it is given, as with a peer that reads faster than we write."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, data: bytes) -> int:
        self._connection._out.put(bytes(data))
        return len(data)


class TestFastReader(ConnectionCase):
    """On a plain TCP connection we write to the socket itself; here we have one that is always ready."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(rlpx, "TCPConnection", Connection)
        Connection.TLS = False  # type: ignore[attr-defined]
        self.addCleanup(delattr, Connection, "TLS")
        Connection.getHandle = lambda connection: Gulping(connection)  # type: ignore[attr-defined]
        self.addCleanup(delattr, Connection, "getHandle")
        self.peer = self.scripted()
        self.channel = self.recorder.transport

    def test_pushProducerIsPaused(self) -> None:
        producer = PushProducer(self.channel, self.network.random.randbytes(KIB), 10_000)
        producer.resumeProducing()
        self.assertEqual(producer.calls, ["resume", "pause"])
        self.network.settle()
        self.assertEqual(len(self.peer.payloads(FIRST)), 10_000)

    def test_writerWaits(self) -> None:
        data = self.network.random.randbytes(KIB)
        written: list[int] = []

        async def write() -> None:
            for number in range(10_000):
                self.channel.sendMessage(0, data)
                await self.channel.whenWritable()
                written.append(number)

        Deferred.fromCoroutine(write())
        self.assertLess(len(written) * KIB, 2 * BURST + HIGH_WATER + KIB)
        self.network.settle()
        self.assertEqual((len(written), len(self.peer.payloads(FIRST))), (10_000, 10_000))

    def test_pullProducer(self) -> None:
        producer = PullProducer(self.channel, self.network.random.randbytes(BURST + KIB), 20)
        self.network.settle()
        self.assertEqual((producer.sent, len(self.peer.payloads(FIRST))), (20, 20))

    def test_order(self) -> None:
        for number in range(1000):
            self.channel.sendMessage(0, number.to_bytes(2, "big") * 500)
        self.network.settle()
        self.assertEqual([int.from_bytes(each[:2], "big") for each in self.peer.payloads(FIRST)], list(range(1000)))

    def test_largeReads(self) -> None:
        """After a read that was full a larger one is made, and others after one that was not."""
        sizes: list[int] = []
        received = self.ours.dataReceived

        def dataReceived(data: bytes) -> None:
            sizes.append(len(data))
            received(data)

        self.patch(self.ours, "dataReceived", dataReceived)
        self.peer.transport.write = Gulping(self.peer.transport).send
        data = self.network.random.randbytes(2 * LARGE_READ)
        for sent in (data, b"short", data):
            self.peer.send(FIRST, sent)
            self.network.settle()
        self.assertEqual([payload for _, payload in self.recorder.messages], [data, b"short", data])
        rest = sum(sizes[:3]) - READ - LARGE_READ
        self.assertEqual(sizes, [READ, LARGE_READ, rest, 64, READ, LARGE_READ, rest])
