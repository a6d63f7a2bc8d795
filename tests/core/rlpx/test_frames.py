"""
Tests for L{devp2p_tx.core.rlpx.frames}: frames that are written and read.
"""

from __future__ import annotations

from itertools import product
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import snappy
from devp2p_tx.core.codec.snappy import PIECE
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.rlpx.frames import MAX_SIZE, OVERHEAD, FrameReader, FrameWriter, Message
from devp2p_tx.core.rlpx.handshake import Secrets
from devp2p_tx.errors import LocalProtocolError
from tests.core.rlpx.pairs import PlainWriter, in_pieces, secrets, writer_and_reader
from tests.vectors import rlpx_messages as vectors

codes = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1)).filter(lambda code: code != 1)
#: Sizes around those from which messages are treated otherwise than small ones, too.
sizes = st.one_of(st.integers(4060, 4120), st.integers(65_500, 65_600), st.integers(PIECE - 40, PIECE + 40))
payloads = st.one_of(st.binary(max_size=100), sizes.map(lambda size: Random(size).randbytes(size)))
messages = st.lists(st.tuples(codes, payloads), max_size=6)


class FakeHash:
    """A running hash that stands still."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take no notice."""

    def digest(self) -> bytes:
        """Always the same."""
        return b"\x01" * 32


def read_all(reader: FrameReader, pieces: list[bytes]) -> list[Message]:
    """All messages in a stream that comes in pieces."""
    return [message for piece in pieces for message in reader.read(piece)]


class VectorTests(SynchronousTestCase):
    """The published frame."""

    def setUp(self) -> None:
        """Its secrets."""
        self.secrets = Secrets(keccak256(b""), keccak256(b""), FakeHash(), FakeHash())

    def test_write(self) -> None:
        """The message makes that frame."""
        frame = FrameWriter(self.secrets).write(vectors.GOLDEN_CODE, vectors.GOLDEN_PAYLOAD)
        self.assertEqual(frame, vectors.GOLDEN_FRAME)

    def test_read(self) -> None:
        """The frame makes that message."""
        read = FrameReader(self.secrets).read(vectors.GOLDEN_FRAME)
        self.assertEqual(read, [(vectors.GOLDEN_CODE, vectors.GOLDEN_PAYLOAD, 64)])


class StreamTests(SynchronousTestCase):
    """Runs of frames."""

    @given(messages, st.booleans())
    def test_as_specified(self, sent: list[tuple[int, bytes]], compressed: bool) -> None:
        """The writer writes what the specification says, bit by bit, and tells how much."""
        writer, plain, out = FrameWriter(secrets()), PlainWriter(secrets()), []
        writer.snappy = compressed
        sizes = [writer.write_to(out, code, payload) for code, payload in sent]
        frames = [plain.message(code, snappy.compress(payload) if compressed else payload) for code, payload in sent]
        self.assertEqual(b"".join(out), b"".join(frames))
        self.assertEqual(sizes, list(map(len, frames)))

    @given(messages, st.lists(st.integers(0, 10**6), max_size=12), st.booleans())
    def test_any_pieces(self, sent: list[tuple[int, bytes]], cuts: list[int], compressed: bool) -> None:
        """However the stream is cut, the same messages come out, with the sizes of their frames."""
        writer, reader = writer_and_reader(snappy=compressed)
        frames = [writer.write(code, payload) for code, payload in sent]
        read = read_all(reader, in_pieces(b"".join(frames), cuts))
        expected = [(*message, len(frame)) for message, frame in zip(sent, frames, strict=True)]
        self.assertTrue(read == expected)  # assertEqual would take minutes to show how they differ

    def test_one_byte_at_a_time(self) -> None:
        """A message is there with its last byte, not before."""
        writer, reader = writer_and_reader()
        for size in (0, 1, 14, 15, 16, 31, 100):
            frame = writer.write(16, bytes(size))
            read = [reader.read(frame[index : index + 1]) for index in range(len(frame))]
            self.assertEqual(read, [[]] * (len(frame) - 1) + [[(16, bytes(size), len(frame))]])

    def test_sizes(self) -> None:
        """Bodies are padded to 16 bytes, but not by 16; the size counts the code."""
        for size, padded in [(0, 16), (14, 16), (15, 16), (16, 32), (30, 32), (31, 32), (32, 48)]:
            writer, reader = writer_and_reader()
            frame = writer.write(16, b"p" * size)
            self.assertEqual(len(frame), OVERHEAD + padded)
            self.assertEqual(reader.read(frame), [(16, b"p" * size, len(frame))])

    def test_most(self) -> None:
        """As many messages as are asked for; the others come with later calls, without further bytes."""
        writer, reader = writer_and_reader()
        stream = b"".join(writer.write(16 + number, b"") for number in range(5))
        read = [[code for code, _, _ in reader.read(data, most)] for data, most in [(stream, 1), (b"", 2), (b"", 9)]]
        self.assertEqual(read, [[16], [17, 18], [19, 20]])

    def test_header_data_ignored(self) -> None:
        """Whatever else the header says, and other than zeros as padding."""
        writer, reader = PlainWriter(secrets()), FrameReader(secrets())
        for header_data in (b"", b"\xc2\x80\x80", b"\xc3\x01\x02\x03", b"\xff" * 13):
            self.assertEqual(reader.read(writer.frame(b"\x10ab", header_data)), [(16, b"ab", 64)])

    def test_same_message_twice(self) -> None:
        """A frame looks different each time, and verifies only in its place."""
        writer, _ = writer_and_reader()
        first, second = writer.write(16, b"ab"), writer.write(16, b"ab")
        for start in range(0, 64, 16):
            self.assertNotEqual(first[start : start + 16], second[start : start + 16])


class SnappyTests(SynchronousTestCase):
    """Compressed payloads."""

    def test_payload_only(self) -> None:
        """The code stays as it is, the payload is one block."""
        writer, reader = writer_and_reader()
        writer.snappy = True
        [(code, payload, _)] = reader.read(writer.write(300, b"p" * 1000))
        self.assertEqual((code, payload), (300, snappy.compress(b"p" * 1000)))

    def test_from_now_on(self) -> None:
        """It begins between two messages, also where both are in one piece."""
        writer, reader = writer_and_reader()
        stream = writer.write(16, b"ab")
        writer.snappy = True
        stream += writer.write(16, b"ab")
        self.assertEqual([payload for _, payload, _ in reader.read(stream, most=1)], [b"ab"])
        reader.snappy = True
        self.assertEqual([payload for _, payload, _ in reader.read(b"")], [b"ab"])

    def test_disconnect_left_alone(self) -> None:
        """The payload of a Disconnect is given as it came, since it comes in either form at any time."""
        writer, reader = PlainWriter(secrets()), FrameReader(secrets())
        reader.snappy = True
        for payload in (b"\xc1\x04", b"\x02\x04\xc1\x04"):
            self.assertEqual([given for _, given, _ in reader.read(writer.message(1, payload))], [payload])


class LimitTests(SynchronousTestCase):
    """Around 16 MiB."""

    def test_largest(self) -> None:
        """A body of 2^24-1 bytes, its code included, is written and read; a byte more is our own fault."""
        self.assertEqual(MAX_SIZE, 2**24 - 1)
        writer, reader = writer_and_reader()
        payload = Random(1).randbytes(MAX_SIZE)
        self.assertRaises(LocalProtocolError, writer.write, 16, payload)
        self.assertRaises(LocalProtocolError, writer.write, 0x80, payload[1:])
        frame = writer.write(16, payload[1:])
        self.assertTrue(reader.read(frame) == [(16, payload[1:], len(frame))])

    def test_largest_compressed(self) -> None:
        """A payload of 2^24-1 bytes that compresses is written and read; a byte more, or one that grows, is not."""
        writer, reader = writer_and_reader(snappy=True)
        self.assertRaises(LocalProtocolError, writer.write, 16, bytes(MAX_SIZE + 1))
        self.assertRaises(LocalProtocolError, writer.write, 16, Random(1).randbytes(MAX_SIZE))
        frame = writer.write(16, bytes(MAX_SIZE))
        self.assertTrue(reader.read(frame) == [(16, bytes(MAX_SIZE), len(frame))])

    def test_refusal_leaves_no_trace(self) -> None:
        """After a refused message the stream goes on as if it had never been asked for."""
        refused = [(bytes(MAX_SIZE), False), (bytes(MAX_SIZE + 1), True), (Random(1).randbytes(MAX_SIZE), True)]
        for payload, compressed in refused:
            writer, reader = writer_and_reader(snappy=compressed)
            self.assertRaises(LocalProtocolError, writer.write, 16, payload)
            self.assertEqual(reader.read(writer.write(16, b"ab")), [(16, b"ab", 64)])

    def test_what_is_no_bytes(self) -> None:
        """Nor is anything encrypted of a payload that cannot be read as bytes; all that can be is sent."""
        for size, compressed in product((20_000, 200_000), (False, True)):
            writer, reader = writer_and_reader(snappy=compressed)
            for payload in ("x" * size, [0] * size, memoryview(bytes(2 * size))[::2]):
                self.assertRaises(TypeError, writer.write, 16, payload)
            for payload in (bytearray(size), memoryview(bytes(4 * size)).cast("I")):
                [(_, received, _)] = reader.read(writer.write(16, payload))
                self.assertTrue(received == bytes(payload))

    def test_largest_that_does_not_shrink(self) -> None:
        """A payload is refused for what it has become, not for what it could have."""
        writer, reader = writer_and_reader(snappy=True)
        payload = Random(1).randbytes(MAX_SIZE - 2000)
        self.assertGreater(snappy.max_compressed_size(len(payload)), MAX_SIZE)
        frame = writer.write(16, payload)
        self.assertTrue(reader.read(frame) == [(16, payload, len(frame))])
