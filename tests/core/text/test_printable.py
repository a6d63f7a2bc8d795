"""
Tests of texts of strangers that are shown.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.text.printable import MAX_SHOWN, printable


class PrintableTests(SynchronousTestCase):
    """L{printable}."""

    def test_harmless(self) -> None:
        for text in ("", "Geth/v1.17.10-stable/linux-amd64/go1.25", "Nethermind é ü 节点 ✓", "a b"):
            self.assertEqual(printable(text), text)

    def test_hostile(self) -> None:
        """What moves the cursor, ends the line, or turns the direction of writing is shown as what it is."""
        for text, shown in [
            ("\x1b[2Jx", r"\x1b[2Jx"),
            ("a\r\nb\0", r"a\r\nb\x00"),
            ("a\u202eb", r"a\u202eb"),
            ("a\u2028b\x85c", r"a\u2028b\x85c"),
            ("\U000e0041", r"\U000e0041"),
            ("\ud800", r"\ud800"),
            ("\u00a0\u200b\ufeff", r"\xa0\u200b\ufeff"),
            ('x" peers=99', r"x\" peers=99"),
            ("\\x1b", r"\\x1b"),
        ]:
            self.assertEqual(printable(text), shown)

    def test_long(self) -> None:
        """It is cut at the limit, which is a named one."""
        self.assertEqual(printable("x" * MAX_SHOWN), "x" * MAX_SHOWN)
        self.assertEqual(printable("x" * (MAX_SHOWN + 1)), "x" * MAX_SHOWN + "...")
        self.assertEqual(printable("abcd", 3), "abc...")

    @given(st.text())
    def test_anything(self, text: str) -> None:
        """Whatever it is, all of what is shown is printable, and can be written."""
        shown = printable(text)
        self.assertTrue(shown.isprintable())
        shown.encode()
