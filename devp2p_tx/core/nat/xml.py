"""
XML as routers write it: read tolerantly, within bounds, and nothing that could do harm.

Tolerated: what stands before or behind the document (blanks, NUL, a byte order mark, another document); bytes that are
not of the encoding; control characters; prefixes that are not declared; an C{&} that is not escaped; names in other
letters. Refused: document types and with them entities, so that nothing expands or refers elsewhere; more than
L{MAX_ELEMENTS}, or deeper than L{MAX_DEPTH}.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from devp2p_tx.errors import InvalidRouterAnswer

#: Elements of a document, how deep one may stand in others, and characters of text that are read of each.
MAX_ELEMENTS, MAX_DEPTH, MAX_TEXT = 10_000, 100, 4096

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
#: Encodings that are believed when a document declares them; else it is read as UTF-8.
_DECLARED = re.compile(
    rb"""^\s*<\?xml[^>]{0,100}encoding\s*=\s*["'](us-ascii|iso-8859-[0-9]{1,2}|windows-125[0-8])["']""", re.IGNORECASE
)
_DECLARATION = re.compile(r"<\?xml[^>]*\?>")
_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_BARE_AMPERSAND = re.compile(r"&(?!(?:#[0-9]{1,7}|#x[0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos);)")


@dataclass
class Element:
    """
    @ivar name: without prefix, in lower case.
    @ivar text: what stands directly in it, the first L{MAX_TEXT} characters.
    """

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def named(self, name: str) -> Iterator[Element]:
        """All elements of a name, itself included, in their order; the name counts in any letters."""
        wanted, waiting = name.lower(), [self]
        while waiting:
            element = waiting.pop()
            if element.name == wanted:
                yield element
            waiting += reversed(element.children)

    def child_text(self, name: str) -> str:
        """The text of the first child of a name, without blanks around it; empty if there is none."""
        return next((child.text.strip() for child in self.children if child.name == name.lower()), "")


def read(document: bytes) -> Element:
    """
    Read a document: its root.

    @raise InvalidRouterAnswer: it is no XML, or not harmless.
    """
    reader = _Reader()
    try:
        reader.parser.Parse(_tidied(document).encode(), True)
    except (expat.ExpatError, _HarmfulXML) as error:
        if reader.root is None or reader.open:
            raise InvalidRouterAnswer(f"bad XML: {type(error).__name__}") from None
    assert reader.root is not None
    return reader.root


def _tidied(document: bytes) -> str:
    text = _FORBIDDEN.sub(" ", _decoded(document))
    text = _DECLARATION.sub("", text[text.find("<") :] if "<" in text else "", count=1)
    return _BARE_AMPERSAND.sub("&amp;", text.strip())


def _decoded(document: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if document.startswith(mark):
            return document[len(mark) :].decode(encoding, "replace")
    declared = _DECLARED.match(document)
    try:
        return document.decode(declared[1].decode() if declared else "utf-8", "replace")
    except LookupError:  # there is no ISO 8859-12
        return document.decode("utf-8", "replace")


class _HarmfulXML(Exception):
    """A document type, or too much."""


class _Reader:
    """
    Builds the elements as expat finds them.

    @ivar root: the first element.
    @ivar open: the elements that have not ended.
    """

    def __init__(self) -> None:
        self.root: Element | None = None
        self.open: list[Element] = []
        self._count = 0
        self.parser: Any = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse
        self.parser.UnparsedEntityDeclHandler = self._refuse
        self.parser.ExternalEntityRefHandler = self._refuse

    def _start(self, name: str, attributes: object) -> None:
        element = Element(name.rpartition(":")[2].lower())
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self.open) >= MAX_DEPTH:
            self._refuse()
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)

    def _end(self, name: str) -> None:
        self.open.pop()

    def _text(self, text: str) -> None:
        element = self.open[-1]
        element.text = (element.text + text)[:MAX_TEXT]

    def _refuse(self, *_: object) -> int:
        raise _HarmfulXML
