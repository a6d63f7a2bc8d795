"""
Tests for L{devp2p_tx.core.crypto.signatures}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.crypto.signatures import is_signed_by

KEY = PrivateKey(bytes(31) + b"\7")
DIGEST = bytes(range(32))
SIGNATURE = KEY.sign(DIGEST)[:64]
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class SignatureTests(SynchronousTestCase):
    """Signatures against a known key."""

    def test_valid(self) -> None:
        """The signer's own."""
        self.assertTrue(is_signed_by(KEY.public_key, DIGEST, SIGNATURE))

    def test_altered(self) -> None:
        """Another digest, key or signature."""
        self.assertFalse(is_signed_by(KEY.public_key, DIGEST[::-1], SIGNATURE))
        self.assertFalse(is_signed_by(PrivateKey(bytes(31) + b"\x08").public_key, DIGEST, SIGNATURE))
        self.assertFalse(is_signed_by(KEY.public_key, DIGEST, SIGNATURE[:63] + bytes([SIGNATURE[63] ^ 1])))

    def test_wrong_sizes(self) -> None:
        """Neither is read beyond its end."""
        self.assertFalse(is_signed_by(KEY.public_key, DIGEST, SIGNATURE + b"\0"))
        self.assertFalse(is_signed_by(KEY.public_key, DIGEST, b""))
        self.assertFalse(is_signed_by(KEY.public_key, DIGEST[:31], SIGNATURE))

    def test_out_of_range(self) -> None:
        """Numbers that are not below the order."""
        self.assertFalse(is_signed_by(KEY.public_key, DIGEST, b"\xff" * 64))
        self.assertFalse(is_signed_by(KEY.public_key, DIGEST, bytes(64)))

    def test_malleated(self) -> None:
        """The other form of the same signature is refused."""
        high_s = (ORDER - int.from_bytes(SIGNATURE[32:], "big")).to_bytes(32, "big")
        self.assertFalse(is_signed_by(KEY.public_key, DIGEST, SIGNATURE[:32] + high_s))
