"""
Tests for L{devp2p_tx.net.discovery.kademlia}: bootnodes that are known by name, and those that our user's lists forbid.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.addressing.outgoing import OutgoingBudget
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.net.names.hostnames import MAX_RETRY
from tests.net.discovery.support import PORT, TARGET, DiscoveryCase, Member, Puppet, addressOf, keyOf

NAME = "boot.example"


class NameTests(DiscoveryCase):
    """A bootnode's name."""

    def named(self, number: int = 1) -> Node:
        return Node(keyOf(number).public_key, None, PORT, PORT, NAME)

    def where(self, member: Member, number: int = 1) -> str | None:
        """Where a node believes that another one is."""
        known = member.discovery.table.get(keyOf(number).public_key.node_id)
        return None if known is None else str(known.ip)

    def test_all_addresses_are_tried(self) -> None:
        """Of several addresses the one that answers is taken, be it the last, and of either family."""
        boot = self.add(1)
        self.network.names[NAME] = ["34.99.1.1", "2600::1", "34.99.2.1", boot.ip]
        member = self.add(2, self.named())
        self.network.advance(10)
        self.assertEqual(self.where(member), boot.ip)

    def test_nowhere(self) -> None:
        """A bootnode at an unspecified or multicast address is not asked, which is said once for each."""
        logged: list[LogEvent] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        self.network.names[NAME] = ["0.0.0.0"]
        multicast = Node(keyOf(3).public_key, ip_address("224.0.0.1"), PORT, PORT)
        member = self.add(2, self.named(), multicast)
        self.network.advance(3600)
        lines = [text for event in logged if "is not asked" in (text := formatEvent(event))]
        for number, ip in ((1, "0.0.0.0"), (3, "224.0.0.1")):
            beginning = f"discv4 bootnode id={keyOf(number).public_key.node_id.hex()[:16]} addr={ip} is not asked: "
            self.assertEqual([line.startswith(beginning) for line in lines].count(True), 1, lines)
        self.assertEqual(len(lines), 2)
        self.assertIn("unspecified or multicast", member.discovery.bootnodes.trouble or "")

    def test_first_of_those_that_answer(self) -> None:
        """The system's order is kept."""
        addresses = ["34.50.0.1", "34.51.0.1"]
        puppets = [Puppet(self.network, 1, ip) for ip in addresses]
        self.network.names[NAME] = list(reversed(addresses))
        member = Member(self.network, 2, [self.named()])
        self.members.append(member)
        member.start()
        self.network.advance(0.1)
        for puppet in puppets:
            puppet.pong(member)
        self.network.advance(2)
        self.assertEqual(self.where(member), "34.51.0.1")

    def test_one_key_at_several_places(self) -> None:
        """The same bootnode may be given at several addresses: the one that answers is taken, be it the first."""
        boot = self.add(1)
        key = keyOf(1).public_key
        places = [Node(key, ip_address(ip), PORT, PORT) for ip in (boot.ip, "34.99.1.1", "34.99.2.1")]
        member = self.add(2, *places)
        self.network.advance(10)
        self.assertEqual(self.where(member), boot.ip)
        self.assertIsNone(member.discovery.bootnodes.trouble)

    def test_the_last_place_first(self) -> None:
        """Where several answer, or none does, the one that was given last is taken."""
        addresses = ["34.50.0.1", "34.51.0.1"]
        key = keyOf(1).public_key
        for answer in (True, False):
            puppets = [Puppet(self.network, 1, ip) for ip in addresses] if answer else []
            member = Member(self.network, 2 + answer, [Node(key, ip_address(ip), PORT, PORT) for ip in addresses])
            self.members.append(member)
            member.start()
            self.network.advance(0.1)
            for puppet in puppets:
                puppet.pong(member)
            self.network.advance(1.1)
            self.assertEqual(self.where(member), "34.51.0.1")

    def test_none_answers(self) -> None:
        """The first address is as good as any."""
        self.network.names[NAME] = ["34.99.1.1", "34.99.2.1"]
        member = self.add(2, self.named())
        self.network.advance(1.2)
        self.assertEqual(self.where(member), "34.99.1.1")

    def test_moves(self) -> None:
        """A bootnode whose name moves to another address is found again, by a node that runs on."""
        boot = self.add(1)
        self.network.names[NAME] = [boot.ip]
        member = self.add(2, self.named())
        self.network.advance(60)
        self.assertEqual(self.where(member), boot.ip)
        stopping = boot.discovery.stop()
        self.network.advance(1)
        self.successResultOf(stopping)
        self.members.remove(boot)
        moved = Member(self.network, 1, ip="34.77.0.1")
        self.members.append(moved.start())
        self.network.names[NAME] = [moved.ip]
        self.network.advance(300)
        self.assertEqual(self.where(member), moved.ip)

    def test_comes_later(self) -> None:
        """A name that has no address yet is asked for again, without a restart."""
        boot = self.add(1)
        member = self.add(2, self.named())
        self.network.advance(500)
        self.assertIsNone(self.where(member))
        self.network.names[NAME] = [boot.ip]
        self.network.advance(MAX_RETRY + 40)
        self.assertEqual(self.where(member), boot.ip)

    def test_lists_hold_for_what_a_name_means(self) -> None:
        """Only addresses that the user's lists allow are asked, and if there is none, nobody."""
        boot = self.add(1)
        self.network.names[NAME] = ["34.99.1.1", boot.ip]
        victim = Puppet(self.network, 99, "34.99.1.1")
        metrics = Metrics()
        policy = AddressPolicy(netdeny=Netlist.parse("34.99.0.0/16"), metrics=metrics)
        denying = self.add(2, self.named(), policy=policy)
        allowing = self.add(3, self.named(), policy=AddressPolicy(Netlist.parse("35.0.0.0/8")))
        self.network.advance(20)
        self.assertEqual((self.where(denying), self.where(allowing)), (boot.ip, None))
        self.assertEqual(victim.received, [])
        self.assertGreater(metrics.value("addresses_refused", protocol="discv4", reason="netdeny"), 0)


class VouchedTests(DiscoveryCase):
    """Bootnodes where others would not be looked for."""

    def test_the_users_word(self) -> None:
        """A bootnode may be anywhere, under its name too; whom it tells of there may not."""
        boot = self.add(1, ip="10.9.0.1", policy=AddressPolicy(lan=True))
        other = self.add(2, boot.node, ip="10.9.0.2", policy=AddressPolicy(lan=True))
        metrics = Metrics()
        self.network.names[NAME] = [boot.ip]
        named = Node(boot.key.public_key, None, PORT, PORT, NAME)
        member = self.add(3, named, ip="10.8.0.3", policy=AddressPolicy(metrics=metrics))
        self.network.advance(60)
        self.assertEqual([node.node_id for node in member.discovery.table], [boot.nodeId])
        self.assertNotIn(other.nodeId, member.discovery.table)
        self.assertGreater(metrics.value("addresses_refused", protocol="discv4", reason="unreachable"), 0)

    def test_denied(self) -> None:
        """The user's lists hold for his bootnodes, too."""
        boot = self.add(1)
        member = self.add(2, boot.node, policy=AddressPolicy(netdeny=Netlist.parse(f"{boot.ip}/32")))
        self.network.advance(20)
        self.assertEqual(len(member.discovery.table), 0)


class BudgetTests(DiscoveryCase):
    """Lookups and checks that meet the budget."""

    def test_not_the_nodes_fault(self) -> None:
        """A node that could not be asked, as too much was sent, has not failed: it stays, and nothing is counted."""
        outgoing = OutgoingBudget(1e-9, 1, 1e-9, 1)
        member = self.add(1, outgoing=outgoing)
        self.network.advance(1)
        other = Node(keyOf(2).public_key, ip_address(addressOf(2)), PORT, PORT)
        member.discovery.table.add_found(other, member.host.seconds())
        outgoing.take(ip_address("34.200.0.1"), 0.0)
        for _ in range(10):
            self.result(member.discovery.lookup(TARGET))
        self.assertIn(other.node_id, member.discovery.table)
        self.assertEqual(member.store.findnode_failures(other.node_id, ip_address(addressOf(2))), 0)
        self.assertGreater(member.metrics.value("addresses_refused", protocol="discv4", reason="budget"), 10)
