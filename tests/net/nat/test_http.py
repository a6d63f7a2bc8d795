"""
Tests for L{devp2p_tx.net.nat.http}: no answer is larger than its bound, or takes longer, or leads elsewhere.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol

from devp2p_tx.core.nat.http import Answer
from devp2p_tx.errors import InvalidRouterAnswer, RouterSilent
from devp2p_tx.net.nat.http import MAX_ANSWER, TIMEOUT, RouterHTTP
from tests.net.nat.support import NATTestCase

URL = "http://192.168.1.1:5000/x?y"
OK = b"HTTP/1.1 200 OK\r\n"


class _Raw(Protocol):
    """Says what it is told, whatever it is asked."""

    def __init__(self, says: Callable[[Any], None], heard: list[bytes]) -> None:
        self._says, self._heard = says, heard

    def dataReceived(self, data: bytes) -> None:
        self._heard.append(data)
        if len(self._heard) == 1:
            self._says(self.transport)


class RouterHTTPTests(NATTestCase):
    """L{RouterHTTP}."""

    def setUp(self) -> None:
        super().setUp()
        self.http = RouterHTTP(self.ours)
        self.heard: list[bytes] = []

    def serve(self, says: Callable[[Any], None] | bytes) -> None:
        """Listen, and answer."""
        if isinstance(says, bytes):
            answer = says
            says = lambda transport: transport.write(answer)  # noqa: E731
        factory: Any = Factory.forProtocol(lambda: _Raw(says, self.heard))
        self.router.listenTCP(5000, factory)

    def get(self) -> Deferred[bytes]:
        """Fetch it."""
        return Deferred.fromCoroutine(self.http.get(URL))

    def test_get(self) -> None:
        """A document; the request asks for it as it is."""
        self.serve(OK + b"Content-Length: 3\r\n\r\nabc")
        self.assertEqual(self.result(self.get()), b"abc")
        head = self.heard[0].split(b"\r\n")
        self.assertEqual(head[0], b"GET /x?y HTTP/1.1")
        self.assertIn(b"host: 192.168.1.1:5000", [line.lower() for line in head])
        self.assertIn(b"connection: close", [line.lower() for line in head])
        self.assertFalse([line for line in head if line.lower().startswith((b"accept-encoding", b"cookie"))])

    def test_chunks(self) -> None:
        """In pieces, and to the end of the connection."""
        self.serve(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        self.assertEqual(self.result(self.get()), b"abcde")

    def test_to_the_end(self) -> None:
        """Without a length, up to the end."""

        def says(transport: Any) -> None:
            transport.write(b"HTTP/1.0 200 OK\r\n\r\nabc")
            transport.loseConnection()

        self.serve(says)
        self.assertEqual(self.result(self.get()), b"abc")

    def test_post(self) -> None:
        """A document is sent, with headers; an answer with an error is one."""
        self.serve(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\n\r\nfault")
        asked = self.http.post(URL, {"SOAPAction": '"a#b"', "Content-Type": "text/xml"}, b"<x/>")
        self.assertEqual(self.result(asked), Answer(500, False, b"fault"))
        head, _, body = b"".join(self.heard).partition(b"\r\n\r\n")
        self.assertEqual(body, b"<x/>")
        self.assertEqual(
            head.split(b"\r\n"),
            [
                b"POST /x?y HTTP/1.1",
                b"Host: 192.168.1.1:5000",
                b'SOAPAction: "a#b"',
                b"Content-Type: text/xml",
                b"Content-Length: 4",
                b"Connection: close",
            ],
        )
        self.assertEqual(len(self.heard), 1, "in one piece")

    def test_no_success(self) -> None:
        """A document that is not there, or elsewhere, is none."""
        for status in (b"404 Not Found", b"302 Found\r\nLocation: http://10.0.0.1/", b"401 Unauthorized"):
            with self.subTest(status=status):
                self.setUpAgain()
                self.serve(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
                self.assertIn("status", str(self.failure(self.get(), InvalidRouterAnswer)))

    def setUpAgain(self) -> None:
        """Another network; of what was in the one before nothing is left."""
        self.nothingIsLeft()
        self.setUp()

    def test_too_large(self) -> None:
        """A body, or headers, without end: it is ended at its bound, and not read any further."""
        for head in (
            b"Content-Length: 1000000000\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n3b9aca00\r\n",
            b"\r\n",
            b"X: ",
        ):
            with self.subTest(head=head):
                self.setUpAgain()
                sent: list[int] = []

                def flood(transport: Any, head: bytes = head, sent: list[int] = sent) -> None:
                    piece = (b"X: " + b"x" * 1020 + b"\r\n") if head == b"X: " else b"x" * 1024
                    transport.write(OK + head)
                    for _ in range(4 * MAX_ANSWER // 1024):
                        transport.write(piece)
                        sent.append(len(piece))

                self.serve(flood)
                self.failure(self.get(), InvalidRouterAnswer)
                self.assertGreater(sum(sent), MAX_ANSWER)

    def test_at_the_bound(self) -> None:
        """An answer of the largest size."""
        head = OK + b"Content-Length: %d\r\n\r\n"
        size = MAX_ANSWER - len(head % MAX_ANSWER)
        self.serve(head % size + bytes(size))
        self.assertEqual(len(self.result(self.get())), size)

    def test_compressed(self) -> None:
        """A small answer that would be a huge one."""
        bomb = gzip.compress(bytes(10_000_000))
        self.serve(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
        self.assertIn("compressed", str(self.failure(self.get(), InvalidRouterAnswer)))

    def test_too_slow(self) -> None:
        """Nothing, the beginning of an answer, or a byte now and then: in all it takes no longer than it may."""
        for says in (lambda transport: None, lambda transport: transport.write(OK), self.drip):
            with self.subTest(says=says):
                self.setUpAgain()
                self.serve(says)
                asked = self.get()
                self.network.advance(TIMEOUT - 0.1)
                self.assertNoResult(asked)
                self.network.advance(0.2)
                self.assertEqual(str(self.failureResultOf(asked, RouterSilent).value), "no answer within 3 s")

    def drip(self, transport: Any) -> None:
        """A byte now and then."""
        transport.write(OK + b"Content-Length: 1000\r\n\r\n")
        for each in range(100):
            self.router.callLater(each / 10, transport.write, b"x")

    def test_no_http(self) -> None:
        """What is no HTTP, and an end before the end."""
        for answer in (b"SSH-2.0-OpenSSH\r\n\r\n", OK + b"Content-Length: 3\r\n", b"\0" * 100 + b"\r\n", b""):
            with self.subTest(answer=answer):
                self.setUpAgain()
                self.serve(lambda transport, answer=answer: (transport.write(answer), transport.loseConnection()))
                self.failure(self.get(), InvalidRouterAnswer)

    def test_nobody_listens(self) -> None:
        """A connection that is refused."""
        self.assertIn("cannot be reached", str(self.failure(self.get(), RouterSilent)))

    def test_nobody_is_there(self) -> None:
        """One that is never answered."""
        asked = Deferred.fromCoroutine(self.http.get("http://192.168.1.99/"))
        self.network.advance(TIMEOUT + 0.1)
        self.failureResultOf(asked, RouterSilent)

    def test_cancelled(self) -> None:
        """Who does not want to know any more leaves nothing: on the way there, and in the middle."""
        self.serve(lambda transport: transport.write(OK))
        for wait in (0.0, 1.0):
            asked = self.get()
            self.network.advance(wait)
            asked.cancel()
            self.network.advance(0.1)
            self.failureResultOf(asked, CancelledError)
            self.nothingIsLeft()
