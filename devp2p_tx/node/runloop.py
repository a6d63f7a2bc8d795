"""
The run loop: one thing after the other, each a turn of the reactor after it was asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from devp2p_tx.net.log import Logger

_log = Logger()


class RunLoop:
    """An inbox of operations. What an operation raises is logged, and keeps none behind it from being done."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._inbox: deque[Callable[[], None]] = deque()
        self._turn: IDelayedCall | None = None

    @property
    def isIdle(self) -> bool:
        """Whether nothing waits to be done."""
        return not self._inbox

    def post(self, operation: Callable[[], None]) -> None:
        """Have an operation done in the next turn, behind those that were posted before."""
        self._inbox.append(operation)
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._run)

    def _run(self) -> None:
        self._turn = None
        inbox, self._inbox = self._inbox, deque()
        for operation in inbox:
            try:
                operation()
            except Exception:
                _log.failure("{operation}", operation=operation)
