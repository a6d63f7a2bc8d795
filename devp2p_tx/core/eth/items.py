"""
RLP as the messages of C{eth} need it: lists of hashes as one slice, items left as they came, counts checked first.

A message has up to 10 MiB. So nothing here takes more steps than C{most} items, or than bytes divided by the least size
of an item, and nothing is copied before both are known to hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from devp2p_tx.core.codec.rlpfields import (
    Field,
    read_bytes,
    read_exact_list,
    read_field,
    write_bytes,
    write_list,
)
from devp2p_tx.errors import InvalidRLP, LocalProtocolError

HASH_SIZE = 32
#: An encoded hash: its header, and its bytes.
_HASH_ITEM = 1 + HASH_SIZE
_HASH_HEADER = b"\xa0"
#: The least size of an encoded item, where nothing more is known of it (bytes).
ANY_SIZE = 1


def read_message(data: bytes, minimum: int, maximum: int) -> list[Field]:
    """
    The fields of a message, which is one list and nothing behind it.

    @raise InvalidRLP: another shape, or another number of fields.
    """
    whole = read_field(data, 0, len(data))
    if whole[3] != len(data):
        raise InvalidRLP(f"{len(data) - whole[3]} bytes after the message")
    return read_exact_list(data, whole, minimum, maximum)


class Hashes(Sequence[bytes]):
    """Hashes of 32 bytes, kept as the list's payload and cut when they are asked for."""

    __slots__ = ("_payload",)

    def __init__(self, payload: bytes) -> None:
        """
        @param payload: encoded hashes, one after the other, as L{read_hashes} has checked them.
        """
        self._payload = payload

    @classmethod
    def of(cls, hashes: Sequence[bytes]) -> Hashes:
        """
        Take hashes.

        @raise LocalProtocolError: one has not 32 bytes.
        """
        if isinstance(hashes, cls):
            return hashes
        if any(len(each) != HASH_SIZE for each in hashes):
            raise LocalProtocolError(f"a hash has {HASH_SIZE} bytes")
        return cls(b"".join(_HASH_HEADER + each for each in hashes))

    @property
    def payload(self) -> bytes:
        """The encoded hashes, one after the other."""
        return self._payload

    def __len__(self) -> int:
        return len(self._payload) // _HASH_ITEM

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        begin = range(len(self))[index] * _HASH_ITEM + 1
        return self._payload[begin : begin + HASH_SIZE]

    def __iter__(self) -> Iterator[bytes]:
        payload = self._payload
        return iter([payload[begin : begin + HASH_SIZE] for begin in range(1, len(payload), _HASH_ITEM)])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Hashes):
            return self._payload == other._payload
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._payload)

    def __repr__(self) -> str:
        return f"<{len(self)} hashes>"


def read_hashes(data: bytes, field: Field, most: int | None = None) -> Hashes:
    """
    A field that is a list of hashes of 32 bytes: one slice, and one look at every header.

    @param most: how many there may be; C{None} for as many as the message holds.
    @raise InvalidRLP: another shape, or too many.
    """
    is_list, _, start, stop = field
    count, rest = divmod(stop - start, _HASH_ITEM)
    if not is_list or rest:
        raise InvalidRLP("expected a list of hashes")
    if most is not None and count > most:
        raise InvalidRLP(f"{count} hashes, at most {most} are expected")
    payload = data[start:stop]
    if payload[::_HASH_ITEM] != _HASH_HEADER * count:
        raise InvalidRLP("expected a list of hashes")
    return Hashes(payload)


def write_hashes(hashes: Sequence[bytes]) -> bytes:
    """A list of hashes."""
    return write_list((Hashes.of(hashes).payload,))


def read_fixed(data: bytes, field: Field, size: int, most: int | None = None) -> tuple[bytes, ...]:
    """
    A field that is a list of byte strings of C{size} bytes each; the count is checked before the first is copied.

    @raise InvalidRLP: another shape, or more than C{most}.
    """
    is_list, _, start, stop = field
    header = write_bytes(bytes(size))[:-size]
    count, rest = divmod(stop - start, len(header) + size)
    if not is_list or rest or (most is not None and count > most):
        raise InvalidRLP(f"expected a list of {size} bytes each")
    offsets = range(start, stop, len(header) + size)
    if any(data[each : each + len(header)] != header for each in offsets):
        raise InvalidRLP(f"expected a list of {size} bytes each")
    return tuple(data[each + len(header) : each + len(header) + size] for each in offsets)


def read_raw(data: bytes, field: Field, least: int = ANY_SIZE, most: int | None = None) -> tuple[bytes, ...]:
    """
    The items of a list as they stand there, header included.

    @param least: the size of the shortest item, header included (bytes).
    @param most: how many there may be.
    @raise InvalidRLP: no list, a malformed or too short item, or too many.
    """
    is_list, _, position, stop = field
    if not is_list:
        raise InvalidRLP("expected a list")
    items: list[bytes] = []
    while position < stop:
        _, begin, _, position = read_field(data, position, stop)
        if position - begin < least:
            raise InvalidRLP(f"an item of {position - begin} bytes, the least is {least}")
        if most is not None and len(items) == most:
            raise InvalidRLP(f"more than {most} items")
        items.append(data[begin:position])
    return tuple(items)


def read_only(data: bytes) -> Field:
    """
    The one item that fills C{data}.

    @raise InvalidRLP: malformed, or something stands behind it.
    """
    field = read_field(data, 0, len(data))
    if field[3] != len(data):
        raise InvalidRLP(f"{len(data) - field[3]} bytes after the item")
    return field


def read_flag(data: bytes, field: Field) -> bool:
    """
    A field that is 0 or 1.

    @raise InvalidRLP: anything else.
    """
    value = read_bytes(data, field)
    if value not in (b"", b"\x01"):
        raise InvalidRLP("expected 0 or 1")
    return bool(value)


def check_uint(value: int, name: str, bits: int = 64) -> int:
    """
    An integer that is to be sent.

    @raise LocalProtocolError: negative, or of more than C{bits} bits.
    """
    if not 0 <= value < 1 << bits:
        raise LocalProtocolError(f"{name} is an unsigned integer of {bits} bits, not {value}")
    return value


def check_size(value: bytes, name: str, size: int = HASH_SIZE) -> bytes:
    """
    Bytes of a fixed size that are to be sent.

    @raise LocalProtocolError: of another size.
    """
    if len(value) != size:
        raise LocalProtocolError(f"{name} has {size} bytes, not {len(value)}")
    return value
