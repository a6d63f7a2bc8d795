"""
What a user orders at run time: which nodes to dial, to trust, and to leave.

An order holds for what is under way when it arrives, too: dials, connections that are being set up, peers, peers that
are leaving. Of two orders the later one holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from devp2p_tx._oneshot import OneShot
from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import DisconnectReason, LocalProtocolError, PeerDisconnected, PeerRejected, ServerStopped
from devp2p_tx.node.admission import PeerSet, checkNode, explain
from devp2p_tx.node.dialer import Dialer
from devp2p_tx.node.discovery import Discovery
from devp2p_tx.node.peer import Conn, Peer
from devp2p_tx.node.runloop import RunLoop


def checkIsNode(node: object, taker: str) -> None:
    """
    Refuse what is no node, at once, so that the mistake is seen where it was made.

    @param taker: the name of the method that was called.
    @raise TypeError: C{node} is no L{Node}.
    """
    if not isinstance(node, Node):
        raise TypeError(f"{taker} takes a Node, not {node!r}: parse_node makes one of an enode:// or enr: URL")


class Orders:
    """
    Carries out what the user orders. All of it happens in the run loop, in the order in which it was asked for.
    """

    def __init__(
        self,
        peers: Mapping[bytes, Peer],
        conns: Collection[Conn],
        dialer: Dialer,
        peerSet: Callable[[], PeerSet],
        runLoop: RunLoop,
        discovery: Discovery,
    ) -> None:
        """
        @param peers: the peers, as they are at any time.
        @param conns: the connections that are being set up, likewise.
        @param peerSet: what a new peer is compared with.
        @param runLoop: does all of it.
        @param discovery: is told of other bootnodes.
        """
        self._peers, self._conns = peers, conns
        self._dialer, self._places = dialer, dialer.plan.places
        self._peerSet, self._discovery = peerSet, discovery
        self._post, self._runLoop = runLoop.post, runLoop
        self._isStopped = False

    def stop(self) -> None:
        """Connect to no node any more."""
        self._isStopped = True

    def addStatic(self, node: Node) -> None:
        """Dial a node for ever, this address of it first."""
        self._post(partial(self._change, partial(self._dialer.addStatic, node)))

    def stopDialing(self, node: Node) -> None:
        """Dial a node no more; a connection with it stays."""
        self._post(partial(self._change, partial(self._dialer.plan.remove_static, node.node_id)))

    def setBootnodes(self, nodes: Sequence[Node]) -> None:
        """Begin with these nodes, and dial them where there are no peers."""
        self._post(partial(self._change, partial(self._dialer.plan.set_bootnodes, nodes)))
        self._post(partial(self._discovery.setBootnodes, nodes))

    def setTrusted(self, node: Node, trusted: bool) -> None:
        """Trust a node, or no longer; a connection of it that is there is told."""
        self._post(partial(self._change, partial(self._setTrusted, node.node_id, trusted)))

    def _change(self, change: Callable[[], None]) -> None:
        change()
        self._dialer.evaluate()

    def _setTrusted(self, nodeId: bytes, trusted: bool) -> None:
        self._places.set_trusted(nodeId, trusted)
        if peer := self._peers.get(nodeId):
            peer.trusted = trusted

    def remove(self, node: Node) -> Deferred[None]:
        """Dial a node no more, and end all connections with it; see L{devp2p_tx.node.server.Server.removePeer}."""
        removed: OneShot[None] = OneShot()
        self._post(partial(self._remove, node.node_id, removed))
        return removed.when()

    def _remove(self, nodeId: bytes, removed: OneShot[None]) -> None:
        self._dialer.removeStatic(nodeId)
        self._dialer.giveUp(nodeId, PeerDisconnected(DisconnectReason.REQUESTED, remote=False))
        for conn in [each for each in self._conns if each.isOf(nodeId)]:
            conn.transport.disconnect(DisconnectReason.REQUESTED)
        peer = self._peers.get(nodeId)
        if peer is None:
            removed.fire(None)
            return
        # asked after the one that posts the peer's removal, so this is posted behind it
        peer.whenEnded().addCallback(lambda _: self._post(partial(removed.fire, None)))
        peer.disconnect(DisconnectReason.REQUESTED)

    def connect(self, node: Node) -> Deferred[Peer]:
        """Dial a node once; see L{devp2p_tx.node.server.Server.connect}."""
        if not self._dialer.plan.max_active:
            return fail(
                LocalProtocolError("noDial is set: this node makes no outbound connection, not even one by connect()")
            )
        peer = self._peers.get(node.node_id)
        if peer is not None and not peer.isLeaving and self._runLoop.isIdle:
            return succeed(peer)
        return Deferred.fromCoroutine(self._connect(node))

    async def _connect(self, node: Node) -> Peer:
        nodeId = node.node_id
        if not self._runLoop.isIdle:
            await self._turn()  # behind the orders that were given before
        while (peer := self._peers.get(nodeId)) is not None:
            if not peer.isLeaving:
                return peer
            await peer.whenEnded()
            await self._turn()  # behind its removal
        if self._isStopped:
            raise ServerStopped("server stopped")
        if (reason := checkNode(nodeId, True, self._peerSet())) is not None:
            raise PeerRejected(reason, explain(reason, self._places))
        try:
            dialed: Peer = await self._dialer.dialOnce(node)
            return dialed
        except CancelledError:
            raise
        except Exception:
            if (other := await self._otherwise(nodeId)) is None:
                raise
            return other

    async def _otherwise(self, nodeId: bytes) -> Peer | None:
        """The peer, where the node has connected to us meanwhile, or is about to."""
        for conn in [each for each in self._conns if each.isInbound and each.isOf(nodeId)]:
            await conn.whenSetUp()
        return self._peers.get(nodeId)

    def _turn(self) -> Deferred[None]:
        turn: Deferred[None] = Deferred()
        self._post(partial(turn.callback, None))
        return turn
