"""
Which nodes are told to others, and which are believed when others tell them.

A host outside of our network must not learn what is inside of it, nor make us knock at its doors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from devp2p_tx.core.addressing.addresses import LOOPBACK, IPAddress, kinds
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.discv5.messages import nodes_fields
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.loopback import LoopbackRecord
from devp2p_tx.core.enr.nodeendpoint import VERSIONS, endpoint4, endpoint6, preferred_endpoint
from devp2p_tx.core.enr.record import InvalidRecord, Record
from devp2p_tx.core.kademlia.distance import ID_BITS, log_distance

#: What is counted as refused by us.
PROTOCOL = "discv5"
#: Told nodes with this UDP port or a lower one are not believed.
MAX_LOW_PORT = 1024
#: How many nodes an answer to FINDNODE has in all.
MAX_RESULTS = 16
#: Answers that are remembered for the rest of a second; beyond it all of them are forgotten.
MAX_REMEMBERED_ANSWERS = 256


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


#: What decides which nodes an asker may be told, and the address family that it asks over.
_Standpoint = tuple[int, int]


class ToldNodes:
    """
    The nodes that FINDNODE is answered with.

    Lookups ask for few combinations of distances, and all for the farthest ones, so an answer is made once a second for
    each kind of asker. In the next second it may begin with another node. Who asks for another combination each time
    has answers made of what is remembered of each distance, for as long.
    """

    def __init__(self, local: LocalRecord, table: NodeTable, policy: AddressPolicy) -> None:
        """
        @param local: our record, which distance 0 is for.
        @param policy: says who may be told what.
        """
        self._own = LoopbackRecord(local)
        self._table = table
        self._policy = policy
        self._answers: dict[tuple[tuple[int, ...], _Standpoint], list[bytes]] = {}
        self._near: dict[_Standpoint, dict[int, list[bytes]]] = {}
        self._made = (0, 0)

    def fields(self, distances: tuple[int, ...], asker: IPAddress, unix_time: float) -> list[bytes]:
        """An answer, as L{nodes_fields} gives it."""
        own = self._own.record_for(asker, int(unix_time * 1000))
        made = int(unix_time), own.seq
        if made != self._made:
            self._made = made
            self._answers.clear()
            self._near.clear()
        elif len(self._answers) >= MAX_REMEMBERED_ANSWERS:
            self._answers.clear()
        standpoint = self._policy.standpoint(asker), asker.version
        key = distances, standpoint
        fields = self._answers.get(key)
        if fields is None:
            near = self._near.setdefault(standpoint, {})
            fields = self._answers[key] = nodes_fields(self._records(distances, near, asker, own))
        return fields

    def _records(
        self, distances: Iterable[int], near: dict[int, list[bytes]], asker: IPAddress, own: Record
    ) -> list[bytes]:
        """C{near} is what is remembered of each distance for this kind of asker; C{own} is what distance 0 means."""
        records: list[bytes] = []
        for distance in dict.fromkeys(distances):
            if distance > ID_BITS:
                continue
            there = near.get(distance)
            if there is None:
                there = near[distance] = self._tellable(distance, asker) if distance else [own.encoded]
            if there:
                records += there
                if len(records) >= MAX_RESULTS:
                    break
        return records[:MAX_RESULTS]

    def _tellable(self, distance: int, asker: IPAddress) -> list[bytes]:
        """The records at a distance that C{asker} may be told."""
        return [
            node.record.encoded
            for node in self._table.at_distance(distance)
            if node.record is not None and self._may_be_told(node.record, node.ip, asker)
        ]

    def _may_be_told(self, record: Record, ip: IPAddress | None, asker: IPAddress) -> bool:
        """Whether the address that we know may be told, and the record names no loopback address that may not."""
        named = [endpoint.ip for endpoint in (endpoint4(record), endpoint6(record)) if endpoint.ip is not None]
        loopback = [each for each in named if kinds(each) & LOOPBACK]
        return all(self._policy.relay_fault(asker, each) is None for each in (ip, *loopback))


def read_told(
    encoded: bytes,
    teller_id: bytes,
    teller_ip: IPAddress,
    distances: Collection[int],
    policy: AddressPolicy,
    versions: Collection[int] = VERSIONS,
) -> Record | None:
    """
    A record that was told, if it is one, and its node may be contacted.

    @param distances: from the teller, of nodes that were asked for.
    @param versions: the address families in which nodes are contacted.
    """
    try:
        record = Record.decode(encoded)
    except InvalidRecord:
        return None
    if log_distance(teller_id, record.node_id) not in distances:
        return None
    endpoint = preferred_endpoint(record, versions)
    if endpoint.udp <= MAX_LOW_PORT:
        return None
    # Of the address that we speak with already there is nothing left to ask.
    return record if endpoint.ip == teller_ip or policy.admits_told(teller_ip, endpoint.ip, PROTOCOL) else None
