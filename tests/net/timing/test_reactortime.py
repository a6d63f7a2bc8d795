"""
Tests for L{devp2p_tx.net.timing.reactortime}.
"""

from __future__ import annotations

import subprocess
import sys
from time import monotonic

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.net.timing.reactortime import secondsOf
from devp2p_tx.testing import MemoryNetwork

#: A process whose clock is set back by a day and then ahead by one, while calls wait.
PROCESS = """
import time
from twisted.python import runtime
ahead = [0.0]
runtime.seconds = lambda: time.time() + ahead[0]
from twisted.internet import selectreactor
selectreactor.install()
from twisted.internet import reactor
from devp2p_tx.net.timing.reactortime import useMonotonicTime
assert abs(reactor.seconds() - time.time()) < 5
late, order = reactor.callLater(3600, print, "an hour early"), []
reactor.callLater(0.01, order.append, "before")
if {isUsed}:
    useMonotonicTime(reactor)
ahead[0] = {ahead}
reactor.callLater(0.02, order.append, "after")
reactor.callLater(0.03, lambda: (print(order), reactor.stop()))
import threading
watch = threading.Timer(5, lambda: (print("stalled", flush=True), __import__("os")._exit(0)))
watch.daemon = True
watch.start()
reactor.run()
"""


class ReactorTimeTests(SynchronousTestCase):
    """Clocks that are set."""

    def runProcess(self, isUsed: bool, ahead: float) -> str:
        """What a process says."""
        done = subprocess.run(
            [sys.executable, "-c", PROCESS.format(isUsed=isUsed, ahead=ahead)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.strip()

    def test_set_back(self) -> None:
        """Calls come when they were to come."""
        self.assertEqual(self.runProcess(True, -86400.0), "['before', 'after']")

    def test_set_ahead(self) -> None:
        """None comes early."""
        self.assertEqual(self.runProcess(True, 86400.0), "['before', 'after']")

    def test_without(self) -> None:
        """A reactor by itself does otherwise, or this would be needless."""
        self.assertIn("an hour early", self.runProcess(False, 86400.0))

    def test_seconds(self) -> None:
        """Deadlines have a monotonic clock on a real reactor, and the network's own in memory."""
        from twisted.internet import reactor

        self.assertIs(secondsOf(reactor), monotonic)
        host = MemoryNetwork().host("10.0.0.1")
        self.assertEqual(secondsOf(host)(), host.seconds())
        self.assertEqual(secondsOf(Clock())(), 0.0)
