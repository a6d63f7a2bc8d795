"""
Who may be a peer: the checks of both checkpoints.

They look only at what they are given, and are made twice, since between the handshakes the peer set changes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from devp2p_tx.core.dialing.places import Places
from devp2p_tx.core.p2p.capabilities import Match
from devp2p_tx.errors import DisconnectReason
from devp2p_tx.interfaces import ICapability
from devp2p_tx.node.peer import Conn


class Arriving:
    """The ids of the nodes that are connecting to us, and have proved that they are those nodes; for C{in}."""

    def __init__(self, conns: Collection[Conn]) -> None:
        """
        @param conns: the connections that are being set up, as they are at any time.
        """
        self._conns = conns

    def __contains__(self, nodeId: object) -> bool:
        return any(conn.isArriving and conn.isInbound and conn.node.node_id == nodeId for conn in self._conns)


@dataclass(frozen=True, slots=True)
class PeerSet:
    """
    What the checks compare a connection with.

    @ivar places: the peers, and the places that they take.
    @ivar selfId: our own node id.
    @ivar pending: the connections that are being set up.
    """

    places: Places
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
    return checkNode(conn.node.node_id, not conn.isInbound, peerSet)


def checkNode(nodeId: bytes, isDialed: bool, peerSet: PeerSet) -> DisconnectReason | None:
    """Why a node may not become a peer now, if it may not."""
    if not peerSet.places.has_room(nodeId, isDialed):
        return DisconnectReason.TOO_MANY_PEERS
    if nodeId in peerSet.places:
        return DisconnectReason.ALREADY_CONNECTED
    if nodeId == peerSet.selfId:
        return DisconnectReason.SELF
    return None


def explain(reason: DisconnectReason, places: Places) -> str:
    """Say which setting of ours a refusal is about, for our user; empty if it is about none."""
    if reason is not DisconnectReason.TOO_MANY_PEERS:
        return ""
    if not places.max_peers:
        return "maxPeers is 0, so this node has places for trusted nodes only"
    return f"this node has {places.taken} of maxPeers={places.max_peers}, not counting trusted nodes"


def _crosses(conn: Conn, peerSet: PeerSet) -> bool:
    """
    Whether the two nodes have dialled each other at once, and we have let the other connection go on already; an
    inbound one counts once it is proved, and an outbound one wins over one that is not.

    Of two such connections each side might keep another, and both would end, again and again. So only the side with
    the greater id chooses; the one that it refuses here, before its Hello, can be a peer nowhere.
    """
    nodeId = conn.node.node_id
    return nodeId < peerSet.selfId and any(
        other.isArriving and other.node.node_id == nodeId and other.isInbound != conn.isInbound
        for other in peerSet.pending
    )
