"""
Tests for L{devp2p_tx.core.rlpx.frames}: streams from strangers.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import rlp, snappy
from devp2p_tx.core.rlpx.frames import MAX_SIZE, FrameReader
from devp2p_tx.errors import FrameError, InvalidRLP, InvalidSnappy
from tests.core.rlpx.pairs import PlainWriter, flipped, memory_of, secrets, writer_and_reader


def writer_that_lies(*, compressed: bool = False) -> tuple[PlainWriter, FrameReader]:
    """The two ends of one direction, the first of them no honest one."""
    reader = FrameReader(secrets())
    reader.snappy = compressed
    return PlainWriter(secrets()), reader


def read_all(*pieces: bytes) -> None:
    """Read a stream from its beginning."""
    reader = FrameReader(secrets())
    for piece in pieces:
        reader.read(piece)


class MacTests(SynchronousTestCase):
    """What was altered on its way."""

    def test_every_byte_counts(self) -> None:
        """A bit turned anywhere in a frame is found, be it in the padding."""
        frame = writer_that_lies()[0].message(16, b"payload that needs two blocks")
        self.assertEqual(len(frame), 80)
        for index in range(80):
            reader = FrameReader(secrets())
            self.assertRaises(FrameError, reader.read, flipped(frame, index, 1 << index % 8))

    def test_found_in_pieces(self) -> None:
        """Likewise if it comes in two pieces, cut anywhere."""
        good = writer_that_lies()[0].message(16, b"payload that needs two blocks")
        for index in (5, 20, 40, 70):
            frame = flipped(good, index)
            for cut in range(1, 80):
                self.assertRaises(FrameError, read_all, frame[:cut], frame[cut:])

    def test_header_mac_comes_first(self) -> None:
        """A size is believed only after its MAC was verified, and no body is waited for before that."""
        for index in (31, 0):
            writer, reader = writer_that_lies()
            reader.limit = 100
            error = self.assertRaises(FrameError, reader.read, flipped(writer.header(50), index, 0x80))
            self.assertEqual(str(error), "bad header MAC")

    def test_body_mac(self) -> None:
        """Nothing of a body is given away before its MAC was verified."""
        writer, reader = writer_that_lies()
        frame = writer.message(16, bytes(1000))
        self.assertEqual(reader.read(frame[:-1]), [])
        error = self.assertRaises(FrameError, reader.read, flipped(frame, len(frame) - 1)[-1:])
        self.assertEqual(str(error), "bad frame MAC")

    def test_order(self) -> None:
        """A frame left out, or sent twice, is found."""
        writer, _ = writer_that_lies()
        first, second = writer.message(16), writer.message(17)
        for stream in (second, first + first, first + second + second):
            self.assertRaises(FrameError, read_all, stream, b"")

    def test_good_ones_first(self) -> None:
        """Messages before a bad frame are given, and every later call fails."""
        writer, reader = writer_that_lies()
        stream = writer.message(16) + writer.message(17) + flipped(writer.message(18), 60) + writer.message(19)
        self.assertEqual([code for code, _, _ in reader.read(stream)], [16, 17])
        for _ in range(2):
            self.assertRaises(FrameError, reader.read, b"")
        self.assertRaises(FrameError, reader.read, writer.message(20))


class SizeTests(SynchronousTestCase):
    """Declared sizes."""

    def test_limit_at_the_header(self) -> None:
        """A body over the limit is refused when its header is there; one of just the limit is not."""
        for size in (1001, MAX_SIZE):
            writer, reader = writer_that_lies()
            reader.limit = 1000
            self.assertRaises(FrameError, reader.read, writer.header(size))
        writer, reader = writer_that_lies()
        reader.limit = 1000
        frame = writer.message(16, bytes(999))
        self.assertEqual(reader.read(frame), [(16, bytes(999), len(frame))])

    def test_empty_body(self) -> None:
        """A body of no bytes has no code either, whether it comes whole or not."""
        for cut in (0, 32, 40):
            writer, reader = writer_that_lies()
            frame = writer.frame(b"")
            self.assertEqual(len(frame), 48)
            self.assertEqual(reader.read(frame[:cut]), [])
            self.assertRaises(InvalidRLP, reader.read, frame[cut:])

    def test_memory_of_a_declared_body(self) -> None:
        """Of a declared 16 MiB, what has arrived takes memory, and no more."""
        header, part = writer_that_lies()[0].header(MAX_SIZE), bytes(50_000)
        self.assertLess(memory_of(read_all, header, part), 4 * len(part))

    def test_memory_of_small_pieces(self) -> None:
        """Likewise if it arrives a few bytes at a time."""
        writer, reader = writer_that_lies()
        reader.read(writer.header(MAX_SIZE))
        pieces = [bytes(2)] * 25_000
        self.assertLess(memory_of(any, map(reader.read, pieces)), 10 * 50_000)


class CodeTests(SynchronousTestCase):
    """What stands for a message code."""

    def test_not_canonical(self) -> None:
        """Zero bytes, long forms of short codes, more than 64 bits, half a code."""
        for body in ["00", "0010", "8110", "8200ff", "b80110", "89ffffffffffffffffff", "82ff", "b8", "bf" + "ff" * 20]:
            writer, reader = writer_that_lies()
            self.assertRaises(InvalidRLP, reader.read, writer.frame(bytes.fromhex(body)))

    def test_edges(self) -> None:
        """Codes where their encoding changes, and the last that fits 64 bits."""
        for code in (0, 1, 0x7F, 0x80, 0xFF, 0x100, 2**32, 2**63, 2**64 - 1):
            writer, reader = writer_and_reader()
            self.assertEqual([found for found, _, _ in reader.read(writer.write(code, b"ab"))], [code])
        writer, reader = writer_and_reader()
        self.assertRaises(InvalidRLP, reader.read, writer.write(2**64, b""))

    def test_list(self) -> None:
        """A list is no code, be it an empty one or one that holds a code."""
        for body in (b"\xc0", b"\xc1\x10", b"\xc1\x10ab", b"\xf8"):
            writer, reader = writer_that_lies()
            self.assertRaises(InvalidRLP, reader.read, writer.frame(body))

    def test_long_list(self) -> None:
        """A list of a hundred thousand elements is refused as such, not read element by element."""
        writer, reader = writer_that_lies()
        frame = writer.frame(rlp.encode([b""] * 100_000))
        memory = memory_of(self.assertRaises, InvalidRLP, reader.read, frame)
        self.assertLess(memory, 10 * len(frame))

    def test_padding_is_no_part(self) -> None:
        """A code or payload does not reach into the padding."""
        for body in (b"\x82\x01", b"\x81", b"\x88" + b"\xff" * 6):
            writer, reader = writer_that_lies()
            self.assertRaises(InvalidRLP, reader.read, writer.frame(body))
        writer, reader = writer_that_lies()
        self.assertEqual(reader.read(writer.frame(b"\x10")), [(16, b"", 64)])


class BombTests(SynchronousTestCase):
    """Compressed payloads that are not what they seem."""

    def test_declared(self) -> None:
        """4 GiB, or one byte too many, in a few bytes: refused before anything is allocated."""
        for preamble in (b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x08"):
            writer, reader = writer_that_lies(compressed=True)
            frame = writer.message(16, preamble + b"\0a")
            self.assertLess(memory_of(self.assertRaises, InvalidSnappy, reader.read, frame), 100_000)

    def test_over_the_limit(self) -> None:
        """A block of 780 KB that would truly expand to 2^24 bytes."""
        writer, reader = writer_that_lies(compressed=True)
        self.assertRaises(InvalidSnappy, reader.read, writer.message(16, snappy.compress(bytes(MAX_SIZE + 1))))

    def test_not_compressed(self) -> None:
        """A payload in the clear where a compressed one is due; an empty one as well."""
        for payload in (b"", b"\xc0", b"\xc1\x04"):
            writer, reader = writer_that_lies(compressed=True)
            self.assertRaises(InvalidSnappy, reader.read, writer.message(16, payload))

    def test_good_ones_first(self) -> None:
        """Messages before it are given."""
        writer, reader = writer_that_lies(compressed=True)
        stream = writer.message(16, snappy.compress(b"ab")) + writer.message(17, b"\xc0") + writer.message(18, b"\0")
        self.assertEqual([(code, payload) for code, payload, _ in reader.read(stream)], [(16, b"ab")])
        self.assertRaises(InvalidSnappy, reader.read, b"")
