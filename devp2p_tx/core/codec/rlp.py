"""
RLP as the protocols need it: raw items only, strict, and with every failure as one error.

An item is C{bytes} or a list of items. The library's raw codec is used beneath, without its typed layer, which costs
twenty times as much. (Ethereum Yellow Paper, appendix B.)
"""

from __future__ import annotations

from collections.abc import Sequence

from rlp.codec import consume_item, encode_raw
from rlp.exceptions import DecodingError

from devp2p_tx.errors import InvalidRLP

Item = bytes | list["Item"]
#: What can be encoded.
Encodable = bytes | Sequence["Encodable"]

EMPTY_LIST = b"\xc0"
#: The most that is decoded (bytes): more than a Hello or a record may have, and little enough that the library, whose
#: time grows with the square of the length of a list, takes a few milliseconds at worst.
MAX_SIZE = 4 * 1024


def encode(item: Encodable) -> bytes:
    """Encode bytes, or nested sequences of bytes."""
    encoded: bytes = encode_raw(item)
    return encoded


def decode(data: bytes) -> Item:
    """
    Decode exactly one item that fills C{data}.

    @raise InvalidRLP: not canonical, truncated, nested too deeply, or followed by more bytes.
    """
    item, end = decode_prefix(data)
    if end != len(data):
        raise InvalidRLP(f"{len(data) - end} bytes after the RLP item")
    return item


def decode_prefix(data: bytes) -> tuple[Item, int]:
    """
    Decode the item that C{data} begins with, whatever follows it (EIP-8).

    @return: the item, and the offset of the first byte after it.
    @raise InvalidRLP: not canonical, truncated, nested too deeply, or longer than L{MAX_SIZE} with what follows it.
    """
    if len(data) > MAX_SIZE:
        raise InvalidRLP(f"{len(data)} bytes, over the limit of {MAX_SIZE}")
    try:
        item, _, end = consume_item(data, 0)
    except (DecodingError, IndexError) as error:
        raise InvalidRLP(str(error.args[0]) if error.args else "truncated RLP") from None
    except RecursionError:
        raise InvalidRLP("RLP nested too deeply") from None
    if end > len(data):
        raise InvalidRLP("truncated RLP")
    return item, end


def encode_uint(value: int) -> bytes:
    """The item for an unsigned integer: big endian, without leading zeros, empty for zero."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode_uint(item: Item, bits: int = 64) -> int:
    """
    Read an item as an unsigned integer of at most C{bits} bits.

    @raise InvalidRLP: a list, leading zeros, or too large.
    """
    if not isinstance(item, bytes) or len(item) * 8 > bits or item[:1] == b"\0":
        raise InvalidRLP(f"not an unsigned integer of {bits} bits")
    return int.from_bytes(item, "big")


def decode_bytes(item: Item, size: int | None = None) -> bytes:
    """
    Read an item as bytes, of exactly C{size} bytes if that is given.

    @raise InvalidRLP: a list, or of another size.
    """
    if not isinstance(item, bytes) or (size is not None and len(item) != size):
        raise InvalidRLP("expected bytes" if size is None else f"expected {size} bytes")
    return item
