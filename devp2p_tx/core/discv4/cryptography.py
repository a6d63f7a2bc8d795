"""
What costs the most in discv4, in one place, so that it can be shared.

A process that holds many nodes, as a simulation does, sees each signature on both of its ends.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.discv4.packets import Neighbor, has_hash, recover_sender
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import Record

#: Nodes that are remembered as read: the answers to a lookup name the same ones time and again.
REMEMBERED_NODES = 1024


def read_node(told: Neighbor) -> Node:
    """
    A node of NEIGHBORS.

    @raise InvalidPublicKey: its key is none.
    """
    return Node(PublicKey.from_bytes(told.public_key), told.ip, told.tcp, told.udp)


class Cryptography(Protocol):
    """What one node calculates with curves."""

    def sign(self, digest: bytes) -> bytes:
        """Sign a packet, as L{PrivateKey.sign} does."""

    def intact(self, datagram: bytes) -> bool:
        """Whether a packet came as it was sent, as L{has_hash} tells."""

    def sender(self, datagram: bytes) -> PublicKey:
        """The signer of a packet, as L{recover_sender} finds it."""

    def node(self, told: Neighbor) -> Node:
        """A node that another told us of, as L{read_node} reads it."""

    def record(self, data: bytes) -> Record:
        """A record, as L{Record.decode} reads it."""


class OwnCryptography:
    """The real thing."""

    def __init__(self, key: PrivateKey) -> None:
        self.sign = key.sign
        self.intact = has_hash
        self.sender = recover_sender
        self.node = lru_cache(maxsize=REMEMBERED_NODES)(read_node)
        self.record = Record.decode
