"""
From a node to a connection with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol

from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import InvalidNode
from devp2p_tx.net.dialvia import CONNECT_TIMEOUT, Via


def clientEndpoint(reactor: Any, node: Node, via: Via | None = None) -> IStreamClientEndpoint:
    """
    An endpoint that reaches C{node}; its host name, if that is what is known, is looked up when it connects.

    @param via: a proxy to go through, which looks the name up in our place.
    @raise InvalidNode: the node has no address or no TCP port.
    """
    from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint

    if node.host is None or not node.tcp:
        raise InvalidNode(f"node {node.node_id.hex()[:16]} has no {'address' if node.host is None else 'TCP port'}")
    if via is not None:
        return via(reactor, node.host, node.tcp)
    if node.ip is None:
        return HostnameEndpoint(reactor, node.host, node.tcp, timeout=CONNECT_TIMEOUT)
    kind = TCP4ClientEndpoint if node.ip.version == 4 else TCP6ClientEndpoint
    return kind(reactor, node.host, node.tcp, timeout=CONNECT_TIMEOUT)


class _OneProtocol(Factory):
    """Makes a protocol for an address by a callable, which may refuse with C{None}."""

    noisy = False

    def __init__(self, build: Callable[[IAddress], Protocol | None]) -> None:
        self._build = build

    def buildProtocol(self, addr: Any) -> Protocol | None:
        return self._build(addr)


def connect(
    reactor: Any, node: Node, build: Callable[[IAddress], Protocol | None], via: Via | None = None
) -> Deferred[Any]:
    """
    Connect to C{node}.

    @param build: makes the protocol for the address that was reached; C{None} closes the connection.
    @param via: a proxy to go through; then C{build} is told the node's address, or its host name.
    @return: fires with the protocol; fails with what Twisted's endpoints fail with, L{InvalidNode}, or
        L{devp2p_tx.errors.ProxyError}. Cancelling it gives the connection up.
    """
    return clientEndpoint(reactor, node, via).connect(_OneProtocol(build))
