"""
Add up what trial said at the end of each of the given logs, and say it in one line: C{N passed, M failed}.

A log in which trial did not come to its end, ran nothing or left tests out fails, whatever else it says.
"""

import re
import sys
from collections import Counter
from pathlib import Path

CLOSING = re.compile(r"^Ran (\d+) tests in [\d.]+s\n+(?:PASSED|FAILED)(?: \((.*)\))?$", re.MULTILINE)
PASSED = ("successes", "expectedFailures")
FAILED = ("failures", "errors", "unexpectedSuccesses")
SKIPPED = ("skips", "todos")


def count(log: str) -> Counter[str]:
    """How many tests ended how, by trial's own words; of nothing at all, if trial did not say."""
    closings = CLOSING.findall(log)
    if not closings:
        return Counter()
    return Counter({word: int(number) for word, number in re.findall(r"(\w+)=(\d+)", closings[-1][1])})


def main(paths: list[Path]) -> bool:
    """Whether every log tells of tests, and of tests that passed alone."""
    total: Counter[str] = Counter()
    complete = True
    for path in paths:
        counts = count(path.read_text(errors="replace")) if path.exists() else Counter()
        if not counts:
            print(f"FAILED: {path} tells of no tests")
            complete = False
        total += counts
    passed, failed, skipped = (sum(total[word] for word in words) for words in (PASSED, FAILED, SKIPPED))
    if skipped:
        print(f"FAILED: {skipped} tests were left out")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return complete and not failed and not skipped


if __name__ == "__main__":
    sys.exit(not main([Path(argument) for argument in sys.argv[1:]]))
