"""
Tell of peers that come and go: the log, the counters, and those who subscribed to events.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from twisted.logger import Logger

from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import reason_label
from devp2p_tx.interfaces import ICapability
from devp2p_tx.net.rlpx.channels import MessageObserver
from devp2p_tx.node.events import Feed, PeerEvent, PeerEventType
from devp2p_tx.node.peer import Peer, addressText

_log = Logger()


class PeerNotices:
    """
    Tells of the peers of one node.

    @ivar feed: who is told of the events.
    """

    def __init__(self, peers: Collection[Peer], metrics: Metrics, observesMessages: bool) -> None:
        """
        @param peers: the peers, as they are at any time.
        @param observesMessages: whether there is an event for each message.
        """
        self.feed: Feed[PeerEvent] = Feed()
        self._peers, self._metrics = peers, metrics
        self._observesMessages = observesMessages

    def connected(self, peer: Peer) -> None:
        """A peer was added."""
        _log.info(
            "peer {peer} {name} ({flags}): now {count}",
            peer=peer,
            name=peer.name,
            flags=str(peer.flags),
            count=len(self._peers),
        )
        self._send(PeerEventType.ADD, peer)

    def dropped(self, peer: Peer, reason: BaseException) -> None:
        """A peer is gone, also from the peers."""
        why = str(reason) or type(reason).__name__
        self._metrics.count("drops", reason=reason_label(reason))
        _log.info("dropped {peer}: {why}: now {count}", peer=peer, why=why, count=len(self._peers))
        self._send(PeerEventType.DROP, peer, error=why)

    def observer(self, peer: Peer) -> MessageObserver | None:
        """Return what is to be told of the messages of a peer; C{None} if nobody wants to know."""
        return partial(self._observe, peer) if self._observesMessages else None

    def _observe(self, peer: Peer, sent: bool, capability: ICapability, code: int, size: int) -> None:
        kind = PeerEventType.MESSAGE_SENT if sent else PeerEventType.MESSAGE_RECEIVED
        self._send(kind, peer, protocol=capability.name, msgCode=code, msgSize=size)

    def _send(self, kind: PeerEventType, peer: Peer, **fields: Any) -> None:
        self.feed.send(
            PeerEvent(
                kind,
                peer.id,
                localAddress=addressText(peer.localAddress),
                remoteAddress=addressText(peer.remoteAddress),
                **fields,
            )
        )
