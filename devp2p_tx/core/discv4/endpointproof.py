"""
Who has proved to be where: the bonds of discv4 (devp2p C{discv4.md}, "Endpoint Proof").

A node proves its address by a PONG that echoes our PING; from then on it may ask us for more than a PONG. We proved
ours to it, as far as we know, when it sent a PING, to which we answer with a PONG. Both hold for a node id at an IP
address, whatever the port, and for 24 hours, as with the other clients (the specification says 12).

Times are unix times in seconds, since bonds outlive a restart in a node database. Those that are to come prove nothing:
the clock was wrong when they were written, or is wrong now.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.timestamps import age

#: Seconds that a proof is good for.
LIFETIME = 24 * 3600.0
#: Failed requests in a row after which our own proof is renewed.
MAX_FAILURES = 5
#: How many nodes are remembered for each of the three facts; beyond it the one not heard of for the longest time goes.
MAX_NODES = 20_000

_Host = tuple[bytes, IPAddress]
_Table = OrderedDict[_Host, float]


class Proofs(Protocol):
    """What the protocol wants of whoever remembers proofs, such as a node database; see L{EndpointProofs}."""

    def ping_received(self, node_id: bytes, ip: IPAddress, unix_time: float) -> None: ...

    def pong_received(self, node_id: bytes, ip: IPAddress, unix_time: float) -> None: ...

    def is_proved(self, node_id: bytes, ip: IPAddress, unix_time: float) -> bool: ...

    def should_prove(self, node_id: bytes, ip: IPAddress, unix_time: float) -> bool: ...

    def failures(self, node_id: bytes, ip: IPAddress) -> int: ...

    def count_failure(self, node_id: bytes, ip: IPAddress) -> None: ...

    def clear_failures(self, node_id: bytes, ip: IPAddress) -> None: ...


class EndpointProofs:
    """
    Proofs in memory, by (node id, IP address).

    PINGs are kept apart from PONGs: anybody can send PINGs in any name from any address, and must not be able to push
    out the proofs, which take a round trip.
    """

    __slots__ = ("_failures", "_pings", "_pongs", "max_nodes")

    def __init__(self, max_nodes: int = MAX_NODES) -> None:
        self.max_nodes = max_nodes
        self._pings: _Table = OrderedDict()
        self._pongs: _Table = OrderedDict()
        self._failures: _Table = OrderedDict()

    def ping_received(self, node_id: bytes, ip: IPAddress, unix_time: float) -> None:
        """The node asked for our proof, and was answered."""
        self._note(self._pings, (node_id, ip), unix_time)

    def pong_received(self, node_id: bytes, ip: IPAddress, unix_time: float) -> None:
        """The node answered our PING from that address."""
        self._note(self._pongs, (node_id, ip), unix_time)

    def last_ping(self, node_id: bytes, ip: IPAddress) -> float:
        """When the node's last PING came; 0 for never."""
        return self._pings.get((node_id, ip), 0.0)

    def last_pong(self, node_id: bytes, ip: IPAddress) -> float:
        """When the node's last PONG came; 0 for never."""
        return self._pongs.get((node_id, ip), 0.0)

    def is_proved(self, node_id: bytes, ip: IPAddress, unix_time: float) -> bool:
        """Whether the node has proved to be at that address, so that it may be answered at length."""
        return age(self.last_pong(node_id, ip), unix_time) < LIFETIME

    def should_prove(self, node_id: bytes, ip: IPAddress, unix_time: float) -> bool:
        """Whether the node probably lacks our own proof, so that a request would be ignored."""
        return age(self.last_ping(node_id, ip), unix_time) > LIFETIME or self.failures(node_id, ip) > MAX_FAILURES

    def failures(self, node_id: bytes, ip: IPAddress) -> int:
        """How many FINDNODEs in a row were answered with no node, or not at all."""
        return int(self._failures.get((node_id, ip), 0))

    def count_failure(self, node_id: bytes, ip: IPAddress) -> None:
        """One more."""
        self._note(self._failures, (node_id, ip), self.failures(node_id, ip) + 1)

    def clear_failures(self, node_id: bytes, ip: IPAddress) -> None:
        """A FINDNODE was answered with at least one node."""
        self._failures.pop((node_id, ip), None)

    def _note(self, table: _Table, host: _Host, value: float) -> None:
        table[host] = value
        table.move_to_end(host)
        if len(table) > self.max_nodes:
            table.popitem(last=False)
