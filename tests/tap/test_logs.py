"""
What is logged, where, and how.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.logger import Logger, LogLevel, LogLevelFilterPredicate, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.tap.logs import Log, formatJSON
from tests.tap.support import OptionsTestCase


class LevelTests(OptionsTestCase):
    """C{--log-level}."""

    def test_levels_by_part(self) -> None:
        predicate = self.parse("--log-level", "warn", "--log-level", "devp2p_tx.node=debug").settings.logPredicate
        self.assertIs(predicate.logLevelForNamespace("twisted"), LogLevel.warn)
        self.assertIs(predicate.logLevelForNamespace("devp2p_tx.node.dialer"), LogLevel.debug)

    def test_sockets_that_open_and_close(self) -> None:
        """Nothing is logged of them, by the older parts of Twisted, unless that is asked for."""
        self.assertIs(self.parse().settings.logPredicate.logLevelForNamespace("log_legacy"), LogLevel.warn)
        for part in ("twisted.internet.tcp.Port", "twisted.internet.unix.Port"):
            self.assertIs(self.parse().settings.logPredicate.logLevelForNamespace(part), LogLevel.warn)
        asked = self.parse("--log-level", "log_legacy=info").settings.logPredicate
        self.assertIs(asked.logLevelForNamespace("log_legacy"), LogLevel.info)


class JSONTests(SynchronousTestCase):
    """C{--log-format json}."""

    def line(self, log: Any) -> dict[str, Any]:
        """What a logger says, read."""
        events: list[dict[str, Any]] = []
        log(Logger(namespace="part", observer=events.append))
        text = formatJSON(events[0])
        self.assertEqual(text.count("\n"), 1)
        fields: dict[str, Any] = json.loads(text)
        return fields

    def test_fields_of_the_event(self) -> None:
        fields = self.line(lambda logger: logger.warn("{count} peers at {place}", count=3, place=object, nothing=None))
        self.assertEqual((fields["level"], fields["namespace"], fields["count"]), ("warn", "part", 3))
        self.assertTrue(fields["message"].startswith("3 peers at "))
        self.assertNotIn("place", fields)

    def test_traceback(self) -> None:
        def log(logger: Logger) -> None:
            try:
                raise KeyError("lost")
            except KeyError:
                logger.failure("oh")

        self.assertIn("KeyError", self.line(log)["traceback"])


class LogTests(SynchronousTestCase):
    """Where it goes."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def log(self, **twistd: Any) -> Log:
        """As for these options of twistd."""
        log = Log(twistd, False, LogLevelFilterPredicate())
        if log.file is not None:
            self.addCleanup(log.file.close)
        return log

    def say(self, log: Log, word: str) -> None:
        """Log a word."""
        Logger(observer=log.observer).info(word)

    def test_to_a_file(self) -> None:
        log = self.log(logfile=str(self.path))
        self.say(log, "first")
        log.rotate()
        self.say(log, "second")
        self.assertIn("first", Path(f"{self.path}.1").read_text())
        self.assertIn("second", self.path.read_text())

    def test_a_file_that_was_moved(self) -> None:
        log = self.log(logfile=str(self.path))
        self.say(log, "first")
        os.rename(self.path, f"{self.path}.moved")
        log.rotate()
        self.say(log, "second")
        self.assertIn("first", Path(f"{self.path}.moved").read_text())
        self.assertIn("second", self.path.read_text())
        self.assertFalse(os.path.exists(f"{self.path}.1"))

    def test_a_directory_that_cannot_be_written(self) -> None:
        log = self.log(logfile=str(self.path))
        with patch.object(os, "access", lambda path, mode: False):
            log.rotate()
        self.assertIn("cannot rotate the log file", self.events[-1]["log_format"])
        self.assertIs(self.events[-1]["log_level"], LogLevel.warn)

    def test_nothing_to_rotate(self) -> None:
        for twistd in ({"nodaemon": True}, {"nodaemon": True, "logfile": "-"}, {"syslog": True}, {"logger": object()}):
            log = self.log(**twistd)
            self.assertIsNone(log.file)
            log.rotate()
            self.assertIn("logs to none", self.events[-1]["log_format"])

    def test_a_logger_of_the_users_own(self) -> None:
        self.assertIsNone(self.log(logger=object()).observer)

    def test_without_standard_output(self) -> None:
        with patch.object(sys, "stdout", None):
            self.say(self.log(nodaemon=True), "lost")

    def test_it_is_given_to_a_user(self) -> None:
        given: list[Any] = []
        with patch.object(os, "chown", lambda *arguments: given.append(arguments)):
            self.log(logfile=str(self.path)).give(7, 8)
            self.log(nodaemon=True).give(7, 8)
        self.assertEqual(given, [(str(self.path), 7, 8)])
