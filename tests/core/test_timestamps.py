"""
Tests for L{devp2p_tx.core.timestamps}.
"""

from __future__ import annotations

from math import inf

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.timestamps import MAX_SKEW, age, distance

NOW = 1_700_000_000.0
DAY, YEAR = 86400.0, 365 * 86400.0


class TimestampTests(SynchronousTestCase):
    """From both sides."""

    def test_age(self) -> None:
        """What is to come has none, but for a clock that was set back a little."""
        self.assertEqual(MAX_SKEW, 60.0)
        for ahead, expected in (
            (-YEAR, YEAR),
            (-DAY, DAY),
            (-1, 1),
            (0, 0),
            (60, 0),
            (60.1, inf),
            (DAY, inf),
            (YEAR, inf),
        ):
            self.assertEqual(age(NOW + ahead, NOW), expected)

    def test_distance(self) -> None:
        """Both sides are alike."""
        for ahead in (-YEAR, -DAY, 0, DAY, YEAR):
            self.assertEqual(distance(NOW + ahead, NOW), abs(ahead))

    def test_never(self) -> None:
        """It was never, even by a clock that begins at 1970."""
        for now in (0.0, 5.0, DAY, NOW):
            self.assertEqual((age(0, now), distance(0, now)), (inf, inf))
