"""
Tests for L{devp2p_tx.core.discv5.protocol}: with whom it speaks, and how much it sends to those with whom there is no
session.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.addressing.outgoing import OutgoingBudget
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.discv5.events import Contact, Refusal
from devp2p_tx.core.discv5.messages import nodes_fields
from devp2p_tx.core.discv5.relay import ToldNodes, read_told
from devp2p_tx.core.enr.entries import IP, IP6, UDP, UDP6
from devp2p_tx.core.enr.local import LocalRecord, Source
from devp2p_tx.core.enr.loopback import LoopbackRecord
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import Record
from devp2p_tx.core.kademlia.distance import log_distance
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import AddressRefused, OverBudget
from tests.core.discv5.playing import ProtocolTestCase, key, make_record

TELLER = key(2).public_key.node_id


class ToldTests(ProtocolTestCase):
    """What others tell, and are told."""

    def told(self, policy: AddressPolicy, teller: str, address: str) -> bool:
        record = make_record(5, address)
        distances = [log_distance(TELLER, record.node_id)]
        return read_told(record.encoded, TELLER, ip_address(teller), distances, policy) is not None

    def test_told(self) -> None:
        """Addresses that not everybody can reach are not believed, unless they are in a network of ours."""
        metrics = Metrics()
        policy = AddressPolicy(home=[ip_network("198.18.0.0/24")], metrics=metrics)
        for teller, address, is_believed in [
            ("99.1.1.1", "34.1.1.1", True),
            ("99.1.1.1", "100.64.0.1", False),
            ("99.1.1.1", "198.18.0.5", False),
            ("198.18.0.2", "198.18.0.5", True),
            ("198.18.0.2", "198.18.1.5", False),
            ("10.9.0.3", "10.9.0.4", False),
            ("10.9.0.3", "10.9.0.3", True),
        ]:
            self.assertEqual(self.told(policy, teller, address), is_believed, (teller, address))
        counts = {dict(labels)["reason"]: value for _, labels, value in metrics}
        self.assertEqual(counts, {"unreachable": 2, "relay": 2})

    def test_telling(self) -> None:
        """Hosts of a network of ours are told of each other, and nobody else is."""
        policy = AddressPolicy(home=[ip_network("198.18.0.0/24")])
        distance = log_distance(self.alice.node_id, key(5).public_key.node_id)
        record = make_record(5, "198.18.0.5")
        self.alice.table.neighbours[distance] = [Node.from_record(record)]
        nodes = ToldNodes(self.alice.local, self.alice.table, policy)
        for asker, is_told in (("198.18.0.2", True), ("198.18.1.2", False), ("99.1.1.1", False)):
            (fields,) = nodes.fields((distance,), ip_address(asker), self.unix_time)
            self.assertEqual(record.encoded in fields, is_told, asker)

    def test_own_record(self) -> None:
        """Distance 0 means our own record, whoever asks, be it without an address or with one that is ours alone."""
        for address in (None, "127.0.0.1", "10.1.2.3", "34.1.1.1"):
            local = LocalRecord(key(9), 1)
            if address is not None:
                local.offer(Source.FLAG, 4, ip_address(address), 30303, 30303)
            nodes = ToldNodes(local, self.alice.table, AddressPolicy())
            for asker in ("99.1.1.1", "127.0.0.1", "2a00::1"):
                (fields,) = nodes.fields((0,), ip_address(asker), self.unix_time)
                record = LoopbackRecord(local).record_for(ip_address(asker), int(self.unix_time * 1000)).encoded
                self.assertEqual(fields, nodes_fields([record])[0], (address, asker))

    def test_loopback(self) -> None:
        """A record that names a loopback address in either family is told on loopback alone."""
        port = (30303).to_bytes(2, "big")
        addresses = {IP.key: ip_address("34.1.1.1").packed, IP6.key: ip_address("::1").packed}
        record = Record.sign(key(5), 1, {**addresses, UDP.key: port, UDP6.key: port})
        distance = log_distance(self.alice.node_id, record.node_id)
        self.alice.table.neighbours[distance] = [Node.from_record(record)]
        nodes = ToldNodes(self.alice.local, self.alice.table, AddressPolicy(lan=True))
        for asker, is_told in (("127.0.0.2", True), ("10.1.2.3", False), ("99.1.1.1", False)):
            (fields,) = nodes.fields((distance,), ip_address(asker), self.unix_time)
            self.assertEqual(record.encoded in fields, is_told, asker)


class ListTests(ProtocolTestCase):
    """The user's lists: Bob is in a denied network."""

    policy = AddressPolicy(netdeny=Netlist.parse("99.1.2.0/24"))

    def test_not_called(self) -> None:
        """Nothing goes there."""
        self.assertRaises(AddressRefused, self.ping, self.alice, self.bob)
        self.assertEqual(self.alice.node.datagrams_to_send(), [])

    def test_not_heard(self) -> None:
        """What he sends has no answer."""
        self.ping(self.bob, self.alice)
        (delivered,) = self.carry(self.bob)
        self.assertIs(delivered.refusal, Refusal.FORBIDDEN)
        self.assertEqual(self.alice.node.datagrams_to_send(), [])


class BudgetTests(ProtocolTestCase):
    """What is sent to those with whom there is no session."""

    def setUp(self) -> None:
        super().setUp()
        self.alice.node._outgoing = OutgoingBudget(1, 4, 1, 3)

    def call(self, number: int, address: str) -> None:
        contact = Contact(key(number).public_key.node_id, ip_address(address), 30303, key(number).public_key)
        self.alice.node.ping(contact, self.now, self.unix_time)

    def test_budgets(self) -> None:
        """Three packets to a network, four to all."""
        for number in range(10, 13):
            self.call(number, f"34.1.1.{number}")
        self.assertRaises(OverBudget, self.call, 13, "34.1.1.13")
        self.call(14, "34.1.2.14")
        self.assertRaises(OverBudget, self.call, 15, "34.1.3.15")
        self.assertEqual(len(self.alice.node.datagrams_to_send()), 4)
        self.now += 1
        self.call(16, "34.1.1.16")

    def test_session(self) -> None:
        """Who has answered is not counted."""
        self.connect()
        for _ in range(20):
            self.ping(self.alice, self.bob)
            self.settle()
