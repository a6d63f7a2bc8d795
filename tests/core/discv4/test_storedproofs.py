"""
Tests for L{devp2p_tx.core.discv4.storedproofs} and L{devp2p_tx.core.discv4.neighbours}.
"""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.discv4.endpointproof import LIFETIME, MAX_FAILURES
from devp2p_tx.core.discv4.neighbours import Neighbours
from devp2p_tx.core.discv4.storedproofs import RESOLUTION, StoredProofs
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import Record
from devp2p_tx.core.kademlia.table import Table
from devp2p_tx.storage.memory import MemoryNodeStore

NODE, OTHER = b"\1" * 32, b"\2" * 32
IP, ELSEWHERE = ip_address("99.1.1.1"), ip_address("99.1.1.2")
NOW = 1_700_000_000.0
KEY = PrivateKey(b"\1" * 32)


class StoredProofTests(SynchronousTestCase):
    """Proofs in a database."""

    def setUp(self) -> None:
        """Nobody has proved anything."""
        self.store = MemoryNodeStore()
        self.proofs = StoredProofs(self.store)

    def test_theirs(self) -> None:
        """A PONG proves a node at an address, for a day."""
        self.assertFalse(self.proofs.is_proved(NODE, IP, NOW))
        self.proofs.pong_received(NODE, IP, NOW)
        self.assertTrue(self.proofs.is_proved(NODE, IP, NOW + LIFETIME - 1))
        self.assertFalse(self.proofs.is_proved(NODE, IP, NOW + LIFETIME))
        self.assertFalse(self.proofs.is_proved(OTHER, IP, NOW))
        self.assertFalse(self.proofs.is_proved(NODE, ELSEWHERE, NOW))

    def test_ours(self) -> None:
        """A PING lets us suppose that we are proved, for a day."""
        self.assertTrue(self.proofs.should_prove(NODE, IP, NOW))
        self.proofs.ping_received(NODE, IP, NOW)
        self.assertFalse(self.proofs.should_prove(NODE, IP, NOW + LIFETIME))
        self.assertTrue(self.proofs.should_prove(NODE, IP, NOW + LIFETIME + 1))
        self.assertTrue(self.proofs.should_prove(NODE, ELSEWHERE, NOW))

    def test_failures(self) -> None:
        """Who repeatedly fails has probably forgotten us."""
        self.proofs.ping_received(NODE, IP, NOW)
        for count in range(1, MAX_FAILURES + 2):
            self.assertFalse(self.proofs.should_prove(NODE, IP, NOW))
            self.proofs.count_failure(NODE, IP)
            self.assertEqual(self.proofs.failures(NODE, IP), count)
        self.assertTrue(self.proofs.should_prove(NODE, IP, NOW))
        self.proofs.clear_failures(NODE, IP)
        self.assertEqual(self.proofs.failures(NODE, IP), 0)

    def test_restart(self) -> None:
        """Another object with the same database knows the same."""
        self.proofs.pong_received(NODE, IP, NOW)
        self.assertTrue(StoredProofs(self.store).is_proved(NODE, IP, NOW))

    def test_not_written_with_each_packet(self) -> None:
        """A proof that is fresh is not written again, one that is older is."""
        for received, last in (
            (self.proofs.pong_received, self.store.last_pong),
            (self.proofs.ping_received, self.store.last_ping),
        ):
            received(NODE, IP, NOW)
            received(NODE, IP, NOW + RESOLUTION - 1)
            self.assertEqual(last(NODE, IP), int(NOW))
            received(NODE, IP, NOW + RESOLUTION)
            self.assertEqual(last(NODE, IP), int(NOW + RESOLUTION))

    def test_clock_that_was_wrong(self) -> None:
        """A proof of a time to come proves nothing, and is written again; nor does none, by a clock of 1970."""
        for ahead in (61, 86400, 365 * 86400):
            for received in (self.proofs.pong_received, self.proofs.ping_received):
                received(NODE, IP, NOW + ahead)
            self.assertFalse(self.proofs.is_proved(NODE, IP, NOW))
            self.assertTrue(self.proofs.should_prove(NODE, IP, NOW))
            for received in (self.proofs.pong_received, self.proofs.ping_received):
                received(NODE, IP, NOW)
            self.assertTrue(self.proofs.is_proved(NODE, IP, NOW))
            self.assertFalse(self.proofs.should_prove(NODE, IP, NOW))
            self.assertEqual((self.store.last_pong(NODE, IP), self.store.last_ping(NODE, IP)), (NOW, NOW))
        self.assertFalse(self.proofs.is_proved(OTHER, IP, 5.0))
        self.assertTrue(self.proofs.should_prove(OTHER, IP, 5.0))
        self.assertEqual(RESOLUTION, 60.0)


class NeighboursTests(SynchronousTestCase):
    """The table as the protocol uses it."""

    def setUp(self) -> None:
        """A table that takes inbound nodes."""
        self.table: Table[Node] = Table(bytes(32), Random(1), 0.0)
        self.table.refresh_done(0.0)
        self.neighbours = Neighbours(self.table)
        pairs = {b"ip": IP.packed, b"udp": b"\x10\x00", b"tcp": b"\x20\x00"}
        self.known = Node.from_record(Record.sign(KEY, 5, pairs))

    def add(self, udp: int, tcp: int) -> Node:
        """The node writes from a port; what the table has then."""
        self.neighbours.add_inbound(KEY.public_key, IP, udp, tcp, 1.0)
        node = self.table.get(KEY.public_key.node_id)
        assert node is not None
        return node

    def test_new(self) -> None:
        """A stranger enters."""
        self.assertEqual(self.add(1025, 7), Node(KEY.public_key, IP, 7, 1025))

    def test_record_is_kept(self) -> None:
        """A node whose record is known, at the endpoint that this says, stays as it is."""
        self.table.add_found(self.known, 0.0)
        self.assertIs(self.add(0x1000, 7), self.known)

    def test_record_that_is_wrong(self) -> None:
        """Where it writes from counts for more than its record."""
        self.table.add_found(self.known, 0.0)
        self.assertEqual(self.add(0x1001, 7), Node(KEY.public_key, IP, 7, 0x1001))

    def test_tcp_port(self) -> None:
        """Without a record its own word is all there is."""
        self.add(1025, 7)
        self.assertEqual(self.add(1025, 8).tcp, 8)

    def test_closest(self) -> None:
        """As long as no entry is live all are told."""
        self.add(1025, 7)
        self.assertEqual(len(self.neighbours.closest(bytes(32), 16)), 1)
