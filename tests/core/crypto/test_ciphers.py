"""
Tests for L{devp2p_tx.core.crypto.ciphers}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.ciphers import (
    InvalidTag,
    block_encryptor,
    block_masker,
    ctr_stream,
    gcm_opener,
    gcm_sealer,
    seekable_ctr_stream,
)

#: NIST SP 800-38A, F.1.5 (ECB, AES-256) and F.5.1 and F.5.5 (CTR, AES-128 and AES-256).
PLAIN = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
KEY_128 = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
KEY_256 = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
COUNTER = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
ECB_256 = bytes.fromhex("f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870")
CTR_128 = bytes.fromhex("874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff")
CTR_256 = bytes.fromhex("601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5")


#: NIST's GCM specification (McGrew, Viega), test case 4.
GCM_KEY = bytes.fromhex("feffe9928665731c6d6a8f9467308308")
GCM_NONCE = bytes.fromhex("cafebabefacedbaddecaf888")
GCM_ASSOCIATED = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
GCM_PLAIN = bytes.fromhex(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
)
GCM_SEALED = bytes.fromhex(
    "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
    "5bc94fbc3221a5db94fae95ae7121a47"
)


class CipherTests(SynchronousTestCase):
    """The two shapes in which RLPx uses AES."""

    def test_blocks(self) -> None:
        """Blocks are encrypted each by itself, by a function that is used again and again."""
        encrypt = block_encryptor(KEY_256)
        self.assertEqual(encrypt(PLAIN[16:]), ECB_256[16:])
        self.assertEqual(encrypt(PLAIN[:16]), ECB_256[:16])
        self.assertEqual(encrypt(PLAIN), ECB_256)

    def test_masks(self) -> None:
        """The second half is the block cipher of the first one, XORed onto it; nothing is kept between two calls."""
        mask = block_masker(KEY_256)
        for start in (0, 16, 0):
            block, other = PLAIN[start : start + 16], bytes(range(16))
            self.assertEqual(mask(block + bytes(16))[16:], ECB_256[start : start + 16])
            masked = bytes(a ^ b for a, b in zip(ECB_256[start : start + 16], other, strict=True))
            self.assertEqual(mask(block + other)[16:], masked)

    def test_streams(self) -> None:
        """The counter starts at the given block, with either length of key."""
        self.assertEqual(ctr_stream(KEY_128, COUNTER)(PLAIN), CTR_128)
        self.assertEqual(ctr_stream(KEY_256, COUNTER)(PLAIN), CTR_256)

    def test_counts_over_the_end(self) -> None:
        """The counter has 128 bits, and begins at zero unless told otherwise."""
        stream = ctr_stream(KEY_128, b"\xff" * 16)
        stream(bytes(16))
        self.assertEqual(stream(PLAIN), ctr_stream(KEY_128)(PLAIN))

    @given(st.lists(st.binary(max_size=40), max_size=8))
    def test_stream_runs_on(self, parts: list[bytes]) -> None:
        """Cut anywhere, the stream is one; and it is its own reverse."""
        stream, reverse = ctr_stream(KEY_256), ctr_stream(KEY_256)
        sealed = b"".join(map(stream, parts))
        self.assertEqual(sealed, ctr_stream(KEY_256)(b"".join(parts)))
        self.assertEqual(reverse(sealed), b"".join(parts))


class SeekableTests(SynchronousTestCase):
    """A stream that begins anew."""

    def test_vector(self) -> None:
        """Again and again, whatever was done before."""
        seek, update = seekable_ctr_stream(KEY_128)
        for _ in range(2):
            seek(COUNTER)
            self.assertEqual(update(PLAIN[:5]) + update(PLAIN[5:]), CTR_128)
            update(PLAIN[:7])

    @given(st.binary(min_size=16, max_size=16), st.binary(max_size=80))
    def test_same_as_new(self, counter: bytes, text: bytes) -> None:
        """Also where the counter ends."""
        seek, update = seekable_ctr_stream(KEY_128)
        seek(counter)
        self.assertEqual(update(text), ctr_stream(KEY_128, counter)(text))


class SealedTextTests(SynchronousTestCase):
    """AES-GCM."""

    def test_vector(self) -> None:
        seal, unseal = gcm_sealer(GCM_KEY), gcm_opener(GCM_KEY)
        for _ in range(2):
            self.assertEqual(seal(GCM_NONCE, GCM_PLAIN, GCM_ASSOCIATED), GCM_SEALED)
            self.assertEqual(unseal(GCM_NONCE, GCM_SEALED, GCM_ASSOCIATED), GCM_PLAIN)

    def test_altered(self) -> None:
        """Text, tag, associated data, nonce or key; and texts that are too short to have a tag."""
        unseal = gcm_opener(GCM_KEY)
        for altered in (b"\0" + GCM_SEALED[1:], GCM_SEALED[:-1] + b"\0", GCM_SEALED[:-1], GCM_SEALED[:15], b""):
            self.assertRaises(InvalidTag, unseal, GCM_NONCE, altered, GCM_ASSOCIATED)
        self.assertRaises(InvalidTag, unseal, GCM_NONCE, GCM_SEALED, GCM_ASSOCIATED[:-1])
        self.assertRaises(InvalidTag, unseal, bytes(12), GCM_SEALED, GCM_ASSOCIATED)
        self.assertRaises(InvalidTag, gcm_opener(bytes(16)), GCM_NONCE, GCM_SEALED, GCM_ASSOCIATED)
