"""
Tests for L{devp2p_tx.core.addressing.sourcebudget}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.sourcebudget import SourceBudget

STRANGER = ip_address("99.1.2.3")


class BudgetTests(SynchronousTestCase):
    """Packets by source."""

    def setUp(self) -> None:
        """Two packets a second, three at once."""
        self.budget = SourceBudget(rate=2, burst=3, max_sources=4)

    def taken(self, now: float, source: str = "99.1.2.3") -> int:
        """How many packets get through at one time."""
        count = 0
        while count < 100 and self.budget.take(ip_address(source), now):
            count += 1
        return count

    def test_burst_and_rate(self) -> None:
        """A burst, then as many as time allows; silence fills the budget, but not beyond a burst."""
        self.assertEqual(self.taken(10.0), 3)
        self.assertEqual(self.taken(10.4), 0)
        self.assertEqual(self.taken(10.5), 1)
        self.assertEqual(self.taken(11.5), 2)
        self.assertEqual(self.taken(1000.0), 3)

    def test_sources_apart(self) -> None:
        """One source's noise is not another's; an IPv6 /64 is one source."""
        self.assertEqual(self.taken(0.0), 3)
        self.assertEqual(self.taken(0.0, "99.1.2.4"), 3)
        self.assertEqual(self.taken(0.0, "2a00::1"), 3)
        self.assertEqual(self.taken(0.0, "2a00::2"), 0)
        self.assertEqual(self.taken(0.0, "2a00:0:0:1::2"), 3)

    def test_networks(self) -> None:
        """Where fewer bits name a source, more addresses share a budget."""
        self.budget = SourceBudget(rate=2, burst=3, max_sources=4, bits_4=24, bits_6=48)
        self.assertEqual(self.taken(0.0, "99.1.2.3"), 3)
        self.assertEqual(self.taken(0.0, "99.1.2.4"), 0)
        self.assertEqual(self.taken(0.0, "99.1.3.4"), 3)
        self.assertEqual(self.taken(0.0, "2a00:0:0:1::2"), 3)
        self.assertEqual(self.taken(0.0, "2a00:0:0:2::2"), 0)
        self.assertEqual(self.taken(0.0, "2a00:0:1::"), 3)

    def test_nat64(self) -> None:
        """Hosts that are reached through NAT64 are told apart, and are the hosts that they are without it."""
        self.assertEqual(self.taken(0.0, "64:ff9b::99.1.2.3"), 3)
        self.assertEqual(self.taken(0.0, "64:ff9b::99.1.2.4"), 3)
        self.assertEqual(self.taken(0.0, "99.1.2.4"), 0)

    def test_bound(self) -> None:
        """However many sources there are, no more than twice the bound is remembered, the recent ones among them."""
        for number in range(1000):
            self.budget.take(IPv4Address(0x63000000 + number), 0.0)
            self.assertLessEqual(len(self.budget), 8)
        self.assertEqual(self.taken(0.0, str(IPv4Address(0x63000000 + 999))), 2)
        self.assertEqual(self.taken(0.0, "99.0.0.0"), 3)

    def test_remembered_over_generations(self) -> None:
        """A source that goes on sending is not forgotten because others come."""
        self.assertEqual(self.taken(0.0), 3)
        for number in range(20):
            self.budget.take(IPv4Address(0x63000000 + number), 0.0)
            self.assertEqual(self.taken(0.0), 0)

    def test_clock_set_back(self) -> None:
        """A source waits no longer than after a full burst."""
        self.assertEqual(self.taken(10_000.0), 3)
        self.assertEqual(self.taken(0.0), 0)
        self.assertEqual(self.taken(0.5), 1)
