"""
AES as running functions: a cipher object is dear (3 microseconds), a call on a kept one is not (0.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag as InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB

try:
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
except ImportError:  # where it was before cryptography 47
    from cryptography.hazmat.primitives.ciphers.modes import CFB

#: Takes some bytes, or what can be read as such, and gives as many.
Stream = Callable[[Any], bytes]
#: Takes a nonce (12 bytes), a text, and associated data, and gives the other text. The sealed one is longer by a tag of
#: 16 bytes; one that was not sealed so raises C{InvalidTag}.
SealedText = Callable[[bytes, bytes, bytes], bytes]


def ctr_stream(key: bytes, iv: bytes = bytes(16)) -> Stream:
    """A running AES-CTR key stream, XORed onto what it is given; the same for both directions."""
    return Cipher(AES(key), CTR(iv)).encryptor().update


class SeekableStream(NamedTuple):
    """
    A key stream that can begin anew.

    @ivar seek: begin at this counter block (16 bytes).
    @ivar update: go on from there, as a L{Stream} does.
    """

    seek: Callable[[bytes], None]
    update: Stream


def seekable_ctr_stream(key: bytes) -> SeekableStream:
    """An AES-CTR key stream for many short texts: to begin anew takes a tenth of what a new stream does."""
    context = Cipher(AES(key), CTR(bytes(16))).encryptor()
    return SeekableStream(context.reset_nonce, context.update)


def gcm_sealer(key: bytes) -> SealedText:
    """AES-GCM encryption; never to be called with the same nonce twice."""
    return AESGCM(key).encrypt


def gcm_opener(key: bytes) -> SealedText:
    """AES-GCM decryption."""
    return AESGCM(key).decrypt


def block_encryptor(key: bytes) -> Stream:
    """AES on single 16-byte blocks."""
    return Cipher(AES(key), ECB()).encryptor().update  # noqa: S305 - the MAC of RLPx is made of single blocks


def block_masker(key: bytes) -> Stream:
    """
    AES of one block, XORed onto the next: for C{a || b}, 16 bytes each, the second half of the result is
    C{AES(a) ^ b}. Nothing is kept from one call to the next.

    That is how a decryptor in CFB mode treats two blocks of ciphertext. It is one call, where L{block_encryptor} and
    an XOR of two numbers are five (0.18 microseconds instead of 0.31); nothing is encrypted with this mode.
    """
    return Cipher(AES(key), CFB(bytes(16))).decryptor().update
