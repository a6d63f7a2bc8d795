"""
C{.ci/pythons}, with programs in place of those that make roots and namespaces.
"""

import os
import stat
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]
#: Runs what stands behind its options.
ENTER = 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"'
#: A Python that makes an environment whose pip does nothing, and whose Python says what trial says.
PYTHON = """
[ "$1" = -c ] && exit 0
mkdir -p .venv/bin
printf '#!/bin/sh\\n' > .venv/bin/pip
printf '#!/bin/sh\\necho "Ran 3 tests in 0.1s"; exit %s\\n' "$STATUS" > .venv/bin/python
chmod +x .venv/bin/*
"""


class PythonsTests(SynchronousTestCase):
    """Its status, its last line, and what it leaves behind."""

    def setUp(self) -> None:
        """Harmless programs come first on the path."""
        self.programs, self.temporary = Path(self.mktemp()).absolute(), Path(self.mktemp()).absolute()
        self.library = Path(self.mktemp()).absolute()
        self.library.mkdir()
        (self.library / "re.py").write_text("raise ImportError('of another Python')")
        self.programs.mkdir()
        self.temporary.mkdir()
        self.status = "0"
        for name in ("mount", "ip"):
            self.program(name, "exit 0")
        self.program("unshare", ENTER)
        self.program("python3.98", PYTHON)
        self.program("apt-get", "[ $1 != indextargets ] || echo http://mirror.invalid/debian")
        self.program("debootstrap", 'mkdir -p "$5"; echo "E: no such release"; exit 1')

    def program(self, name: str, text: str) -> None:
        """Have a program of that name."""
        path = self.programs / name
        path.write_text(f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run_(self, target: str) -> tuple[int, str]:
        """The status, and what was printed; nothing is left behind."""
        done = subprocess.run(
            [ROOT / ".ci/pythons", target],
            env={
                **os.environ,
                "PATH": f"{self.programs}:{os.environ['PATH']}",
                "TMPDIR": str(self.temporary),
                "STATUS": self.status,
                "PYTHONPATH": str(self.library),  # as trial sets it for the workers of -j, of one Python only
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        self.assertEqual(list(self.temporary.iterdir()), [])
        return done.returncode, done.stdout

    def test_passed(self) -> None:
        """README's command, with an interpreter of this machine; the end of the log is shown."""
        status, printed = self.run_("3.98")
        self.assertEqual(status, 0, printed)
        self.assertIn("3.98: python3 -m venv .venv && ", printed)
        self.assertIn("Ran 3 tests", printed)

    def test_failed(self) -> None:
        """What fails inside fails all."""
        self.status = "7"
        status, printed = self.run_("3.98")
        self.assertEqual(status, 1, printed)
        self.assertIn("Ran 3 tests", printed)

    def test_installation_failed(self) -> None:
        """Likewise, before any test."""
        self.program("python3.98", "[ $1 = -c ]")
        self.assertEqual(self.run_("3.98")[0], 1)

    def test_no_interpreter(self) -> None:
        """It is told that nothing was run, and the status is another."""
        status, printed = self.run_("3.97")
        self.assertEqual((status, printed.splitlines()[-1]), (3, "3.97: NOT RUN: no python3.97 on this machine"))

    def test_no_root(self) -> None:
        """Where a root cannot be made, the reason is told."""
        status, printed = self.run_("nosuch")
        why = "debootstrap: E: no such release" if os.geteuid() == 0 else "roots are made by root"
        self.assertEqual((status, printed.splitlines()[-1]), (3, f"nosuch: NOT RUN: {why}"))

    def test_no_mirror(self) -> None:
        """Where apt has no mirror, likewise."""
        self.program("apt-get", "exit 0")
        status, printed = self.run_("nosuch")
        why = "apt names no mirror of Debian" if os.geteuid() == 0 else "roots are made by root"
        self.assertEqual((status, printed.splitlines()[-1]), (3, f"nosuch: NOT RUN: {why}"))
