"""
Which addresses this host has, and which networks it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any

from twisted.logger import Logger

from devp2p_tx.core.addressing.addresses import IPAddress, IPNetwork, parse_address
from devp2p_tx.interfaces import IInterfaces

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
    texts = (each.ip if each.is_IPv4 else each.ip[0] for each in addresses)
    return [ip_interface(f"{text}/{each.network_prefix}") for text, each in zip(texts, addresses, strict=True)]


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
