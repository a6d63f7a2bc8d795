"""
Snappy in its block form, with the declared length checked before anything is allocated.

(EIP-706; C{format_description.txt} of snappy for the preamble: the plain length as a little-endian base-128 number.)
"""

from __future__ import annotations

from cramjam import DecompressionError
from cramjam import snappy as _snappy

from devp2p_tx.errors import InvalidSnappy

_decompress = _snappy.decompress_raw
_declared_length = _snappy.decompress_raw_len
_compress = _snappy.compress_raw


def compress(data: bytes) -> bytes:
    """Compress C{data} into one block."""
    return bytes(_compress(data))


def decompress(block: bytes, limit: int) -> bytes:
    """
    Expand a block of which at most C{limit} plain bytes are wanted.

    @raise InvalidSnappy: malformed, declared longer than C{limit}, or expanding to another length than declared.
    """
    try:
        if (length := _declared_length(block)) > limit:
            raise InvalidSnappy(f"declared {length} bytes, over the limit of {limit}")
        return bytes(_decompress(block))
    except DecompressionError as error:
        raise InvalidSnappy(str(error)) from None
