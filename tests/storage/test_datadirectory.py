"""
Tests for L{devp2p_tx.storage.datadirectory}.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.storage import datadirectory
from devp2p_tx.storage.datadirectory import DataDirectory, DataDirectoryError, make_directory


class MakingTests(SynchronousTestCase):
    """L{make_directory}."""

    def test_with_those_above(self) -> None:
        path = Path(self.mktemp(), "a", "b")
        make_directory(path)
        self.assertEqual([each.stat().st_mode & 0o777 for each in (path, path.parent)], [0o700, 0o700])
        make_directory(path)

    def test_only_what_is_made_changes_hands(self) -> None:
        above = Path(self.mktemp())
        above.mkdir()
        given: list[tuple[object, ...]] = []
        with patch.object(datadirectory.os, "chown", lambda *arguments: given.append(arguments)):
            make_directory(above / "a" / "b", 7, 8)
        self.assertEqual(given, [(above / "a", 7, 8), (above / "a" / "b", 7, 8)])

    def test_where_nothing_can_be_made(self) -> None:
        self.assertRaises(OSError, make_directory, Path("/proc/nothing/here"))


class LockTests(SynchronousTestCase):
    """One process has it. (C{flock} is a matter of open files, so one process can play two.)"""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.mkdir()
        self.directory = DataDirectory(self.path)
        self.other = DataDirectory(self.path)
        self.addCleanup(self.directory.release)
        self.addCleanup(self.other.release)

    def test_a_second_is_refused(self) -> None:
        self.directory.lock()
        self.directory.write_pid()
        error = self.assertRaises(DataDirectoryError, self.other.lock)
        self.assertIn(f"another node uses the data directory {self.path} (pid {os.getpid()})", str(error))

    def test_a_second_when_nobody_says_who(self) -> None:
        """A read-only directory has no pid in it, or that of somebody long gone."""
        self.directory.lock()
        for text in (None, b"", b"garbage", b"\xff"):
            if text is not None:
                (self.path / "pid").write_bytes(text)
            error = self.assertRaises(DataDirectoryError, self.other.lock)
            self.assertIn("its pid is not known", str(error))

    def test_again_after_the_first(self) -> None:
        self.directory.lock()
        self.directory.write_pid()
        self.assertEqual((self.path / "pid").stat().st_mode & 0o777, 0o600)
        self.directory.release()
        self.directory.release()
        self.assertEqual(os.listdir(self.path), [])
        self.other.lock()

    def test_a_pid_that_was_left_behind(self) -> None:
        """Only the lock counts."""
        (self.path / "pid").write_text("1\n")
        self.directory.lock()
        self.directory.write_pid()
        self.assertEqual((self.path / "pid").read_text(), f"{os.getpid()}\n")

    def test_the_refused_one_leaves_the_pid(self) -> None:
        self.directory.lock()
        self.directory.write_pid()
        self.assertRaises(DataDirectoryError, self.other.lock)
        self.other.release()
        self.assertEqual(os.listdir(self.path), ["pid"])

    def test_no_descriptor_is_left(self) -> None:
        self.directory.lock()
        before = len(os.listdir("/proc/self/fd"))
        self.assertRaises(DataDirectoryError, self.other.lock)
        with patch.object(fcntl, "flock", side_effect=OSError(37, "No locks available")):
            self.assertRaises(OSError, self.other.lock)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
