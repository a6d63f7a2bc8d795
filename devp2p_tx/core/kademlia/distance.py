"""
The XOR metric, and what a table must know of a node.

A node id is 32 bytes on the wire and an C{int} in here: one XOR of two ints costs a twentieth of one of bytes.
(devp2p C{discv4.md}, "Node Identities"; C{discv5/discv5-theory.md}, "Nodes, Records and Distances")
"""

from __future__ import annotations

from typing import Protocol

from devp2p_tx.core.addressing.addresses import IPAddress

#: Bits of a node id, and so the largest logarithmic distance.
ID_BITS = 256


class TableNode(Protocol):
    """
    A node as far as the table looks into it; it must not change while the table has it.

    C{node_id} is 32 bytes, C{ip} and C{udp} its discovery endpoint (C{ip} is C{None} if it has none), C{seq} the
    sequence number of its record, 0 where there is no record.
    """

    @property
    def node_id(self) -> bytes: ...

    @property
    def ip(self) -> IPAddress | None: ...

    @property
    def udp(self) -> int: ...

    @property
    def seq(self) -> int: ...


def as_number(node_id: bytes) -> int:
    """The node id (32 bytes, big endian) as the number that distances are taken of."""
    return int.from_bytes(node_id, "big")


def log_distance(a: bytes, b: bytes) -> int:
    """The logarithmic distance of two node ids, in 0..256; 0 only of an id to itself."""
    return (as_number(a) ^ as_number(b)).bit_length()
