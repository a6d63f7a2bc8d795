"""
Tests for L{devp2p_tx.net.log}, and that no module logs without it.
"""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.logger import LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

import devp2p_tx
from devp2p_tx.core.text.printable import escaped
from devp2p_tx.errors import RouterRefused
from devp2p_tx.net.log import MAX_LOGGED, Logger, formatText

PACKAGE = Path(devp2p_tx.__file__).parent
#: Everything that a reader's terminal or file must not get.
HOSTILE = "a\x1b[2J\r\n\0\x07\x9b\u202e\u2066\u200f\u2028\ud800z"


class LoggerTests(SynchronousTestCase):
    """Entries whose fields are a stranger's."""

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        self.log = Logger(observer=self.events.append)

    def lines(self) -> list[str]:
        """The entries as they are formatted, and as the log file has them."""
        return [formatEvent(each) for each in self.events] + [(formatText(each) or "")[:-1] for each in self.events]

    def assertShown(self) -> None:
        """Each line shows what was there, and nothing but printable characters."""
        for line in self.lines():
            self.assertTrue(line.isprintable(), line)
            self.assertIn("a\\x1b[2J\\r\\n\\x00\\x07\\x9b\\u202e\\u2066\\u200f\\u2028\\ud800z", line)
            line.encode()

    def test_texts(self) -> None:
        """Texts, as they are, quoted, or formatted."""
        for form in ("{name}", "{name!s}", "name={name:<5}"):
            self.log.info(form, name=HOSTILE)
        self.assertShown()

    def test_errors(self) -> None:
        """Errors that have a stranger's text, as they are, or the text in them."""
        for error in (ValueError(HOSTILE), RouterRefused(5, HOSTILE)):
            for form in ("{error}", "{error!s}", "{error:>5}"):
                self.log.debug(form, error=error)
        self.assertShown()
        self.log.debug("{error!r} {error.args}", error=ValueError(HOSTILE))
        self.assertTrue(all(line.isprintable() for line in self.lines()))

    def test_an_error_is_one(self) -> None:
        """Observers find the error's class and attributes."""
        self.log.info("{error}", error=RouterRefused(5, "no"))
        error = self.events[0]["error"]
        self.assertIsInstance(error, RouterRefused)
        self.assertEqual((error.code, str(error)), (5, "refused with 5 (no)"))

    def test_tracebacks(self) -> None:
        """A traceback cannot begin a line of its own making."""
        try:
            raise ValueError(HOSTILE + "\n2026-01-01T00:00:00+0000 [devp2p_tx#info] forged\r")
        except ValueError:
            self.log.failure("it failed", Failure())
        text = formatText(self.events[0])
        assert text is not None
        first, *rest = text[:-1].split("\n")
        self.assertTrue(first.isprintable() and all(line.startswith("\t") for line in rest), text)
        self.assertTrue(all(line.replace("\t", "").isprintable() for line in rest))

    def test_long(self) -> None:
        """A text is bounded."""
        self.log.info("{name} {error}", name="x" * 100_000, error=ValueError("y" * 100_000))
        self.assertLess(len(self.lines()[0]), 2 * MAX_LOGGED + 10)

    def test_namespace(self) -> None:
        """The namespace is that of the module that logs, by which the user chooses levels."""
        self.assertEqual(Logger().namespace, __name__)
        self.log.emit(LogLevel.info, "nothing")
        self.assertEqual(formatEvent(self.events[0]), "nothing")

    def test_escaped_twice(self) -> None:
        """To escape what is escaped changes nothing."""
        self.assertEqual(escaped(escaped(HOSTILE)), escaped(HOSTILE))
        self.assertEqual(escaped("x" * 10, 4), "xxxx...")


class EverywhereTests(SynchronousTestCase):
    """Every module that logs."""

    def test_every_logger(self) -> None:
        """Twisted's own Logger, and print, are used by none but the edges that are named here."""
        found = []
        for path in sorted(PACKAGE.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module in ("twisted.logger", "twisted.python", "logging"):
                    names = {each.name for each in node.names} & {"Logger", "globalLogPublisher", "log"}
                    found += [f"{path.relative_to(PACKAGE)}: {name}" for name in sorted(names)]
        self.assertEqual(found, ["net/log.py: Logger"])
