"""
Who may be a peer: the checks of both checkpoints.

They look only at what they are given, and are made twice, since between the handshakes the peer set changes.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from devp2p_tx.core.p2p.capabilities import Match
from devp2p_tx.errors import DisconnectReason
from devp2p_tx.interfaces import ICapability
from devp2p_tx.node.peer import Conn, Peer


@dataclass(frozen=True, slots=True)
class PeerSet:
    """
    What the checks compare a connection with.

    @ivar peers: the peers, by node id.
    @ivar inbound: how many of them dialled us, trusted ones included.
    @ivar maxPeers: how many there may be.
    @ivar maxInbound: how many of them may have dialled us.
    @ivar selfId: our own node id.
    @ivar arriving: the node ids of those who dialled us and are between the two checkpoints.
    """

    peers: Mapping[bytes, Peer]
    inbound: int
    maxPeers: int
    maxInbound: int
    selfId: bytes
    arriving: Container[bytes] = ()


def checkPostHandshake(conn: Conn, peerSet: PeerSet) -> DisconnectReason | None:
    """The first checkpoint, when it is known who is there: why it may not go on, if it may not."""
    if not conn.isTrusted and len(peerSet.peers) >= peerSet.maxPeers:
        return DisconnectReason.TOO_MANY_PEERS
    if not conn.isTrusted and conn.isInbound and peerSet.inbound >= peerSet.maxInbound:
        return DisconnectReason.TOO_MANY_PEERS
    if conn.node.node_id in peerSet.peers:
        return DisconnectReason.ALREADY_CONNECTED
    if conn.node.node_id == peerSet.selfId:
        return DisconnectReason.SELF
    return None


def checkAddPeer(
    conn: Conn, peerSet: PeerSet, offered: Sequence[ICapability], matches: Sequence[Match[ICapability]]
) -> DisconnectReason | None:
    """
    The second checkpoint, when it is known what it speaks.

    @param offered: our capabilities; without any, everybody is of use.
    @param matches: those that it shares.
    """
    if offered and not matches:
        return DisconnectReason.USELESS_PEER
    reason = checkPostHandshake(conn, peerSet)
    return _checkCrossing(conn, peerSet) if reason is None else reason


def _checkCrossing(conn: Conn, peerSet: PeerSet) -> DisconnectReason | None:
    """
    Two nodes that dial each other at once would each keep its own connection and refuse the other's, and do so again at
    every attempt. So the one with the greater id gives way: the connection that the other dialled is about to be a peer.
    """
    nodeId = conn.node.node_id
    if not conn.isInbound and nodeId in peerSet.arriving and nodeId < peerSet.selfId:
        return DisconnectReason.ALREADY_CONNECTED
    return None
