"""
Tests for L{devp2p_tx.storage.keyfile}.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from random import Random
from unittest.mock import Mock, patch

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.storage import keyfile
from devp2p_tx.storage.keyfile import KeyFileError, create_key, load_key, load_or_create_key, parse_key

SECRET = "45a915e4d060149eb4365960e6a7a45f334393093061116b197e3240065ff2d8"
KEY = PrivateKey(bytes.fromhex(SECRET))
ORDER = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
GARBAGE = ["", "0x", SECRET[:-1], SECRET + "00", "zz" * 32, "00" * 32, ORDER, f"{SECRET}\n{SECRET}", "é" * 64]


def _readOnly(descriptor: int) -> object:
    """What the system says of a file system that is mounted read-only."""
    return Mock(f_flag=os.ST_RDONLY)


def modeOf(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


class KeyFileTestCase(SynchronousTestCase):
    """A folder, and a file that may be there."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "nodekey"

    def write(self, text: str | bytes, mode: int = 0o600) -> None:
        """Put something where the key is expected."""
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        self.path.chmod(mode)

    def sentence(self, path: Path | None = None) -> str:
        """What the user is told of a file that cannot be used."""
        return str(self.assertRaises(KeyFileError, load_or_create_key, path or self.path))


class ParsingTests(SynchronousTestCase):
    """Keys given as text."""

    def test_forms(self) -> None:
        """With and without the prefix, in either case, with white space around."""
        for text in (SECRET, f"0x{SECRET}", SECRET.upper(), f" {SECRET}\r\n"):
            self.assertEqual(parse_key(text).secret, KEY.secret, text)

    def test_garbage(self) -> None:
        """Anything else is refused in one sentence, which does not repeat it."""
        for text in GARBAGE:
            error = self.assertRaises(KeyFileError, parse_key, text)
            self.assertEqual(str(error), "a node key is 64 hex digits, not zero and below the order of secp256k1")


class LoadingTests(KeyFileTestCase):
    """Files that are there."""

    def test_load(self) -> None:
        """As go-ethereum writes it, and as an editor leaves it."""
        for text in (SECRET, f"{SECRET}\n", f"0x{SECRET}\r\n"):
            self.write(text)
            self.assertEqual(load_key(self.path).secret, KEY.secret)
            self.assertEqual(load_or_create_key(self.path).secret, KEY.secret)

    def test_owner_may_be_refused_writing(self) -> None:
        """A key that nobody may change is as good."""
        self.write(SECRET, 0o400)
        self.assertEqual(load_key(self.path).secret, KEY.secret)

    def test_open_to_others(self) -> None:
        """Any permission of group or world is refused, with what to do about it."""
        for mode in (0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o777):
            self.write(SECRET, mode)
            sentence = self.sentence()
            self.assertIn(f"is open to other users (mode {mode:04o}): chmod 600 it", sentence)
            self.assertIn("--node-key-hex or DEVP2P_NODE_KEY_HEX", sentence)
            self.assertNotIn(SECRET, sentence)

    def test_not_ours_to_change(self) -> None:
        """A secret that a supervisor mounts: its owner is another, or nothing can be written there."""
        for mode in (0o440, 0o444, 0o640, 0o644):
            self.write(SECRET, mode)
            for patched, value in (("geteuid", lambda: 4321), ("fstatvfs", _readOnly)):
                warnings: list[str] = []
                with patch.object(keyfile.os, patched, value):
                    self.assertEqual(load_key(self.path, warnings.append).secret, KEY.secret)
                [warning] = warnings
                self.assertIn(f"{self.path} is open to other users (mode {mode:04o}), and is used all", warning)
                self.assertIn("--node-key-hex", warning)
                self.assertNotIn(SECRET, warning)

    def test_not_ours_and_private(self) -> None:
        """Then there is nothing to warn of."""
        self.write(SECRET, 0o400)
        with patch.object(keyfile.os, "geteuid", lambda: 4321):
            self.assertEqual(load_key(self.path, self.fail).secret, KEY.secret)

    def test_garbage_in_a_mounted_secret(self) -> None:
        self.write("garbage", 0o444)
        with patch.object(keyfile.os, "geteuid", lambda: 4321):
            self.assertIn("64 hex digits", str(self.assertRaises(KeyFileError, load_key, self.path, self.fail)))

    def test_open_to_others_before_its_contents(self) -> None:
        """That comes first, also for a file that holds no key."""
        self.write("garbage", 0o644)
        self.assertIn("open to other users", self.sentence())

    def test_garbage(self) -> None:
        """The sentence names the file, and not what is in it."""
        for text in [*GARBAGE, SECRET + "0" * 2000, b"\xff" * 64]:
            self.write(text)
            sentence = self.sentence()
            self.assertEqual(
                sentence, f"{self.path}: a node key is 64 hex digits, not zero and below the order of secp256k1"
            )

    def test_garbage_stays(self) -> None:
        """A file that is no key may be something else of the user's: it is not written over."""
        self.write("my diary")
        self.sentence()
        self.assertEqual(self.path.read_text(), "my diary")

    def test_half_a_secret_is_not_repeated(self) -> None:
        """A key with a mistake in it is still most of a secret."""
        self.write(SECRET[:-2] + "zz")
        self.assertNotIn(SECRET[:8], self.sentence())

    def test_directory(self) -> None:
        """A directory in its place."""
        self.path.mkdir(mode=0o700)
        self.assertEqual(self.sentence(), f"cannot read the node key {self.path}: Is a directory")

    def test_missing(self) -> None:
        """L{load_key} makes none."""
        error = self.assertRaises(KeyFileError, load_key, self.path)
        self.assertEqual(str(error), f"cannot read the node key {self.path}: No such file or directory")

    def test_dangling_link(self) -> None:
        """A link to nowhere is not followed to make a file elsewhere."""
        self.path.symlink_to(self.folder / "elsewhere")
        self.assertIn("cannot read the node key", self.sentence())
        self.assertEqual(os.listdir(self.folder), ["nodekey"])


class CreatingTests(KeyFileTestCase):
    """Files that are not there yet."""

    def test_create(self) -> None:
        """The file holds the key, is for the owner alone, and is read again the next time."""
        key = load_or_create_key(self.path, Random(1).randbytes)
        self.assertEqual(key.secret, Random(1).randbytes(32))
        self.assertEqual(self.path.read_text(), key.secret.hex() + "\n")
        self.assertEqual(modeOf(self.path), 0o600)
        self.assertEqual(load_or_create_key(self.path).secret, key.secret)
        self.assertEqual(os.listdir(self.folder), ["nodekey"])

    def test_whatever_the_umask(self) -> None:
        """The permissions are not left to the user's habits."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        load_or_create_key(self.path)
        self.assertEqual(modeOf(self.path), 0o600)

    def test_no_folder_is_made(self) -> None:
        """A folder that is not there is a typing error, and no place for a new identity."""
        path = self.folder / "typo" / "nodekey"
        self.assertEqual(
            self.sentence(path),
            f"cannot make the node key {path}: there is no directory {self.folder}/typo; make it, or correct the path",
        )
        self.assertEqual(os.listdir(self.folder), [])

    def test_creating_replaces_nothing(self) -> None:
        self.write(SECRET)
        self.assertRaises(FileExistsError, create_key, self.path)
        self.assertEqual(load_key(self.path).secret, KEY.secret)

    def test_every_key_is_another(self) -> None:
        """By default the randomness is the system's."""
        other = self.folder / "other"
        self.assertNotEqual(load_or_create_key(self.path).secret, load_or_create_key(other).secret)

    def test_made_meanwhile(self) -> None:
        """A file that appears between looking and making is read, not replaced."""

        def other(size: int) -> bytes:
            self.write(SECRET)
            return bytes([1]) * size

        self.assertEqual(load_or_create_key(self.path, other).secret, KEY.secret)
        self.assertEqual(os.listdir(self.folder), ["nodekey"])

    def test_garbage_made_meanwhile(self) -> None:
        """What appears meanwhile is read as strictly."""

        def other(size: int) -> bytes:
            self.write(SECRET, 0o644)
            return bytes([1]) * size

        error = self.assertRaises(KeyFileError, load_or_create_key, self.path, other)
        self.assertIn("open to other users", str(error))

    def test_left_by_a_crash(self) -> None:
        """A process that died while it made a key does not keep the next one, of the same number, from making one."""
        (self.folder / f".nodekey.{os.getpid()}").touch()
        load_or_create_key(self.path)
        self.assertEqual(modeOf(self.path), 0o600)

    def test_disk_full(self) -> None:
        """Nothing is left of a file that could not be finished."""

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        self.patch(keyfile.os, "fsync", full)
        self.assertEqual(self.sentence(), f"cannot make the node key {self.path}: No space left on device")
        self.assertEqual(os.listdir(self.folder), [])

    def test_unwritable(self) -> None:
        """A folder in which nothing can be made: for root too."""
        path = Path("/proc/nodekey")
        self.assertIn(f"cannot make the node key {path}: ", self.sentence(path))

    def test_below_a_file(self) -> None:
        """A file where a folder should be."""
        self.write(SECRET)
        path = self.path / "nodekey"
        self.assertEqual(self.sentence(path), f"cannot make the node key {path}: Not a directory")

    def test_name_too_long(self) -> None:
        """A name that no file can have."""
        self.assertIn("File name too long", self.sentence(self.folder / ("x" * 300)))

    def test_unreachable(self) -> None:
        """A file that cannot even be looked for."""

        def refused(*arguments: object, **keywords: object) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(keyfile.os, "stat", refused)
        self.patch(keyfile, "mkstemp", refused)
        self.assertIn("Permission denied", self.sentence(self.folder / "a" / "nodekey"))
