"""
Tests for L{devp2p_tx.tap.allocator}.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import devp2p_tx

#: What messages of a mebibyte do to the memory: 768 pages come and go a hundred times. Prints how many came from the
#: system, once all had been there, and how much memory (KiB) was taken beforehand.
PROGRAM = """
import resource
import sys

def usage():
    return resource.getrusage(resource.RUSAGE_SELF)

def come_and_go():
    return [b"x" * (1 << 20) for _ in range(3)]

import devp2p_tx.net.rlpx.protocol
import devp2p_tx.tap.allocator
before = usage().ru_maxrss
if sys.argv[1:]:
    devp2p_tx.tap.allocator.keepFreedMemory()
taken = usage().ru_maxrss - before
come_and_go()
faults = usage().ru_minflt
for _ in range(100):
    come_and_go()
print(usage().ru_minflt - faults, taken)
"""


class TestFreedMemory(SynchronousTestCase):
    def measure(self, *arguments: str) -> tuple[int, int]:
        """How many pages came from the system, and how much memory was taken beforehand."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
        environment["PYTHONPATH"] = str(Path(devp2p_tx.__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        self.assertEqual(done.stderr, "")
        faults, taken = map(int, done.stdout.split())
        return faults, taken

    def test_kept(self) -> None:
        """Memory that large messages had is there for the next ones, and none is taken before the first."""
        faults, taken = self.measure("keep")
        self.assertLess(faults, 2_000)
        self.assertLess(taken, 8_192)

    def test_importing_changes_nothing(self) -> None:
        """A program that embeds the node keeps the allocator that it had; only the command-line node asks for more."""
        faults, _ = self.measure()
        self.assertGreater(faults, 20_000)
