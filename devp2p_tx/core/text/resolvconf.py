"""
C{/etc/resolv.conf} (C{resolv.conf(5)}): which name servers this system asks.

Read as glibc reads it, but for three things: an entry that cannot be read costs only itself, a server that stands there
twice is asked once, and more than three are asked, up to L{MAX_SERVERS}. Names are asked for as they are, so C{search},
C{domain} and C{ndots} do not count here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

#: Name servers that are asked; further ones are left out.
MAX_SERVERS = 8
#: The server that glibc asks where none is named: that of this host.
DEFAULT_SERVER = "127.0.0.1"
#: How long a server may take, and how often all of them are asked, if the file does not say; and at most.
DEFAULT_TIMEOUT, MAX_TIMEOUT = 5, 30
DEFAULT_ATTEMPTS, MAX_ATTEMPTS = 2, 5

_NUMBER = re.compile(r"(timeout|attempts):([0-9]{1,4})")


class ResolverConfiguration(NamedTuple):
    """
    What the file says.

    @ivar servers: their addresses, in order, as sockets take them: IPv6 may have a zone, as C{fe80::1%eth0}.
    @ivar timeout: how long a server may take (seconds, 1 to L{MAX_TIMEOUT}).
    @ivar attempts: how often all of them are asked (1 to L{MAX_ATTEMPTS}).
    @ivar uses_tcp: whether they are asked over TCP alone (C{options use-vc}).
    @ivar ignored: what was left out, and why, a sentence each, which begins with the number of the line.
    """

    servers: tuple[str, ...] = (DEFAULT_SERVER,)
    timeout: int = DEFAULT_TIMEOUT
    attempts: int = DEFAULT_ATTEMPTS
    uses_tcp: bool = False
    ignored: tuple[str, ...] = ()


def parse(text: str) -> ResolverConfiguration:
    """Read the text of the file; what cannot be read is left out."""
    servers: dict[str, None] = {}
    ignored: list[str] = []
    options: list[str] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        keyword, *values = line.split() or [""]
        if keyword == "options":
            options += values
        elif keyword == "nameserver":
            _add(servers, values, ignored, number)
    numbers = _numbers(options)
    return ResolverConfiguration(
        tuple(servers) or (DEFAULT_SERVER,),
        _bounded(numbers.get("timeout", DEFAULT_TIMEOUT), MAX_TIMEOUT),
        _bounded(numbers.get("attempts", DEFAULT_ATTEMPTS), MAX_ATTEMPTS),
        "use-vc" in options,
        tuple(ignored),
    )


def _add(servers: dict[str, None], values: list[str], ignored: list[str], number: int) -> None:
    value = values[0] if values else ""
    try:
        server = _address(value)
    except ValueError:
        ignored.append(f"{number}: nameserver {value[:80]!r} is not an IP address")
        return
    if server not in servers and len(servers) >= MAX_SERVERS:
        ignored.append(f"{number}: nameserver {server} is one of more than {MAX_SERVERS}")
    else:
        servers[server] = None


def _address(text: str) -> str:
    """
    The address in its usual form, so that two ways to write it are the same.

    @raise ValueError: it is none.
    """
    ip = ip_address(text)
    return str(ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else str(ip)


def _numbers(options: Iterable[str]) -> dict[str, int]:
    return {found[1]: int(found[2]) for each in options if (found := _NUMBER.fullmatch(each))}


def _bounded(number: int, most: int) -> int:
    return min(max(number, 1), most)
