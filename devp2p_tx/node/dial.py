"""
One dial of a node: the addresses that are tried, and the calls that wait for its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError
from twisted.python.failure import Failure

from devp2p_tx.core.dialing.dialplan import DialPlan
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node
from devp2p_tx.errors import InvalidNode, PeerDisconnected, PeerRejected, ServerStopped
from devp2p_tx.net.log import Logger
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.node.connector import Connector
from devp2p_tx.node.peer import ConnectionFlags
from devp2p_tx.node.staticnotices import Trouble

_log = Logger()

#: Takes a connection that was dialed through both handshakes; fires when it is a peer, fails when it will not be.
SetUp = Callable[[RLPxProtocol, ConnectionFlags, Node], Deferred[Any]]


#: After these a node is not tried at another address: it was reached, or it was given up.
_FINAL = PeerRejected, PeerDisconnected, ServerStopped, CancelledError


class Dial:
    """
    A dial that is under way.

    @ivar nodes: the node at each of the addresses that are tried.
    @ivar flags: how its connection comes about.
    @ivar byUser: whether our user says where the node is.
    @ivar isReached: whether it got a connection.
    @ivar trouble: why it failed at the first of the addresses.
    @ivar isOver: whether it is given up.
    @ivar running: fires when it has ended.
    """

    running: Deferred[Any]

    def __init__(
        self, nodes: Sequence[Node], flags: ConnectionFlags, byUser: bool = True, isWanted: bool = True
    ) -> None:
        """
        @param isWanted: whether it goes on if all that wait for its end are cancelled.
        """
        self.nodes, self.flags, self.byUser = nodes, flags, byUser
        self.nodeId = nodes[0].node_id
        self.isReached = self.isOver = False
        self.trouble: Trouble | None = None
        self._isWanted = isWanted
        self._waiting: list[Deferred[Any]] = []
        self._cause: Exception | None = None

    def when(self) -> Deferred[Any]:
        """
        Wait for the end.

        @return: fires with the peer, or fails. Cancelling it ends the dial if it was begun for those that wait, and no
            other waits.
        """
        waiting: Deferred[Any] = Deferred(self._left)
        self._waiting.append(waiting)
        return waiting

    def _left(self, waiting: Deferred[Any]) -> None:
        if waiting not in self._waiting:
            return
        if self._isWanted or len(self._waiting) > 1:
            self._waiting.remove(waiting)
        else:
            self.isOver = True
            self.running.cancel()

    def giveUp(self, cause: Exception) -> None:
        """End the dial; those that wait for it are told C{cause}."""
        self._cause, self.isOver = cause, True
        self.running.cancel()

    def end(self, result: Any) -> None:
        """Tell the end to all that wait."""
        if isinstance(result, Failure) and self._cause is not None:
            result = Failure(self._cause)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.callback(result)


class Reaching:
    """Takes dials to their ends."""

    def __init__(self, connector: Connector, setUp: SetUp, plan: DialPlan) -> None:
        """
        @param connector: makes the connections.
        @param setUp: see L{SetUp}.
        @param plan: knows how often the address of a node may be searched for.
        """
        self._connector, self._setUp, self._plan = connector, setUp, plan

    async def reach(self, dial: Dial) -> Any:
        """
        Dial a node at one address after the other, until it is a peer, or it is clear that it will be none.

        @return: the peer.
        @raise Exception: why it is none, at the last address.
        """
        for node in dial.nodes[:-1]:
            try:
                return await self._try(node, dial)
            except _FINAL:
                raise
            except Exception as error:
                if dial.isOver:
                    raise
                dial.trouble = dial.trouble or Trouble.of(node, error)
        return await self._tryOrSearch(dial.nodes[-1], dial)

    async def _tryOrSearch(self, node: Node, dial: Dial) -> Any:
        """Dial a node; a static one that is not where we thought is searched for, and dialed once more."""
        isSearched = ConnectionFlags.STATIC_DIALED in dial.flags and node.hostname is None
        if node.host is None:
            found, isSearched = await self._connector.search(node, self._plan), False
            if found is None:
                raise InvalidNode(f"nobody knows where node {node.node_id.hex()[:16]} is")
            node = found
        try:
            return await self._try(node, dial)
        except ConnectError:
            elsewhere = await self._connector.search(node, self._plan) if isSearched else None
            if elsewhere is None:
                raise
        return await self._try(elsewhere, dial)

    async def _try(self, node: Node, dial: Dial) -> Any:
        try:
            transport = await self._connector.connect(node, dial.byUser)
        except Exception as error:
            _log.debug("cannot connect to {node}: {error}", node=format_node(node), error=error)
            raise
        dial.isReached = True
        return await self._setUp(transport, dial.flags, node)
