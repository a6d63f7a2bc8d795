"""
Tell of peers that come and go: the log, the counters, and those who subscribed to events.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from twisted.internet.interfaces import IReactorTime

from devp2p_tx.core.metrics import Metrics
from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.core.text.printable import printable
from devp2p_tx.errors import ended_by, reason_label
from devp2p_tx.interfaces import ICapability
from devp2p_tx.net.log import Logger
from devp2p_tx.net.rlpx.channels import MessageObserver
from devp2p_tx.node.events import Feed, PeerEvent, PeerEventType
from devp2p_tx.node.leavers import Leavers, capabilitiesText, isUseless
from devp2p_tx.node.peer import Conn, Peer, addressText

_log = Logger()


class PeerNotices:
    """
    Tells of the peers of one node.

    @ivar feed: who is told of the events.
    """

    def __init__(
        self,
        clock: IReactorTime,
        seconds: Callable[[], float],
        peers: Collection[Peer],
        offered: Sequence[Cap],
        metrics: Metrics,
        observesMessages: bool,
    ) -> None:
        """
        @param peers: the peers, as they are at any time.
        @param offered: the capabilities that this node offers.
        @param observesMessages: whether there is an event for each message.
        """
        self.feed: Feed[PeerEvent] = Feed()
        self._seconds = seconds
        self._peers, self._metrics = peers, metrics
        self._offered = capabilitiesText(offered)
        self._observesMessages = observesMessages
        self._leavers = Leavers(clock, seconds, peers, offered, partial(self._logConnected, False))

    def stop(self) -> None:
        """Wait for nothing any more."""
        self._leavers.stop()

    def connected(self, peer: Peer) -> None:
        """A peer was added."""
        self._logConnected(self._leavers.isQuiet, peer)
        self._leavers.added(peer)
        self._send(PeerEventType.ADD, peer)

    def _logConnected(self, isQuiet: bool, peer: Peer) -> None:
        (_log.debug if isQuiet else _log.info)(
            'peer connected: id={short} addr={address} name="{name}" direction={direction} flags={flags} peers={peers}',
            **_who(peer),
            direction="in" if peer.inbound else "out",
            flags=str(peer.flags),
            peers=len(self._peers),
        )

    def dropped(self, peer: Peer, error: BaseException) -> None:
        """A peer is gone, also from the peers."""
        why, by, duration = (
            printable(str(error)) or type(error).__name__,
            ended_by(error),
            self._seconds() - peer.created,
        )
        self._metrics.count("drops", reason=reason_label(error))
        isQuiet = self._leavers.dropped(peer, error)
        text = (
            'peer dropped: id={short} addr={address} by={by} reason="{reason}" duration={duration:.1f}s peers={peers}'
        )
        fields = {"reason": why, "by": by, "duration": duration, "peers": len(self._peers)}
        if isUseless(error):
            text += ' offered="{offered}" theirs="{theirs}"'
            fields |= {"offered": self._offered, "theirs": capabilitiesText(peer.caps)}
        (_log.debug if isQuiet else _log.info)(text, **_who(peer), **fields)
        self._send(PeerEventType.DROP, peer, error=why, endedBy=by, duration=duration)

    def refused(self, conn: Conn, stage: str, error: BaseException) -> None:
        """
        A connection does not become a peer.

        @param stage: where it ended: C{rlpx}, C{posthandshake}, C{hello}, or C{addpeer}, where it is known what the
            other side offers.
        """
        direction, address = "inbound" if conn.isInbound else "dialed", addressText(conn.transport.remoteAddress)
        self._metrics.count("handshake_failures", direction=direction, stage=stage, reason=reason_label(error))
        _log.debug(
            "{direction} connection with {address} failed at {stage}: {error!r}",
            direction=direction,
            address=address,
            stage=stage,
            error=error,
        )
        if stage == "addpeer" and isUseless(error):
            self._leavers.left(conn.node.node_id, address, conn.hello.caps, error)

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


def _who(peer: Peer) -> dict[str, str]:
    """Return what a line of the log says of every peer."""
    return {
        "id": peer.id,
        "short": peer.id[:16],
        "address": addressText(peer.remoteAddress),
        "name": printable(peer.fullname),
    }
