"""
The limit on open files.
"""

from __future__ import annotations

import os
import resource
from typing import Any
from unittest.mock import patch

from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.descriptors import ENOUGH, INTERVAL, DescriptorWatch, canOpen, checkLimit, neededDescriptors
from devp2p_tx.tap.descriptors import raiseLimit


def config(**settings: Any) -> ServerConfig:
    """How a node is set up."""
    return ServerConfig(PrivateKey(bytes(31) + b"\1"), **settings)


class LogTestCase(SynchronousTestCase):
    """Notes what is logged."""

    def setUp(self) -> None:
        self.lines: list[tuple[LogLevel, str]] = []
        observer = lambda event: self.lines.append((event["log_level"], formatEvent(event)))  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)


class LimitTests(LogTestCase):
    """The limit against what a node needs."""

    def limit(self, soft: int, hard: int) -> list[tuple[int, int]]:
        """Pretend to have these limits; what is set."""
        made: list[tuple[int, int]] = []
        current = [(soft, hard)]

        def set_(kind: int, limits: tuple[int, int]) -> None:
            made.append(limits)
            current[0] = limits

        for name, value in (("getrlimit", lambda kind: current[0]), ("setrlimit", set_)):
            patched = patch.object(resource, name, value)
            patched.start()
            self.addCleanup(patched.stop)
        return made

    def test_what_is_needed(self) -> None:
        """Each peer, each inbound handshake, two sockets for each dial, and the rest."""
        self.assertEqual(neededDescriptors(config(maxPeers=50, maxPendingPeers=50)), 64 + 50 + 50 + 256 + 64 + 100)
        self.assertEqual(neededDescriptors(config(maxPeers=3, maxPendingPeers=5, noDial=True)), 64 + 3 + 5 + 256 + 64)

    def test_enough(self) -> None:
        for soft in (584, 1024, resource.RLIM_INFINITY):
            made = self.limit(soft, resource.RLIM_INFINITY)
            raiseLimit(config())
            checkLimit(config())
            self.assertEqual((made, self.lines), ([], []))

    def test_raised(self) -> None:
        made = self.limit(583, 5000)
        raiseLimit(config())
        checkLimit(config())
        self.assertEqual(made, [(5000, 5000)])
        self.assertEqual(self.lines, [(LogLevel.info, "limit on open files raised: from=583 to=5000 needed=584")])

    def test_raised_and_still_too_low(self) -> None:
        made = self.limit(100, 583)
        raiseLimit(config())
        checkLimit(config())
        self.assertEqual(made, [(583, 583)])
        [_, (level, line)] = self.lines
        self.assertIs(level, LogLevel.warn)
        self.assertIn("too low for this node: limit=583 needed=584", line)

    def test_a_server_warns_and_changes_nothing(self) -> None:
        made = self.limit(583, 5000)
        checkLimit(config())
        self.assertEqual(made, [])
        self.assertIn("limit=583 needed=584", self.lines[0][1])


class WatchTests(LogTestCase):
    """Files that run out."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.free = 100
        self.watch = DescriptorWatch(self.clock, lambda count: self.free >= count)
        self.watch.start()

    def after(self, free: int) -> int:
        """How many lines there are when it was looked with so many files free."""
        self.free = free
        self.clock.advance(INTERVAL)
        return len(self.lines)

    def test_once_at_each_end(self) -> None:
        self.assertEqual([self.after(free) for free in (1, 0, 0, 1, ENOUGH - 1, 0, ENOUGH, 1, 0)],
                         [0, 1, 1, 1, 1, 1, 2, 2, 3])  # fmt: skip
        self.assertIn("no more files can be opened", self.lines[0][1])
        self.assertEqual(self.lines[1][1], "files can be opened again")

    def test_stopped(self) -> None:
        self.watch.stop()
        self.watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_can_be_opened(self) -> None:
        """Nothing stays open."""
        before = sorted(os.listdir("/proc/self/fd"))
        self.assertTrue(canOpen(ENOUGH))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(map(int, before)) + 4
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        try:
            self.assertFalse(canOpen(highest))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(sorted(os.listdir("/proc/self/fd")), before)
