"""
Something that happens once, and that any number may wait for.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class OneShot(Generic[T]):
    """Gives every asker a Deferred of its own, before or after the thing has happened."""

    def __init__(self) -> None:
        self._result: T | Failure | None = None
        self._fired = False
        self._waiting: list[Deferred[T]] = []

    def when(self) -> Deferred[T]:
        """Fires with the result, or fails; cancelling it does no more than no longer to wait."""
        waiting: Deferred[T] = Deferred(self._forget)
        if self._fired:
            waiting.callback(self._result)  # type: ignore[arg-type]
        else:
            self._waiting.append(waiting)
        return waiting

    def _forget(self, cancelled: Deferred[T]) -> None:
        if cancelled in self._waiting:  # not while we fire, when another's callback may cancel it
            self._waiting.remove(cancelled)

    def fire(self, result: T | Failure) -> None:
        """It has happened; only the first call counts. The last thing to do in a method, since askers run at once."""
        if self._fired:
            return
        self._fired, self._result = True, result
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.callback(result)
