"""
Where our user says that we are, as text: C{tcp=host:port,udp=host:port,tcp6=host:port,udp6=host:port}.

Each of the four may be missing. A host is an address, that of IPv6 in brackets, or a DNS name. As a node record has one
address in each family, C{tcp} and C{udp} name the same host, and so do C{tcp6} and C{udp6}.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from devp2p_tx.core.addressing.addresses import IPAddress, parse_address
from devp2p_tx.core.enr.nodeendpoint import locality
from devp2p_tx.core.enr.url import is_hostname
from devp2p_tx.errors import InvalidAddress

#: The fields, by address family.
_FIELDS = {4: ("tcp", "udp"), 6: ("tcp6", "udp6")}
_VERSIONS = {name: version for version, names in _FIELDS.items() for name in names}
_PORT = re.compile(r"[0-9]{1,5}")
_WANTED = "want tcp=HOST:PORT, udp=HOST:PORT, tcp6=[HOST]:PORT or udp6=[HOST]:PORT, with commas between"


class HostPort(NamedTuple):
    """An IP address or DNS name, and a port of 1..65535; C{ip} is C{None} for a name."""

    host: str
    ip: IPAddress | None
    port: int


@dataclass(frozen=True, slots=True)
class Advertise:
    """
    @ivar tcp: where RLPx connections over IPv4 shall go; C{None} where our user says nothing, as with the others.
    @ivar udp: where discovery packets over IPv4 shall go; the same host as that of C{tcp}.
    @ivar tcp6: as C{tcp} over IPv6.
    @ivar udp6: as C{udp} over IPv6.
    """

    tcp: HostPort | None = None
    udp: HostPort | None = None
    tcp6: HostPort | None = None
    udp6: HostPort | None = None

    @classmethod
    def parse(cls, text: str) -> Advertise:
        """
        Read it.

        @raise InvalidAddress: it cannot be read; the sentence says what is wrong with it.
        """
        found: dict[str, HostPort] = {}
        for item in text.split(","):
            name, separator, there = item.strip().partition("=")
            if name not in _VERSIONS or not separator:
                raise InvalidAddress(f"cannot advertise {item.strip()!r}: {_WANTED}")
            if name in found:
                raise InvalidAddress(f"{name} is advertised twice")
            found[name] = _host_port(there.strip(), name)
        for tcp, udp in _FIELDS.values():
            if tcp in found and udp in found and found[tcp].host.lower() != found[udp].host.lower():
                raise InvalidAddress(
                    f"a node record has one address for {tcp} and {udp}: not {found[tcp].host} and {found[udp].host}"
                )
        return cls(**found)

    def of(self, version: int) -> tuple[HostPort | None, HostPort | None]:
        """What is said of TCP and of UDP in the family 4 or 6."""
        return (self.tcp, self.udp) if version == 4 else (self.tcp6, self.udp6)


def _host_port(text: str, name: str) -> HostPort:
    host, separator, port = text.rpartition(":")
    if not separator or not _PORT.fullmatch(port) or not 0 < int(port) <= 0xFFFF:
        raise InvalidAddress(f"{name}={text} has no port from 1 to 65535: {_WANTED}")
    bare = host.removeprefix("[").removesuffix("]")
    ip = _address(bare, is_bracketed=bare != host, name=name)
    return HostPort(bare if ip is None else str(ip), ip, int(port))


def _address(host: str, is_bracketed: bool, name: str) -> IPAddress | None:
    """The address that a host is; C{None} for a name."""
    try:
        ip = parse_address(host)
    except InvalidAddress:
        if is_bracketed or host.replace(".", "").isdigit() or not is_hostname(host):
            raise InvalidAddress(f"{name}: {host!r} is neither an address nor a host name") from None
        return None
    if ip.version != _VERSIONS[name]:
        other = {"tcp": "tcp6", "udp": "udp6", "tcp6": "tcp", "udp6": "udp"}[name]
        raise InvalidAddress(f"{name}: {ip} is an IPv{ip.version} address: advertise it as {other}")
    if locality(ip) <= 0:
        raise InvalidAddress(f"{name}: nobody can reach {ip}")
    return ip
