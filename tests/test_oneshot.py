"""
Tests for L{devp2p_tx._oneshot}.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx._oneshot import OneShot


class OneShotTests(SynchronousTestCase):
    """L{OneShot}."""

    def setUp(self) -> None:
        self.shot: OneShot[int] = OneShot()

    def test_before_and_after(self) -> None:
        """Whoever asks gets the result, early or late."""
        early = [self.shot.when(), self.shot.when()]
        for each in early:
            self.assertNoResult(each)
        self.shot.fire(1)
        self.assertEqual([self.successResultOf(each) for each in [*early, self.shot.when()]], [1, 1, 1])

    def test_everybody_has_his_own(self) -> None:
        """What one asker makes of the result is nothing to the others."""
        spoilt = self.shot.when().addCallback(lambda result: "spoilt")
        other = self.shot.when()
        self.shot.fire(1)
        self.assertEqual((self.successResultOf(spoilt), self.successResultOf(other)), ("spoilt", 1))
        self.shot.when().addCallback(lambda result: "spoilt")
        self.assertEqual(self.successResultOf(self.shot.when()), 1)

    def test_failure(self) -> None:
        """A failure comes to everybody too."""
        early = self.shot.when()
        self.shot.fire(Failure(ValueError("no")))
        self.failureResultOf(early, ValueError)
        self.failureResultOf(self.shot.when(), ValueError)

    def test_once(self) -> None:
        """The first call counts."""
        early = self.shot.when()
        self.shot.fire(1)
        self.shot.fire(2)
        self.assertEqual((self.successResultOf(early), self.successResultOf(self.shot.when())), (1, 1))

    def test_nothing_is_a_result(self) -> None:
        """C{None} is as good as any."""
        shot: OneShot[None] = OneShot()
        shot.fire(None)
        self.assertIsNone(self.successResultOf(shot.when()))

    def test_cancel(self) -> None:
        """Who no longer waits is not told, and keeps nobody else from it."""
        impatient, patient = self.shot.when(), self.shot.when()
        impatient.cancel()
        self.failureResultOf(impatient, CancelledError)
        self.shot.fire(1)
        self.assertEqual(self.successResultOf(patient), 1)

    def test_asked_while_told(self) -> None:
        """An asker who asks again, or cancels another, while he is told, does no harm."""
        again: list[Deferred[int]] = []
        self.shot.when().addCallback(lambda result: again.append(self.shot.when()))
        self.shot.when().addCallback(lambda result: late.cancel())
        late = self.shot.when()
        self.shot.fire(1)
        self.assertEqual(self.successResultOf(again[0]), 1)
        self.failureResultOf(late, CancelledError)
