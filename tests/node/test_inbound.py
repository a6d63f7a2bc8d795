"""
Tests for L{devp2p_tx.node.inbound}.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, cast

from twisted.internet import address
from twisted.internet.address import UNIXAddress
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.node.inbound import MAX_SILENT, MAX_TRUSTED_PENDING, InboundFactory, InboundRefusal, TrustedAddresses
from tests.node.support import node

THROTTLED, RESTRICTED, GAVE_WAY = InboundRefusal.THROTTLED, InboundRefusal.NETRESTRICT, InboundRefusal.GAVE_WAY


class Abortable(Protocol):
    """Notes that it gave way."""

    aborted = False
    heard: Any = None

    def abort(self) -> None:
        """See L{RLPxProtocol}."""
        self.aborted = True


class FactoryTests(SynchronousTestCase):
    """L{InboundFactory}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.refusals: list[InboundRefusal] = []
        self.built: list[Any] = []

    def factory(
        self, maxPending: int = 50, netrestrict: str | None = None, trusted: TrustedAddresses | None = None
    ) -> InboundFactory:
        """A factory that makes plain protocols."""
        return InboundFactory(
            cast(Any, self._accepted),
            self.refusals.append,
            self.clock.seconds,
            maxPending,
            AddressPolicy(None if netrestrict is None else Netlist.parse(netrestrict)),
            trusted,
        )

    def _accepted(self) -> Protocol:
        self.built.append(Abortable())
        return self.built[-1]

    def come(self, factory: InboundFactory, host: str, port: int = 40000, speaks: bool = True) -> bool:
        """Whether a connection from an address is let in."""
        kind = address.IPv6Address if ":" in host else address.IPv4Address
        protocol = factory.buildProtocol(kind("TCP", host, port))
        if protocol is not None:
            self.assertIs(protocol, self.built[-1])
            if speaks and self.built[-1].heard is not None:
                self.built[-1].heard(self.built[-1])
        return protocol is not None

    def test_silent(self) -> None:
        """
        Connections that have sent nothing take no slot of those that have; they are bounded by themselves, and one of
        them that speaks, be it after it gave way, takes no second one.
        """
        factory = self.factory(maxPending=1)
        self.assertTrue(self.come(factory, "10.0.0.1"))
        for _ in range(MAX_SILENT):
            self.assertTrue(self.come(factory, f"10.0.1.{len(self.built) % 200}", speaks=False))
        self.assertEqual((self.refusals, factory.pending), ([], 1 + MAX_SILENT))
        self.assertTrue(self.come(factory, "10.0.3.1", speaks=False))
        self.assertEqual((self.refusals, factory.pending), ([GAVE_WAY], 1 + MAX_SILENT))
        [gone] = [each for each in self.built if each.aborted]
        gone.heard(gone)
        self.assertEqual(factory.pending, 1 + MAX_SILENT)
        self.assertFalse(self.built[0].aborted)
        self.built[-1].heard(self.built[-1])
        self.assertTrue(self.built[0].aborted)

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
        self.assertEqual(factory.limiter.remembered, 0)

    def test_gives_way(self) -> None:
        """With no slot left the newcomer gets that of the connection that has been silent longest."""
        factory = self.factory(maxPending=4)
        for n in range(4):
            self.clock.advance(1)
            self.assertTrue(self.come(factory, f"{n + 30}.0.0.1"))
        factory.progressed(self.built[0])
        self.assertTrue(self.come(factory, "23.0.0.1"))
        self.assertEqual([each.aborted for each in self.built], [False, True, False, False, False])
        self.assertEqual((self.refusals, factory.pending), ([GAVE_WAY], 4))

    def test_settled(self) -> None:
        """A connection whose handshakes are over holds no slot; saying so twice does no harm."""
        factory = self.factory(maxPending=1)
        for n in range(3):
            self.assertTrue(self.come(factory, f"{n + 30}.0.0.1"))
            factory.settled(self.built[-1])
            factory.settled(self.built[0])
        self.assertEqual((self.refusals, factory.pending), ([], 0))

    def test_throttle_first(self) -> None:
        """Who is throttled takes nobody's slot; and who gave way is throttled, and does not come again at once."""
        factory = self.factory(maxPending=1)
        self.come(factory, "23.0.0.1")
        self.assertFalse(self.come(factory, "23.0.0.1"))
        self.assertFalse(self.built[0].aborted)
        self.assertTrue(self.come(factory, "24.0.0.1"))
        self.assertTrue(self.built[0].aborted)
        self.assertFalse(self.come(factory, "23.0.0.1"))
        self.assertEqual(self.refusals, [THROTTLED, GAVE_WAY, THROTTLED])

    def test_no_ip(self) -> None:
        """Who may reach a UNIX socket may come as often as he likes; of these, too, the slots are bounded."""
        factory = self.factory(maxPending=2, netrestrict="")
        for place in [UNIXAddress(b"/tmp/socket")] * 3 + [None]:
            protocol: Any = factory.buildProtocol(place)
            protocol.heard(protocol)
        self.assertEqual((self.refusals, factory.pending), ([GAVE_WAY] * 2, 2))

    def test_trusted_address(self) -> None:
        """The address of a trusted node is past throttle and pending bound, up to a bound of its own."""
        factory = self.factory(maxPending=1, trusted=TrustedAddresses([node(2, ip=ip_address("23.0.0.2"))]))
        self.assertTrue(self.come(factory, "24.0.0.1"))
        for _ in range(MAX_TRUSTED_PENDING):
            self.assertTrue(self.come(factory, "23.0.0.2"))
        self.assertEqual((self.refusals, factory.pending), ([], 1 + MAX_TRUSTED_PENDING))
        self.assertTrue(self.come(factory, "23.0.0.2"))
        self.assertEqual((self.refusals, factory.pending), ([GAVE_WAY], 1 + MAX_TRUSTED_PENDING))
        self.assertTrue(self.built[1].aborted)
        self.assertFalse(self.built[0].aborted)

    def test_trusted_address_is_restricted(self) -> None:
        """C{--netrestrict} holds for trusted nodes, too."""
        trusted = TrustedAddresses([node(2, ip=ip_address("23.0.0.2"))])
        factory = self.factory(netrestrict="10.0.0.0/8", trusted=trusted)
        self.assertFalse(self.come(factory, "23.0.0.2"))
        self.assertEqual(self.refusals, [RESTRICTED])

    def test_proved_address(self) -> None:
        """So is the address from which a trusted node proved its identity, for as long as it is trusted."""
        trusted = TrustedAddresses([node(2)])
        factory = self.factory(trusted=trusted)
        for number, admitted in ((3, False), (2, True)):
            ip = ip_address(f"23.0.0.{number}")
            self.assertTrue(self.come(factory, str(ip)))
            factory.proved(node(number).node_id, ip)
            self.assertEqual(self.come(factory, str(ip)), admitted, number)
        trusted.distrust(node(2).node_id)
        self.assertFalse(self.come(factory, "23.0.0.2"))

    def test_closed(self) -> None:
        """After the end nobody is let in."""
        factory = self.factory()
        factory.close()
        self.assertFalse(self.come(factory, "127.0.0.1"))
        self.assertEqual((self.refusals, factory.pending), ([InboundRefusal.STOPPED], 0))
