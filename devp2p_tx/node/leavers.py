"""
Peers that leave as soon as they are peers: one line says so, and what to do, in place of two for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.core.text.printable import printable
from devp2p_tx.errors import DisconnectReason, PeerDisconnected, PeerRejected, ended_by
from devp2p_tx.net.log import Logger
from devp2p_tx.node.nopeers import NO_PEERS_INTERVAL, SETTLED
from devp2p_tx.node.peer import Peer, addressText

#: How many of a peer's capabilities a line names.
MAX_NAMED = 10

_log = Logger()


def capabilitiesText(caps: Sequence[Cap]) -> str:
    """Return capabilities as C{eth/68, eth/69}; C{none}, or the first L{MAX_NAMED} and how many more."""
    names = ", ".join(printable(str(cap)) for cap in caps[:MAX_NAMED]) or "none"
    return names if len(caps) <= MAX_NAMED else f"{names} and {len(caps) - MAX_NAMED} more"


def isUseless(error: BaseException) -> bool:
    """Return whether a connection ended since the two sides share no capability."""
    return isinstance(error, (PeerDisconnected, PeerRejected)) and error.reason == DisconnectReason.USELESS_PEER


def _hasLeft(error: BaseException) -> bool:
    """Return whether the peer left us, rather than stopped."""
    return isinstance(error, PeerDisconnected) and error.remote and error.reason != DisconnectReason.CLIENT_QUITTING


class Leavers:
    """
    Watches whether peers stay. A peer stays once it has been one for L{SETTLED} seconds.

    While none stays, the first that leaves is logged as a warning, with what to do; the others are for the debug log,
    until one stays. A warning is given once in L{NO_PEERS_INTERVAL} seconds at most.

    @ivar isQuiet: whether a peer that is added now is for the debug log.
    """

    def __init__(
        self,
        clock: IReactorTime,
        seconds: Callable[[], float],
        peers: Collection[Peer],
        offered: Sequence[Cap],
        stays: Callable[[Peer], object],
    ) -> None:
        """
        @param peers: the peers, as they are at any time.
        @param offered: the capabilities that this node offers.
        @param stays: is called with each peer that was added meanwhile, when one of them stays.
        """
        self.isQuiet = False
        self._clock, self._seconds = clock, seconds
        self._peers, self._offered, self._stays = peers, offered, stays
        self._quiet: list[Peer] = []
        self._alarm: IDelayedCall | None = None
        self._nextWarning, self._hasWarned = float("-inf"), False

    def stop(self) -> None:
        """Watch no more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def added(self, peer: Peer) -> None:
        """A peer was added."""
        if self.isQuiet:
            self._quiet.append(peer)
            self._watch()

    def dropped(self, peer: Peer, error: BaseException) -> bool:
        """
        A peer is gone, also from the peers.

        @return: whether that is for the debug log.
        """
        isQuiet = peer in self._quiet
        if isQuiet:
            self._quiet.remove(peer)
        if self._seconds() - peer.created < SETTLED and _hasLeft(error):
            self.left(peer.node.node_id, addressText(peer.remoteAddress), peer.caps, error)
        self._watch()
        return isQuiet

    def left(self, nodeId: bytes, address: str, caps: Sequence[Cap], error: BaseException) -> None:
        """
        A connection ended as soon as both sides had told what they offer.

        @param nodeId: the other side, 32 bytes.
        @param caps: what it offers.
        """
        now = self._seconds()
        if self.isQuiet or any(now - peer.created >= SETTLED for peer in self._peers):
            return
        self.isQuiet = True
        self._watch()
        if now < self._nextWarning:
            return
        self._hasWarned, self._nextWarning = True, now + NO_PEERS_INTERVAL
        _log.warn(
            'no peer stays: id={short} addr={address} by={by} reason="{reason}" offered="{offered}" theirs="{theirs}":'
            " {advice}. Further ones are logged at debug until one stays",
            short=nodeId.hex()[:16],
            id=nodeId.hex(),
            address=address,
            by=ended_by(error),
            reason=printable(str(error)),
            offered=capabilitiesText(self._offered),
            theirs=capabilitiesText(caps),
            advice=self._advice(error),
        )

    def _advice(self, error: BaseException) -> str:
        if not isUseless(error):
            return "--log-level devp2p_tx.node=debug shows each of them"
        if not self._offered:
            return (
                "this node offers no capability, and a node that offers none is left by every client; offer one that"
                " they offer (--capability, or ServerConfig(capabilities=...))"
            )
        return (
            "this node and its peers share no capability; offer one that they offer (--capability, or"
            " ServerConfig(capabilities=...)), or choose the network whose nodes offer yours (--network, --bootnodes)"
        )

    def _watch(self) -> None:
        """Look again when the first of the peers will have stayed."""
        self.stop()
        if self.isQuiet and self._peers:
            first = min(peer.created for peer in self._peers)
            self._alarm = self._clock.callLater(max(0.0, first + SETTLED - self._seconds()), self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self.isQuiet = False
        if self._hasWarned:
            self._hasWarned = False
            _log.info("peers stay again: peers={count}", count=len(self._peers))
        quiet, self._quiet = self._quiet, []
        for peer in quiet:
            self._stays(peer)
