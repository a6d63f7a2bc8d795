"""
Snappy in its block form, with the declared length checked before anything is allocated.

(EIP-706; C{format_description.txt} of snappy for the preamble: the plain length as a little-endian base-128 number.)
"""

from __future__ import annotations

from cramjam import DecompressionError
from cramjam import snappy as _snappy

from devp2p_tx.errors import InvalidSnappy

_decompress = _snappy.decompress_raw
_compress = _snappy.compress_raw

#: No preamble is longer: five groups of seven bits hold 32 bits.
_MAX_PREAMBLE = 5


def compress(data: bytes) -> bytes:
    """Compress C{data} into one block."""
    return bytes(_compress(data))


def declared_length(block: bytes) -> int:
    """
    The plain length that a block declares.

    @raise InvalidSnappy: no complete preamble, or more than 32 bits.
    """
    length = 0
    for position, byte in enumerate(block[:_MAX_PREAMBLE]):
        length |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            if length >> 32:
                break
            return length
    raise InvalidSnappy("no snappy preamble")


def decompress(block: bytes, limit: int) -> bytes:
    """
    Expand a block of which at most C{limit} plain bytes are wanted.

    @raise InvalidSnappy: malformed, declared longer than C{limit}, or expanding to another length than declared.
    """
    if (length := declared_length(block)) > limit:
        raise InvalidSnappy(f"declared {length} bytes, over the limit of {limit}")
    try:
        return bytes(_decompress(block))
    except DecompressionError as error:
        raise InvalidSnappy(str(error)) from None
