"""
What becomes of errors in the code of capabilities: whose fault they are, and how often they are logged.

A capability that raises for a message of a peer raises again for the next such message, which the peer can send as
often as it likes. So a failure of our own code is logged with its traceback at most once in L{LOG_INTERVAL} for each
capability; those between are counted, and the next entry has their number. Failures that are the peer's fault are
logged at debug only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import CapabilityFailed, DisconnectReason, RemoteProtocolError
from devp2p_tx.net.log import Logger

#: From one traceback of a capability in the log to the next (seconds).
LOG_INTERVAL = 60.0

_log = Logger()


def labelOf(speaker: object) -> str:
    """How a capability, or the one of a channel, is called in counters and logs: its name and version."""
    capability: Any = getattr(speaker, "capability", speaker)
    return "no capability" if capability is None else f"{capability.name}/{capability.version}"


class CapabilityFaults:
    """Logs and counts the failures of capabilities. One is shared by all connections of a node."""

    def __init__(self, seconds: Callable[[], float], metrics: Metrics) -> None:
        """
        @param seconds: the time, which should not jump.
        @param metrics: where failures are counted.
        """
        self._seconds, self._metrics = seconds, metrics
        self._logged: dict[str, tuple[float, int]] = {}  # when last, and how many failures there were since then

    def judge(self, speaker: object, failure: Failure) -> tuple[Exception, int]:
        """
        A capability raised while it was called for its peer: log and count that.

        @param speaker: the capability or its channel; C{None} if none was there to be called: the peer's fault.
        @return: the reason of the end of the connection, and the Disconnect reason that the peer is told.
        """
        error, label = failure.value, labelOf(speaker)
        if isinstance(error, RemoteProtocolError):
            _log.debug("{capability}: the peer is at fault: {error}", capability=label, error=error)
            error.__traceback__ = error.__context__ = None  # whose frames know the connection, which keeps the error
            return error, DisconnectReason.SUBPROTOCOL_ERROR if error.reason is None else error.reason
        self._report(label, failure, "its peer is dropped")
        assert error is not None  # as it is of every failure that was not made for a test of Twisted's own
        return CapabilityFailed(repr(speaker), error), DisconnectReason.SUBPROTOCOL_ERROR

    def report(self, speaker: object, failure: Failure, doing: str) -> None:
        """
        A capability failed by its own fault: count that, and log it with the traceback if the last time is long ago.

        @param doing: what follows from it, or when it was.
        """
        self._report(labelOf(speaker), failure, doing)

    def _report(self, label: str, failure: Failure, doing: str) -> None:
        now = self._seconds()
        self._metrics.count("capability_failures", capability=label)
        last, silent = self._logged.get(label, (now - LOG_INTERVAL, 0))
        if last <= now < last + LOG_INTERVAL:
            self._logged[label] = last, silent + 1
            return
        self._logged[label] = now, 0
        _log.failure(
            "{capability} failed, {doing}: unlogged={silent} in the last {interval:.0f} s",
            failure,
            capability=label,
            doing=doing,
            silent=silent,
            interval=LOG_INTERVAL,
        )
