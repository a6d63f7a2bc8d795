"""
The Port Control Protocol (RFC 6887): the opcodes ANNOUNCE and MAP, without options, on the port of NAT-PMP.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import NamedTuple

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.nat.ports import Mapping, outer_address
from devp2p_tx.errors import InvalidRouterAnswer, RouterRefused

#: Where routers listen.
PORT = 5351
#: Bytes that tell the owner of a mapping: the same for all requests about it.
NONCE_SIZE = 12

_VERSION = 2
_ANNOUNCE, _MAP = 0, 1
_ANSWER = 0x80

_REQUEST = Struct(">BBxxI16s")
_HEAD = Struct(">BBxBII12x")
_MAP_DATA = Struct(">12sB3xHH16s")
_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
_ANY_ADDRESS = _MAPPED_PREFIX + bytes(4)

_UNSUPPORTED_VERSION = 1
_RESULTS = {
    _UNSUPPORTED_VERSION: "unsupported version",
    2: "not authorized",
    3: "malformed request",
    4: "unsupported opcode",
    5: "unsupported option",
    6: "malformed option",
    7: "network failure",
    8: "no resources",
    9: "unsupported protocol",
    10: "user exceeded quota",
    11: "cannot provide external port",
    12: "address mismatch",
    13: "excessive remote peers",
}


class MapAnswer(NamedTuple):
    """
    A port was mapped.

    @ivar epoch: how long the router has known its mappings (seconds).
    @ivar ip: the outer address; C{None} of a mapping that was deleted, or if it cannot be ours, as while the router's
        own connection is down.
    """

    epoch: int
    mapping: Mapping
    ip: IPAddress | None


def nonce(secret: bytes, wanted: Mapping) -> bytes:
    """
    What shows that a mapping is ours; the same after a restart, since a router gives it up to nobody else.

    @param secret: known to nobody else.
    """
    return keccak256(secret + bytes((wanted.transport,)) + wanted.internal.to_bytes(2, "big"))[:NONCE_SIZE]


def announce_request(client: IPv4Address) -> bytes:
    """Asks for nothing but an answer, which tells the epoch."""
    return _REQUEST.pack(_VERSION, _ANNOUNCE, 0, _packed(client))


def map_request(wanted: Mapping, client: IPv4Address, secret: bytes, ip: IPAddress | None = None) -> bytes:
    """
    Asks for a mapping, or to delete it, with the lifetime 0: then no port and no address are wished for (RFC 6887,
    section 15.1, with erratum 3621).

    @param client: our address, as the router sees it.
    @param secret: see L{nonce}.
    @param ip: the outer address to wish for.
    """
    outer = _packed(ip) if isinstance(ip, IPv4Address) and wanted.lifetime else _ANY_ADDRESS
    external = wanted.external if wanted.lifetime else 0
    data = _MAP_DATA.pack(nonce(secret, wanted), wanted.transport, wanted.internal, external, outer)
    return _REQUEST.pack(_VERSION, _MAP, int(wanted.lifetime), _packed(client)) + data


def _packed(ip: IPv4Address) -> bytes:
    return _MAPPED_PREFIX + ip.packed


def read_announced(datagram: bytes) -> int | None:
    """
    Read the answer to L{announce_request}: the epoch; C{None} if it is the answer to something else.

    @raise RouterRefused: the result is no success.
    """
    head = _read_head(datagram, _ANNOUNCE)
    return None if head is None else head[0]


def read_mapped(datagram: bytes, wanted: Mapping, secret: bytes) -> MapAnswer | None:
    """
    Read the answer to a L{map_request}; C{None} if it is the answer to something else.

    @raise RouterRefused: the result is no success.
    @raise InvalidRouterAnswer: it is too short, or names no port.
    """
    if len(datagram) >= _HEAD.size + _MAP_DATA.size:
        theirs, transport, internal, *_ = _MAP_DATA.unpack_from(datagram, _HEAD.size)
        if (theirs, transport, internal) != (nonce(secret, wanted), wanted.transport, wanted.internal):
            return None
    head = _read_head(datagram, _MAP)
    if head is None:
        return None
    if len(datagram) < _HEAD.size + _MAP_DATA.size:
        raise InvalidRouterAnswer(f"an answer of {len(datagram)} bytes is too short")
    epoch, lifetime = head
    _, _, internal, external, ip = _MAP_DATA.unpack_from(datagram, _HEAD.size)
    mapping = Mapping(wanted.transport, internal, external, lifetime)
    if not wanted.lifetime:
        return MapAnswer(epoch, mapping, None)
    if not (external and lifetime):
        raise InvalidRouterAnswer(f"mapped port {internal} to port {external} for {lifetime} s")
    try:
        return MapAnswer(epoch, mapping, outer_address(IPv6Address(ip)))
    except InvalidRouterAnswer:
        return MapAnswer(epoch, mapping, None)


def _read_head(datagram: bytes, opcode: int) -> tuple[int, int] | None:
    """The epoch and lifetime of a successful answer to C{opcode}; C{None} for that to another."""
    if datagram[:1] == b"\0" and datagram[1:4] == bytes((_ANSWER | opcode, 0, _UNSUPPORTED_VERSION)):
        raise RouterRefused(_UNSUPPORTED_VERSION, _RESULTS[_UNSUPPORTED_VERSION])  # by a router that knows NAT-PMP only
    if len(datagram) < _HEAD.size:
        return None
    version, answered, result, lifetime, epoch = _HEAD.unpack_from(datagram)
    if version != _VERSION or answered != _ANSWER | opcode:
        return None
    if result:
        raise RouterRefused(result, _RESULTS.get(result, "unknown result"))
    return epoch, lifetime
