"""
The replies that are awaited, found by what a datagram shows before its signature is looked at.

PONG and ENRRESPONSE name the packet that they answer by its hash; NEIGHBORS name nothing, and are for every FINDNODE
that went to the same address. A hash may be that of several packets: those of one second often are the same, byte for
byte, since signatures are not random, and an ENRREQUEST does not even say whom it is for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Any, TypeVar

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.discv4.events import Call, PingCall

C = TypeVar("C", bound=Call)

#: Seconds that an answer may take, and that a node is given to ping us back.
RESPONSE_TIMEOUT = 0.5
#: Timeouts in a row after which our clock is suspected, since others drop what a wrong clock makes expired...
SUSPICIOUS_TIMEOUTS = 32
#: ...and the seconds before it is suspected again.
CLOCK_CHECK_INTERVAL = 600.0


class AwaitedReplies:
    """
    Calls that wait, each for L{RESPONSE_TIMEOUT}.

    All wait for the same time, so that what begins last ends last. A call that ended otherwise stays in the timeline
    until it comes to the front, where it is known by its deadline.
    """

    __slots__ = ("_clock_checked", "_expected", "_timeline", "_timeouts")

    def __init__(self) -> None:
        self._timeline: deque[tuple[float, Call]] = deque()
        self._expected: dict[Hashable, list[Any]] = {}
        self._timeouts = 0
        self._clock_checked: float | None = None

    def wait(self, call: Call, now: float) -> None:
        """Let time run, for an answer or just so."""
        call.deadline = now + RESPONSE_TIMEOUT
        self._timeline.append((call.deadline, call))

    def expect(self, call: Call, echo: bytes, now: float) -> None:
        """
        Wait for an answer from the address asked.

        @param echo: the hash that the answer has to echo; empty if it echoes none.
        """
        kind = PingCall if isinstance(call, PingCall) else type(call)
        call.awaited = kind, echo, call.ip
        self._expected.setdefault(call.awaited, []).append(call)
        self.wait(call, now)

    def candidates(self, echo: bytes, ip: IPAddress, kind: type[C]) -> list[C]:
        """The calls of that kind that an answer from C{ip} may be for, whoever gives it; only to be read."""
        return self._expected.get((kind, echo, ip)) or []

    def forget(self, call: Call) -> None:
        """Wait no longer."""
        call.deadline = None
        calls = self._expected.get(call.awaited)
        if calls is not None and call in calls:
            calls.remove(call)
            if not calls:
                del self._expected[call.awaited]

    def clear(self) -> None:
        """Wait for nothing."""
        self._timeline.clear()
        self._expected.clear()

    def next_deadline(self) -> float | None:
        """When the first call has waited for too long; C{None} if none waits."""
        while self._timeline:
            deadline, call = self._timeline[0]
            if call.deadline == deadline:
                return deadline
            self._timeline.popleft()
        return None

    def take_due(self, now: float) -> Iterator[Call]:
        """
        Take the calls that have waited for too long, one after the other.

        A call whose deadline is still twice as far away as it can be began before the clock was set back, and would
        wait for who knows how long; it is taken, too, and has its deadline still.
        """
        while (deadline := self.next_deadline()) is not None:
            if now < deadline < now + 2 * RESPONSE_TIMEOUT:
                return
            _, call = self._timeline.popleft()
            if deadline <= now:
                call.deadline = None
            yield call

    def note_reply(self) -> None:
        """Somebody answered, so that our clock is good enough."""
        self._timeouts = 0

    def note_timeout(self) -> None:
        """Somebody did not answer."""
        self._timeouts += 1

    def is_clock_suspect(self, now: float) -> bool:
        """Whether to check our clock now: too many timeouts in a row, and the last check is a while ago."""
        if self._timeouts <= SUSPICIOUS_TIMEOUTS:
            return False
        self._timeouts = 0
        if self._clock_checked is not None and now - self._clock_checked < CLOCK_CHECK_INTERVAL:
            return False
        self._clock_checked = now
        return True
