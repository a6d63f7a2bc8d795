"""
Lookups: asking those closest to a target for nodes that are closer, until nobody knows any.

A lookup is asked "what next?" and told what came of it; it sends nothing. (devp2p C{discv4.md}, "Recursive Lookup".)
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Generic, NamedTuple

from devp2p_tx.core.kademlia.bucket import BUCKET_SIZE, N
from devp2p_tx.core.kademlia.distance import as_number
from devp2p_tx.core.kademlia.table import Table

#: Requests of one lookup at a time ("alpha" of Kademlia).
CONCURRENCY = 3
#: Nodes that one answer may add; an honest one has 16, or 16 for each of 3 distances.
MAX_NODES_PER_REPLY = 64
#: Nodes that one lookup asks: more than an honest network takes, an end to one that always tells of closer nodes.
MAX_REQUESTS = 128
#: Seconds after which a lookup ends with what it has.
MAX_DURATION = 60.0

#: Seconds between the starts of two lookups of a random walk.
WALK_INTERVAL = 1.0
#: Seconds to wait for the table to fill when there is nobody to ask.
EMPTY_TABLE_WAIT = 60.0

_RANK = itemgetter(0)


class Ask(NamedTuple, Generic[N]):
    """
    Send a FINDNODE for C{wire_target} to C{node}; report L{Lookup.on_reply} or L{Lookup.on_failure}.

    C{wire_target} is what the packet carries: the 64-byte public key in discv4; in discv5, where distances are asked,
    the node id that they are taken to.
    """

    node: N
    wire_target: bytes


class Waiting(NamedTuple):
    """Nothing to do until an answer comes."""


class Finished(NamedTuple, Generic[N]):
    """The lookup is over; the nodes closest to the target, closest first."""

    nodes: list[N]


class Found(NamedTuple, Generic[N]):
    """The next node of a random walk."""

    node: N


class WaitUntil(NamedTuple):
    """Nothing to do until C{time}, an answer, or a new node in the table."""

    time: float


LookupStep = Ask[N] | Waiting | Finished[N]
WalkStep = Ask[N] | Waiting | WaitUntil | Found[N]


class Lookup(Generic[N]):
    """
    One lookup.

    @ivar target: the node id (32 bytes) that it approaches.
    """

    def __init__(self, target: bytes, own_id: bytes, start: Iterable[N], *, wire_target: bytes | None = None) -> None:
        """
        @param own_id: we are never asked, nor part of the result.
        @param start: the nodes of our table closest to the target.
        @param wire_target: what to send, if not the node id.
        """
        self.target = target
        self._wire_target = target if wire_target is None else wire_target
        self._number = as_number(target)
        self._seen = {own_id}
        self._asked = 0
        self._awaited: set[bytes] = set()
        self._ranked: list[tuple[int, _Candidate[N]]] = []
        self._deadline: float | None = None
        self._add(start)

    @property
    def closest(self) -> list[N]:
        """The nodes closest to the target so far, closest first."""
        return [candidate.node for _, candidate in self._ranked]

    def next(self, now: float) -> LookupStep[N]:
        """What to do next; to be repeated until it says L{Waiting} or L{Finished}."""
        if self._deadline is None:
            self._deadline = now + MAX_DURATION
        if now >= self._deadline:
            return Finished(self.closest)
        if len(self._awaited) < CONCURRENCY and self._asked < MAX_REQUESTS:
            for _, candidate in self._ranked:
                if not candidate.asked:
                    return self._ask(candidate)
        return Waiting() if self._awaited else Finished(self.closest)

    def on_reply(self, node: N, nodes: Sequence[N]) -> list[N]:
        """
        A node that was asked has answered.

        @param nodes: what it told, verified; those above L{MAX_NODES_PER_REPLY} are ignored.
        @return: those that this lookup had not seen before.
        """
        if node.node_id not in self._awaited:
            return []
        self._awaited.remove(node.node_id)
        return self._add(nodes[:MAX_NODES_PER_REPLY])

    def on_failure(self, node: N) -> None:
        """A node that was asked has not answered; it stays among the results, since it may still take connections."""
        self._awaited.discard(node.node_id)

    def _ask(self, candidate: _Candidate[N]) -> Ask[N]:
        candidate.asked = True
        self._asked += 1
        self._awaited.add(candidate.node.node_id)
        return Ask(candidate.node, self._wire_target)

    def _add(self, nodes: Iterable[N]) -> list[N]:
        new = []
        for node in nodes:
            if node.node_id not in self._seen:
                self._seen.add(node.node_id)
                insort(self._ranked, (as_number(node.node_id) ^ self._number, _Candidate(node)), key=_RANK)
                new.append(node)
        del self._ranked[BUCKET_SIZE:]
        return new


class _Candidate(Generic[N]):
    """One of the closest nodes so far, and whether it was asked."""

    __slots__ = ("asked", "node")

    def __init__(self, node: N) -> None:
        self.node = node
        self.asked = False


class RandomWalk(Generic[N]):
    """
    An endless line of nodes, from lookups of random targets, in the order in which they are found.

    Nothing is looked up unless somebody asks for the next node. Nodes repeat.
    """

    def __init__(self, table: Table[N], new_lookup: Callable[[], Lookup[N]]) -> None:
        """
        @param new_lookup: starts a lookup of a random target with the closest nodes of C{table}; they need not be live.
        """
        self._table = table
        self._new_lookup = new_lookup
        self._lookup: Lookup[N] | None = None
        self._next_start: float | None = None
        self._refresh_until: float | None = None
        self._buffer: deque[N] = deque()

    def next(self, now: float) -> WalkStep[N]:
        """What to do for the next node; to be repeated until it says L{Waiting}, L{WaitUntil} or L{Found}."""
        if self._buffer:
            return Found(self._buffer.popleft())
        if self._lookup is not None:
            step = self._lookup.next(now)
            if not isinstance(step, Finished):
                return step
            self._lookup = None
        return self._start(now)

    def _start(self, now: float) -> WalkStep[N]:
        if len(self._table) == 0:
            return self._await_nodes(now)
        self._refresh_until = None
        if self._next_start is not None and now < self._next_start:
            return WaitUntil(self._next_start)
        self._next_start = now + WALK_INTERVAL
        self._lookup = self._new_lookup()
        self._buffer.extend(self._lookup.closest)
        return self.next(now)

    def _await_nodes(self, now: float) -> WaitUntil:
        """Nobody to ask: have the table refreshed, once in a while."""
        if self._refresh_until is None or now >= self._refresh_until:
            self._refresh_until = now + EMPTY_TABLE_WAIT
            self._table.request_refresh(now)
        return WaitUntil(self._refresh_until)

    def on_reply(self, node: N, nodes: Sequence[N]) -> None:
        """A node that was asked has answered, as in L{Lookup.on_reply}."""
        if self._lookup is not None:
            self._buffer.extend(self._lookup.on_reply(node, nodes))

    def on_failure(self, node: N) -> None:
        """A node that was asked has not answered."""
        if self._lookup is not None:
            self._lookup.on_failure(node)
