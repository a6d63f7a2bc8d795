"""
Tests for L{devp2p_tx.core.crypto.secp256k1}.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.errors import InvalidPublicKey, InvalidSignature
from tests.core.rlpx.pairs import OURS, THEIRS, flipped, randomness
from tests.vectors import ecies as vectors

#: The order of the curve, and the prime of its field (SEC 2, 2.4.1).
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
PRIME = 2**256 - 2**32 - 977
#: go-ethereum crypto/signature_test.go.
DIGEST = bytes.fromhex("ce0677bb30baa8cf067c88db9811f4333d131bf8bcf12fe7065d211dce971008")
SIGNATURE = bytes.fromhex(
    """
    90f27b8b488db00b00606796d2987f6a5f59ae62ea05effe84fef5b8b0e54998
    4a691139ad57a3f0b906637673aa2f63d1f55cb1a69199d4009eea23ceaddc93 01
    """
)
SIGNER = bytes.fromhex(
    """
    e32df42865e97135acfb65f3bae71bdc86f4d49150ad6a440b6f15878109880a
    0a2b2667f7e725ceea70c673093bf67663e0312623c8e091b13cf2c0f11ef652
    """
)
secrets = st.integers(1, ORDER - 1).map(lambda number: PrivateKey(number.to_bytes(32, "big")))


class PublicKeyTests(SynchronousTestCase):
    """Points and their two forms."""

    def test_forms(self) -> None:
        """64 bytes, or 33 of which the first tells the sign of Y."""
        key = PublicKey.from_bytes(SIGNER)
        self.assertEqual(key.to_bytes(), SIGNER)
        self.assertEqual(key.to_compressed(), b"\x02" + SIGNER[:32])
        self.assertEqual(PublicKey.from_compressed(b"\x02" + SIGNER[:32]), key)
        self.assertNotEqual(PublicKey.from_compressed(b"\x03" + SIGNER[:32]), key)

    def test_not_a_point(self) -> None:
        """Off the curve, at infinity, or with a coordinate past the prime."""
        x = int.from_bytes(SIGNER[:32], "big")
        past_prime = (PRIME + 1).to_bytes(32, "big") + PrivateKey(b"\0" * 31 + b"\1").public_key.to_bytes()[32:]
        for data in [bytes(64), b"\xff" * 64, flipped(SIGNER, 63), flipped(SIGNER, 0), past_prime, SIGNER[32:] * 2]:
            self.assertRaises(InvalidPublicKey, PublicKey.from_bytes, data)
        off_curve = next(x for x in range(x, x + 99) if pow(x**3 + 7, (PRIME - 1) // 2, PRIME) != 1)
        self.assertRaises(InvalidPublicKey, PublicKey.from_compressed, b"\x02" + off_curve.to_bytes(32, "big"))

    def test_wrong_length_or_form(self) -> None:
        """Neither a missing byte nor a form byte too many is read as a point."""
        for data in [b"", SIGNER[:-1], SIGNER + b"\0", b"\x04" + SIGNER]:
            self.assertRaises(InvalidPublicKey, PublicKey.from_bytes, data)
        for data in [b"", SIGNER[:32], b"\x04" + SIGNER[:32], b"\0" * 33, b"\x04" + SIGNER]:
            self.assertRaises(InvalidPublicKey, PublicKey.from_compressed, data)

    def test_node_id(self) -> None:
        """Keccak-256 of the 64 bytes, not of another form."""
        self.assertEqual(PublicKey.from_bytes(SIGNER).node_id, keccak256(SIGNER))

    def test_value(self) -> None:
        """Equal points are equal keys, however they were read."""
        key = PublicKey.from_bytes(SIGNER)
        self.assertEqual({key, PublicKey.recover(SIGNATURE, DIGEST)}, {key})
        self.assertNotEqual(key, OURS.public_key)
        self.assertNotEqual(key, SIGNER)
        self.assertIn(SIGNER.hex()[:16], repr(key))


class PrivateKeyTests(SynchronousTestCase):
    """Secrets."""

    def test_range(self) -> None:
        """1 to n-1, in 32 bytes."""
        for number in (1, ORDER - 1):
            self.assertEqual(PrivateKey(number.to_bytes(32, "big")).secret, number.to_bytes(32, "big"))
        for secret in [b"", bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32, b"\x01" * 31, b"\x01" * 33]:
            self.assertRaises(ValueError, PrivateKey, secret)

    def test_public_halves(self) -> None:
        """The published keys have their published coordinates."""
        for secret, x, y in vectors.PADDED_KEYS:
            self.assertEqual(PrivateKey(secret).public_key.to_bytes(), x + y)

    def test_generate(self) -> None:
        """Draws out of range are drawn again."""
        draws = iter([bytes(32), b"\xff" * 32, b"\x07" * 32])
        self.assertEqual(PrivateKey.generate(lambda size: next(draws)).secret, b"\x07" * 32)
        random_bytes = randomness()
        self.assertNotEqual(PrivateKey.generate(random_bytes).secret, PrivateKey.generate(random_bytes).secret)

    def test_secret_not_shown(self) -> None:
        """A key that is logged gives nothing away."""
        self.assertNotIn(OURS.secret.hex()[:8], repr(OURS))


class SignatureTests(SynchronousTestCase):
    """Signing, and recovering who did."""

    def test_recover(self) -> None:
        """The published signer."""
        self.assertEqual(PublicKey.recover(SIGNATURE, DIGEST).to_bytes(), SIGNER)

    @given(secrets, st.binary(min_size=32, max_size=32))
    def test_sign(self, key: PrivateKey, digest: bytes) -> None:
        """Whoever signs is recovered; s is in the lower half (EIP-2), v is 0 to 3."""
        signature = key.sign(digest)
        self.assertEqual(PublicKey.recover(signature, digest), key.public_key)
        self.assertEqual(len(signature), 65)
        self.assertLessEqual(int.from_bytes(signature[32:64], "big"), ORDER // 2)
        self.assertLess(signature[64], 4)

    def test_invalid(self) -> None:
        """Wrong lengths, r or s of zero or past the order, and v out of range, which must not end the process."""
        zero, past = bytes(32), ORDER.to_bytes(32, "big")
        r, s = SIGNATURE[:32], SIGNATURE[32:64]
        numbers = [zero + s, r + zero, past + s, r + past]
        for signature in [r + s, SIGNATURE + b"\0", *(number + b"\0" for number in numbers)]:
            self.assertRaises(InvalidSignature, PublicKey.recover, signature, DIGEST)
        for v in [2, 3, 4, 27, 28, 255]:  # r + n is no coordinate here, thus neither are 2 and 3 good
            self.assertRaises(InvalidSignature, PublicKey.recover, r + s + bytes((v,)), DIGEST)

    def test_digest_length(self) -> None:
        """A digest has 32 bytes: ours to get right when signing, theirs when recovering."""
        for size in (0, 31, 33):
            self.assertRaises(ValueError, OURS.sign, bytes(size))
            self.assertRaises(InvalidSignature, PublicKey.recover, SIGNATURE, bytes(size))


class AgreementTests(SynchronousTestCase):
    """The X coordinate of the shared point."""

    def test_vector(self) -> None:
        """As others agree."""
        secret, theirs, agreed = vectors.AGREED
        self.assertEqual(PrivateKey(secret).ecdh(PublicKey.from_bytes(theirs)), agreed)

    def test_padding(self) -> None:
        """A coordinate that begins with zero bytes keeps them."""
        for ours, theirs, agreed in vectors.SHORT_X:
            self.assertEqual(PrivateKey(ours).ecdh(PrivateKey(theirs).public_key), agreed)
        first, second = (PrivateKey(secret) for secret, _, _ in vectors.PADDED_KEYS)
        self.assertEqual(first.ecdh(second.public_key), second.ecdh(first.public_key))

    def test_with_itself(self) -> None:
        """One's own key is as good as any."""
        self.assertEqual(len(OURS.ecdh(OURS.public_key)), 32)
        self.assertNotEqual(OURS.ecdh(OURS.public_key), OURS.ecdh(THEIRS.public_key))

    @given(secrets, secrets)
    def test_same_as_openssl(self, ours: PrivateKey, theirs: PrivateKey) -> None:
        """Both sides agree, with each other and with another library."""
        private = ec.derive_private_key(int.from_bytes(ours.secret, "big"), ec.SECP256K1())
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), b"\4" + theirs.public_key.to_bytes())
        agreed = private.exchange(ec.ECDH(), public)
        self.assertEqual((ours.ecdh(theirs.public_key), theirs.ecdh(ours.public_key)), (agreed, agreed))

    @given(secrets, secrets)
    def test_compressed(self, ours: PrivateKey, theirs: PrivateKey) -> None:
        """The whole point: that of the product of both secrets."""
        product = int.from_bytes(ours.secret, "big") * int.from_bytes(theirs.secret, "big") % ORDER
        point = PrivateKey(product.to_bytes(32, "big")).public_key.to_compressed()
        self.assertEqual(ours.ecdh_compressed(theirs.public_key), point)
        self.assertEqual(theirs.ecdh_compressed(ours.public_key), point)
        self.assertEqual(point[1:], ours.ecdh(theirs.public_key))
