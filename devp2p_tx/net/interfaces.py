"""
The addresses of this host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from devp2p_tx.core.addresses import IPAddress, parse_address


def systemAddresses() -> list[IPAddress]:
    """
    The addresses of all interfaces, loopback ones included.

    @raise OSError: the system does not say.
    """
    import ifaddr  # loads ctypes, so not before it is wanted

    found = (ip.ip if isinstance(ip.ip, str) else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    return [parse_address(text.partition("%")[0]) for text in found]


def addressesOf(reactor: Any) -> Callable[[], list[IPAddress]]:
    """What tells the addresses of the host of a reactor: the L{MemoryHost<devp2p_tx.testing.MemoryHost>} that it is, or
    this one."""
    own: Callable[[], list[IPAddress]] | None = getattr(reactor, "interfaceAddresses", None)
    return systemAddresses if own is None else own
