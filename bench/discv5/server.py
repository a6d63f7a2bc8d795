"""
Our side of the benchmark: discovery v5 on loopback, with as many neighbours as C{--nodes} says, until stdin closes.

The neighbours are nodes of this process, as with C{bench/peers/go discv5-serve}. Prints C{{"id", "port"}}; whoever asks
sees for himself when enough of them are told. For each line C{figures} on stdin it prints what the process has seen and
holds.
"""

from __future__ import annotations

import argparse
import json
from os import urandom
from pathlib import Path
from time import time

from twisted.internet import reactor, stdio
from twisted.protocols.basic import LineOnlyReceiver

from bench.reactorlag import Counting, Lag, UntilClosed, endless
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.discv5.events import IncomingTalk
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.net.discovery.discv5 import DiscoveryV5
from devp2p_tx.storage.memory import MemoryNodeStore

LOOPBACK = "127.0.0.1"
#: The protocol whose requests are answered with what they say.
TALK_PROTOCOL = b"bench"
#: The counter of datagrams that had no effect.
REFUSED = "discv5_refused"


def listen(bootnodes: list[Node], metrics: Metrics) -> tuple[DiscoveryV5, Node]:
    """A node at a free port."""
    local = LocalRecord(PrivateKey.generate(urandom), int(time() * 1000))
    shared = {"bootnodes": bootnodes, "metrics": metrics, "checkInterval": 1.0, "limiter": endless()}
    discovery = DiscoveryV5(local, reactor, MemoryNodeStore(), **shared)  # type: ignore[arg-type]
    discovery.start(0, LOOPBACK)
    return discovery, Node.from_record(local.record(int(time() * 1000)))


def echo(request: IncomingTalk) -> bytes:
    """What was said."""
    return request.message


def residentKiB() -> int:
    """The memory that this process has."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1])


class Figures(LineOnlyReceiver, UntilClosed):
    """Prints figures when it is asked to."""

    delimiter = b"\n"

    def __init__(self, discovery: DiscoveryV5, metrics: Metrics) -> None:
        self._discovery, self._metrics = discovery, metrics
        self._counting, self._lag = Counting(), Lag()

    def connectionMade(self) -> None:
        assert self._discovery.edge is not None
        self._discovery.edge.handlers.insert(0, self._counting)
        reactor.callLater(0, self._lag.start)  # type: ignore[attr-defined]

    def lineReceived(self, line: bytes) -> None:
        lag, self._lag.lags = self._lag.figures(), []
        figures = {
            "received": self._counting.count,
            **lag,
            "rss_kib": residentKiB(),
            "sessions": self._discovery.sessions,
            "challenges": self._discovery.challenges,
            "table": len(self._discovery.table),
            "refused": {dict(labels)["reason"]: value for name, labels, value in self._metrics if name == REFUSED},
        }
        print(json.dumps(figures), flush=True)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=0)
    parser.add_argument("--figures", action="store_true", help="count, and print when a line on stdin says so")
    options = parser.parse_args()
    metrics = Metrics()
    neighbours = [listen([], Metrics())[1] for _ in range(options.nodes)]
    discovery, node = listen(neighbours, metrics)
    discovery.registerTalk(TALK_PROTOCOL, echo)
    print(json.dumps({"id": node.public_key.to_bytes().hex(), "port": node.udp}), flush=True)
    stdio.StandardIO(Figures(discovery, metrics) if options.figures else UntilClosed())
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
