"""
Tests for L{devp2p_tx.core.enr.record}; the origins of the vectors are in C{tests/vectors/enr.json}.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr import entries
from devp2p_tx.core.enr.record import InvalidRecord, Record, parse_record
from devp2p_tx.errors import InvalidNode, LocalProtocolError
from tests.vectors import load

VECTORS = load("enr")
EXAMPLE = VECTORS["example"]
KEY = PrivateKey(bytes.fromhex(EXAMPLE["key"]))
SIGNATURE_ERROR = "invalid signature on node record"


def signed(*items: rlp.Encodable, key: PrivateKey = KEY) -> bytes:
    """A record of any items, with a true signature over them."""
    return rlp.encode([key.sign(keccak256(rlp.encode(items)))[:64], *items])


class PublishedTests(SynchronousTestCase):
    """Published records."""

    def test_decode(self) -> None:
        """The example of the specification is read."""
        record = Record.from_text(EXAMPLE["text"])
        self.assertEqual(record.node_id.hex(), EXAMPLE["node_id"])
        self.assertEqual(record.signature.hex(), EXAMPLE["signature"])
        self.assertEqual(record.public_key.to_compressed().hex(), EXAMPLE["public_key"])
        self.assertEqual(record.seq, EXAMPLE["seq"])
        self.assertEqual(record.get(entries.IP), IPv4Address(EXAMPLE["ip"]))
        self.assertEqual(record.get(entries.UDP), EXAMPLE["udp"])
        self.assertEqual(list(record.values), [b"id", b"ip", b"secp256k1", b"udp"])

    def test_sign(self) -> None:
        """The example is made byte for byte, whatever the order in which entries are given."""
        pairs = {b"udp": rlp.encode_uint(EXAMPLE["udp"]), b"ip": IPv4Address(EXAMPLE["ip"]).packed}
        record = Record.sign(KEY, EXAMPLE["seq"], pairs)
        self.assertEqual(record.to_text(), EXAMPLE["text"])
        self.assertEqual(record, Record.from_text(EXAMPLE["text"]))
        self.assertEqual(record.values, Record.from_text(EXAMPLE["text"]).values)

    def test_python(self) -> None:
        """The record that go-ethereum got from another implementation."""
        self.assertEqual(Record.decode(bytes.fromhex(VECTORS["python"]["encoded"])).to_text(), EXAMPLE["text"])

    def test_incomplete(self) -> None:
        """Lists that end too early."""
        for encoded, sentence in VECTORS["incomplete"]["cases"]:
            if sentence is None:
                parse_record(bytes.fromhex(encoded))
            else:
                error = self.assertRaises(InvalidRecord, parse_record, bytes.fromhex(encoded))
                self.assertEqual(str(error), sentence)


class DecodeTests(SynchronousTestCase):
    """Records that are refused."""

    def assert_invalid(self, data: bytes, sentence: str) -> None:
        """The record is refused with this sentence."""
        self.assertEqual(str(self.assertRaises(InvalidRecord, Record.decode, data)), sentence)

    def test_size(self) -> None:
        """300 bytes are the most, and just allowed."""
        pairs = {b"x": bytes(300 - len(Record.sign(KEY, 1, {}).encoded) - 4)}
        biggest = Record.sign(KEY, 1, pairs)
        self.assertEqual(len(biggest.encoded), 300)
        self.assertEqual(Record.decode(biggest.encoded), biggest)
        self.assert_invalid(biggest.encoded + b"\0", "record bigger than 300 bytes")

    def test_order(self) -> None:
        """Keys must ascend, as bytes."""
        key = KEY.public_key.to_compressed()
        self.assert_invalid(
            signed(b"\1", b"secp256k1", key, b"id", b"v4"), "record key/value pairs are not sorted by key"
        )
        self.assert_invalid(
            signed(b"\1", b"id", b"v4", b"id", b"v4", b"secp256k1", key), "record contains duplicate key"
        )
        Record.decode(signed(b"\1", b"B", b"", b"a", b"", b"aa", b"", b"id", b"v4", b"secp256k1", key))

    def test_scheme(self) -> None:
        """Only "v4" is an identity scheme."""
        key = KEY.public_key.to_compressed()
        self.assert_invalid(signed(b"\1", b"secp256k1", key), SIGNATURE_ERROR)
        for name in (b"null", b"v5", b""):
            self.assert_invalid(signed(b"\1", b"id", name, b"secp256k1", key), SIGNATURE_ERROR)
        self.assert_invalid(signed(b"\1", b"id", [b"v4"], b"secp256k1", key), SIGNATURE_ERROR)

    def test_signature(self) -> None:
        """Made by another, altered, or of another length."""
        parts = rlp.decode(Record.sign(KEY, 1, {}).encoded)
        self.assert_invalid(signed(*parts[1:], key=PrivateKey(b"\1" * 32)), SIGNATURE_ERROR)
        self.assert_invalid(rlp.encode([parts[0], b"\2", *parts[2:]]), SIGNATURE_ERROR)
        self.assert_invalid(rlp.encode([b"", *parts[1:]]), SIGNATURE_ERROR)
        self.assert_invalid(rlp.encode([rlp.decode_bytes(parts[0]) + b"\0", *parts[1:]]), SIGNATURE_ERROR)

    def test_key(self) -> None:
        """It must be there, compressed, and on the curve."""
        sentence = "record without a valid secp256k1 key"
        self.assert_invalid(signed(b"\1", b"id", b"v4"), sentence)
        for key in (KEY.public_key.to_bytes(), b"\2" + b"\xff" * 32, b""):
            self.assert_invalid(signed(b"\1", b"id", b"v4", b"secp256k1", key), sentence)

    def test_malformed(self) -> None:
        """Not RLP, trailing bytes, lists where bytes belong, a bad number."""
        good = Record.sign(KEY, 1, {}).encoded
        parts = rlp.decode(good)
        bad = [b"", good + b"\0", good[:-1], rlp.encode([parts[0], b"\0\1", *parts[2:]])]
        bad += [rlp.encode([parts[0], bytes(9), *parts[2:]]), rlp.encode([[], *parts[1:]])]
        bad += [rlp.encode([*parts[:2], [b"id"], *parts[3:]])]
        for data in bad:
            error = self.assertRaises(InvalidRecord, Record.decode, data)
            self.assertIn("malformed", str(error))
        self.assert_invalid(b"\x80", "record contains less than two list elements")

    def test_malformed_within_a_value(self) -> None:
        """However deep it stands, and rightly signed."""
        good = signed(b"\1", b"id", b"v4", b"list", [[b"\x80"]], b"secp256k1", KEY.public_key.to_compressed())
        Record.decode(good)
        content = good[2 + 66 :].replace(b"\xc3\xc2\x81\x80", b"\xc3\xc2\x81\x01")  # a small byte with a header
        signature = KEY.sign(keccak256(b"\xf8" + bytes((len(content),)) + content))[:64]
        bad = b"\xf8" + bytes((len(content) + 66,)) + b"\xb8\x40" + signature + content
        self.assertEqual(len(bad), len(good))
        self.assertIn("malformed", str(self.assertRaises(InvalidRecord, Record.decode, bad)))

    @given(st.binary(max_size=310))
    def test_anything(self, data: bytes) -> None:
        """Whatever a stranger sends, the error is one of theirs."""
        self.assertRaises(InvalidRecord, Record.decode, data)

    @given(st.integers(0, 2**64 - 1), st.dictionaries(st.binary(max_size=6), st.binary(max_size=12), max_size=6))
    def test_round_trip(self, seq: int, pairs: dict[bytes, bytes]) -> None:
        """What is signed is read back."""
        record = Record.sign(KEY, seq, pairs)
        read = Record.decode(record.encoded)
        self.assertEqual((read.seq, read.values, read.signature), (record.seq, record.values, record.signature))
        for key, value in pairs.items():
            if key not in (b"id", b"secp256k1"):
                self.assertEqual(read.get(entries.raw(key)), value)


class ValueTests(SynchronousTestCase):
    """Reading entries, comparing records."""

    def test_absent(self) -> None:
        """A missing entry, and one of a wrong size, are absent; the raw value tells them apart."""
        record = Record.sign(KEY, 1, {b"ip": bytes(16), b"udp": b"\1\0\0"})
        for entry in (entries.IP, entries.UDP, entries.TCP):
            self.assertIsNone(record.get(entry))
        self.assertEqual(record.raw(b"udp"), b"\x83\1\0\0")
        self.assertIsNone(record.raw(b"tcp"))

    def test_equality(self) -> None:
        """By content."""
        record = Record.sign(KEY, 1, {b"a": b"b"})
        self.assertEqual(record, Record.decode(record.encoded))
        self.assertEqual(hash(record), hash(Record.decode(record.encoded)))
        self.assertNotEqual(record, Record.sign(KEY, 2, {b"a": b"b"}))
        self.assertNotEqual(record, record.encoded)
        self.assertIn("seq=1", repr(record))

    def test_frozen(self) -> None:
        """A record cannot be changed by accident."""
        record = Record.sign(KEY, 1, {})
        self.assertRaises(AttributeError, setattr, record, "seq", 2)

    def test_cannot_sign(self) -> None:
        """Too much, or a number out of range, is our own mistake."""
        error = self.assertRaises(LocalProtocolError, Record.sign, KEY, 1, {b"x": bytes(300)})
        self.assertEqual(str(error), "record bigger than 300 bytes")
        self.assertRaises(LocalProtocolError, Record.sign, KEY, 1 << 64, {})
        self.assertRaises(LocalProtocolError, Record.sign, KEY, -1, {})

    def test_scheme_is_ours(self) -> None:
        """The identity cannot be given by hand."""
        record = Record.sign(KEY, 1, {b"id": b"null", b"secp256k1": b""})
        self.assertEqual(Record.decode(record.encoded).public_key, KEY.public_key)


class TextTests(SynchronousTestCase):
    """The text form."""

    def test_invalid(self) -> None:
        """No prefix, padding, foreign characters, an impossible length, nothing, an unsigned record."""
        text = EXAMPLE["text"]
        bad = [text[4:], "ENR:" + text[4:], text + "=", text + "\n", text.replace("-", "+"), "enr:x", "enr:", text[:-1]]
        bad += [text + "é", text + "A"]
        # go-ethereum p2p/enode/urlv4_test.go, "Invalid Records"
        bad += [
            "enr:-EmGZm9vYmFyY4JpZIJ2NIJpcIR_AAABiXNlY3AyNTZrMaEDOlFBdkZvqBXtSB_60JEQotNE9sm3jB0Ur8NRw6Ub4z2DdWRwgnZf"
        ]
        for each in bad:
            self.assertRaises(InvalidNode, Record.from_text, each)

    def test_sentences(self) -> None:
        """What our user is told."""
        error = self.assertRaises(InvalidNode, Record.from_text, "hello")
        self.assertEqual(str(error), "missing 'enr:' prefix for base64-encoded record")
        error = self.assertRaises(InvalidNode, Record.from_text, "enr:wA")
        self.assertEqual(str(error), "invalid node record: record contains less than two list elements")

    def test_every_padding(self) -> None:
        """Lengths of all remainders are read back."""
        for size in range(3):
            record = Record.sign(KEY, 1, {b"x": b"abc"[:size] + b"!"})
            self.assertEqual(Record.from_text(record.to_text()), record)
