"""
Tests for L{devp2p_tx.core.enr.url}.

The key and most of the URLs are from go-ethereum C{p2p/enode/urlv4_test.go}.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node, parse_node
from devp2p_tx.errors import InvalidNode

HEX = (
    "1dd9d65c4552b5eb43d5ad55a2ee3f56c6cbc1c64a5c8d659f51fcd51bace243"
    "51232b8d7821617d2b29b54b81cdefb9b3e9c37d7fd5f63270bcc9e1a6f6a439"
)
KEY = PublicKey.from_bytes(bytes.fromhex(HEX))
V6 = "2001:db8:3c4d:15::abcd:ef12"

COMPLETE = [
    ("127.0.0.1:52150", Node(KEY, ip_address("127.0.0.1"), 52150, 52150)),
    ("[::]:52150", Node(KEY, ip_address("::"), 52150, 52150)),
    (f"[{V6}]:52150", Node(KEY, ip_address(V6), 52150, 52150)),
    ("127.0.0.1:52150?discport=22334", Node(KEY, ip_address("127.0.0.1"), 52150, 22334)),
    ("127.0.0.1:52150?discport=0", Node(KEY, ip_address("127.0.0.1"), 52150, 0)),
    ("127.0.0.1:0?discport=30301", Node(KEY, ip_address("127.0.0.1"), 0, 30301)),
    ("127.0.0.1:65535", Node(KEY, ip_address("127.0.0.1"), 65535, 65535)),
    ("127.0.0.1:3?discport=65535", Node(KEY, ip_address("127.0.0.1"), 3, 65535)),
    ("valid.:3", Node(KEY, None, 3, 3, "valid.")),
    ("boot-1.Example_a.ORG:3?discport=4", Node(KEY, None, 3, 4, "boot-1.Example_a.ORG")),
    ("localhost:3", Node(KEY, None, 3, 3, "localhost")),
    ("0x7f.example:3", Node(KEY, None, 3, 3, "0x7f.example")),
]
#: What is written otherwise than it is formatted.
OTHER_FORMS = [
    ("127.0.0.1:52150?discport=", "127.0.0.1:52150"),
    ("127.0.0.1:52150?other=1", "127.0.0.1:52150"),
    ("127.0.0.1:52150?discport=52150", "127.0.0.1:52150"),
    ("127.0.0.1:52150?discport=1&discport=2", "127.0.0.1:52150?discport=1"),
    ("127.0.0.1:52150/", "127.0.0.1:52150"),
    ("[::ffff:127.0.0.1]:52150", "127.0.0.1:52150"),
    (f"[{V6.upper()}]:52150", f"[{V6}]:52150"),
]
PORT = "invalid port"
DISCPORT = "invalid discport in query"
HOST = "is neither an address nor a host name"
WANTED = "want enode://<key>@<host>:<port>"
LENGTH = "invalid public key (wrong length, want 128 hex chars)"
INVALID = [
    (f"enode://{HEX}@127.0.0.1:foo", PORT),
    (f"enode://{HEX}@127.0.0.1:65536", PORT),
    (f"enode://{HEX}@127.0.0.1:-1", PORT),
    (f"enode://{HEX}@127.0.0.1:", PORT),
    (f"enode://{HEX}@127.0.0.1", PORT),
    (f"enode://{HEX}@127.0.0.1:{'1' * 5000}", PORT),
    (f"enode://{HEX}@127.0.0.1?discport=30303", PORT),
    (f"enode://{HEX}@::1:30303", PORT),
    (f"enode://{HEX}@[::1:30303", "invalid port or host"),
    (f"enode://{HEX}@127.0.0.1:3?discport=foo", DISCPORT),
    (f"enode://{HEX}@127.0.0.1:3?discport=65536", DISCPORT),
    (f"enode://{HEX}@127.0.0.1:3?discport=-1", DISCPORT),
    (f"enode://{HEX}@127.0.0.1:3?discport=%D9%A3", DISCPORT),  # a digit of another script
    (f"enode://{HEX}@127.0.0.1:3?discport={'1' * 5000}", DISCPORT),
    (f"enode://{HEX}@1.2.3:30303", HOST),
    (f"enode://{HEX}@1.2.3.256:30303", HOST),
    (f"enode://{HEX}@1.2.3.4.:30303", HOST),
    (f"enode://{HEX}@-a.example:30303", HOST),
    (f"enode://{HEX}@a-.example:30303", HOST),
    (f"enode://{HEX}@a..example:30303", HOST),
    (f"enode://{HEX}@.example:30303", HOST),
    (f"enode://{HEX}@a%20b:30303", HOST),
    (f"enode://{HEX}@{'a' * 64}.example:30303", HOST),
    (f"enode://{HEX}@{'a.' * 127}a:30303", HOST),
    (f"enode://{HEX}@{'a' * 60}!:30303", HOST),  # endless with a pattern that goes back and forth
    (f"enode://{HEX}@:30303", WANTED),
    (f"enode://{HEX}@", WANTED),
    (f"enode://{HEX}@127.0.0.1:3/path", WANTED),
    (f"enode://{HEX}@127.0.0.1:3#fragment", WANTED),
    ("enode://01010101@123.124.125.126:3", LENGTH),
    ("enode://01010101", LENGTH),
    ("01010101", LENGTH),
    (f"{HEX}00", LENGTH),
    (f"enode://{HEX}:password@127.0.0.1:3", LENGTH),
    (f"enode://{HEX}@1.2.3.4@127.0.0.1:3", LENGTH),
    (f"enode://{'zz' * 64}@127.0.0.1:3", "invalid public key (non-hexadecimal"),
    (f"enode://{'01' * 64}@127.0.0.1:3", "invalid public key (not a point of secp256k1)"),
    ("01" * 64, "invalid public key (not a point of secp256k1)"),
    ("", 'invalid URL scheme, want "enode"'),
    ("http://foobar", 'invalid URL scheme, want "enode"'),
    ("://foo", 'invalid URL scheme, want "enode"'),
    (f"enr://{HEX}@127.0.0.1:3", "invalid node record"),
    (f"http://{HEX}@127.0.0.1:3", 'invalid URL scheme, want "enode"'),
    (f"{HEX}@127.0.0.1:3", 'invalid URL scheme, want "enode"'),
    ("enode://127.0.0.1:30303", "does not contain node ID"),
    ("enode://@127.0.0.1:30303", "does not contain node ID"),
    ("enode://", "does not contain node ID"),
]

keys = st.integers(0, 2**32).map(lambda seed: PrivateKey.generate(Random(seed).randbytes).public_key)
ports = st.integers(0, 65535)
labels = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,20}[a-zA-Z0-9]", fullmatch=True)
hostnames = st.lists(labels, min_size=1, max_size=4).map(".".join)


def _unwrapped(ip: object) -> bool:
    return not (isinstance(ip, IPv6Address) and ip.ipv4_mapped)


complete = st.builds(Node, keys, st.ip_addresses().filter(_unwrapped), ports, ports)
named = st.builds(Node, keys, st.none(), ports, ports, hostnames)
incomplete = st.builds(Node, keys)


class ReadingTests(SynchronousTestCase):
    """Text to nodes."""

    def test_complete(self) -> None:
        """Addresses, names as they are written, both ports."""
        for location, node in COMPLETE:
            self.assertEqual(parse_node(f"enode://{HEX}@{location}"), node, location)

    def test_incomplete(self) -> None:
        """The key alone is a node that is known, but nowhere to be reached."""
        for text in (HEX, f"enode://{HEX}", HEX.upper(), f"  enode://{HEX}\n"):
            self.assertEqual(parse_node(text), Node(KEY), text)
        self.assertIsNone(parse_node(HEX).host)

    def test_other_forms(self) -> None:
        """What means the same is the same node."""
        for location, usual in OTHER_FORMS:
            self.assertEqual(format_node(parse_node(f"enode://{HEX}@{location}")), f"enode://{HEX}@{usual}", location)

    def test_key_in_upper_case(self) -> None:
        """Hexadecimal digits have no case."""
        self.assertEqual(parse_node(f"enode://{HEX.upper()}@127.0.0.1:3").public_key, KEY)

    def test_errors(self) -> None:
        """Every mistake is named."""
        for text, sentence in INVALID:
            error = self.assertRaises(InvalidNode, parse_node, text)
            self.assertIn(sentence, str(error), text[-60:])

    @given(st.one_of(st.text(), st.text().map(lambda text: f"enode://{HEX}@{text}")))
    def test_any_text(self, text: str) -> None:
        """Whatever is given is a node or L{InvalidNode}, and what is read can be written and read again."""
        try:
            node = parse_node(text)
        except InvalidNode:
            return
        self.assertEqual(parse_node(format_node(node)), node)


class WritingTests(SynchronousTestCase):
    """Nodes to text."""

    def test_format(self) -> None:
        """The discovery port is written where it is another than the TCP port."""
        for location, node in COMPLETE:
            self.assertEqual(format_node(node), f"enode://{HEX}@{location}")
        self.assertEqual(format_node(Node(KEY)), f"enode://{HEX}")

    @given(st.one_of(complete, named, incomplete))
    def test_round_trip(self, node: Node) -> None:
        """What is written is read as the same node."""
        self.assertEqual(parse_node(format_node(node)), node)


class NodeTests(SynchronousTestCase):
    """L{Node} itself."""

    def test_node_id(self) -> None:
        """The id is the Keccak-256 of the key."""
        self.assertEqual(Node(KEY).node_id, keccak256(bytes.fromhex(HEX)))

    def test_host(self) -> None:
        """The name goes before the address: it is looked up at each dial."""
        self.assertEqual(Node(KEY, ip_address("1.2.3.4"), hostname="example.org").host, "example.org")
        self.assertEqual(Node(KEY, ip_address(V6)).host, V6)

    def test_value(self) -> None:
        """Nodes are equal by what is known of them, and can be kept in sets."""
        self.assertEqual(len({Node(KEY), Node(KEY), Node(KEY, tcp=1)}), 2)
