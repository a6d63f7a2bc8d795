"""
Which addresses this host has, and which networks it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any

from devp2p_tx.core.addressing.addresses import IPAddress, IPNetwork, parse_address
from devp2p_tx.interfaces import IInterfaces
from devp2p_tx.net.log import Logger

_log = Logger()


def interfacesOf(reactor: Any) -> Sequence[IPv4Interface | IPv6Interface]:
    """The addresses of this host, each with the prefix of its network; those of the reactor, if it has its own."""
    if IInterfaces.providedBy(reactor):
        own: Sequence[IPv4Interface | IPv6Interface] = reactor.interfaces()
        return own
    return _systemInterfaces()


def _systemInterfaces() -> list[IPv4Interface | IPv6Interface]:
    from ifaddr import get_adapters  # late: it loads ctypes

    try:
        addresses = [each for adapter in get_adapters() for each in adapter.ips]
    except OSError as error:
        _log.warn("cannot see which networks this host is in: {error}", error=error)
        return []
    return list(dict.fromkeys(found for each in addresses if (found := _interface(each)) is not None))


def _interface(address: Any) -> IPv4Interface | IPv6Interface | None:
    """What the library tells, as an interface; C{None} if it cannot be: the others count all the same."""
    text = address.ip if address.is_IPv4 else address.ip[0]
    try:
        return ip_interface(f"{text}/{address.network_prefix}")
    except ValueError as error:
        _log.debug("an address of this host cannot be read: {error}", error=error)
        return None


def addressesOf(reactor: Any) -> list[IPAddress]:
    """The addresses alone."""
    return [each.ip for each in interfacesOf(reactor)]


def networksOf(reactor: Any, address: str) -> list[IPNetwork]:
    """
    The networks from which others reach one who listens.

    @param address: where he listens; empty, C{0.0.0.0} or C{::} for all of this host, from where no others come but by
        its real networks: what listens at loopback beside him is none of theirs.
    """
    networks: list[IPNetwork] = [each.network for each in interfacesOf(reactor)]
    ip = parse_address(address) if address else None
    if ip is None or ip.is_unspecified:
        return [network for network in networks if not network.is_loopback]
    return [network for network in networks if ip in network]
