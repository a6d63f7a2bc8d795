"""
Tests for L{devp2p_tx.core.crypto.ciphers}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.ciphers import block_encryptor, ctr_stream

#: NIST SP 800-38A, F.1.5 (ECB, AES-256) and F.5.1 and F.5.5 (CTR, AES-128 and AES-256).
PLAIN = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
KEY_128 = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
KEY_256 = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
COUNTER = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
ECB_256 = bytes.fromhex("f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870")
CTR_128 = bytes.fromhex("874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff")
CTR_256 = bytes.fromhex("601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5")


class CipherTests(SynchronousTestCase):
    """The two shapes in which RLPx uses AES."""

    def test_blocks(self) -> None:
        """Blocks are encrypted each by itself, by a function that is used again and again."""
        encrypt = block_encryptor(KEY_256)
        self.assertEqual(encrypt(PLAIN[16:]), ECB_256[16:])
        self.assertEqual(encrypt(PLAIN[:16]), ECB_256[:16])
        self.assertEqual(encrypt(PLAIN), ECB_256)

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
