"""
Tests for L{devp2p_tx.core.discv4.protocol}: with whom it speaks, and how much it sends to those who never answered.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.addressing.outgoing import OutgoingBudget
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.discv4 import packets
from devp2p_tx.core.discv4.events import FindNodeCall, NodesFound, Refusal
from devp2p_tx.core.discv4.protocol import Discv4
from devp2p_tx.core.discv4.replies import RESPONSE_TIMEOUT
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import AddressRefused, OverBudget
from tests.core.discv4.playing import PEER, PEER_IP, PEER_PORT, STRANGER_IP, TARGET, ProtocolTestCase, neighbor, node


class PolicyTestCase(ProtocolTestCase):
    """A node with a policy that counts."""

    def setUp(self) -> None:
        super().setUp()
        self.metrics = Metrics()
        self.use(AddressPolicy(metrics=self.metrics))

    def use(self, policy: AddressPolicy, outgoing: OutgoingBudget | None = None) -> None:
        self.node = Discv4(self.local, self.table, policy=policy, outgoing=outgoing)

    def refused(self, reason: str) -> int:
        return self.metrics.value("addresses_refused", protocol="discv4", reason=reason)


class ReachTests(PolicyTestCase):
    """Addresses that only some can reach."""

    def tell(self, call: FindNodeCall, *addresses: str) -> list[str]:
        """What is found when the peer tells of nodes at these addresses."""
        told = [neighbor(node(number, address)) for number, address in enumerate(addresses, 10)]
        for data in packets.encode_neighbors(PEER, told, self.expiration):
            self.receive(data, call.ip)
        self.advance(RESPONSE_TIMEOUT)
        event = self.event()
        assert isinstance(event, NodesFound)
        return [str(each.ip) for each in event.nodes]

    def test_told(self) -> None:
        """They are not found, and are counted; what the relay rules forbid, too."""
        self.bond()
        told = ["100.64.0.1", "198.18.0.1", "240.0.0.1", "192.168.1.1", "127.0.0.1", "34.1.1.1"]
        self.assertEqual(self.tell(self.find_node(), *told), ["34.1.1.1"])
        self.assertEqual((self.refused("unreachable"), self.refused("relay")), (2, 3))

    def test_at_home(self) -> None:
        """Hosts of a network that we are in tell of each other, and are told."""
        home = ip_network("198.18.0.0/24")
        self.use(AddressPolicy(home=[home], metrics=self.metrics))
        asker, port = ip_address("198.18.0.2"), PEER_PORT
        self.receive(self.make_ping(), asker, port)
        _, (ping_hash, _) = self.sent_datagrams(asker, port)
        self.receive(self.make_pong(ping_hash), asker, port)
        self.table.nodes = [node(1, "198.18.0.7"), node(2, "198.18.1.7"), node(3, "34.1.1.1")]
        self.receive(packets.encode_findnode(PEER, packets.FindNode(TARGET, self.expiration)), asker, port)
        ((_, neighbors),) = self.sent_datagrams(asker, port)
        assert isinstance(neighbors, packets.Neighbors)
        self.assertEqual([str(each.ip) for each in neighbors.nodes], ["198.18.0.7", "34.1.1.1"])
        call = self.node.find_node(PEER.public_key.node_id, asker, port, TARGET, self.now, self.unix_time)
        self.assertEqual(self.tell(call, "198.18.0.9", "198.18.1.9"), ["198.18.0.9"])

    def test_strangers_are_told_nothing_of_home(self) -> None:
        """An answer that was made for a host of our network is not given to one of another, in the same second."""
        self.use(AddressPolicy(home=[ip_network("198.18.0.0/24")]))
        self.table.nodes = [node(1, "198.18.0.7")]
        for asker, count in ((ip_address("198.18.0.2"), 1), (ip_address("198.19.0.2"), 0)):
            self.node.proofs.pong_received(PEER.public_key.node_id, asker, self.unix_time)
            self.receive(packets.encode_findnode(PEER, packets.FindNode(TARGET, self.expiration)), asker)
            ((_, neighbors),) = self.sent_datagrams(asker)
            assert isinstance(neighbors, packets.Neighbors)
            self.assertEqual(len(neighbors.nodes), count)

    def test_not_pinged_back(self) -> None:
        """A PING from there is answered, as all are, but nothing is asked."""
        source = ip_address("100.64.0.1")
        self.assertIsNone(self.receive(self.make_ping(), source))
        ((_, pong),) = self.sent_datagrams(source)
        self.assertIsInstance(pong, packets.Pong)
        self.assertEqual(self.refused("unreachable"), 1)

    def test_asked_by_the_user(self) -> None:
        """Who calls a node knows what he does: a bootnode may be anywhere."""
        source = ip_address("10.9.0.3")
        self.node.ping(PEER.public_key.node_id, source, PEER_PORT, self.now, self.unix_time)
        self.assertEqual(len(self.sent_datagrams(source)), 1)


class ListTests(PolicyTestCase):
    """The user's lists."""

    def test_not_heard(self) -> None:
        """What comes from a denied network, or not from an allowed one, has no effect, and no answer."""
        for policy in (AddressPolicy(netdeny=Netlist.parse("99.0.0.0/8")), AddressPolicy(Netlist.parse("98.0.0.0/8"))):
            self.use(policy)
            self.assertIs(self.receive(self.make_ping()), Refusal.FORBIDDEN)
            self.assertEqual(self.node.datagrams_to_send(), [])

    def test_not_called(self) -> None:
        """No call goes there, whoever wants it, and nothing is kept of it."""
        self.use(AddressPolicy(netdeny=Netlist.parse("99.1.1.2/32"), metrics=self.metrics))
        peer = PEER.public_key.node_id, PEER_IP, PEER_PORT
        for begin in (
            lambda: self.node.ping(*peer, self.now, self.unix_time),
            lambda: self.node.find_node(*peer, TARGET, self.now, self.unix_time),
            lambda: self.node.request_record(*peer, self.now, self.unix_time),
        ):
            self.assertRaises(AddressRefused, begin)
        self.assertEqual((self.node.datagrams_to_send(), self.node.get_timer()), ([], None))
        self.assertEqual(self.refused("netdeny"), 3)


class BudgetTests(PolicyTestCase):
    """What is sent to those who never answered."""

    def setUp(self) -> None:
        super().setUp()
        self.use(AddressPolicy(metrics=self.metrics), OutgoingBudget(1, 8, 1, 5))

    def ping(self, address: str) -> None:
        self.node.ping(PEER.public_key.node_id, ip_address(address), PEER_PORT, self.now, self.unix_time)

    def ask(self, found: Node) -> None:
        self.node.find_node(found.public_key.node_id, found.ip, found.udp, TARGET, self.now, self.unix_time)

    def test_one_network(self) -> None:
        """Five packets, and one more for each second."""
        for number in range(5):
            self.ping(f"34.1.1.{number}")
        self.assertRaises(OverBudget, self.ping, "34.1.1.200")
        self.ping("34.1.2.1")
        self.assertEqual(len(self.node.datagrams_to_send()), 6)
        self.assertEqual(self.refused("budget"), 1)
        self.advance(1)
        self.ping("34.1.1.201")

    def test_all_networks(self) -> None:
        """Eight packets."""
        for number in range(8):
            self.ping(f"34.1.{number}.1")
        self.assertRaises(OverBudget, self.ping, "34.1.99.1")

    def test_no_more_packets_than_counted(self) -> None:
        """A question to a stranger is two packets, if he does not answer the first, and they are counted before."""
        self.ask(node(1, "34.1.1.1"))
        self.ask(node(2, "34.1.1.2"))
        self.assertRaises(OverBudget, self.ask, node(3, "34.1.1.3"))
        self.advance(0.9)
        self.advance(0.9)
        self.assertEqual(len(self.node.datagrams_to_send()), 4)

    def test_who_answered(self) -> None:
        """He is asked as often as somebody likes."""
        self.bond()
        for _ in range(100):
            self.find_node()
        self.assertEqual(len(self.sent()), 100)

    def test_answers_are_not_counted(self) -> None:
        """Nor are pings back: a flood of PINGs from a network does not keep us from asking nodes in it."""
        for number in range(100):
            self.receive(self.make_ping(), ip_address(f"99.1.1.{number}"))
        self.assertEqual(len(self.node.datagrams_to_send()), 200)
        self.ping(str(STRANGER_IP))
        self.assertEqual(self.refused("budget"), 0)
