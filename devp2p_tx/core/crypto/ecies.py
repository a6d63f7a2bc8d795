"""
ECIES as RLPx uses it (devp2p C{rlpx.md}, "ECIES Encryption").

A message is C{0x04 || R (64) || IV (16) || ciphertext || tag (32)}: 113 bytes more than the plaintext.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from devp2p_tx.core.crypto.ciphers import ctr_stream
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.errors import DecryptionError, InvalidPublicKey

_KEY_END = 65
_IV_END = _KEY_END + 16
_TAG_SIZE = 32
#: How many bytes a message is longer than its plaintext.
OVERHEAD = _IV_END + _TAG_SIZE


def _derive(shared: bytes) -> tuple[bytes, bytes]:
    """The encryption key (16 bytes) and the MAC key (32) for a shared secret: NIST SP 800-56 with one round."""
    material = sha256(b"\0\0\0\1" + shared).digest()
    return material[:16], sha256(material[16:]).digest()


def encrypt(
    recipient: PublicKey, plaintext: bytes, mac_data: bytes = b"", *, ephemeral: PrivateKey, iv: bytes
) -> bytes:
    """
    Encrypt for the owner of C{recipient}.

    @param mac_data: bytes that are authenticated with the message but not part of it.
    @param ephemeral: a key made for this one message.
    @param iv: 16 random bytes.
    """
    cipher_key, mac_key = _derive(ephemeral.ecdh(recipient))
    sealed = iv + ctr_stream(cipher_key, iv)(plaintext)
    tag = hmac.digest(mac_key, sealed + mac_data, "sha256")
    return b"\x04" + ephemeral.public_key.to_bytes() + sealed + tag


def decrypt(key: PrivateKey, message: bytes, mac_data: bytes = b"") -> bytes:
    """
    Decrypt a message made for C{key}.

    The point is checked to lie on the curve before it meets our secret: else a stranger learns the key bit by bit.

    @raise DecryptionError: too short, not a curve point, altered, or made for another key.
    """
    if len(message) < OVERHEAD or message[0] != 4:
        raise DecryptionError("not an ECIES message")
    try:
        ephemeral = PublicKey.from_bytes(message[1:_KEY_END])
    except InvalidPublicKey as error:
        raise DecryptionError(str(error)) from None
    cipher_key, mac_key = _derive(key.ecdh(ephemeral))
    sealed, tag = message[_KEY_END:-_TAG_SIZE], message[-_TAG_SIZE:]
    if not hmac.compare_digest(hmac.digest(mac_key, sealed + mac_data, "sha256"), tag):
        raise DecryptionError("ECIES tag does not match")
    return ctr_stream(cipher_key, sealed[:16])(sealed[16:])
