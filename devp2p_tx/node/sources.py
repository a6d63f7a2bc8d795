"""
Where candidates for dialling come from, and how they are mixed.

Peers that were good before a restart are tried first: someone who has filled our table with his own nodes cannot take
all dialled slots at once. After them the sources take turns (L{devp2p_tx.core.dialing.fairmix}), and as long as another
source delivers too, no single one may fill every slot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from devp2p_tx.core.dialing.fairmix import FairMix, Taken
from devp2p_tx.core.enr.entries import ETH
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.forkid import ForkFilter, ForkID, ForkMismatch
from devp2p_tx.core.metrics import SOURCE_FAILURES, Metrics
from devp2p_tx.errors import DevP2PError, ServerStopped
from devp2p_tx.interfaces import INodeSource
from devp2p_tx.net.log import Logger
from devp2p_tx.node.forks import ForkTally

#: How many nodes of one source are asked for their records at once.
MAX_FILTERED = 16

#: How many nodes a source that somebody else wrote may give at once, and how long it rests after them (seconds).
MAX_AT_ONCE, REST = 100, 1.0

#: How long a source that gave somebody to dial counts as one that delivers (seconds).
DELIVERS_FOR = 60.0

#: The name under which anchors are counted.
ANCHORS = "anchors"

_log = Logger()


class SourceEnded(DevP2PError):
    """A source has no more nodes."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node to dial, and the name of the source that it came from."""

    node: Node
    source: str


@implementer(INodeSource)
class ListSource:
    """The nodes of a list, once each, and then none."""

    def __init__(self, name: str, nodes: Iterable[Node]) -> None:
        self.name = name
        self._nodes = deque(nodes)

    def next(self) -> Deferred[Node]:
        """See L{INodeSource}."""
        return succeed(self._nodes.popleft()) if self._nodes else fail(SourceEnded(f"source {self.name} has ended"))

    def stop(self) -> None:
        """See L{INodeSource}."""
        self._nodes.clear()


@implementer(INodeSource)
class PluggedSource:
    """
    A source that somebody else wrote: what it raises is its own end, and nothing else's. After each L{MAX_AT_ONCE}
    nodes it has a rest, since a source that always has a node at once would be asked for ever.
    """

    def __init__(self, source: INodeSource, clock: IReactorTime) -> None:
        self.name: str = source.name
        self._source, self._clock = source, clock
        self._asked = 0
        self._resting: Deferred[None] = succeed(None)

    def next(self) -> Deferred[Node]:
        """See L{INodeSource}."""
        self._asked += 1
        if self._asked % MAX_AT_ONCE:
            return self._ask()
        self._resting = deferLater(self._clock, REST)
        return self._resting.addCallbacks(lambda _: self._ask(), _stopped)

    def _ask(self) -> Deferred[Node]:
        return maybeDeferred(self._source.next).addCallback(self._checked)

    def _checked(self, node: Node) -> Node:
        if not isinstance(node, Node):
            raise TypeError(f"{self._source!r} gave {node!r}, which is no Node")
        return node

    def stop(self) -> None:
        """See L{INodeSource}."""
        if not self._resting.called:
            self._resting.cancel()
        try:
            self._source.stop()
        except Exception:
            _log.failure("cannot stop the source of nodes {name}", name=self.name)


def _stopped(cancelled: Failure) -> NoReturn:
    raise ServerStopped("server stopped")


@implementer(INodeSource)
class FilteredSource:
    """
    The nodes of another source that have a record which passes, each as its record describes it.

    Several nodes are asked for their records at once, since most do not answer.
    """

    def __init__(
        self, source: INodeSource, fetch: Callable[[Node], Deferred[Node]], passes: Callable[[Node], bool]
    ) -> None:
        """
        @param fetch: gives a node with its newest record, or fails.
        @param passes: whether such a node is wanted.
        """
        self.name: str = source.name
        self._source, self._fetch, self._passes = source, fetch, passes
        self._asked: deque[Deferred[Node]] = deque()
        self._ready: deque[Node] = deque()
        self._reading: Deferred[Any] | None = None
        self._fetching: set[Deferred[Any]] = set()
        self._end: Failure | None = None
        self._isReading = False

    def next(self) -> Deferred[Node]:
        """See L{INodeSource}."""
        asked: Deferred[Node] = Deferred(self._asked.remove)
        if self._ready:
            asked.callback(self._ready.popleft())
        else:
            self._asked.append(asked)
            self._pump()
        return asked

    def stop(self) -> None:
        """See L{INodeSource}."""
        self._end = Failure(ServerStopped("server stopped"))
        for fetching in list(self._fetching):
            fetching.cancel()
        self._source.stop()
        self._pump()

    def _pump(self) -> None:
        """Read on, if somebody waits; when there is nothing to read or to wait for any more, tell him."""
        if self._isReading:  # something below was there at once
            return
        self._isReading = True
        while self._asked and self._reading is None and len(self._fetching) < MAX_FILTERED and self._end is None:
            reading = self._reading = self._source.next()
            reading.addCallbacks(self._read, self._ended)
        self._isReading = False
        while self._asked and self._end is not None and not self._fetching:
            self._asked.popleft().errback(self._end)

    def _read(self, node: Node) -> None:
        self._reading = None
        fetching = self._fetch(node)
        self._fetching.add(fetching)
        fetching.addCallback(self._fetched).addErrback(_quietly)
        fetching.addBoth(lambda _: self._fetching.discard(fetching))
        fetching.addBoth(lambda _: self._pump())
        self._pump()

    def _ended(self, failure: Failure) -> None:
        self._end = self._end or failure
        self._pump()

    def _fetched(self, node: Node) -> None:
        if not self._passes(node):
            return
        if self._asked:
            self._asked.popleft().callback(node)
        elif len(self._ready) < MAX_FILTERED:
            self._ready.append(node)


def _quietly(failure: Failure) -> None:
    """A node that does not answer is no news; a mistake of ours is."""
    if not failure.check(DevP2PError, CancelledError):
        _log.failure("asking a candidate for its record", failure)


def forkFilter(chain: ForkFilter, tally: ForkTally) -> Callable[[Node], bool]:
    """
    Return what decides whether a node's record says that it is of our chain (EIP-2124); one that says nothing is not.

    @param tally: counts the fork ids.
    """

    def passes(node: Node) -> bool:
        entry = None if node.record is None else node.record.get(ETH)
        if entry is None:
            return False
        fork = ForkID(*entry)
        try:
            chain.check(fork, 0, 0)
        except ForkMismatch:
            tally.refused(node.ip, fork, "candidate")
            return False
        tally.fits(node.ip, fork)
        return True

    return passes


@dataclass
class _Tally:
    """Of one source: the ids of its nodes that are being dialled or are peers, and when one was dialled last."""

    held: set[bytes] = field(default_factory=set)
    dialedAt: float = float("-inf")


class Candidates:
    """
    All sources as one line.

    Of each source is counted how many nodes it gave (C{found}), how many of them were dialled, became peers
    (C{connected}), and stayed for a minute (C{useful}).

    @ivar ended: the sources that failed for good, each with the reason.
    """

    def __init__(
        self,
        anchors: Iterable[Node],
        sources: Sequence[INodeSource],
        clock: IReactorTime,
        seconds: Callable[[], float],
        metrics: Metrics,
        slots: int,
    ) -> None:
        """
        @param anchors: peers that were good before a restart.
        @param sources: what is mixed.
        @param slots: how many dialled peers there may be.
        """
        self._clock, self._seconds = clock, seconds
        self._metrics = metrics
        self.ended: dict[str, str] = {}
        self._mix: FairMix[str, Node] = FairMix()
        self._anchors = deque(anchors)
        self._sources = {source.name: source for source in sources}
        for name in self._sources:
            self._mix.add_source(name)
        self._tallies = {name: _Tally() for name in [ANCHORS, *self._sources]}
        self._quota = max(1, slots - 1)
        self._reading: dict[str, Deferred[Any]] = {}
        self._asked: Deferred[Candidate] | None = None
        self._alarm: IDelayedCall | None = None

    def next(self) -> Deferred[Candidate]:
        """
        Fires with the next candidate.

        @raise RuntimeError: another call is still waiting.
        """
        if self._asked is not None:
            raise RuntimeError("a candidate was asked for already")
        asked: Deferred[Candidate] = Deferred(self._forget)
        if self._anchors:
            asked.callback(self._found(self._anchors.popleft(), ANCHORS))
        else:
            self._asked = asked
            self._pump()
        return asked

    def stop(self) -> None:
        """Ask no source any more; who waits waits for ever, so cancel it."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for source in self._sources.values():
            source.stop()

    def crowds(self, candidate: Candidate) -> bool:
        """Whether its source holds all slots but one, and another one delivers: had somebody to dial lately."""
        then = self._seconds() - DELIVERS_FOR
        delivers = any(tally.dialedAt > then for name, tally in self._tallies.items() if name != candidate.source)
        return delivers and len(self._tallies[candidate.source].held) >= self._quota

    def dialed(self, candidate: Candidate) -> None:
        """It is being dialled."""
        tally = self._tallies[candidate.source]
        tally.held.add(candidate.node.node_id)
        tally.dialedAt = self._seconds()
        self._count("dialed", candidate.source)

    def connected(self, candidate: Candidate) -> None:
        """It is a peer."""
        self._count("connected", candidate.source)

    def useful(self, candidate: Candidate) -> None:
        """It has been a peer for a minute."""
        self._count("useful", candidate.source)

    def dropped(self, candidate: Candidate) -> None:
        """It is no peer any more, or did not become one."""
        self._tallies[candidate.source].held.discard(candidate.node.node_id)

    def _count(self, what: str, source: str) -> None:
        self._metrics.count(f"candidates_{what}", source=source)

    def _forget(self, cancelled: Deferred[Candidate]) -> None:
        self._asked = None

    def _pump(self) -> None:
        """Ask the sources that have nothing ready, and give what is there; nothing if nobody waits."""
        if self._asked is not None:
            self._readAll()
        if self._asked is None:  # also if one of them had something at once
            return
        step = self._mix.next(self._seconds())
        if isinstance(step, Taken):
            asked, self._asked = self._asked, None
            asked.callback(self._found(step.item, step.source))
        elif step.time is not None and self._alarm is None:
            self._alarm = self._clock.callLater(max(0.0, step.time - self._seconds()), self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self._pump()

    def _readAll(self) -> None:
        for name, source in self._sources.items():
            if name not in self._reading and self._mix.wants(name):
                reading = self._reading[name] = source.next()
                reading.addCallbacks(self._read, self._ended, callbackArgs=(name,), errbackArgs=(name,))

    def _read(self, node: Node, name: str) -> None:
        self._reading.pop(name, None)
        self._mix.offer(name, node)
        self._pump()

    def _found(self, node: Node, source: str) -> Candidate:
        self._count("found", source)
        return Candidate(node, source)

    def _ended(self, failure: Failure, name: str) -> None:
        """A source gives no more; it stays in C{_reading}, and is not asked again."""
        self._mix.remove_source(name)
        if not failure.check(ServerStopped, SourceEnded):
            kind = type(failure.value).__name__
            self.ended[name] = f"it failed for good ({kind}: {failure.getErrorMessage()})"
            self._metrics.count(SOURCE_FAILURES, source=name, reason=kind)
            _log.failure("source {name} ended", failure, name=name)
