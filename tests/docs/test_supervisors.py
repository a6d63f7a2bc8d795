"""
docs/howto.md has a table of what a supervisor may do; each row names the test that does it.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]
MODULE = "tests/tap/test_supervisors.py"


class TableTests(SynchronousTestCase):
    """The table under "Run it under a supervisor"."""

    def test_each_row_names_tests_that_are_there(self) -> None:
        page = (ROOT / "docs/howto.md").read_text("utf-8")
        section = page.partition("## Run it under a supervisor")[2].partition("\n## ")[0]
        rows = [line for line in section.splitlines() if line.startswith("|")][2:]
        self.assertIn(MODULE, section)
        self.assertGreater(len(rows), 10)
        classes = {
            node.name: {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            for node in ast.parse((ROOT / MODULE).read_text("utf-8")).body
            if isinstance(node, ast.ClassDef)
        }
        for row in rows:
            named = re.findall(r"`(?:(\w+)\.)?(test_\w+)`", row)
            self.assertTrue(named, row)
            group = ""
            for name, test in named:
                group = name or group
                self.assertIn(test, classes[group], row)
