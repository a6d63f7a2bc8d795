"""
Tests for L{devp2p_tx.core.codec.rlp}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import rlp
from devp2p_tx.errors import InvalidRLP, RemoteProtocolError

#: Yellow Paper, appendix B, and the examples of the RLP page of ethereum.org.
ENCODED: list[tuple[rlp.Item, str]] = [
    (b"", "80"),
    (b"\0", "00"),
    (b"\x7f", "7f"),
    (b"\x80", "8180"),
    (b"dog", "83646f67"),
    (b"a" * 55, "b7" + "61" * 55),
    (b"a" * 56, "b838" + "61" * 56),
    (b"a" * 256, "b90100" + "61" * 256),
    ([], "c0"),
    ([b"cat", b"dog"], "c88363617483646f67"),
    ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
    ([b"a" * 55], "f838b7" + "61" * 55),
]
#: Long forms of what has a short one, and lengths that begin with a zero byte.
NOT_CANONICAL = [
    "8100",
    "8101",
    "817f",
    "b800",
    "b80161",
    "b90038",
    "bf00000000000000000161",
    "f800",
    "f80161",
    "f90001c0",
]
#: Items that end too early.
TRUNCATED = ["", "81", "8261", "b8", "b838", "b9", "b901", "bfffffffffffffffff", "c1", "c2c0", "c281", "f8", "f838"]
#: Items that reach over the end of their list.
OVERLAPPING = ["c28161", "c2c28080", "c1c1", "c18180", "ffffffffffffffffff"]
items = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=20)


class SizeTests(SynchronousTestCase):
    """The bound on what is decoded."""

    def test_at_the_bound(self) -> None:
        item = b"a" * (rlp.MAX_SIZE - 3)
        self.assertEqual(rlp.decode(rlp.encode(item)), item)

    def test_over_the_bound(self) -> None:
        self.assertRaises(InvalidRLP, rlp.decode, rlp.encode(b"a" * (rlp.MAX_SIZE - 2)))
        self.assertRaises(InvalidRLP, rlp.decode_prefix, b"\x80" + bytes(rlp.MAX_SIZE))


class CodecTests(SynchronousTestCase):
    """Items to bytes and back."""

    def test_examples(self) -> None:
        """The published encodings, both ways."""
        for item, encoded in ENCODED:
            self.assertEqual(rlp.encode(item).hex(), encoded)
            self.assertEqual(rlp.decode(bytes.fromhex(encoded)), item)

    @given(items)
    def test_round_trip(self, item: rlp.Item) -> None:
        """Every item comes back."""
        self.assertEqual(rlp.decode(rlp.encode(item)), item)

    @given(st.binary(max_size=40))
    def test_canonical(self, data: bytes) -> None:
        """Whatever bytes come, they are an error of their sender's, or the one encoding of an item."""
        try:
            item = rlp.decode(data)
        except InvalidRLP:
            return
        self.assertEqual(rlp.encode(item), data)

    def test_invalid(self) -> None:
        """Long forms of short items, truncated items, and items that overlap the end of their list."""
        self.assertTrue(issubclass(InvalidRLP, RemoteProtocolError))
        for data in NOT_CANONICAL + TRUNCATED + OVERLAPPING:
            self.assertRaises(InvalidRLP, rlp.decode_prefix, bytes.fromhex(data))

    def test_rest(self) -> None:
        """Bytes after the item are an error, or told where they start."""
        self.assertRaises(InvalidRLP, rlp.decode, b"\x83dog\0")
        self.assertEqual(rlp.decode_prefix(b"\x83dog\xff"), (b"dog", 4))
        self.assertEqual(rlp.decode_prefix(b"\xc1\x05\xff"), ([b"\x05"], 2))

    def test_nested_too_deeply(self) -> None:
        """Lists in lists, thousands deep, are an error and not the end of the process."""
        data = b"\xc0"
        for depth in range(1, 3000):
            size = rlp.encode_uint(len(data))
            data = (bytes((0xC0 + len(data),)) if len(data) < 56 else bytes((0xF7 + len(size),)) + size) + data
            if depth == 5:
                self.assertEqual(rlp.decode(data), [[[[[[]]]]]])
        self.assertRaises(InvalidRLP, rlp.decode, data)


class FieldTests(SynchronousTestCase):
    """Items as the fields of messages."""

    def test_uint(self) -> None:
        """Numbers are big endian without leading zeros."""
        for value in (0, 1, 0x7F, 0x80, 0x100, 2**64 - 1):
            self.assertEqual(rlp.decode_uint(rlp.encode_uint(value)), value)
        self.assertEqual(rlp.encode_uint(0), b"")
        self.assertEqual(rlp.encode_uint(1024), b"\x04\0")

    def test_invalid_uint(self) -> None:
        """Leading zeros, too many bits, lists."""
        for item in (b"\0", b"\0\1", bytes(8), b"\1" * 9, [], [b"\1"]):
            self.assertRaises(InvalidRLP, rlp.decode_uint, item)
        self.assertRaises(InvalidRLP, rlp.decode_uint, b"\1\0", bits=8)
        self.assertEqual(rlp.decode_uint(b"\xff" * 32, bits=256), 2**256 - 1)

    def test_bytes(self) -> None:
        """Of any size, or of one."""
        self.assertEqual(rlp.decode_bytes(b"abc"), b"abc")
        self.assertEqual(rlp.decode_bytes(b"abc", 3), b"abc")
        for item, size in [(b"abc", 2), (b"abc", 4), (b"", 1), ([b"abc"], 3), ([], None), (b"a", 0)]:
            self.assertRaises(InvalidRLP, rlp.decode_bytes, item, size)
