"""
Tests for L{devp2p_tx.node.sources}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr import entries
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import Record
from devp2p_tx.core.forkid import HOODI, MAINNET, ForkFilter, ForkID
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import ServerStopped, Timeout
from devp2p_tx.node.forks import ForkTally
from devp2p_tx.node.sources import (
    DELIVERS_FOR,
    MAX_FILTERED,
    Candidate,
    Candidates,
    FilteredSource,
    ListSource,
    SourceEnded,
    forkFilter,
)
from tests.node.support import node


class Given:
    """A source that gives what the test gives it."""

    def __init__(self, name: str = "given") -> None:
        self.name = name
        self.asked: list[Deferred[Node]] = []
        self.stopped = 0

    def next(self) -> Deferred[Node]:
        assert not self.waits, "only one call waits at a time"
        asked: Deferred[Node] = Deferred()
        self.asked.append(asked)
        return asked

    @property
    def waits(self) -> bool:
        """Whether somebody waits for a node."""
        return bool(self.asked) and not self.asked[-1].called

    def give(self, *numbers: int) -> None:
        """Give these nodes to whoever asks, one after the other."""
        for number in numbers:
            self.asked[-1].callback(node(number))

    def end(self, error: Exception) -> None:
        """There are no more."""
        self.asked[-1].errback(error)

    def stop(self) -> None:
        self.stopped += 1


class Endless:
    """A source that gives the same nodes at once, for ever."""

    def __init__(self, name: str, *numbers: int) -> None:
        self.name = name
        self.given = 0
        self._numbers = numbers

    def next(self) -> Deferred[Node]:
        asked: Deferred[Node] = Deferred()
        self.given += 1
        asked.callback(node(self._numbers[(self.given - 1) % len(self._numbers)]))
        return asked

    def stop(self) -> None:
        """It needs nothing."""


class ListSourceTests(SynchronousTestCase):
    """L{ListSource}."""

    def test_in_order(self) -> None:
        """Each node once; then it fails."""
        source = ListSource("seeds", [node(1), node(2)])
        self.assertEqual(source.name, "seeds")
        self.assertEqual([self.successResultOf(source.next()) for _ in range(2)], [node(1), node(2)])
        for _ in range(2):
            self.failureResultOf(source.next(), SourceEnded)

    def test_stopped(self) -> None:
        """After that it gives nothing."""
        source = ListSource("seeds", [node(1)])
        source.stop()
        self.failureResultOf(source.next(), SourceEnded)


class FilteredSourceTests(SynchronousTestCase):
    """L{FilteredSource}; only nodes with an even TCP port pass."""

    def setUp(self) -> None:
        self.source = Given()
        self.fetching: dict[int, Deferred[Node]] = {}
        self.filtered = FilteredSource(self.source, self.fetch, lambda node: node.tcp % 2 == 0)

    def fetch(self, asked: Node) -> Deferred[Node]:
        """The nodes of tests are told by the last byte of their addresses."""
        assert asked.ip is not None
        fetching = self.fetching[asked.ip.packed[-1]] = Deferred()
        return fetching

    def fetched(self, number: int, tcp: int) -> Node:
        """The record of a node came."""
        newest = node(number, tcp=tcp)
        self.fetching.pop(number).callback(newest)
        return newest

    def test_passes(self) -> None:
        """It gives what was fetched, not what the source had."""
        self.assertEqual(self.filtered.name, "given")
        asked = self.filtered.next()
        self.source.give(1)
        self.assertNoResult(asked)
        self.assertEqual(self.fetched(1, 4), self.successResultOf(asked))

    def test_does_not_pass(self) -> None:
        """Whatever does not pass, or does not answer, is left out."""
        asked = self.filtered.next()
        self.source.give(1, 2, 3)
        self.fetched(1, 3)
        self.fetching.pop(2).errback(Timeout("no answer"))
        self.assertNoResult(asked)
        self.assertEqual(self.fetched(3, 8), self.successResultOf(asked))

    def test_mistakes_are_logged(self) -> None:
        """An error that is no node's doing is told, and the line goes on."""
        asked = self.filtered.next()
        self.source.give(1, 2, 3)
        self.fetching.pop(1).errback(ZeroDivisionError("in fetching"))
        self.patch(self.filtered, "_passes", lambda node: 1 // (node.tcp - 3))
        self.fetched(2, 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(self.fetched(3, 4), self.successResultOf(asked))

    def test_nothing_unless_asked(self) -> None:
        """The source is asked only when somebody wants a node, and not further when he has got one."""
        self.assertEqual(self.source.asked, [])
        self.filtered.next()
        self.source.give(1)
        self.assertTrue(self.source.waits)
        self.fetched(1, 2)
        self.source.give(2)
        self.assertEqual((len(self.source.asked), self.source.waits), (2, False))

    def test_bound(self) -> None:
        """Up to sixteen nodes are asked at once; when one of them is done, the next."""
        self.filtered.next()
        self.source.give(*range(1, MAX_FILTERED + 1))
        self.assertEqual((len(self.fetching), self.source.waits, MAX_FILTERED), (16, False, 16))
        self.fetched(5, 1)
        self.assertTrue(self.source.waits)
        self.source.give(17)
        self.assertEqual((len(self.fetching), self.source.waits), (16, False))

    def test_more_than_one_passes(self) -> None:
        """Those that answer later are kept for the next ones who ask; the source is not asked for them."""
        first = self.filtered.next()
        self.source.give(1, 2, 3)
        nodes = [self.fetched(number, 2 * number) for number in (2, 1, 3)]
        self.assertEqual(self.successResultOf(first), nodes[0])
        asked = len(self.source.asked)
        self.assertEqual([self.successResultOf(self.filtered.next()) for _ in range(2)], nodes[1:])
        self.assertEqual(len(self.source.asked), asked)

    def test_many_at_once(self) -> None:
        """A source that has everything ready, of which nothing passes, does not use up the stack."""
        nodes = [node(1, tcp=2 * number + 1) for number in range(5000)]
        source = FilteredSource(ListSource("many", nodes), self.immediately, lambda node: node.tcp % 2 == 0)
        self.failureResultOf(source.next(), SourceEnded)

    def immediately(self, asked: Node) -> Deferred[Node]:
        fetched: Deferred[Node] = Deferred()
        fetched.callback(asked)
        return fetched

    def test_cancelled(self) -> None:
        """Who waits no longer is not in the way of the next."""
        first = self.filtered.next()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second = self.filtered.next()
        self.source.give(1)
        self.assertEqual(self.fetched(1, 2), self.successResultOf(second))

    def test_source_ends(self) -> None:
        """When the source has ended, what was found before is still given; then it ends, too."""
        first = self.filtered.next()
        self.source.give(1, 2)
        self.source.end(SourceEnded("no more"))
        self.assertNoResult(first)
        self.assertEqual(self.fetched(1, 2), self.successResultOf(first))
        second = self.filtered.next()
        self.assertNoResult(second)
        self.fetched(2, 3)
        self.failureResultOf(second, SourceEnded)
        self.failureResultOf(self.filtered.next(), SourceEnded)

    def test_stopped(self) -> None:
        """Whoever waits is told, nothing is fetched any more, and the source is stopped and left alone."""
        asked = self.filtered.next()
        self.source.give(1, 2)
        fetching, questions = list(self.fetching.values()), len(self.source.asked)
        self.filtered.stop()
        self.failureResultOf(asked, ServerStopped)
        self.assertTrue(all(each.called for each in fetching))
        self.failureResultOf(self.filtered.next(), ServerStopped)
        self.assertEqual((self.source.stopped, len(self.source.asked)), (1, questions))


class ForkFilterTests(SynchronousTestCase):
    """L{forkFilter}."""

    def passes(self, fork: ForkID | None) -> bool:
        """Whether a node with this fork id passes the filter of mainnet."""
        items = {} if fork is None else {b"eth": [fork.to_item()]}
        return forkFilter(ForkFilter(MAINNET), ForkTally(MAINNET, Metrics()))(
            Node.from_record(Record.sign(PrivateKey(b"\1" * 32), 1, items))
        )

    def test_our_chain(self) -> None:
        """Nodes of our chain pass, how far they have come being of no interest."""
        for head, time in ((0, 0), (13_000_000, 0), (20_000_000, 1_700_000_000), (25_000_000, 1_800_000_000)):
            self.assertTrue(self.passes(MAINNET.fork_id(head, time)), (head, time))

    def test_others(self) -> None:
        """Those of other chains do not, nor any who do not say, or cannot be read."""
        self.assertFalse(self.passes(HOODI.fork_id(1, 1_800_000_000)))
        self.assertFalse(self.passes(ForkID(b"\1\2\3\4", 0)))
        self.assertFalse(self.passes(None))
        self.assertFalse(forkFilter(ForkFilter(MAINNET), ForkTally(MAINNET, Metrics()))(node(1)))
        garbage = Record.sign(PrivateKey(b"\1" * 32), 1, {b"eth": b"garbage"})
        self.assertIsNone(garbage.get(entries.ETH))
        self.assertFalse(forkFilter(ForkFilter(MAINNET), ForkTally(MAINNET, Metrics()))(Node.from_record(garbage)))


class CandidatesTestCase(SynchronousTestCase):
    """Candidates of two sources, for four slots."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.one, self.other = Given("one"), Given("other")

    def make(self, *sources: Given | Endless | ListSource, anchors: Sequence[int] = (), slots: int = 4) -> Candidates:
        """The line of these sources."""
        return Candidates(
            [node(number) for number in anchors], sources, self.clock, self.clock.seconds, self.metrics, slots
        )

    def take(self, candidates: Candidates, count: int = 1) -> list[tuple[str, int]]:
        """The next candidates, which are there: source and number."""
        taken = [self.successResultOf(candidates.next()) for _ in range(count)]
        return [(each.source, each.node.ip.packed[-1]) for each in taken if each.node.ip is not None]

    def counts(self, what: str) -> dict[str, int]:
        """A counter, by source."""
        return {labels[0][1]: value for name, labels, value in self.metrics if name == f"candidates_{what}"}


class LineTests(CandidatesTestCase):
    """In which order candidates come."""

    def test_anchors_first(self) -> None:
        """Before the sources are asked at all."""
        candidates = self.make(self.one, anchors=[7, 8])
        self.assertEqual(self.take(candidates, 2), [("anchors", 7), ("anchors", 8)])
        self.assertEqual(self.one.asked, [])
        asked = candidates.next()
        self.one.give(1)
        self.assertEqual(self.successResultOf(asked), Candidate(node(1), "one"))

    def test_in_turn(self) -> None:
        """Of sources that all have something, each has its turn; none is asked for more than was taken."""
        one, other = Endless("one", 1), Endless("other", 2)
        taken = self.take(self.make(one, other), 10)
        self.assertEqual(Counter(name for name, _ in taken), {"one": 5, "other": 5})
        self.assertLessEqual(max(one.given, other.given), 6)

    def test_the_fast_one_waits_a_little(self) -> None:
        """A source that has its turn is waited for, but not long; then whoever delivers is taken."""
        candidates = self.make(self.one, Endless("other", 2))
        asked = candidates.next()
        self.clock.advance(0.09)
        self.assertNoResult(asked)
        self.clock.advance(0.02)
        self.assertEqual(self.successResultOf(asked).source, "other")

    def test_a_slow_one_comes_in(self) -> None:
        """What a slow source has brought meanwhile is taken at its next turn."""
        candidates = self.make(self.one, Endless("other", 2))
        asked = candidates.next()
        self.clock.advance(0.1)
        self.successResultOf(asked)
        self.one.give(1)
        self.assertIn(("one", 1), self.take(candidates, 2))

    def test_nothing_unless_asked(self) -> None:
        """No source is asked before somebody wants a candidate, nor when nobody wants another."""
        candidates = self.make(self.one, self.other)
        self.assertEqual((self.one.asked, self.other.asked), ([], []))
        asked = candidates.next()
        self.one.give(1)
        self.successResultOf(asked)
        self.other.give(2)
        self.assertEqual((len(self.one.asked), len(self.other.asked)), (1, 1))

    def test_nobody_has_anything(self) -> None:
        """Then nothing is done until somebody has: the clock is not kept busy."""
        asked = self.make(self.one, self.other).next()
        self.clock.pump([0.05] * 100)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.other.give(2)
        self.assertEqual(self.successResultOf(asked), Candidate(node(2), "other"))

    def test_a_source_ends(self) -> None:
        """It is not asked again, and nobody waits for it."""
        candidates = self.make(ListSource("seeds", [node(5)]), Endless("other", 2))
        taken = self.take(candidates, 6)
        self.assertEqual(Counter(taken), {("seeds", 5): 1, ("other", 2): 5})

    def test_a_source_ends_while_it_is_waited_for(self) -> None:
        """The others have their turn soon."""
        asked = self.make(self.one, Endless("other", 2)).next()
        self.one.end(SourceEnded("no more"))
        self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(asked).source, "other")
        self.assertEqual(len(self.one.asked), 1)

    def test_a_source_fails(self) -> None:
        """That is logged, which an ordinary end is not."""
        candidates = self.make(self.one, Endless("other", 2))
        candidates.next()
        self.one.end(ZeroDivisionError("a bug"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(0.1)
        self.assertEqual(self.take(candidates, 3), [("other", 2)] * 3)

    def test_all_have_ended(self) -> None:
        """Then who asks waits, without a sound."""
        asked = self.make(ListSource("seeds", []), ListSource("more", [])).next()
        self.clock.pump([0.05] * 10)
        self.assertNoResult(asked)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_at_a_time(self) -> None:
        """Who asks while another waits is told that it is wrong; when that one is cancelled it is not."""
        candidates = self.make(self.one)
        asked = candidates.next()
        self.assertRaises(RuntimeError, candidates.next)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        second = candidates.next()
        self.one.give(1)
        self.assertEqual(self.successResultOf(second).node, node(1))

    def test_stopped(self) -> None:
        """Every source is stopped, and none is asked again, whatever still comes; nothing is left of it."""
        candidates = self.make(self.one, self.other)
        asked = candidates.next()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        candidates.stop()
        self.one.give(1)
        self.assertEqual([(each.stopped, len(each.asked)) for each in (self.one, self.other)], [(1, 1)] * 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class CrowdingTests(CandidatesTestCase):
    """No source takes all slots while another delivers."""

    def hold(self, candidates: Candidates, source: str, *numbers: int) -> list[bool]:
        """Dial nodes of a source, as far as that is right; which of them were."""
        dialed = []
        for number in numbers:
            candidate = Candidate(node(number), source)
            dialed.append(not candidates.crowds(candidate))
            if dialed[-1]:
                candidates.dialed(candidate)
        return dialed

    def test_all_but_one(self) -> None:
        """When another delivers, a source gets all slots but one, dials under way included."""
        candidates = self.make(self.one, self.other)
        self.assertEqual(self.hold(candidates, "other", 1), [True])
        self.assertEqual(self.hold(candidates, "one", 2, 3, 4, 5, 6), [True, True, True, False, False])
        self.assertEqual(self.hold(candidates, "other", 7, 8, 9), [True, True, False])

    def test_alone(self) -> None:
        """If nobody else delivers it may have them all."""
        candidates = self.make(self.one, self.other)
        self.assertEqual(self.hold(candidates, "one", 1, 2, 3, 4, 5), [True] * 5)

    def test_found_is_not_enough(self) -> None:
        """Who has only nodes that cannot be dialled does not deliver."""
        candidates = self.make(ListSource("one", []), Endless("other", 9))
        self.take(candidates, 3)
        self.assertEqual(self.hold(candidates, "one", 1, 2, 3, 4), [True] * 4)

    def test_who_delivered_once(self) -> None:
        """A source that has dried up keeps no slot free for ever, and anchors, which are few, do not either."""
        candidates = self.make(self.one, self.other, anchors=[8])
        self.hold(candidates, "anchors", 8)
        self.hold(candidates, "other", 9)
        self.assertEqual(self.hold(candidates, "one", 1, 2, 3, 4), [True, True, True, False])
        self.clock.advance(DELIVERS_FOR - 1)
        self.assertEqual(self.hold(candidates, "one", 4), [False])
        self.clock.advance(1)
        self.assertEqual(self.hold(candidates, "one", 4), [True])

    def test_places_become_free(self) -> None:
        """A peer that leaves, or a dial that fails, makes room for another of the same source."""
        candidates = self.make(self.one, self.other)
        self.hold(candidates, "other", 9)
        self.hold(candidates, "one", 1, 2, 3)
        self.assertEqual(self.hold(candidates, "one", 4), [False])
        candidates.dropped(Candidate(node(2), "one"))
        self.assertEqual(self.hold(candidates, "one", 4, 5), [True, False])

    def test_one_slot(self) -> None:
        """A single slot is for whoever comes first."""
        candidates = self.make(self.one, self.other, slots=1)
        self.assertEqual(self.hold(candidates, "other", 9), [True])
        self.assertEqual(self.hold(candidates, "one", 1, 2), [True, False])


class CounterTests(CandidatesTestCase):
    """What is counted of each source."""

    def test_counters(self) -> None:
        """How many nodes were found, dialled, connected and useful."""
        candidates = self.make(Endless("one", 1), ListSource("other", [node(2)]), anchors=[7])
        found = [self.successResultOf(candidates.next()) for _ in range(6)]
        self.assertEqual(self.counts("found"), {"anchors": 1, "one": 4, "other": 1})
        reports: list[Callable[[Candidate], None]] = [candidates.dialed, candidates.connected, candidates.useful]
        for number, report in enumerate(reports):
            for candidate in found[number:]:
                report(candidate)
            candidates.dropped(found[0])
        self.assertEqual(self.counts("dialed"), {"anchors": 1, "one": 4, "other": 1})
        self.assertEqual(self.counts("connected"), {"one": 4, "other": 1})
        self.assertEqual(sum(self.counts("useful").values()), 4)
