"""
From a node to a connection with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from devp2p_tx.core.addresses import IPAddress
from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import InvalidNode

#: How long the TCP connection may take, for each address (seconds).
CONNECT_TIMEOUT = 15

Admits = Callable[[IPAddress], bool]


@implementer(IHostnameResolver, IHostResolution)
class _KnownAddresses:
    """Resolves any name to the addresses of one node, so that the next is tried while one does not answer."""

    name = "a node"

    def __init__(self, addresses: Sequence[tuple[IPAddress, int]]) -> None:
        self._addresses = [
            (IPv4Address if ip.version == 4 else IPv6Address)("TCP", str(ip), port) for ip, port in addresses
        ]

    def resolveHostName(self, resolutionReceiver: IResolutionReceiver, *name: Any, **more: Any) -> IHostResolution:
        """See C{IHostnameResolver}."""
        resolutionReceiver.resolutionBegan(self)
        for address in self._addresses:
            resolutionReceiver.addressResolved(address)
        resolutionReceiver.resolutionComplete()
        return self

    def cancel(self) -> None:
        """See C{IHostResolution}; it is over when it begins."""


@implementer(IReactorPluggableNameResolver)
class _KnowingReactor:
    """A reactor with another way to resolve names."""

    def __init__(self, reactor: Any, nameResolver: IHostnameResolver) -> None:
        self._reactor = reactor
        self.nameResolver = nameResolver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


def _everybody(ip: IPAddress) -> bool:
    return True


def clientEndpoint(reactor: Any, node: Node, admits: Admits = _everybody) -> IStreamClientEndpoint:
    """
    An endpoint that reaches C{node} at any of its addresses, which are tried one after the other, a third of a second
    apart; its host name, if that is what is known, is looked up when it connects.

    @param admits: which addresses may be tried; for those of a host name C{build} of L{connect} decides.
    @raise InvalidNode: the node has no address that may be tried, or no TCP port.
    """
    from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint

    if node.hostname is not None and node.tcp:
        return HostnameEndpoint(reactor, node.hostname, node.tcp, timeout=CONNECT_TIMEOUT)
    known = node.tcp_addresses()
    addresses = [each for each in known if admits(each[0])]
    if not addresses:
        lacking = "address" if node.ip is None else "TCP port" if not known else "address that is let in"
        raise InvalidNode(f"node {node.node_id.hex()[:16]} has no {lacking}")
    ip, port = addresses[0]
    if len(addresses) > 1:
        knowing = _KnowingReactor(reactor, _KnownAddresses(addresses))
        return HostnameEndpoint(knowing, str(ip), port, timeout=CONNECT_TIMEOUT)
    kind = TCP4ClientEndpoint if ip.version == 4 else TCP6ClientEndpoint
    return kind(reactor, str(ip), port, timeout=CONNECT_TIMEOUT)


class _OneProtocol(Factory):
    """Makes a protocol for an address by a callable, which may refuse with C{None}."""

    noisy = False

    def __init__(self, build: Callable[[IAddress], Protocol | None]) -> None:
        self._build = build

    def buildProtocol(self, addr: Any) -> Protocol | None:
        return self._build(addr)


def connect(
    reactor: Any, node: Node, build: Callable[[IAddress], Protocol | None], admits: Admits = _everybody
) -> Deferred[Any]:
    """
    Connect to C{node}.

    @param build: makes the protocol for the address that was reached; C{None} closes the connection.
    @param admits: see L{clientEndpoint}.
    @return: fires with the protocol; fails with what Twisted's endpoints fail with, or L{InvalidNode}. Cancelling it
        gives the connection up.
    """
    return clientEndpoint(reactor, node, admits).connect(_OneProtocol(build))
