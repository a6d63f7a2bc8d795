"""
What happens at one end of a connection, in the same words at every end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

#: How long a test waits for an event before it has failed (seconds): the time that it takes is of no interest.
PATIENCE = 60.0

Event = dict[str, Any]


class Journal:
    """
    Events, each of which is expected once, before or after it happens.

    Who waits for an event hears of it a turn of the reactor later, when all that belongs to it is done.

    @ivar unread: those that nobody has expected so far, in order.
    """

    def __init__(self, whose: str) -> None:
        self.unread: list[Event] = []
        self._whose = whose
        self._waiting: list[tuple[Event, Deferred[Event]]] = []
        self._over: str | None = None

    def record(self, event: str, **fields: Any) -> None:
        """It has happened."""
        self._later(self._record, {"event": event, **fields})

    def end(self, why: str) -> None:
        """Nothing more will happen."""
        self._later(self._end, why)

    @staticmethod
    def _later(method: Callable[[Any], None], argument: Any) -> None:
        from twisted.internet import reactor

        reactor.callLater(0, method, argument)

    def _record(self, happened: Event) -> None:
        for wanted, waiting in self._waiting:
            if wanted.items() <= happened.items():
                self._waiting.remove((wanted, waiting))
                waiting.callback(happened)
                return
        self.unread.append(happened)

    def _end(self, why: str) -> None:
        self._over = why
        waiting, self._waiting = self._waiting, []
        for wanted, each in waiting:
            each.errback(self._missed(wanted, why))

    def expect(self, event: str, **fields: Any) -> Deferred[Event]:
        """
        The first event of that name that has these fields.

        @return: fails with C{AssertionError} if it does not happen within L{PATIENCE}, or nothing more can.
        """
        from twisted.internet import reactor

        wanted = {"event": event, **fields}
        expected: Deferred[Event] = Deferred()
        for happened in self.unread:
            if wanted.items() <= happened.items():
                self.unread.remove(happened)
                expected.callback(happened)
                return expected
        if self._over is not None:
            expected.errback(self._missed(wanted, self._over))
            return expected
        self._waiting.append((wanted, expected))

        def late(cancelled: object, seconds: float) -> Failure:
            self._waiting.remove((wanted, expected))
            return self._missed(wanted, f"not within {seconds} s")

        return expected.addTimeout(PATIENCE, reactor, onTimeoutCancel=late)

    def _missed(self, wanted: Event, why: str) -> Failure:
        return Failure(AssertionError(f"{self._whose}: no {wanted}: {why}; but there was {self.unread[-10:]}"))
