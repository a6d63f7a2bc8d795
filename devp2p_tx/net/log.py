"""
The log: whatever a log entry has of a stranger, an error's text for one, reaches the reader as printable text.

All modules that log make their L{Logger} here. What an observer formats, reads or stores of an entry's own fields shows
no control characters, no line ends, and nothing that changes the direction of writing.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent, LogLevel, formatEventAsClassicLogText
from twisted.logger import Logger as TwistedLogger

from devp2p_tx.core.text.printable import escaped

#: How many characters of one text in a log entry are shown, and of one line of a traceback.
MAX_LOGGED = 2048


class ShownError:
    """An error in a log entry: that error, but for its texts, which are printable."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._error)

    def __getattr__(self, name: str) -> Any:
        return shown(getattr(self._error, name))

    def __str__(self) -> str:
        return escaped(str(self._error), MAX_LOGGED)

    def __repr__(self) -> str:
        return escaped(repr(self._error), MAX_LOGGED)

    def __format__(self, form: str) -> str:
        return format(str(self), form)


def shown(value: object) -> object:
    """A field of a log entry, if it is a text or an error, as printable text."""
    if isinstance(value, str):
        return escaped(value, MAX_LOGGED)
    return ShownError(value) if isinstance(value, BaseException) and not issubclass(type(value), ShownError) else value


class Logger(TwistedLogger):
    """Twisted's, for entries in which strangers have a say."""

    def emit(self, level: LogLevel, format: str | None = None, **kwargs: object) -> None:
        """See C{twisted.logger.Logger}."""
        super().emit(level, format, **{name: shown(value) for name, value in kwargs.items()})


def formatText(event: LogEvent) -> str | None:
    """A log entry as twistd writes it, all of it printable: a line, and tracebacks in lines that begin with a tab."""
    text = formatEventAsClassicLogText(event)
    if text is None:
        return None
    lines = ("\t".join(escaped(part, MAX_LOGGED) for part in line.split("\t")) for line in text.split("\n"))
    return "\n".join(lines)
