"""
Which of the addresses in a node record to use (EIP-778, "Record Structure").

A record may announce one endpoint in each address family. Whoever wants just one takes the more global of the two, and
IPv4 if they are equally so. Without ports of its own the IPv6 endpoint has those of the IPv4 one, but for QUIC. Who has
only one family takes the endpoint in that.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from devp2p_tx.core.addressing.addresses import (
    LINK_LOCAL,
    LOOPBACK,
    MULTICAST,
    PRIVATE,
    UNSPECIFIED,
    IPAddress,
    kinds,
    unwrap,
)
from devp2p_tx.core.enr.entries import IP, IP6, QUIC, QUIC6, TCP, TCP6, UDP, UDP6
from devp2p_tx.core.enr.record import Record

#: The kinds of address from the least to the most useful; below all of them is multicast, above them the public ones.
_BY_LOCALITY = (UNSPECIFIED, LOOPBACK, LINK_LOCAL, PRIVATE)
#: Both address families.
VERSIONS: tuple[int, ...] = (4, 6)


class NodeEndpoint(NamedTuple):
    """
    Where a node says it can be reached.

    @ivar ip: the address, unwrapped; C{None} if there is none, in which case the ports may be known nevertheless.
    @ivar udp: 0..65535, 0 for none, as the following.
    """

    ip: IPAddress | None
    udp: int
    tcp: int
    quic: int

    def udp_address(self) -> tuple[IPAddress, int] | None:
        """Where discovery packets go, if anywhere."""
        return _usable(self.ip, self.udp)

    def tcp_address(self) -> tuple[IPAddress, int] | None:
        """Where RLPx connections go, if anywhere."""
        return _usable(self.ip, self.tcp)

    def quic_address(self) -> tuple[IPAddress, int] | None:
        """Where QUIC connections go, if anywhere."""
        return _usable(self.ip, self.quic)


def endpoint4(record: Record) -> NodeEndpoint:
    """The IPv4 endpoint."""
    return NodeEndpoint(record.get(IP), record.get(UDP) or 0, record.get(TCP) or 0, record.get(QUIC) or 0)


def endpoint6(record: Record) -> NodeEndpoint:
    """The IPv6 endpoint; one whose address is an IPv4 address in IPv6 clothes has the IPv4 ports."""
    ip6 = record.get(IP6)
    ip = ip6 and unwrap(ip6)
    if ip is not None and ip.version == 4:
        return endpoint4(record)._replace(ip=ip)
    udp, tcp = record.get(UDP6), record.get(TCP6)
    if udp is None:
        udp = record.get(UDP)
    if tcp is None:
        tcp = record.get(TCP)
    return NodeEndpoint(ip, udp or 0, tcp or 0, record.get(QUIC6) or 0)


def preferred_endpoint(record: Record, versions: Collection[int] = VERSIONS) -> NodeEndpoint:
    """
    The endpoint of the family whose address is more global; without any address just the IPv4 ports.

    @param versions: the families that are of use, of 4 and 6; addresses of others count as none.
    """
    of4, of6 = endpoint4(record), endpoint6(record)
    if _rank(of6, versions) > _rank(of4, versions):
        return of6
    return of4 if _rank(of4, versions) >= 0 else of4._replace(ip=None)


def _rank(endpoint: NodeEndpoint, versions: Collection[int]) -> int:
    return -1 if endpoint.ip is None or endpoint.ip.version not in versions else locality(endpoint.ip)


def locality(ip: IPAddress | None) -> int:
    """How far an address reaches: -1 if it is none of a node, 0 unspecified, 1 this host ... 4 everywhere."""
    if ip is None:
        return -1
    flags = kinds(ip)
    if flags & MULTICAST:
        return -1
    for rank, kind in enumerate(_BY_LOCALITY):
        if flags & kind:
            return rank
    return len(_BY_LOCALITY)


def _usable(ip: IPAddress | None, port: int) -> tuple[IPAddress, int] | None:
    return None if ip is None or ip.is_unspecified or not port else (ip, port)
