"""
Tests for L{devp2p_tx._native}: which form runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import devp2p_tx
from devp2p_tx import _native
from devp2p_tx._native import PURE, SourceFinder, is_installed, is_pure
from devp2p_tx.core.rlpx import frames

TELL = "import devp2p_tx; from devp2p_tx.core.rlpx import frames; print(devp2p_tx.native, frames.__file__)"
TWISTD = "from twisted.scripts.twistd import run; run()"


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own."""
    return subprocess.run(
        [sys.executable, "-c", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


class NativeTests(SynchronousTestCase):
    """See above."""

    def test_it_says_what_runs(self) -> None:
        """As the module's own file has it."""
        self.assertEqual(devp2p_tx.native, not str(frames.__file__).endswith(".py"))

    def test_the_variable(self) -> None:
        """The source runs where it is asked for; and with 0 or nothing what is installed."""
        for value, native in (("1", False), ("0", is_installed()), ("", is_installed())):
            done = python(TELL, **{PURE: value})
            said, file = done.stdout.split()
            self.assertEqual((said, not file.endswith(".py")), (str(native), native), done.stderr)

    def test_another_value(self) -> None:
        """The error names the variable."""
        done = python(TELL, **{PURE: "yes"})
        self.assertIn("DEVP2P_TX_PURE is 1 (run the source) or 0, not 'yes'", done.stderr)
        self.assertRaises(ValueError, is_pure, {PURE: "2"})
        self.assertEqual([is_pure({PURE: value}) for value in ("1", "0", "")], [True, False, False])
        self.assertFalse(is_pure({}))

    def test_the_command_says_it(self) -> None:
        """With its version."""
        said = python(TWISTD, "devp2p", "--version", **{PURE: "1"}).stdout
        self.assertEqual(said, f"devp2p-tx {devp2p_tx.__version__} (Python source)\n")
        said = python(TWISTD, "devp2p", "--version", **{PURE: "0"}).stdout
        self.assertEqual(said.endswith("(native code)\n"), is_installed())

    def test_installed(self) -> None:
        """Native code stands beside the source."""
        folder = Path(self.mktemp())
        (folder / "core/rlpx").mkdir(parents=True)
        self.assertFalse(is_installed(folder))
        (folder / f"core/rlpx/frames{EXTENSION_SUFFIXES[0]}").touch()
        self.assertTrue(is_installed(folder))

    def test_finder(self) -> None:
        """It finds our modules as source, and those of nobody else."""
        finder, path = SourceFinder(), devp2p_tx.__path__
        found = finder.find_spec("devp2p_tx.tap", path)
        assert found is not None
        self.assertEqual(Path(str(found.origin)), Path(_native.__file__).parent / "tap" / "__init__.py")
        self.assertIsNone(finder.find_spec("devp2p_tx.nothing", path))
        self.assertIsNone(finder.find_spec("devp2p_tx", None))
        self.assertIsNone(finder.find_spec("email.parser", path))
