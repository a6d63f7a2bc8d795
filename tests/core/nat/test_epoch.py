"""
Tests for L{devp2p_tx.core.nat.epoch}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.nat.epoch import RouterEpoch


class EpochTests(SynchronousTestCase):
    """L{RouterEpoch}."""

    def generations(self, *observed: tuple[int, float]) -> list[int]:
        """What it says after each answer: the epoch, and our time."""
        epoch, found = RouterEpoch(), []
        for theirs, ours in observed:
            epoch.observe(theirs, ours)
            found.append(epoch.generation)
        return found

    def test_steady(self) -> None:
        """A clock that goes on as ours does, a sixteenth and two seconds aside, is that of a router that remembers."""
        self.assertEqual(
            self.generations((1000, 5.0), (1120, 125.0), (1120 + 113, 245.0), (1233 + 130, 365.0)), [0] * 4
        )

    def test_went_back(self) -> None:
        """One that went back by more than a second was started anew."""
        self.assertEqual(self.generations((1000, 5.0), (999, 5.5), (0, 6.0), (1, 7.0)), [0, 0, 1, 1])

    def test_too_slow(self) -> None:
        """Also if it was started so long ago that it is past the old time."""
        self.assertEqual(self.generations((10, 0.0), (20, 1000.0)), [0, 1])

    def test_too_fast(self) -> None:
        """A clock that ran ahead is another one."""
        self.assertEqual(self.generations((10, 0.0), (10_000, 10.0)), [0, 1])
