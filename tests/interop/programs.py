"""
Other people's programs as processes, whose output is read.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from devp2p_tx.net.oneshot import OneShot
from tests.interop.foreign import END_TIMEOUT, MAX_COMPLAINT
from tests.interop.journal import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


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


class Program(ProcessProtocol):
    """A process."""

    def __init__(self, name: str) -> None:
        self.output = ""
        self._name = name
        self._waiting: list[tuple[re.Pattern[str], Deferred[re.Match[str]]]] = []
        self._ended: OneShot[None] = OneShot()
        self._over = ""

    @classmethod
    def start(cls, *command: str, env: Mapping[str, str] | None = None) -> Program:
        """Run it."""
        from twisted.internet import reactor

        program = cls(Path(command[0]).name)
        path = tool(command[0])
        reactor.spawnProcess(program, path, [path, *command[1:]], env={**os.environ, **(env or {})})  # type: ignore[attr-defined]
        return program

    def says(self, pattern: str) -> Deferred[re.Match[str]]:
        """
        Fires when its output, so far or from now on, has something like that.

        @return: fails with C{AssertionError} if that does not happen in time, or it ends before.
        """
        from twisted.internet import reactor

        wanted, said = re.compile(pattern), Deferred[Any]()
        if found := wanted.search(self.output):
            said.callback(found)
        elif self._over:
            said.errback(self._missed(pattern, self._over))
        else:
            self._waiting.append((wanted, said))

        def late(cancelled: object, seconds: float) -> Failure:
            return self._missed(pattern, f"not within {seconds} s")

        return said.addTimeout(PATIENCE, reactor, onTimeoutCancel=late)  # type: ignore[arg-type]

    def _missed(self, pattern: str, why: str) -> Failure:
        return Failure(AssertionError(f"{self._name} did not say {pattern!r}: {why}:\n{self.output[-MAX_COMPLAINT:]}"))

    async def close(self) -> None:
        """End it, however it stands."""
        from twisted.internet import reactor

        if self._over:
            return
        self.transport.signalProcess("TERM")
        ended = self._ended.when()
        kill = reactor.callLater(END_TIMEOUT, self._kill)  # type: ignore[attr-defined]
        await ended
        if kill.active():
            kill.cancel()

    def _kill(self) -> None:
        self.transport.signalProcess("KILL")

    def outReceived(self, data: bytes) -> None:
        """See C{ProcessProtocol}."""
        self.output += data.decode(errors="replace")
        waiting, self._waiting = self._waiting, []
        for wanted, said in waiting:
            found = wanted.search(self.output)
            if found is None:
                self._waiting.append((wanted, said))
            elif not said.called:
                said.callback(found)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        """See C{ProcessProtocol}."""
        self._over = f"it ended: {reason.getErrorMessage()}"
        waiting, self._waiting = self._waiting, []
        for wanted, said in waiting:
            if not said.called:
                said.errback(self._missed(wanted.pattern, self._over))
        self._ended.fire(None)


def node(*arguments: str) -> tuple[str, ...]:
    """The command that runs a node of ours."""
    run = "from twisted.scripts.twistd import run; run()"
    return (sys.executable, "-c", run, "--pidfile=", "-n", "devp2p", "--network", "none", *arguments)


def nodeEnvironment() -> dict[str, str]:
    """What that command wants of its environment."""
    return {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "DEVP2P_NETWORK": "none"}
