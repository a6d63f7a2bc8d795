"""
The command that starts a daemon waits until the daemon says how the start went.

twistd has its daemon say so as soon as C{startService} returns; ours says so when the server listens, or cannot.
"""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

#: The key under which twistd keeps the pipe that its first process waits at.
_PIPE = "statusPipe"


class StartPipe:
    """What the process that the user started waits for; without a daemon, its standard error alone."""

    def __init__(self, twistd: dict[str, Any]) -> None:
        """
        @param twistd: the options before the word C{devp2p}.
        """
        self._twistd = twistd
        self._pipe: int | None = None
        self._isOurs = False
        self._stderr = _descriptor(sys.__stderr__)
        if self._stderr is not None and not twistd.get("nodaemon", True):
            self._stderr = os.dup(self._stderr)  # for a daemon's own standard error is /dev/null
            self._isOurs = True

    def take(self) -> None:
        """Take the pipe over from twistd, which made it when it became a daemon."""
        self._pipe = self._twistd.pop(_PIPE, None)

    def succeeded(self) -> None:
        """The node runs, or ended in order."""
        self._end(b"0")

    def failed(self, sentence: str) -> None:
        """It does not, and this is why."""
        if self._stderr is not None:
            os.write(self._stderr, f"{sentence}\n".encode(errors="backslashreplace"))
        self._end(b"1 the node did not start")

    def _end(self, message: bytes) -> None:
        pipe, self._pipe = self._pipe, None
        stderr, self._stderr = self._stderr, None
        if pipe is not None:
            os.write(pipe, message)
            os.close(pipe)
        if stderr is not None and self._isOurs:
            os.close(stderr)


def _descriptor(stream: TextIO | None) -> int | None:
    """The file descriptor of a stream that is open."""
    return None if stream is None or stream.closed else stream.fileno()
