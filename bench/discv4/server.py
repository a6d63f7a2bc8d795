"""
Our side of the benchmark: discovery v4 on loopback, with as many neighbours as C{--nodes} says, until stdin closes.

The neighbours are nodes of this process, as with C{bench/peers/go discv4-serve}. Prints C{{"id", "port"}} when all of
them are known to be alive.
"""

from __future__ import annotations

import argparse
import json
from os import urandom
from time import time

from twisted.internet import reactor, stdio
from twisted.internet.task import LoopingCall

from bench.reactorlag import Counting, Lag, UntilClosed, endless
from devp2p_tx.core.addressing.addresses import parse_address
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.node import Node
from devp2p_tx.net.discovery.discv4 import DiscoveryV4
from devp2p_tx.storage.memory import MemoryNodeStore

LOOPBACK = "127.0.0.1"


def listen(bootnodes: list[Node]) -> tuple[DiscoveryV4, Node]:
    """A node at a free port."""
    key = PrivateKey.generate(urandom)
    local = LocalRecord(key, int(time() * 1000))
    store = MemoryNodeStore()
    discovery = DiscoveryV4(local, reactor, store, bootnodes=bootnodes, checkInterval=1.0, limiter=endless())
    discovery.start(0, LOOPBACK)
    assert discovery.edge is not None
    return discovery, Node(key.public_key, parse_address(LOOPBACK), 0, discovery.edge.port)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=0)
    parser.add_argument("--lag", action="store_true", help="print how late calls came, at the end")
    options = parser.parse_args()
    wanted = options.nodes
    neighbours = [listen([])[1] for _ in range(wanted)]
    discovery, node = listen(neighbours)

    def announce() -> None:
        if sum(entry.live for bucket in discovery.table.view() for entry in bucket.entries) >= wanted:
            waiting.stop()
            print(json.dumps({"id": node.public_key.to_bytes().hex(), "port": node.udp}), flush=True)

    waiting = LoopingCall(announce)
    waiting.start(0.05)
    stdio.StandardIO(UntilClosed())
    lag, counting = Lag(), Counting()
    if options.lag:
        assert discovery.edge is not None
        discovery.edge.handlers.insert(0, counting)
        reactor.callLater(0, lag.start)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]
    if options.lag:
        print(json.dumps({"received": counting.count, **lag.figures(), "table": len(discovery.table)}))


if __name__ == "__main__":
    main()
