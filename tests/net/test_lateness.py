"""
Tests for L{devp2p_tx.net.timing.lateness}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.lateness import Lateness
from devp2p_tx.net.timing.lateness import INTERVAL, LatenessProbe


class LatenessProbeTests(SynchronousTestCase):
    """A probe on a virtual clock."""

    def setUp(self) -> None:
        self.clock, self.lateness = Clock(), Lateness()
        self.probe = LatenessProbe(self.clock, self.clock.seconds, self.lateness)

    def test_late(self) -> None:
        """A call that comes 40 ms late leaves a quarter."""
        self.probe.look(self.clock.seconds())
        self.clock.advance(INTERVAL + 0.040)
        self.assertAlmostEqual(self.lateness.share, 0.25)

    def test_one_at_a_time(self) -> None:
        """However often it is asked for, one call is under way, and none when nobody asks any more."""
        for _ in range(10):
            self.probe.look(self.clock.seconds())
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(INTERVAL)
        self.assertEqual((self.clock.getDelayedCalls(), self.lateness.share), ([], 1.0))
        self.probe.look(self.clock.seconds())
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_stopped(self) -> None:
        """Nothing is left, and to stop it again does no harm."""
        self.probe.look(self.clock.seconds())
        for _ in range(2):
            self.probe.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
