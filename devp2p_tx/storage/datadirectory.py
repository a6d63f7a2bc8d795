"""
The data directory, which one process has for itself.

The lock is C{flock} on the directory itself, so no file is left behind that could keep a node from starting: the system
releases it when the process ends, however it ends. The file C{pid} says which process has it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from devp2p_tx.errors import DevP2PError

_PID = "pid"
#: More than that is no number of a process (bytes).
_MAX_PID = 20


class DataDirectoryError(DevP2PError):
    """A data directory that cannot be used; the message says why."""


def make_directory(path: Path, uid: int = -1, gid: int = -1) -> None:
    """
    Make a directory with mode 0700, and those above it.

    @param uid: who owns the directories that are made; -1 for this process's user. Likewise C{gid}.
    @raise OSError: one cannot be made.
    """
    missing = [each for each in (path, *path.parents) if not os.path.lexists(each)]
    for each in reversed(missing):
        with suppress(FileExistsError):  # another process made it meanwhile
            os.mkdir(each, 0o700)
            os.chown(each, uid, gid)


class DataDirectory:
    """
    A directory, locked for this process from L{lock} to L{release}.

    @ivar path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._has_pid = False

    def lock(self) -> None:
        """
        Lock it.

        @raise DataDirectoryError: another process has it; the message names both.
        @raise OSError: it cannot be opened, or its file system has no locks.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DataDirectoryError(
                f"another node uses the data directory {self.path} ({self._holder()}): stop that node, or give this"
                " one a data directory of its own"
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _holder(self) -> str:
        """The process that has it, as the file C{pid} says."""
        with suppress(OSError, ValueError):
            return f"pid {int((self.path / _PID).read_bytes()[:_MAX_PID])}"
        return "its pid is not known"

    def write_pid(self) -> None:
        """
        Note in the file C{pid} that this process has it.

        @raise OSError: nothing can be written there.
        """
        path = self.path / _PID
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(f"{os.getpid()}\n")
        self._has_pid = True

    def release(self) -> None:
        """Unlock it. Doing it again does no harm."""
        if self._has_pid:
            self._has_pid = False
            with suppress(OSError):
                os.unlink(self.path / _PID)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
