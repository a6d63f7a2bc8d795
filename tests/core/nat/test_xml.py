"""
Tests for L{devp2p_tx.core.nat.xml}: what sloppy writers write, and what means harm.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.nat.xml import MAX_DEPTH, MAX_ELEMENTS, MAX_TEXT, Element, read
from devp2p_tx.errors import InvalidRouterAnswer


class ReadTests(SynchronousTestCase):
    """L{read}."""

    def text(self, document: bytes) -> str:
        """The text of the element C{a} of a document."""
        return read(document).child_text("a")

    def test_elements(self) -> None:
        """Elements in their order, by names without prefixes, in any letters."""
        root = read(b'<x:R xmlns:x="u"><x:A k="v">1</x:A><b>2<c/>3</b><A>4</A></x:R>')
        self.assertEqual(
            root, Element("r", "", [Element("a", "1"), Element("b", "23", [Element("c")]), Element("a", "4")])
        )
        self.assertEqual([each.text for each in root.named("a")], ["1", "4"])
        self.assertEqual((root.child_text("A"), root.child_text("c")), ("1", ""))

    def test_around(self) -> None:
        """What stands before and behind the document."""
        for before in (
            b"",
            b"\r\n ",
            b"\xef\xbb\xbf",
            b"\0",
            b'<?xml version="1.0"?>\n',
            b'\n<?xml version="1.1" ?>',
            b"junk",
        ):
            for behind in (b"", b"\0", b"\0\0\r\n", b"junk", b"<r/>", b"<!-- x -->", b"<unclosed", b"<!DOCTYPE r []>"):
                self.assertEqual(self.text(before + b"<r><a>1</a></r>" + behind), "1", (before, behind))

    def test_encodings(self) -> None:
        """Bytes that are not of the encoding do not spoil the rest; known encodings are believed where declared."""
        for declared, data, expected in (
            ("", b"\xe4", "\ufffd"),
            ("utf-8", b"\xe4", "\ufffd"),
            ("UTF-8", "\u00e4".encode(), "\u00e4"),
            ("iso-8859-1", b"\xe4", "\u00e4"),
            ("Windows-1252", b"\x80", "\u20ac"),
            ("us-ascii", b"\xe4", "\ufffd"),
            ("utf-16", b"x", "x"),
            ("iso-8859-12", b"x", "x"),
            ("klingon", b"x", "x"),
        ):
            head = f'<?xml version="1.0" encoding="{declared}"?>'.encode() if declared else b""
            self.assertEqual(self.text(head + b"<r><a>" + data + b"</a></r>"), expected, declared)
        for encoding in ("utf-16", "utf-8-sig"):
            self.assertEqual(
                self.text('<?xml version="1.0" encoding="utf-16"?><r><a>\u00e4</a></r>'.encode(encoding)), "\u00e4"
            )

    def test_sloppy(self) -> None:
        """Control characters, ampersands that are not escaped, prefixes that are not declared."""
        for inside, expected in (
            (b"1\x002\x1b", "1 2"),
            (b"?a=1&b=2", "?a=1&b=2"),
            (b"&nbsp;&amp;&lt;&#65;&#x42;", "&nbsp;&<AB"),
            (b"<![CDATA[1]]>", "1"),
            (b" <!-- 1 --> 2", "2"),
        ):
            self.assertEqual(self.text(b"<r><a>" + inside + b"</a></r>"), expected)
        self.assertEqual(self.text(b'<s:r s:style="x" u:k="y"><m:a t:z="1">1</m:a></s:r>'), "1")

    def test_harm(self) -> None:
        """Document types are refused, with or without entities; references to none are text."""
        for doctype in (b"<!DOCTYPE r>", b'<!DOCTYPE r SYSTEM "http://10.0.0.1/x">', b'<!DOCTYPE r [<!ENTITY a "1">]>'):
            for head in (b"", b'<?xml version="1.0"?>', b"\0", b'<?xml version="1.0"?><?x?><!-- -->'):
                self.assertRaises(InvalidRouterAnswer, read, head + doctype + b"<r><a>&a;</a></r>")
        self.assertEqual(self.text(b"<r><a>&a;</a></r>"), "&a;")

    def test_no_document(self) -> None:
        """What is no XML, or ends too early."""
        for document in (b"", b"\0", b"x", b"<", b"<r", b"<r>", b"<r><a></r>", b"<r/", b"\xff\xfe<", b"<?xml?>"):
            self.assertRaises(InvalidRouterAnswer, read, document)

    def test_bounds(self) -> None:
        """How many, how deep, and how long."""
        read(b"<r>" + b"<a/>" * (MAX_ELEMENTS - 1) + b"</r>")
        self.assertRaises(InvalidRouterAnswer, read, b"<r>" + b"<a/>" * MAX_ELEMENTS + b"</r>")
        read(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH)
        self.assertRaises(InvalidRouterAnswer, read, b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1))
        self.assertEqual(len(self.text(b"<r><a>" + b"x" * 2 * MAX_TEXT + b"</a></r>")), MAX_TEXT)

    @given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda inside: b"<r><a>" + inside + b"</a></r>"))
    def test_nonsense(self, document: bytes) -> None:
        """Whatever comes is read, or refused in words."""
        try:
            root = read(document)
        except InvalidRouterAnswer:
            return
        self.assertIsInstance(root, Element)
