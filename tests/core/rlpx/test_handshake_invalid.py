"""
Tests for L{devp2p_tx.core.rlpx.handshake}: packets from strangers, and what is tolerated in them.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto import ecies
from devp2p_tx.core.rlpx.frames import FrameReader
from devp2p_tx.core.rlpx.handshake import MAX_PACKET_SIZE, Recipient, packet_size
from devp2p_tx.errors import FrameError, HandshakeError
from tests.core.rlpx.packets import (
    EPHEMERAL,
    OTHER,
    ack_fields,
    auth_fields,
    called,
    caller,
    calling,
    packet,
    with_field,
)
from tests.core.rlpx.pairs import OURS, THEIRS, PlainWriter, flipped, randomness


class SizeTests(SynchronousTestCase):
    """The two bytes before the packet."""

    def test_limit(self) -> None:
        """2048 is waited for, one more is refused as soon as it is announced, in either role."""
        self.assertEqual(packet_size(b"\x08\x00"), MAX_PACKET_SIZE + 2)
        for head in (b"\x08\x01", b"\xff\xff"):
            self.assertRaises(HandshakeError, called().receive_auth, head)
            self.assertRaises(HandshakeError, calling().receive_ack, head)
        self.assertIsNone(called().receive_auth(b"\x08\x00" + bytes(2047)))
        self.assertIsNone(calling().receive_ack(b"\x08\x00" + bytes(2047)))

    def test_largest(self) -> None:
        """A packet of just the limit is read."""
        fields = auth_fields()
        padding = bytes(MAX_PACKET_SIZE - ecies.OVERHEAD - len(rlp.encode(fields)))
        auth = packet([*fields], rest=padding)
        self.assertEqual(len(auth), MAX_PACKET_SIZE + 2)
        self.assertIsNotNone(called().receive_auth(auth))

    def test_too_few_bytes_to_tell(self) -> None:
        """Two are needed."""
        for head in (b"", b"\x08", bytearray(b"\xff")):
            self.assertIsNone(packet_size(head))
            self.assertIsNone(called().receive_auth(head))
            self.assertIsNone(calling().receive_ack(head))

    def test_too_small(self) -> None:
        """Sizes that no ECIES message has are refused when they are complete."""
        for size in (0, 1, 112, 113):
            whole = size.to_bytes(2, "big") + b"\4" * size
            self.assertRaises(HandshakeError, called().receive_auth, whole)
            self.assertRaises(HandshakeError, calling().receive_ack, whole)


class AlteredTests(SynchronousTestCase):
    """Packets that were changed, or meant for others."""

    def test_every_byte_counts(self) -> None:
        """A bit turned anywhere in an auth or ack is found, also in the size."""
        auth, ack = caller().auth(), packet([*ack_fields()])
        for index in range(2, len(auth)):
            self.assertRaises(HandshakeError, called().receive_auth, flipped(auth, index, 1 << index % 8))
        for index in range(2, len(ack)):
            self.assertRaises(HandshakeError, calling().receive_ack, flipped(ack, index, 1 << index % 8))
        for bit in (1, 2, 4):
            self.assertRaises(HandshakeError, called().receive_auth, flipped(auth, 1, bit) + bytes(8))

    def test_garbage(self) -> None:
        """Random bytes of a plausible size, and text of another protocol."""
        for size in (307, 434, 1024, 1279, 2048):
            junk = size.to_bytes(2, "big") + randomness(size)(size)
            self.assertRaises(HandshakeError, called().receive_auth, junk)
            self.assertRaises(HandshakeError, calling().receive_ack, junk)
        self.assertRaises(HandshakeError, called().receive_auth, b"GET / HTTP/1.1\r\n")

    def test_for_another(self) -> None:
        """Packets made for another key, among them our own auth sent back to us."""
        self.assertRaises(HandshakeError, Recipient(OTHER, randomness()).receive_auth, caller().auth())
        self.assertRaises(HandshakeError, calling().receive_ack, packet([*ack_fields()], OTHER))
        initiator = calling()
        self.assertRaises(HandshakeError, initiator.receive_ack, initiator.auth())

    def test_off_curve_ephemeral(self) -> None:
        """The point in front of an ECIES message must lie on the curve."""
        auth, ack = caller().auth(), packet([*ack_fields()])
        for point in (bytes(64), b"\xff" * 64, flipped(THEIRS.public_key.to_bytes(), 63)):
            self.assertRaises(HandshakeError, called().receive_auth, auth[:3] + point + auth[67:])
            self.assertRaises(HandshakeError, calling().receive_ack, ack[:3] + point + ack[67:])


class FieldTests(SynchronousTestCase):
    """Lists inside of well made packets."""

    def test_more_than_known(self) -> None:
        """Further elements, whatever follows the list, and any version are accepted (EIP-8)."""
        rest = b"\xff\xbf" + bytes(100)
        for version in (b"", b"\3", b"\x38", b"\xff" * 8):
            auth = packet([*with_field(auth_fields(), 3, version), b"\1", [b"\2"]], rest=rest)
            self.assertIsNotNone(called().receive_auth(auth))
            ack = packet([*with_field(ack_fields(), 2, version), b"\1", [b"\2"]], rest=rest)
            self.assertIsNotNone(calling().receive_ack(ack))

    def test_malformed_auth(self) -> None:
        """Elements of a wrong length or kind, a key off the curve, a signature of nobody, too few elements."""
        good, key = auth_fields(), THEIRS.public_key.to_bytes()
        signatures: list[rlp.Encodable] = [good[0][:64], good[0] + b"\0", bytes(65), good[0][:64] + b"\4", []]
        bad = [with_field(good, 0, value) for value in signatures]
        bad += [with_field(good, 1, value) for value in (key[:63], b"\4" + key, bytes(64), flipped(key, 63), [key])]
        bad += [with_field(good, 2, value) for value in (b"\5" * 31, b"\5" * 33, b"", [])]
        bad += [with_field(good, 3, value) for value in (b"\0", b"\1" * 9, [])]
        self.assertIsNotNone(called().receive_auth(packet([*good])))
        for fields in [*bad, [*good[:3]], []]:
            self.assertRaises(HandshakeError, called().receive_auth, packet(fields))

    def test_malformed_ack(self) -> None:
        """Likewise."""
        good, key = ack_fields(), EPHEMERAL.public_key.to_bytes()
        bad = [with_field(good, 0, value) for value in (key[:63], b"\4" + key, bytes(64), flipped(key, 63), [key])]
        bad += [with_field(good, 1, value) for value in (b"\5" * 31, b"\5" * 33, b"", [])]
        bad += [with_field(good, 2, value) for value in (b"\0", b"\1" * 9, [])]
        self.assertIsNotNone(calling().receive_ack(packet([*good])))
        for fields in [*bad, [*good[:2]], []]:
            self.assertRaises(HandshakeError, calling().receive_ack, packet(fields))

    def test_no_list(self) -> None:
        """Bytes that are no RLP, or no list."""
        for plain in (b"", b"\0" * 200, b"\xf8", b"\xf9\xff\xff", b"\x83dog", b"\xff" * 50):
            self.assertRaises(HandshakeError, called().receive_auth, packet(plain))
            self.assertRaises(HandshakeError, calling().receive_ack, packet(plain))


class ReplayTests(SynchronousTestCase):
    """A recorded auth, sent again by somebody who has none of its keys."""

    def test_first_frame_fails(self) -> None:
        """It is answered, since nothing in it is fresh; but what was recorded after it does not verify."""
        initiator = caller()
        auth = initiator.auth()
        first = called().receive_auth(auth)
        again = Recipient(OURS, randomness("another day")).receive_auth(auth)
        assert first is not None and again is not None
        acked = initiator.receive_ack(first[1])
        assert acked is not None
        recorded = PlainWriter(acked[0]).message(0)
        self.assertEqual(FrameReader(first[0]).read(recorded), [(0, b"\xc0", 64)])
        self.assertRaises(FrameError, FrameReader(again[0]).read, recorded)

    def test_key_of_another_claimed(self) -> None:
        """Who claims another's key is answered, but the answer is for that other one's eyes."""
        answered = called().receive_auth(packet(with_field(auth_fields(), 1, OTHER.public_key.to_bytes())))
        assert answered is not None
        ack = answered[1]
        self.assertRaises(HandshakeError, caller().receive_ack, ack)
        self.assertEqual(len(rlp.decode_prefix(ecies.decrypt(OTHER, ack[2:], ack[:2]))[0]), 3)
