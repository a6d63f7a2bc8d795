"""
HTTP/1.1 as routers write it (RFC 9112): a request with the names of its headers as they are given, and an answer that
is read tolerantly.

Of the headers of an answer only its framing counts. A length that is none, or that is there twice, is passed by: then
the answer ends where a document of UPnP does, with the connection, or when its time is up. A body may be longer or
shorter than its length says; whoever reads it judges. So it is with a chunk whose size is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from devp2p_tx.errors import InvalidRouterAnswer

_STATUS = re.compile(rb"(?:HTTP|ICY)(?:/[0-9.]{1,8})?[ \t]+([1-9][0-9]{2})(?![0-9])", re.IGNORECASE)
_HEAD_END = re.compile(rb"\r?\n[ \t]*\r?\n")
_CHUNK = re.compile(rb"[\r\n]{0,4}[ \t]{0,8}([0-9a-fA-F]{1,8})[^\n]{0,256}\n")
#: The end of a description, or of a SOAP message; some routers keep the connection open after it, and say no length.
_DOCUMENT_END = re.compile(rb"</(?:[\w.-]{1,32}:)?(?:root|Envelope)\s{0,8}>[\0\s]*\Z", re.IGNORECASE)
#: Whoever gives more than so many informational answers (RFC 9110, 15.2) before the answer gives none.
MAX_INFORMATIONAL = 8
#: The most that the head of an answer may have (bytes).
MAX_HEAD = 16 * 1024


class Answer(NamedTuple):
    """
    @ivar status: the status code.
    @ivar is_compressed: whether the body has an encoding, which nobody asked for.
    """

    status: int
    is_compressed: bool
    body: bytes


def request(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """
    Make a request, in one piece: some routers read no more.

    @param target: the path, with its query.
    @param headers: sent with their names letter by letter, after C{Host}.
    """
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    lines += ["Connection: close", "", ""]
    return "\r\n".join(lines).encode("ascii") + (body or b"")


class AnswerReader:
    """One answer, as it comes. Whoever feeds it bounds how much, and how long."""

    def __init__(self) -> None:
        self._head: _Head | None = None
        self._data = bytearray()  # what is not read yet
        self._body = bytearray()
        self._left = 0  # of the chunk that is being read
        self._ended = False

    def feed(self, data: bytes) -> Answer | None:
        """
        Read more.

        @return: the answer, if it is whole by what it says itself.
        @raise InvalidRouterAnswer: it is no HTTP, or its head has more than L{MAX_HEAD} bytes.
        """
        self._data += data
        if self._head is None:
            self._head = self._read_head()
            if self._head is None:
                return None
        if self._head.chunked:
            self._read_chunks()
        else:
            self._body += self._data
            self._data.clear()
            self._ended = self._head.has_no_body or self._is_whole(self._head.length)
        return self._answer(self._head) if self._ended else None

    def _is_whole(self, length: int | None) -> bool:
        """Return whether the body is as long as it should be, or ends as a document does."""
        if length is not None and len(self._body) >= length:
            return True
        return _DOCUMENT_END.search(self._body, max(0, len(self._body) - 128)) is not None

    def finish(self) -> Answer:
        """
        No more comes: what is there is the answer.

        @raise InvalidRouterAnswer: it is none.
        """
        if self._head is None:
            raise InvalidRouterAnswer("an answer that is no HTTP, or not whole")
        if not self._body and self._data.lstrip()[:1] == b"<":  # it said that it comes in chunks, and does not
            self._body = self._data
        return self._answer(self._head)

    def _answer(self, head: _Head) -> Answer:
        return Answer(head.status, head.is_compressed, bytes(self._body))

    def _read_head(self) -> _Head | None:
        """The head of the answer; C{None} if it is not whole yet."""
        for _ in range(MAX_INFORMATIONAL):
            data = bytes(self._data[:MAX_HEAD]).lstrip(b"\r\n")
            status, end = _STATUS.match(data), _HEAD_END.search(data)
            if (status is None and (b"\n" in data or len(data) > 64)) or (end is None and len(self._data) >= MAX_HEAD):
                raise InvalidRouterAnswer("an answer that is no HTTP")
            if status is None or end is None:
                return None
            del self._data[: len(self._data) - len(self._data.lstrip(b"\r\n")) + end.end()]
            if int(status[1]) >= 200:
                return _Head.parse(int(status[1]), data[: end.start()])
        raise InvalidRouterAnswer("informational answers only")

    def _read_chunks(self) -> None:
        while not self._ended:
            piece = self._data[: self._left]
            del self._data[: self._left]
            self._body += piece
            self._left -= len(piece)
            if self._left or (found := _CHUNK.match(self._data)) is None:
                return
            end, self._left = found.end(), int(found[1], 16)
            del self._data[:end]
            self._ended = not self._left


class _Head(NamedTuple):
    status: int
    length: int | None
    chunked: bool
    is_compressed: bool

    @classmethod
    def parse(cls, status: int, head: bytes) -> _Head:
        lines = head.decode("latin-1").splitlines()[1:]
        fields = [(name.strip().lower(), value.strip().lower()) for name, _, value in (x.partition(":") for x in lines)]
        lengths = {value for name, value in fields if name == "content-length"}
        length = lengths.pop() if len(lengths) == 1 else ""
        return cls(
            status,
            int(length) if length.isascii() and length.isdigit() and len(length) < 10 else None,
            any(name == "transfer-encoding" and "chunked" in value for name, value in fields),
            any(name == "content-encoding" and value not in ("", "identity") for name, value in fields),
        )

    @property
    def has_no_body(self) -> bool:
        return self.status in (204, 304)
