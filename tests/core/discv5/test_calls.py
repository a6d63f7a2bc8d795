"""
Tests for L{devp2p_tx.core.discv5.calls}.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.discv5.calls import LATE_CHALLENGE, MAX_UNANSWERED, RESPONSE_TIMEOUT, Calls, lookup_distances
from devp2p_tx.core.discv5.events import Contact, PingCall

IP = ip_address("99.1.1.1")
FIRST, SECOND = b"\1" * 32, b"\2" * 32


def make_call(node_id: bytes = FIRST) -> PingCall:
    """A call."""
    return PingCall(Contact(node_id, IP, 30303), IP, b"id", b"message")


class CallsTests(SynchronousTestCase):
    """Calls in their order."""

    def setUp(self) -> None:
        self.calls = Calls()

    def test_one_for_each_node(self) -> None:
        """The second one waits for the first, another node's does not."""
        first, second, third, other = make_call(), make_call(), make_call(), make_call(SECOND)
        self.assertEqual([self.calls.add(call) for call in (first, second, third, other)], [True, False, False, True])
        self.assertIs(self.calls.active(FIRST), first)
        self.assertIs(self.calls.end(first), second)
        self.assertIs(self.calls.active(FIRST), second)
        self.assertIs(self.calls.end(second), third)
        self.assertIsNone(self.calls.end(third))
        self.assertIsNone(self.calls.active(FIRST))
        self.assertIsNone(self.calls.end(third))
        self.assertIs(self.calls.active(SECOND), other)

    def test_end_of_a_queued_call(self) -> None:
        """It leaves the queue, and the active one stays."""
        first, second, third = make_call(), make_call(), make_call()
        for call in (first, second, third):
            self.calls.add(call)
        self.assertIsNone(self.calls.end(second))
        self.assertIs(self.calls.active(FIRST), first)
        self.assertIs(self.calls.end(first), third)

    def test_nonces(self) -> None:
        """A call is known by its last packet."""
        call = make_call()
        self.calls.add(call)
        self.calls.sent(call, b"first", 0.0)
        self.calls.sent(call, b"second", 0.0)
        self.assertIsNone(self.calls.of_nonce(b"first", 0.0))
        self.assertIs(self.calls.of_nonce(b"second", 0.0), call)
        self.calls.end(call)
        self.assertIsNone(self.calls.of_nonce(b"second", 0.0))

    def late(self, now: float, challenged: bytes = b"", port: int = 30303) -> PingCall | None:
        """A call ends without an answer, and then another one is active: that which a late challenge is for."""
        self.setUp()
        first = make_call()
        self.calls.add(first)
        self.calls.sent(first, b"handshake" if challenged else b"first", 0.0)
        first.challenged = challenged
        self.calls.note_unanswered(first, 0.7)
        self.calls.end(first)
        self.assertIsNone(self.calls.of_nonce(b"other", now))
        following = make_call()
        following.port = port
        self.calls.add(following)
        self.calls.sent(following, b"following", 0.7)
        found = self.calls.of_nonce(b"first", now)
        self.assertIn(found, (None, following))
        self.assertIsNone(self.calls.of_nonce(b"first", now))
        return following if found is following else None

    def test_late_challenges(self) -> None:
        """They are for the next call to the same node at the same endpoint; once, and not for ever."""
        self.assertIsNotNone(self.late(0.8))
        self.assertIsNotNone(self.late(0.6 + LATE_CHALLENGE))
        self.assertIsNone(self.late(0.7 + LATE_CHALLENGE))
        self.assertIsNotNone(self.late(0.8, challenged=b"first"))  # its handshake may have got lost
        self.assertIsNone(self.late(0.8, challenged=b"another"))
        self.assertIsNone(self.late(0.8, port=1))

    def test_bound_of_late_challenges(self) -> None:
        """The oldest is forgotten first."""
        for number in range(MAX_UNANSWERED + 1):
            call = make_call()
            call.nonce = number.to_bytes(12, "big")
            self.calls.note_unanswered(call, 0.0)
        self.calls.add(make_call())
        self.assertIsNone(self.calls.of_nonce(bytes(12), 0.0))
        self.assertIsNotNone(self.calls.of_nonce(bytes(11) + b"\1", 0.0))

    def test_deadlines(self) -> None:
        """Each wait begins anew; who waits no longer is not due."""
        first, other = make_call(), make_call(SECOND)
        for call, now in ((first, 0.0), (other, 0.1)):
            self.calls.add(call)
            self.calls.sent(call, call.node_id, now)
        self.assertEqual(self.calls.next_deadline(), RESPONSE_TIMEOUT)
        self.calls.wait(first, 0.2)
        self.assertEqual(self.calls.next_deadline(), 0.1 + RESPONSE_TIMEOUT)
        self.assertEqual(list(self.calls.take_due(0.75)), [])
        self.assertEqual(list(self.calls.take_due(0.85)), [other])
        self.calls.end(first)
        self.assertIsNone(self.calls.next_deadline())


class LookupDistancesTests(SynchronousTestCase):
    """Where a node looks."""

    def distances(self, distance: int) -> tuple[int, ...]:
        """What is asked of a node at that distance from the target."""
        apart = (1 << distance >> 1).to_bytes(32, "big")
        return lookup_distances(bytes(32), apart)

    def test_middle(self) -> None:
        """At the target's distance, and then on both sides of it."""
        self.assertEqual(self.distances(200), (200, 201, 199))

    def test_ends(self) -> None:
        """There is nothing beyond 256 and, but for the node itself, below 1 (as in go-ethereum)."""
        self.assertEqual(self.distances(256), (256, 255, 254))
        self.assertEqual(self.distances(255), (255, 256, 254))
        self.assertEqual(self.distances(1), (1, 2, 3))
        self.assertEqual(self.distances(0), (0, 1, 2))
