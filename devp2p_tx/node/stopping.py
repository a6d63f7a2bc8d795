"""
Stop the parts of a node so that none of them keeps the others from being stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from devp2p_tx.net.log import Logger

#: How long one part may take to stop (seconds). A node stops its parts in two rounds, which together stay below the ten
#: seconds that containers' supervisors wait from TERM to KILL.
STOP_TIMEOUT = 4.0

#: A part: its name in the log, and what stops it, which may return a Deferred of its end.
Part = tuple[str, Callable[[], object]]

_log = Logger()


def stopParts(clock: IReactorTime, parts: Iterable[Part], timeout: float = STOP_TIMEOUT) -> Deferred[Any]:
    """
    Stop some parts, all at the same time.

    What a part raises, or fails with, is logged with its name. A part that has not stopped after C{timeout} seconds is
    logged, cancelled, and not waited for.

    @return: fires when each part has stopped, failed, or taken too long; never fails.
    """
    return DeferredList([_Stop(clock, name, timeout).begin(stop) for name, stop in parts])


class _Stop:
    """The stop of one part."""

    def __init__(self, clock: IReactorTime, name: str, timeout: float) -> None:
        self._name, self._timeout = name, timeout
        self._over: Deferred[None] = Deferred()
        self._alarm = clock.callLater(timeout, self._late)
        self._stopping: Deferred[Any] = Deferred()

    def begin(self, stop: Callable[[], object]) -> Deferred[None]:
        over = self._over
        self._stopping = maybeDeferred(stop)
        self._stopping.addErrback(self._failed).addBoth(lambda _: self._end())
        return over

    def _failed(self, failure: Failure) -> None:
        isOurs = self._over.called and failure.check(CancelledError)
        if not isOurs:
            _log.failure("cannot stop {part}; the other parts are stopped all the same", failure, part=self._name)

    def _late(self) -> None:
        _log.error(
            "{part} has not stopped after {timeout:g} s; not waiting for it any longer",
            part=self._name,
            timeout=self._timeout,
        )
        self._end()
        try:
            self._stopping.cancel()
        except Exception:  # of a canceller that somebody else wrote
            _log.failure("cannot cancel the stop of {part}", part=self._name)

    def _end(self) -> None:
        if not self._over.called:
            if self._alarm.active():
                self._alarm.cancel()
            self._over.callback(None)


def cleaned(failure: Failure) -> Failure:
    """Return the failure without its traceback, which knows the server: so an error that nobody handles is found."""
    failure.cleanFailure()
    return failure
