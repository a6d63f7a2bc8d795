"""
One socket for each address family.

A socket on C{::} would also take what comes over IPv4, where the system is so set up: it would be in the way of the one
for IPv4, and a broken family would take the other one along. So here IPv6 sockets are for IPv6 alone, wherever they are
asked for: L{separateFamilies} gives a reactor that sees to that.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.abstract import isIPv6Address
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorSocket
from zope.interface import directlyProvides, providedBy

#: What a socket is bound to that takes what comes to any address of its family.
ANYWHERE = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - that is what a node is for


def familyName(version: int) -> str:
    """C{IPv4} or C{IPv6}."""
    return f"IPv{version}"


def separateFamilies(reactor: Any) -> Any:
    """
    The reactor, but for C{listenTCP} and C{listenUDP}, whose ports on an IPv6 address are for IPv6 alone.

    Reactors that adopt no sockets are given back as they are; on their systems it is so by default.
    """
    return _SeparatingReactor(reactor) if IReactorSocket.providedBy(reactor) else reactor


class _SeparatingReactor:
    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> IListeningPort:
        """See C{IReactorTCP}."""
        if not isIPv6Address(interface):
            listening: IListeningPort = self._reactor.listenTCP(port, factory, backlog, interface)
            return listening
        with _bound(socket.SOCK_STREAM, port, interface) as bound:
            _listen(bound, port, interface, backlog)
            adopted: IListeningPort = self._reactor.adoptStreamPort(bound.fileno(), socket.AF_INET6, factory)
        return adopted

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> IListeningPort:
        """See C{IReactorUDP}."""
        if not isIPv6Address(interface):
            listening: IListeningPort = self._reactor.listenUDP(port, protocol, interface, maxPacketSize)
            return listening
        with _bound(socket.SOCK_DGRAM, port, interface) as bound:
            adopted: IListeningPort = self._reactor.adoptDatagramPort(
                bound.fileno(), socket.AF_INET6, protocol, maxPacketSize
            )
        return adopted


def _bound(kind: int, port: int, interface: str) -> socket.socket:
    """
    A socket for IPv6 alone.

    @raise CannotListenError: the port is taken, or the address not ours.
    """
    opened = None
    try:
        opened = socket.socket(socket.AF_INET6, kind)
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        [(*_, (host, _, *scope)), *_] = socket.getaddrinfo(
            interface, None, socket.AF_INET6, kind, flags=socket.AI_NUMERICHOST
        )
        opened.bind((host, port, *scope))
    except (OSError, OverflowError) as error:
        if opened is not None:
            opened.close()
        raise CannotListenError(interface, port, error) from None
    return opened


def _listen(bound: socket.socket, port: int, interface: str, backlog: int) -> None:
    try:
        bound.listen(backlog)
    except OSError as error:  # another listens there, whose socket may be bound beside ours
        raise CannotListenError(interface, port, error) from None
