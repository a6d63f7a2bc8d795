"""
Which nodes are told to others, and which are believed when others tell them.

A host outside of our network must not learn what is inside of it, nor make us knock at its doors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from devp2p_tx.core.addresses import IPAddress
from devp2p_tx.core.addresspolicy import AddressPolicy
from devp2p_tx.core.enr.endpoints import preferred_endpoint
from devp2p_tx.core.enr.record import InvalidRecord, Record
from devp2p_tx.core.kademlia.distance import log_distance

#: What is counted as refused by us.
PROTOCOL = "discv5"
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


def tellable_records(table: NodeTable, distance: int, asker: IPAddress, policy: AddressPolicy) -> list[bytes]:
    """The encoded records of nodes at a logarithmic distance of 1..256 that may be told to the asker."""
    return [
        node.record.encoded
        for node in table.at_distance(distance)
        if node.record is not None and policy.relay_fault(asker, node.ip) is None
    ]


def read_told(
    encoded: bytes, teller_id: bytes, teller_ip: IPAddress, distances: Collection[int], policy: AddressPolicy
) -> Record | None:
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
    if endpoint.udp <= MAX_LOW_PORT:
        return None
    # Of the address that we speak with already there is nothing left to ask.
    return record if endpoint.ip == teller_ip or policy.admits_told(teller_ip, endpoint.ip, PROTOCOL) else None
