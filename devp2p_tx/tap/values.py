"""
Options, the values that users give them, and where each value came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from twisted.python import usage

from devp2p_tx.errors import DevP2PError

#: What a wrong value may raise where it is read: the message is the reason.
READ_ERRORS = (DevP2PError, ValueError)


class WrongValue(usage.UsageError):
    """A value that cannot be used. The message begins with where it came from: an option, a variable, or FILE:LINE."""


class Value(NamedTuple):
    """
    @ivar text: what the user gave.
    @ivar source: C{--option}, C{DEVP2P_VARIABLE}, or empty for a default.
    """

    text: str
    source: str


@dataclass(frozen=True)
class Option:
    """
    An option, declared once: its flag, its variable, its help and what its value means.

    @ivar name: without the dashes.
    @ivar help: what C{--help} says.
    @ivar parse: reads one value; raises L{READ_ERRORS} with a reason, or L{WrongValue} with a place of its own.
    @ivar default: as the user would write it; C{None} for no value.
    @ivar shown: the default in words, where that is not C{default} itself.
    @ivar short: a letter for it.
    @ivar isRepeatable: whether it may be given several times.
    """

    name: str
    help: str
    parse: Callable[[str], Any] = str
    default: str | None = None
    shown: str = ""
    short: str = ""
    isRepeatable: bool = False

    @property
    def flag(self) -> str:
        """What the command line calls it."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """What the environment calls it."""
        return "DEVP2P_" + self.name.upper().replace("-", "_")

    @property
    def isFlag(self) -> bool:
        """Whether the command line gives it no value."""
        return self.parse is parseFlag

    @property
    def doc(self) -> str:
        """Its help, with its default."""
        shown = self.shown or self.default
        return f"{self.help} [default: {shown}]" if shown and not self.isFlag else self.help

    def values(self, given: Sequence[Value], environment: Mapping[str, str]) -> list[Value]:
        """
        The values that hold: those of the command line, or else that of the environment, or else the default. An empty
        variable is no value.
        """
        if given:
            return list(given) if self.isRepeatable else [given[-1]]
        if text := environment.get(self.variable, "").strip():
            texts = text.split() if self.isRepeatable else [text]
            return [Value(each, self.variable) for each in texts]
        return [] if self.default is None else [Value(self.default, "")]

    def read(self, value: Value) -> Any:
        """
        What a value means.

        @raise WrongValue: nothing.
        """
        try:
            if not value.text.strip():
                raise ValueError("the value is empty: leave the option out, or give it a value")
            return self.parse(value.text)
        except WrongValue:
            raise
        except READ_ERRORS as error:
            raise WrongValue(f"{value.source or self.flag}: {error}") from None


def parseFlag(text: str) -> bool:
    """
    Read what a variable says of a flag.

    @raise ValueError: neither yes nor no.
    """
    word = text.strip().lower()
    if word not in ("0", "1", "no", "yes", "false", "true"):
        raise ValueError(f"want 1 or 0, not {text!r}")
    return word in ("1", "yes", "true")


class Values:
    """
    All options' values: read once, each with its source.

    @ivar given: by option, what holds.
    """

    def __init__(self, options: Sequence[Option], given: Sequence[tuple[str, Value]], environment: Mapping[str, str]):
        """
        @param given: option and value, in the order of the command line.
        @raise WrongValue: one cannot be read.
        """
        self.given: dict[str, list[Value]] = {}
        self._read: dict[str, list[Any]] = {}
        for option in options:
            own = [value for name, value in given if name == option.name]
            self.given[option.name] = option.values(own, environment)
        for option in options:
            self._read[option.name] = [option.read(value) for value in self.given[option.name]]

    def one(self, name: str) -> Any:
        """The value of an option that is not repeatable; C{None} if it has none."""
        return next(iter(self._read[name]), None)

    def all(self, name: str) -> list[Any]:
        """The values of an option that is repeatable."""
        return self._read[name]

    def isGiven(self, name: str) -> bool:
        """Whether the user gave it; a flag that a variable turns off is not given."""
        return bool(self.source(name)) and self.one(name) is not False

    def source(self, name: str) -> str:
        """Where the value came from; empty for a default."""
        return next((value.source for value in self.given[name]), "")
