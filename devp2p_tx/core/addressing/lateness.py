"""
How late the reactor is, and what share of a budget for strangers that leaves.

The reactor calls late when it has more to do than time for it, whatever that is. Budgets that strangers share shrink
then, so that what was promised to others goes on.
"""

from __future__ import annotations

#: Up to this lateness a budget is whole (seconds).
TOLERATED = 0.010
#: However late the reactor is, this share of a budget is left.
MIN_SHARE = 1 / 16


class Lateness:
    """
    What is known of the reactor.

    @ivar share: how much of a budget may be used now: 1 while the reactor is on time, then in inverse proportion to the
        lateness, down to L{MIN_SHARE}.
    """

    __slots__ = ("_late", "share")

    def __init__(self) -> None:
        self._late = 0.0
        self.share = 1.0

    def note(self, late: float) -> None:
        """
        A call came so late. Lateness counts at once, and is forgotten by half with each call that comes on time.

        @param late: seconds; less than 0, as after a clock was set back, is none.
        """
        self._late = max(late, self._late / 2, 0.0)
        self.share = 1.0 if self._late <= TOLERATED else max(TOLERATED / self._late, MIN_SHARE)
