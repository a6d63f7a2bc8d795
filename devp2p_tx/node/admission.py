"""
Who may be a peer: the checks of both checkpoints.

They look only at what they are given, and are made twice, since between the handshakes the peer set changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
    @ivar pending: the connections between the two checkpoints.
    """

    peers: Mapping[bytes, Peer]
    inbound: int
    maxPeers: int
    maxInbound: int
    selfId: bytes
    pending: Collection[Conn] = ()


def checkPostHandshake(conn: Conn, peerSet: PeerSet) -> DisconnectReason | None:
    """The first checkpoint, when it is known who is there: why it may not go on, if it may not."""
    reason = _check(conn, peerSet)
    return DisconnectReason.ALREADY_CONNECTED if reason is None and _crosses(conn, peerSet) else reason


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
    return _check(conn, peerSet)


def _check(conn: Conn, peerSet: PeerSet) -> DisconnectReason | None:
    if not conn.isTrusted and len(peerSet.peers) >= peerSet.maxPeers:
        return DisconnectReason.TOO_MANY_PEERS
    if not conn.isTrusted and conn.isInbound and peerSet.inbound >= peerSet.maxInbound:
        return DisconnectReason.TOO_MANY_PEERS
    if conn.node.node_id in peerSet.peers:
        return DisconnectReason.ALREADY_CONNECTED
    if conn.node.node_id == peerSet.selfId:
        return DisconnectReason.SELF
    return None


def _crosses(conn: Conn, peerSet: PeerSet) -> bool:
    """
    Whether the two nodes have dialled each other at once, and we have let the other connection go on already.

    Of two such connections each side might keep another, and both would end, again and again. So only the side with
    the greater id chooses; the one that it refuses here, before its Hello, can be a peer nowhere.
    """
    nodeId = conn.node.node_id
    return nodeId < peerSet.selfId and any(
        other.node.node_id == nodeId and other.isInbound != conn.isInbound for other in peerSet.pending
    )
