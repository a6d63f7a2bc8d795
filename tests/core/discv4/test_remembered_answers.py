"""
Tests for answers to FINDNODE that L{devp2p_tx.core.discv4.protocol} signs once for many.
"""

from __future__ import annotations

from dataclasses import replace

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.discv4 import packets
from devp2p_tx.core.discv4.cryptography import OwnCryptography
from devp2p_tx.core.discv4.protocol import MAX_REMEMBERED_ANSWERS, Discv4
from tests.core.discv4.playing import OUR_KEY, PEER, PEER_IP, PEER_PORT, ProtocolTestCase, node


class CountingCryptography(OwnCryptography):
    """Counts signatures."""

    def __init__(self, key: PrivateKey) -> None:
        super().__init__(key)
        self.signed = 0
        really = self.sign

        def counted(digest: bytes) -> bytes:
            self.signed += 1
            return really(digest)

        self.sign = counted  # type: ignore[assignment]


class RememberedAnswersTests(ProtocolTestCase):
    """Questions of one second, and what their answers cost."""

    def setUp(self) -> None:
        super().setUp()
        self.cryptography = CountingCryptography(OUR_KEY)
        self.node = Discv4(self.local, self.table, cryptography=self.cryptography)
        self.bond()
        self.table.nodes = [node(number) for number in range(10, 26)]
        self.cryptography.signed = 0

    def answer(self, target: bytes = bytes(64)) -> set[PublicKey]:
        """The nodes of an answer."""
        findnode = packets.encode_findnode(PEER, packets.FindNode(target, self.expiration))
        self.assertIsNone(self.receive(findnode))
        told = set()
        for _, payload in self.sent_datagrams():
            assert isinstance(payload, packets.Neighbors)
            self.assertEqual(payload.expiration, self.expiration)
            told |= {PublicKey.from_bytes(each.public_key) for each in payload.nodes}
        return told

    def test_once_a_second(self) -> None:
        """The same nodes, in whatever order, are signed once; a second later, with another expiration, once more."""
        for target in (bytes(64), b"\1" * 64, b"\2" * 64):
            self.assertEqual(len(self.answer(target)), 16)
            self.table.nodes.reverse()
        self.assertEqual(self.cryptography.signed, 2)
        self.advance(1)
        self.assertEqual(len(self.answer()), 16)
        self.assertEqual(self.cryptography.signed, 4)

    def test_other_nodes(self) -> None:
        """Other nodes, or one that has another address, are another answer."""
        self.answer()
        self.table.nodes = self.table.nodes[1:]
        self.assertEqual(len(self.answer()), 15)
        moved = replace(self.table.nodes[0], udp=4444)
        self.table.nodes = [moved, *self.table.nodes[1:]]
        self.answer()
        self.assertEqual(self.cryptography.signed, 6)

    def test_lan(self) -> None:
        """Who asks from the LAN is told of nodes in it, and nobody else is, whoever asks first."""
        lan: IPAddress = node(1, "10.0.0.1").ip
        self.table.nodes.append(node(30, "10.0.0.2"))
        self.table.nodes = self.table.nodes[1:]
        self.assertEqual(len(self.answer()), 15)
        now = self.unix_time
        self.node.proofs.pong_received(PEER.public_key.node_id, lan, now)
        findnode = packets.encode_findnode(PEER, packets.FindNode(bytes(64), self.expiration))
        self.assertIsNone(self.receive(findnode, lan))
        sent = self.sent_datagrams(lan, PEER_PORT)
        self.assertEqual(sum(len(payload.nodes) for _, payload in sent), 16)  # type: ignore[union-attr]
        self.assertEqual(len(self.answer()), 15)
        self.assertNotEqual(lan, PEER_IP)

    def test_bound(self) -> None:
        """Not more than so many are kept."""
        for number in range(MAX_REMEMBERED_ANSWERS + 10):
            self.table.nodes = [node(1000 + number)]
            self.assertEqual(len(self.node._neighbors(list(self.table.nodes), PEER_IP, 7)), 1)
            self.assertLessEqual(len(self.node._answers), MAX_REMEMBERED_ANSWERS)
