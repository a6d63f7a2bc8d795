"""
Tests for L{devp2p_tx.core.rlpx.handshake}: the form from before EIP-8, which we answer and do not begin.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto import ecies
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.errors import HandshakeError
from tests.core.rlpx.packets import EPHEMERAL, KEY_A, auth_fields, called, node_a, node_b, packet
from tests.core.rlpx.pairs import OURS, THEIRS, flipped, randomness
from tests.vectors import eip8


def legacy_auth(signature: bytes, key: bytes) -> bytes:
    """An auth to us in the legacy form; nobody reads the hash in it."""
    plain = signature + bytes(32) + key + auth_fields()[2] + b"\0"
    return ecies.encrypt(OURS.public_key, plain, ephemeral=EPHEMERAL, iv=bytes(16))


class LegacyTests(SynchronousTestCase):
    """The form from before EIP-8."""

    def test_answered_in_kind(self) -> None:
        """The published auth of 307 bytes is read; the ack of 210 says what B's published one says."""
        recipient = node_b()
        answered = recipient.receive_auth(eip8.AUTH_1 + b"more")
        assert answered is not None
        _, ack, size = answered
        self.assertEqual((size, recipient.remote), (307, KEY_A.public_key))
        self.assertEqual(ecies.decrypt(KEY_A, ack), ecies.decrypt(KEY_A, eip8.ACK_1))
        self.assertEqual((len(ack), len(eip8.ACK_1)), (210, 210))

    def test_secrets(self) -> None:
        """They come of the same keys and nonces, thus are those of EIP-8; the hashes are of other packets."""
        answered = node_b().receive_auth(eip8.AUTH_1)
        assert answered is not None
        secrets, _, _ = answered
        self.assertEqual((secrets.aes, secrets.mac), (eip8.AES_SECRET, eip8.MAC_SECRET))
        secrets.ingress_mac.update(b"foo")
        self.assertNotEqual(secrets.ingress_mac.digest(), eip8.INGRESS_MAC_FOO)

    def test_one_byte_at_a_time(self) -> None:
        """It is recognised when it is whole, not before."""
        recipient = node_b()
        for size in range(307):
            self.assertIsNone(recipient.receive_auth(eip8.AUTH_1[:size]))
        self.assertIsNotNone(recipient.receive_auth(eip8.AUTH_1))

    def test_by_hand(self) -> None:
        """One that we make ourselves is read."""
        recipient = called()
        self.assertIsNotNone(recipient.receive_auth(legacy_auth(*auth_fields()[:2])))
        self.assertEqual(recipient.remote, THEIRS.public_key)

    def test_altered(self) -> None:
        """An altered one is taken for a packet of the other form, and waits for the rest of that."""
        for index in (1, 60, 70, 200, 306):
            self.assertIsNone(called().receive_auth(flipped(eip8.AUTH_1, index)))

    def test_key_off_curve(self) -> None:
        """Likewise one whose static key is no point."""
        signature, key, *_ = auth_fields()
        self.assertIsNone(called().receive_auth(legacy_auth(signature, flipped(key, 63))))

    def test_signature_of_nobody(self) -> None:
        """One that only we could open, yet from whose signature nobody can be recovered, ends the handshake."""
        auth = legacy_auth(bytes(65), auth_fields()[1])
        self.assertEqual(len(auth), 307)
        self.assertRaises(HandshakeError, called().receive_auth, auth)


class MistakableTests(SynchronousTestCase):
    """Where the two forms could be mistaken for each other."""

    def tried(self) -> list[bytes]:
        """Of each message that is decrypted from now on, the key that it begins with."""
        read, keys = PublicKey.from_bytes, list[bytes]()
        self.patch(PublicKey, "from_bytes", lambda data: keys.append(data) or read(data))
        return keys

    def test_tried_once(self) -> None:
        """However slowly bytes come that might be the legacy form, they are decrypted once as such."""
        tried = self.tried()
        recipient, junk = called(), b"\x04\xff" + randomness()(0x4FF)
        for size in range(len(junk)):
            self.assertIsNone(recipient.receive_auth(junk[:size]))
            self.assertEqual(len(tried), size >= 307)
        self.assertRaises(HandshakeError, recipient.receive_auth, junk)

    def test_not_tried_in_vain(self) -> None:
        """What begins otherwise than an ECIES message is not."""
        tried = self.tried()
        recipient = called()
        self.assertIsNone(recipient.receive_auth(b"\x03" + bytes(400)))
        self.assertEqual((tried, recipient._may_be_legacy), ([], True))

    def test_large_packet_that_looks_legacy(self) -> None:
        """A packet of 1,024 bytes or more begins as the legacy form does, and is read all the same."""
        auth = packet([*auth_fields()], rest=bytes(800))
        self.assertEqual(auth[:1], b"\x04")
        recipient = called()
        self.assertIsNone(recipient.receive_auth(auth[:400]))
        self.assertIsNotNone(recipient.receive_auth(auth))
        self.assertEqual(recipient.remote, THEIRS.public_key)

    def test_ack_not_read(self) -> None:
        """As callers we always send the form with a size, and read no other back."""
        initiator = node_a()
        initiator.auth()
        self.assertIsNone(initiator.receive_ack(eip8.ACK_1))
        self.assertRaises(HandshakeError, initiator.receive_ack, eip8.ACK_1 + bytes(2048))
