"""
Block headers, read from their RLP. A header's hash is that of the bytes as they came: later forks append fields.
"""

from __future__ import annotations

from typing import NamedTuple, Self

from devp2p_tx.core.codec.rlpfields import Field, read_bytes, read_exact_list, read_uint
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.eth.items import HASH_SIZE, read_only

#: How many fields a header has: as of Frontier, and more than any fork that is planned appends.
_LEAST, _MOST = 15, 64
#: Where optional fields stand: withdrawals root (EIP-4895), hash of the access list (EIP-7928).
_WITHDRAWALS_ROOT, _ACCESS_LIST_HASH = 16, 21
_BLOOM_SIZE = 256


class Header(NamedTuple):
    """
    What is used of a header.

    @ivar hash: 32 bytes, as the other hashes and roots.
    @ivar number: of the block.
    @ivar time: unix seconds.
    @ivar withdrawals_root: C{None} before Shanghai.
    @ivar access_list_hash: C{None} before Amsterdam.
    @ivar raw: the RLP.
    """

    hash: bytes
    parent_hash: bytes
    number: int
    time: int
    transactions_root: bytes
    receipts_root: bytes
    withdrawals_root: bytes | None
    access_list_hash: bytes | None
    raw: bytes

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """
        Read one.

        @raise InvalidRLP: another shape.
        """
        fields = read_exact_list(raw, read_only(raw), _LEAST, _MOST)
        read_bytes(raw, fields[6], _BLOOM_SIZE)
        return cls(
            keccak256(raw),
            read_bytes(raw, fields[0], HASH_SIZE),
            read_uint(raw, fields[8]),
            read_uint(raw, fields[11]),
            read_bytes(raw, fields[4], HASH_SIZE),
            read_bytes(raw, fields[5], HASH_SIZE),
            _optional(raw, fields, _WITHDRAWALS_ROOT),
            _optional(raw, fields, _ACCESS_LIST_HASH),
            raw,
        )


def _optional(raw: bytes, fields: list[Field], index: int) -> bytes | None:
    return read_bytes(raw, fields[index], HASH_SIZE) if len(fields) > index else None
