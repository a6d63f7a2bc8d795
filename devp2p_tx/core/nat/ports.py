"""
A mapped port, and what every way of mapping agrees on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

from devp2p_tx.core.addressing.addresses import LINK_LOCAL, LOOPBACK, MULTICAST, UNSPECIFIED, IPAddress, kinds, unwrap
from devp2p_tx.errors import InvalidRouterAnswer

_NEVER_OURS = UNSPECIFIED | LOOPBACK | LINK_LOCAL | MULTICAST


class Transport(IntEnum):
    """What runs over IP; the values are IANA's protocol numbers."""

    TCP = 6
    UDP = 17


@dataclass(frozen=True)
class Mapping:
    """
    @ivar transport: TCP or UDP.
    @ivar internal: our port.
    @ivar external: the router's port; 0 to wish for none in particular.
    @ivar lifetime: how long it lasts, or should last (seconds).
    """

    transport: Transport
    internal: int
    external: int
    lifetime: float


def outer_address(ip: IPv4Address | IPv6Address) -> IPAddress:
    """
    What a router or server says our outer address is.

    @raise InvalidRouterAnswer: it cannot be.
    """
    bare = unwrap(ip)
    if kinds(bare) & _NEVER_OURS:
        raise InvalidRouterAnswer(f"says that our outer address is {bare}")
    return bare
