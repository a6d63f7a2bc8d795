"""
Tests for L{devp2p_tx.node.inbound}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from typing import Any, cast

from twisted.internet import address
from twisted.internet.address import UNIXAddress
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.node import inbound
from devp2p_tx.node.inbound import InboundFactory, InboundRefusal, InboundThrottle

PUBLIC, OTHER = ip_address("23.55.1.242"), ip_address("2a00::1")
THROTTLED, RESTRICTED, PENDING = InboundRefusal.THROTTLED, InboundRefusal.NETRESTRICT, InboundRefusal.PENDING


class ThrottleTests(SynchronousTestCase):
    """L{InboundThrottle}."""

    def setUp(self) -> None:
        self.throttle = InboundThrottle()

    def test_thirty_seconds(self) -> None:
        """An address may connect again when 30 seconds are over, and not before."""
        moments = [(0, True), (0, False), (29.9, False), (30, True), (59.9, False), (60, True)]
        for now, admitted in moments:
            self.assertEqual(self.throttle.admit(PUBLIC, now), admitted, now)

    def test_trying_does_not_prolong(self) -> None:
        """The time runs from the connection that was let in, however often the address tries."""
        self.throttle.admit(PUBLIC, 0)
        for second in range(1, 30):
            self.assertFalse(self.throttle.admit(PUBLIC, second))
        self.assertTrue(self.throttle.admit(PUBLIC, 30))

    def test_addresses_are_apart(self) -> None:
        """One address does not keep another out."""
        self.assertTrue(self.throttle.admit(PUBLIC, 0))
        self.assertTrue(self.throttle.admit(OTHER, 0))
        self.assertTrue(self.throttle.admit(PUBLIC + 1, 0))
        self.assertFalse(self.throttle.admit(OTHER, 1))

    def test_lan_is_exempt(self) -> None:
        """Local addresses may connect as often as they like, and take no room."""
        self.patch(inbound, "MAX_REMEMBERED", 1)
        self.throttle.admit(PUBLIC, 0)
        for text in ("127.0.0.1", "192.168.1.4", "10.0.0.1", "169.254.1.1", "::1", "fe80::1", "fc00::1"):
            for _ in range(3):
                self.assertTrue(self.throttle.admit(ip_address(text), 0), text)
        self.assertFalse(self.throttle.admit(PUBLIC, 0))

    def test_bound(self) -> None:
        """At the bound the oldest address is forgotten, and only that."""
        first = int(IPv4Address("60.0.0.0"))
        addresses = [IPv4Address(first + number) for number in range(inbound.MAX_REMEMBERED + 1)]
        for number, ip in enumerate(addresses):
            self.assertTrue(self.throttle.admit(ip, number * 1e-4))
        self.assertEqual(len(self.throttle._expiries), inbound.MAX_REMEMBERED)
        self.assertFalse(self.throttle.admit(addresses[1], 10))
        self.assertFalse(self.throttle.admit(addresses[-1], 10))
        self.assertTrue(self.throttle.admit(addresses[0], 10))

    def test_expired_are_forgotten(self) -> None:
        """What is remembered shrinks again."""
        for number in range(100):
            self.throttle.admit(PUBLIC + number, number)
        self.throttle.admit(PUBLIC + 1000, 99 + 30)
        self.assertEqual(len(self.throttle._expiries), 1)


class FactoryTests(SynchronousTestCase):
    """L{InboundFactory}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.refusals: list[InboundRefusal] = []
        self.built: list[Protocol] = []

    def factory(self, maxPending: int = 50, netrestrict: str | None = None) -> InboundFactory:
        """A factory that makes plain protocols."""
        return InboundFactory(
            cast(Any, self._accepted),
            self.refusals.append,
            self.clock.seconds,
            maxPending,
            AddressPolicy(None if netrestrict is None else Netlist.parse(netrestrict)),
        )

    def _accepted(self) -> Protocol:
        self.built.append(Protocol())
        return self.built[-1]

    def come(self, factory: InboundFactory, host: str, port: int = 40000) -> bool:
        """Whether a connection from an address is let in."""
        kind = address.IPv6Address if ":" in host else address.IPv4Address
        protocol = factory.buildProtocol(kind("TCP", host, port))
        if protocol is not None:
            self.assertIs(protocol, self.built[-1])
        return protocol is not None

    def test_let_in(self) -> None:
        """Without any restriction everybody is."""
        factory = self.factory()
        self.assertTrue(self.come(factory, "23.55.1.242"))
        self.assertTrue(self.come(factory, "2a00::1"))
        self.assertEqual((self.refusals, factory.pending), ([], 2))

    def test_throttled_by_address(self) -> None:
        """The port does not matter; an IPv4 address in IPv6 clothes is the same address."""
        factory = self.factory()
        self.assertTrue(self.come(factory, "23.55.1.242", 1))
        self.assertFalse(self.come(factory, "23.55.1.242", 2))
        self.assertFalse(self.come(factory, "::ffff:23.55.1.242"))
        self.clock.advance(30)
        self.assertTrue(self.come(factory, "::ffff:23.55.1.242"))
        self.assertEqual(self.refusals, [THROTTLED, THROTTLED])

    def test_zone(self) -> None:
        """A link-local address comes with its interface; it is of the LAN all the same."""
        factory = self.factory(netrestrict="fe80::/10")
        self.assertTrue(self.come(factory, "fe80::1%eth0"))
        self.assertTrue(self.come(factory, "fe80::1%eth0"))

    def test_netrestrict(self) -> None:
        """Only addresses of the list."""
        factory = self.factory(netrestrict="10.0.0.0/8,2a00::/16")
        for host, admitted in [("10.1.1.1", True), ("::ffff:10.1.1.1", True), ("2a00::5", True), ("11.0.0.1", False)]:
            self.assertEqual(self.come(factory, host), admitted, host)
        self.assertEqual(self.refusals, [RESTRICTED])

    def test_empty_netrestrict(self) -> None:
        """Nobody, not even this host itself."""
        factory = self.factory(netrestrict="")
        for host in ("127.0.0.1", "23.55.1.242", "::1"):
            self.assertFalse(self.come(factory, host), host)
        self.assertEqual(self.refusals, [RESTRICTED] * 3)

    def test_restricted_is_not_remembered(self) -> None:
        """Strangers outside of the list take no room in the throttle."""
        factory = self.factory(netrestrict="10.0.0.0/8")
        self.come(factory, "23.55.1.242")
        self.assertEqual(len(factory._throttle._expiries), 0)

    def test_pending(self) -> None:
        """As many handshakes under way as may be, and one more for each that ends."""
        factory = self.factory(maxPending=2)
        self.assertEqual([self.come(factory, f"23.0.0.{n}") for n in range(3)], [True, True, False])
        factory.settled()
        self.assertEqual([self.come(factory, f"23.0.1.{n}") for n in range(2)], [True, False])
        self.assertEqual((self.refusals, factory.pending), ([PENDING, PENDING], 2))

    def test_pending_first(self) -> None:
        """With no room an address is not even remembered, so that it may come when there is."""
        factory = self.factory(maxPending=1)
        self.come(factory, "23.0.0.1")
        self.come(factory, "23.0.0.2")
        factory.settled()
        self.assertTrue(self.come(factory, "23.0.0.2"))

    def test_no_ip(self) -> None:
        """Who may reach a UNIX socket may come, as often as he likes, if there is room."""
        factory = self.factory(maxPending=2, netrestrict="")
        for _ in range(2):
            self.assertIsNotNone(factory.buildProtocol(UNIXAddress(b"/tmp/socket")))
        self.assertIsNone(factory.buildProtocol(UNIXAddress(b"/tmp/socket")))
        self.assertIsNone(factory.buildProtocol(None))
        self.assertEqual(self.refusals, [PENDING, PENDING])

    def test_closed(self) -> None:
        """After the end nobody is let in."""
        factory = self.factory()
        factory.close()
        self.assertFalse(self.come(factory, "127.0.0.1"))
        self.assertEqual((self.refusals, factory.pending), ([InboundRefusal.STOPPED], 0))
