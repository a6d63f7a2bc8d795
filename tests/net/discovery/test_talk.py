"""
Tests for L{devp2p_tx.net.discovery.talk}, on a virtual clock.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.discv5.events import IncomingTalk
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.net.discovery import talk as talks
from devp2p_tx.net.discovery.talk import ANSWER_TIMEOUT, LOG_INTERVAL, MAX_WAIT, Talks


class TalksTestCase(SynchronousTestCase):
    """Two places, and two in line."""

    def setUp(self) -> None:
        self.patch(talks, "MAX_ANSWERING", 2)
        self.patch(talks, "MAX_WAITING", 2)
        self.clock = Clock()
        self.metrics = Metrics()
        self.sent: list[tuple[bytes, bytes]] = []
        self.flushed = 0
        self.talks = Talks(self.clock, self.clock.seconds, self.metrics, self.send, self.flush)
        self.answers: dict[bytes, Deferred[bytes]] = {}
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(self.talks.stop)

    def send(self, request: IncomingTalk, message: bytes) -> None:
        self.sent.append((request.message, message))

    def flush(self) -> None:
        self.flushed += 1

    def later(self, request: IncomingTalk) -> Deferred[bytes]:
        answer = self.answers[request.message] = Deferred()
        return answer

    def take(self, *messages: bytes) -> None:
        for message in messages:
            request = IncomingTalk(bytes(32), ip_address("10.0.0.1"), 30303, b"id", b"slow", message)
            self.talks.take(self.later, request)

    def dropped(self) -> int:
        return self.metrics.value("discv5_talk_dropped")


class PlaceTests(TalksTestCase):
    """Requests that find no place."""

    def test_line(self) -> None:
        """They are begun in their order as places come back, and what they answer is flushed."""
        self.take(b"1", b"2", b"3", b"4")
        self.assertEqual(list(self.answers), [b"1", b"2"])
        self.clock.advance(MAX_WAIT - 0.1)
        self.answers[b"2"].callback(b"second")
        self.assertEqual(list(self.answers), [b"1", b"2", b"3"])
        self.answers[b"1"].errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(list(self.answers), [b"1", b"2", b"3", b"4"])
        self.assertEqual((self.sent, self.flushed), ([(b"2", b"second"), (b"1", b"")], 2))
        self.clock.advance(MAX_WAIT)
        self.assertEqual(self.dropped(), 0)

    def test_wait(self) -> None:
        """After 0.4 s in line they are dropped, the first one first; nothing is sent."""
        self.take(b"1", b"2", b"3")
        self.clock.advance(MAX_WAIT / 2)
        self.take(b"4")
        self.clock.advance(MAX_WAIT / 2)
        self.assertEqual(self.dropped(), 1)
        self.answers[b"1"].callback(b"")
        self.assertEqual(list(self.answers), [b"1", b"2", b"4"])
        self.assertEqual((self.dropped(), self.sent), (1, [(b"1", b"")]))

    def test_bound(self) -> None:
        """So they are if too many are in line."""
        self.take(b"1", b"2", b"3", b"4", b"5")
        self.assertEqual(self.dropped(), 1)
        self.clock.advance(MAX_WAIT)
        self.assertEqual(self.dropped(), 3)

    def test_at_once(self) -> None:
        """Those in line that are answered at once do not keep the others in line waiting."""
        self.patch(talks, "MAX_WAITING", 5000)
        self.take(b"1", b"2")
        first, self.later = self.answers[b"1"], lambda request: succeed(request.message)  # type: ignore[method-assign]
        messages = [str(number).encode() for number in range(3, 5000)]
        self.take(*messages)
        first.callback(b"1")
        self.assertEqual(self.sent, [(message, message) for message in (b"1", *messages)])

    def test_log(self) -> None:
        """Of many that are dropped there is an entry every five seconds at most."""
        logged: list[LogEvent] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        self.patch(talks, "MAX_WAITING", 0)
        self.take(b"1", b"2", b"3", b"4", b"5")
        sentence = "requests of other protocols come faster than they are answered: {} dropped"
        self.assertEqual([formatEvent(event) for event in logged], [sentence.format(1)])
        self.clock.pump([LOG_INTERVAL - 0.1, 0.1])
        self.take(b"6", b"7", b"8", b"9")
        self.assertEqual([formatEvent(event) for event in logged], [sentence.format(1), sentence.format(3)])


class TimeoutTests(TalksTestCase):
    """Answers that do not come."""

    def test_late(self) -> None:
        """Their Deferred is cancelled, their place given to another, and nothing is sent or logged."""
        self.take(b"1")
        self.clock.advance(ANSWER_TIMEOUT - 0.1)
        self.take(b"2", b"3")
        self.assertEqual(list(self.answers), [b"1", b"2"])
        self.clock.advance(0.1)
        self.assertEqual(list(self.answers), [b"1", b"2", b"3"])
        self.assertEqual((self.sent, self.metrics.value("discv5_talk_late")), ([], 1))
        self.answers[b"1"].callback(b"after all")
        self.assertEqual(self.sent, [])

    def test_canceller_that_raises(self) -> None:
        """It is logged; the place is given to another, and stopping goes on."""
        self.later = lambda request: Deferred(lambda _: 1 / 0)  # type: ignore[method-assign]
        self.take(b"1", b"2")
        self.clock.advance(ANSWER_TIMEOUT)
        self.assertEqual((self.sent, self.metrics.value("discv5_talk_late")), ([], 2))
        self.take(b"3", b"4")
        self.talks.stop()
        self.assertEqual(sorted(self.sent), [(b"3", b""), (b"4", b"")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 4)

    def test_in_time(self) -> None:
        """An answer that came leaves no deadline behind."""
        self.take(b"1")
        self.answers[b"1"].callback(b"first")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """What is being answered is cancelled, with an empty answer; what waits is not begun."""
        self.take(b"1", b"2", b"3", b"4")
        self.talks.stop()
        self.assertEqual(sorted(self.sent), [(b"1", b""), (b"2", b"")])
        self.assertEqual((list(self.answers), self.dropped()), ([b"1", b"2"], 0))
