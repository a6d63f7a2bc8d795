"""
Which nodes are told to others, and which are believed when others tell them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.discv4.events import EnrCall
from devp2p_tx.core.discv4.packets import WireEndpoint
from devp2p_tx.core.enr.nodeendpoint import VERSIONS, NodeEndpoint, preferred_endpoint
from devp2p_tx.core.enr.record import InvalidRecord, Record

#: What is counted as refused by us.
PROTOCOL = "discv4"
#: Told nodes with this UDP port or a lower one are not believed.
MAX_LOW_PORT = 1024


class KnownNode(Protocol):
    """A node of the table, as told to others."""

    @property
    def public_key(self) -> PublicKey: ...

    @property
    def ip(self) -> IPAddress | None: ...

    @property
    def udp(self) -> int: ...

    @property
    def tcp(self) -> int: ...


class NodeTable(Protocol):
    """What the protocol wants of a Kademlia table."""

    def closest(self, target: bytes, count: int) -> Iterable[KnownNode]:
        """The nodes that may be told to others, closest to C{target} (32 bytes) first, at most C{count}."""

    def add_inbound(self, public_key: PublicKey, ip: IPAddress, udp: int, tcp: int, now: float) -> None:
        """A node that proved its endpoint wrote to us from C{ip} and C{udp}; it says that it listens on C{tcp}."""


def on_wire(endpoint: NodeEndpoint) -> WireEndpoint:
    """An endpoint of a record as packets have it; one that cannot be used has no address."""
    packed = endpoint.ip.packed if endpoint.ip is not None and endpoint.udp_address() else b""
    return WireEndpoint(packed, endpoint.udp, endpoint.tcp)


def check_record(record: Record, call: EnrCall, policy: AddressPolicy, versions: Collection[int] = VERSIONS) -> Record:
    """
    The newer of the record that came and the known one.

    @param versions: the address families in which the node is looked for.
    @raise InvalidRecord: it is no record of the node asked, or names an address that the node may not tell.
    """
    if record.node_id != call.node_id:
        raise InvalidRecord("invalid ID in response record")
    if call.known is not None and record.seq < call.known.seq:
        return call.known
    fault = policy.relay_fault(call.ip, preferred_endpoint(record, versions).ip)
    if fault is not None:
        raise InvalidRecord(f"invalid IP in response record: {fault}")
    return record
