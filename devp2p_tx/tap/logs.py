"""
Where the node logs to, and in which form: as twistd would, but with our levels, in our form, and in files that can be
rotated from outside.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LegacyLogObserverWrapper,
    LogLevelFilterPredicate,
    formatEvent,
    formatTime,
)
from twisted.python.logfile import LogFile

from devp2p_tx.net.log import Logger, formatText

#: Twisted's name for the file of a daemon that is not told another one.
_DAEMON_LOG = "twistd.log"
#: What Twisted's older logging adds to its events, all of it in fields of our own.
_LEGACY_FIELDS = frozenset({"isError", "message", "system", "time", "format"})

_log = Logger()


class Log:
    """
    The log of this process.

    @ivar observer: what twistd shall give events to; C{None} where that is for C{--logger} to say.
    @ivar file: the file that can be rotated; C{None} where there is none.
    """

    def __init__(self, twistd: Mapping[str, Any], isJSON: bool, predicate: LogLevelFilterPredicate) -> None:
        """
        @param twistd: the options before the word C{devp2p}.
        @raise OSError: the file cannot be opened.
        """
        self.file: LogFile | None = None
        self.observer: Any = None
        if twistd.get("logger"):
            return
        if twistd.get("syslog"):
            observer = _syslog(twistd.get("prefix", ""))
        else:
            stream = self._stream(twistd)
            observer = FileLogObserver(stream, formatJSON if isJSON else formatText)
        self.observer = FilteringLogObserver(observer, [predicate])

    def _stream(self, twistd: Mapping[str, Any]) -> TextIO:
        """Where twistd itself would log to."""
        isDaemon = not twistd.get("nodaemon", True)
        name = twistd.get("logfile") or (_DAEMON_LOG if isDaemon else "-")
        if name != "-":
            self.file = LogFile.fromFullPath(name)
            return self.file  # type: ignore[return-value]
        return sys.stdout or open(os.devnull, "w")  # a supervisor may start us without

    def give(self, uid: int, gid: int) -> None:
        """Make the file another user's, who is to write and rotate it."""
        if self.file is not None:
            os.chown(self.file.path, uid, gid)

    def rotate(self) -> None:
        """
        Begin a new file. The old one is renamed, unless that has been done already, as logrotate does; and what cannot
        be done is logged.
        """
        file = self.file
        if file is None:
            _log.info("SIGUSR1 rotates the log file, but this node logs to none: --logfile FILE before the word devp2p")
        elif not os.path.exists(file.path):
            file.reopen()
        elif os.access(file.directory, os.W_OK):
            file.rotate()
        else:
            _log.warn(
                "cannot rotate the log file {path}: uid={uid} may not write to {directory}",
                path=file.path,
                uid=os.geteuid(),
                directory=file.directory,
            )


def _syslog(prefix: str) -> ILogObserver:
    from twisted.python.syslog import SyslogObserver

    observer: ILogObserver = LegacyLogObserverWrapper(SyslogObserver(prefix).emit)  # type: ignore[arg-type]
    return observer


def formatJSON(event: dict[str, Any]) -> str:
    """A log event as one line: C{time}, C{level}, C{namespace}, C{message}, and the event's own plain fields."""
    own = {
        name: value
        for name, value in event.items()
        if isinstance(value, (str, int, float)) and not name.startswith("log_") and name not in _LEGACY_FIELDS
    }
    level = event.get("log_level")
    failure = event.get("log_failure")
    fields = {
        **own,
        "time": formatTime(event.get("log_time")),
        "level": level.name if level is not None else "info",
        "namespace": event.get("log_namespace", ""),
        "message": formatEvent(event),
    }
    if failure is not None:
        fields["traceback"] = failure.getTraceback()
    return json.dumps(fields, default=str) + "\n"
