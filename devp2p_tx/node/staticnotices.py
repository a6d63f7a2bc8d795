"""
Log what keeps a static node from being a peer: one line when it begins, one when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from devp2p_tx.core.dialing.dialplan import Refusal
from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import (
    AddressRefused,
    DisconnectReason,
    InvalidNode,
    PeerDisconnected,
    PeerRejected,
    RemoteProtocolError,
    Timeout,
    reason_label,
)
from devp2p_tx.net.log import Logger

#: A static node that leaves sooner than this after it connected (seconds) is not connected, to speak of.
SETTLED = 10.0
#: How many different reasons are logged of one node, from the line that begins to the one that ends.
MAX_REASONS = 4
#: How many nodes a line lists.
MAX_LISTED = 8

_log = Logger()

_CURES = {
    DisconnectReason.TOO_MANY_PEERS: "it has no place; its operator can make this node trusted there",
    DisconnectReason.USELESS_PEER: "it shares no capability with this node, or is of another network",
    DisconnectReason.ALREADY_CONNECTED: "it may not have noticed yet that an older connection is gone",
    DisconnectReason.UNEXPECTED_IDENTITY: "it has another key; check its URL",
}
_REFUSALS = {
    Refusal.NO_PORT: "its URL has the TCP port 0; give its port, as in enode://...@HOST:PORT",
    Refusal.NOWHERE: "no node has an unspecified or multicast address; give the one at which it is reached",
    Refusal.RESTRICTED: "its address is in no network of --netrestrict; add it there, or remove the node",
    Refusal.DENIED: "its address is in a network of --netdeny; remove it there, or remove the node",
    Refusal.SELF: "it is this node itself; remove it",
}


def explainError(error: BaseException) -> str:
    """Say why a dial failed, and what to do about it; empty if that is logged elsewhere."""
    if isinstance(error, (PeerDisconnected, PeerRejected)):
        says = "this node refused it" if isinstance(error, PeerRejected) or not error.remote else "it refused this node"
        cure = _CURES.get(DisconnectReason.of(error.reason), "")  # type: ignore[call-overload]
        return f"{says}: {error}" + (f" ({cure})" if cure else "")
    for kinds, explain in _EXPLAINED:
        if isinstance(error, kinds):
            return explain(error)
    return f"{type(error).__name__}: {error}"


_EXPLAINED: tuple[tuple[tuple[type[BaseException], ...], Callable[[BaseException], str]], ...] = (
    ((DNSLookupError,), lambda error: ""),  # the name is logged by the one that looks it up
    (
        (ConnectionRefusedError,),
        lambda error: "the connection was refused; check that the node runs, and its address and port",
    ),
    (
        (TimeoutError, Timeout),
        lambda error: "there is no answer; check that the node runs, its address, and the firewalls on the way",
    ),
    ((AddressRefused,), lambda error: str(error)),
    (
        (ConnectionClosed,),
        lambda error: "it closed the connection during the handshake; it has another key, or takes no connections now",
    ),
    ((InvalidNode,), lambda error: f"{error}; give its address"),
    ((RemoteProtocolError,), lambda error: f"the handshake failed: {error}; check that this is its address and key"),
    ((ConnectError, UserError), lambda error: f"the connection failed: {error}"),
)


class Trouble(NamedTuple):
    """
    Why a dial failed, without the error itself, which knows the connection.

    @ivar node: the node, at the address that was tried.
    @ivar kind: the reason, in a few words that do not vary.
    @ivar why: the reason and what to do about it; empty if that is logged elsewhere.
    """

    node: Node
    kind: str
    why: str

    @classmethod
    def of(cls, node: Node, error: BaseException) -> Trouble:
        """Describe an error."""
        return cls(node, reason_label(error), explainError(error))


@dataclass
class _Run:
    """
    What is wrong with one node, from the line that begins to the one that ends.

    @ivar hasLeft: whether it was a peer meanwhile, and left at once.
    @ivar ending: logs the end, if the node stays until then.
    """

    node: Node
    since: float
    reasons: set[str] = field(default_factory=set)
    hasLeft: bool = False
    ending: IDelayedCall | None = None


class StaticNotices:
    """
    Logs a warning when a static node begins to fail, one more for each other reason, up to L{MAX_REASONS}, and a line
    when it is connected: at once, or, if it has left at once before, when it has stayed for L{SETTLED}.
    """

    def __init__(self, clock: IReactorTime, seconds: Callable[[], float]) -> None:
        self._clock, self._seconds = clock, seconds
        self._runs: dict[bytes, _Run] = {}
        self._saidWaiting = False

    def refused(self, node: Node, refusal: Refusal) -> None:
        """The user gave a static node that is never dialed there."""
        self._warn(node, refusal.name, f"it is not dialed at {_address(node)}: {_REFUSALS.get(refusal, refusal.value)}")

    def failed(self, trouble: Trouble) -> None:
        """A dial of a static node failed."""
        if trouble.why:
            self._warn(trouble.node, trouble.kind, f"{trouble.why}; it is dialed again and again")

    def connected(self, node: Node) -> None:
        """A node became a peer."""
        run = self._runs.get(node.node_id)
        if run is not None and run.ending is None:
            if run.hasLeft:
                run.ending = self._clock.callLater(SETTLED, self._end, node.node_id)
            else:
                self._end(node.node_id)

    def left(self, node: Node, lasted: float, reason: BaseException) -> None:
        """
        A static node is no peer any more.

        @param lasted: for how long it was one (seconds).
        """
        if (run := self._runs.get(node.node_id)) is not None:
            self._cancel(run)
        isOurs = isinstance(reason, PeerDisconnected) and not reason.remote
        if lasted >= SETTLED or (isOurs and reason.reason == DisconnectReason.REQUESTED):  # type: ignore[attr-defined]
            return
        self._warn(node, f"left, {reason_label(reason)}", f"it connects and leaves at once: {explainError(reason)}")
        self._runs[node.node_id].hasLeft = True

    def forget(self, nodeId: bytes) -> None:
        """A node is static no longer."""
        if (run := self._runs.pop(nodeId, None)) is not None:
            self._cancel(run)

    def stop(self) -> None:
        """Log nothing more."""
        for nodeId in list(self._runs):
            self.forget(nodeId)

    def waiting(self, nodes: Sequence[Node], count: int, maxPeers: int) -> None:
        """
        Log once which static nodes wait for a place, and once when there is a place for all of them.

        @param nodes: those that wait.
        @param count: how many static nodes there are that are not trusted.
        """
        if nodes and count > maxPeers and not self._saidWaiting:
            self._saidWaiting = True
            _log.warn(
                "static nodes outnumber --max-peers, so some wait until others leave: static={count} max_peers={max} "
                "waiting={nodes}; raise --max-peers, or name them with --trusted, too",
                count=count,
                max=maxPeers,
                nodes=_listed(nodes),
            )
        elif count <= maxPeers and self._saidWaiting:
            self._saidWaiting = False
            _log.info(
                "there is a place for every static node: static={count} max_peers={max}", count=count, max=maxPeers
            )

    def _warn(self, node: Node, kind: str, why: str) -> None:
        run = self._runs.setdefault(node.node_id, _Run(node, self._seconds()))
        if kind in run.reasons or len(run.reasons) >= MAX_REASONS:
            return
        run.reasons.add(kind)
        _log.warn("static node {node} is not connected: {why}", node=nodeLabel(node), why=why)

    def _end(self, nodeId: bytes) -> None:
        run = self._runs.pop(nodeId)
        duration = self._seconds() - run.since
        _log.info("static node {node} is connected after {s:.0f} s", node=nodeLabel(run.node), s=duration)

    def _cancel(self, run: _Run) -> None:
        if run.ending is not None and run.ending.active():
            run.ending.cancel()
        run.ending = None


def nodeLabel(node: Node) -> str:
    """A node in a line of the log: C{id=... addr=...}."""
    return f"id={node.node_id.hex()[:16]} addr={_address(node)}"


def _address(node: Node) -> str:
    host = node.host
    if host is None:
        return "unknown"
    return f"[{host}]:{node.tcp}" if ":" in host else f"{host}:{node.tcp}"


def _listed(nodes: Sequence[Node]) -> str:
    more = f" and {len(nodes) - MAX_LISTED} more" if len(nodes) > MAX_LISTED else ""
    return ", ".join(f"{node.node_id.hex()[:16]}@{_address(node)}" for node in nodes[:MAX_LISTED]) + more
