"""
Tests for L{devp2p_tx.core.crypto.hkdf}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.hkdf import SIZE, hkdf

#: RFC 5869, appendix A.1 and A.3: the first 32 of their 42 bytes, which are a block of their own.
SECRET = b"\x0b" * 22
WITH_INFO = bytes.fromhex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf")
WITHOUT = bytes.fromhex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d")


class HkdfTests(SynchronousTestCase):
    """Extract and expand."""

    def test_vectors(self) -> None:
        salt, info = bytes(range(13)), bytes(range(0xF0, 0xFA))
        self.assertEqual(hkdf(SECRET, salt, info), WITH_INFO)
        self.assertEqual(hkdf(SECRET, b"", b""), WITHOUT)
        self.assertEqual(len(WITHOUT), SIZE)
