"""
RLP as the protocols need it: raw items only, strict, and with every failure as one error.

An item is C{bytes} or a list of items. (Ethereum Yellow Paper, appendix B.) This is not the codec of the C{rlp} package,
whose decoder collects the encoding of each item beside the item, a copy a level: it takes two to three times as long, and
several times the memory on what a stranger may nest.
"""

from __future__ import annotations

from collections.abc import Sequence

from devp2p_tx.errors import InvalidRLP

Item = bytes | list["Item"]
#: What can be encoded.
Encodable = bytes | Sequence["Encodable"]

EMPTY_LIST = b"\xc0"

_STRING = 0x80
_LIST = 0xC0
#: The first size that does not fit the first byte.
_LONG = 56


def encode(item: Encodable) -> bytes:
    """Encode bytes, or nested sequences of bytes."""
    if isinstance(item, (bytes, bytearray)):
        if len(item) == 1 and item[0] < _STRING:
            return bytes(item)
        return _head(_STRING, len(item)) + item
    if isinstance(item, str) or not isinstance(item, Sequence):
        raise TypeError(f"bytes and sequences of bytes can be encoded, not {type(item).__name__}")
    content = b"".join([encode(each) for each in item])
    return _head(_LIST, len(content)) + content


def _head(kind: int, size: int) -> bytes:
    if size < _LONG:
        return bytes((kind + size,))
    digits = encode_uint(size)
    return bytes((kind + _LONG - 1 + len(digits),)) + digits


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
    @raise InvalidRLP: not canonical, truncated, or nested too deeply.
    """
    try:
        return _decode(data, 0, len(data))
    except RecursionError:
        raise InvalidRLP("RLP nested too deeply") from None


def _decode(data: bytes, start: int, limit: int) -> tuple[Item, int]:
    """The item at C{start}, which must end by C{limit}, and where it ends."""
    if start >= limit:
        raise InvalidRLP("truncated RLP")
    first = data[start]
    start += 1
    if first < _STRING:
        return data[start - 1 : start], start
    kind = _LIST if first >= _LIST else _STRING
    size = first - kind
    if size >= _LONG:
        start, size = _decode_size(data, start, size - _LONG + 1)
    end = start + size
    if end > limit:
        raise InvalidRLP("truncated RLP")
    if kind == _STRING:
        if size == 1 and data[start] < _STRING:
            raise InvalidRLP("a single byte with a length before it")
        return data[start:end], end
    items: list[Item] = []
    while start < end:
        item, start = _decode(data, start, end)
        items.append(item)
    return items, end


def _decode_size(data: bytes, start: int, digits: int) -> tuple[int, int]:
    """The size in the C{digits} bytes at C{start}, and where these end; the item's end is looked at by the caller."""
    end = start + digits
    size = int.from_bytes(data[start:end], "big")
    if data[start : start + 1] == b"\0" or size < _LONG:
        raise InvalidRLP("a length in more bytes than it needs")
    return end, size


def decode_list(data: bytes, minimum: int = 0) -> list[Item]:
    """
    Decode a list of at least C{minimum} items; further items, and bytes after the list, are ignored (EIP-8).

    @raise InvalidRLP: no such list.
    """
    item, _ = decode_prefix(data)
    if not isinstance(item, list) or len(item) < minimum:
        raise InvalidRLP(f"expected a list of {minimum} items or more")
    return item


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
