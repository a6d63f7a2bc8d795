"""
Tests for L{devp2p_tx.core.crypto.ecies}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto import ecies
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.errors import DecryptionError
from tests.core.rlpx.pairs import OURS, THEIRS, flipped
from tests.vectors import ecies as vectors

IV = bytes(range(16))
EPHEMERAL = PrivateKey(b"\x03" * 32)


def sealed(plaintext: bytes = b"plain", mac_data: bytes = b"", recipient: PrivateKey = OURS) -> bytes:
    """A message to our side."""
    return ecies.encrypt(recipient.public_key, plaintext, mac_data, ephemeral=EPHEMERAL, iv=IV)


class EncryptionTests(SynchronousTestCase):
    """Messages there and back."""

    def test_vectors(self) -> None:
        """Messages from other implementations are read."""
        for secret, message, plaintext in vectors.MESSAGES:
            self.assertEqual(ecies.decrypt(PrivateKey(secret), message), plaintext)

    @given(st.binary(max_size=100), st.binary(max_size=20))
    def test_round_trip(self, plaintext: bytes, mac_data: bytes) -> None:
        """What was encrypted for us we can read, an empty text too; it grows by 113 bytes."""
        message = sealed(plaintext, mac_data)
        self.assertEqual(ecies.decrypt(OURS, message, mac_data), plaintext)
        self.assertEqual(len(message) - len(plaintext), 113)
        self.assertEqual(ecies.OVERHEAD, 113)

    def test_layout(self) -> None:
        """The ephemeral key and the IV are where the specification puts them."""
        message = sealed()
        self.assertEqual(message[:65], b"\x04" + EPHEMERAL.public_key.to_bytes())
        self.assertEqual(message[65:81], IV)
        self.assertNotIn(b"plain", message)

    def test_agreed_secret_with_leading_zero(self) -> None:
        """A short shared coordinate is padded before it is hashed, on both sides."""
        for ours, theirs, _ in vectors.SHORT_X:
            recipient, ephemeral = PrivateKey(ours), PrivateKey(theirs)
            message = ecies.encrypt(recipient.public_key, b"plain", ephemeral=ephemeral, iv=IV)
            self.assertEqual(ecies.decrypt(recipient, message), b"plain")


class InvalidTests(SynchronousTestCase):
    """Messages that must not be read."""

    def test_every_byte_counts(self) -> None:
        """A bit turned anywhere, the form byte and the tag among them, is found."""
        message = sealed()
        for index in range(len(message)):
            self.assertRaises(DecryptionError, ecies.decrypt, OURS, flipped(message, index, 1 << index % 8))

    def test_mac_data_counts(self) -> None:
        """The bytes beside the message are authenticated with it."""
        message = sealed(mac_data=b"\1\2")
        for mac_data in (b"", b"\1\3", b"\1\2\3"):
            self.assertRaises(DecryptionError, ecies.decrypt, OURS, message, mac_data)

    def test_other_recipient(self) -> None:
        """Only the key that it was made for opens it."""
        self.assertRaises(DecryptionError, ecies.decrypt, THEIRS, sealed())

    def test_truncated(self) -> None:
        """From either end, down to nothing."""
        message = sealed()
        for size in range(len(message)):
            self.assertRaises(DecryptionError, ecies.decrypt, OURS, message[:size])
        self.assertRaises(DecryptionError, ecies.decrypt, OURS, message[1:])
        self.assertRaises(DecryptionError, ecies.decrypt, OURS, message + b"\0")

    def test_point_form(self) -> None:
        """Forms of the point other than the uncompressed one are refused, also where it would fit them."""
        for form in (0, 2, 3, 5, 6, 7, 255):
            self.assertRaises(DecryptionError, ecies.decrypt, OURS, bytes((form,)) + sealed()[1:])

    def test_invalid_curve(self) -> None:
        """
        A point off the curve never meets our secret: the answer could tell some bits of it.

        (go-ethereum C{p2p/rlpx/rlpx_oracle_poc_test.go}, fixed in 1.17.0, with a point of zeros.)
        """
        message, met = sealed(), []
        self.patch(PrivateKey, "ecdh", lambda key, other: met.append(other))
        for point in (bytes(64), b"\xff" * 64, flipped(message[1:65], 40)):
            self.assertRaises(DecryptionError, ecies.decrypt, OURS, b"\x04" + point + message[65:])
        self.assertEqual(met, [])

    def test_checked_before_decrypted(self) -> None:
        """The tag is compared before a byte is decrypted."""
        message = sealed()
        self.patch(ecies, "ctr_stream", None)
        self.assertRaises(DecryptionError, ecies.decrypt, OURS, flipped(message, len(message) - 1))
