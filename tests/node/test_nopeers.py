"""
Tests for L{devp2p_tx.node.nopeers}: when a node without peers says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.node.nopeers import NO_PEERS_AFTER, NO_PEERS_INTERVAL, SETTLED, NoPeersNotice


@dataclass
class Stub:
    """A peer."""

    created: float


class NoticeTests(SynchronousTestCase):
    """L{NoPeersNotice}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.peers: dict[int, Stub] = {}
        self.lines: list[tuple[float, str]] = []
        self.tried: str | None = "everything"
        self.notice = NoPeersNotice(self.clock, self.clock.seconds, self.peers.values(), lambda: self.tried)
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: LogEvent) -> None:
        self.lines.append((self.clock.seconds(), formatEvent(event)))

    def add(self, number: int = 1) -> None:
        """A peer comes."""
        self.peers[number] = Stub(self.clock.seconds())
        self.notice.changed()

    def drop(self, number: int = 1) -> None:
        """A peer leaves."""
        del self.peers[number]
        self.notice.changed()

    def advance(self, seconds: float) -> None:
        """Let time pass, in small steps."""
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)

    def test_constants(self) -> None:
        """As the documentation has them."""
        self.assertEqual((NO_PEERS_AFTER, NO_PEERS_INTERVAL, SETTLED), (30, 300, 10))

    def test_none_at_all(self) -> None:
        """After 30 seconds, and then every five minutes."""
        self.notice.start()
        self.advance(700)
        self.assertEqual(
            self.lines,
            [
                (30.0, "no peer for 30 s; tried so far: everything"),
                (330.0, "no peer for 330 s; tried so far: everything"),
                (630.0, "no peer for 630 s; tried so far: everything"),
            ],
        )

    def test_settled(self) -> None:
        """A peer that stays ends it, which is said if the start was; nothing is left to wait for."""
        self.notice.start()
        self.advance(29)
        self.add()
        self.advance(300)
        self.assertEqual((self.lines, self.clock.getDelayedCalls()), ([], []))
        self.drop()
        self.advance(40)
        self.add()
        self.advance(300)
        self.assertEqual(
            self.lines,
            [
                (359.0, "no peer for 30 s; tried so far: everything"),
                (379.0, "there are peers again after 50 s: peers=1"),
            ],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_peers_that_leave_at_once(self) -> None:
        """They do not put the warning off."""
        self.notice.start()
        for _ in range(200):
            self.add()
            self.advance(5)
            self.drop()
        self.assertEqual([at for at, _ in self.lines], [30, 330, 630, 930])

    def test_overlapping(self) -> None:
        """Where there is always some peer, and none that stays, it waits for the next of them to settle, once."""
        self.notice.start()
        self.add(0)
        for number in range(1, 100):
            self.advance(2)
            self.add(number)
            self.advance(2)
            self.drop(number - 1)
        self.assertEqual([at for at, _ in self.lines], [40, 350])

    def test_last_that_settled_leaves(self) -> None:
        """The time counts from there, whatever young peers there are."""
        self.notice.start()
        self.add(1)
        self.advance(60)
        self.add(2)
        self.advance(5)
        self.drop(1)
        self.advance(1)
        self.drop(2)
        self.advance(28)
        self.assertEqual(self.lines, [])
        self.advance(1)
        self.assertEqual(self.lines, [(95.0, "no peer for 30 s; tried so far: everything")])

    def test_nothing_tried(self) -> None:
        """As the user wants it, so there is nothing to say, neither at the end."""
        self.tried = None
        self.notice.start()
        self.advance(1000)
        self.add()
        self.advance(20)
        self.assertEqual(self.lines, [])

    def test_peers_before_the_start(self) -> None:
        """A peer that is there when the node has opened its last listener counts."""
        self.add()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.advance(20)
        self.notice.start()
        self.advance(100)
        self.assertEqual(self.lines, [])

    def test_stopped(self) -> None:
        """Nothing is logged or waited for, whatever is told afterwards."""
        self.notice.start()
        self.notice.stop()
        self.notice.start()
        self.add()
        self.drop()
        self.advance(100)
        self.assertEqual((self.lines, self.clock.getDelayedCalls()), ([], []))
