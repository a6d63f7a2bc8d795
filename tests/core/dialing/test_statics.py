"""
Tests for L{devp2p_tx.core.dialing.statics}, through L{devp2p_tx.core.dialing.dialplan}.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.dialing.statics import MAX_ADDRESSES
from devp2p_tx.core.enr.node import Node
from tests.core.dialing.test_dialplan import make_plan, node


class AddressTests(SynchronousTestCase):
    """One node at several addresses."""

    def setUp(self) -> None:
        self.plan = make_plan()
        self.first, self.second, self.third = (node(1, tcp=port) for port in (1001, 1002, 1003))

    def addresses(self) -> list[Node]:
        return self.plan.addresses_of(self.first.node_id)

    def test_newest_first(self) -> None:
        """All are kept, the one that was given last in front, also if it was known already."""
        for each in (self.first, self.second, self.third, self.first):
            self.plan.add_static(each)
        self.assertEqual(self.addresses(), [self.first, self.third, self.second])
        self.assertEqual(self.plan.next_dials(0), [self.first])

    def test_bound(self) -> None:
        """Eight of them; the oldest are forgotten."""
        for port in range(1, 21):
            self.plan.add_static(node(1, tcp=port))
        self.assertEqual([each.tcp for each in self.addresses()], [20, 19, 18, 17, 16, 15, 14, 13])
        self.assertEqual(MAX_ADDRESSES, 8)

    def test_moved(self) -> None:
        """A node that is said to be elsewhere is dialed there at once, also behind a dial that is under way."""
        self.plan.add_static(self.first)
        self.assertEqual(self.plan.next_dials(0), [self.first])
        self.plan.dial_done(self.first.node_id)
        self.plan.add_static(self.first)
        self.assertEqual(self.plan.next_dials(1), [])
        self.plan.add_static(self.second)
        self.assertEqual(self.plan.next_dials(1), [self.second])
        self.plan.add_static(self.third)
        self.assertEqual(self.plan.next_dials(2), [])
        self.plan.dial_done(self.first.node_id)
        self.assertEqual(self.plan.next_dials(2), [self.third])

    def test_which_may_be_contacted(self) -> None:
        """Addresses outside of the networks, and those without a port, are left out."""
        self.plan = make_plan(netrestrict=Netlist.parse("127.0.2.1/32"))
        for each in (self.first, node(1, ip=ip_address("127.0.2.9")), node(1, tcp=0)):
            self.plan.add_static(each)
        self.assertEqual(self.addresses(), [self.first])
        self.assertEqual(self.plan.next_dials(0), [self.first])

    def test_without_address(self) -> None:
        """Giving the key alone moves nothing; an address takes its place."""
        bare = node(1, ip=None, tcp=0)
        self.plan.add_static(bare)
        self.assertEqual(self.addresses(), [bare])
        self.plan.add_static(self.first)
        self.plan.add_static(bare)
        self.assertEqual(self.addresses(), [self.first])

    def test_found(self) -> None:
        """What a search found is tried first, until the user says another address."""
        self.plan.add_static(self.first)
        self.plan.resolved(self.first.node_id, self.third, 0)
        self.assertEqual(self.addresses(), [self.third, self.first])
        self.plan.add_static(self.first)
        self.assertEqual(self.addresses(), [self.third, self.first])
        self.plan.add_static(self.second)
        self.assertEqual(self.addresses(), [self.second, self.first])

    def test_unknown(self) -> None:
        """Of a node that is not static there is none."""
        self.assertEqual(self.addresses(), [])
