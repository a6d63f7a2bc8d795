"""
The count with which the continuous integration closes.
"""

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TALLY = Path(__file__).parents[2] / ".ci/tally.py"


class TallyTests(SynchronousTestCase):
    """What it makes of trial's closing lines."""

    def tally(self, *logs: str) -> tuple[int, str]:
        paths = []
        for log in logs:
            paths.append(Path(self.mktemp()))
            paths[-1].write_text(f"\n----\nRan 9 tests in 0.123s\n\n{log}\n" if log else "")
        done = subprocess.run([sys.executable, TALLY, *paths], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout.splitlines()[-1]

    def test_passed(self) -> None:
        self.assertEqual(self.tally("PASSED (successes=9)", "PASSED (successes=2)"), (0, "11 passed, 0 failed"))

    def test_failed(self) -> None:
        log = "FAILED (failures=1, errors=2, successes=6)"
        self.assertEqual(self.tally("PASSED (successes=9)", log), (1, "15 passed, 3 failed"))

    def test_skips_fail(self) -> None:
        self.assertEqual(self.tally("PASSED (skips=2, successes=7)"), (1, "7 passed, 0 failed, 2 skipped"))

    def test_a_run_that_did_not_end_fails(self) -> None:
        self.assertEqual(self.tally("PASSED (successes=9)", ""), (1, "9 passed, 0 failed"))

    def test_a_run_without_tests_fails(self) -> None:
        self.assertEqual(self.tally("PASSED"), (1, "0 passed, 0 failed"))
