"""
The clock that a router tells with its answers: if it went back, the router forgot its mappings (RFC 6886, section 3.6;
RFC 6887, section 8.5, whose test is the stricter one, and is used for both).
"""

from __future__ import annotations


class RouterEpoch:
    """
    @ivar generation: how often it went wrong; a mapping made in another generation is lost.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._last: tuple[int, float] | None = None

    def observe(self, epoch: int, now: float) -> None:
        """
        An answer came.

        @param epoch: seconds, as the router says.
        @param now: seconds of any monotonic clock.
        """
        if self._last is not None and not _is_steady(epoch - self._last[0], now - self._last[1]):
            self.generation += 1
        self._last = epoch, now


def _is_steady(theirs: float, ours: float) -> bool:
    """Whether two clocks that may differ by a 16th, and 2 seconds, could have gone on by so much in the same time."""
    return theirs >= -1 and ours + 2 >= theirs - theirs / 16 and theirs + 2 >= ours - ours / 16
