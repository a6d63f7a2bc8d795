"""
The base protocol of every connection: Hello, Disconnect, Ping, Pong (devp2p C{rlpx.md}, "p2p" Capability).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.codec.rlpfields import (
    Field,
    read_bytes,
    read_field,
    read_list,
    read_uint,
    write_bytes,
    write_list,
    write_uint,
)
from devp2p_tx.core.codec.snappy import decompress
from devp2p_tx.errors import DisconnectReason, HelloError, InvalidIdentity, InvalidRLP, InvalidSnappy

HELLO = 0x00
DISCONNECT = 0x01
PING = 0x02
PONG = 0x03
#: The first message code of the capabilities.
BASE_LENGTH = 16

#: The version of the base protocol that we speak.
VERSION = 5
#: The version from which payloads are compressed after the Hellos (EIP-706).
SNAPPY_VERSION = 5
#: The most bytes that a Hello may have.
MAX_HELLO_SIZE = 2048

_NO_ID = bytes(64)
#: What a Disconnect may expand to: its reason is a byte, so more is never read.
_MAX_DISCONNECT_SIZE = 64
_MAX_REASON = 0xFF
#: How many lists and strings may stand around a reason.
_MAX_DEPTH = 4
#: The first byte of an empty string and of an empty list, and the longest content whose length that byte tells (RLP).
_STRING, _LIST, _MAX_SHORT = 0x80, 0xC0, 55
_EMPTY_LIST = bytes((_LIST,))


class Cap(NamedTuple):
    """A capability's name and version, as announced in a Hello."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class Hello:
    """
    The first message of either side.

    @ivar client_name: free text, such as C{"devp2p-tx/v0.1.0/linux/python3.11"}.
    @ivar caps: what the sender can speak, in its order.
    @ivar node_key: the sender's public key, 64 bytes.
    @ivar version: the sender's version of the base protocol.
    @ivar listen_port: historical; go-ethereum sends 0.
    """

    client_name: str
    caps: tuple[Cap, ...]
    node_key: bytes
    version: int = VERSION
    listen_port: int = 0

    def encode(self) -> bytes:
        """The payload of the message."""
        caps = (write_list((write_bytes(cap.name.encode()), write_uint(cap.version))) for cap in self.caps)
        return write_list(
            (
                write_uint(self.version),
                write_bytes(self.client_name.encode()),
                write_list(caps),
                write_uint(self.listen_port),
                write_bytes(self.node_key),
            )
        )

    @classmethod
    def decode(cls, payload: bytes) -> Hello:
        """
        Read a payload; elements after the fifth are ignored (EIP-8).

        @raise HelloError: over L{MAX_HELLO_SIZE}, or malformed.
        @raise InvalidIdentity: the node key has another length than 64 bytes, or is zero.
        """
        if len(payload) > MAX_HELLO_SIZE:
            raise HelloError(f"Hello of {len(payload)} bytes, over the limit of {MAX_HELLO_SIZE}")
        try:
            return cls._from_fields(payload, read_list(payload, read_field(payload, 0, len(payload)), 5, 5))
        except InvalidRLP as error:
            raise HelloError(f"malformed Hello: {error}") from None

    @classmethod
    def _from_fields(cls, payload: bytes, fields: list[Field]) -> Hello:
        version, client_name, caps, listen_port, key = fields
        node_key = read_bytes(payload, key)
        if len(node_key) != 64 or node_key == _NO_ID:
            raise InvalidIdentity(f"Hello with the node key {node_key.hex() or '(empty)'}")
        return cls(
            client_name=_text(payload, client_name),
            caps=tuple(_cap(payload, pair) for pair in read_list(payload, caps, 0, MAX_HELLO_SIZE)),
            node_key=node_key,
            version=read_uint(payload, version),
            listen_port=read_uint(payload, listen_port),
        )


def _text(payload: bytes, field: Field) -> str:
    return read_bytes(payload, field).decode("utf-8", "replace")


def _cap(payload: bytes, pair: Field) -> Cap:
    name, version = read_list(payload, pair, 2, 2)
    return Cap(_text(payload, name), read_uint(payload, version))


def encode_disconnect(reason: int) -> bytes:
    """The payload that tells C{reason}: a list of one."""
    return rlp.encode([rlp.encode_uint(reason)])


def decode_disconnect(payload: bytes) -> int:
    """
    The reason in a payload, in all the forms that clients in the field send: a list or bare, canonical or not, and
    compressed or not, since neither side can know for certain whether the other has read its Hello by then.

    @return: L{DisconnectReason.INVALID} where none can be read.
    """
    try:
        plain = decompress(payload, _MAX_DISCONNECT_SIZE) or payload
    except InvalidSnappy:
        plain = payload[:_MAX_DISCONNECT_SIZE]
    reason = _disconnect_reason(plain)
    return DisconnectReason.INVALID if reason is None else DisconnectReason.of(reason)


def _disconnect_reason(plain: bytes) -> int | None:
    """
    The number in C{plain}, or the first in a list, canonical or not, and also if a string holds that; C{None} if there
    is none, or it is over a byte. bor sends C{82c104}, C{c28104} and C{8104} for 4.
    """
    is_listed = False
    for _ in range(_MAX_DEPTH):
        if not plain or plain[:1] == _EMPTY_LIST:
            return None
        is_list = plain[0] >= _LIST
        start, end = _content(plain)
        if end > len(plain) or (is_list and is_listed):
            return None
        plain, is_listed = plain[start:end], is_listed or is_list
        if not is_list and (len(plain) <= 1 or plain[0] < _LIST):
            number = int.from_bytes(plain, "big")
            return number if number <= _MAX_REASON else None
    return None


def _content(item: bytes) -> tuple[int, int]:
    """Where the content of an RLP item begins and ends, which need not be canonical or complete."""
    head = item[0]
    if head < _STRING:
        return 0, 1
    size = (head - _STRING) % (_LIST - _STRING)
    if size <= _MAX_SHORT:
        return 1, 1 + size
    start = 1 + size - _MAX_SHORT
    return start, start + int.from_bytes(item[1:start], "big")
