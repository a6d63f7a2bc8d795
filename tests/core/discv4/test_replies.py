"""
Tests for L{devp2p_tx.core.discv4.replies}.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.discv4.events import EnrCall, FindNodeCall, PingCall
from devp2p_tx.core.discv4.replies import CLOCK_CHECK_INTERVAL, SUSPICIOUS_TIMEOUTS, AwaitedReplies

NODE, OTHER = b"\1" * 32, b"\2" * 32
IP, ELSEWHERE = ip_address("99.1.1.1"), ip_address("99.1.1.2")
HASH = b"\7" * 32


class CandidateTests(SynchronousTestCase):
    """Whom an answer may be for."""

    def setUp(self) -> None:
        """Nothing is awaited."""
        self.replies = AwaitedReplies()
        self.ping = PingCall(NODE, IP, 1)

    def test_echo(self) -> None:
        """Hash, address and kind must fit."""
        self.replies.expect(self.ping, HASH, 0.0)
        self.assertEqual(self.replies.candidates(HASH, IP, PingCall), [self.ping])
        self.assertEqual(self.replies.candidates(HASH, ELSEWHERE, PingCall), [])
        self.assertEqual(self.replies.candidates(HASH, IP, EnrCall), [])
        self.assertEqual(self.replies.candidates(b"", IP, PingCall), [])

    def test_same_hash(self) -> None:
        """Packets of one second may be the same for several calls."""
        calls = [EnrCall(NODE, IP, 1, None), EnrCall(OTHER, IP, 2, None), EnrCall(OTHER, ELSEWHERE, 2, None)]
        for call in calls:
            self.replies.expect(call, HASH, 0.0)
        self.assertEqual(self.replies.candidates(HASH, IP, EnrCall), calls[:2])
        self.replies.forget(calls[0])
        self.assertEqual(self.replies.candidates(HASH, IP, EnrCall), calls[1:2])

    def test_forget(self) -> None:
        """Nothing is left of a call, nor of one that never waited."""
        find = FindNodeCall(NODE, IP, 1, bytes(64))
        self.replies.expect(self.ping, HASH, 0.0)
        self.replies.expect(find, b"", 0.0)
        for call in (self.ping, find, PingCall(OTHER, IP, 1)):
            self.replies.forget(call)
            self.assertIsNone(call.deadline)
        self.assertIsNone(self.replies.next_deadline())
        self.assertEqual((self.replies._expected, len(self.replies._timeline)), ({}, 0))


class TimeTests(SynchronousTestCase):
    """Deadlines."""

    def setUp(self) -> None:
        """Two calls, a tenth of a second apart."""
        self.replies = AwaitedReplies()
        self.first, self.second = PingCall(NODE, IP, 1), PingCall(OTHER, IP, 1)
        self.replies.wait(self.first, 10.0)
        self.replies.wait(self.second, 10.1)

    def test_due(self) -> None:
        """At the deadline, not before."""
        self.assertEqual(self.replies.next_deadline(), 10.5)
        self.assertEqual(list(self.replies.take_due(10.4)), [])
        self.assertEqual(list(self.replies.take_due(10.5)), [self.first])
        self.assertIsNone(self.first.deadline)
        self.assertEqual(self.replies.next_deadline(), 10.6)
        self.assertEqual(list(self.replies.take_due(11.0)), [self.second])
        self.assertIsNone(self.replies.next_deadline())

    def test_answered(self) -> None:
        """Who was answered is not due."""
        self.replies.forget(self.first)
        self.assertEqual(self.replies.next_deadline(), 10.6)
        self.assertEqual(list(self.replies.take_due(11.0)), [self.second])

    def test_waiting_again(self) -> None:
        """A call that waits anew is due once, at its new time."""
        self.replies.forget(self.first)
        self.replies.wait(self.first, 10.2)
        self.assertEqual(list(self.replies.take_due(10.65)), [self.second])
        self.assertEqual(list(self.replies.take_due(10.7)), [self.first])

    def test_clock_set_back(self) -> None:
        """Deadlines twice as far away as they can be are taken, and known by their being there."""
        self.assertEqual(list(self.replies.take_due(9.6)), [])
        self.assertEqual(list(self.replies.take_due(9.5)), [self.first, self.second])
        self.assertEqual(self.first.deadline, 10.5)

    def test_begun_while_taking(self) -> None:
        """A call that begins meanwhile waits its time."""
        third = PingCall(NODE, IP, 1)
        for _ in self.replies.take_due(10.6):
            self.replies.wait(third, 10.6)
        self.assertEqual(self.replies.next_deadline(), 11.1)


class ClockTests(SynchronousTestCase):
    """When our clock is suspected."""

    def setUp(self) -> None:
        """No call yet."""
        self.replies = AwaitedReplies()

    def timeouts(self, count: int) -> None:
        """So many calls in a row time out."""
        for _ in range(count):
            self.replies.note_timeout()

    def test_threshold(self) -> None:
        """More than 32 in a row."""
        self.timeouts(SUSPICIOUS_TIMEOUTS)
        self.assertFalse(self.replies.is_clock_suspect(0.0))
        self.timeouts(1)
        self.assertTrue(self.replies.is_clock_suspect(0.0))
        self.assertFalse(self.replies.is_clock_suspect(0.0))

    def test_reply(self) -> None:
        """Any reply begins the count anew."""
        self.timeouts(SUSPICIOUS_TIMEOUTS)
        self.replies.note_reply()
        self.timeouts(SUSPICIOUS_TIMEOUTS)
        self.assertFalse(self.replies.is_clock_suspect(0.0))

    def test_pause(self) -> None:
        """Ten minutes between two checks."""
        for now, suspect in ((0.0, True), (CLOCK_CHECK_INTERVAL - 1, False), (CLOCK_CHECK_INTERVAL, True)):
            self.timeouts(SUSPICIOUS_TIMEOUTS + 1)
            self.assertEqual(self.replies.is_clock_suspect(now), suspect)
