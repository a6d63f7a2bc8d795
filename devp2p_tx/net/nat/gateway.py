"""
The default gateway of this system.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM
from socket import socket as Socket

from devp2p_tx.core.nat.routes import Gateway, default_gateway

#: Where Linux shows its IPv4 routes.
ROUTES = Path("/proc/net/route")


def findGateway() -> Gateway | None:
    """The default gateway; C{None} if there is none, or the system does not tell as Linux does."""
    try:
        found = default_gateway(ROUTES.read_text("ascii", "replace"))
        if found is None:
            return None
        ip, network = found
        return Gateway(ip, network, localAddress(ip))
    except OSError:
        return None


def localAddress(ip: IPv4Address) -> IPv4Address:
    """
    Our own address as C{ip} would see it; nothing is sent.

    @raise OSError: there is no way there.
    """
    with Socket(AF_INET, SOCK_DGRAM) as socket:
        socket.connect((str(ip), 9))
        return IPv4Address(socket.getsockname()[0])
