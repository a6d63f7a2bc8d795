"""
Tests for L{devp2p_tx.core.codec.snappy}; blocks made by hand are of snappy's C{format_description.txt}.
"""

from __future__ import annotations

import contextlib
from random import Random

from cramjam import snappy as library
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import snappy
from devp2p_tx.core.codec.snappy import PIECE
from devp2p_tx.core.rlpx.frames import MAX_SIZE
from devp2p_tx.errors import InvalidSnappy, RemoteProtocolError
from tests.core.rlpx.pairs import memory_of


def declaring(length: int, block: bytes = b"\0a") -> bytes:
    """A block that declares C{length} plain bytes, whatever it contains: by default the literal "a"."""
    preamble = b""
    while length > 0x7F:
        preamble += bytes((length & 0x7F | 0x80,))
        length >>= 7
    return preamble + bytes((length,)) + block


class SnappyTests(SynchronousTestCase):
    """Compressing and expanding."""

    @given(st.binary(max_size=300), st.integers(0, 40))
    def test_round_trip(self, data: bytes, times: int) -> None:
        """What was compressed comes back, within a limit of just its size."""
        plain = data * times
        block = snappy.compress(plain)
        self.assertIs(type(block), bytes)
        self.assertEqual(snappy.decompress(block, len(plain)), plain)

    def test_pieces(self) -> None:
        """What is compressed in pieces is one block, which the library reads; it is no larger than the library's."""
        for size in (PIECE, PIECE + 1, PIECE + 200, 3 * PIECE, 3 * PIECE + PIECE // 2):
            for plain in (Random(size).randbytes(size), b"all work and no play " * (size // 21) + bytes(size % 21)):
                block = snappy.compress(plain)
                self.assertTrue(bytes(library.decompress_raw(block)) == plain)
                self.assertLessEqual(len(block), len(library.compress_raw(plain)))
                self.assertLessEqual(len(block), snappy.max_compressed_size(size))

    def test_memory_of_pieces(self) -> None:
        """However much is compressed, a piece of it takes memory."""
        plain = Random(1).randbytes(32 * PIECE)
        memory = memory_of(sum, map(len, snappy.compress_pieces(plain)))
        self.assertLess(memory, 2 * PIECE)

    def test_made_by_hand(self) -> None:
        """A literal and a copy; nothing at all; a preamble longer than it needs to be."""
        self.assertEqual(snappy.decompress(b"\x06\x04ab\x01\x02", 6), b"ababab")
        self.assertEqual(snappy.decompress(b"\0", 0), b"")
        self.assertEqual(snappy.decompress(b"\x81\0\0a", 1), b"a")

    def test_short(self) -> None:
        """What fits into one short literal is left as it is, which the library reads; and what it writes is read."""
        for size in range(70):
            plain = bytes(size)
            block = snappy.compress(plain)
            self.assertEqual(bytes(library.decompress_raw(block)), plain)
            self.assertEqual(plain in block, size <= 60)
            self.assertEqual(snappy.decompress(bytes(library.compress_raw(plain)), size), plain)
            if size:
                self.assertRaises(InvalidSnappy, snappy.decompress, block, size - 1)
                self.assertRaises(InvalidSnappy, snappy.decompress, block[:-1], size)
                self.assertRaises(InvalidSnappy, snappy.decompress, block + b"\0", size)

    def test_limit(self) -> None:
        """The limit itself is within."""
        block = snappy.compress(bytes(1000))
        self.assertEqual(snappy.decompress(block, 1000), bytes(1000))
        self.assertRaises(InvalidSnappy, snappy.decompress, block, 999)

    def test_most_of_a_message(self) -> None:
        """2^24-1 bytes of zeros fit in a message, a byte more does not."""
        self.assertEqual(len(snappy.decompress(snappy.compress(bytes(MAX_SIZE)), MAX_SIZE)), MAX_SIZE)
        self.assertRaises(InvalidSnappy, snappy.decompress, snappy.compress(bytes(MAX_SIZE + 1)), MAX_SIZE)

    def test_bombs(self) -> None:
        """Declared sizes over the limit are refused before anything is allocated."""
        for length in (MAX_SIZE + 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**70):
            block = declaring(length)
            memory = memory_of(self.assertRaises, InvalidSnappy, snappy.decompress, block, MAX_SIZE)
            self.assertLess(memory, 100_000)

    def test_declared_other_than_it_is(self) -> None:
        """A block that expands to more, or to less, than it declares, is refused."""
        long_copy = b"\x00a" + b"\xfe\x01\x00" * 1000  # "a", and a thousand times 64 copies of it
        for block in (declaring(10, long_copy), declaring(0), declaring(2), declaring(65, long_copy)):
            self.assertRaises(InvalidSnappy, snappy.decompress, block, MAX_SIZE)
        self.assertEqual(snappy.decompress(declaring(64001, long_copy), MAX_SIZE), b"a" * 64001)

    def test_large_declared_other_than_it_is(self) -> None:
        """Likewise where a block is large, and expanded straight into its place."""
        plain = bytes(range(256)) * 1000
        content = snappy.compress(plain)[3:]
        self.assertEqual(snappy.decompress(declaring(len(plain), content), MAX_SIZE), plain)
        for length in (len(plain) - 1, len(plain) + 1, MAX_SIZE):
            self.assertRaises(InvalidSnappy, snappy.decompress, declaring(length, content), MAX_SIZE)

    def test_what_can_be_read(self) -> None:
        """Blocks are taken in whatever holds bytes; what comes of them is bytes."""
        for plain in (b"ab", bytes(100_000)):
            block = snappy.compress(plain)
            self.assertEqual(b"".join((b"", snappy.compress_buffer(plain))), block)
            for form in (bytes, bytearray, memoryview):
                expanded = snappy.decompress(form(block), len(plain))
                self.assertIs(type(expanded), bytes)
                self.assertEqual(expanded, plain)

    def test_malformed(self) -> None:
        """No preamble, half a preamble, a literal or a copy that is cut, a copy of what never was."""
        self.assertTrue(issubclass(InvalidSnappy, RemoteProtocolError))
        blocks = [b"", b"\x80", b"\xff" * 10, b"\x05", b"\x05\x10ab", b"\x05\0a\x01", b"\x05\0a\x01\x02", b"\x04\x01\0"]
        for block in blocks:
            self.assertRaises(InvalidSnappy, snappy.decompress, block, MAX_SIZE)

    @given(st.binary(max_size=60))
    def test_garbage(self, block: bytes) -> None:
        """Whatever bytes come, they expand within the limit or are an error of their sender's."""
        with contextlib.suppress(InvalidSnappy):
            self.assertLessEqual(len(snappy.decompress(block, 100)), 100)
