"""
The command line and the environment of C{twistd devp2p}.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from twisted.python import usage

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.networks import NETWORKS
from devp2p_tx.tap.geth import otherProgramsFlag, unknownOption
from devp2p_tx.tap.settings import Settings
from devp2p_tx.tap.table import OPTIONS
from devp2p_tx.tap.values import Option, Value, Values, WrongValue

#: The exit status for a value that cannot be used.
WRONG_USAGE = 2
_FAULT = re.compile(r"option (--?\S+) ([^;]+)(?:;.*)?", re.DOTALL)  # Python 3.14 lists the options after a semicolon
_FAULTS = {
    "requires argument": "it wants a value",
    "must not have an argument": "it takes no value",
    "not a unique prefix": "it is the beginning of several options",
}


class Options(usage.Options):
    """
    The options. What is wrong with them ends the process with one sentence and the exit status 2.

    @ivar settings: what they mean, once they are parsed.
    """

    synopsis = "[options]"
    longdesc = (
        "Run an Ethereum devp2p node: RLPx over TCP, and discovery over UDP. Its enode URL is logged at start. Every"
        " option can come from the environment as well: DEVP2P_MAX_PEERS=20 is --max-peers 20, DEVP2P_NO_DIAL=1 is"
        " --no-dial; spaces separate the values of a repeatable option; an empty variable is no value. What the command"
        " line says takes precedence."
    )

    settings: Settings

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._given: list[tuple[str, Value]] = []
        self._notes: list[str] = []

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        See C{usage.Options}.

        @raise SystemExit: a value cannot be used; one line on standard error says which.
        """
        arguments = list(sys.argv[1:] if options is None else options)
        known = [option.name for option in OPTIONS]
        try:
            if (flag := otherProgramsFlag(arguments)) is not None:
                raise WrongValue(unknownOption(flag, known))
            super().parseOptions(arguments)  # type: ignore[no-untyped-call]
        except WrongValue as error:
            _refuse(str(error))
        except usage.UsageError as error:
            _refuse(_explained(str(error), known))

    def give(self, option: Option, text: str) -> None:
        """Note a value of the command line."""
        self._given.append((option.name, Value(text, option.flag)))

    def opt_n(self, network: str) -> None:
        """The former short form of --network."""
        if network not in NETWORKS:
            raise WrongValue("-n: before the word devp2p it means 'no daemon'; the network is --network NAME")
        self._notes.append("-n is a former short form of --network, and will mean nothing in the next release")
        self._given.append(("network", Value(network, "-n")))

    def opt_version(self) -> None:
        """Print the version, and whether native code or the Python source runs, and end."""
        from devp2p_tx import __version__, native

        print(f"devp2p-tx {__version__} ({'native code' if native else 'Python source'})")
        sys.exit(0)

    def opt_help(self) -> None:
        """Print this help and end."""
        print(str(self))
        sys.exit(0)

    def parseArgs(self, *arguments: str) -> None:
        """
        See C{usage.Options}.

        @raise WrongValue: there is something that belongs to no option.
        """
        if arguments:
            raise WrongValue(f"{arguments[0]}: it belongs to no option")

    def postOptions(self) -> None:
        """
        See C{usage.Options}.

        @raise WrongValue: a value cannot be used.
        """
        self.settings = Settings(Values(OPTIONS, self._given, os.environ), self.parent or {})
        self.settings.warnings[:0] = self._notes

    def serverConfig(self, key: PrivateKey) -> ServerConfig:
        """How the node with this key is set up."""
        return self.settings.serverConfig(key)


def _declare(option: Option) -> None:
    """Have C{usage.Options} know an option: it looks for methods with names of this form."""

    def flag(self: Options) -> None:
        self.give(option, "1")

    def parameter(self: Options, text: str) -> None:
        self.give(option, text)

    method: Callable[..., Any] = flag if option.isFlag else parameter
    method.__doc__ = option.doc
    for name in filter(None, (option.name.replace("-", "_"), option.short)):
        setattr(Options, f"opt_{name}", method)


for _option in OPTIONS:
    _declare(_option)


def _explained(message: str, known: Sequence[str]) -> str:
    """What getopt says of a command line, beginning with the option."""
    found = _FAULT.fullmatch(message)
    if found is None:
        return message
    flag, fault = found.groups()
    return f"{flag}: {_FAULTS[fault]}" if fault in _FAULTS else unknownOption(flag, known)


def _refuse(sentence: str) -> NoReturn:
    """End the process."""
    line = "".join(each if each.isprintable() else "?" for each in sentence.replace("\n", " "))
    print(line, file=sys.stderr)
    raise SystemExit(WRONG_USAGE)
