"""
Transactions that somebody signed.
"""

from __future__ import annotations

from collections.abc import Sequence

from devp2p_tx.core.codec.rlpfields import write_list, write_uint
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.eth.transactions import LEGACY
from tests.core.eth.examples import wrap


def signed(key: PrivateKey, kind: int, fields: Sequence[bytes], chain: int | None) -> bytes:
    """
    A transaction as it stands in a message.

    @param fields: encoded, between the chain and the signature.
    @param chain: of a legacy transaction C{None} for all chains.
    """
    if kind == LEGACY:
        named = [] if chain is None else [write_uint(chain), b"\x80", b"\x80"]
        digest = keccak256(write_list([*fields, *named]))
    else:
        fields = [write_uint(chain or 0), *fields]
        digest = keccak256(bytes((kind,)) + write_list(fields))
    signature = key.sign(digest)
    v = signature[64]
    if kind == LEGACY:
        v += 27 if chain is None else 35 + 2 * chain
    numbers = (v, int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"))
    return wrap(kind, write_list([*fields, *map(write_uint, numbers)]))
