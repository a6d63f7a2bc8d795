"""
NAT-PMP (RFC 6886): datagrams of 2 to 16 bytes to UDP port 5351 of the router.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from struct import Struct
from typing import NamedTuple

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.nat.ports import Mapping, Transport, outer_address
from devp2p_tx.errors import InvalidRouterAnswer, RouterRefused

#: Where routers listen.
PORT = 5351

_VERSION = 0
_EXTERNAL_ADDRESS = 0
_OPCODES = {Transport.UDP: 1, Transport.TCP: 2}
_ANSWER = 128

_MAP_REQUEST = Struct(">BBxxHHI")
_HEAD = Struct(">BBHI")
_ADDRESS = Struct(">8x4s")
_MAPPED = Struct(">8xHHI")

_UNSUPPORTED_VERSION = 1
_RESULTS = {
    2: "not authorized",
    3: "network failure",
    4: "out of resources",
    5: "unsupported opcode",
}

#: Asks for the router's outer address.
ADDRESS_REQUEST = bytes((_VERSION, _EXTERNAL_ADDRESS))


class AddressAnswer(NamedTuple):
    """The router's outer address, and how long it has known its mappings (seconds)."""

    epoch: int
    ip: IPAddress


class MapAnswer(NamedTuple):
    """A port was mapped; the epoch as in L{AddressAnswer}."""

    epoch: int
    mapping: Mapping


def map_request(wanted: Mapping) -> bytes:
    """Asks for a mapping, or to delete it, with the lifetime 0."""
    opcode = _OPCODES[wanted.transport]
    return _MAP_REQUEST.pack(_VERSION, opcode, wanted.internal, wanted.external, int(wanted.lifetime))


def read_address(datagram: bytes) -> AddressAnswer | None:
    """
    Read the answer to L{ADDRESS_REQUEST}; C{None} if it is the answer to something else.

    @raise RouterRefused: the result is no success.
    @raise InvalidRouterAnswer: it is too short, or the address cannot be.
    """
    epoch = _read_head(datagram, _EXTERNAL_ADDRESS, _ADDRESS)
    if epoch is None:
        return None
    (packed,) = _ADDRESS.unpack_from(datagram)
    return AddressAnswer(epoch, outer_address(IPv4Address(packed)))


def read_mapped(datagram: bytes, wanted: Mapping) -> MapAnswer | None:
    """
    Read the answer to a L{map_request}; C{None} if it is the answer to something else.

    @raise RouterRefused: the result is no success.
    @raise InvalidRouterAnswer: it is too short, or names no port.
    """
    epoch = _read_head(datagram, _OPCODES[wanted.transport], _MAPPED)
    if epoch is None:
        return None
    internal, external, lifetime = _MAPPED.unpack_from(datagram)
    if internal != wanted.internal:
        return None
    if wanted.lifetime and not (external and lifetime):
        raise InvalidRouterAnswer(f"mapped port {internal} to port {external} for {lifetime} s")
    return MapAnswer(epoch, Mapping(wanted.transport, internal, external, lifetime))


def _read_head(datagram: bytes, opcode: int, whole: Struct) -> int | None:
    """The epoch of a successful answer to C{opcode}; C{None} for that to another."""
    if len(datagram) < _HEAD.size:
        return None
    version, answered, result, epoch = _HEAD.unpack_from(datagram)
    if version != _VERSION or answered != _ANSWER + opcode or result == _UNSUPPORTED_VERSION:
        return None  # the last is how a router refuses a question of PCP, which we may have asked, too
    if result:
        raise RouterRefused(result, _RESULTS.get(result, "unknown result"))
    if len(datagram) < whole.size:
        raise InvalidRouterAnswer(f"an answer of {len(datagram)} bytes is too short")
    return int(epoch)
