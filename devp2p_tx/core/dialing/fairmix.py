"""
Mixing several sources of dial candidates, so that a fast one does not crowd out the others.

Sources take turns. One that does not deliver within its time loses its turn to whichever source delivers first, and has
half the time at its next turn; it has its full time again once it delivers in time.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)
T = TypeVar("T")

#: Seconds that a source has at its turn.
TURN_TIMEOUT = 0.1


class Taken(NamedTuple, Generic[S, T]):
    """The next item, and the source that it came from, which may now be asked for another one."""

    source: S
    item: T


class WaitUntil(NamedTuple):
    """Nothing to take until C{time}, or until a source delivers; C{None} if only that can help."""

    time: float | None


class FairMix(Generic[S, T]):
    """
    A line of items from all sources.

    Each source holds at most one item ready, so that it is asked for no more than is used: the owner asks every source
    that L{wants} says, and calls L{offer} when it delivers.
    """

    def __init__(self, timeout: float | None = TURN_TIMEOUT) -> None:
        """
        @param timeout: seconds that a source has at its turn; 0 to take whatever is there, C{None} to wait for ever.
        """
        self._timeout = timeout
        self._patience: dict[S, float | None] = {}
        self._ready: dict[S, T] = {}
        self._turn: S | None = None
        self._deadline: float | None = None
        self._missed = False

    @property
    def sources(self) -> list[S]:
        """The sources, in the order of their turns."""
        return list(self._patience)

    def add_source(self, source: S) -> None:
        """Let a source take part; it comes last in this round."""
        self._patience.setdefault(source, self._timeout)

    def remove_source(self, source: S) -> None:
        """A source has ended; what it has delivered is dropped."""
        self._patience.pop(source, None)
        self._ready.pop(source, None)
        if self._turn == source:
            self._end_turn()

    def wants(self, source: S) -> bool:
        """Whether to ask a source for an item."""
        return source in self._patience and source not in self._ready

    def offer(self, source: S, item: T) -> bool:
        """
        A source delivers.

        @return: whether the item was kept; it is not if the source has one ready already, or takes no part.
        """
        if not self.wants(source):
            return False
        self._ready[source] = item
        return True

    def next(self, now: float) -> Taken[S, T] | WaitUntil:
        """
        The next item, if there is one to take now.

        A turn begins with the first call that asks for its item, so a source is not to blame for nobody asking.
        """
        source = self._begin_turn(now)
        if source is None:
            return WaitUntil(None)
        if source in self._ready:
            if not self._missed:
                self._patience[source] = self._timeout
            return self._take(source)
        patience = self._patience[source]
        if patience is not None and self._deadline is not None and now >= self._deadline:
            self._patience[source] = patience / 2
            self._deadline = None
            self._missed = True
        if self._missed and self._ready:
            return self._take(next(iter(self._ready)))
        return WaitUntil(self._deadline)

    def _begin_turn(self, now: float) -> S | None:
        """Whose turn it is; those who had theirs go to the end of the line."""
        if self._turn is None and self._patience:
            self._turn = source = next(iter(self._patience))
            patience = self._patience[source] = self._patience.pop(source)
            self._deadline = None if patience is None else now + patience
        return self._turn

    def _take(self, source: S) -> Taken[S, T]:
        self._end_turn()
        return Taken(source, self._ready.pop(source))

    def _end_turn(self) -> None:
        self._turn = self._deadline = None
        self._missed = False
