"""
Tests for L{devp2p_tx.core.codec.rlpfields}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.codec.rlpfields import (
    Field,
    read_bytes,
    read_exact_list,
    read_field,
    read_list,
    read_uint,
    write_bytes,
    write_list,
    write_uint,
)
from devp2p_tx.errors import InvalidRLP

items = st.recursive(st.binary(max_size=80), lambda children: st.lists(children, max_size=6), max_leaves=12)
#: Bytes that are headers more often than others are.
headers = st.lists(
    st.one_of(st.integers(0, 255), st.integers(0x80, 0x89), st.integers(0xC0, 0xC9), st.sampled_from([0xB8, 0xF8])),
    max_size=12,
).map(bytes)


def read_all(data: bytes, field: Field) -> rlp.Item:
    """An item with all that is in it."""
    if field[0]:
        return [read_all(data, each) for each in read_list(data, field, 0, len(data))]
    return read_bytes(data, field)


def whole(data: bytes) -> Field:
    """The item that fills C{data}."""
    return read_field(data, 0, len(data))


class FieldTests(SynchronousTestCase):
    """Reading against the full decoder."""

    @given(items)
    def test_valid(self, item: rlp.Item) -> None:
        """What the full encoder writes is read."""
        data = rlp.encode(item)
        self.assertEqual(read_all(data, whole(data)), item)

    @given(headers)
    def test_same_as_the_full_decoder(self, data: bytes) -> None:
        """Both accept and refuse the same."""
        try:
            expected = rlp.decode_prefix(data)
        except InvalidRLP:
            with self.assertRaises(InvalidRLP):
                read_all(data, whole(data))
        else:
            self.assertEqual((read_all(data, whole(data)), whole(data)[3]), expected)

    def test_rest_unread(self) -> None:
        """Nothing behind the fields wanted is looked at."""
        data = b"\xc4\1\2\x81\1"
        self.assertEqual(read_list(data, whole(data), 2, 2), [(False, 1, 1, 2), (False, 2, 2, 3)])
        with self.assertRaises(InvalidRLP):
            read_list(data, whole(data), 2, 3)

    def test_minimum(self) -> None:
        """Fewer items than needed, or no list."""
        for data in (b"\xc1\1", b"\x01"):
            with self.assertRaises(InvalidRLP):
                read_list(data, whole(data), 2, 2)

    def test_limits(self) -> None:
        """No item reaches beyond the list that it is in."""
        data = b"\xc1\x82\1\1"
        with self.assertRaises(InvalidRLP):
            read_list(data, whole(data), 0, 9)

    def test_huge_size(self) -> None:
        """A declared size costs nothing."""
        for data in (b"\xbf" + b"\xff" * 8, b"\xff" + b"\xff" * 8):
            with self.assertRaises(InvalidRLP):
                whole(data)

    def test_wasteful_size(self) -> None:
        """A size has no more bytes than it needs."""
        for data in (b"\xb8\1a", b"\xb8\x37" + bytes(55), b"\xb9\0\x40" + bytes(64), b"\xf9\0\x40" + bytes(64)):
            with self.assertRaises(InvalidRLP):
                whole(data)
        self.assertEqual(whole(b"\xb8\x38" + bytes(56)), (False, 0, 2, 58))

    def test_uint(self) -> None:
        """Integers of limited size, without leading zeros."""
        for value in (0, 1, 127, 128, 65535):
            data = rlp.encode(rlp.encode_uint(value))
            self.assertEqual(read_uint(data, whole(data), 2), value)
        for data in (b"\0", b"\x82\0\1", b"\x83\1\0\0", b"\xc0"):
            with self.assertRaises(InvalidRLP):
                read_uint(data, whole(data), 2)

    def test_bytes(self) -> None:
        """Bytes of a given size."""
        self.assertEqual(read_bytes(b"\x82ab", whole(b"\x82ab"), 2), b"ab")
        for data, size in ((b"\x82ab", 3), (b"\xc0", None)):
            with self.assertRaises(InvalidRLP):
                read_bytes(data, whole(data), size)


def write(item: rlp.Item) -> bytes:
    """An item with all that is in it, as packets write theirs."""
    return write_bytes(item) if isinstance(item, bytes) else write_list(map(write, item))


class WritingTests(SynchronousTestCase):
    """What is written."""

    @given(items)
    def test_same_as_the_encoder(self, item: rlp.Item) -> None:
        """The library writes the same bytes."""
        self.assertEqual(write(item), rlp.encode(item))

    def test_sizes(self) -> None:
        """Around the sizes at which the header changes."""
        for size in (0, 1, 55, 56, 255, 256, 1280):
            self.assertEqual(write(bytes(size)), rlp.encode(bytes(size)))
            self.assertEqual(write([b"\1"] * size), rlp.encode([b"\1"] * size))

    @given(st.integers(0, (1 << 64) - 1))
    def test_uint(self, value: int) -> None:
        """Integers."""
        self.assertEqual(write_uint(value), rlp.encode(rlp.encode_uint(value)))

    def test_small_uints(self) -> None:
        """The integers around those that are their own encoding."""
        for value in range(300):
            self.assertEqual(write_uint(value), rlp.encode(rlp.encode_uint(value)))


class ExactListTests(SynchronousTestCase):
    """Lists that may not go on."""

    def test_counts(self) -> None:
        """As many as are wanted, and neither less nor more."""
        for count in range(5):
            data = rlp.encode([b"a"] * count)
            if 1 <= count <= 3:
                self.assertEqual(len(read_exact_list(data, whole(data), 1, 3)), count)
            else:
                self.assertRaises(InvalidRLP, read_exact_list, data, whole(data), 1, 3)

    def test_empty(self) -> None:
        """An empty list, if that may be."""
        self.assertEqual(read_exact_list(b"\xc0", whole(b"\xc0"), 0, 3), [])
        self.assertRaises(InvalidRLP, read_exact_list, b"\xc1a", whole(b"\xc1a"), 0, 0)
