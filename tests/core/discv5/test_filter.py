"""
Tests for L{devp2p_tx.core.discv5.filter}.
"""

from __future__ import annotations

from ipaddress import ip_address
from math import inf

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.packetlimit import PacketRateLimiter
from devp2p_tx.core.addressing.sourcebudget import Allowance
from devp2p_tx.core.discv5.filter import BanList, PacketFilter

STRANGER = ip_address("99.1.2.3")


class BanListTests(SynchronousTestCase):
    """Bans that end."""

    def setUp(self) -> None:
        self.bans: BanList[str] = BanList(3)

    def test_expiry(self) -> None:
        """A ban holds until its time, and is then forgotten."""
        self.bans.add("a", 10.0)
        self.assertTrue(self.bans.has("a", 9.9))
        self.assertFalse(self.bans.has("b", 9.9))
        self.assertFalse(self.bans.has("a", 10.0))
        self.assertEqual(len(self.bans), 0)

    def test_for_ever(self) -> None:
        """Unless it is removed."""
        self.bans.add("a", inf)
        self.assertTrue(self.bans.has("a", 1e12))
        self.bans.remove("a")
        self.bans.remove("a")
        self.assertFalse(self.bans.has("a", 0.0))

    def test_anew(self) -> None:
        """The newest word counts."""
        self.bans.add("a", 10.0)
        self.bans.add("a", 5.0)
        self.assertFalse(self.bans.has("a", 6.0))

    def test_bound(self) -> None:
        """The oldest ban goes."""
        for name in "abcad":
            self.bans.add(name, 10.0)
        self.assertEqual([name for name in "abcd" if self.bans.has(name, 0.0)], ["a", "c", "d"])


class PacketFilterTests(SynchronousTestCase):
    """Bans and budgets."""

    def test_mapped_address(self) -> None:
        """Who bans IPv4 in IPv6 clothes means the address inside."""
        packet_filter = PacketFilter()
        packet_filter.ban_host(ip_address("::ffff:99.1.2.3"), 10.0)
        self.assertTrue(packet_filter.hosts.has(STRANGER, 0.0))

    def test_budgets(self) -> None:
        """That of the host is used up first, then that of its network, by other hosts."""
        packet_filter = PacketFilter(PacketRateLimiter(source=Allowance(1, 2), network=Allowance(1, 3)))
        taken = [packet_filter.take(ip_address(f"99.1.2.{last}"), 0.0) for last in (1, 1, 1, 2, 2, 3)]
        self.assertEqual(taken, [True, True, False, True, False, False])
        self.assertTrue(packet_filter.take(ip_address("99.1.3.1"), 0.0))

    def test_default_budgets(self) -> None:
        """A host cannot use up the budget of its network alone."""
        packet_filter = PacketFilter()
        while packet_filter.take(STRANGER, 0.0):
            pass
        self.assertTrue(packet_filter.take(ip_address("99.1.2.4"), 0.0))
