"""
RLP lists read only as far as one must, and written without looking at what each item is.

EIP-8 lets a packet of discv4 carry further items, which a full decoder would read before they are ignored: 1280 bytes
of the smallest items cost it as much as twelve signatures. Here the cost is bound by the fields that a packet has; what
follows them is skipped unread. What is read must be canonical.
"""

from __future__ import annotations

from collections.abc import Iterable

from devp2p_tx._sealed import seal
from devp2p_tx.errors import InvalidRLP

_LIST, _STRING = 0xC0, 0x80
#: Sizes above this one are written in bytes of their own.
_SHORT = 55


#: An item, as the place in a packet where it stands: whether it is a list, else bytes; the offset of its first byte,
#: header included; that of the payload; and that after the payload. (A plain tuple, since a packet has a dozen.)
Field = tuple[bool, int, int, int]


def read_field(data: bytes, begin: int, limit: int) -> Field:
    """
    Read the header of the item at C{begin}, which must end at C{limit} at the latest.

    @raise InvalidRLP: not canonical, or truncated.
    """
    if begin >= limit:
        raise InvalidRLP("truncated RLP")
    first = data[begin]
    if first < _STRING:
        return False, begin, begin, begin + 1
    is_list = first >= _LIST
    size = first - (_LIST if is_list else _STRING)
    start = begin + 1
    if size > _SHORT:
        start += size - _SHORT
        size = _long_size(data[begin + 1 : start])
    stop = start + size
    if stop > limit:
        raise InvalidRLP("truncated RLP")
    if size == 1 and not is_list and data[start] < _STRING:
        raise InvalidRLP("a small byte with a header")
    return is_list, begin, start, stop


def _long_size(written: bytes) -> int:
    size = int.from_bytes(written, "big")
    if written[:1] == b"\0" or size <= _SHORT:
        raise InvalidRLP("a size in more bytes than it needs")
    return size


def read_list(data: bytes, field: Field, minimum: int, maximum: int) -> list[Field]:
    """
    The items of a list: at most the first C{maximum}, whatever follows them.

    @raise InvalidRLP: no list, less than C{minimum} items, or one of those read is malformed.
    """
    is_list, _, position, stop = field
    if not is_list:
        raise InvalidRLP("expected a list")
    items: list[Field] = []
    while position < stop and len(items) < maximum:
        item = read_field(data, position, stop)
        items.append(item)
        position = item[3]
    if len(items) < minimum:
        raise InvalidRLP(f"expected a list of {minimum} items or more")
    return items


def read_exact_list(data: bytes, field: Field, minimum: int, maximum: int) -> list[Field]:
    """
    The items of a list that has C{minimum} to C{maximum} of them.

    @raise InvalidRLP: no list, another number of items, or one of them is malformed.
    """
    items = read_list(data, field, minimum, maximum)
    _, _, start, stop = field
    if (items[-1][3] if items else start) != stop:
        raise InvalidRLP(f"expected a list of {maximum} items or less")
    return items


def read_bytes(data: bytes, field: Field, size: int | None = None) -> bytes:
    """
    A field that is bytes, of exactly C{size} bytes if that is given.

    @raise InvalidRLP: a list, or of another size.
    """
    is_list, _, start, stop = field
    if is_list or (size is not None and stop - start != size):
        raise InvalidRLP("expected bytes" if size is None else f"expected {size} bytes")
    return data[start:stop]


def read_uint(data: bytes, field: Field, size: int = 8) -> int:
    """
    A field that is an unsigned integer of at most C{size} bytes.

    @raise InvalidRLP: a list, leading zeros, or too large.
    """
    is_list, _, start, stop = field
    if is_list or stop - start > size or (stop > start and data[start] == 0):
        raise InvalidRLP(f"not an unsigned integer of {size} bytes")
    return int.from_bytes(data[start:stop], "big")


def write_bytes(data: bytes) -> bytes:
    """A field that is bytes."""
    size = len(data)
    if size == 1 and data[0] < _STRING:
        return data
    return (_STRINGS[size] if size < _PREPARED else _header(_STRING, size)) + data


def write_uint(value: int) -> bytes:
    """A field that is an unsigned integer."""
    if value < _STRING:
        return _SMALL[value]
    size = (value.bit_length() + 7) // 8
    return _STRINGS[size] + value.to_bytes(size, "big")


def write_list(items: Iterable[bytes]) -> bytes:
    """A list of items that are written already."""
    content = b"".join(items)
    size = len(content)
    return (_LISTS[size] if size < _PREPARED else _header(_LIST, size)) + content


def _header(kind: int, size: int) -> bytes:
    if size <= _SHORT:
        return bytes((kind + size,))
    width = (size.bit_length() + 7) // 8
    return bytes((kind + _SHORT + width,)) + size.to_bytes(width, "big")


#: The headers of what fits into a datagram: to make one takes three times as long as to look it up.
_PREPARED = 1280
_STRINGS = [_header(_STRING, size) for size in range(_PREPARED)]
_LISTS = [_header(_LIST, size) for size in range(_PREPARED)]
#: The integers below 128; zero is the empty string.
_SMALL = [bytes((_STRING,)), *(bytes((value,)) for value in range(1, _STRING))]


seal(__name__)
