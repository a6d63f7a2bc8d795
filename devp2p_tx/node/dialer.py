"""
The doing half of the dialer: dials the nodes that L{devp2p_tx.core.dialing.dialplan} says, and reports.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from devp2p_tx.core.addressing.outgoing import OutgoingBudget
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.dialing.dialplan import DialPlan
from devp2p_tx.core.dialing.statics import is_same_place
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import (
    AddressRefused,
    InvalidNode,
    OverBudget,
    PeerDisconnected,
    PeerRejected,
    ProxyError,
    ServerStopped,
)
from devp2p_tx.net.connecting.dialvia import Via
from devp2p_tx.net.hostnames import HostNames
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.node.connector import PROTOCOL, Connector, Resolve
from devp2p_tx.node.peer import ConnectionFlags
from devp2p_tx.node.sources import Candidate, Candidates

_log = Logger()

#: How long a dialed candidate stays before it counts as useful (seconds).
USEFUL_AFTER = 60.0

#: Takes a connection that was dialed through both handshakes; fires when it is a peer, fails when it will not be.
SetUp = Callable[[RLPxProtocol, ConnectionFlags, Node], Deferred[Any]]


class DialMemory(Protocol):
    """Remembers which candidates were good peers."""

    def succeeded(self, node: Node) -> None:
        """It is, or was until now, a useful peer."""

    def failed(self, node: Node) -> None:
        """It did not become a peer."""


class Dial:
    """
    A dial that is under way.

    @ivar nodes: the node at each of the addresses that are tried.
    @ivar flags: how its connection comes about.
    @ivar byUser: whether our user says where the node is.
    @ivar isReached: whether it got a connection.
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


class Dialer:
    """
    Dials static nodes, and fills the dialed places.

    @ivar plan: which nodes are dialed, and why not; tell it what happens through the methods here.
    """

    def __init__(
        self,
        reactor: Any,
        seconds: Callable[[], float],
        plan: DialPlan,
        build: Callable[[Node], RLPxProtocol],
        setUp: SetUp,
        metrics: Metrics,
        policy: AddressPolicy,
        memory: DialMemory,
        names: HostNames,
        budget: OutgoingBudget | None = None,
        via: Via | None = None,
    ) -> None:
        """
        @param build: makes the protocol for a dialed node.
        @param setUp: see L{SetUp}.
        @param policy: which addresses may be contacted.
        @param memory: is told how dials ended, for the next start.
        @param names: what looks up host names.
        @param budget: how many connections may be begun: see L{Connector}.
        @param via: the proxy to dial through.
        """
        self.plan = plan
        self._reactor, self._seconds = reactor, seconds
        self._setUp = setUp
        self._metrics, self._policy = metrics, policy
        self._connector = Connector(reactor, build, policy, names, seconds, budget, via)
        self._memory = memory
        self._candidates: Candidates | None = None
        self._reading: Deferred[Any] | None = None
        self._waiting: Candidate | None = None
        self._dials: set[Dial] = set()
        self._alarm: IDelayedCall | None = None
        self._running = False
        self._isEvaluating = self._isChanged = False

    def start(self, candidates: Candidates | None = None, resolve: Resolve | None = None) -> None:
        """
        Begin to dial.

        @param candidates: the nodes to dial beside static ones.
        @param resolve: see L{Resolve}.
        """
        self._candidates, self._connector.resolve = candidates, resolve
        self._running = True
        self.evaluate()

    def stop(self) -> Deferred[Any]:
        """Give up what is under way; fires when all of it has ended."""
        self._running = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._reading is not None:
            self._reading.cancel()
        if self._candidates is not None:
            self._candidates.stop()
        dials = [dial.running for dial in self._dials]
        for dial in list(self._dials):
            dial.giveUp(ServerStopped("server stopped"))
        return DeferredList(dials)

    def evaluate(self) -> None:
        """Something changed: dial every node that can be dialed now."""
        self._isChanged = True
        if self._isEvaluating:  # what is done below can end at once, and brings us here again
            return
        self._isEvaluating = True
        try:
            while self._isChanged and self._running:
                self._isChanged = False
                self._evaluate()
        finally:
            self._isEvaluating = False

    def _evaluate(self) -> None:
        now = self._seconds()
        self._readCandidate()
        for node in self.plan.next_dials(now, self._waiting is not None):
            self._begin(Dial(self.plan.addresses_of(node.node_id), ConnectionFlags.STATIC_DIALED))
        if (bootnode := self.plan.next_fallback(now)) is not None:
            self._begin(Dial([bootnode], ConnectionFlags.DYNAMIC_DIALED))
        self._dialCandidate()
        self._rearm(now)

    # Candidates.

    def _readCandidate(self) -> None:
        """Ask for a candidate whenever there is a place for one, and only then: sources look no further than asked."""
        isIdle = self._reading is None and self._waiting is None
        if self._candidates is not None and isIdle and self.plan.wants_candidates:
            self._reading = self._candidates.next()
            self._reading.addCallbacks(self._arrived, _quietly)

    def _arrived(self, candidate: Candidate) -> None:
        self._reading = None
        self._waiting = candidate
        self.evaluate()

    def _dialCandidate(self) -> None:
        if self._waiting is not None and self.plan.free_slots:
            candidate, self._waiting = self._waiting, None
            self._consider(candidate)
            self._isChanged = True  # the next one is asked for, and static nodes have what it left

    def _consider(self, candidate: Candidate) -> None:
        assert self._candidates is not None
        reason = self._refusal(candidate, self._candidates)
        if reason is not None:
            self._metrics.count("candidates_refused", source=candidate.source, reason=reason)
            return
        self.plan.dial_started(candidate.node.node_id, self._seconds())
        self._candidates.dialed(candidate)
        self._begin(
            Dial([candidate.node], ConnectionFlags.DYNAMIC_DIALED, byUser=False),
            partial(self._dialFor, candidate, self._candidates),
        )

    def _refusal(self, candidate: Candidate, candidates: Candidates) -> str | None:
        ip = candidate.node.ip
        refusal = self.plan.check(candidate.node)
        if refusal is not None:
            if ip is not None:
                self._policy.admits(ip, PROTOCOL)  # counts it, if that is why
            return refusal.name.lower()
        if candidates.crowds(candidate):
            return "crowded"
        return "over_budget" if ip is not None and not self._connector.affords(ip, byUser=False) else None

    async def _dialFor(self, candidate: Candidate, candidates: Candidates, dial: Dial) -> Any:
        try:
            peer = await self._dial(dial)
        except Exception:
            candidates.dropped(candidate)
            if self._running:  # a dial that we gave up says nothing of the node
                self._memory.failed(candidate.node)
            raise
        candidates.connected(candidate)

        def useful() -> None:
            candidates.useful(candidate)
            self._memory.succeeded(candidate.node)

        def ended(_: object) -> None:
            candidates.dropped(candidate)
            if alarm.active():
                alarm.cancel()
            else:
                self._memory.succeeded(candidate.node)

        alarm = self._reactor.callLater(USEFUL_AFTER, useful)
        peer.whenEnded().addCallback(ended)
        return peer

    def _rearm(self, now: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        due = self.plan.get_timer()
        if due is not None:
            self._alarm = self._reactor.callLater(max(0.0, due - now), self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self.evaluate()

    # What the user asks for.

    def dialOnce(self, node: Node) -> Deferred[Any]:
        """
        Dial a node now, whatever the history says. A dial of it at the same address that is under way is not repeated:
        its end is the answer.

        @return: fires when it is a peer; fails with why it is not. Cancelling it gives up the dial, unless that is one
            of a static node, or another call waits for it, too.
        """
        for dial in self._dials:
            if any(is_same_place(node, each) for each in dial.nodes):
                return dial.when()
        self.plan.dial_started(node.node_id, self._seconds())
        dial = Dial([node], ConnectionFlags.DYNAMIC_DIALED, isWanted=False)
        waiting = dial.when()
        self._begin(dial)
        return waiting

    def giveUp(self, nodeId: bytes, cause: Exception) -> None:
        """End all dials of a node; those that asked for them are told C{cause}."""
        for dial in [each for each in self._dials if each.nodeId == nodeId]:
            dial.giveUp(cause)

    # Dials.

    def _begin(self, dial: Dial, run: Callable[[Dial], Any] | None = None) -> None:
        """Run a dial, and keep it until it has ended, so that it can be given up."""
        self._dials.add(dial)
        dial.running = Deferred.fromCoroutine((run or self._dial)(dial))

        def ended(result: Any) -> None:
            self._dials.discard(dial)
            if isinstance(result, Failure):
                result.cleanFailure()  # its traceback knows all that was dialed with, which is to be freed at once
            self.evaluate()
            dial.end(result)

        dial.running.addBoth(ended)

    async def _dial(self, dial: Dial) -> Any:
        """Dial a node at one address after the other, until it is a peer, or it is clear that it will be none."""
        self._metrics.count("dials")
        try:
            peer = await self._dialEach(dial)
            self._metrics.count("dials_succeeded")
            return peer
        except Exception as error:
            if not dial.isReached:
                self._metrics.count("dial_errors", kind=_kind(error))
            raise
        finally:
            self.plan.dial_done(dial.nodeId)

    async def _dialEach(self, dial: Dial) -> Any:
        for node in dial.nodes[:-1]:
            try:
                return await self._try(node, dial)
            except _FINAL:
                raise
            except Exception:
                if dial.isOver:
                    raise
        return await self._tryOrSearch(dial.nodes[-1], dial)

    async def _tryOrSearch(self, node: Node, dial: Dial) -> Any:
        """Dial a node; a static one that is not where we thought is searched for, and dialed once more."""
        isSearched = ConnectionFlags.STATIC_DIALED in dial.flags and node.hostname is None
        if node.host is None:
            found, isSearched = await self._connector.search(node, self.plan), False
            if found is None:
                raise InvalidNode(f"nobody knows where node {node.node_id.hex()[:16]} is")
            node = found
        try:
            return await self._try(node, dial)
        except ConnectError:
            elsewhere = await self._connector.search(node, self.plan) if isSearched else None
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


#: After these a node is not tried at another address: it was reached, or it was given up.
_FINAL = PeerRejected, PeerDisconnected, ServerStopped, CancelledError

#: Errors that are counted by their names.
_KINDS = ConnectError, DNSLookupError, AddressRefused, OverBudget, ProxyError


def _quietly(failure: Failure) -> None:
    """The line of candidates ends when the server does."""
    failure.trap(CancelledError, ServerStopped)


def _kind(error: Exception) -> str:
    if isinstance(error, ConnectingCancelledError):
        return "cancelled"
    return type(error).__name__ if isinstance(error, _KINDS) else "other"
