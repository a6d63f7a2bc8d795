"""Tests for L{devp2p_tx.core.dialing.fairmix}; the cases follow go-ethereum C{p2p/enode/iter_test.go}."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.dialing.fairmix import TURN_TIMEOUT, FairMix, Taken, WaitUntil


def new_mix(*sources: str, timeout: float | None = TURN_TIMEOUT) -> FairMix[str, int]:
    """A mix of sources."""
    mix: FairMix[str, int] = FairMix(timeout)
    for source in sources:
        mix.add_source(source)
    return mix


def take(mix: FairMix[str, int], now: float = 0.0) -> str | None:
    """The source of the next item, C{None} if there is none."""
    step = mix.next(now)
    return step.source if isinstance(step, Taken) else None


class FairMixTests(SynchronousTestCase):
    """Who is taken from, and when."""

    def test_empty(self) -> None:
        """Without sources nothing comes, nor will."""
        self.assertEqual(new_mix().next(0.0), WaitUntil(None))

    def test_turns(self) -> None:
        """Sources that all have something take turns."""
        mix = new_mix("a", "b", "c")
        order = []
        for item in range(9):
            for source in mix.sources:
                mix.offer(source, item)
            order.append(take(mix))
        self.assertEqual(order, ["a", "b", "c"] * 3)

    def test_item(self) -> None:
        """The item comes with its source."""
        mix = new_mix("a")
        mix.offer("a", 7)
        self.assertEqual(mix.next(0.0), Taken("a", 7))

    def test_oneEach(self) -> None:
        """A source has one item ready at most."""
        mix = new_mix("a")
        self.assertTrue(mix.wants("a"))
        self.assertTrue(mix.offer("a", 1))
        self.assertFalse(mix.wants("a"))
        self.assertFalse(mix.offer("a", 2))
        self.assertEqual(mix.next(0.0), Taken("a", 1))
        self.assertTrue(mix.wants("a"))

    def test_foreign(self) -> None:
        """What takes no part is not heard."""
        mix = new_mix("a")
        self.assertFalse(mix.wants("b"))
        self.assertFalse(mix.offer("b", 1))

    def test_waitsForTurn(self) -> None:
        """While its time runs a source is waited for, though another has something."""
        mix = new_mix("slow", "fast")
        mix.offer("fast", 1)
        self.assertEqual(mix.next(5.0), WaitUntil(5.0 + TURN_TIMEOUT))
        mix.offer("slow", 2)
        self.assertEqual(mix.next(5.05), Taken("slow", 2))

    def test_missesTurn(self) -> None:
        """After that another is taken."""
        mix = new_mix("slow", "fast")
        mix.offer("fast", 1)
        mix.next(5.0)
        self.assertEqual(mix.next(5.0 + TURN_TIMEOUT), Taken("fast", 1))

    def test_halved(self) -> None:
        """Who misses its turn has half the time at the next one; who delivers in time has all of it again."""
        mix = new_mix("slow", "fast")
        waits = []
        now = 0.0
        for _ in range(3):
            mix.offer("fast", 1)
            step = mix.next(now)
            assert isinstance(step, WaitUntil) and step.time is not None
            waits.append(step.time - now)
            now = step.time
            self.assertEqual(take(mix, now), "fast")
            mix.offer("fast", 1)
            self.assertEqual(take(mix, now), "fast")
        mix.offer("slow", 1)
        self.assertEqual(take(mix, now), "slow")
        mix.offer("fast", 1)
        self.assertEqual(take(mix, now), "fast")
        self.assertEqual(mix.next(100.0), WaitUntil(100.0 + TURN_TIMEOUT))
        self.assertEqual([round(wait / TURN_TIMEOUT, 6) for wait in waits], [1.0, 0.5, 0.25])

    def test_lateOwnItem(self) -> None:
        """Who delivers after its time is taken like the others, and still has half the time."""
        mix = new_mix("slow")
        mix.next(0.0)
        self.assertEqual(mix.next(1.0), WaitUntil(None))
        mix.offer("slow", 1)
        self.assertEqual(take(mix, 2.0), "slow")
        self.assertEqual(mix.next(3.0), WaitUntil(3.0 + TURN_TIMEOUT / 2))

    def test_firstCome(self) -> None:
        """When a turn is missed, the one who delivered first is taken."""
        mix = new_mix("slow", "b", "c")
        mix.offer("c", 1)
        mix.offer("b", 1)
        mix.next(0.0)
        self.assertEqual(take(mix, 1.0), "c")

    def test_timeRunsFromAsking(self) -> None:
        """While nobody asks, no time runs."""
        mix = new_mix("a")
        self.assertEqual(mix.next(1000.0), WaitUntil(1000.0 + TURN_TIMEOUT))

    def test_deliveredWhileNobodyAsked(self) -> None:
        """An item that came while nobody asked is in time, whenever it is taken."""
        mix = new_mix("a", "b")
        mix.next(0.0)
        mix.offer("b", 1)
        mix.offer("a", 1)
        self.assertEqual(take(mix, 1000.0), "a")

    def test_noTimeout(self) -> None:
        """A mix without a timeout is fair at any price."""
        mix = new_mix("slow", "fast", timeout=None)
        mix.offer("fast", 1)
        self.assertEqual(mix.next(0.0), WaitUntil(None))
        self.assertEqual(mix.next(1e9), WaitUntil(None))

    def test_zeroTimeout(self) -> None:
        """One with no time at all takes whatever there is."""
        mix = new_mix("slow", "fast", timeout=0.0)
        for _ in range(3):
            mix.offer("fast", 1)
            self.assertEqual(take(mix), "fast")

    def test_removedAtItsTurn(self) -> None:
        """When a source ends at its turn, the next one has it."""
        mix = new_mix("a", "b")
        mix.offer("b", 1)
        mix.next(0.0)
        mix.remove_source("a")
        self.assertEqual(take(mix, 0.0), "b")

    def test_removedItem(self) -> None:
        """What a source that ended has delivered is dropped."""
        mix = new_mix("a", "b")
        mix.offer("a", 1)
        mix.remove_source("a")
        mix.remove_source("a")
        self.assertIsNone(take(mix, 0.0))

    def test_addedTwice(self) -> None:
        """Adding a source again changes nothing."""
        mix = new_mix("a", "a", "b")
        self.assertEqual(mix.sources, ["a", "b"])

    @given(st.lists(st.sets(st.sampled_from("abc")), min_size=30, max_size=200))
    def test_fair(self, deliveries: list[set[str]]) -> None:
        """Whatever the sources do, nothing is lost or made up, and each that always delivers has its share."""
        mix = new_mix("a", "b", "c", "steady")
        offered, taken = Counter[str](), Counter[str]()
        for now, delivered in enumerate(deliveries):
            for source in [*delivered, "steady"]:
                offered[source] += mix.offer(source, 0)
            source_taken = take(mix, float(now)) or take(mix, now + 0.5)
            assert source_taken is not None
            taken[source_taken] += 1
        self.assertGreaterEqual(taken["steady"], len(deliveries) // 4)
        self.assertTrue(all(offered[source] - taken[source] in (0, 1) for source in offered))
