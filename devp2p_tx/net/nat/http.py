"""
HTTP to a router, or whoever says to be one: no answer is larger than its bound, or takes longer, or leads elsewhere.

L{devp2p_tx.core.nat.http} writes and reads. The client of twisted.web does not do here: it spells C{SOAPAction} in a
way that small routers do not know, and refuses answers that are not as they should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectError
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from devp2p_tx.core.nat.http import Answer, AnswerReader, request
from devp2p_tx.errors import InvalidRouterAnswer, PortMappingError, RouterSilent

#: How long a request may take in all (seconds).
TIMEOUT = 3.0
#: The most that an answer may have, with its headers (bytes).
MAX_ANSWER = 128 * 1024


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
        answer = await self._ask("GET", url, {}, None)
        if answer.status != HTTPStatus.OK:
            raise InvalidRouterAnswer(f"status {answer.status}")
        return answer.body

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """
        Send a document; the answer, whatever its status: errors of UPnP come with 500.

        @param headers: sent with their names as they are.
        @raise PortMappingError: there is none, or it is too large.
        """
        return await self._ask("POST", url, headers, body)

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """
        @param url: plain HTTP, to an IPv4 address (see L{devp2p_tx.core.nat.ssdp.is_inside}).
        """
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        asking = _Asking(request(method, target, parts.netloc, headers, body))
        connector = self._reactor.connectTCP(parts.hostname, parts.port or 80, asking.factory(), timeout=TIMEOUT)
        try:
            answer = await asking.answer.addTimeout(TIMEOUT, self._reactor)
        except TimeoutError:
            answer = asking.late()
        finally:
            connector.disconnect()
            asking.abort()
        if answer.is_compressed:  # a small answer could become a huge one
            raise InvalidRouterAnswer("an answer that is compressed")
        return answer


class _Asking(Protocol):
    """
    One request, on one connection.

    @ivar answer: fires with the answer.
    """

    transport: Any

    def __init__(self, data: bytes) -> None:
        self.answer: Deferred[Answer] = Deferred()
        self._request = data
        self._reader = AnswerReader()
        self._received = 0

    def factory(self) -> Any:
        """What makes this one protocol."""
        factory: Any = ClientFactory.forProtocol(lambda: self)
        factory.noisy = False
        factory.clientConnectionFailed = lambda _, reason: self._failed(reason)
        return factory

    def connectionMade(self) -> None:
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if self.answer.called:
            return
        self._received += len(data)
        if self._received > MAX_ANSWER:
            self.answer.errback(InvalidRouterAnswer(f"an answer of more than {MAX_ANSWER} bytes"))
            self.abort()
            return
        try:
            answer = self._reader.feed(data)
        except PortMappingError as error:
            self.answer.errback(error)
        else:
            if answer is not None:
                self.answer.callback(answer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.answer.called:
            try:
                self.answer.callback(self._reader.finish())
            except PortMappingError as error:
                self.answer.errback(error)

    def _failed(self, reason: Failure) -> None:
        if not self.answer.called:
            why = reason.value if reason.check(ConnectError) else reason.getErrorMessage()
            self.answer.errback(RouterSilent(f"cannot be reached: {why}"))

    def late(self) -> Answer:
        """
        Time is up: a document that may be whole is the answer, whatever was said of its length.

        @raise RouterSilent: there is none.
        """
        try:
            answer = self._reader.finish()
        except InvalidRouterAnswer:
            answer = None
        if answer is None or not answer.body.rstrip(b"\0 \t\r\n").endswith(b">"):
            raise RouterSilent(f"no answer within {TIMEOUT:g} s") from None
        return answer

    def abort(self) -> None:
        """End the connection."""
        if self.transport is not None:
            self.transport.abortConnection()
