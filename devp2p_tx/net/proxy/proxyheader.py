"""
Listening behind a proxy that says in a header where each client is: C{haproxy:} before any other endpoint.

Twisted's own C{haproxy:} builds the protocol before the header has come, for the proxy's address, and takes what it
does not understand for an address: no listener could refuse anybody. So the header is read here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocol, IReactorTime, IStreamServerEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from devp2p_tx.core.proxy.proxyheader import Endpoint, ProxyHeaderReader
from devp2p_tx.net.log import Logger
from devp2p_tx.net.proxy.preamble import Preamble, PreambleFactory

#: How long a header may take (seconds).
HEADER_TIMEOUT = 5.0
#: How many connections may wait for their header. For one more the one gives way that has waited longest.
MAX_AWAITING = 256

_log = Logger()


def _address(endpoint: Endpoint | None) -> IAddress | None:
    if endpoint is None:
        return None
    ip, port = endpoint
    return (address.IPv4Address if ip.version == 4 else address.IPv6Address)("TCP", str(ip), port)


class ProxyHeaderFactory(PreambleFactory):
    """
    Builds another factory's protocols for the addresses that headers tell.

    A connection whose header tells none, such as a proxy's health check, is that of the proxy itself.

    @ivar awaiting: the connections whose header is not complete, the one that has waited longest first.
    """

    def __init__(self, wrapped: Any, clock: IReactorTime, refused: Callable[[], object]) -> None:
        """
        @param refused: is called for each connection that is closed for want of a header.
        """
        super().__init__(wrapped)
        self.awaiting: dict[Preamble, None] = {}
        self._clock = clock
        self._refused = refused

    def buildProtocol(self, addr: IAddress | None) -> Preamble | None:
        """See C{IProtocolFactory}; C{None} closes the connection."""
        if len(self.awaiting) >= MAX_AWAITING:
            oldest = next(iter(self.awaiting))
            del self.awaiting[oldest]
            oldest.abortConnection()
        reader = ProxyHeaderReader()

        def build(preamble: Preamble) -> IProtocol | None:
            assert reader.header is not None
            self.awaiting.pop(preamble, None)  # now, so that whoever is let in takes no place here
            preamble.peer, preamble.host = _address(reader.header.source), _address(reader.header.destination)
            protocol: IProtocol | None = self.wrapped.buildProtocol(preamble.getPeer())
            return protocol

        preamble = Preamble(reader, self._clock, HEADER_TIMEOUT, build)
        self.awaiting[preamble] = None
        preamble.whenOpened().addErrback(self._failed, addr).addBoth(lambda _: self.awaiting.pop(preamble, None))
        return preamble

    def _failed(self, failure: Failure, addr: IAddress | None) -> None:
        _log.debug("refused {address}: {why}", address=addr, why=failure.value)
        self._refused()

    def doStop(self) -> None:
        """See C{IProtocolFactory}; whose header has not come is not waited for."""
        super().doStop()
        for preamble in list(self.awaiting):
            preamble.abortConnection()


@implementer(IStreamServerEndpoint)
class ProxyHeaderEndpoint:
    """Another endpoint, behind a proxy that sends headers."""

    def __init__(self, reactor: Any, endpoint: IStreamServerEndpoint, refused: Callable[[], object]) -> None:
        """
        @param refused: see L{ProxyHeaderFactory}.
        """
        self._reactor = reactor
        self._endpoint = endpoint
        self._refused = refused

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """See C{IStreamServerEndpoint}."""
        listening: Deferred[IListeningPort] = self._endpoint.listen(
            ProxyHeaderFactory(protocolFactory, self._reactor, self._refused)
        )
        return listening
