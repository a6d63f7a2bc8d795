"""
Key derivation with HMAC-SHA-256 (RFC 5869).
"""

from __future__ import annotations

from hmac import digest

#: The bytes that L{hkdf} gives: what one block of the expansion has.
SIZE = 32


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-Extract, and the first block of HKDF-Expand."""
    return digest(digest(salt, secret, "sha256"), info + b"\1", "sha256")
