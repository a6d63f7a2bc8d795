"""
Looks how late the reactor calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from devp2p_tx.core.addressing.lateness import Lateness

#: How often it is looked while strangers send something (seconds).
INTERVAL = 0.02


class LatenessProbe:
    """
    Asks the reactor for a call, and notes how late it comes, for as long as somebody wants to know: an idle node is not
    woken.

    @ivar isLooking: whether a call is under way.
    """

    def __init__(self, reactor: Any, seconds: Callable[[], float], lateness: Lateness) -> None:
        """
        @param reactor: C{IReactorTime}.
        @param seconds: a monotonic clock.
        @param lateness: is told.
        """
        self.isLooking = False
        self._reactor, self._seconds, self._lateness = reactor, seconds, lateness
        self._call: IDelayedCall | None = None
        self._due = 0.0

    def look(self, now: float) -> None:
        """Look once, unless that is under way."""
        if not self.isLooking:
            self.isLooking = True
            self._due = now + INTERVAL
            self._call = self._reactor.callLater(INTERVAL, self._called)

    def _called(self) -> None:
        self.isLooking, self._call = False, None
        self._lateness.note(self._seconds() - self._due)

    def stop(self) -> None:
        """Look no more."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()
