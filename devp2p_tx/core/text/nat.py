"""
What a user writes after C{--nat}.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from devp2p_tx.core.addressing.addresses import IPAddress, parse_address
from devp2p_tx.core.enr.nodeendpoint import locality
from devp2p_tx.errors import InvalidAddress, InvalidNAT

#: The UDP port of STUN servers (RFC 8489, section 8).
STUN_PORT = 3478


class Mechanism(Enum):
    """A way through a NAT; its value is how it is written."""

    NONE = "none"
    ANY = "any"
    FIXED = "extip"
    UPNP = "upnp"
    NAT_PMP = "natpmp"
    PCP = "pcp"
    STUN = "stun"


_WORDS = {
    "": Mechanism.NONE,
    "none": Mechanism.NONE,
    "off": Mechanism.NONE,
    "any": Mechanism.ANY,
    "auto": Mechanism.ANY,
    "on": Mechanism.ANY,
    "extip": Mechanism.FIXED,
    "ip": Mechanism.FIXED,
    "upnp": Mechanism.UPNP,
    "pmp": Mechanism.NAT_PMP,
    "natpmp": Mechanism.NAT_PMP,
    "nat-pmp": Mechanism.NAT_PMP,
    "pcp": Mechanism.PCP,
    "stun": Mechanism.STUN,
}


@dataclass(frozen=True)
class NATSpecification:
    """
    @ivar mechanism: how to get through.
    @ivar ip: of L{Mechanism.FIXED} our outer address, of NAT-PMP and PCP the router's, if it was given.
    @ivar server: of STUN the host and port to ask; C{None} for any of the well-known ones.
    """

    mechanism: Mechanism
    ip: IPAddress | None = None
    server: tuple[str, int] | None = None

    @classmethod
    def parse(cls, text: str) -> NATSpecification:
        """
        Read C{any}, C{none}, C{extip:IP}, C{upnp}, C{natpmp}, C{natpmp:IP}, C{pcp}, C{pcp:IP}, C{stun},
        C{stun:HOST:PORT}, or another word for one of these; case does not matter.

        @raise InvalidNAT: it is none of these.
        """
        word, colon, rest = text.strip().partition(":")
        mechanism = _WORDS.get(word.lower())
        if mechanism is Mechanism.STUN:
            return cls(mechanism, server=_parse_server(rest) if rest else None)
        ip = _parse_ip(rest) if colon else None
        if mechanism is None:
            raise InvalidNAT(f'unknown mechanism "{word}": want any, none, extip:IP, upnp, natpmp, pcp or stun')
        if mechanism is Mechanism.FIXED and ip is None:
            raise InvalidNAT("missing IP address: want extip:IP")
        if mechanism is Mechanism.FIXED and locality(ip) <= 0:
            raise InvalidNAT(f"invalid IP address {rest!r}: nobody can reach it")
        if mechanism in (Mechanism.NAT_PMP, Mechanism.PCP) and ip is not None and ip.version != 4:
            raise InvalidNAT(f"invalid IP address {rest!r}: the router is asked over IPv4")
        return cls(mechanism, ip if mechanism in _TAKES_IP else None)

    def __str__(self) -> str:
        """The text that L{parse} reads this from."""
        if self.ip is not None:
            return f"{self.mechanism.value}:{self.ip}"
        if self.server is not None:
            host, port = self.server
            return f"{self.mechanism.value}:[{host}]:{port}" if ":" in host else f"{self.mechanism.value}:{host}:{port}"
        return self.mechanism.value


_TAKES_IP = (Mechanism.FIXED, Mechanism.NAT_PMP, Mechanism.PCP)


def _parse_ip(text: str) -> IPAddress:
    try:
        return parse_address(text)
    except InvalidAddress:
        raise InvalidNAT(f"invalid IP address {text!r}") from None


def _parse_server(text: str) -> tuple[str, int]:
    """C{host}, C{host:port}, C{[v6]} or C{[v6]:port}."""
    host, colon, port = text.rpartition(":")
    if text.endswith("]") or not colon:
        host, port = text, str(STUN_PORT)
    if host.startswith("[") and host.endswith("]"):
        host = str(_parse_ip(host[1:-1]))
    elif ":" in host:
        raise InvalidNAT(f"invalid STUN server {text!r}: an IPv6 address goes in brackets, as [2001:db8::1]:3478")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= 0xFFFF):
        raise InvalidNAT(f"invalid STUN server {text!r}: want host:port")
    return host, int(port)
