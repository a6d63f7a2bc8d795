"""
The messages of discv5, as they are once decrypted (devp2p C{discv5-wire.md}, "Protocol Messages").

A message is its type, one byte, and an RLP list that begins with the request's id. Unlike those of discv4, messages are
read strictly: no item may be missing, or follow, and no byte may follow the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import NamedTuple

from devp2p_tx.core.addresses import IPAddress, from_packed
from devp2p_tx.core.rlpfields import (
    read_bytes,
    read_exact_list,
    read_field,
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

_LIST, _STRING, _LONG_STRING = 0xC0, 0x80, 0xB8
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


class Ping(NamedTuple):
    """
    "Are you there?"

    @ivar request_id: up to 8 bytes, as in all messages.
    @ivar enr_seq: number of the sender's record.
    """

    request_id: bytes
    enr_seq: int


class Pong(NamedTuple):
    """
    The answer to PING.

    @ivar enr_seq: number of the sender's record.
    @ivar ip: where the PING came from, unwrapped, and so is C{port}.
    """

    request_id: bytes
    enr_seq: int
    ip: IPAddress
    port: int


class FindNode(NamedTuple):
    """
    "Whom do you know at these distances?"

    @ivar distances: logarithmic ones from the recipient; 0 asks for its own record. Any number of 64 bits.
    """

    request_id: bytes
    distances: tuple[int, ...]


class Nodes(NamedTuple):
    """
    One of the answers to FINDNODE.

    @ivar total: how many there are, 0..255.
    @ivar records: encoded records, not yet read.
    """

    request_id: bytes
    total: int
    records: tuple[bytes, ...]


class TalkRequest(NamedTuple):
    """
    A request of another protocol.

    @ivar protocol: its name.
    """

    request_id: bytes
    protocol: bytes
    message: bytes


class TalkResponse(NamedTuple):
    """The answer to L{TalkRequest}; empty from those who do not know the protocol."""

    request_id: bytes
    message: bytes


Response = Pong | Nodes | TalkResponse
Message = Ping | FindNode | TalkRequest | Response


# -- reading ----------------------------------------------------------------------------------------------------------


def decode(data: bytes) -> Message:
    """
    Read a message.

    @raise InvalidRLP: unknown type, or not exactly a list of the type's shape.
    """
    decoder = _DECODERS.get(data[0]) if data else None
    if decoder is None:
        raise InvalidRLP("unknown message type" if data else "message contains no data")
    return decoder(data)


def _enter(data: bytes) -> tuple[bytes, int]:
    """The id of the request, and the offset after it; the list ends where the data does."""
    size = len(data) - _BODY
    if 0 < size <= 56 and data[_BODY] == _LIST + size - 1:
        start = _BODY + 1
    else:
        is_list, _, start, stop = read_field(data, _BODY, len(data))
        if not is_list or stop != len(data):
            raise InvalidRLP("expected one list")
    request_id, position = _read_bytes(data, start)
    if len(request_id) > MAX_REQUEST_ID:
        raise InvalidRLP(f"request ID larger than {MAX_REQUEST_ID} bytes")
    return request_id, position


def _read_bytes(data: bytes, position: int) -> tuple[bytes, int]:
    """The bytes at C{position}, and the offset after them."""
    if position >= len(data):
        raise InvalidRLP("truncated RLP")
    first = data[position]
    start = position + 1
    if first < _STRING:
        return data[position:start], start
    if first < _LONG_STRING:
        stop = start + first - _STRING
        if stop <= len(data) and (stop - start != 1 or data[start] >= _STRING):
            return data[start:stop], stop
    field = read_field(data, position, len(data))
    return read_bytes(data, field), field[3]


def _read_uint(data: bytes, position: int, size: int = 8) -> tuple[int, int]:
    """The unsigned integer at C{position}, of at most C{size} bytes, and the offset after it."""
    written, position = _read_bytes(data, position)
    if len(written) > size or written[:1] == b"\0":
        raise InvalidRLP(f"not an unsigned integer of {size} bytes")
    return int.from_bytes(written, "big"), position


def _read_end(data: bytes, position: int) -> None:
    if position != len(data):
        raise InvalidRLP("more items than the message has")


def _decode_ping(data: bytes) -> Ping:
    request_id, position = _enter(data)
    enr_seq, position = _read_uint(data, position)
    _read_end(data, position)
    return Ping(request_id, enr_seq)


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


def _decode_findnode(data: bytes) -> FindNode:
    request_id, position = _enter(data)
    is_list, _, position, stop = read_field(data, position, len(data))
    _read_end(data, stop)
    if not is_list:
        raise InvalidRLP("expected a list of distances")
    distances: list[int] = []
    while position < stop:
        if len(distances) == MAX_DISTANCES:
            raise InvalidRLP(f"more than {MAX_DISTANCES} distances")
        distance, position = _read_uint(data, position)
        distances.append(distance)
    return FindNode(request_id, tuple(distances))


def _decode_nodes(data: bytes) -> Nodes:
    request_id, position = _enter(data)
    total, position = _read_uint(data, position, 1)
    field = read_field(data, position, len(data))
    _read_end(data, field[3])
    records = read_exact_list(data, field, 0, MAX_RECORDS)
    return Nodes(request_id, total, tuple(data[begin:stop] for _, begin, _, stop in records))


def _decode_talk_request(data: bytes) -> TalkRequest:
    request_id, position = _enter(data)
    protocol, position = _read_bytes(data, position)
    message, position = _read_bytes(data, position)
    _read_end(data, position)
    return TalkRequest(request_id, protocol, message)


def _decode_talk_response(data: bytes) -> TalkResponse:
    request_id, position = _enter(data)
    message, position = _read_bytes(data, position)
    _read_end(data, position)
    return TalkResponse(request_id, message)


_DECODERS: dict[int, Callable[[bytes], Message]] = {
    MessageType.PING: _decode_ping,
    MessageType.PONG: _decode_pong,
    MessageType.FINDNODE: _decode_findnode,
    MessageType.NODES: _decode_nodes,
    MessageType.TALKREQ: _decode_talk_request,
    MessageType.TALKRESP: _decode_talk_response,
}


# -- writing ----------------------------------------------------------------------------------------------------------


def encode_ping(request_id: bytes, enr_seq: int) -> bytes:
    """A L{Ping}."""
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
    """A L{FindNode}."""
    return b"\3" + write_list((write_bytes(request_id), write_list(map(write_uint, distances))))


def encode_nodes(request_id: bytes, records: Iterable[bytes]) -> list[bytes]:
    """
    The L{Nodes} of one answer, as few as hold all records; one without any if there are none.

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
    head = write_bytes(request_id) + write_uint(len(chunks))
    return [b"\4" + write_list((head, write_list(chunk))) for chunk in chunks]


def encode_talk_request(request_id: bytes, protocol: bytes, message: bytes) -> bytes:
    """A L{TalkRequest}."""
    return b"\5" + write_list((write_bytes(request_id), write_bytes(protocol), write_bytes(message)))


def encode_talk_response(request_id: bytes, message: bytes) -> bytes:
    """A L{TalkResponse}."""
    return b"\6" + write_list((write_bytes(request_id), write_bytes(message)))
