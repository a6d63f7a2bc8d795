"""
Tor's control port, as far as a test scripts it: it listens wherever a reactor of tests can.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

#: The address of every onion service: version 3 has 56 letters and digits.
SERVICE = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstuvwx"


class _Control(LineOnlyReceiver):
    factory: TorControlPort
    transport: Any

    def connectionMade(self) -> None:
        self.factory.connections.append(self)

    def lineReceived(self, line: bytes) -> None:
        command = line.decode()
        self.factory.commands.append(command)
        for each in self.factory.answer(command):
            self.sendLine(each.encode())


class TorControlPort(Factory):
    """
    @ivar commands: what it was told, in order.
    @ivar connections: those that were made, in order.
    @ivar answers: its lines for commands that begin so, the first that fits; none for silence.
    """

    noisy = False
    protocol = _Control

    def __init__(self, socks: str = '"127.0.0.1:9050"') -> None:
        self.commands: list[str] = []
        self.connections: list[_Control] = []
        self.answers: dict[str, list[str]] = {
            "PROTOCOLINFO": ["250-PROTOCOLINFO 1", "250-AUTH METHODS=NULL", '250-VERSION Tor="0.4.9.1"', "250 OK"],
            "GETINFO signal/names": ["250-signal/names=RELOAD NEWNYM", "250 OK"],
            "GETINFO version": ["250-version=0.4.9.1", "250 OK"],
            "GETINFO events/names": ["250-events/names=CIRC HS_DESC", "250 OK"],
            "GETINFO net/listeners/socks": [f"250-net/listeners/socks={socks}", "250 OK"],
            "ADD_ONION": [f"250-ServiceID={SERVICE}", "250 OK"],
            "": ["250 OK"],
        }

    def script(self, start: str, *lines: str) -> None:
        """Have it say this to commands that begin so."""
        self.answers = {start: list(lines), **{each: known for each, known in self.answers.items() if each != start}}

    def answer(self, command: str) -> list[str]:
        """What it says to a command."""
        return next(lines for start, lines in self.answers.items() if command.startswith(start))

    def told(self, start: str) -> list[str]:
        """The commands that begin so."""
        return [command for command in self.commands if command.startswith(start)]
