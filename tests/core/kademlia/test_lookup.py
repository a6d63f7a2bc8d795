"""Tests for L{devp2p_tx.core.kademlia.lookup}."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.kademlia.bucket import BUCKET_SIZE
from devp2p_tx.core.kademlia.distance import as_number
from devp2p_tx.core.kademlia.lookup import (
    CONCURRENCY,
    EMPTY_TABLE_WAIT,
    MAX_DURATION,
    MAX_NODES_PER_REPLY,
    MAX_REQUESTS,
    WALK_INTERVAL,
    Ask,
    Finished,
    Found,
    Lookup,
    RandomWalk,
    Waiting,
    WaitUntil,
)
from devp2p_tx.core.kademlia.table import Refresh, Table
from tests.core.kademlia.nodes import OWN_ID, FakeNode, id_at, new_table, node_at

TARGET = id_at(256, 0)


def nodes_near(start: int, count: int = BUCKET_SIZE) -> list[FakeNode]:
    """Nodes whose ids differ from L{TARGET} by C{start} and the numbers above it."""
    number = as_number(TARGET)
    return [FakeNode((number ^ (start + more)).to_bytes(32, "big")) for more in range(count)]


def ask_all(lookup: Lookup[FakeNode]) -> list[FakeNode]:
    """Whom the lookup asks before it waits or ends."""
    asked = []
    while isinstance(step := lookup.next(0.0), Ask):
        asked.append(step.node)
    return asked


class LookupTests(SynchronousTestCase):
    """One lookup, step by step."""

    def test_empty(self) -> None:
        """With nobody to ask it is over at once."""
        self.assertEqual(Lookup[FakeNode](TARGET, OWN_ID, []).next(0.0), Finished([]))

    def test_concurrency(self) -> None:
        """The three closest are asked first, closest first, then it waits."""
        start = nodes_near(1)
        lookup = Lookup(TARGET, OWN_ID, reversed(start))
        self.assertEqual(ask_all(lookup), start[:CONCURRENCY])
        self.assertEqual(lookup.next(0.0), Waiting())

    def test_next(self) -> None:
        """Each answer, and each failure, makes room for the next."""
        start = nodes_near(1)
        lookup = Lookup(TARGET, OWN_ID, start)
        ask_all(lookup)
        lookup.on_reply(start[1], [])
        self.assertEqual(ask_all(lookup), [start[3]])
        lookup.on_failure(start[0])
        self.assertEqual(ask_all(lookup), [start[4]])

    def test_closerFirst(self) -> None:
        """A closer node that was told goes before those known."""
        start = nodes_near(100)
        lookup = Lookup(TARGET, OWN_ID, start)
        ask_all(lookup)
        closer = nodes_near(1, 1)
        self.assertEqual(lookup.on_reply(start[0], closer + start), closer)
        self.assertEqual(ask_all(lookup), closer)

    def test_everybodyOnce(self) -> None:
        """It ends when all of the closest were asked, each once; those that failed are among the result."""
        start = nodes_near(1, 20)
        lookup = Lookup(TARGET, OWN_ID, start)
        asked = []
        while batch := ask_all(lookup):
            asked += batch
            for node in batch:
                lookup.on_failure(node)
        self.assertEqual(asked, start[:BUCKET_SIZE])
        self.assertEqual(lookup.next(0.0), Finished(start[:BUCKET_SIZE]))

    def test_self(self) -> None:
        """We ourselves are not asked when others tell of us."""
        node = node_at(256)
        lookup = Lookup(TARGET, OWN_ID, [node])
        ask_all(lookup)
        self.assertEqual(lookup.on_reply(node, [FakeNode(OWN_ID)]), [])
        self.assertEqual(lookup.next(0.0), Finished([node]))

    def test_uninvited(self) -> None:
        """Whoever was not asked, or answers twice, is not heard."""
        start = nodes_near(100)
        lookup = Lookup(TARGET, OWN_ID, start)
        ask_all(lookup)
        lookup.on_reply(start[0], [])
        self.assertEqual(lookup.on_reply(start[0], nodes_near(1)), [])
        self.assertEqual(lookup.on_reply(start[9], nodes_near(1)), [])
        self.assertEqual(lookup.closest, start)

    def test_wireTarget(self) -> None:
        """What is sent may be another thing than the node id: in discv4 the key whose hash it is."""
        self.assertEqual(
            Lookup(TARGET, OWN_ID, [node_at(256)], wire_target=b"k" * 64).next(0.0), Ask(node_at(256), b"k" * 64)
        )
        self.assertEqual(Lookup(TARGET, OWN_ID, [node_at(256)]).next(0.0), Ask(node_at(256), TARGET))


class BoundTests(SynchronousTestCase):
    """What strangers cannot do to a lookup."""

    def test_hugeReply(self) -> None:
        """Of one answer only so many nodes are taken."""
        node = node_at(255)
        lookup = Lookup(TARGET, OWN_ID, [node])
        ask_all(lookup)
        self.assertEqual(len(lookup.on_reply(node, nodes_near(1, 1000))), MAX_NODES_PER_REPLY)

    def test_endlessNetwork(self) -> None:
        """A network that has ever closer nodes to tell is left after some requests."""
        lookup = Lookup(TARGET, OWN_ID, nodes_near(2**200, 1))
        requests = 0
        while isinstance(step := lookup.next(0.0), Ask):
            requests += 1
            lookup.on_reply(step.node, nodes_near(2**200 - requests, 1))
        self.assertEqual(requests, MAX_REQUESTS)
        self.assertIsInstance(step, Finished)

    def test_duration(self) -> None:
        """After its time it ends with what it has, even while answers are awaited."""
        start = nodes_near(1)
        lookup = Lookup(TARGET, OWN_ID, start)
        lookup.next(5.0)
        self.assertIsInstance(lookup.next(4.0 + MAX_DURATION), Ask)
        self.assertEqual(lookup.next(5.0 + MAX_DURATION), Finished(start))


class ConvergenceTests(SynchronousTestCase):
    """Lookups through a network."""

    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 2**32), st.floats(0, 0.2))
    def test_network(self, seed: int, silent: float) -> None:
        """
        From any node, a lookup ends with the closest nodes of the whole network, where each node knows its neighbours.

        @param silent: the share of requests that nobody answers.
        """
        rng = Random(seed)
        network = [FakeNode(rng.randbytes(32)) for _ in range(150)]
        tables = {node.node_id: Table[FakeNode](node.node_id, rng, 0.0) for node in network}
        for table in tables.values():
            for other in rng.sample(network, len(network)):
                table.add_found(other, 0.0)
        target = rng.randbytes(32)
        own_id = network[0].node_id
        lookup = Lookup(target, own_id, tables[own_id].closest(target))
        while isinstance(step := lookup.next(0.0), Ask):
            if rng.random() < silent:
                lookup.on_failure(step.node)
            else:
                lookup.on_reply(step.node, tables[step.node.node_id].closest(target))
        assert isinstance(step, Finished)
        ranked = sorted(network[1:], key=lambda node: as_number(node.node_id) ^ as_number(target))
        self.assertEqual(step.nodes[0], ranked[0])
        self.assertGreaterEqual(len(set(step.nodes) & set(ranked[:BUCKET_SIZE])), BUCKET_SIZE - 2)


class RandomWalkTests(SynchronousTestCase):
    """The endless line of nodes."""

    def setUp(self) -> None:
        self.table = new_table()
        self.started = 0
        self.walk: RandomWalk[FakeNode] = RandomWalk(self.table, self.new_lookup)

    def new_lookup(self) -> Lookup[FakeNode]:
        """Count the lookups."""
        self.started += 1
        return Lookup(TARGET, OWN_ID, self.table.closest(TARGET))

    def test_lazy(self) -> None:
        """Nothing is looked up unless somebody asks."""
        self.table.add_found(node_at(256, 1), 0.0)
        self.assertEqual(self.started, 0)

    def test_order(self) -> None:
        """First those of our own table, then those found as they come, each once in a lookup."""
        known, told = node_at(256, 1), node_at(255, 2)
        self.table.add_found(known, 0.0)
        self.assertEqual(self.walk.next(0.0), Found(known))
        self.assertEqual(self.walk.next(0.0), Ask(known, TARGET))
        self.assertEqual(self.walk.next(0.0), Waiting())
        self.walk.on_reply(known, [told, known])
        self.assertEqual(self.walk.next(0.0), Found(told))
        self.assertEqual(self.walk.next(0.0), Ask(told, TARGET))

    def test_again(self) -> None:
        """At its end the next lookup starts, not before a second has passed since the last start, and nodes repeat."""
        known = node_at(256, 1)
        self.table.add_found(known, 0.0)
        self.walk.next(10.0)
        self.walk.next(10.0)
        self.walk.on_failure(known)
        self.assertEqual(self.walk.next(10.5), WaitUntil(10.0 + WALK_INTERVAL))
        self.assertEqual(self.started, 1)
        self.assertEqual(self.walk.next(10.0 + WALK_INTERVAL), Found(known))
        self.assertEqual(self.started, 2)

    def test_emptyTable(self) -> None:
        """With an empty table it has that refreshed, and goes on as soon as it has a node."""
        self.assertEqual(self.walk.next(5.0), WaitUntil(5.0 + EMPTY_TABLE_WAIT))
        self.assertEqual(self.table.handle_timer(5.0), [Refresh()])
        self.table.refresh_done(6.0)
        self.assertEqual(self.walk.next(7.0), WaitUntil(5.0 + EMPTY_TABLE_WAIT))
        self.assertEqual(self.table.handle_timer(7.0), [])
        self.table.add_found(node_at(256), 8.0)
        self.assertEqual(self.walk.next(8.0), Found(node_at(256)))

    def test_emptyForLong(self) -> None:
        """If the table stays empty it is refreshed once a minute."""
        self.walk.next(0.0)
        self.table.handle_timer(0.0)
        self.table.refresh_done(1.0)
        self.walk.next(EMPTY_TABLE_WAIT)
        self.assertEqual(self.table.handle_timer(EMPTY_TABLE_WAIT), [Refresh()])

    def test_reportsBeforeStart(self) -> None:
        """Reports that belong to no lookup change nothing."""
        self.walk.on_reply(node_at(256), [node_at(255)])
        self.walk.on_failure(node_at(256))
        self.assertIsInstance(self.walk.next(0.0), WaitUntil)
