"""
The doing half of the dialer: connects to whom L{devp2p_tx.core.dialing.dialplan} says, and reports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.outgoing import OutgoingBudget
from devp2p_tx.core.addressing.policy import BUDGET, AddressPolicy
from devp2p_tx.core.dialing.dialplan import DialPlan
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import AddressRefused, InvalidNode, OverBudget, ProxyError, ServerStopped
from devp2p_tx.net.connecting.dialvia import Via
from devp2p_tx.net.connecting.nodes import connect
from devp2p_tx.net.hostnames import HostNames
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.node.peer import ConnectionFlags
from devp2p_tx.node.sources import Candidate, Candidates

_log = Logger()

#: What is counted as refused by us.
PROTOCOL = "rlpx"
#: How long a dialled candidate stays before it counts as useful (seconds).
USEFUL_AFTER = 60.0

#: Searches for where a node is; gives the node as it was if nothing better is known.
Resolve = Callable[[Node], Deferred[Node]]
#: Takes a connection that was dialled through both handshakes; fires when it is a peer, fails when it will not be.
SetUp = Callable[[RLPxProtocol, ConnectionFlags, Node], Deferred[Any]]


class DialMemory(Protocol):
    """Remembers which candidates were good peers."""

    def succeeded(self, node: Node) -> None:
        """It is, or was until now, a useful peer."""

    def failed(self, node: Node) -> None:
        """It did not become a peer."""


class Dialer:
    """
    Fills the dialled slots.

    What the user asks for is counted in the budget of connections, and not refused if that is used up.

    @ivar plan: who is dialled, and why not; tell it what happens through the methods here.
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
        @param build: makes the protocol for a dialled node.
        @param setUp: see L{SetUp}.
        @param policy: which addresses may be contacted.
        @param memory: is told how dials ended, for the next start.
        @param names: what looks up host names.
        @param budget: how many connections may be begun; by default
            L{OutgoingBudget.tcp<devp2p_tx.core.addressing.outgoing.OutgoingBudget.tcp>}.
        @param via: the proxy to dial through.
        """
        self.plan = plan
        self._reactor, self._seconds = reactor, seconds
        self._build, self._setUp = build, setUp
        self._metrics = metrics
        self._policy, self._names = policy, names
        self._budget = OutgoingBudget.tcp() if budget is None else budget
        self._memory = memory
        self._via = via
        self._candidates: Candidates | None = None
        self._resolve: Resolve | None = None
        self._reading: Deferred[Any] | None = None
        self._waiting: Candidate | None = None
        self._dials: set[Deferred[Any]] = set()
        self._alarm: IDelayedCall | None = None
        self._running = False
        self._isEvaluating = self._isChanged = False

    def start(self, candidates: Candidates | None = None, resolve: Resolve | None = None) -> None:
        """
        Begin to dial.

        @param candidates: whom to dial when no static node wants to be.
        @param resolve: see L{Resolve}.
        """
        self._candidates, self._resolve = candidates, resolve
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
        dials = list(self._dials)
        for dial in dials:
            dial.cancel()
        return DeferredList(dials)

    def evaluate(self) -> None:
        """Something changed: dial whoever can be dialled now."""
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
        for node in self.plan.next_dials(now):
            self._hold(self._dial(node, ConnectionFlags.STATIC_DIALED), _nobody)
        if (bootnode := self.plan.next_fallback(now)) is not None:
            self._hold(self._dial(bootnode, ConnectionFlags.DYNAMIC_DIALED), _nobody)
        self._dialCandidates()
        self._rearm(now)

    def _dialCandidates(self) -> None:
        """Ask for a candidate whenever there is a slot for one, and only then: sources look no further than asked."""
        if self._waiting is not None and self.plan.free_slots:
            candidate, self._waiting = self._waiting, None
            self._consider(candidate)
        if self._candidates is not None and self._reading is None and self._waiting is None and self.plan.free_slots:
            self._reading = self._candidates.next()
            self._reading.addCallbacks(self._arrived, _quietly)

    def _arrived(self, candidate: Candidate) -> None:
        self._reading = None
        self._waiting = candidate
        self.evaluate()

    def _consider(self, candidate: Candidate) -> None:
        assert self._candidates is not None
        reason = self._refusal(candidate, self._candidates)
        if reason is not None:
            self._metrics.count("candidates_refused", source=candidate.source, reason=reason)
            return
        self.plan.dial_started(candidate.node.node_id, self._seconds())
        self._candidates.dialed(candidate)
        self._hold(self._dialCandidate(candidate, self._candidates), _nobody)

    def _refusal(self, candidate: Candidate, candidates: Candidates) -> str | None:
        ip = candidate.node.ip
        refusal = self.plan.check(candidate.node)
        if refusal is not None:
            if ip is not None:
                self._policy.admits(ip, PROTOCOL)  # counts it, if that is why
            return refusal.name.lower()
        if candidates.crowds(candidate):
            return "crowded"
        return "over_budget" if ip is not None and not self._affords(ip, byUser=False) else None

    def _affords(self, ip: IPAddress, byUser: bool) -> bool:
        """Count a connection that is about to begin; whether it may."""
        if self._budget.take(ip, self._seconds()) or byUser:
            return True
        self._policy.count(PROTOCOL, BUDGET)
        return False

    async def _dialCandidate(self, candidate: Candidate, candidates: Candidates) -> None:
        try:
            peer = await self._dial(candidate.node, ConnectionFlags.DYNAMIC_DIALED, byUser=False)
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

    def dialOnce(self, node: Node) -> Deferred[Any]:
        """
        Dial a node now, whatever the history says.

        @return: fires when it is a peer; fails with why it is not.
        """
        self.plan.dial_started(node.node_id, self._seconds())
        asked: Deferred[Any] = Deferred(lambda asked: running.cancel())
        running = self._hold(self._dial(node, ConnectionFlags.DYNAMIC_DIALED), asked.callback)
        return asked

    def _hold(self, dial: Any, tell: Callable[[Any], None]) -> Deferred[Any]:
        """Keep a dial that is under way, so that it can be cancelled, and tell how it ended."""
        running = Deferred.fromCoroutine(dial)
        self._dials.add(running)

        def ended(result: Any) -> None:
            self._dials.discard(running)
            if isinstance(result, Failure):
                result.cleanFailure()  # its traceback knows all that was dialled with, which is to be freed at once
            self.evaluate()
            tell(result)

        return running.addBoth(ended)

    async def _dial(self, node: Node, flags: ConnectionFlags, byUser: bool = True) -> Any:
        self._metrics.count("dials")
        try:
            transport, reached = await self._connect(node, flags, byUser)
            peer = await self._setUp(transport, flags, reached)
            self._metrics.count("dials_succeeded")
            return peer
        finally:
            self.plan.dial_done(node.node_id)

    async def _connect(self, node: Node, flags: ConnectionFlags, byUser: bool) -> tuple[RLPxProtocol, Node]:
        """Reach a node; a static one that is not where we thought is searched for, and dialled once more."""
        try:
            there = node if node.host is not None else await self._search(node)
            if there is None:
                raise InvalidNode(f"nobody knows where node {node.node_id.hex()[:16]} is")
            try:
                return await self._connectTo(there, byUser), there
            except ConnectError:
                if ConnectionFlags.STATIC_DIALED not in flags or there.hostname is not None:
                    raise
                elsewhere = await self._search(there)
                if elsewhere is None:
                    raise
                return await self._connectTo(elsewhere, byUser), elsewhere
        except Exception as error:
            self._metrics.count("dial_errors", kind=_kind(error))
            _log.debug("cannot connect to {node}: {error}", node=format_node(node), error=error)
            raise

    async def _connectTo(self, node: Node, byUser: bool) -> RLPxProtocol:
        """Connect to where a node is; its host name is looked up at each dial, and all that it means is tried."""
        if node.hostname is not None:
            addresses = [(ip, node.tcp) for ip in await self._addressesOf(node.hostname, byUser)]
        else:
            addresses = self._admittedOf(node, byUser)
        connecting = connect(self._reactor, node, lambda _: self._build(node), self._via, addresses)
        reached: RLPxProtocol = await connecting
        return reached

    def _admittedOf(self, node: Node, byUser: bool) -> list[tuple[IPAddress, int]]:
        """Where a node says that it is, as far as it may be dialled; a proxy is given the first address alone."""
        there = node.tcp_addresses()
        wanted = [ip for ip, _ in (there if self._via is None else there[:1])]
        if byUser:
            admitted = self._admitted(wanted, byUser) if wanted else []
        else:  # a candidate's own was counted before it became a dial
            counted = [ip for ip in wanted if ip == node.ip and self._policy.fault(ip) is None]
            admitted = counted + [ip for ip in wanted if ip != node.ip and self._isAdmitted(ip)]
            if wanted and not admitted:
                raise AddressRefused(f"{', '.join(map(str, wanted))} may not be contacted")
        return [each for each in there if each[0] in admitted]

    def _isAdmitted(self, ip: IPAddress) -> bool:
        return self._policy.admits(ip, PROTOCOL) and self._affords(ip, byUser=False)

    async def _addressesOf(self, name: str, byUser: bool) -> list[IPAddress]:
        """What a host name means, as far as it may be dialled; nothing where a proxy looks it up in our place."""
        if self._via is not None:
            if self._policy.lists or not byUser:
                raise AddressRefused(f"{name} may not be contacted through a proxy, which does not tell its address")
            return []
        found = await self._names.resolve(name)
        if not found:
            raise DNSLookupError(f"host name {name} has no address")
        return self._admitted(found, byUser)

    def _admitted(self, found: list[IPAddress], byUser: bool) -> list[IPAddress]:
        """
        Those of some addresses that may be connected to, now.

        @raise AddressRefused: none of them may.
        @raise OverBudget: there were too many of late.
        """
        admits = self._policy.permits if byUser else self._policy.admits
        admitted = [ip for ip in found if admits(ip, PROTOCOL)]
        if not admitted:
            raise AddressRefused(f"{', '.join(map(str, found))} may not be contacted")
        affordable = [ip for ip in admitted if self._affords(ip, byUser)]
        if not affordable:
            raise OverBudget("too many connections to strangers")
        return affordable

    async def _search(self, node: Node) -> Node | None:
        """Ask discovery where a static node is; C{None} if nobody knows better, or it was asked too recently."""
        if self._resolve is None or not self.plan.should_resolve(node.node_id, self._seconds()):
            return None
        try:
            found = await self._resolve(node)
        except CancelledError:
            raise
        except Exception:
            found = node
        isBetter = found != node and found.ip is not None and bool(found.tcp)
        better = found if isBetter and found.ip is not None and self._policy.admits(found.ip, PROTOCOL) else None
        self.plan.resolved(node.node_id, better, self._seconds())
        return better


#: Errors that are counted by their names.
_KINDS = ConnectError, DNSLookupError, AddressRefused, OverBudget, ProxyError


def _nobody(result: object) -> None:
    """Whom the end of a dial is told to when nobody asked for it."""


def _quietly(failure: Failure) -> None:
    """The line of candidates ends when the server does."""
    failure.trap(CancelledError, ServerStopped)


def _kind(error: Exception) -> str:
    if isinstance(error, ConnectingCancelledError):
        return "cancelled"
    return type(error).__name__ if isinstance(error, _KINDS) else "other"
