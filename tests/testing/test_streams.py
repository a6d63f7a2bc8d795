from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from devp2p_tx.testing import MemoryNetwork
from devp2p_tx.testing._tcp import WINDOW
from tests.testing.support import HalfCloseable, Noting, joined


class StreamCase(SynchronousTestCase):
    one: type[Noting] = Noting
    other: type[Noting] = Noting

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.client, self.server, self.alice, self.bob = joined(self.network, self.one(), self.other())

    def send(self, data: bytes) -> None:
        self.client.transport.write(data)
        self.network.settle()


class TestBytes(StreamCase):
    def test_interface(self) -> None:
        verifyObject(ITCPTransport, self.client.transport)

    def test_bothWays(self) -> None:
        self.client.transport.write(b"question")
        self.server.transport.writeSequence([b"an", b"swer"])
        self.network.settle()
        self.assertEqual((self.server.data, self.client.data), (b"question", b"answer"))

    def test_notBeforeTheNextTurn(self) -> None:
        self.client.transport.write(b"question")
        self.assertEqual(self.server.data, b"")

    def test_many(self) -> None:
        data = bytes(range(256)) * 4096
        self.send(data)
        self.assertEqual(self.server.data, data)

    def test_latency(self) -> None:
        self.network.latency = 0.1
        self.send(b"slow")
        self.network.advance(0.09)
        self.assertEqual(self.server.data, b"")
        self.network.advance(0.01)
        self.assertEqual(self.server.data, b"slow")

    def test_orderWhenLatencyShrinks(self) -> None:
        self.network.latency = 0.1
        self.send(b"first ")
        self.network.latency = 0
        self.send(b"second")
        self.network.advance(0.1)
        self.assertEqual(self.server.data, b"first second")

    def test_pausedReader(self) -> None:
        self.server.transport.pauseProducing()
        self.send(bytes(3 * WINDOW))
        self.assertEqual(self.server.data, b"")
        self.server.transport.resumeProducing()
        self.network.settle()
        self.assertEqual(len(self.server.data), 3 * WINDOW)

    def test_silence(self) -> None:
        self.network.silence(self.bob)
        self.send(b"are you there? ")
        self.send(b"hello?")
        self.assertEqual(self.server.data, b"")
        self.network.restore(self.bob)
        self.network.settle()
        self.assertEqual(self.server.data, b"are you there? hello?")

    def test_goneWhileSilent(self) -> None:
        self.network.silence(self.alice)
        self.send(b"last words")
        self.client.transport.loseConnection()
        self.network.settle()
        self.assertEqual((self.client.ends, self.server.ends), ([ConnectionDone], []))
        self.network.restore(self.alice)
        self.network.settle()
        self.assertEqual((self.server.data, self.server.ends), (b"last words", [ConnectionDone]))

    def test_options(self) -> None:
        transport = self.client.transport
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        self.assertTrue(transport.getTcpNoDelay() and transport.getTcpKeepAlive())


class Producer:
    """Writes 1,000 bytes each time it may."""

    def __init__(self, transport: Any, streaming: bool, times: int = 1 << 30) -> None:
        self.calls: list[str] = []
        self.written = 0
        self._times = times
        self._transport, self._streaming = transport, streaming
        transport.registerProducer(self, streaming)

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        while self._times and (not self._streaming or self.calls[-1:] == ["resume"]):
            self._times -= 1
            self.written += 1000
            self._transport.write(bytes(1000))
            if not self._streaming:
                return

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def stopProducing(self) -> None:
        self.calls.append("stop")


class TestProducers(StreamCase):
    def test_push(self) -> None:
        self.server.transport.pauseProducing()
        producer = Producer(self.client.transport, True)
        producer.resumeProducing()
        self.network.settle()
        self.assertEqual(producer.calls, ["resume", "pause"])
        self.assertEqual(producer.written, (self.client.transport.bufferSize // 1000 + 1) * 1000)

    def test_pushGoesOn(self) -> None:
        self.server.transport.pauseProducing()
        producer = Producer(self.client.transport, True, 500)
        producer.resumeProducing()
        self.network.settle()
        self.server.transport.resumeProducing()
        self.network.settle()
        self.assertEqual(len(self.server.data), 500_000)

    def test_pull(self) -> None:
        self.server.transport.pauseProducing()
        producer = Producer(self.client.transport, False)
        self.network.settle()
        self.assertEqual(producer.written, (WINDOW // 1000 + 1) * 1000)

    def test_noEndWithAProducer(self) -> None:
        Producer(self.client.transport, False, 0)
        self.client.transport.loseConnection()
        self.network.settle()
        self.assertEqual(self.client.ends, [])
        self.client.transport.unregisterProducer()
        self.network.settle()
        self.assertEqual(self.client.ends, [ConnectionDone])

    def test_stopped(self) -> None:
        producer = Producer(self.client.transport, True)
        self.server.transport.abortConnection()
        self.network.settle()
        self.assertEqual(producer.calls, ["stop"])


class TestEnds(StreamCase):
    def ends(self) -> tuple[list[Any], list[Any]]:
        self.network.settle()
        self.assertEqual(self.network.clock.getDelayedCalls(), [])
        return self.client.ends, self.server.ends

    def test_lose(self) -> None:
        self.client.transport.loseConnection()
        self.assertEqual(self.ends(), ([ConnectionDone], [ConnectionDone]))
        self.assertEqual(self.network.connections, {})

    def test_loseFlushes(self) -> None:
        self.client.transport.write(bytes(5 * WINDOW))
        self.client.transport.loseConnection()
        self.ends()
        self.assertEqual(len(self.server.data), 5 * WINDOW)

    def test_loseWaitsForTheReader(self) -> None:
        self.server.transport.pauseProducing()
        self.client.transport.write(bytes(5 * WINDOW))
        self.client.transport.loseConnection()
        self.assertEqual(self.ends(), ([], []))

    def test_pausedReaderLearnsNothing(self) -> None:
        self.server.transport.pauseProducing()
        self.client.transport.write(b"the last words")
        self.client.transport.loseConnection()
        self.assertEqual(self.ends(), ([ConnectionDone], []))
        self.server.transport.resumeProducing()
        self.assertEqual(self.ends(), ([ConnectionDone], [ConnectionDone]))
        self.assertEqual(self.server.data, b"the last words")

    def test_abort(self) -> None:
        self.client.transport.write(b"never sent")
        self.client.transport.abortConnection()
        self.assertEqual(self.ends(), ([ConnectionAborted], [ConnectionLost]))
        self.assertEqual(self.server.data, b"")

    def test_closingWithUnreadBytesResets(self) -> None:
        self.server.transport.pauseProducing()
        self.send(b"unread")
        self.server.transport.write(b"lost with them")
        self.server.transport.loseConnection()
        self.client.transport.pauseProducing()
        self.network.settle()
        self.client.transport.resumeProducing()
        self.assertEqual(self.ends(), ([ConnectionLost], [ConnectionDone]))
        self.assertEqual(self.client.data, b"")

    def test_writingToAClosedSocket(self) -> None:
        self.client.transport.pauseProducing()
        self.server.transport.loseConnection()
        self.assertEqual(self.ends(), ([], [ConnectionDone]))
        self.send(b"too late")
        self.send(b"far too late")
        self.assertEqual(self.ends(), ([ConnectionLost], [ConnectionDone]))

    def test_disconnect(self) -> None:
        self.network.disconnect(self.alice, self.bob)
        self.assertEqual(self.ends(), ([ConnectionLost], [ConnectionLost]))

    def test_disconnectOthers(self) -> None:
        self.network.disconnect(self.alice, self.network.host("192.0.2.3"))
        self.assertEqual(self.ends(), ([], []))

    def test_protocolThatRaises(self) -> None:
        self.server.dataReceived = lambda data: 1 / 0
        self.send(b"to the bug")
        self.assertEqual(self.server.ends, [ZeroDivisionError])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.client.ends, [ConnectionDone])

    def test_abortWhileReceiving(self) -> None:
        self.server.dataReceived = lambda data: self.server.transport.abortConnection()
        self.send(b"enough")
        self.assertEqual(self.ends(), ([ConnectionLost], [ConnectionAborted]))

    def test_nothingAfterTheEnd(self) -> None:
        self.client.transport.abortConnection()
        self.network.settle()
        self.client.transport.write(b"nobody")
        self.client.transport.loseConnection()
        self.client.transport.abortConnection()
        self.client.transport.resumeProducing()
        self.assertEqual(self.ends(), ([ConnectionAborted], [ConnectionLost]))


class TestHalfClosed(StreamCase):
    other = HalfCloseable

    def test_answersAfterwards(self) -> None:
        self.client.transport.write(b"question")
        self.client.transport.loseWriteConnection()
        self.network.settle()
        self.assertEqual((self.server.data, self.server.halves), (b"question", ["read"]))
        self.server.transport.write(b"answer")
        self.server.transport.loseConnection()
        self.network.settle()
        self.assertEqual((self.client.data, self.client.ends), (b"answer", [ConnectionDone]))
        self.assertEqual(self.server.ends, [ConnectionDone])

    def test_ownHalf(self) -> None:
        self.server.transport.loseWriteConnection()
        self.network.settle()
        self.assertEqual((self.server.halves, self.client.ends), (["write", "read"], [ConnectionDone]))

    def test_ordinaryProtocolClosesAtOnce(self) -> None:
        client, server, _, _ = joined(self.network, Noting(), Noting())
        client.transport.loseWriteConnection()
        self.network.settle()
        self.assertEqual((client.ends, server.ends), ([ConnectionDone], [ConnectionDone]))

    def test_halvesThatRaise(self) -> None:
        for half in ("readConnectionLost", "writeConnectionLost"):
            bad = HalfCloseable()
            setattr(bad, half, lambda: 1 / 0)
            client, _, _, _ = joined(self.network, Noting(), bad)
            closing = client if half.startswith("read") else bad
            closing.transport.loseWriteConnection()
            self.network.settle()
            self.assertEqual(bad.ends, [ZeroDivisionError])
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class Greeting(Protocol):
    """Says goodbye before it has been greeted."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello and goodbye")
        self.transport.loseConnection()


class TestFirstMoments(SynchronousTestCase):
    def test_writesWhenMade(self) -> None:
        client, _, _, _ = joined(MemoryNetwork(), Noting(), Greeting())
        self.assertEqual((client.data, client.ends), (b"hello and goodbye", [ConnectionDone]))
