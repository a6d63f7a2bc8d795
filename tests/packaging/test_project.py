"""
The project's own files agree with each other.
"""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]
SETUP = (ROOT / "setup.py").read_text()


def bounds(name: str) -> dict[str, str]:
    """The lower bounds in one of setup.py's lists, by the names of the distributions."""
    [value] = [
        node.value
        for node in ast.parse(SETUP).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    ]
    return dict(re.findall(r"['\"]([\w.-]+)>=([\d.]+)", ast.unparse(value)))


class ProjectTests(SynchronousTestCase):
    """See above."""

    def test_the_oldest_dependencies_are_the_lower_bounds(self) -> None:
        lines = (ROOT / "tests/packaging/oldest.txt").read_text().splitlines()
        oldest = dict(line.split("==") for line in lines if not line.startswith("#"))
        self.assertEqual(oldest, bounds("REQUIRED") | bounds("TEST"))

    def test_the_readme_gives_two_commands(self) -> None:
        """As the continuous integration takes them from there."""
        for name, wanted in (("run", "twistd -n devp2p"), ("test", "-m twisted.trial -j2 tests")):
            done = subprocess.run(
                [sys.executable, ROOT / ".ci/readme.py", name], capture_output=True, text=True, timeout=60
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(wanted, done.stdout)

    def test_news_fragments_have_known_kinds(self) -> None:
        """Others are left out of the news, without a word."""
        kinds = [
            each["directory"]
            for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]["type"]
        ]
        known = re.compile(rf"(\d+|\+\w+)\.({'|'.join(kinds)})(\.\d+)?\.md|\.gitignore")
        self.assertEqual(
            [path.name for path in (ROOT / "newsfragments").iterdir() if not known.fullmatch(path.name)], []
        )
