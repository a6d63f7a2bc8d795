"""
Ages of time stamps that outlive a restart, by a clock that may have been wrong when they were written, or is wrong now.
"""

from __future__ import annotations

#: How far a time stamp may be ahead of the clock, which is set back now and then (seconds).
MAX_SKEW = 60.0


def age(stamp: float, unix_time: float) -> float:
    """
    Return the seconds since C{stamp}, at least 0: infinity for 0, which means never, and for a time that is to come.

    @param stamp: unix time in seconds, as C{unix_time}, which is now.
    """
    passed = unix_time - stamp
    return max(passed, 0.0) if stamp and passed >= -MAX_SKEW else float("inf")


def distance(stamp: float, unix_time: float) -> float:
    """Return the seconds between C{stamp} and now, whichever is earlier; infinity for 0, which means never."""
    return abs(unix_time - stamp) if stamp else float("inf")
