"""
The signals of a supervisor, from the first moment of the command on.

A signal that arrives before the reactor runs is held and delivered then: so a node that is interrupted while it starts
ends in order, and removes what twistd made for it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)
ALL = (*STOPPING, signal.SIGHUP, signal.SIGUSR1)


class Signals:
    """
    @ivar isStopRequested: whether a signal came that ends the node.
    """

    def __init__(self) -> None:
        self.isStopRequested = False
        self._held: list[int] = []
        self._deliver: Callable[[int], object] | None = None

    def hold(self) -> None:
        """Take over the signals, and hold those that come before L{deliverTo} is called."""
        for number in ALL:
            signal.signal(number, self._received)

    def deliverTo(self, act: Callable[[int], object], reactor: Any) -> None:
        """
        Call C{act} with each signal, those that are held first, in a turn of the reactor.

        The reactor takes over SIGTERM when it starts, so this is for a time after that.
        """
        self._deliver = lambda number: reactor.callFromThread(act, number)
        self.hold()
        held, self._held = self._held, []
        for number in held:
            self._deliver(number)

    def _received(self, number: int, frame: FrameType | None) -> None:
        self.isStopRequested = self.isStopRequested or number in STOPPING
        if self._deliver is None:
            self._held.append(number)
        else:
            self._deliver(number)


#: Those of this process.
SIGNALS = Signals()


def endInOrder(reactor: Any) -> None:
    """
    Let the process end with the status of an ordered end, also after a signal that the reactor itself took, which it
    does from its start until L{Signals.deliverTo}: twistd would send that signal to the process once more at the end.

    To be called when everything is closed.
    """
    reactor._exitSignal = None
