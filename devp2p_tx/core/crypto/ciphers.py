"""
AES as running functions: a cipher object is dear (3 microseconds), a call on a kept one is not (0.1).
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB

#: Takes some bytes, gives as many.
Stream = Callable[[bytes], bytes]


def ctr_stream(key: bytes, iv: bytes = bytes(16)) -> Stream:
    """A running AES-CTR key stream, XORed onto what it is given; the same for both directions."""
    return Cipher(AES(key), CTR(iv)).encryptor().update


def block_encryptor(key: bytes) -> Stream:
    """AES on single 16-byte blocks."""
    return Cipher(AES(key), ECB()).encryptor().update  # noqa: S305 - the MAC of RLPx is made of single blocks
