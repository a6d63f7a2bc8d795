"""
Tests for back-pressure outwards: a peer that does not read.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from devp2p_tx.errors import LocalProtocolError, Timeout
from devp2p_tx.net.rlpx.channels import HIGH_WATER, LOW_WATER
from devp2p_tx.net.rlpx.protocol import BURST, WRITE_TIMEOUT
from devp2p_tx.testing._tcp import WINDOW
from tests.net.rlpx.flow import KIB, FlowCase, PullProducer, PushProducer
from tests.net.rlpx.support import FIRST


class TestPushProducers(FlowCase):
    def test_paused(self) -> None:
        self.peer.stopReading()
        producer = PushProducer(self.channel, self.data(KIB))
        producer.resumeProducing()
        self.network.settle()
        self.assertEqual(producer.calls, ["resume", "pause"])
        self.assertLess(producer.sent * KIB, BURST + HIGH_WATER + 20 * KIB)
        self.assertGreater(producer.sent * KIB, HIGH_WATER)

    def test_resumed(self) -> None:
        self.peer.stopReading()
        producer = PushProducer(self.channel, self.data(KIB), 3000)
        producer.resumeProducing()
        self.network.settle()
        self.peer.readAgain()
        self.network.settle()
        self.assertEqual(len(self.peer.payloads(FIRST)), 3000)
        self.assertEqual(producer.calls[:3], ["resume", "pause", "resume"])

    def test_notResumedTooSoon(self) -> None:
        self.congest()
        producer = PushProducer(self.channel, self.data(KIB), 0)
        while not producer.paused:
            self.channel.sendMessage(0, self.data(KIB))
        self.assertGreater(self.channel.queued, HIGH_WATER)
        self.channel.sendMessage(0, self.data(KIB))
        self.assertEqual(producer.calls, ["pause"])
        queued = []
        producer.resumeProducing = lambda: queued.append(self.channel.queued)  # type: ignore[method-assign]
        self.peer.readAgain()
        self.network.settle()
        self.assertEqual(len(queued), 1)
        self.assertLessEqual(queued[0], LOW_WATER)

    def test_registeredWhileFull(self) -> None:
        self.congest()
        self.channel.sendMessage(0, self.data(HIGH_WATER + 1))
        self.assertEqual(PushProducer(self.channel, b"").calls, ["pause"])

    def test_dropped(self) -> None:
        self.peer.stopReading()
        self.peer.pingForEver(self.them, 10, batch=1)
        producer = PushProducer(self.channel, self.data(KIB))
        producer.resumeProducing()
        self.network.advance(WRITE_TIMEOUT)
        self.assertEqual(producer.calls, ["resume", "pause", "stop"])
        self.assertIsInstance(self.reason, Timeout)

    def test_two(self) -> None:
        PushProducer(self.channel, b"")
        self.assertRaises(RuntimeError, PushProducer, self.channel, b"")
        self.channel.unregisterProducer()
        PushProducer(self.channel, b"")

    def test_registeredAfterTheEnd(self) -> None:
        self.ours.abort()
        self.assertEqual(PushProducer(self.channel, b"").calls, ["stop"])

    def test_unregistered(self) -> None:
        producer = PushProducer(self.channel, b"")
        self.channel.unregisterProducer()
        self.ours.abort()
        self.network.settle()
        self.assertEqual(producer.calls, [])

    def test_bytesAreNotForChannels(self) -> None:
        self.assertRaises(LocalProtocolError, self.channel.write, b"bytes")


class TestPullProducers(FlowCase):
    def test_asMuchAsThePeerReads(self) -> None:
        producer = PullProducer(self.channel, self.data(KIB), 500)
        self.network.settle()
        self.assertEqual((producer.sent, len(self.peer.payloads(FIRST))), (500, 500))

    def test_peerThatDoesNotRead(self) -> None:
        self.peer.stopReading()
        producer = PullProducer(self.channel, self.data(KIB))
        self.network.settle()
        self.assertLess(producer.sent * KIB, WINDOW + 2 * BURST)
        self.assertGreater(producer.sent * KIB, WINDOW - KIB)

    def test_dropped(self) -> None:
        self.peer.stopReading()
        self.peer.pingForEver(self.them, 10, batch=1)
        producer = PullProducer(self.channel, self.data(KIB))
        self.network.advance(WRITE_TIMEOUT)
        self.assertTrue(producer.stopped)
        self.assertIsInstance(self.reason, Timeout)

    def test_thatHasNothingYet(self) -> None:
        """It is not asked again and again, as it is not by a TCP transport."""
        producer = PullProducer(self.channel, b"now", most=0, leaves=False)
        self.network.settle()
        self.assertEqual(producer.asked, 1)
        producer._most = 10
        producer.resumeProducing()
        self.network.settle()
        self.assertEqual(len(self.peer.payloads(FIRST)), 10)

    def test_largeMessages(self) -> None:
        producer = PullProducer(self.channel, self.data(BURST + KIB), 20)
        self.network.settle()
        self.assertEqual((producer.sent, len(self.peer.payloads(FIRST))), (20, 20))


class TestWaiters(FlowCase):
    """Whoever waits until it can write."""

    def waiting(self) -> tuple[Deferred[None], Deferred[None]]:
        """Two who wait, of whom the first, once told, cancels the second."""
        self.congest()
        self.channel.sendMessage(0, self.data(HIGH_WATER + 1))
        first, second = self.channel.whenWritable(), self.channel.whenWritable()
        first.addBoth(lambda result: second.cancel())
        return first, second

    def test_cancelOneAnother(self) -> None:
        first, second = self.waiting()
        self.peer.readAgain()
        self.network.settle()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_cancelOneAnotherAtTheEnd(self) -> None:
        first, second = self.waiting()
        self.ours.abort()
        self.network.settle()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.assertEqual(len(self.recorder.reasons), 1)
