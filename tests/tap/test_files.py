"""
The key and the data directory at the start, in this process; with real processes see L{tests.tap.test_supervisors}.
"""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

from devp2p_tx.storage import datadirectory
from devp2p_tx.storage.keyfile import KeyFileError, load_key
from devp2p_tx.tap import files
from devp2p_tx.tap.files import NodeFiles, StartFailed
from devp2p_tx.tap.options import Options
from devp2p_tx.tap.privileges import User
from devp2p_tx.tap.settings import Settings
from tests.tap.support import KEY, SECRET, OptionsTestCase, environment


class FilesTests(OptionsTestCase):
    """What L{NodeFiles.open} makes, finds, and says."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.data = self.folder / "data"
        self.said: list[str] = []

    def settings(self, *arguments: str, **variables: str) -> Settings:
        """What a command line means."""
        options = Options()
        with environment(**variables):
            options.parseOptions(list(arguments))
        return options.settings

    def files(self, *arguments: str, **variables: str) -> NodeFiles:
        """Those of a command line."""
        found = NodeFiles(self.settings(*arguments, **variables), User(), self.said.append)
        self.addCleanup(found.close)
        return found

    def test_the_key_is_made_once(self) -> None:
        keys = []
        for _ in range(2):
            found = self.files("--data-dir", str(self.data))
            keys.append(found.open().secret)
            self.assertTrue(found.isPersistent)
            found.close()
        self.assertEqual(keys[0], keys[1])
        self.assertEqual((self.data / "nodekey").stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.said, [])

    def test_a_key_made_meanwhile_is_taken(self) -> None:
        found = self.files("--data-dir", str(self.data))
        self.data.mkdir()
        (self.data / "nodekey").write_text(SECRET)
        (self.data / "nodekey").chmod(0o600)
        self.assertEqual(found.open().secret, KEY.secret)

    def test_a_key_elsewhere(self) -> None:
        """Nothing else is made."""
        found = self.files("--node-key", str(self.folder / "key"))
        self.assertEqual(found.open().secret, load_key(self.folder / "key").secret)
        self.assertEqual(self.files("--node-key-hex", SECRET).open().secret, KEY.secret)
        self.assertEqual(os.listdir(self.folder), ["key"])

    def test_a_key_elsewhere_and_a_directory(self) -> None:
        self.assertEqual(self.files("--node-key-hex", SECRET, "--data-dir", str(self.data)).open().secret, KEY.secret)
        self.assertEqual(os.listdir(self.data), ["pid"])

    def test_a_mounted_secret(self) -> None:
        path = self.folder / "key"
        path.write_text(SECRET)
        path.chmod(0o444)
        with patch.object(os, "geteuid", lambda: 4321):
            settings = self.settings("--node-key", str(path), "--network=none")
        [warning] = settings.warnings
        self.assertIn("and is used all the same", warning)
        self.assertEqual(settings.key and settings.key.secret, KEY.secret)

    def test_a_key_that_cannot_be_made(self) -> None:
        found = self.files("--node-key", str(self.folder / "key"))
        with patch.object(files, "create_key", side_effect=KeyFileError("cannot make it")):
            error = self.assertRaises(StartFailed, found.open)
        self.assertEqual(str(error), "--node-key: cannot make it")

    def test_a_directory_that_cannot_be_made(self) -> None:
        """One that was asked for is an error; without the usual one everything is in memory."""
        error = self.assertRaises(StartFailed, self.files(DATA_DIR="/proc/nothing/data").open)
        self.assertTrue(str(error).startswith("DEVP2P_DATA_DIR: cannot make the directory /proc/nothing/data"))
        settings = self.settings()
        settings.dataDirectory = Path("/proc/nothing/data")
        found = NodeFiles(settings, User(), self.said.append)
        found.open()
        self.assertFalse(found.isPersistent)
        [line] = self.said
        self.assertIn(
            "cannot make the data directory /proc/nothing/data: No such file or directory; the node key", line
        )

    def test_without_a_home(self) -> None:
        settings = self.settings()
        settings.dataDirectory = None
        found = NodeFiles(settings, User(), self.said.append)
        found.open()
        self.assertFalse(found.isPersistent)
        [line] = self.said
        self.assertTrue(line.startswith("this node's user has no home directory: --data-dir DIRECTORY names another"))

    def test_read_only(self) -> None:
        """One line, and the key that is there."""
        self.data.mkdir()
        (self.data / "nodekey").write_text(SECRET)
        (self.data / "nodekey").chmod(0o600)
        found = self.files("--data-dir", str(self.data))
        with patch.object(datadirectory.DataDirectory, "write_pid", side_effect=OSError(30, "Read-only file system")):
            self.assertEqual(found.open().secret, KEY.secret)
        self.assertFalse(found.isPersistent)
        [line] = self.said
        self.assertIn(f"the data directory {self.data} cannot be written: Read-only file system", line)

    def test_without_locks(self) -> None:
        """As on some network file systems: it starts, and says so."""
        found = self.files("--data-dir", str(self.data))
        with patch.object(datadirectory.fcntl, "flock", side_effect=OSError(37, "No locks available")):
            found.open()
        self.assertTrue(found.isPersistent)
        [line] = self.said
        self.assertIn(f"the data directory {self.data} cannot be locked: No locks available", line)


class UserTests(OptionsTestCase):
    """Whom the process becomes."""

    def test_of_twistds_options(self) -> None:
        self.assertEqual(User.after({}), (-1, -1))
        self.assertEqual(User.after({"uid": 0, "gid": None}), (0, 0))
        self.assertEqual(User.after({"uid": 54321, "gid": 7}), (54321, 7))
        self.assertEqual(User.after({"gid": 7}), (-1, 7))

    def test_acting(self) -> None:
        """The effective user, for a while; who is not root acts as himself."""
        calls: list[tuple[str, int]] = []
        with (
            patch.object(os, "seteuid", lambda uid: calls.append(("uid", uid))),
            patch.object(os, "setegid", lambda gid: calls.append(("gid", gid))),
            patch.object(os, "getegid", lambda: 5),
        ):
            for euid, user in ((0, User(7, 8)), (0, User()), (9, User(7, 8))):
                with patch.object(os, "geteuid", lambda euid=euid: euid), user.acting():
                    calls.append(("done", euid))
        self.assertEqual(calls, [("gid", 8), ("uid", 7), ("done", 0), ("uid", 0), ("gid", 5), ("done", 0), ("done", 9)])

    def test_what_it_can_read(self) -> None:
        self.assertTrue(User().canRead(__file__, os.__file__))
        self.assertFalse(User().canRead(__file__, "/does/not/exist"))
