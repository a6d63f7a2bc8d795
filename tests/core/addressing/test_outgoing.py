"""
Tests for L{devp2p_tx.core.addressing.outgoing}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.outgoing import MAX_NETWORKS, OutgoingBudget


class OutgoingBudgetTests(SynchronousTestCase):
    """Packets to strangers."""

    def setUp(self) -> None:
        """Four a second and ten at once to all, one a second and three at once to each network."""
        self.budget = OutgoingBudget(4, 10, 1, 3)

    def taken(self, now: float, *addresses: str) -> int:
        """How many packets may be sent at one time, to the addresses in turn."""
        return sum(self.budget.take(ip_address(address), now) for address in addresses * 30)

    def test_each_network(self) -> None:
        """A /24 of IPv4 and a /48 of IPv6 each have their share, whoever is in them, and it grows again."""
        self.assertEqual(self.taken(0, "34.1.1.1", "34.1.1.200"), 3)
        self.assertEqual(self.taken(0, "34.1.2.1"), 3)
        self.assertEqual(self.taken(0, "2a00:0:1:1::1", "2a00:0:1:ffff::1"), 3)
        self.assertEqual(self.taken(1, "34.1.1.9"), 1)

    def test_all_networks(self) -> None:
        """However many networks there are, and whatever family."""
        addresses = [f"34.1.{number}.1" for number in range(8)] + [f"2a00:0:{number}::1" for number in range(8)]
        self.assertEqual(self.taken(0, *addresses), 10)
        self.assertEqual(self.taken(0.25, "35.1.1.1"), 1)
        self.assertEqual(self.taken(0.5, "36.1.1.1"), 1)

    def test_several_at_once(self) -> None:
        """All of them or none."""
        ip = ip_address("34.1.1.1")
        self.assertTrue(self.budget.take(ip, 0, 2))
        self.assertFalse(self.budget.take(ip, 0, 2))
        self.assertTrue(self.budget.take(ip, 0, 1))
        self.assertFalse(self.budget.take(ip, 1.5, 2))
        self.assertTrue(self.budget.take(ip, 2, 2))

    def test_lan(self) -> None:
        """Networks of the LAN get ten times as much, apart from what all others get."""
        for address in ("127.0.0.1", "192.168.1.1", "fd00::1", "64:ff9b::10.1.1.1"):
            self.assertEqual(self.taken(0, address, address), 30)
            self.assertEqual(self.taken(1, address), 10)
        self.assertEqual(self.taken(1, "34.1.1.1", "34.1.2.1", "34.1.3.1", "34.1.4.1"), 10)

    def test_bound(self) -> None:
        """However many networks are named, no more than twice the bound is remembered."""
        budget = OutgoingBudget(1e9, 10**9, 1, 3)
        for number in range(3 * MAX_NETWORKS):
            budget.take(IPv4Address(0x22000000 + (number << 8)), 0)
        self.assertLessEqual(len(budget), 2 * MAX_NETWORKS)

    def test_clock_set_back(self) -> None:
        """Nobody is locked out for longer than after a full burst."""
        self.assertEqual(self.taken(10_000, "34.1.1.1"), 3)
        self.assertEqual([self.taken(second, "34.1.1.1") for second in range(5)], [0, 0, 1, 1, 1])

    def test_wide_enough(self) -> None:
        """A full set of dials, and lookups of both versions with sixteen records asked for, never meet the budgets."""
        tcp, udp = OutgoingBudget.tcp(), OutgoingBudget.udp()
        for second in range(600):
            for number in range(4 if second else 50):
                self.assertTrue(tcp.take(IPv4Address(0x22000000 + (second * 64 + number << 8)), second))
            for number in range(100):
                self.assertTrue(udp.take(IPv4Address(0x22000000 + (second * 128 + number << 8)), second))
