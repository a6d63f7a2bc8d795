"""
What a node is to everyone else: a key, where it can be reached, and the record that says so, if it has one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from devp2p_tx.core.addressing.addresses import IPAddress, relay_fault
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.enr.nodeendpoint import VERSIONS, endpoint4, endpoint6, preferred_endpoint
from devp2p_tx.core.enr.record import Record


@dataclass(frozen=True, slots=True)
class Node:
    """
    @ivar public_key: its static key.
    @ivar ip: its address, C{None} where only the key or a host name is known.
    @ivar tcp: its RLPx port, 0 where it has none.
    @ivar udp: its discovery port, 0 where it has none.
    @ivar hostname: a DNS name in place of an address, kept as written and looked up at each dial.
    @ivar record: its signed record, of the same key; C{None} where only the rest is known.
    @ivar node_id: Keccak-256 of the key, 32 bytes.
    """

    public_key: PublicKey
    ip: IPAddress | None = None
    tcp: int = 0
    udp: int = 0
    hostname: str | None = None
    record: Record | None = None
    node_id: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "node_id", self.public_key.node_id)

    @classmethod
    def from_record(cls, record: Record, versions: Collection[int] = VERSIONS) -> Node:
        """
        The node of a record, at the more global of the endpoints that it announces, if at any.

        @param versions: the address families of which one is wanted.
        """
        endpoint = preferred_endpoint(record, versions)
        return cls(record.public_key, endpoint.ip, endpoint.tcp, endpoint.udp, record=record)

    @property
    def seq(self) -> int:
        """The number of its record; 0 without one, which is older than any."""
        return 0 if self.record is None else self.record.seq

    def tcp_addresses(self) -> list[tuple[IPAddress, int]]:
        """
        Where RLPx connections may go: its address and port, then what its record says of the other address family.

        That is left out where we should not contact it: a node elsewhere could make us knock at doors of our network.
        """
        own = self.ip
        found = [(own, self.tcp)] if own is not None and self.tcp else []
        if own is not None and self.record is not None:
            announced = (endpoint4(self.record).tcp_address(), endpoint6(self.record).tcp_address())
            found += [
                each
                for each in announced
                if each is not None and each[0].version != own.version and relay_fault(own, each[0]) is None
            ]
        return found

    @property
    def host(self) -> str | None:
        """The address or the host name, as text."""
        return self.hostname or (None if self.ip is None else str(self.ip))
