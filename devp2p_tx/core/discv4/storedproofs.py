"""
Endpoint proofs that outlast a restart.
"""

from __future__ import annotations

from typing import Protocol

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.discv4.endpointproof import LIFETIME, MAX_FAILURES
from devp2p_tx.core.timestamps import age

#: Proofs younger than this are not written again: they hold for a day (seconds).
RESOLUTION = 60.0


class ProofStore(Protocol):
    """The part of a node database (L{devp2p_tx.interfaces.NodeStore}) that keeps endpoint proofs."""

    def last_ping(self, node_id: bytes, ip: IPAddress) -> int: ...

    def last_pong(self, node_id: bytes, ip: IPAddress) -> int: ...

    def ping_received(self, node_id: bytes, ip: IPAddress, now: int) -> None: ...

    def pong_received(self, node_id: bytes, ip: IPAddress, now: int) -> None: ...

    def findnode_failed(self, node_id: bytes, ip: IPAddress) -> int: ...

    def findnode_succeeded(self, node_id: bytes, ip: IPAddress) -> None: ...

    def findnode_failures(self, node_id: bytes, ip: IPAddress) -> int: ...


class StoredProofs:
    """L{Proofs<devp2p_tx.core.discv4.endpointproof.Proofs>} in a node database, which holds them in memory, too."""

    def __init__(self, store: ProofStore) -> None:
        self._store = store

    def ping_received(self, node_id: bytes, ip: IPAddress, unix_time: float) -> None:
        """The node asked for our proof, and was answered."""
        if age(self._store.last_ping(node_id, ip), unix_time) >= RESOLUTION:
            self._store.ping_received(node_id, ip, int(unix_time))

    def pong_received(self, node_id: bytes, ip: IPAddress, unix_time: float) -> None:
        """The node answered our PING from that address."""
        if age(self._store.last_pong(node_id, ip), unix_time) >= RESOLUTION:
            self._store.pong_received(node_id, ip, int(unix_time))

    def is_proved(self, node_id: bytes, ip: IPAddress, unix_time: float) -> bool:
        """Whether the node has proved to be at that address."""
        return age(self._store.last_pong(node_id, ip), unix_time) < LIFETIME

    def should_prove(self, node_id: bytes, ip: IPAddress, unix_time: float) -> bool:
        """Whether the node probably lacks our own proof."""
        return (
            age(self._store.last_ping(node_id, ip), unix_time) > LIFETIME or self.failures(node_id, ip) > MAX_FAILURES
        )

    def failures(self, node_id: bytes, ip: IPAddress) -> int:
        """How many FINDNODEs in a row were answered with no node, or not at all."""
        return self._store.findnode_failures(node_id, ip)

    def count_failure(self, node_id: bytes, ip: IPAddress) -> None:
        """One more."""
        self._store.findnode_failed(node_id, ip)

    def clear_failures(self, node_id: bytes, ip: IPAddress) -> None:
        """A FINDNODE was answered with at least one node."""
        self._store.findnode_succeeded(node_id, ip)
