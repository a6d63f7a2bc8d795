"""Tests for L{devp2p_tx.core.kademlia.distance}."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.kademlia.distance import log_distance
from tests.core.kademlia.nodes import OWN_ID, id_at

IDS = st.binary(min_size=32, max_size=32)


class LogDistanceTests(SynchronousTestCase):
    """The logarithmic distance."""

    def test_ofItself(self) -> None:
        """Only an id itself is at distance 0."""
        self.assertEqual(log_distance(OWN_ID, OWN_ID), 0)

    def test_extremes(self) -> None:
        """The last bit makes 1, the first makes 256."""
        self.assertEqual(log_distance(bytes(32), bytes(31) + b"\x01"), 1)
        self.assertEqual(log_distance(bytes(32), b"\x80" + bytes(31)), 256)

    @given(IDS, IDS)
    def test_symmetry(self, a: bytes, b: bytes) -> None:
        """Both ends measure alike."""
        self.assertEqual(log_distance(a, b), log_distance(b, a))

    @given(st.integers(1, 256), st.integers(0, 2**255), IDS)
    def test_helper(self, distance: int, tail: int, own_id: bytes) -> None:
        """The ids that the other tests make up are at the distance they are made for."""
        self.assertEqual(log_distance(own_id, id_at(distance, tail, own_id)), distance)
