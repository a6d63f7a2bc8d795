"""
HTTP to a router, or whoever says to be one: no answer is larger than its bound, or takes longer, or leads elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar, cast

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectError, UserError
from twisted.internet.interfaces import IConsumer, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from devp2p_tx.errors import InvalidRouterAnswer, PortMappingError, RouterSilent

if TYPE_CHECKING:
    from treq.client import HTTPClient

#: How long a request may take in all (seconds).
TIMEOUT = 3.0
#: The most that an answer may have, with its headers (bytes).
MAX_ANSWER = 128 * 1024

T = TypeVar("T")


class RouterHTTP:
    """A client without memory: no cookies, no connection that is kept, no redirects."""

    def __init__(self, reactor: Any) -> None:
        """@param reactor: C{IReactorTCP} and C{IReactorTime}."""
        self._reactor = reactor

    async def get(self, url: str) -> bytes:
        """
        Fetch a document.

        @raise PortMappingError: there is none, or it is too large.
        """
        status, body = await self._bounded("GET", url, {}, None)
        if status != HTTPStatus.OK:
            raise InvalidRouterAnswer(f"status {status}")
        return body

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """
        Send a document; the answer, whatever its status: errors of UPnP come with 500.

        @raise PortMappingError: there is none, or it is too large.
        """
        return (await self._bounded("POST", url, headers, body))[1]

    async def _bounded(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        asking = Deferred.fromCoroutine(self._request(method, url, headers, body))
        asking.addTimeout(TIMEOUT, self._reactor, onTimeoutCancel=_late)
        try:
            return await _untilCancelled(asking)
        except (CancelledError, PortMappingError):
            raise
        except (ConnectError, UserError) as error:
            raise RouterSilent(f"cannot be reached: {error}") from None
        except Exception as error:  # whatever it is that a stranger broke
            raise InvalidRouterAnswer(f"bad HTTP: {type(error).__name__}") from None

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        connections: list[_Bounded] = []
        client = _makeClient(self._reactor, connections)
        try:
            response = await client.request(
                method,
                url,
                headers=cast(Any, headers),
                data=body,
                allow_redirects=False,
                unbuffered=True,
                reactor=self._reactor,
            )
            content = await response.content()
            if any(connection.isFull for connection in connections):  # the end of it may have looked like an end
                raise InvalidRouterAnswer(f"an answer of more than {MAX_ANSWER} bytes")
            return response.code, content
        finally:
            for connection in connections:
                connection.abortConnection()


def _untilCancelled(asking: Deferred[T]) -> Deferred[T]:
    """
    The same, but that cancelling it fails it as such: what HTTP makes of that looks like any other failure, and who
    took it for one would go on asking.
    """

    def cancel(waiting: Deferred[T]) -> None:
        waiting.errback(CancelledError())
        asking.cancel()

    def settled(result: T | Failure) -> None:
        if not waiting.called:
            waiting.callback(result)

    waiting: Deferred[T] = Deferred(cancel)
    asking.addBoth(settled)
    return waiting


def _late(result: object, seconds: float) -> Failure:
    return Failure(RouterSilent(f"no answer within {seconds:g} s"))


def _makeClient(reactor: Any, connections: list[_Bounded]) -> HTTPClient:
    """
    Imports late: it takes a quarter of a second, and takes over C{LISTEN_FDS}.

    @param connections: is given the connections that are made.
    """
    from treq.client import HTTPClient
    from twisted.internet.endpoints import TCP4ClientEndpoint
    from twisted.web.client import URI, Agent
    from twisted.web.iweb import IAgent, IAgentEndpointFactory

    @implementer(IAgentEndpointFactory)
    class Endpoints:
        def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
            plain = TCP4ClientEndpoint(reactor, uri.host.decode("ascii"), uri.port, timeout=TIMEOUT)
            return _BoundedEndpoint(plain, connections)

    @implementer(IAgent)
    class PlainAgent:
        """Wants no compression, and takes none: a small answer could become a huge one."""

        _agent: Any = Agent.usingEndpointFactory(reactor, Endpoints())

        def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:
            headers.removeHeader(b"accept-encoding")
            asking: Deferred[Any] = self._agent.request(method, uri, headers, bodyProducer)
            return asking.addCallback(self._plain)

        @staticmethod
        def _plain(response: Any) -> Any:
            if response.headers.hasHeader(b"content-encoding"):
                raise InvalidRouterAnswer("an answer that is compressed")
            return response

    return HTTPClient(PlainAgent(), data_to_body_producer=_Body)


@implementer(IBodyProducer)
class _Body:
    """What is sent, all at once; treq's own goes by the global reactor's time."""

    def __init__(self, body: bytes) -> None:
        self.length, self._body = len(body), body

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Nothing is left to send."""

    resumeProducing = stopProducing = pauseProducing


class _Bounded(ProtocolWrapper):
    """A connection that ends when it has brought too much."""

    transport: Any
    received = 0

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        if self.isFull:
            self.abortConnection()
        else:
            super().dataReceived(data)  # type: ignore[no-untyped-call]

    @property
    def isFull(self) -> bool:
        """Whether it brought more than it may."""
        return self.received > MAX_ANSWER

    def abortConnection(self) -> None:
        self.transport.abortConnection()


class _BoundedFactory(WrappingFactory):
    noisy = False
    protocol = _Bounded


@implementer(IStreamClientEndpoint)
class _BoundedEndpoint:
    def __init__(self, plain: IStreamClientEndpoint, connections: list[_Bounded]) -> None:
        self._plain, self._connections = plain, connections

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        quiet: Any = protocolFactory
        quiet.noisy = False
        factory: Any = _BoundedFactory(protocolFactory)  # type: ignore[no-untyped-call]
        connecting: Deferred[Any] = self._plain.connect(factory)
        return connecting.addCallback(self._connected)

    def _connected(self, connection: _Bounded) -> Any:
        self._connections.append(connection)
        return connection.wrappedProtocol
