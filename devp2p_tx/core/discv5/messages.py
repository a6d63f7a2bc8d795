"""
The messages of discv5, as they are once decrypted (devp2p C{discv5-wire.md}, "Protocol Messages").

A message is its type, one byte, and an RLP list that begins with the request's id. Unlike those of discv4, messages are
read strictly: no item may be missing, or follow, and no byte may follow the list.

Requests come often and are small: they are read with patterns, and given without an object around their items, since
either would take longer than sealing the answer does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from devp2p_tx._sealed import seal
from devp2p_tx.core.addressing.addresses import IPAddress, from_packed
from devp2p_tx.core.codec.rlpfields import (
    read_bytes,
    read_exact_list,
    read_field,
    read_uint,
    write_bytes,
    write_list,
    write_uint,
)
from devp2p_tx.errors import InvalidRLP

#: The most bytes of a request's id.
MAX_REQUEST_ID = 8
#: The most distances in FINDNODE: more cannot differ.
MAX_DISTANCES = 257
#: The most records in one NODES: more do not fit into a packet.
MAX_RECORDS = 16
#: Bytes of records in each of the NODES that we send, so that they fit into packets of any kind.
MAX_RECORDS_SIZE = 1000
#: The most NODES in one answer.
MAX_TOTAL = 255
#: How many lists of distances L{read_findnode} remembers.
REMEMBERED_DISTANCES = 256

#: All distances that there can be, as they are written.
_DISTANCES = {write_uint(distance): distance for distance in range(MAX_DISTANCES)}

_LIST, _STRING = 0xC0, 0x80
#: The longest bytes whose size is part of the first byte.
_SHORT = 55
#: Offset of the list.
_BODY = 1


class MessageType(IntEnum):
    """The first byte."""

    PING = 1
    PONG = 2
    FINDNODE = 3
    NODES = 4
    TALKREQ = 5
    TALKRESP = 6


class Pong(NamedTuple):
    """
    The answer to PING.

    @ivar request_id: up to 8 bytes, as in all messages.
    @ivar enr_seq: number of the sender's record.
    @ivar ip: where the PING came from, unwrapped, and so is C{port}.
    """

    request_id: bytes
    enr_seq: int
    ip: IPAddress
    port: int


class Nodes(NamedTuple):
    """
    One of the answers to FINDNODE.

    @ivar total: how many there are, 0..255.
    @ivar records: encoded records, not yet read.
    """

    request_id: bytes
    total: int
    records: tuple[bytes, ...]


class TalkResponse(NamedTuple):
    """The answer to TALKREQ; empty from those who do not know the protocol."""

    request_id: bytes
    message: bytes


Response = Pong | Nodes | TalkResponse


# -- reading ----------------------------------------------------------------------------------------------------------

# Canonical RLP of what has up to eight bytes is a regular language: bytes, of which the content is the pattern's last
# group, and numbers.
_LONGER = range(2, 9)
_ID = b"|".join([rb"([\0-\x7f])|\x80()|\x81([\x80-\xff])", *(rb"%c(.{%d})" % (_STRING + n, n) for n in _LONGER)])
_UINT = b"|".join([rb"[\1-\x80]|\x81[\x80-\xff]", *(rb"%c[^\0].{%d}" % (_STRING + n, n - 1) for n in _LONGER)])
_PING = re.compile(rb"..(?:%b)(?:%b)" % (_ID, _UINT), re.DOTALL).fullmatch
_FIND_UINTS = re.compile(_UINT, re.DOTALL).findall
_HEAD = re.compile(rb".(?:[\xc0-\xf7]|\xf8.|\xf9..)(?:%b)" % _ID, re.DOTALL).match


def read_ping(data: bytes) -> bytes:
    """
    The request's id in a PING, whose other item, the number of the sender's record, is for others to ask for.

    @param data: the message, its type included, as for all that read.
    @raise InvalidRLP: not exactly a list of the type's shape; likewise.
    """
    match = _PING(data)
    if match is None or data[_BODY] != _LIST + len(data) - 2:
        raise InvalidRLP("malformed PING")
    return match[match.lastindex or 0]


def read_findnode(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    """The request's id, and the distances: logarithmic ones from the recipient, any numbers of 64 bits."""
    request_id, position = _enter(data)
    return request_id, _read_distances(data[position:])


def read_talk_request(data: bytes) -> tuple[bytes, bytes, bytes]:
    """The request's id, the name of the other protocol, and its request."""
    request_id, position = _enter(data)
    protocol, position = _read_bytes(data, position)
    message, position = _read_bytes(data, position)
    _read_end(data, position)
    return request_id, protocol, message


def decode_response(data: bytes) -> Response:
    """
    Read an answer.

    @raise InvalidRLP: not of a type that answers, or not exactly a list of the type's shape.
    """
    decoder = _RESPONSES.get(data[0]) if data else None
    if decoder is None:
        raise InvalidRLP("unknown message type" if data else "message contains no data")
    return decoder(data)


def _enter(data: bytes) -> tuple[bytes, int]:
    """The id of the request, and the offset after it; the list ends where the data does."""
    match = _HEAD(data)
    if match is None:
        raise InvalidRLP(f"expected one list, and a request ID of up to {MAX_REQUEST_ID} bytes")
    size = len(data) - _BODY - 1
    if size > _SHORT or data[_BODY] != _LIST + size:  # of a short list, as most are, there is no more to see
        _read_end(data, read_field(data, _BODY, len(data))[3])
    return match[match.lastindex or 0], match.end()


def _read_bytes(data: bytes, position: int) -> tuple[bytes, int]:
    """The bytes at C{position}, and the offset after them."""
    if position < len(data):
        size = data[position] - _STRING
        start = position + 1
        stop = start + size
        if 1 < size <= _SHORT and stop <= len(data):  # as most are
            return data[start:stop], stop
    field = read_field(data, position, len(data))
    return read_bytes(data, field), field[3]


def _read_uint(data: bytes, position: int, size: int = 8) -> tuple[int, int]:
    """The unsigned integer at C{position}, of at most C{size} bytes, and the offset after it."""
    field = read_field(data, position, len(data))
    return read_uint(data, field, size), field[3]


def _read_end(data: bytes, position: int) -> None:
    if position != len(data):
        raise InvalidRLP("more than the message has")


@lru_cache(REMEMBERED_DISTANCES)
def _read_distances(data: bytes) -> tuple[int, ...]:
    """A list of distances and nothing after it; remembered, since lookups ask for few combinations."""
    is_list, _, start, stop = read_field(data, 0, len(data))
    _read_end(data, stop)
    written = _FIND_UINTS(data, start)
    if not is_list or len(written) > MAX_DISTANCES or b"".join(written) != data[start:]:
        raise InvalidRLP(f"expected a list of {MAX_DISTANCES} numbers of 64 bits or less")
    return tuple(map(_read_written, written))


def _read_written(number: bytes) -> int:
    distance = _DISTANCES.get(number)
    return int.from_bytes(number[1:], "big") if distance is None else distance


def _decode_pong(data: bytes) -> Pong:
    request_id, position = _enter(data)
    enr_seq, position = _read_uint(data, position)
    packed, position = _read_bytes(data, position)
    port, position = _read_uint(data, position, 2)
    _read_end(data, position)
    ip = from_packed(packed)
    if ip is None:
        raise InvalidRLP(f"an IP address of {len(packed)} bytes")
    return Pong(request_id, enr_seq, ip, port)


def _decode_nodes(data: bytes) -> Nodes:
    request_id, position = _enter(data)
    total, position = _read_uint(data, position, 1)
    field = read_field(data, position, len(data))
    _read_end(data, field[3])
    records = read_exact_list(data, field, 0, MAX_RECORDS)
    return Nodes(request_id, total, tuple(data[begin:stop] for _, begin, _, stop in records))


def _decode_talk_response(data: bytes) -> TalkResponse:
    request_id, position = _enter(data)
    message, position = _read_bytes(data, position)
    _read_end(data, position)
    return TalkResponse(request_id, message)


_RESPONSES: dict[int, Callable[[bytes], Response]] = {
    MessageType.PONG: _decode_pong,
    MessageType.NODES: _decode_nodes,
    MessageType.TALKRESP: _decode_talk_response,
}


# -- writing ----------------------------------------------------------------------------------------------------------


def encode_ping(request_id: bytes, enr_seq: int) -> bytes:
    """
    A PING.

    @param enr_seq: the number of our record.
    """
    return b"\1" + write_list((write_bytes(request_id), write_uint(enr_seq)))


def pong_fields(enr_seq: int, ip: IPAddress, port: int) -> bytes:
    """What follows the request's id in a L{Pong}, which is the same for all PINGs of one node."""
    return write_uint(enr_seq) + write_bytes(ip.packed) + write_uint(port)


def encode_pong(request_id: bytes, fields: bytes) -> bytes:
    """
    A L{Pong}.

    @param fields: see L{pong_fields}.
    """
    return b"\2" + write_list((write_bytes(request_id), fields))


def encode_findnode(request_id: bytes, distances: Iterable[int]) -> bytes:
    """A FINDNODE."""
    return b"\3" + write_list((write_bytes(request_id), write_list(map(write_uint, distances))))


def nodes_fields(records: Iterable[bytes]) -> list[bytes]:
    """
    What follows the request's id in each of the L{Nodes} of one answer, which are as few as hold all records; one
    without any if there are none.

    @param records: encoded ones, so few that they fit into L{MAX_TOTAL} messages.
    """
    chunks: list[list[bytes]] = [[]]
    size = 0
    for record in records:
        size += len(record)
        if size > MAX_RECORDS_SIZE:
            chunks.append([])
            size = len(record)
        chunks[-1].append(record)
    total = write_uint(len(chunks))
    return [total + write_list(chunk) for chunk in chunks]


def encode_nodes(request_id: bytes, fields: Iterable[bytes]) -> list[bytes]:
    """
    The L{Nodes} of one answer.

    @param fields: see L{nodes_fields}.
    """
    written = write_bytes(request_id)
    return [b"\4" + write_list((written, each)) for each in fields]


def encode_talk_request(request_id: bytes, protocol: bytes, message: bytes) -> bytes:
    """A TALKREQ."""
    return b"\5" + write_list((write_bytes(request_id), write_bytes(protocol), write_bytes(message)))


def encode_talk_response(request_id: bytes, message: bytes) -> bytes:
    """A L{TalkResponse}."""
    return b"\6" + write_list((write_bytes(request_id), write_bytes(message)))


seal(__name__)
