"""
Tests for L{devp2p_tx.net.discovery.discv4}: networks of honest nodes.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.internet.defer import CancelledError, fail

from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.discv4 import packets
from devp2p_tx.core.enr import entries
from devp2p_tx.core.enr.local import Source
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.kademlia.distance import as_number
from devp2p_tx.errors import LocalProtocolError, ServerStopped, Timeout
from devp2p_tx.net.discovery.kademlia import EMPTY_TABLE_INTERVAL
from tests.net.discovery.support import PORT, TARGET, DiscoveryCase, Member, Puppet, addressOf, keyOf


def closest(members: list[Member], target: bytes, count: int = 16) -> list[bytes]:
    """The ids of those that are truly closest to a target of 64 bytes."""
    number = as_number(keccak256(target))
    return sorted((member.nodeId for member in members), key=lambda each: as_number(each) ^ number)[:count]


class JoiningTests(DiscoveryCase):
    """How a node gets to know a network."""

    def test_through_a_bootnode(self) -> None:
        """Nodes that know but one other find all others, in a network that is small enough."""
        members = self.crowd(12)
        for member in members:
            self.assertEqual(len(member.discovery.table), 11)

    def test_only_live_nodes_are_told(self) -> None:
        """A node whose address nobody has checked is not passed on while there are others."""
        first = self.add(1)
        live, dead = self.add(2, first.node), Node(keyOf(99).public_key, ip_address("35.0.0.1"), PORT, PORT)
        self.network.advance(30)
        first.discovery.table.add_found(dead, self.network.clock.seconds())
        found = self.result(live.discovery.findNode(first.node, TARGET), 1)
        self.assertEqual([node.node_id for node in found], [live.nodeId])

    def test_dead_nodes_are_removed(self) -> None:
        """A node that falls silent is gone from all tables after a while."""
        members = self.crowd(6)
        self.network.silence(members[-1].host)
        self.network.advance(300)
        for member in members[:-1]:
            self.assertNotIn(members[-1].nodeId, member.discovery.table)

    def test_one_lost_check(self) -> None:
        """A check that is not answered is repeated once: a lost datagram is no dead node."""
        member, peer = self.add(1), Puppet(self.network, 2)
        self.network.settle()
        peer.bond(member)
        for _ in range(100):
            self.network.advance(0.05)
            if len([each for each in peer.received if isinstance(each[1], packets.Ping)]) == 2:
                peer.pong(member)
        self.assertIn(peer.node.node_id, member.discovery.table)
        self.network.advance(20)
        self.assertNotIn(peer.node.node_id, member.discovery.table)

    def test_mistake_is_no_silence(self) -> None:
        """An error of ours while a node is checked is told, and says nothing of the node."""
        one, other = self.crowd(2)
        self.patch(one.discovery, "ping", lambda node: fail(ZeroDivisionError()))
        self.network.advance(20)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        self.assertIn(other.nodeId, one.discovery.table)

    def test_records_are_fetched(self) -> None:
        """A check that shows a newer record fetches it, so that tables have records."""
        one, other = self.crowd(2)
        node = other.discovery.table.get(one.nodeId)
        assert node is not None and node.record is not None
        self.assertEqual((node.seq, node.tcp), (one.local.seq, PORT))
        one.local.offer(Source.MAPPING, 4, tcp=40404)
        self.network.advance(60)
        node = other.discovery.table.get(one.nodeId)
        assert node is not None
        self.assertEqual(node.tcp, 40404)

    def test_record_that_cannot_be_had(self) -> None:
        """Who announces a record and does not give it is alive all the same."""
        member = self.add(1)
        peer = Puppet(self.network, 2)
        self.network.settle()
        peer.bond(member)
        for _ in range(200):
            self.network.advance(0.1)
            peer.pong(member, seq=7)
        self.assertIn(peer.node.node_id, member.discovery.table)
        self.assertTrue(member.discovery.table.view()[-1].entries or len(member.discovery.table))

    def test_alone(self) -> None:
        """A node without a bootnode is ready at once, for whoever comes."""
        member = self.add(1)
        self.network.settle()
        self.assertTrue(member.discovery.table.initialised)
        self.add(2, member.node)
        self.network.advance(10)
        self.assertEqual(len(member.discovery.table), 1)

    def test_bootnode_that_comes_later(self) -> None:
        """Whose table is empty tries again soon, and does nothing in between."""
        boot = Node(keyOf(2).public_key, ip_address(addressOf(2)), PORT, PORT)
        member = self.add(1, boot)
        self.network.advance(290)
        self.assertEqual(len(member.discovery.table), 0)
        self.add(2)
        self.network.advance(EMPTY_TABLE_INTERVAL + 5)
        self.assertEqual(len(member.discovery.table), 1)

    def test_lan(self) -> None:
        """The limits on networks do not count in a LAN: all nodes of one are found."""
        first = self.add(1, ip="10.0.0.1")
        members = [self.add(number, first.node, ip=f"10.0.0.{number}") for number in range(2, 20)]
        self.network.advance(120)
        for member in members:
            self.assertEqual(len(member.discovery.table), 18)

    def test_fallback_port(self) -> None:
        """The port is announced as long as nothing better is known."""
        member = self.add(1)
        self.assertEqual(member.local.record(1).get(entries.UDP), PORT)


class BootnodeTests(DiscoveryCase):
    """Bootnodes by host name."""

    def named(self, member: Member) -> Node:
        return Node(member.key.public_key, None, PORT, PORT, "boot.example")

    def test_found_by_name(self) -> None:
        """The name is looked up."""
        boot = self.add(1)
        self.network.names["boot.example"] = ["2600::1", boot.ip]
        member = self.add(2, self.named(boot))
        self.network.advance(10)
        self.assertIn(boot.nodeId, member.discovery.table)

    def test_name_that_comes_later(self) -> None:
        """A name that does not exist holds nobody up, and is looked up again when the table is refreshed."""
        boot, other = self.add(1), self.add(2)
        member = self.add(3, self.named(boot), other.node, refreshInterval=60)
        self.network.advance(10)
        self.assertTrue(member.discovery.table.initialised)
        self.assertEqual([node.node_id for node in member.discovery.table], [other.nodeId])
        self.network.names["boot.example"] = [boot.ip]
        self.network.advance(120)
        self.assertIn(boot.nodeId, member.discovery.table)

    def test_resolver_that_hangs(self) -> None:
        """It is waited for five seconds."""

        class Hanging:
            def resolveHostName(self, receiver: object, *_: object) -> None:
                self.receiver = receiver

        boot, other = self.add(1), self.add(2)
        member = Member(self.network, 3, [self.named(boot), other.node])
        self.members.append(member)
        member.host.installNameResolver(hanging := Hanging())  # type: ignore[arg-type]
        member.start()
        self.network.advance(4.9)
        self.assertEqual(len(member.discovery.table), 0)
        self.network.advance(5)
        self.assertIn(other.nodeId, member.discovery.table)
        hanging.receiver.resolutionComplete()  # type: ignore[attr-defined]

    def test_stop_while_resolving(self) -> None:
        """A name that is being looked up does not hold up the end."""
        boot = self.add(1)
        self.network.names["boot.example"] = [boot.ip]
        self.add(2, self.named(boot))


class LookupTests(DiscoveryCase):
    """What searches find."""

    def test_closest(self) -> None:
        """Lookups find those closest to the target in the whole network."""
        members = self.crowd(40, 200)
        for number in range(5):
            target = bytes([number]) * 64
            found = self.result(members[3 * number].discovery.lookup(target), 60)
            others = [member for member in members if member is not members[3 * number]]
            self.assertEqual([node.node_id for node in found], closest(others, target))

    def test_nobody_to_ask(self) -> None:
        """Without anybody to ask it is over at once."""
        self.assertEqual(self.successResultOf(self.add(1).discovery.lookup(TARGET)), [])

    def test_silent_network(self) -> None:
        """When nobody answers the lookup ends with those that were known."""
        members = self.crowd(6)
        for member in members[1:]:
            self.network.silence(member.host)
        searching = members[0].discovery.lookup(TARGET)
        self.assertEqual(len(self.result(searching, 60)), 5)

    def test_node_without_an_endpoint(self) -> None:
        """It counts as one that does not answer."""
        members = self.crowd(4)
        members[0].discovery.table.add_found(
            Node(keyOf(77).public_key, ip_address("36.0.0.1"), PORT, 0), self.network.clock.seconds()
        )
        self.assertEqual(len(self.result(members[0].discovery.lookup(TARGET), 30)), 4)

    def test_target(self) -> None:
        """A target has 64 bytes."""
        member = self.add(1)
        for call in (member.discovery.lookup(bytes(32)), member.discovery.findNode(member.node, bytes(32))):
            self.failure(call, LocalProtocolError, 0)

    def test_cancel(self) -> None:
        """A lookup that is cancelled asks nobody any more."""
        members = self.crowd(10)
        searching = members[0].discovery.lookup(TARGET)
        searching.cancel()
        self.failureResultOf(searching, CancelledError)
        self.network.advance(5)


class LossyTests(DiscoveryCase):
    """The same with every fifth datagram lost."""

    loss = 0.2

    def test_lookups(self) -> None:
        """Nodes find each other, and most of the closest."""
        members = self.crowd(30, 300)
        for member in members:
            self.assertGreater(len(member.discovery.table), 14)
        found = self.result(members[5].discovery.lookup(TARGET), 60)
        others = [member for member in members if member is not members[5]]
        self.assertGreaterEqual(len({node.node_id for node in found} & {*closest(others, TARGET)}), 12)


class RequestTests(DiscoveryCase):
    """Single requests."""

    def setUp(self) -> None:
        super().setUp()
        self.one, self.other = self.add(1), self.add(2)
        self.network.settle()

    def test_ping(self) -> None:
        """It tells that the node lives, and the number of its record."""
        pong = self.result(self.one.discovery.ping(self.other.node), 1)
        self.assertEqual(pong.enr_seq, self.other.local.seq)

    def test_ping_timeout(self) -> None:
        """A node that does not exist does not answer."""
        self.network.silence(self.other.host)
        pinging = self.one.discovery.ping(self.other.node)
        self.network.advance(0.4)
        self.assertNoResult(pinging)
        self.assertEqual(self.failure(pinging, Timeout, 0.2), "no answer")

    def test_request_record_both_ways(self) -> None:
        """Without any exchange before, each has the record of the other."""
        for asking, asked in ((self.one, self.other), (self.other, self.one)):
            node = self.result(asking.discovery.requestENR(asked.node), 2)
            self.assertEqual(node.record, asked.local.record(0))
            self.assertEqual((str(node.ip), node.udp, node.tcp), (asked.ip, PORT, PORT))

    def test_find_node(self) -> None:
        """A node tells whom it knows."""
        self.add(3, self.other.node)
        self.network.advance(20)
        found = self.result(self.one.discovery.findNode(self.other.node, TARGET), 2)
        self.assertIn(keyOf(3).public_key, [node.public_key for node in found])

    def test_no_endpoint(self) -> None:
        """Who has no address or no port cannot be asked."""
        key = keyOf(9).public_key
        for node in (Node(key), Node(key, ip_address("34.0.9.1"), PORT, 0), Node(key, ip_address("0.0.0.0"), 1, 1)):
            for call in (self.one.discovery.ping(node), self.one.discovery.requestENR(node)):
                self.assertEqual(self.failure(call, LocalProtocolError, 0), "node has no UDP endpoint")

    def test_cancel(self) -> None:
        """A request that is cancelled is forgotten; its answer does no harm."""
        pinging = self.one.discovery.ping(self.other.node)
        pinging.cancel()
        self.failureResultOf(pinging, CancelledError)
        self.network.advance(1)

    def test_many_at_once(self) -> None:
        """Requests that cross are each answered."""
        pings = [self.one.discovery.ping(self.other.node) for _ in range(50)]
        self.network.advance(1)
        for each in pings:
            self.successResultOf(each)

    def test_one_alarm(self) -> None:
        """Whatever goes on, the node waits for one delayed call."""
        for each in (self.one, self.other):
            self.assertEqual(len(each.host.getDelayedCalls()), 1)
        calls = [self.one.discovery.ping(self.other.node), self.one.discovery.lookup(TARGET)]
        calls.append(self.one.discovery.randomNodes().next())
        self.assertEqual(len(self.one.host.getDelayedCalls()), 1)
        self.network.advance(10)
        for each in calls:
            self.successResultOf(each)


class ResolveTests(DiscoveryCase):
    """Finding the newest version of a node."""

    def test_asked_directly(self) -> None:
        """The node itself knows best."""
        one, other = self.crowd(2, 1)
        node = self.result(one.discovery.resolve(other.node), 3)
        self.assertEqual(node.record, other.local.record(0))

    def test_through_the_table(self) -> None:
        """One known by its key alone is found in the table."""
        one, other = self.crowd(2)
        node = self.result(one.discovery.resolve(Node(other.key.public_key)), 3)
        self.assertEqual((str(node.ip), node.tcp), (other.ip, PORT))

    def test_through_a_lookup(self) -> None:
        """One that moved is found by those that know its new address."""
        first, other = self.crowd(2)
        stranger = self.add(3, first.node)
        self.network.settle()
        moved = Node(other.key.public_key, ip_address("35.1.1.1"), PORT, PORT)
        node = self.result(stranger.discovery.resolve(moved), 30)
        self.assertEqual(str(node.ip), other.ip)

    def test_not_found(self) -> None:
        """One that nobody knows stays as it was."""
        one, _ = self.crowd(2)
        node = Node(keyOf(9).public_key, ip_address("35.1.1.1"), PORT, PORT)
        self.assertIs(self.result(one.discovery.resolve(node), 30), node)

    def test_stopped(self) -> None:
        """It fails when discovery stops."""
        one, other = self.crowd(2)
        self.network.silence(other.host)
        resolving = one.discovery.resolve(other.node)
        one.discovery.stop()
        self.failure(resolving, ServerStopped)
