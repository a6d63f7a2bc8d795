"""
Tests for L{devp2p_tx.core.enr.node}, and for nodes with records in L{devp2p_tx.core.enr.url}.

The record is the example of devp2p C{enr.md}.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import Record
from devp2p_tx.core.enr.url import format_node, node_text, parse_node
from devp2p_tx.errors import InvalidNode
from tests.vectors import load

EXAMPLE = load("enr")["example"]
TEXT: str = EXAMPLE["text"]
RECORD = Record.from_text(TEXT)
KEY = PrivateKey(b"\1" * 32)


class NodeOfRecordTests(SynchronousTestCase):
    """Nodes that have a record."""

    def test_from_record(self) -> None:
        """Key, endpoint and number are those of the record."""
        node = Node.from_record(RECORD)
        self.assertEqual(node.node_id.hex(), EXAMPLE["node_id"])
        self.assertEqual((str(node.ip), node.udp, node.tcp), (EXAMPLE["ip"], EXAMPLE["udp"], 0))
        self.assertEqual((node.record, node.seq), (RECORD, EXAMPLE["seq"]))

    def test_preferred_endpoint(self) -> None:
        """Of two addresses the more global one is the node's, with its ports."""
        pairs = {b"ip": ip_address("10.0.0.1").packed, b"ip6": ip_address("2600::1").packed, b"udp": b"\x01\x00"}
        node = Node.from_record(Record.sign(KEY, 1, {**pairs, b"tcp": b"\x02\x00", b"udp6": b"\x03\x00"}))
        self.assertEqual((str(node.ip), node.tcp, node.udp), ("2600::1", 0x200, 0x300))

    def addresses(self, **said: str | int) -> list[str]:
        """Where connections may go, of a node whose record says this."""
        pairs: dict[bytes, bytes] = {
            key.encode(): value.to_bytes(2, "big") if isinstance(value, int) else ip_address(value).packed
            for key, value in said.items()
        }
        node = Node.from_record(Record.sign(KEY, 1, dict(pairs)))
        return [f"{ip} {port}" for ip, port in node.tcp_addresses()]

    def test_both_addresses(self) -> None:
        """The preferred one first, then that of the other family, each with its port."""
        both = {"ip": "99.1.1.1", "tcp": 0x200, "ip6": "2600::1"}
        self.assertEqual(self.addresses(**both), ["99.1.1.1 512", "2600::1 512"])
        self.assertEqual(self.addresses(**both, tcp6=0x300), ["99.1.1.1 512", "2600::1 768"])
        self.assertEqual(self.addresses(ip="10.0.0.1", ip6="2600::1", tcp=0x200), ["2600::1 512"])
        self.assertEqual(self.addresses(ip="10.0.0.1", ip6="fd00::1", tcp=0x200), ["10.0.0.1 512", "fd00::1 512"])
        self.assertEqual(self.addresses(ip="99.1.1.1", ip6="2600::1", tcp6=0x200), ["2600::1 512"])

    def test_address_of_our_network(self) -> None:
        """A node elsewhere cannot make us knock at doors of our own."""
        for own in ("::1", "fd00::1", "fe80::1", "ff02::1", "2001:db8::1", "::"):
            self.assertEqual(self.addresses(ip="99.1.1.1", ip6=own, tcp=0x200), ["99.1.1.1 512"])

    def test_no_address(self) -> None:
        """There may be none at all."""
        self.assertEqual(self.addresses(tcp=0x200), [])
        self.assertEqual(self.addresses(ip="99.1.1.1"), [])
        self.assertEqual(Node(KEY.public_key, ip_address("::1"), 1).tcp_addresses(), [(ip_address("::1"), 1)])
        self.assertEqual(Node(KEY.public_key, tcp=1, hostname="a.example").tcp_addresses(), [])

    def test_wanted_family(self) -> None:
        """Who has IPv6 alone takes the node by that."""
        pairs = {b"ip": ip_address("99.1.1.1").packed, b"ip6": ip_address("2600::1").packed, b"udp": b"\x01\x00"}
        self.assertEqual(str(Node.from_record(Record.sign(KEY, 1, dict(pairs)), (6,)).ip), "2600::1")

    def test_record_without_an_address(self) -> None:
        """It is a node that can nowhere be reached."""
        node = Node.from_record(Record.sign(KEY, 1, {}))
        self.assertEqual((node.ip, node.udp, node.tcp, node.host), (None, 0, 0, None))

    def test_node_without_a_record(self) -> None:
        """Its number is below that of any record."""
        self.assertEqual((Node(KEY.public_key).record, Node(KEY.public_key).seq), (None, 0))

    def test_value(self) -> None:
        """Records tell nodes apart."""
        node = Node.from_record(RECORD)
        self.assertEqual(node, Node.from_record(Record.from_text(TEXT)))
        self.assertNotEqual(node, Node(node.public_key, node.ip, node.tcp, node.udp))


class TextTests(SynchronousTestCase):
    """The text of nodes."""

    def test_parse(self) -> None:
        """A record's text is a node's, with white space around it too."""
        self.assertEqual(parse_node(f" {TEXT}\n"), Node.from_record(RECORD))

    def test_parse_invalid(self) -> None:
        """What is wrong with the record is told."""
        for text in ("enr:", TEXT + "==", TEXT[:-4] + "AAAA", "enr:!"):
            self.assertIn("invalid node record", str(self.assertRaises(InvalidNode, parse_node, text)))

    def test_node_text(self) -> None:
        """The record if there is one, else the URL."""
        node = Node.from_record(RECORD)
        self.assertEqual(node_text(node), TEXT)
        bare = Node(node.public_key, node.ip, 30303, 30303)
        self.assertEqual(node_text(bare), format_node(bare))

    def test_url_of_a_node_with_a_record(self) -> None:
        """It can still be had."""
        node = Node.from_record(RECORD)
        url = f"enode://{node.public_key.to_bytes().hex()}@127.0.0.1:0?discport=30303"
        self.assertEqual(format_node(node), url)
