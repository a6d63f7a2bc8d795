"""
The datagrams of discv4 (devp2p C{discv4.md}, "Wire Protocol"; EIP-8, EIP-868).

A datagram is C{hash (32) || signature (65) || type (1) || RLP list}: the signature over the Keccak-256 of what follows
it, the hash over all that follows the hash. Further list items, and bytes after the list, are ignored.

Reading goes in steps of rising cost, so that a caller can stop early: L{packet_type} looks at two numbers, L{has_hash}
hashes, L{decode_payload} reads RLP, L{recover_sender} does curve arithmetic, which costs more than all others together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from devp2p_tx.core.addressing.addresses import IPAddress, from_packed
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
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.errors import InvalidRLP, InvalidSignature

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

T = TypeVar("T")

HASH_SIZE = 32
_SIGNATURE_END = HASH_SIZE + 65
#: The sizes of a datagram.
MIN_SIZE, MAX_SIZE = _SIGNATURE_END + 1, 1280
#: The most nodes that fit into one NEIGHBORS, if all addresses are IPv6.
MAX_NEIGHBORS = 12
#: How many nodes are remembered as NEIGHBORS have them: those of a table are told time and again, and by many.
REMEMBERED_NEIGHBORS = 4096
#: The longest that an endpoint and a node are written, with an IPv6 address and nothing after it (bytes). Only what is
#: no longer is remembered: strangers could fill the memory with what fills packets.
_ENDPOINT_SIZE, _NEIGHBOR_SIZE = 24, 91
#: The version in a PING; nobody reads it.
VERSION = 4


class PacketType(IntEnum):
    """The byte before the RLP list."""

    PING = 1
    PONG = 2
    FINDNODE = 3
    NEIGHBORS = 4
    ENRREQUEST = 5
    ENRRESPONSE = 6


class WireEndpoint(NamedTuple):
    """
    An address as packets have it.

    @ivar packed: 4 or 16 bytes; anything else is no address but can be received.
    @ivar udp: 0..65535, as the following.
    """

    packed: bytes
    udp: int
    tcp: int

    @property
    def ip(self) -> IPAddress | None:
        """The address, unwrapped, if it is one."""
        return from_packed(self.packed)


#: The endpoint of one who does not know it.
NO_ENDPOINT = WireEndpoint(b"", 0, 0)


class Ping(NamedTuple):
    """
    "Are you there?"

    @ivar sender: of it only C{tcp} is to be believed.
    @ivar recipient: where the sender thinks that we are.
    @ivar expiration: unix time in seconds, to be read by L{is_expired} only, as in all packets.
    @ivar enr_seq: number of the sender's record; 0 if it has none.
    """

    sender: WireEndpoint
    recipient: WireEndpoint
    expiration: int
    enr_seq: int = 0


class Pong(NamedTuple):
    """
    The answer to PING.

    @ivar recipient: the UDP source of the PING, with the TCP port it told.
    @ivar ping_hash: hash of the PING, 32 bytes if it is any good.
    """

    recipient: WireEndpoint
    ping_hash: bytes
    expiration: int
    enr_seq: int = 0


class FindNode(NamedTuple):
    """
    "Whom do you know near this key?"

    @ivar target: 64 bytes, which need not be a point; distances are to their Keccak-256.
    """

    target: bytes
    expiration: int


class Neighbor(NamedTuple):
    """
    A node in NEIGHBORS.

    @ivar public_key: 64 bytes, not checked to be a point.
    """

    packed: bytes
    udp: int
    tcp: int
    public_key: bytes

    @property
    def ip(self) -> IPAddress | None:
        """The address, unwrapped, if it is one."""
        return from_packed(self.packed)


class Neighbors(NamedTuple):
    """One of the answers to FINDNODE; nothing says which of them is the last."""

    nodes: tuple[Neighbor, ...]
    expiration: int


class EnrRequest(NamedTuple):
    """ "What is your record?" (EIP-868)"""

    expiration: int


class EnrResponse(NamedTuple):
    """
    The answer to ENRREQUEST; it has no expiration.

    @ivar request_hash: hash of the ENRREQUEST, 32 bytes if it is any good.
    @ivar record: the encoded record, not yet read.
    """

    request_hash: bytes
    record: bytes


class Signer(Protocol):
    """Who signs packets, such as a private key."""

    def sign(self, digest: bytes) -> bytes:
        """As L{devp2p_tx.core.crypto.secp256k1.PrivateKey.sign}."""


Payload = Ping | Pong | FindNode | Neighbors | EnrRequest | EnrResponse


# -- reading ----------------------------------------------------------------------------------------------------------


def packet_type(datagram: bytes) -> int:
    """The L{PacketType}; 0 if the size or the type byte is none of discv4. Nothing is hashed."""
    if not MIN_SIZE <= len(datagram) <= MAX_SIZE:
        return 0
    kind = datagram[_SIGNATURE_END]
    return kind if kind in _DECODERS else 0


def has_hash(datagram: bytes) -> bool:
    """Whether the datagram, of a valid size, begins with the hash of the rest."""
    return datagram[:HASH_SIZE] == keccak256(datagram[HASH_SIZE:])


def decode_payload(datagram: bytes) -> Payload:
    """
    Read what a datagram, for which L{packet_type} is not 0, says, whoever says it.

    @raise InvalidRLP: no list of the type's shape.
    """
    return _DECODERS[datagram[_SIGNATURE_END]](datagram)


def recover_sender(datagram: bytes) -> PublicKey:
    """
    The key that signed a datagram of a valid size.

    @raise InvalidSignature: none did.
    """
    return PublicKey.recover(datagram[HASH_SIZE:_SIGNATURE_END], keccak256(datagram[_SIGNATURE_END:]))


def decode(datagram: bytes) -> tuple[Payload, PublicKey]:
    """
    Read a whole datagram: all the steps in their order.

    @return: what it says, and who says it.
    @raise InvalidRLP: wrong size, unknown type, or no list of the type's shape.
    @raise InvalidSignature: the hash is wrong, or no key fits the signature.
    """
    if not packet_type(datagram):
        raise InvalidRLP("no discv4 packet")
    if not has_hash(datagram):
        raise InvalidSignature("the hash of the packet does not match")
    return decode_payload(datagram), recover_sender(datagram)


def is_expired(expiration: int, unix_time: float) -> bool:
    """
    Whether a packet's time is over.

    The number is a signed one of 64 bits for everyone else, so that 2**64 - t lies in the past; and even the present
    second is over, since it is compared with the fractions.

    @param expiration: unsigned, 64 bits.
    """
    return (expiration - (1 << 64) if expiration >> 63 else expiration) < unix_time


def _fields(datagram: bytes, minimum: int, maximum: int) -> list[Field]:
    return read_list(datagram, read_field(datagram, MIN_SIZE, len(datagram)), minimum, maximum)


def _read_item(data: bytes, field: Field, decode: _lru_cache_wrapper[T], longest: int) -> T:
    """An item that may be remembered, unless it is longer than that."""
    _, begin, _, stop = field
    return (decode if stop - begin <= longest else decode.__wrapped__)(data[begin:stop])


@lru_cache(maxsize=REMEMBERED_NEIGHBORS)
def _decode_endpoint(data: bytes) -> WireEndpoint:
    packed, udp, tcp = read_list(data, read_field(data, 0, len(data)), 3, 3)
    return WireEndpoint(read_bytes(data, packed), read_uint(data, udp, 2), read_uint(data, tcp, 2))


def _decode_enr_seq(data: bytes, fields: list[Field]) -> int:
    """The number that EIP-868 put where EIP-8 promised to ignore anything: what else stands there is ignored still."""
    try:
        return read_uint(data, fields[0]) if fields else 0
    except InvalidRLP:
        return 0


def _decode_ping(data: bytes) -> Ping:
    _, sender, recipient, expiration, *enr_seq = _fields(data, 4, 5)
    return Ping(
        _read_item(data, sender, _decode_endpoint, _ENDPOINT_SIZE),
        _read_item(data, recipient, _decode_endpoint, _ENDPOINT_SIZE),
        read_uint(data, expiration),
        _decode_enr_seq(data, enr_seq),
    )


def _decode_pong(data: bytes) -> Pong:
    recipient, ping_hash, expiration, *enr_seq = _fields(data, 3, 4)
    return Pong(
        _read_item(data, recipient, _decode_endpoint, _ENDPOINT_SIZE),
        read_bytes(data, ping_hash),
        read_uint(data, expiration),
        _decode_enr_seq(data, enr_seq),
    )


def _decode_findnode(data: bytes) -> FindNode:
    target, expiration = _fields(data, 2, 2)
    return FindNode(read_bytes(data, target, 64), read_uint(data, expiration))


@lru_cache(maxsize=REMEMBERED_NEIGHBORS)
def _decode_neighbor(data: bytes) -> Neighbor:
    packed, udp, tcp, public_key = read_list(data, read_field(data, 0, len(data)), 4, 4)
    return Neighbor(
        read_bytes(data, packed), read_uint(data, udp, 2), read_uint(data, tcp, 2), read_bytes(data, public_key, 64)
    )


def _decode_neighbors(data: bytes) -> Neighbors:
    nodes, expiration = _fields(data, 2, 2)
    # no node is shorter than its key, so that the size of a packet bounds them
    fields = read_list(data, nodes, 0, MAX_SIZE // 64)
    found = (_read_neighbor(data, field) for field in fields)
    return Neighbors(tuple(node for node in found if node is not None), read_uint(data, expiration))


def _read_neighbor(data: bytes, field: Field) -> Neighbor | None:
    """A node of NEIGHBORS; C{None} if it is malformed, which says nothing of those beside it."""
    try:
        return _read_item(data, field, _decode_neighbor, _NEIGHBOR_SIZE)
    except InvalidRLP:
        return None


def _decode_enr_request(data: bytes) -> EnrRequest:
    return EnrRequest(read_uint(data, _fields(data, 1, 1)[0]))


def _decode_enr_response(data: bytes) -> EnrResponse:
    request_hash, (_, begin, _, stop) = _fields(data, 2, 2)
    return EnrResponse(read_bytes(data, request_hash), data[begin:stop])


_DECODERS: dict[int, Callable[[bytes], Payload]] = {
    PacketType.PING: _decode_ping,
    PacketType.PONG: _decode_pong,
    PacketType.FINDNODE: _decode_findnode,
    PacketType.NEIGHBORS: _decode_neighbors,
    PacketType.ENRREQUEST: _decode_enr_request,
    PacketType.ENRRESPONSE: _decode_enr_response,
}


# -- writing ----------------------------------------------------------------------------------------------------------


def datagram_hash(datagram: bytes) -> bytes:
    """What an answer to this datagram has to echo."""
    return datagram[:HASH_SIZE]


def encode_ping(key: Signer, ping: Ping) -> bytes:
    """The datagram of a PING."""
    sender, recipient, expiration, enr_seq = ping
    endpoints = _endpoint(*sender), _endpoint(*recipient)
    return _seal(key, PacketType.PING, write_uint(VERSION), *endpoints, write_uint(expiration), write_uint(enr_seq))


def encode_pong(key: Signer, pong: Pong) -> bytes:
    """The datagram of a PONG."""
    recipient, ping_hash, expiration, enr_seq = pong
    fields = _endpoint(*recipient), write_bytes(ping_hash), write_uint(expiration), write_uint(enr_seq)
    return _seal(key, PacketType.PONG, *fields)


def encode_findnode(key: Signer, findnode: FindNode) -> bytes:
    """The datagram of a FINDNODE."""
    return _seal(key, PacketType.FINDNODE, write_bytes(findnode.target), write_uint(findnode.expiration))


def encode_neighbors(key: Signer, nodes: Iterable[Neighbor], expiration: int) -> list[bytes]:
    """The datagrams of an answer to FINDNODE: as many nodes in each as fit, and one without any if there are none."""
    items = list(map(_neighbor, nodes))
    chunks = [items[start : start + MAX_NEIGHBORS] for start in range(0, max(len(items), 1), MAX_NEIGHBORS)]
    return [_seal(key, PacketType.NEIGHBORS, write_list(chunk), write_uint(expiration)) for chunk in chunks]


def encode_enr_request(key: Signer, request: EnrRequest) -> bytes:
    """The datagram of an ENRREQUEST."""
    return _seal(key, PacketType.ENRREQUEST, write_uint(request.expiration))


def encode_enr_response(key: Signer, response: EnrResponse) -> bytes:
    """The datagram of an ENRRESPONSE."""
    return _seal(key, PacketType.ENRRESPONSE, write_bytes(response.request_hash), response.record)


@lru_cache(maxsize=REMEMBERED_NEIGHBORS)
def _endpoint(packed: bytes, udp: int, tcp: int) -> bytes:
    return write_list((write_bytes(packed), write_uint(udp), write_uint(tcp)))


@lru_cache(maxsize=REMEMBERED_NEIGHBORS)
def _neighbor(node: Neighbor) -> bytes:
    packed, udp, tcp, public_key = node
    return write_list((write_bytes(packed), write_uint(udp), write_uint(tcp), write_bytes(public_key)))


def _seal(key: Signer, kind: int, *fields: bytes) -> bytes:
    message = bytes((kind,)) + write_list(fields)
    signed = key.sign(keccak256(message)) + message
    return keccak256(signed) + signed
