"""Tests for L{devp2p_tx.core.dnstree.building}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.dnstree.building import MAX_CHILDREN, make_tree
from devp2p_tx.core.dnstree.entries import Branch, Leaf, LinkWithoutKey, parse_entry, subdomain
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import LocalProtocolError
from tests.core.dnstree.examples import EXAMPLE, EXAMPLE_LINK, EXAMPLE_RECORDS, KEY, records


class MakeTreeTests(SynchronousTestCase):
    """Making trees."""

    def test_example(self) -> None:
        """The published example comes out byte by byte, its signature included, whatever the order going in."""
        tree = make_tree(1, map(Record.from_text, reversed(EXAMPLE_RECORDS)), [EXAMPLE_LINK])
        self.assertEqual(tree.sign(KEY).to_txt("n"), EXAMPLE)

    def test_empty(self) -> None:
        """A tree of nothing has two roots that are one empty branch."""
        tree = make_tree(1, [])
        self.assertEqual(tree.entries, {subdomain("enrtree-branch:"): "enrtree-branch:"})
        self.assertEqual(tree.root.records, tree.root.links)

    def test_complete(self) -> None:
        """Every record can be reached, no branch is too wide, and every name is the hash of its text."""
        for count in (1, 2, 13, 14, 26, 27, 169, 170):
            nodes = records(1, count)
            tree = make_tree(1, nodes)
            found, queue = [], [tree.root.records]
            while queue:
                name = queue.pop()
                self.assertEqual(subdomain(tree.entries[name]), name)
                entry = parse_entry(tree.entries[name])
                if isinstance(entry, Branch):
                    self.assertTrue(2 <= len(entry.children) <= MAX_CHILDREN)
                    queue += entry.children
                elif isinstance(entry, Leaf):
                    found.append(entry.record)
            self.assertEqual(sorted(found, key=hash), sorted(nodes, key=hash))

    def test_sizes(self) -> None:
        """Every text fits a DNS answer of 512 bytes."""
        tree = make_tree(1, records(1, 200), [EXAMPLE_LINK]).sign(KEY)
        self.assertLess(max(map(len, tree.to_txt("all.mainnet.example.org").values())), 400)

    def test_unreadablePort(self) -> None:
        """A record whose port nobody can read is not signed for (TestMakeTreeRejectsUndecodablePort)."""
        for key in (b"udp", b"tcp6", b"quic"):
            record = Record.sign(PrivateKey(b"\1" * 32), 1, {key: (70000).to_bytes(3, "big")})
            self.assertRaises(LocalProtocolError, make_tree, 1, [record])

    def test_invalidLink(self) -> None:
        """Nor is a link that cannot be read."""
        self.assertRaises(LinkWithoutKey, make_tree, 1, [], ["enrtree://n"])
