"""
Signatures without a recovery id, checked against a known key (EIP-778, identity scheme "v4"; discv5's id-signature).
"""

from __future__ import annotations

from devp2p_tx.core.crypto.libsecp256k1 import CONTEXT, ffi, lib
from devp2p_tx.core.crypto.secp256k1 import PublicKey

#: The bytes of C{r || s}.
SIZE = 64


def is_signed_by(key: PublicKey, digest: bytes, signature: bytes) -> bool:
    """
    Whether the owner of C{key} signed C{digest}.

    Of the two forms that every signature has only the one with the lower C{s} counts, as with the other clients.

    @param digest: 32 bytes.
    @param signature: C{r || s}; bytes of another length are no signature.
    """
    if len(signature) != SIZE or len(digest) != 32:  # the library reads beyond what is too short
        return False
    parsed = ffi.new("secp256k1_ecdsa_signature *")
    if not lib.secp256k1_ecdsa_signature_parse_compact(CONTEXT, parsed, signature):
        return False
    return bool(lib.secp256k1_ecdsa_verify(CONTEXT, parsed, digest, key._point))
