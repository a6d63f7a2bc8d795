"""
The node that C{bench/flood.py} floods, at the address that is its argument, until stdin closes. Then it prints what
came, what was refused, how late calls came, and how long it worked for what was not refused.
"""

from __future__ import annotations

import json
import sys
from os import urandom
from time import process_time, time
from typing import Any

from twisted.internet import reactor, stdio

from bench.reactorlag import Lag, UntilClosed
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.net.discovery.discv4 import DiscoveryV4
from devp2p_tx.net.discovery.discv5 import DiscoveryV5
from devp2p_tx.storage.memory import MemoryNodeStore

PORT = 30303


class Timed:
    """A handler before all others, which measures what they do."""

    def __init__(self, handlers: list[Any]) -> None:
        self._handlers = list(handlers)
        self.count, self.seconds = 0, 0.0

    def datagramReceived(self, *datagram: Any) -> bool:
        begun = process_time()
        self.count += 1
        taken = any(handler.datagramReceived(*datagram) for handler in self._handlers)
        self.seconds += process_time() - begun
        return taken


def main() -> None:
    """Serve."""
    metrics, local = Metrics(), LocalRecord(PrivateKey.generate(urandom), int(time() * 1000))
    policy = AddressPolicy(metrics=metrics)
    discv4 = DiscoveryV4(local, reactor, MemoryNodeStore(), policy=policy, metrics=metrics)
    discv4.start(PORT, sys.argv[1])
    edge = discv4.edge
    assert edge is not None
    discv5 = DiscoveryV5(local, reactor, MemoryNodeStore(), policy=policy, metrics=metrics, limiter=edge.limiter)
    discv5.start(edge=edge)
    timed = Timed(edge.handlers)
    edge.handlers[:] = [timed]
    lag = Lag()
    stdio.StandardIO(UntilClosed())
    reactor.callLater(0, lag.start)  # type: ignore[attr-defined]
    reactor.callWhenRunning(lambda: print("{}", flush=True))  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]
    refused = metrics.value("udp_dropped", reason="over budget")
    figures = {"received": timed.count + refused, "refused": refused, **lag.figures(), "table": len(discv4.table)}
    print(json.dumps({**figures, "answering_seconds": timed.seconds}))


if __name__ == "__main__":
    main()
