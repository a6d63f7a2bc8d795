"""
Log that a node has no peers: when, how often, and what was tried meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from devp2p_tx.net.log import Logger

#: How long a node that dials is without a peer before it says so, and how often it says it again (seconds).
NO_PEERS_AFTER, NO_PEERS_INTERVAL = 30.0, 300.0
#: A peer that stays for less than this (seconds) counts as none: it left as soon as it knew what we offer.
SETTLED = 10.0

_log = Logger()


class Aging(Protocol):
    """What is asked of a peer: C{created} is when it became one (the server's seconds)."""

    @property
    def created(self) -> float: ...


class NoPeersNotice:
    """
    Log a warning after L{NO_PEERS_AFTER} without a peer, one more every L{NO_PEERS_INTERVAL}, and a line at the end.

    A peer counts once it has stayed for L{SETTLED}, so peers that come and leave at once do not put the warning off.
    """

    def __init__(
        self,
        clock: IReactorTime,
        seconds: Callable[[], float],
        peers: Collection[Aging],
        tried: Callable[[], str | None],
    ) -> None:
        """
        @param peers: the peers, as they are at any time.
        @param tried: returns what was tried to find peers; C{None} if nothing was, as the user wanted it.
        """
        self._clock, self._seconds = clock, seconds
        self._peers, self._tried = peers, tried
        self._alarm: IDelayedCall | None = None
        self._since: float | None = None  # since when no peer has settled
        self._due = 0.0
        self._hasWarned = False
        self._isRunning = self._hasStopped = False

    def start(self) -> None:
        """Begin to look at the peers; does nothing after L{stop}."""
        self._isRunning = not self._hasStopped
        self.changed()

    def stop(self) -> None:
        """Log nothing more."""
        self._isRunning, self._hasStopped = False, True
        self._cancel()

    def changed(self) -> None:
        """Look again: a peer was added or dropped."""
        if not self._isRunning:
            return
        now = self._seconds()
        first = min((peer.created for peer in self._peers), default=None)
        if first is not None and now >= first + SETTLED:
            self._end(now)
        else:
            self._goOn(now, first)

    def _end(self, now: float) -> None:
        if self._hasWarned and self._since is not None:
            duration = now - self._since
            _log.info("there are peers again after {duration:.0f} s: peers={n}", duration=duration, n=len(self._peers))
        self._since, self._hasWarned = None, False
        self._cancel()

    def _goOn(self, now: float, first: float | None) -> None:
        """Warn if that is due, and look again when it is, or when the first peer will have settled."""
        if self._since is None:
            self._since, self._due = now, now + NO_PEERS_AFTER
        due = self._due if first is None else self._due + SETTLED  # a peer that is there may settle
        if now >= due:
            self._warn(now - self._since)
            self._due = due = now + NO_PEERS_INTERVAL
        self._cancel()
        at = due if first is None else min(due, first + SETTLED)
        self._alarm = self._clock.callLater(max(0.0, at - now), self._wake)

    def _warn(self, duration: float) -> None:
        if (tried := self._tried()) is not None:
            self._hasWarned = True
            _log.warn("no peer for {duration:.0f} s; tried so far: {tried}", duration=duration, tried=tried)

    def _wake(self) -> None:
        self._alarm = None
        self.changed()

    def _cancel(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
