"""
Tests for L{devp2p_tx.core.nat.http}: answers of small routers.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.nat.http import MAX_HEAD, MAX_INFORMATIONAL, Answer, AnswerReader, request
from devp2p_tx.errors import InvalidRouterAnswer

OK = b"HTTP/1.1 200 OK\r\n"


class RequestTests(SynchronousTestCase):
    """L{request}."""

    def test_post(self) -> None:
        """Names letter by letter."""
        headers = {"SOAPAction": '"a#b"', "Content-Type": "text/xml"}
        self.assertEqual(
            request("POST", "/ctl?x", "192.168.1.1:5000", headers, b"<x/>"),
            b'POST /ctl?x HTTP/1.1\r\nHost: 192.168.1.1:5000\r\nSOAPAction: "a#b"\r\nContent-Type: text/xml\r\n'
            b"Content-Length: 4\r\nConnection: close\r\n\r\n<x/>",
        )

    def test_get(self) -> None:
        """Without a body."""
        self.assertEqual(request("GET", "/", "x", {}, None), b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


class ReaderTests(SynchronousTestCase):
    """L{AnswerReader}."""

    def whole(self, data: bytes) -> Answer | None:
        """The answer, in one piece and in single bytes; C{None} if it does not say that it is whole."""
        at_once = AnswerReader().feed(data)
        reader, answer = AnswerReader(), None
        for number in range(len(data)):
            answer = reader.feed(data[number : number + 1])
            if answer is not None:
                break
        if answer is not None and at_once is not None:
            self.assertEqual(answer.status, at_once.status)
        self.assertEqual(answer is None, at_once is None)
        return at_once

    def ended(self, data: bytes) -> Answer:
        """The answer, when the connection ends."""
        reader, bytewise = AnswerReader(), AnswerReader()
        self.assertIsNone(reader.feed(data))
        for number in range(len(data)):
            bytewise.feed(data[number : number + 1])
        self.assertEqual(reader.finish(), bytewise.finish())
        return reader.finish()

    def test_length(self) -> None:
        """As long as it says; what comes with it belongs to it."""
        self.assertEqual(self.whole(OK + b"Content-Length: 3\r\n\r\nabc"), Answer(200, False, b"abc"))
        self.assertEqual(self.whole(OK + b"content-length:3\r\n\r\nabcde"), Answer(200, False, b"abcde"))
        self.assertEqual(self.whole(OK + b"CONTENT-LENGTH : 0\r\n\r\n"), Answer(200, False, b""))
        self.assertIsNone(self.whole(OK + b"Content-Length: 4\r\n\r\nabc"))
        self.assertEqual(self.ended(OK + b"Content-Length: 4\r\n\r\nabc").body, b"abc")

    def test_odd_lengths(self) -> None:
        """None, nonsense, or two that differ: up to the end of the connection."""
        for field in (
            b"",
            b"Content-Length:\r\n",
            b"Content-Length: x\r\n",
            b"Content-Length: -1\r\n",
            b"Content-Length: 3, 3\r\n",
            b"Content-Length: 1\r\nContent-Length: 2\r\n",
            b"Content-Length: 99999999999999999999\r\n",
        ):
            self.assertEqual(self.ended(OK + field + b"\r\nabc"), Answer(200, False, b"abc"))
        twice = b"Content-Length: 3\r\nContent-Length: 3\r\n"
        self.assertEqual(self.whole(OK + twice + b"\r\nabc"), Answer(200, False, b"abc"))

    def test_document_end(self) -> None:
        """Without a length, or with one that is too long, a document of UPnP ends where it ends."""
        for field in (b"", b"Content-Length: x\r\n", b"Content-Length: 999\r\n"):
            for body in (b"<root><a/></root>", b"<s:Envelope></s:Envelope>\r\n", b"<ENVELOPE></ENVELOPE >\0\0"):
                answer = AnswerReader().feed(OK + field + b"\r\n" + body)
                self.assertEqual(answer, Answer(200, False, body))
            for body in (b"<root><a></a>", b"<root></roots>", b"<root></root> more"):
                self.assertIsNone(AnswerReader().feed(OK + field + b"\r\n" + body))

    def test_chunks(self) -> None:
        """In pieces, with extensions and trailers, in any letters, with a length that does not count."""
        for field in (b"Transfer-Encoding: chunked\r\n", b"transfer-encoding: Chunked\r\nContent-Length: 1\r\n"):
            for body in (
                b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                b"3;x=y\r\nabc\r\n002\r\nde\r\n0\r\nX: y\r\n\r\n",
                b"3\nabc\n2\nde\n0\n\n",
                b" 3 \r\nabc\r\n\r\n2\r\nde0\r\n",
            ):
                self.assertEqual(self.whole(OK + field + b"\r\n" + body), Answer(200, False, b"abcde"), body)

    def test_bad_chunks(self) -> None:
        """Cut off: what is there. None at all: the body as it is."""
        head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
        self.assertEqual(self.ended(head + b"3\r\nabc\r\n5\r\nde").body, b"abcde")
        self.assertEqual(self.ended(head + b"3\r\nabc\r\nzzz\r\nde\r\n0\r\n\r\n").body, b"abc")
        self.assertEqual(self.ended(head + b"<a>1</a>").body, b"<a>1</a>")
        self.assertEqual(self.ended(head + b"nonsense").body, b"")

    def test_status_lines(self) -> None:
        """Of other versions, without a reason, with other ends of lines, behind empty ones, and after a 100."""
        for head, status in (
            (b"HTTP/1.0 200 OK\r\n\r\n", 200),
            (b"HTTP/1.1 500\r\n\r\n", 500),
            (b"http/1.1  404  Not Found\n\n", 404),
            (b"HTTP/1.1 200 OK\r\nX: y\n\r\n", 200),
            (b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200),
            (b"ICY 200 OK\r\n\r\n", 200),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200),
            (OK + b"no field\r\n: \r\n folded\r\nX\r\n\r\n", 200),
        ):
            self.assertEqual(self.ended(head + b"abc"), Answer(status, False, b"abc"), head)

    def test_no_body(self) -> None:
        """Statuses that have none."""
        for status in (204, 304):
            self.assertEqual(self.whole(b"HTTP/1.1 %d x\r\n\r\n" % status), Answer(status, False, b""))

    def test_compressed(self) -> None:
        """It is said."""
        for value, compressed in ((b"gzip", True), (b"x", True), (b"identity", False), (b"", False)):
            answer = self.whole(OK + b"Content-Length: 1\r\nContent-Encoding: " + value + b"\r\n\r\nx")
            assert answer is not None
            self.assertEqual(answer.is_compressed, compressed)

    def test_no_http(self) -> None:
        """What is something else is refused as soon as it is seen."""
        for data in (
            b"SSH-2.0-OpenSSH\r\n",
            b"\0" * 65,
            b"<html>\n",
            b"HTTP/1.1 2000 OK\r\n",
            b"HTTP/1.1 OK\r\n",
            b"x" * 65,
        ):
            self.assertRaises(InvalidRouterAnswer, AnswerReader().feed, data)
        for data in (b"", b"HTTP/1.1", OK, OK + b"X: y\r\n"):
            reader = AnswerReader()
            self.assertIsNone(reader.feed(data))
            self.assertRaises(InvalidRouterAnswer, reader.finish)

    def test_bounds(self) -> None:
        """A head has a bound, and so have informational answers."""
        reader = AnswerReader()
        self.assertIsNone(reader.feed((OK + b"X: " + b"x" * MAX_HEAD)[: MAX_HEAD - 1]))
        self.assertRaises(InvalidRouterAnswer, reader.feed, b"x")
        early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
        self.assertIsNone(AnswerReader().feed(early * (MAX_INFORMATIONAL - 1)))
        self.assertRaises(InvalidRouterAnswer, AnswerReader().feed, early * MAX_INFORMATIONAL)

    @given(
        st.binary(max_size=200)
        | st.binary(max_size=100).map(lambda rest: OK + b"Transfer-Encoding: chunked\r\n\r\n" + rest)
    )
    def test_nonsense(self, data: bytes) -> None:
        """Whatever comes is an answer, or refused in words."""
        reader = AnswerReader()
        try:
            answer = reader.feed(data) or reader.finish()
        except InvalidRouterAnswer:
            return
        self.assertLessEqual(len(answer.body), len(data))
