"""
The default gateway, read from the kernel's IPv4 routing table as Linux shows it in C{/proc/net/route}.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

_UP, _GATEWAY = 1, 2


@dataclass(frozen=True)
class Gateway:
    """
    The way to the rest of the world.

    @ivar ip: the router's address.
    @ivar network: the local network that it is in: who else is in there could be a device of the router.
    @ivar local: our own address as the router sees it.
    """

    ip: IPv4Address
    network: IPv4Network
    local: IPv4Address


@dataclass(frozen=True)
class _Route:
    interface: str
    network: IPv4Network
    gateway: IPv4Address | None
    metric: int


def default_gateway(table: str, byteorder: str = sys.byteorder) -> tuple[IPv4Address, IPv4Network] | None:
    """
    The gateway of the best default route, and the network that it is in; C{None} if there is no such route.

    @param table: the text of C{/proc/net/route}.
    @param byteorder: C{little} or C{big}, in which the kernel prints addresses.
    """
    routes = list(_routes(table, byteorder))
    defaults = [route for route in routes if not route.network.prefixlen and route.gateway is not None]
    if not defaults:
        return None
    best = min(defaults, key=lambda route: route.metric)
    assert best.gateway is not None
    near = [
        route.network
        for route in routes
        if route.gateway is None and route.interface == best.interface and best.gateway in route.network
    ]
    narrowest = max(near, key=lambda network: network.prefixlen, default=IPv4Network(best.gateway))
    return best.gateway, narrowest if narrowest.prefixlen else IPv4Network(best.gateway)


def _routes(table: str, byteorder: str) -> Iterator[_Route]:
    """The routes that are up; lines that cannot be read are left out."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        try:
            interface, destination, gateway, flags, _, _, metric, mask = fields[:8]
            up = int(flags, 16)
            network = IPv4Network((_address(destination, byteorder), str(_address(mask, byteorder))))
            route = _Route(interface, network, _address(gateway, byteorder) if up & _GATEWAY else None, int(metric))
        except ValueError:
            continue
        if up & _UP:
            yield route


def _address(digits: str, byteorder: str) -> IPv4Address:
    data = bytes.fromhex(digits)
    return IPv4Address(data[::-1] if byteorder == "little" else data)
