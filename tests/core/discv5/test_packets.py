"""
Tests for L{devp2p_tx.core.discv5.packets}.
"""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.discv5 import packets
from devp2p_tx.core.discv5.packets import InvalidPacket, NotDiscv5, Packet, PacketReader, PacketWriter
from devp2p_tx.core.enr.record import Record
from tests.core.discv5.vectors import ID_A, ID_B, VECTORS, unhex

ZERO_IV = bytes(16)
NONCE = bytes(range(12))
OURS, THEIRS = b"\3" * 32, b"\4" * 32


def read(datagram: bytes, to: bytes = THEIRS) -> Packet:
    """Unmask a datagram, as its recipient does."""
    return PacketReader(to).read(datagram)


def masked(head: bytes, to: bytes = THEIRS) -> bytes:
    """Mask a head for its recipient."""
    return packets.masked(head, packets.mask_of(to))


def static(flag: int = 0, size: int = 32, protocol_id: bytes = b"discv5", version: int = 1) -> bytes:
    """A head without authdata."""
    return ZERO_IV + protocol_id + version.to_bytes(2, "big") + bytes((flag,)) + NONCE + size.to_bytes(2, "big")


class VectorTests(SynchronousTestCase):
    """Published packets, read and written; those with keys are opened in the tests of sessions."""

    def test_read_ping(self) -> None:
        vector = unhex("packets", "ping")
        packet = read(vector["datagram"], ID_B)
        self.assertEqual(packet[:2], (packets.ORDINARY, PacketWriter(ID_A).ordinary(ZERO_IV, vector["nonce"])))
        self.assertEqual((packet.nonce, packet.authdata), (vector["nonce"], ID_A))
        self.assertEqual(PacketReader(ID_B).ordinary_head(vector["datagram"]), packet.head)
        self.assertEqual(vector["datagram"], masked(packet.head, ID_B) + packet.message)

    def test_whoareyou(self) -> None:
        vector = unhex("packets", "whoareyou")
        packet = read(vector["datagram"], ID_B)
        self.assertEqual((packet.flag, packet.head), (packets.WHOAREYOU, vector["challenge_data"]))
        self.assertEqual((packet.nonce, packet.message), (vector["request_nonce"], b""))
        self.assertEqual(packets.decode_whoareyou(packet.authdata), (vector["id_nonce"], 0))
        head = PacketWriter(ID_A).whoareyou(ZERO_IV, vector["request_nonce"], vector["id_nonce"], 0)
        self.assertEqual(masked(head, ID_B), vector["datagram"])
        self.assertIsNone(PacketReader(ID_B).ordinary_head(vector["datagram"]))

    def test_read_handshakes(self) -> None:
        for name in ("handshake", "handshake_with_record"):
            vector = unhex("packets", name)
            packet = read(vector["datagram"], ID_B)
            self.assertEqual((packet.flag, packet.nonce), (packets.HANDSHAKE, vector["nonce"]))
            auth = packets.decode_handshake(packet.authdata)
            self.assertEqual((auth.source, auth.ephemeral_key), (ID_A, vector["ephemeral_pubkey"]))
            self.assertEqual(bool(auth.record), name == "handshake_with_record")

    def test_write(self) -> None:
        """Those of sigp/discv5."""
        vectors = VECTORS["encoded_packets"]
        random = masked(PacketWriter(ID_A).ordinary((11).to_bytes(16, "big"), b"\x0c" * 12), ID_B) + b"\1" * 12
        self.assertEqual(random.hex(), vectors["random"])
        message = masked(PacketWriter(ID_A).ordinary(ZERO_IV, b"\x34" * 12), ID_B) + b"\x17" * 12
        self.assertEqual(message.hex(), vectors["message"])
        fields = ZERO_IV, b"\x34" * 12, b"\5" * 64, b"\6" * 33
        handshake = masked(PacketWriter(OURS).handshake(*fields, b""))
        self.assertEqual(handshake.hex(), vectors["handshake"])
        record = Record.from_text(vectors["record"]).encoded
        with_record = masked(PacketWriter(ID_A).handshake(*fields, record))
        self.assertEqual(with_record.hex(), vectors["handshake_with_record"])


class InvalidTests(SynchronousTestCase):
    """Headers that are none, and whether they may be another protocol's."""

    def assert_foreign(self, datagram: bytes) -> None:
        """The datagram may be of another protocol."""
        self.assertRaises(NotDiscv5, read, datagram)
        self.assertIsNone(PacketReader(THEIRS).ordinary_head(datagram))

    def assert_invalid(self, datagram: bytes, why: str) -> None:
        """The datagram is a bad one of ours."""
        error = self.assertRaises(InvalidPacket, read, datagram)
        self.assertNotIsInstance(error, NotDiscv5)
        self.assertIn(why, str(error))
        self.assertIsNone(PacketReader(THEIRS).ordinary_head(datagram))

    def test_sizes(self) -> None:
        """63 to 1280 bytes."""
        head = masked(static() + OURS)
        for size in (0, 16, 62, 1281):
            self.assert_foreign(head.ljust(size, b"x")[:size])
        self.assertEqual(len(read(head.ljust(1280, b"x")).message), 1280 - packets.ORDINARY_SIZE)
        self.assertIsNotNone(PacketReader(THEIRS).ordinary_head(head.ljust(1280, b"x")))

    def test_message_size(self) -> None:
        """48 bytes after the static header where there is a message."""
        for flag, size in [(packets.ORDINARY, 32), (packets.HANDSHAKE, 34)]:
            self.assert_foreign(masked(static(flag, size) + bytes(47)))
            self.assertEqual(read(masked(static(flag, size) + bytes(48))).flag, flag)

    def test_protocol_id(self) -> None:
        """Another id, and a packet to another node."""
        self.assert_foreign(masked(static(protocol_id=b"discv4") + OURS + bytes(40)))
        self.assert_foreign(masked(static() + OURS + bytes(40), OURS))

    def test_private_protocol_id(self) -> None:
        """A private network hears itself only."""
        head = PacketWriter(OURS, b"secret").ordinary(ZERO_IV, NONCE)
        datagram = masked(head) + bytes(40)
        self.assert_foreign(datagram)
        self.assertEqual(PacketReader(THEIRS, b"secret").ordinary_head(datagram), head)

    def test_version(self) -> None:
        """Zero is too low; higher ones are heard, by the longer way."""
        self.assert_invalid(masked(static(version=0) + OURS + bytes(40)), "version")
        datagram = masked(static(version=2) + OURS) + bytes(40)
        self.assertIsNone(PacketReader(THEIRS).ordinary_head(datagram))
        self.assertEqual(read(datagram).authdata, OURS)

    def test_flag(self) -> None:
        self.assert_invalid(masked(static(flag=3) + OURS + bytes(40)), "flag")

    def test_auth_size(self) -> None:
        """Beyond the packet, and wrong for the kind."""
        self.assert_invalid(masked(static(size=81) + bytes(80)), "beyond")
        for flag, size in [(0, 31), (0, 33), (1, 23), (1, 25), (2, 33), (2, 0)]:
            self.assert_invalid(masked(static(flag, size) + bytes(80)), "size")

    def test_whoareyou_with_message(self) -> None:
        """nim-eth's tests refuse that, too."""
        datagram = unhex("packets", "whoareyou")["datagram"] + b"\0"
        self.assertRaises(InvalidPacket, read, datagram, ID_B)
        self.assert_invalid(masked(static(1, 24) + bytes(25)), "message")

    def test_handshake_sizes(self) -> None:
        """Signature and key are within the authdata."""
        self.assertEqual(packets.decode_handshake(OURS + b"\1\2abb"), (OURS, b"a", b"bb", b""))
        self.assertEqual(packets.decode_handshake(OURS + b"\0\0xyz"), (OURS, b"", b"", b"xyz"))
        self.assertRaises(InvalidPacket, packets.decode_handshake, OURS + b"\1\2ab")
        self.assertRaises(InvalidPacket, packets.decode_handshake, OURS + b"\xff\xff")

    @given(st.binary(max_size=200))
    def test_anything(self, content: bytes) -> None:
        """Whatever a stranger masks, the error is theirs, and both ways of reading agree."""
        datagram = masked(ZERO_IV + b"discv5\0\1" + content)
        with contextlib.suppress(InvalidPacket):
            packet = read(datagram)
            if packet.flag == packets.ORDINARY:
                self.assertEqual(PacketReader(THEIRS).ordinary_head(datagram), packet.head)
            elif packet.flag == packets.HANDSHAKE:
                packets.decode_handshake(packet.authdata)

    @given(st.binary(min_size=16, max_size=16))
    def test_masks_start_anew(self, iv: bytes) -> None:
        """A kept mask gives for an IV what a new one does, wherever the counter ends."""
        kept = packets.mask_of(OURS)
        kept.update(b"something")
        head = iv + bytes(55)
        self.assertEqual(packets.masked(head, kept), packets.masked(head, packets.mask_of(OURS)))
