"""
Programs as processes: others', whose output is read, and ours, which are told what to do.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from devp2p_tx._oneshot import OneShot
from tests.interop.journal import PATIENCE, Event, Journal

#: How long a program may take to end when it is told to, before it is killed (seconds).
END_TIMEOUT = 10.0
#: How many of the lines of a program are kept for a test's report.
REPORTED_LINES = 30

ROOT = Path(__file__).resolve().parents[2]
#: What our own programs want of their environment.
OURS = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "DEVP2P_NETWORK": "none"}

P = TypeVar("P", bound="Program")


def freePort(kind: int = socket.SOCK_STREAM) -> int:
    """A port of loopback that was free just now, for programs that cannot say which one they took."""
    with socket.socket(socket.AF_INET, kind) as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port


def tool(name: str) -> str:
    """
    The path of a program.

    @raise AssertionError: it is not installed.
    """
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if found is None:
        raise AssertionError(f"the interop tests need {name!r}, which is not on the PATH")
    return found


def node(*arguments: str) -> tuple[str, ...]:
    """The command that runs a node of ours, in the environment L{OURS}."""
    run = "from twisted.scripts.twistd import run; run()"
    return (sys.executable, "-c", run, "--pidfile=", "-n", "devp2p", "--network", "none", *arguments)


class Program(ProcessProtocol):
    """
    A process, and the lines that it writes, to its output and errors alike.

    @ivar lines: all of them so far.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._rests: defaultdict[int, bytes] = defaultdict(bytes)
        self._waiting: list[tuple[re.Pattern[str], int, Deferred[re.Match[str]]]] = []
        self._ended: OneShot[str] = OneShot()
        self._over: str | None = None

    def says(self, pattern: str, times: int = 1) -> Deferred[re.Match[str]]:
        """
        A line that C{pattern} is found in, written already or still to come.

        @param times: the how manyth of them.
        @return: fails with C{AssertionError} if there is none within L{PATIENCE} seconds, or the process ended.
        """
        from twisted.internet import reactor

        wanted = re.compile(pattern)
        said: Deferred[re.Match[str]] = Deferred()
        matches = [match for line in self.lines if (match := wanted.search(line))]
        if len(matches) >= times:
            said.callback(matches[times - 1])
            return said
        if self._over is not None:
            said.errback(self._missed(wanted, self._over))
            return said
        self._waiting.append((wanted, times, said))

        def late(cancelled: object, seconds: float) -> Failure:
            self._waiting.remove((wanted, times, said))
            return self._missed(wanted, f"not within {seconds} s")

        return said.addTimeout(PATIENCE, reactor, onTimeoutCancel=late)

    def whenEnded(self) -> Deferred[str]:
        """Fires with how it ended; fails with C{AssertionError} if it does not within L{PATIENCE} seconds."""
        from twisted.internet import reactor

        def late(cancelled: object, seconds: float) -> Failure:
            return Failure(AssertionError(f"it goes on after {seconds} s:\n{self.report()}"))

        return self._ended.when().addTimeout(PATIENCE, reactor, onTimeoutCancel=late)

    async def close(self, signal: str | None = None) -> None:
        """
        End it, however it stands, in L{END_TIMEOUT} seconds by force.

        @param signal: to be sent first, rather than to tell it as it wants to be told.
        """
        from twisted.internet import reactor

        if self._over is None:
            if signal is None:
                self._tellToEnd()
            else:
                self._signal(signal)
            kill = reactor.callLater(END_TIMEOUT, self._signal, "KILL")
            await self._ended.when()
            if kill.active():
                kill.cancel()

    def _tellToEnd(self) -> None:
        self._signal("TERM")

    def _signal(self, signal: str) -> None:
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(signal)

    def report(self) -> str:
        """The last of its lines."""
        return "\n".join(self.lines[-REPORTED_LINES:])

    def _missed(self, wanted: re.Pattern[str], why: str) -> Failure:
        return Failure(AssertionError(f"no line with {wanted.pattern!r}: {why}; but\n{self.report()}"))

    def lineReceived(self, line: str) -> None:
        """A line was written."""
        self.lines.append(line)
        for wanted, times, waiting in list(self._waiting):
            match = wanted.search(line)
            if match and sum(wanted.search(each) is not None for each in self.lines) == times:
                self._waiting.remove((wanted, times, waiting))
                waiting.callback(match)

    # What the process does.

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """See C{ProcessProtocol}."""
        *lines, self._rests[childFD] = (self._rests[childFD] + data).split(b"\n")
        for line in lines:
            self.lineReceived(line.decode(errors="replace"))

    def processEnded(self, reason: Failure) -> None:
        """See C{ProcessProtocol}."""
        self._over = f"it ended: {reason.getErrorMessage()}"
        waiting, self._waiting = self._waiting, []
        for wanted, _, each in waiting:
            each.errback(self._missed(wanted, self._over))
        self._ended.fire(self._over)


class ToldProgram(Program):
    """A program that is told what to do, and tells what happens, in lines of JSON."""

    def __init__(self) -> None:
        super().__init__()
        self._journal = Journal(type(self).__name__)

    def command(self, cmd: str, **fields: Any) -> None:
        """Tell it to do something."""
        self.transport.write(json.dumps({"cmd": cmd, **fields}).encode() + b"\n")

    def expect(self, event: str, **fields: Any) -> Deferred[Event]:
        """See L{Journal.expect}."""
        return self._journal.expect(event, **fields)

    def lineReceived(self, line: str) -> None:
        """See L{Program}."""
        super().lineReceived(line)
        if line.startswith("{"):
            self._journal.record(**json.loads(line))

    def processEnded(self, reason: Failure) -> None:
        """See C{ProcessProtocol}."""
        self._journal.end(f"it ended: {reason.getErrorMessage()}\n{self.report()}")
        super().processEnded(reason)


def spawn(program: P, *words: str, **environment: str) -> P:
    """
    Start a program, in this process's environment and what is given beside.

    @raise AssertionError: it is not installed.
    """
    from twisted.internet import reactor

    path = tool(words[0])
    reactor.spawnProcess(program, path, (path, *words[1:]), env={**os.environ, **environment})
    return program
