"""
A connection on its way to being a peer, and a peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag
from typing import Any

from twisted.internet.defer import Deferred

from devp2p_tx._oneshot import OneShot
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node
from devp2p_tx.core.p2p.capabilities import Match
from devp2p_tx.core.p2p.messages import Hello
from devp2p_tx.core.text.printable import escaped
from devp2p_tx.interfaces import ICapability
from devp2p_tx.net.rlpx.peer import RLPxPeer, nodeAt
from devp2p_tx.net.rlpx.peer import addressIP as addressIP
from devp2p_tx.net.rlpx.peer import addressText as addressText
from devp2p_tx.net.rlpx.protocol import RLPxProtocol


class ConnectionFlags(IntFlag):
    """How a connection came about, and what it may do; C{TRUSTED} changes at run time, the others never."""

    DYNAMIC_DIALED = 1
    STATIC_DIALED = 2
    INBOUND = 4
    TRUSTED = 8

    def __str__(self) -> str:
        return "-".join(text for flag, text in _FLAG_TEXTS if flag in self)


_FLAG_TEXTS = (
    (ConnectionFlags.TRUSTED, "trusted"),
    (ConnectionFlags.DYNAMIC_DIALED, "dyndial"),
    (ConnectionFlags.STATIC_DIALED, "staticdial"),
    (ConnectionFlags.INBOUND, "inbound"),
)
DIALED = ConnectionFlags.DYNAMIC_DIALED | ConnectionFlags.STATIC_DIALED


class Conn:
    """
    A connection on its way through the checkpoints.

    @ivar transport: the RLPx connection.
    @ivar flags: how it came about.
    @ivar node: the node at the other end, after the RLPx handshake. Of one that dialled us the id is only claimed until
        L{isProved}, and the ports are those of its connection, good for display only.
    @ivar hello: what it said, after the second handshake.
    @ivar cont: what the run loop answers a checkpoint with.
    @ivar isAdmitted: whether it has passed the first checkpoint.
    @ivar peer: what became of it, after the second checkpoint and until it is set up.
    """

    node: Node
    hello: Hello
    cont: Deferred[None]

    def __init__(self, transport: RLPxProtocol, flags: ConnectionFlags) -> None:
        self.transport = transport
        self.flags = flags
        self.isAdmitted = False
        self.peer: Peer | None = None
        self._isSetUp: OneShot[None] = OneShot()

    def isOf(self, nodeId: bytes) -> bool:
        """Whether it is with that node, or with one that claims to be."""
        key = self.transport.remoteKey
        return key is not None and key.node_id == nodeId

    def whenSetUp(self) -> Deferred[None]:
        """Fires when it has become a peer, or will be none."""
        return self._isSetUp.when()

    def settle(self) -> None:
        """It has become a peer, or will be none: forget what became of it, and tell those that wait."""
        self.peer = None  # which knows the connection: what is gone should not wait for the garbage collector
        self._isSetUp.fire(None)

    def setNode(self, dialed: Node | None) -> None:
        """The handshake is done: with the node that was dialled, or with whoever dialled us."""
        if dialed is not None:
            self.node = dialed
            return
        assert self.transport.remoteKey is not None
        self.node = nodeAt(self.transport.remoteKey, self.transport.remoteAddress)

    @property
    def isProved(self) -> bool:
        """Whether the node is known to be at the other end: of one that dialled us, whether a frame has verified."""
        return not self.isInbound or self.transport.isProved

    @property
    def isArriving(self) -> bool:
        """Whether it has passed the first checkpoint, and the node is known to be at the other end."""
        return self.isAdmitted and self.isProved

    @property
    def isInbound(self) -> bool:
        """Whether it dialled us."""
        return ConnectionFlags.INBOUND in self.flags

    @property
    def isTrusted(self) -> bool:
        """Whether limits do not count for it, which changes at run time."""
        return ConnectionFlags.TRUSTED in self.flags

    @isTrusted.setter
    def isTrusted(self, trusted: bool) -> None:
        if trusted:
            self.flags |= ConnectionFlags.TRUSTED
        else:
            self.flags &= ~ConnectionFlags.TRUSTED


class Peer(RLPxPeer):
    """
    A node that passed both checkpoints; see L{IPeer<devp2p_tx.interfaces.IPeer>} for what capabilities use of it.

    @ivar created: since when it is a peer (the server's seconds).
    """

    def __init__(self, conn: Conn, matches: Sequence[Match[ICapability]], created: float) -> None:
        """
        @param created: the time, in the server's seconds.
        """
        super().__init__(conn.transport, conn.node, conn.hello, matches, conn.isInbound)
        self._conn = conn
        self.created = created

    @property
    def flags(self) -> ConnectionFlags:
        """How the connection came about, and whether it is trusted now."""
        return self._conn.flags

    @property
    def trusted(self) -> bool:
        """Whether limits do not count for it, which changes at run time."""
        return self._conn.isTrusted

    @trusted.setter
    def trusted(self, trusted: bool) -> None:
        self._conn.isTrusted = trusted

    @property
    def isLeaving(self) -> bool:
        """Whether its connection is closed, and it is a peer only until that has come through."""
        return self._conn.transport.closed

    def info(self) -> dict[str, Any]:
        """As go-ethereum's C{admin_peers} shows a peer."""
        return {
            "enode": format_node(self.node),
            "id": self.id,
            "name": escaped(self.fullname),
            "caps": [escaped(str(cap)) for cap in self.caps],
            "network": {
                "localAddress": addressText(self.localAddress),
                "remoteAddress": addressText(self.remoteAddress),
                "inbound": self.inbound,
                "trusted": self.trusted,
                "static": ConnectionFlags.STATIC_DIALED in self.flags,
            },
            "protocols": {each.name: self._protocolInfo(each) for each in self.running},
        }

    def _protocolInfo(self, capability: ICapability) -> object:
        info = capability.peerInfo(self.id)
        return "unknown" if info is None else info
