"""
Our own end of discovery v5: a node by itself, which counts what it hears.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from os import urandom
from time import time
from typing import Any

from twisted.internet.task import deferLater

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.discv5.packets import InvalidPacket, PacketReader
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.node import Node
from devp2p_tx.net.discovery.discv5 import DiscoveryV5
from devp2p_tx.storage.memory import MemoryNodeStore
from tests.interop.journal import PATIENCE

#: The most time between two checks of new nodes of the table (seconds), as in C{go/discv5.go}.
CHECK_INTERVAL = 0.2
#: How often the table is looked at for a node that is waited for (seconds)...
POLL_INTERVAL = 0.05
#: ...and how many times.
POLLS = int(PATIENCE / POLL_INTERVAL)


class _Listener:
    """Counts the packets for us, by their kind, and leaves them to others."""

    def __init__(self, nodeId: bytes) -> None:
        self.heard: Counter[int] = Counter()
        self._reader = PacketReader(nodeId)

    def datagramReceived(self, data: bytes, ip: IPAddress, port: int, now: float, unixTime: float) -> bool:
        with suppress(InvalidPacket):
            self.heard[self._reader.read(data).flag] += 1
        return False


class OurNode:
    """
    Discovery v5 of ours on a socket of the loopback interface.

    @ivar discovery: discovery itself.
    @ivar local: our record.
    @ivar key: our key.
    @ivar heard: how many packets came, by their flag (see L{devp2p_tx.core.discv5.packets}).
    """

    def __init__(self, key: PrivateKey | None = None, bootnodes: tuple[Node, ...] = ()) -> None:
        """
        @param key: C{None} for a new one.
        """
        from twisted.internet import reactor

        self.key = key or PrivateKey.generate(urandom)
        self.local = LocalRecord(self.key, int(time() * 1000))
        listener = _Listener(self.local.node_id)
        self.heard = listener.heard
        self._listener = listener
        self.discovery = DiscoveryV5(
            self.local, reactor, MemoryNodeStore(), bootnodes=bootnodes, checkInterval=CHECK_INTERVAL
        )

    async def start(self, interface: str = "127.0.0.1", port: int = 0) -> None:
        """Begin; fires when nodes that come to us enter the table."""
        self.discovery.start(port, interface)
        edge = self.discovery.edge
        assert edge is not None
        edge.handlers.insert(0, self._listener)
        await self._until(lambda: self.discovery.table.initialised, "a first refresh")

    @property
    def id(self) -> str:
        """Our node id, 64 hex digits."""
        return self.local.node_id.hex()

    @property
    def port(self) -> int:
        """Where we listen."""
        edge = self.discovery.edge
        assert edge is not None
        return edge.port

    @property
    def node(self) -> Node:
        """Ourselves, with our record."""
        return Node.from_record(self.local.record(int(time() * 1000)))

    @property
    def record(self) -> str:
        """Our record."""
        record = self.node.record
        assert record is not None
        return record.to_text()

    async def knows(self, id: str, seq: int = 0) -> Node:
        """Wait until the table has a node that answers, and a record of it with this number or a higher one."""
        found: list[Node] = []

        def isThere() -> bool:
            entries = (entry for bucket in self.discovery.table.view() for entry in bucket.entries if entry.live)
            found.extend(entry.node for entry in entries if entry.node.node_id.hex() == id and entry.node.seq >= seq)
            return bool(found)

        await self._until(isThere, f"node {id} with record {seq}")
        return found[0]

    async def _until(self, isSo: Any, what: str) -> None:
        from twisted.internet import reactor

        for _ in range(POLLS):
            if isSo():
                return
            await deferLater(reactor, POLL_INTERVAL)
        raise AssertionError(f"there was no {what}: {self.discovery.table.view()}")
