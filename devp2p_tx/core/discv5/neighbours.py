"""
The table of neighbours, and what is remembered beside it, as the protocol uses them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import Record
from devp2p_tx.core.enr.url import parse_node
from devp2p_tx.core.kademlia.table import Table
from devp2p_tx.errors import InvalidNode

#: How many records of the database are kept as they were read: to verify one costs more than all else that is done for
#: a packet that cannot be opened, and anybody can write the id of a node that is remembered into such packets.
REMEMBERED_RECORDS = 256


class Neighbours:
    """
    A L{NodeTable<devp2p_tx.core.discv5.relay.NodeTable>}.

    @ivar changed: whether the table was touched from here; for its owner, who sets it back.
    """

    def __init__(
        self,
        table: Table[Node],
        remembered: Callable[[bytes], str | None],
        policy: AddressPolicy,
        local: LocalRecord,
    ) -> None:
        """
        @param remembered: the text of a node (32 bytes) that a database has, if it has it.
        @param policy: who may tell of which addresses.
        @param local: knows in which address families nodes can be reached.
        """
        self.changed = False
        self._table = table
        self._remembered = remembered
        self._policy = policy
        self._local = local

    def record(self, node_id: bytes) -> Record | None:
        """The record of a node of the table, else a remembered one."""
        known = self._table.get(node_id)
        if known is not None and known.record is not None:
            return known.record
        text = self._remembered(node_id)
        return None if text is None else _record_in(text)

    def at_distance(self, distance: int) -> list[Node]:
        """The live entries at that distance."""
        return self._table.at_distance(distance)

    def add_inbound(self, record: Record, ip: IPAddress, port: int, now: float) -> None:
        """
        A node made a session with us. Where its record says that it is elsewhere, that is not proved, and as good as if
        another node had told it.
        """
        node = Node.from_record(record, self._local.versions)
        if node.ip == ip and node.udp == port:
            self.changed = True
            self._table.add_inbound(node, now)
        elif self._table.initialised and node.udp and self._policy.relay_fault(ip, node.ip) is None:
            self.changed = True
            self._table.add_found(node, now)


@lru_cache(REMEMBERED_RECORDS)
def _record_in(text: str) -> Record | None:
    """The record of a node as the database has it."""
    try:
        return parse_node(text).record
    except InvalidNode:  # somebody else wrote into the database
        return None
