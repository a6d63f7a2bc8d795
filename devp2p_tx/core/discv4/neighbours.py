"""
The table of neighbours as the protocol uses it.
"""

from __future__ import annotations

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.kademlia.table import Table


class Neighbours:
    """
    A L{NodeTable<devp2p_tx.core.discv4.relay.NodeTable>} of nodes that may have records.

    @ivar changed: whether a node was put into the table, whose timer may be earlier now; for the user to reset.
    """

    def __init__(self, table: Table[Node]) -> None:
        self.changed = False
        self._table = table

    def closest(self, target: bytes, count: int) -> list[Node]:
        """The live entries closest to a target; all entries, if none is live."""
        return self._table.closest(target, count, prefer_live=True)

    def add_inbound(self, public_key: PublicKey, ip: IPAddress, udp: int, tcp: int, now: float) -> None:
        """A node wrote to us; what its record says of the TCP port is better than what it says itself."""
        known = self._table.get(public_key.node_id)
        if known is not None and known.ip == ip and known.udp == udp and (known.tcp == tcp or known.record):
            return  # nothing new, and a record must not get lost
        self.changed = True
        self._table.add_inbound(Node(public_key, ip, tcp, udp), now)
