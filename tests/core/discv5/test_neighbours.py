"""
Tests for L{devp2p_tx.core.discv5.neighbours}.
"""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.discv5 import neighbours
from devp2p_tx.core.discv5.neighbours import Neighbours
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.kademlia.distance import log_distance
from devp2p_tx.core.kademlia.table import Table
from tests.core.discv5.playing import PORT, key, make_record

OWN_ID = key(1).public_key.node_id
RECORD = make_record(2, "98.1.1.1")
IP = ip_address("98.1.1.1")


class NeighboursTests(SynchronousTestCase):
    """The table, and the database beside it."""

    def setUp(self) -> None:
        self.remembered: dict[bytes, str] = {}
        self.table: Table[Node] = Table(OWN_ID, Random(1), 0.0)
        self.table.refresh_done(0.0)
        self.local = LocalRecord(key(1), 0)
        self.neighbours = self.make()

    def make(self) -> Neighbours:
        """The neighbours of our table."""
        return Neighbours(self.table, self.remembered.get, AddressPolicy(), self.local)

    def test_records(self) -> None:
        """That of the table, else that of the database, else none."""
        node_id = RECORD.node_id
        self.assertIsNone(self.neighbours.record(node_id))
        for text, record in [("rubbish", None), (f"enode://{key(2).public_key.to_bytes().hex()}", None)]:
            self.remembered[node_id] = text
            self.assertIs(self.neighbours.record(node_id), record)
        self.remembered[node_id] = RECORD.to_text()
        self.assertEqual(self.neighbours.record(node_id), RECORD)
        newer = make_record(2, "98.1.1.1", seq=5)
        self.table.add_found(Node.from_record(newer), 0.0)
        self.assertEqual(self.neighbours.record(node_id), newer)

    def test_verified_once(self) -> None:
        """However often somebody asks in the name of a node of the database, its record is not read again."""
        record = make_record(3)
        self.remembered[record.node_id] = record.to_text()
        self.assertEqual(self.neighbours.record(record.node_id), record)
        self.patch(neighbours, "parse_node", None)
        self.assertEqual(self.neighbours.record(record.node_id), record)

    def test_live_only(self) -> None:
        """Nobody is told who was not checked (trap 7)."""
        node = Node.from_record(RECORD)
        distance = log_distance(OWN_ID, node.node_id)
        self.table.add_found(node, 0.0)
        self.assertEqual(self.neighbours.at_distance(distance), [])
        now = 0.0
        while not self.table.handle_timer(now):
            now += 1
        self.table.on_pong(node, now)
        self.assertEqual(self.neighbours.at_distance(distance), [node])

    def test_inbound(self) -> None:
        """Where it says it is, even with an older record, as only it can know."""
        self.neighbours.add_inbound(make_record(2, "98.1.1.2", seq=3), ip_address("98.1.1.2"), PORT, 0.0)
        self.neighbours.add_inbound(RECORD, IP, PORT, 0.0)
        self.assertTrue(self.neighbours.changed)
        self.assertEqual(self.neighbours.record(RECORD.node_id), RECORD)

    def test_inbound_from_elsewhere(self) -> None:
        """As if it was told: a newer record counts, an older does not, nor do addresses that it may not tell."""
        elsewhere = ip_address("99.9.9.9")
        newer = make_record(2, "98.1.1.2", seq=3)
        for record in (newer, RECORD, make_record(2, "127.0.0.1", seq=9), make_record(2, "98.1.1.1", udp=0, seq=9)):
            self.neighbours.add_inbound(record, elsewhere, PORT, 0.0)
            self.assertEqual(self.neighbours.record(RECORD.node_id), newer)

    def test_inbound_before_the_first_refresh(self) -> None:
        """Whoever shouts loudest cannot fill the table of a booting node (trap 7)."""
        self.table = Table(OWN_ID, Random(1), 0.0)
        neighbours = self.make()
        for ip in (IP, ip_address("99.9.9.9")):
            neighbours.add_inbound(RECORD, ip, PORT, 0.0)
        self.assertEqual(len(self.table), 0)
