"""
Tests for L{devp2p_tx.core.addressing.handshakeslots}.
"""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.handshakeslots import HandshakeSlots


class SlotsTests(SynchronousTestCase):
    """L{HandshakeSlots}; connections are called by their addresses, with a number where one has several."""

    def setUp(self) -> None:
        self.slots: HandshakeSlots[str] = HandshakeSlots(8)
        self.now = 0.0

    def enter(self, *names: str) -> list[str]:
        """Let connections in, a second apart; those that gave way."""
        left = []
        for name in names:
            self.now += 1
            leaves = self.slots.enter(name, ip_address(name.partition("#")[0]), self.now)
            self.assertIn(name, self.slots)
            if leaves is not None:
                self.assertNotIn(leaves, self.slots)
                left.append(leaves)
        self.assertLessEqual(len(self.slots), self.slots.limit)
        return left

    def several(self, form: str, count: int) -> list[str]:
        """Addresses."""
        return [form.format(number) for number in range(1, count + 1)]

    def test_room(self) -> None:
        """With room for all none gives way."""
        self.assertEqual(self.enter(*self.several("{}.0.0.1", 8)), [])
        self.assertEqual(len(self.slots), 8)

    def test_longest_silent(self) -> None:
        """Of as many networks as there are slots, the one that has made no progress for the longest time."""
        self.enter(*self.several("{}.0.0.1", 8))
        self.slots.progressed("1.0.0.1", self.now)
        self.assertEqual(self.enter("50.0.0.1", "51.0.0.1"), ["2.0.0.1", "3.0.0.1"])

    def test_fullest_network(self) -> None:
        """Of a network that has more than others one gives way, though others have been silent for longer."""
        self.enter(*self.several("{}.0.0.1", 6), "7.0.0.1", "7.0.0.2")
        self.assertEqual(self.enter("50.0.0.1"), ["7.0.0.1"])

    def test_widest_first(self) -> None:
        """Many /24s of one /16 are one network; within it the fullest /24, and there the fullest address."""
        self.enter("1.0.0.1", "7.7.1.1", "7.7.2.1", "7.7.3.1", "7.7.4.1#1", "7.7.4.1#2", "8.0.0.1", "8.0.0.2")
        self.assertEqual(self.enter("50.0.0.1", "51.0.0.1"), ["7.7.4.1#1", "7.7.1.1"])

    def test_ipv6(self) -> None:
        """Of IPv6 the /32, the /48, and the /64."""
        self.slots.limit = 12
        self.enter("2a00:1:1::1", "2a00:1:2:1::1", "2a00:1:2::1", "2a00:1:2:0:5::1", *self.several("2a0{}::", 8))
        self.assertEqual(self.enter("2b00::1"), ["2a00:1:2::1"])

    def test_share(self) -> None:
        """A network has a quarter of the slots: its newcomer takes the place of another of it, though there is room."""
        self.assertEqual(self.enter("7.0.0.1", "7.0.0.2", "9.0.0.1"), [])
        self.assertEqual(self.enter("7.0.0.3", "7.0.1.1"), ["7.0.0.1"])
        self.assertEqual(self.enter("2a00::1", "2a00:0:0:1::1", "2a00:0:0:2::1"), ["2a00::1"])

    def test_share_of_the_lan(self) -> None:
        """Networks of the LAN, and connections without an address, have all of them."""
        self.assertEqual(self.enter(*self.several("10.0.0.{}", 8)), [])
        self.assertEqual(self.enter("10.0.0.9", "23.0.0.1"), ["10.0.0.1", "10.0.0.2"])
        slots: HandshakeSlots[int] = HandshakeSlots(3)
        self.assertEqual([slots.enter(number, None, number) for number in range(5)], [None, None, None, 0, 1])

    def test_single_slot(self) -> None:
        """The newest holds it."""
        self.slots.limit = 1
        self.assertEqual(self.enter("7.0.0.1", "7.0.0.2", "8.0.0.1"), ["7.0.0.1", "7.0.0.2"])

    def test_newcomer_in_the_fullest(self) -> None:
        """A newcomer from the fullest network gets in, at its network's cost."""
        self.enter(*self.several("127.0.0.{}", 7), "23.0.0.1")
        self.assertEqual(self.enter("127.0.0.99"), ["127.0.0.1"])

    def test_leave(self) -> None:
        """Who leaves makes room, once, and nothing is kept of it."""
        names = self.several("{}.0.0.1", 8)
        self.enter(*names)
        for name in names * 2:
            self.slots.leave(name)
            self.slots.progressed(name, 1)
        self.assertEqual((len(self.slots), dict(self.slots._counts)), (0, {}))

    def test_honest_among_many(self) -> None:
        """
        However many addresses of however many networks come, one whose network has no other stays until it has been
        silent while all others were replaced.
        """
        random = Random(1)
        self.slots.limit = 50
        attackers = [f"5.{n % 16}.{n % 20}.{n % 250 + 1}#{n}" for n in random.sample(range(5000), 5000)]
        self.enter(*attackers[:1000])
        self.enter("23.0.0.1")
        self.assertNotIn("23.0.0.1", self.enter(*attackers[1000:]))
