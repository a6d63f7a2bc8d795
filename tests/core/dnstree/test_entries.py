"""
Tests for L{devp2p_tx.core.dnstree.entries}.

The texts of L{RootTests} and L{EntryTests} are from go-ethereum C{p2p/dnsdisc/tree_test.go} (TestParseRoot,
TestParseEntry), with additions.
"""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.dnstree.entries import (
    MAX_DOMAIN_SIZE,
    MAX_TEXT_SIZE,
    Branch,
    EntryTooLong,
    HashMismatch,
    InvalidHash,
    InvalidLeaf,
    InvalidLinkDomain,
    InvalidLinkKey,
    InvalidTree,
    InvalidTreeSignature,
    Leaf,
    Link,
    LinkWithoutKey,
    Root,
    RootSyntaxError,
    UnknownEntry,
    find_entry,
    find_root,
    parse_entry,
    parse_url,
    subdomain,
)
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import InvalidNode
from tests.core.dnstree.examples import EXAMPLE, EXAMPLE_ROOT, EXAMPLE_URL, KEY

HASH = "TO4Q75OQ2N7DX4EOOR7X66A6OM"
SHORT_SIGNATURE = "N-YY6UB9xD0hFx1Gmnt7v0RfSxch5tKyry2SRDoLx7B4GfPXagwLxQqyf7gAMvApFn_ORwZQekMWa_pXrcGCtw"
RECORD = (
    "enr:-HW4QES8QIeXTYlDzbfr1WEzE-XKY4f8gJFJzjJL-9D7TC9lJb4Z3JPRRz1lP4pL_N_QpT6rGQjAU9Apnc-C1iMP36OAgmlkgnY0iXNlY3Ay"
    "NTZrMaED5IdwfMxdmR8W37HqSFdQLjDkIwBd4Q_MjxgZifgKSdM"
)
PADDED_RECORD = (
    "enr:-HW4QLZHjM4vZXkbp-5xJoHsKSbE7W39FPC8283X-y8oHcHPTnDDlIlzL5ArvDUlHZVDPgmFASrh7cWgLOLxj4wprRkHgmlkgnY0iXNlY3Ay"
    "NTZrMaEC3t2jLMhDpCDX5mbSEwDn4L3iUfyXzoO8G28XvjGRkrAg="
)


class RootTests(SynchronousTestCase):
    """The root."""

    def test_valid(self) -> None:
        """All fields are read, and written alike."""
        text = (
            "enrtree-root:v1 e=QFT4PBCRX4XQCV3VUYJ6BTCEPU l=JGUFMSAGI7KZYB3P7IZW4S5Y3A seq=3 "
            "sig=3FmXuVwpa8Y7OstZTx9PIb1mt8FrW7VpDOFv4AaGCsZ2EIHmhraWhe4NxYhQDlw5MjeFXYMbJjsPeKlHzmJREQE"
        )
        signature = bytes.fromhex(
            "dc5997b95c296bc63b3acb594f1f4f21bd66b7c16b5bb5690ce16fe006860ac6"
            "761081e686b69685ee0dc588500e5c393237855d831b263b0f78a947ce62511101"
        )
        root = Root.parse(text)
        self.assertEqual(root, Root("QFT4PBCRX4XQCV3VUYJ6BTCEPU", "JGUFMSAGI7KZYB3P7IZW4S5Y3A", 3, signature))
        self.assertEqual(root.to_text(), text)

    def test_syntax(self) -> None:
        """Each field must be there, once, in its place; the number has 64 bits."""
        good = EXAMPLE_ROOT
        bad = [
            f"enrtree-root:v1 e={HASH} seq=3 sig={SHORT_SIGNATURE}",
            good.replace("e=", "x="),
            good.replace(" l=", "  l="),
            good.replace("seq=1", "seq="),
            good.replace("seq=1", "seq=-1"),
            good.replace("seq=1", "seq=01"),
            good.replace("seq=1", "seq=1x"),
            good.replace("seq=1", f"seq={2**64}"),
            good.replace("v1", "v2"),
            good.split(" sig=")[0],
            good + " more=1",
        ]
        for text in bad:
            self.assertRaises(RootSyntaxError, Root.parse, text)

    def test_largestNumber(self) -> None:
        """Numbers go up to 64 bits."""
        self.assertEqual(Root.parse(EXAMPLE_ROOT.replace("seq=1", f"seq={2**64 - 1}")).seq, 2**64 - 1)

    def test_hashes(self) -> None:
        """Both subtrees must be named by hashes."""
        self.assertRaises(InvalidHash, Root.parse, EXAMPLE_ROOT.replace("e=J", "e=j"))
        self.assertRaises(InvalidHash, Root.parse, EXAMPLE_ROOT.replace("l=C7HRFPF3BLGF3YR4DY5KX3SMBE", "l=C7HR"))

    def test_signatureForm(self) -> None:
        """A signature has 65 bytes, as base64 without padding."""
        texts = [f"enrtree-root:v1 e={HASH} l={HASH} seq=3 sig={SHORT_SIGNATURE}"]
        texts += [EXAMPLE_ROOT + "=", EXAMPLE_ROOT[:-1], EXAMPLE_ROOT[:-2], EXAMPLE_ROOT[:-1] + "+"]
        for text in texts:
            self.assertRaises(InvalidTreeSignature, Root.parse, text)

    def test_signature(self) -> None:
        """Only the key of the URL signs, and nothing may be changed after."""
        key = parse_url(EXAMPLE_URL).key
        self.assertTrue(Root.parse(EXAMPLE_ROOT).is_signed_by(key))
        self.assertFalse(Root.parse(EXAMPLE_ROOT.replace("seq=1", "seq=2")).is_signed_by(key))
        self.assertFalse(Root.parse(EXAMPLE_ROOT).is_signed_by(PrivateKey(b"\1" * 32).public_key))

    def test_recoveryId(self) -> None:
        """The last byte of the signature does not matter, as publishers count it from 0 or 27."""
        root = Root.parse(EXAMPLE_ROOT)
        other = replace(root, signature=root.signature[:-1] + bytes([root.signature[-1] + 27]))
        self.assertTrue(Root.parse(other.to_text()).is_signed_by(KEY.public_key))


class EntryTests(SynchronousTestCase):
    """All other entries."""

    def test_branch(self) -> None:
        """A branch names any number of hashes of 12 to 32 bytes."""
        for children in ((), ("A" * 20,), ("A" * 20, "B" * 20), ("A" * 52,)):
            text = "enrtree-branch:" + ",".join(children)
            self.assertEqual(parse_entry(text), Branch(children))
            self.assertEqual(Branch(children).to_text(), text)

    def test_invalidBranch(self) -> None:
        """Anything else in a branch is refused: wrong lengths, lower case, foreign characters, padding, nothing."""
        wrong_lengths = ("1,2", "A" * 53, "A" * 19, "A" * 22, "A" * 20 + ",")
        wrong_characters = ("a" * 20, "A" * 24 + "=", "A" * 24 + "Ä", "A" * 20 + "\n", "A" * 20 + ", " + "B" * 20)
        for children in wrong_lengths + wrong_characters:
            self.assertRaises(InvalidHash, parse_entry, "enrtree-branch:" + children)

    def test_link(self) -> None:
        """A link names key and domain."""
        text = "enrtree://AKPYQIUQIL7PSIACI32J7FGZW56E5FKHEFCCOFHILBIMW3M6LWXS2@nodes.example.org"
        link = parse_entry(text)
        assert isinstance(link, Link)
        self.assertEqual((link.domain, link.key), ("nodes.example.org", KEY.public_key))
        self.assertEqual(link.to_text(), text)
        self.assertEqual(Link.make("nodes.example.org", KEY.public_key), link)

    def test_invalidLink(self) -> None:
        """Links without a key, or with a key that is none."""
        self.assertRaises(LinkWithoutKey, parse_entry, "enrtree://nodes.example.org")
        for key in (
            "AP62DT7WOTEQZGQZOU474PP3KMEGVTTE7A7NPRXKX3DUD57",
            "AP62DT7WONEQZGQZOU474PP3KMEGVTTE7A7NPRXKX3DUD57TQHGIA",
            "",
            "akpyqiuqil7psiaci32j7fgzw56e5fkhefccofhilbimw3m6lwxs2",
        ):
            self.assertRaises(InvalidLinkKey, parse_entry, f"enrtree://{key}@nodes.example.org")

    def test_invalidDomain(self) -> None:
        """The domain goes to a name server as it is, so it must be a name."""
        key = EXAMPLE_URL[len("enrtree://") : -2]
        for domain in ("", "a..b", "a b", "a/b", "a:53", "a@b", "x" * 64, ".a", ".".join(["x" * 50] * 4), "ä", "a\n"):
            self.assertRaises(InvalidLinkDomain, Link.parse, f"enrtree://{key}@{domain}")
        longest = "xx" + (".x" * MAX_DOMAIN_SIZE)[: MAX_DOMAIN_SIZE - 2]
        self.assertRaises(InvalidLinkDomain, Link.parse, f"enrtree://{key}@x{longest}")
        self.assertEqual(Link.parse(f"enrtree://{key}@{longest}").domain, longest)

    def test_record(self) -> None:
        """A leaf has a record."""
        self.assertEqual(parse_entry(RECORD), Leaf(Record.from_text(RECORD)))

    def test_invalidRecord(self) -> None:
        """A record that is padded, malformed, or badly signed makes no leaf."""
        for text in (PADDED_RECORD, "enr:-----", "enr:", RECORD.replace("ES8", "ES9")):
            self.assertRaises(InvalidLeaf, parse_entry, text)

    def test_otherParser(self) -> None:
        """The parser of records may refuse what is not wanted."""

        def refuse(text: str) -> Record:
            raise InvalidNode("not wanted")

        self.assertRaises(InvalidLeaf, parse_entry, RECORD, refuse)

    def test_unknown(self) -> None:
        """Other TXT records are no entries."""
        for text in ("", "foo", "enrtree", "enrtree-x=", "v=spf1 -all", EXAMPLE_ROOT):
            self.assertRaises(UnknownEntry, parse_entry, text)

    def test_tooLong(self) -> None:
        """A text that is too long is not looked into."""
        for parse in (parse_entry, Root.parse):
            self.assertRaises(EntryTooLong, parse, "enrtree-branch:".ljust(MAX_TEXT_SIZE + 1, "A"))
        self.assertRaises(InvalidHash, parse_entry, "enrtree-branch:".ljust(MAX_TEXT_SIZE, "A"))

    def test_url(self) -> None:
        """Users are told what is wrong with their URL."""
        self.assertEqual(parse_url(EXAMPLE_URL).domain, "n")
        for text in ("n", "enrtree://n", "http://x@n", EXAMPLE_URL[:-1]):
            self.assertRaises(InvalidNode, parse_url, text)


class FindTests(SynchronousTestCase):
    """Entries among the TXT records of a name."""

    def test_root(self) -> None:
        """The root is found among other records."""
        self.assertEqual(find_root(["v=spf1 -all", EXAMPLE_ROOT], KEY.public_key), Root.parse(EXAMPLE_ROOT))

    def test_noRoot(self) -> None:
        """There may be none."""
        self.assertIsNone(find_root(["v=spf1 -all"], KEY.public_key))
        self.assertIsNone(find_root([], KEY.public_key))

    def test_foreignRoot(self) -> None:
        """One that another key signed is refused."""
        other = PrivateKey(b"\1" * 32).public_key
        self.assertRaises(InvalidTreeSignature, find_root, [EXAMPLE_ROOT], other)

    def test_entry(self) -> None:
        """The entry is found among other records, whatever the length of the hash."""
        name = "2XS2367YHAXJFGLZHVAWLQD4ZY"
        for expected in (name, name[:20]):
            self.assertIsInstance(find_entry(["other", EXAMPLE[f"{name}.n"]], expected), Leaf)

    def test_noEntry(self) -> None:
        """There may be none; a root is no entry."""
        self.assertIsNone(find_entry(["other", EXAMPLE_ROOT], HASH))

    def test_otherText(self) -> None:
        """The text must be the one that the name stands for; malformed or not, it is its hash that counts first."""
        for text in (RECORD, "enr:-----", "enrtree-branch:\udcff"):
            self.assertRaises(HashMismatch, find_entry, [text], HASH)

    def test_malformedEntry(self) -> None:
        """A malformed text that the tree's owner vouches for is malformed still."""
        for text in ("enr:-----", "enrtree://x", "enrtree-branch:x"):
            self.assertRaises(InvalidTree, find_entry, [text], subdomain(text))
