"""
The sockets that systemd hands over (C{sd_listen_fds(3)}), as C{--listen systemd:...} names them.

Twisted knows such endpoints, but takes names for unique, though all sockets of a unit have the name of the unit; and
it takes no socket at all if one has no name, as older supervisors leave them. So what is handed over is looked at when
this module is imported, before C{twisted.internet.endpoints} removes it from the environment.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from twisted.internet.interfaces import IStreamServerEndpoint

#: The number of the first one, and how many are looked at.
FIRST, MAX_SOCKETS = 3, 1024
#: The name of one that has none.
UNNAMED = "unknown"

_DESCRIPTION = re.compile(r"systemd:domain=(INET6?|UNIX):(index|name)=([^:=]+)")


class InheritedSocket(NamedTuple):
    """
    @ivar descriptor: its number.
    @ivar name: its C{FileDescriptorName}, which others may have, too.
    """

    descriptor: int
    name: str


def inheritedSockets(environment: Mapping[str, str], pid: int) -> list[InheritedSocket]:
    """
    Return the sockets that were handed over to this process.

    @param environment: with C{LISTEN_PID}, C{LISTEN_FDS} and C{LISTEN_FDNAMES}; names that are missing are L{UNNAMED},
        those beyond the last socket are left out.
    """
    count = environment.get("LISTEN_FDS", "").strip()
    if environment.get("LISTEN_PID", "").strip() != str(pid) or not (count.isascii() and count.isdigit()):
        return []
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    return [
        InheritedSocket(FIRST + index, (names[index] if index < len(names) else "") or UNNAMED)
        for index in range(min(int(count[:9]), MAX_SOCKETS))
    ]


_INHERITED = inheritedSockets(os.environ, os.getpid())


def inheritedEndpoint(
    reactor: Any, description: str, inherited: Sequence[InheritedSocket] | None = None
) -> IStreamServerEndpoint | None:
    """
    Return an endpoint of a socket that was handed over; C{None} if C{description} is of another kind, or nothing was.

    By a name the first socket counts that is for streams and of the domain: all sockets of a unit have the same name.

    @param inherited: what was handed over; by default to this process.
    @raise ValueError: there is no such socket.
    """
    there = _INHERITED if inherited is None else inherited
    found = _DESCRIPTION.fullmatch(description)
    if found is None or not there:
        return None
    family = socket.AddressFamily[f"AF_{found[1]}"]
    descriptor = _named(there, found[3], family) if found[2] == "name" else _numbered(there, found[3])
    from twisted.internet.endpoints import AdoptedStreamServerEndpoint

    endpoint: IStreamServerEndpoint = AdoptedStreamServerEndpoint(reactor, descriptor, family)
    return endpoint


def _numbered(there: Sequence[InheritedSocket], index: str) -> int:
    if not (index.isascii() and index.isdigit() and int(index[:9]) < len(there)):
        raise ValueError(f"there is no socket {index}, but {len(there)}, numbered from 0")
    return there[int(index)].descriptor


def _named(there: Sequence[InheritedSocket], name: str, family: socket.AddressFamily) -> int:
    for each in there:
        if each.name == name and _isStream(each.descriptor, family):
            return each.descriptor
    names = ", ".join(dict.fromkeys(each.name for each in there))
    raise ValueError(
        f"there is no socket {name!r} for streams of {family.name.removeprefix('AF_')}; there are: {names}"
    )


def _isStream(descriptor: int, family: socket.AddressFamily) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as opened:
            return opened.family == family and opened.type == socket.SOCK_STREAM
    except OSError:  # closed, or no socket: not this one
        return False
