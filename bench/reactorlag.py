"""
How late a reactor calls while it has something else to do, and other parts of the servers that are measured.
"""

from __future__ import annotations

from time import monotonic

from twisted.internet import reactor
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from devp2p_tx.core.addressing.packetlimit import PacketRateLimiter
from devp2p_tx.core.addressing.sourcebudget import Allowance


def endless() -> PacketRateLimiter:
    """Budgets that are never used up, so that every packet costs what it can."""
    most = Allowance(1e9, 10**9)
    return PacketRateLimiter(strangers=most, known=most, source=most, network=most)


class Lag:
    """How late calls come."""

    interval = 0.005

    def __init__(self) -> None:
        self.lags: list[float] = []
        self._due = 0.0

    def start(self) -> None:
        """Ask for the next call."""
        self._due = monotonic() + self.interval
        reactor.callLater(self.interval, self._called)  # type: ignore[attr-defined]

    def _called(self) -> None:
        self.lags.append(monotonic() - self._due)
        self.start()

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        ranked = sorted(self.lags)
        return round(1000 * ranked[int(share * (len(ranked) - 1))], 2)

    def figures(self) -> dict[str, float]:
        """The median, the 99th percentile and the greatest lag, and how many calls came."""
        return {f"lag_p{round(100 * share)}_ms": self.percentile(share) for share in (0.5, 0.99, 1.0)} | {
            "calls": len(self.lags)
        }


class Counting:
    """A handler that counts what comes, and takes nothing."""

    count = 0

    def datagramReceived(self, *datagram: object) -> bool:
        self.count += 1
        return False


class UntilClosed(Protocol):
    """Ends the process with its input."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reactor.running:  # type: ignore[attr-defined]
            reactor.stop()  # type: ignore[attr-defined]
