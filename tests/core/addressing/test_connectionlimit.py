"""
Tests for L{devp2p_tx.core.addressing.connectionlimit}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing import connectionlimit
from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.connectionlimit import (
    ALL_BURST,
    ALL_RATE,
    INTERVAL,
    LAN_BURST,
    LAN_INTERVAL,
    MAX_COST,
    MAX_KNOWN,
    NETWORK_BURST,
    RESERVE,
    Budget,
    ConnectionRateLimiter,
    ConnectionRefusal,
)

PUBLIC, OTHER, LOOPBACK = ip_address("23.55.1.242"), ip_address("2a00::1"), ip_address("127.0.0.1")
THROTTLED, OVER_BUDGET = ConnectionRefusal.THROTTLED, ConnectionRefusal.OVER_BUDGET


class LimiterTests(SynchronousTestCase):
    """What the tests of the limiter share."""

    def setUp(self) -> None:
        self.limiter = ConnectionRateLimiter()

    def admits(self, ip: IPAddress, now: float) -> bool:
        """Whether a connection is let in."""
        return self.limiter.admit(ip, now) is None

    def drain(self, now: float = 0.0) -> int:
        """Connect from one address of each /24 until no stranger is let in; how many were."""
        for number in range(ALL_BURST + 1):
            if self.limiter.admit(IPv4Address((60 << 24) + (number << 8)), now) is not None:
                return number
        raise AssertionError("there is no bound")


class SourceTests(LimiterTests):
    """One address."""

    def test_thirty_seconds(self) -> None:
        """An address may connect again when 30 seconds are over, and not before."""
        moments = [(0, True), (0, False), (29.9, False), (30, True), (59.9, False), (60, True)]
        for now, admitted in moments:
            self.assertEqual(self.admits(PUBLIC, now), admitted, now)

    def test_trying_does_not_prolong(self) -> None:
        """The time runs from the connection that was let in, however often the address tries."""
        self.admits(PUBLIC, 0)
        for second in range(1, 30):
            self.assertIs(self.limiter.admit(PUBLIC, second), THROTTLED)
        self.assertTrue(self.admits(PUBLIC, 30))

    def test_addresses_are_apart(self) -> None:
        """One address does not keep another out; of IPv6 a /64 is one."""
        for ip, admitted in ((PUBLIC, True), (OTHER, True), (PUBLIC + 1, True), (OTHER + 1, False)):
            self.assertEqual(self.admits(ip, 0), admitted, ip)
        self.assertTrue(self.admits(OTHER + (1 << 64), 0))

    def test_lan(self) -> None:
        """Local addresses make a hundred at once and two a second, each by itself; not as many as they like."""
        for text in ("127.0.0.1", "192.168.1.4", "10.0.0.1", "169.254.1.1", "::1", "fe80::1", "fc00::1"):
            ip = ip_address(text)
            self.assertEqual(sum(self.admits(ip, 0) for _ in range(3 * LAN_BURST)), LAN_BURST, text)
            self.assertEqual([self.admits(ip, LAN_INTERVAL) for _ in range(2)], [True, False], text)
        self.assertTrue(self.admits(ip_address("127.0.0.2"), 0))

    def test_clock_set_back(self) -> None:
        """A clock that goes backwards locks nobody out."""
        self.admits(PUBLIC, 1e9)
        self.assertTrue(self.admits(PUBLIC, 0))

    def test_bound(self) -> None:
        """Sources remembered are bounded; one that was not forgotten is still throttled."""
        self.patch(connectionlimit, "MAX_SOURCES", 64)
        for number in range(1000):
            self.admits(IPv4Address((60 << 24) + (number << 8)), 0)
        self.assertLessEqual(self.limiter.remembered, 4 * 64)
        self.assertFalse(self.admits(IPv4Address((60 << 24) + (999 << 8)), 1))


class SharedTests(LimiterTests):
    """The budgets that all, and those of a network, share."""

    def test_all(self) -> None:
        """All together make so many at once, of which the reserve is kept, and so many a second."""
        self.assertEqual(self.drain(), ALL_BURST - ALL_BURST * RESERVE)
        self.assertIs(self.limiter.admit(PUBLIC, 0), OVER_BUDGET)
        self.assertTrue(self.admits(PUBLIC, 1 / ALL_RATE))

    def test_not_counted(self) -> None:
        """Who was refused since all were too many has not spent his own."""
        self.drain()
        self.assertFalse(self.admits(PUBLIC, 0))
        self.assertTrue(self.admits(PUBLIC, 1))

    def test_known(self) -> None:
        """An address from which a node proved itself gets in when strangers do not; one at a time all the same."""
        self.limiter.note_known(PUBLIC, 0)
        self.drain(1)
        self.assertTrue(self.admits(PUBLIC, 1))
        self.assertIs(self.limiter.admit(PUBLIC, 1), THROTTLED)
        self.assertFalse(self.limiter.is_known(PUBLIC, connectionlimit.KNOWN_LIFETIME))
        self.assertTrue(self.limiter.is_known(PUBLIC, connectionlimit.KNOWN_LIFETIME - 1))

    def test_known_are_bounded(self) -> None:
        """The one that proved itself the longest time ago is forgotten."""
        for number in range(MAX_KNOWN + 1):
            self.limiter.note_known(IPv4Address((60 << 24) + number), 0)
        known = [self.limiter.is_known(IPv4Address((60 << 24) + number), 1) for number in range(MAX_KNOWN + 1)]
        self.assertEqual(known, [False] + [True] * MAX_KNOWN)

    def test_network_of_ipv4(self) -> None:
        """All addresses of a /24, each as often as it may, do not use up its budget: another of them gets in."""
        for now in range(0, 300, 30):
            for number in range(255):
                self.assertTrue(self.admits(IPv4Address("23.55.1.0") + number, now + number / 100))
            self.assertTrue(self.admits(IPv4Address("23.55.1.255"), now + 2.56))

    def test_network_of_ipv6(self) -> None:
        """The /64s of a /48 do; other networks are not touched."""
        base = int(IPv6Address("2a00:1::"))
        admitted = sum(self.admits(IPv6Address(base + (number << 64)), 0) for number in range(2 * NETWORK_BURST))
        self.assertEqual(admitted, NETWORK_BURST)
        self.assertIs(self.limiter.admit(IPv6Address(base + (5000 << 64)), 0), OVER_BUDGET)
        self.assertTrue(self.admits(IPv6Address("2a00:2::1"), 0))

    def test_pressed(self) -> None:
        """While an eighth of the budget of all is used up, sources of the LAN make two, and one more in 15 seconds."""
        busy, fresh = IPv4Address("127.1.0.1"), IPv4Address("127.2.0.1")
        for _ in range(3):
            self.assertTrue(self.admits(busy, 0))
        self.limiter._all.spend((0, 0), 0.6 * ALL_BURST, 0)
        self.assertEqual([self.limiter.admit(busy, 0), self.limiter.admit(busy, 14)], [THROTTLED] * 2)
        self.assertEqual([self.admits(fresh, 0) for _ in range(3)], [True, True, False])
        self.assertEqual([self.admits(busy, 15), self.admits(busy, 15)], [True, False])
        self.assertEqual([self.admits(busy, 90) for _ in range(4)], [True] * 4)

    def test_pressed_network(self) -> None:
        """Likewise those of a network whose budget is half used up; others are not touched."""
        for number in range(4):
            for _ in range(NETWORK_BURST // 8 + 1):
                self.admits(IPv4Address("10.0.0.1") + number, 0)
        self.assertIs(self.limiter.admit(IPv4Address("10.0.0.1"), 0), THROTTLED)
        self.assertTrue(self.admits(IPv4Address("10.0.0.99"), 0))
        self.assertTrue(self.admits(IPv4Address("10.0.1.1"), 0))
        self.assertTrue(self.admits(IPv4Address("10.0.1.1"), 0))

    def test_late(self) -> None:
        """While the reactor is late all together make less."""
        self.limiter.lateness.note(0.1)
        self.assertAlmostEqual(self.limiter.lateness.share, 0.1)
        self.assertEqual(self.drain(), ALL_BURST * (1 - RESERVE) / MAX_COST)


class BudgetTests(SynchronousTestCase):
    """L{Budget}."""

    def test_budget(self) -> None:
        """What was spent comes back in time."""
        budget = Budget(2.0, 3)
        key = 4, 1
        for now, spend, left in ((0, 2, 1), (2, 0, 2), (4, 3, 0), (5, 0, 0.5), (100, 0, 3)):
            if spend:
                budget.spend(key, spend, now)
            self.assertAlmostEqual(budget.left(key, now), left, msg=str(now))
        self.assertEqual(INTERVAL, 30.0)
