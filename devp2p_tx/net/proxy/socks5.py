"""
Connecting through a SOCKS5 proxy, which is told a host name as it is.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed, DNSLookupError, NoProtocol
from twisted.internet.interfaces import IAddress, IProtocol, IStreamClientEndpoint
from zope.interface import implementer

from devp2p_tx.core.addressing.addresses import parse_address
from devp2p_tx.core.proxy.socks5 import Socks5Client
from devp2p_tx.errors import InvalidAddress, ProxyError, Timeout
from devp2p_tx.net.names.hostnames import NamedAddress
from devp2p_tx.net.proxy.preamble import Preamble, PreambleFactory

#: How long the proxy may take to connect (seconds): some, such as Tor, have a long way to go.
PROXY_TIMEOUT = 60.0


def _target(host: str, port: int) -> IAddress:
    try:
        ip = parse_address(host)
    except InvalidAddress:
        return NamedAddress(host, port)
    return (address.IPv4Address if ip.version == 4 else address.IPv6Address)("TCP", str(ip), port)


@implementer(IStreamClientEndpoint)
class Socks5Endpoint:
    """Where a proxy connects to for us. The protocol's C{getPeer} is that place, not the proxy."""

    def __init__(
        self, reactor: Any, proxy: IStreamClientEndpoint, host: str, port: int, username: str = "", password: str = ""
    ) -> None:
        """
        @param proxy: reaches the proxy.
        @param host: an address, or a name that the proxy resolves.
        @param username: empty to offer no authentication.
        """
        self._reactor = reactor
        self._proxy = proxy
        self._target = host, port
        self._credentials = username, password

    def connect(self, protocolFactory: Any) -> Deferred[IProtocol]:
        """
        See C{IStreamClientEndpoint}.

        @return: fails with L{ProxyError} if the proxy cannot be reached or refuses. Cancelling it closes the
            connection.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, protocolFactory: Any) -> IProtocol:
        client = Socks5Client(*self._target, *self._credentials)
        peer = _target(*self._target)

        def build(preamble: Preamble) -> IProtocol | None:
            preamble.peer = peer
            protocol: IProtocol | None = protocolFactory.buildProtocol(peer)
            return protocol

        preamble = Preamble(client, self._reactor, PROXY_TIMEOUT, build)
        try:
            await self._proxy.connect(_One(protocolFactory, preamble))
        except ConnectingCancelledError:
            raise
        except (ConnectError, DNSLookupError, OSError) as error:
            raise ProxyError(f"the proxy cannot be reached: {error}") from None
        try:
            protocol = await preamble.whenOpened()
        except CancelledError:
            preamble.abortConnection()
            raise ConnectingCancelledError(peer) from None
        except Timeout:
            raise ProxyError(f"the proxy took longer than {PROXY_TIMEOUT:.0f} s") from None
        except ConnectionClosed:
            raise ProxyError("the proxy closed the connection") from None
        if protocol is None:
            raise NoProtocol()
        return protocol


class _One(PreambleFactory):
    """Makes the one connection."""

    def __init__(self, wrapped: Any, preamble: Preamble) -> None:
        super().__init__(wrapped)
        self._preamble = preamble

    def buildProtocol(self, addr: IAddress | None) -> Preamble:
        """See C{IProtocolFactory}."""
        return self._preamble
