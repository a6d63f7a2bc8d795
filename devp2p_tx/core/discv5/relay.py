"""
Which nodes are told to others, and which are believed when others tell them.

A host outside of our network must not learn what is inside of it, nor make us knock at its doors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from devp2p_tx.core.addresses import IPAddress, kinds, relay_fault, untold_kinds
from devp2p_tx.core.enr.endpoints import preferred_endpoint
from devp2p_tx.core.enr.record import InvalidRecord, Record
from devp2p_tx.core.kademlia.distance import log_distance

#: Told nodes with this UDP port or a lower one are not believed.
MAX_LOW_PORT = 1024


class KnownNode(Protocol):
    """A node of the table, as told to others."""

    @property
    def ip(self) -> IPAddress | None: ...

    @property
    def record(self) -> Record | None: ...


class NodeTable(Protocol):
    """What the protocol wants of a Kademlia table, and of whatever else knows nodes."""

    def record(self, node_id: bytes) -> Record | None:
        """The newest record of a node (32 bytes) that is known, if any."""

    def at_distance(self, distance: int) -> Iterable[KnownNode]:
        """The nodes that may be told to others, at a logarithmic distance of 1..256 from us, in any order."""

    def add_inbound(self, record: Record, ip: IPAddress, port: int, now: float) -> None:
        """A node proved to have this record, and to be at C{ip} and C{port}, wherever the record says that it is."""


def tellable_records(table: NodeTable, distance: int, asker: IPAddress) -> list[bytes]:
    """The encoded records of nodes at a logarithmic distance of 1..256 that may be told to the asker."""
    untold = untold_kinds(asker)
    return [
        node.record.encoded
        for node in table.at_distance(distance)
        if node.record is not None and node.ip is not None and not kinds(node.ip) & untold
    ]


def read_told(encoded: bytes, teller_id: bytes, teller_ip: IPAddress, distances: Collection[int]) -> Record | None:
    """
    A record that was told, if it is one, and its node may be contacted.

    @param distances: from the teller, of nodes that were asked for.
    """
    try:
        record = Record.decode(encoded)
    except InvalidRecord:
        return None
    if log_distance(teller_id, record.node_id) not in distances:
        return None
    endpoint = preferred_endpoint(record)
    if endpoint.udp <= MAX_LOW_PORT or relay_fault(teller_ip, endpoint.ip) is not None:
        return None
    return record
