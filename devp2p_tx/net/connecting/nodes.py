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

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import InvalidNode
from devp2p_tx.net.connecting.dialvia import CONNECT_TIMEOUT, Via


@implementer(IHostnameResolver, IHostResolution)
class _KnownAddresses:
    """Resolves the name of a node to what we know of it: the next address is tried while one does not answer."""

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


def clientEndpoint(
    reactor: Any, node: Node, via: Via | None = None, addresses: Sequence[tuple[IPAddress, int]] = ()
) -> IStreamClientEndpoint:
    """
    An endpoint that reaches C{node}.

    @param via: a proxy to go through, which looks the name up in our place.
    @param addresses: addresses and ports to try, such as those that its host name means: in this order, each a third of
        a second after the one before, and the first one reached is taken (RFC 8305, "happy eyeballs"). Without them all
        are tried that the node says it has, or its host name is looked up when the endpoint connects.
    @raise InvalidNode: the node has no address or no TCP port.
    """
    known = addresses or node.tcp_addresses()
    if node.host is None or not (known or node.tcp):
        raise InvalidNode(f"node {node.node_id.hex()[:16]} has no {'address' if node.host is None else 'TCP port'}")
    if via is not None and node.tcp:
        return via(reactor, node.host, node.tcp)
    from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint

    if not known:
        return HostnameEndpoint(reactor, node.host, node.tcp, timeout=CONNECT_TIMEOUT)
    ip, port = known[0]
    if via is not None:
        return via(reactor, str(ip), port)
    if len(known) > 1:
        knowing = _KnowingReactor(reactor, _KnownAddresses(known))
        return HostnameEndpoint(knowing, node.host, port, timeout=CONNECT_TIMEOUT)
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
    reactor: Any,
    node: Node,
    build: Callable[[IAddress], Protocol | None],
    via: Via | None = None,
    addresses: Sequence[tuple[IPAddress, int]] = (),
) -> Deferred[Any]:
    """
    Connect to C{node}.

    @param build: makes the protocol for the address that was reached; C{None} closes the connection.
    @param via: a proxy to go through; then C{build} is told the node's address, or its host name.
    @param addresses: see L{clientEndpoint}.
    @return: fires with the protocol; fails with what Twisted's endpoints fail with, L{InvalidNode}, or
        L{devp2p_tx.errors.ProxyError}. Cancelling it gives the connection up.
    """
    return clientEndpoint(reactor, node, via, addresses).connect(_OneProtocol(build))
