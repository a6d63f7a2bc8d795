"""
The time by which a reactor's delayed calls are due, and by which deadlines are: neither moves when the clock is set.

Twisted takes the system's clock for its delayed calls. Set back by an hour, all of them wait an hour longer; set ahead,
all are due at once.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from devp2p_tx.net.names.hostnames import isReal


def secondsOf(reactor: Any) -> Callable[[], float]:
    """Return a clock for deadlines: a monotonic one, or that of a simulated network."""
    seconds: Callable[[], float] = monotonic if isReal(reactor) else reactor.seconds
    return seconds


def useMonotonicTime(reactor: Any) -> None:
    """
    Have a reactor take the monotonic clock for its delayed calls, those included that wait already.

    This is for a program that owns its process, such as the command-line node.
    """
    shift = monotonic() - reactor.seconds()
    reactor.seconds = monotonic
    for call in reactor.getDelayedCalls():
        call.time += shift
        call.seconds = monotonic
