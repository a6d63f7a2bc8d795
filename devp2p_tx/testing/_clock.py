"""
Virtual time: a C{Clock} on which every call finds the time for which it was asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any, cast

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from devp2p_tx.net.log import Logger

#: Calls that may run without any time going by; past them something goes round for ever.
MAX_BUSY = 1_000_000
#: So that ten steps of 0.1 are as long as one of 1 (seconds).
_ROUNDING = 1e-9

_log = Logger()


#: When, in which order (no two have the same), and what then.
_Due = tuple[float, int, Any]
_NO_NAMES: dict[str, object] = {}


def _ignore(call: object) -> None:
    """What is cancelled stays where it is, and is not run."""


class _Call(DelayedCall):
    """A delayed call that knows which host asked for it."""

    owner: object = None


class VirtualClock(Clock):
    """
    A C{Clock} whose L{advance} goes from one call to the next, where Twisted's own jumps to the end first; and, as a
    reactor does, logs what a call raises and goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._heap: list[_Due] = []
        self._posts: deque[_Due] = deque()
        self._count = 0

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        """See C{IReactorTime}."""
        assert delay >= 0, f"{delay} seconds ago is too late"
        call = _Call(self.rightNow + delay, callable, args, kw, _ignore, self._push, self.seconds)
        self._push(call)
        return call

    def callLaterFor(
        self, owner: object, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """As L{callLater}, for L{getDelayedCallsOf}."""
        call = self.callLater(delay, callable, *args, **kw)
        cast(_Call, call).owner = owner
        return call

    def post(self, delay: float, callable: Callable[..., object], *args: object) -> None:
        """
        As L{callLater}, for what nobody cancels. It costs a fraction where one delay follows the other, as that of
        everything that is on its way through a network.
        """
        time, posts = self.rightNow + delay, self._posts
        if posts and time < posts[-1][0]:
            self.callLater(delay, callable, *args)
        else:
            self._count += 1
            posts.append((time, self._count, (callable, args)))

    def _push(self, call: DelayedCall) -> None:
        self._count += 1
        heappush(self._heap, (call.getTime(), self._count, call))

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """See C{IReactorTime}."""
        return sorted({call for _, _, call in self._heap if call.active()}, key=lambda call: call.getTime())

    def getDelayedCallsOf(self, owner: object) -> Sequence[IDelayedCall]:
        """The calls that one host waits for."""
        return [call for call in self.getDelayedCalls() if cast(_Call, call).owner is owner]

    def advance(self, amount: float) -> None:
        """
        Let time go by, and run what falls due.

        @param amount: seconds.
        @raise RuntimeError: L{MAX_BUSY} calls ran without any time going by.
        """
        end, busy = self.rightNow + amount, 0
        while (due := self._take(end + _ROUNDING)) is not None:
            time, func, args, kw = due
            if time > self.rightNow:
                self.rightNow, busy = time, 0
            busy += 1
            if busy > MAX_BUSY:
                raise RuntimeError(f"{busy} calls without any time going by; the next is {func}")
            try:
                func(*args, **kw)
            except Exception:
                _log.failure("while calling {func}", func=func)
        self.rightNow = max(end, self.rightNow)

    def _take(self, last: float) -> tuple[float, Any, Any, Any] | None:
        """What is due first, if it is due until C{last}: its time, and what to call, with what."""
        heap, posts = self._heap, self._posts
        while heap and heap[0][0] <= last and not (posts and posts[0] < heap[0]):
            time, _, call = heappop(heap)
            if not call.active():
                continue
            if call.getTime() > time:  # it was put off
                self._push(call)
                continue
            call.called = 1
            due = time, call.func, call.args, call.kw
            del call.func, call.args, call.kw
            return due
        if posts and posts[0][0] <= last:
            time, _, (func, args) = posts.popleft()
            return time, func, args, _NO_NAMES
        return None
