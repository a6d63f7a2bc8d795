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

from tests import forms

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
        self.assertEqual(oldest, bounds("REQUIRED") | bounds("COINCURVE") | bounds("TEST"))

    def test_one_binding_has_an_upper_bound_and_the_other_too(self) -> None:
        """What a binding of libsecp256k1 offers beneath its own classes may change with its next series."""
        for name in ("btclib-secp256k1", "coincurve"):
            self.assertRegex(SETUP, rf'"{name}>=[\d.]+,<[\d.]+')

    def test_the_pythons_agree(self) -> None:
        """The classifiers, tox and README name the same versions of Python."""
        classified = re.findall(r"Python :: 3\.(\d+)", SETUP)
        self.assertEqual(
            re.findall(r"py\{(.*?)\}", (ROOT / "tox.ini").read_text()), [",".join("3" + each for each in classified)]
        )
        self.assertIn(f"Python 3.{classified[0]} to 3.{classified[-1]}", (ROOT / "README.md").read_text())
        self.assertIn(f'python_requires=">=3.{classified[0]}"', SETUP)

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
        known = re.compile(rf"(\d+|\+\w+)\.({'|'.join(kinds)})(\.\w+)?\.md|\.gitignore")
        self.assertEqual(
            [path.name for path in (ROOT / "newsfragments").iterdir() if not known.fullmatch(path.name)], []
        )

    def test_what_can_be_compiled_is_sealed(self) -> None:
        """The modules that setup.py names, and no others: see L{devp2p_tx._sealed}."""
        named = [ast.literal_eval(node.value) for node in ast.parse(SETUP).body if _assigns(node, "COMPILED")]
        sealed = [module.__name__.replace(".", "/") + ".py" for module in forms.sealed_modules()]
        self.assertEqual([sorted(each) for each in named], [sorted(sealed)])


def _assigns(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
