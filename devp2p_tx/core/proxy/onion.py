"""
The key of an onion service, made of the node's: so the service keeps its address as long as the node keeps its key, and
nothing more has to be stored. Nobody can tell the node's key from it.
"""

from __future__ import annotations

from base64 import b64encode

from devp2p_tx.core.crypto.hkdf import hkdf
from devp2p_tx.core.crypto.secp256k1 import PrivateKey

_SALT = b"devp2p-tx onion service"


def onion_key(key: PrivateKey) -> str:
    """The key as Tor's C{ADD_ONION} takes it: an expanded Ed25519 secret of 64 bytes (RFC 8032, section 5.1.5)."""
    scalar = bytearray(hkdf(key.secret, _SALT, b"scalar"))
    scalar[0] &= 248
    scalar[31] = scalar[31] & 63 | 64
    return "ED25519-V3:" + b64encode(bytes(scalar) + hkdf(key.secret, _SALT, b"prefix")).decode()
