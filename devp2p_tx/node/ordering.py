"""
The methods of a Server by which its user names nodes at run time.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from devp2p_tx.core.enr.node import Node
from devp2p_tx.node.inbound import TrustedAddresses
from devp2p_tx.node.orders import Orders, checkIsNode


class TakesOrders:
    """Refuses what is no node at once, and has L{Orders} carry out the rest."""

    _orders: Orders
    _trustedAddresses: TrustedAddresses

    def addPeer(self, node: Node) -> None:
        """
        Make a node static: it is dialed for ever. A node that is static already and comes with another address is
        dialed there first, and at its other addresses where that fails; up to
        L{MAX_ADDRESSES<devp2p_tx.core.dialing.statics.MAX_ADDRESSES>} are kept.

        @raise TypeError: C{node} is no L{Node}.
        """
        checkIsNode(node, "addPeer")
        self._orders.addStatic(node)

    def removePeer(self, node: Node) -> Deferred[None]:
        """
        Dial a node no more, and end each connection with it: peer, dial or handshake. C{connect()} calls that wait for
        it fail with L{PeerDisconnected<devp2p_tx.errors.PeerDisconnected>}. The node may connect to us again.

        @return: fires when it is no peer any more, after all subscribers were told.
        @raise TypeError: C{node} is no L{Node}.
        """
        checkIsNode(node, "removePeer")
        return self._orders.remove(node)

    def stopDialing(self, node: Node) -> None:
        """
        Dial a static node no more, which L{removePeer} does too; but a connection with it stays.

        @raise TypeError: C{node} is no L{Node}.
        """
        checkIsNode(node, "stopDialing")
        self._orders.stopDialing(node)

    def setBootnodes(self, nodes: Sequence[Node]) -> None:
        """
        Replace the bootnodes of all versions of discovery. Those that are new are asked at once.

        @raise TypeError: one of C{nodes} is no L{Node}.
        """
        for node in nodes:
            checkIsNode(node, "setBootnodes")
        self._orders.setBootnodes(nodes)

    def addTrustedPeer(self, node: Node) -> None:
        """
        Trust a node from now on: it counts against no limit, whether it is a peer already or not; see
        L{TrustedAddresses<devp2p_tx.node.inbound.TrustedAddresses>} for where it is past rate limits.

        @raise TypeError: C{node} is no L{Node}.
        """
        checkIsNode(node, "addTrustedPeer")
        self._trustedAddresses.trust(node)
        self._orders.setTrusted(node, True)

    def removeTrustedPeer(self, node: Node) -> None:
        """
        Trust a node no longer; it stays a peer if it is one, and counts as others do.

        @raise TypeError: C{node} is no L{Node}.
        """
        checkIsNode(node, "removeTrustedPeer")
        self._trustedAddresses.distrust(node.node_id)
        self._orders.setTrusted(node, False)
