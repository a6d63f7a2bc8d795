"""
The doing half of the dialer: dials the nodes that L{devp2p_tx.core.dialing.dialplan} says, and reports.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from devp2p_tx.core.addressing.outgoing import OutgoingBudget
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.dialing.dialplan import DialPlan
from devp2p_tx.core.dialing.statics import is_same_place
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import (
    AddressRefused,
    DisconnectReason,
    OverBudget,
    ProxyError,
    ServerStopped,
    reason_text,
)
from devp2p_tx.net.connecting.dialvia import Via
from devp2p_tx.net.log import Logger
from devp2p_tx.net.names.hostnames import HostNames
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.node.connector import PROTOCOL, Connector, Resolve
from devp2p_tx.node.dial import Dial, Reaching, SetUp
from devp2p_tx.node.peer import ConnectionFlags
from devp2p_tx.node.sources import Candidate, Candidates
from devp2p_tx.node.staticnotices import StaticNotices, Trouble

_log = Logger()

#: How long a dialed candidate stays before it counts as useful (seconds).
USEFUL_AFTER = 60.0


class DialMemory(Protocol):
    """Remembers which candidates were good peers."""

    def succeeded(self, node: Node) -> None:
        """It is, or was until now, a useful peer."""

    def failed(self, node: Node) -> None:
        """It did not become a peer."""


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
        @param setUp: see L{SetUp<devp2p_tx.node.dial.SetUp>}.
        @param policy: which addresses may be contacted.
        @param memory: is told how dials ended, for the next start.
        @param names: what looks up host names.
        @param budget: how many connections may be begun: see L{Connector}.
        @param via: the proxy to dial through.
        """
        self.plan = plan
        self._reactor, self._seconds = reactor, seconds
        self._metrics, self._policy = metrics, policy
        self._notices = StaticNotices(reactor, seconds)
        self._connector = Connector(reactor, build, policy, names, seconds, budget, via)
        self._reaching = Reaching(self._connector, setUp, plan)
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
        for node in self.plan.static_nodes:
            self._logFault(node)
        self.evaluate()

    def stop(self) -> Deferred[Any]:
        """Give up what is under way; fires when all of it has ended."""
        self._running = False
        self._notices.stop()
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
        self._notices.waiting(self.plan.waiting, self.plan.static_places, self.plan.places.max_peers)
        self._rearm(now)

    # What the owner reports.

    def addStatic(self, node: Node) -> None:
        """Dial a node for ever, at this address first; log if it will never be dialed there."""
        self.plan.add_static(node)
        if self._running:  # of those that were given before, start() does
            self._logFault(node)

    def _logFault(self, node: Node) -> None:
        fault = self.plan.fault(node)
        if fault is not None and self.plan.max_active:
            self._notices.refused(node, fault)

    def removeStatic(self, nodeId: bytes) -> None:
        """Dial a node no more."""
        self.plan.remove_static(nodeId)
        self._notices.forget(nodeId)

    def peerAdded(self, node: Node, dialed: bool) -> None:
        """A peer was added, dialed by us or not."""
        self.plan.peer_added(node.node_id, dialed)
        self._notices.connected(node)

    def peerRemoved(self, node: Node, lasted: float, reason: BaseException) -> None:
        """
        A peer was dropped.

        @param lasted: for how long it was one (seconds).
        """
        self.plan.peer_removed(node.node_id)
        if self._running and self.plan.is_static(node.node_id):
            self._notices.left(node, lasted, reason)

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
                self._note(dial)
                result.cleanFailure()  # its traceback knows all that was dialed with, which is to be freed at once
            self.evaluate()
            dial.end(result)

        dial.running.addBoth(ended)

    def _note(self, dial: Dial) -> None:
        """A dial failed: log that, if it is of a static node, unless that is a peer by another way."""
        trouble = dial.trouble
        if trouble is None or dial.isOver or not self.plan.is_static(dial.nodeId) or dial.nodeId in self.plan.places:
            return
        mayBecomePeer = trouble.kind.endswith(reason_text(DisconnectReason.ALREADY_CONNECTED))  # both dialed at once
        if not mayBecomePeer or self.plan.failures_of(dial.nodeId) > 1:
            self._notices.failed(trouble)

    async def _dial(self, dial: Dial) -> Any:
        """Dial a node at one address after the other, until it is a peer, or it is clear that it will be none."""
        self._metrics.count("dials")
        try:
            peer = await self._reaching.reach(dial)
            self._metrics.count("dials_succeeded")
            return peer
        except Exception as error:
            if not dial.isReached:
                self._metrics.count("dial_errors", kind=_kind(error))
            dial.trouble = dial.trouble or Trouble.of(dial.nodes[0], error)
            raise
        finally:
            self.plan.dial_done(dial.nodeId)


#: Errors that are counted by their names.
_KINDS = ConnectError, DNSLookupError, AddressRefused, OverBudget, ProxyError


def _quietly(failure: Failure) -> None:
    """The line of candidates ends when the server does."""
    failure.trap(CancelledError, ServerStopped)


def _kind(error: Exception) -> str:
    if isinstance(error, ConnectingCancelledError):
        return "cancelled"
    return type(error).__name__ if isinstance(error, _KINDS) else "other"
