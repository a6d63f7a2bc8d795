"""
The Binding request of STUN (RFC 8489, and RFC 5389 before it), by which a server tells where it sees us.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from devp2p_tx.core.addressing.addresses import IPAddress, from_packed
from devp2p_tx.core.nat.ports import outer_address
from devp2p_tx.errors import InvalidRouterAnswer, RouterRefused

#: What tells an answer from forged ones (bytes).
TRANSACTION_SIZE = 12

_COOKIE = 0x2112A442
_BINDING, _SUCCESS, _ERROR = 0x0001, 0x0101, 0x0111
_MAPPED_ADDRESS, _ERROR_CODE, _XOR_MAPPED_ADDRESS = 0x0001, 0x0009, 0x0020
_IP_SIZES = {1: 4, 2: 16}

_HEAD = Struct(">HHI12s")
_ATTRIBUTE = Struct(">HH")
_ADDRESS = Struct(">xBH")


def binding_request(transaction: bytes) -> bytes:
    """
    Asks where we are seen.

    @param transaction: L{TRANSACTION_SIZE} random bytes.
    """
    return _HEAD.pack(_BINDING, 0, _COOKIE, transaction)


def read_binding(datagram: bytes, transaction: bytes) -> IPAddress | None:
    """
    Read the answer: our outer address; C{None} if it is the answer to something else.

    @raise RouterRefused: it is an error.
    @raise InvalidRouterAnswer: there is no address in it, or one that cannot be.
    """
    if len(datagram) < _HEAD.size:
        return None
    kind, size, cookie, theirs = _HEAD.unpack_from(datagram)
    if cookie != _COOKIE or theirs != transaction or kind not in (_SUCCESS, _ERROR):
        return None
    attributes = dict(_attributes(datagram[_HEAD.size : _HEAD.size + size]))
    if kind == _ERROR:
        raise _refusal(attributes.get(_ERROR_CODE, b""))
    if (value := attributes.get(_XOR_MAPPED_ADDRESS)) is not None:
        mask = datagram[4 : _HEAD.size]
        ip = _read_address(value, mask)
    else:  # a server of RFC 3489
        ip = _read_address(attributes.get(_MAPPED_ADDRESS, b""), bytes(16))
    return outer_address(ip)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Types and values, up to the first that is cut off; of equal ones the first counts, so they come backwards."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        kind, size = _ATTRIBUTE.unpack_from(data, at)
        at += _ATTRIBUTE.size
        if at + size > len(data):
            break
        found.append((kind, data[at : at + size]))
        at += size + -size % 4
    return reversed(found)


def _read_address(value: bytes, mask: bytes) -> IPAddress:
    if len(value) >= _ADDRESS.size:
        family, _ = _ADDRESS.unpack_from(value)
        packed = value[_ADDRESS.size :]
        ip = from_packed(bytes(a ^ b for a, b in zip(packed, mask, strict=False)))
        if ip is not None and len(packed) == _IP_SIZES.get(family):
            return ip
    raise InvalidRouterAnswer("tells no address that can be read")


def _refusal(value: bytes) -> RouterRefused:
    if len(value) < 4:
        return RouterRefused(0, "no reason given")
    text = "".join(each for each in value[4:68].decode("utf-8", "replace") if each.isprintable())
    return RouterRefused((value[2] & 7) * 100 + value[3], text)
