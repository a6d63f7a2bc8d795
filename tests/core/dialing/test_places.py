"""
Tests for L{devp2p_tx.core.dialing.places}.
"""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.dialing.places import PeerClass, Places

A, B, C, D, E = (bytes([number]) * 32 for number in range(5))


class CountTests(SynchronousTestCase):
    """What counts against what."""

    def test_table(self) -> None:
        """The table of the documentation: whether a peer takes one of all places, a dialed and an inbound one."""
        table = {
            (True, True, True): (0, 0, 0),
            (True, True, False): (0, 0, 0),
            (True, False, True): (0, 0, 0),
            (True, False, False): (0, 0, 0),
            (False, True, True): (1, 0, 0),
            (False, True, False): (1, 0, 0),
            (False, False, True): (1, 1, 0),
            (False, False, False): (1, 0, 1),
        }
        for (trusted, static, dialed), taken in table.items():
            places = Places(5, 2, [A] if trusted else [])
            places.set_static(A, static)
            places.add(A, dialed)
            counts = places.taken, places.count(PeerClass.DIALED), places.count(PeerClass.INBOUND)
            self.assertEqual(counts, taken, (trusted, static, dialed))
            self.assertEqual(places.free_dialed, 2 - taken[1])

    def test_changed_later(self) -> None:
        """A peer that becomes static or trusted, or is so no longer, counts as that from then on."""
        places = Places(2, 1)
        places.add(A, True)
        kinds = []
        for change in (
            lambda: places.set_static(A, True),
            lambda: places.set_trusted(A, True),
            lambda: places.set_static(A, False),
            lambda: places.set_trusted(A, False),
        ):
            change()
            kinds += [kind for kind in PeerClass if places.count(kind)]
        self.assertEqual(kinds, [PeerClass.STATIC, PeerClass.TRUSTED, PeerClass.TRUSTED, PeerClass.DIALED])

    def test_room(self) -> None:
        """Strangers need a place, and to call us an inbound one; static nodes a place beside other static ones."""
        places = Places(3, 1, [D])
        places.set_static(C, True)
        places.add(A, False)
        self.assertTrue(places.has_room(E, False))
        places.add(B, False)
        rooms = {(each, dialed): places.has_room(each, dialed) for each, dialed in product((C, D, E), (True, False))}
        self.assertEqual([key for key, room in rooms.items() if not room], [(E, False)])
        places.add(E, True)
        self.assertEqual([places.has_room(each, True) for each in (C, D, bytes(32) + b"x")], [True, True, False])
        none = Places(0, 0, [D])
        none.set_static(C, True)
        self.assertEqual([none.has_room(each, True) for each in (C, D, E)], [False, True, False])

    def test_free_dialed(self) -> None:
        """Not more than there are places at all."""
        places = Places(3, 2)
        for each in (A, B):
            places.set_static(each, True)
            places.add(each, True)
        self.assertEqual(places.free_dialed, 1)
        places.add(C, False)
        self.assertEqual(places.free_dialed, 0)

    def test_gives_way(self) -> None:
        """The youngest stranger, once, and not as long as there is room."""
        places = Places(2, 1, [D])
        for each in (A, B, D):
            places.add(each, False)
        self.assertIsNone(places.give_way(D))
        places.set_static(C, True)
        places.add(C, True)
        self.assertEqual([places.give_way(each) for each in (A, D)], [None, None])
        self.assertEqual(places.give_way(C), B)
        self.assertEqual((places.taken, B in places, len(places)), (2, True, 4))
        self.assertIsNone(places.give_way(C))
        places.remove(B)
        self.assertEqual((places.taken, B in places), (2, False))
        places.remove(C)
        places.add(B, False)
        self.assertEqual(places.taken, 2)

    def test_nobody_to_give_way(self) -> None:
        """Neither static nor trusted ones do."""
        places = Places(1, 1, [D])
        for each in (A, B):
            places.set_static(each, True)
            places.add(each, True)
        places.add(D, True)
        self.assertEqual([places.give_way(each) for each in (A, B, D)], [None] * 3)

    @settings(max_examples=60)
    @given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from("adtTsSrg"))))
    def test_counts_hold(self, steps: list[tuple[int, str]]) -> None:
        """Whatever happens, what is counted is what is there."""
        places, peers, leaving = Places(3, 1), dict[bytes, bool](), set[bytes]()
        trusted, static = set[bytes](), set[bytes]()
        for number, step in steps:
            each = bytes([number]) * 32
            if step in "ad" and each not in peers:
                peers[each] = step == "d"
                places.add(each, step == "d")
            elif step in "tT":
                places.set_trusted(each, step == "T")
                (trusted.add if step == "T" else trusted.discard)(each)
            elif step in "sS":
                places.set_static(each, step == "S")
                (static.add if step == "S" else static.discard)(each)
            elif step == "r":
                peers.pop(each, None)
                leaving.discard(each)
                places.remove(each)
            elif step == "g" and (gone := places.give_way(each)) is not None:
                leaving.add(gone)
            there = [each for each in peers if each not in leaving]
            self.assertEqual(places.taken, len([each for each in there if each not in trusted]))
            strangers = [each for each in there if each not in trusted | static]
            self.assertEqual(places.count(PeerClass.DIALED), len([each for each in strangers if peers[each]]))
            self.assertEqual(len(places), len(peers))
