"""
What both versions of node discovery do on a UDP socket: the core is fed, its events are acted on, its datagrams sent.

What the core knows of packets and of the table comes together here:

  - The table asks for checks and refreshes; a node that passed enough checks is remembered in the node database.
  - A refresh begins with remembered nodes and bootnodes, then looks up our own id and random ones.
  - Lookups and random walks (L{devp2p_tx.net.discovery.lookups}) ask through here, and the table learns what they hear.

The path of an answer to a stranger makes no Deferred and no log entry. One delayed call serves whatever is due first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from random import Random, SystemRandom
from time import monotonic, time
from typing import Any, ClassVar, TypedDict

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from devp2p_tx._oneshot import OneShot
from devp2p_tx.core.addressing.addresses import IPAddress, parse_address
from devp2p_tx.core.addressing.outgoing import OutgoingBudget
from devp2p_tx.core.addressing.packetlimit import PacketRateLimiter
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.discovery import Answer, Changing, DiscoveryCore
from devp2p_tx.core.enr.local import LocalRecord, Source
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import node_text, parse_node
from devp2p_tx.core.kademlia.lookup import Lookup, RandomWalk
from devp2p_tx.core.kademlia.table import (
    FAST_INTERVAL,
    REFRESH_INTERVAL,
    REFRESH_LOOKUPS,
    SEED_COUNT,
    SEED_MAX_AGE,
    Ping,
    Table,
)
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import DevP2PError, InvalidNode, LocalProtocolError, OverBudget, ServerStopped, Timeout
from devp2p_tx.interfaces import NodeStore
from devp2p_tx.net.discovery.bootnodes import Bootnodes
from devp2p_tx.net.discovery.lookups import Course, LookupCourse, RandomNodes
from devp2p_tx.net.discovery.udp import DatagramEdge
from devp2p_tx.net.listening.families import ANYWHERE
from devp2p_tx.net.log import Logger
from devp2p_tx.net.names.hostnames import HostNames

#: How often a node is asked, by a lookup or to check that it lives, before it counts as silent: datagrams get lost.
ATTEMPTS = 2
#: Seconds between two refreshes while the table is empty: the datagrams to the only bootnode may have got lost.
EMPTY_TABLE_INTERVAL = 30.0

_log = Logger()


class Settings(TypedDict, total=False):
    """
    What both versions can be told, all of it optional.

    @ivar bootnodes: nodes to begin with; those with a host name are looked up by it.
    @ivar policy: which addresses may be contacted, and told to whom; by default all in use, private ones too.
    @ivar outgoing: how much may be sent to those who never answered.
    @ivar limiter: how many packets nodes may send us, both versions together.
    @ivar names: what looks up the host names of bootnodes.
    @ivar seconds: the time for deadlines, which should not jump.
    @ivar unixTime: unix time with fractions, for what packets and records say.
    @ivar random: what chooses; not to be guessed by strangers.
    @ivar metrics: where packets are counted that were not dealt with.
    @ivar refreshInterval: the most seconds between two refreshes of the table; the least are half of it.
    @ivar checkInterval: the most seconds between two checks of nodes that are new; of others, three times that.
    """

    bootnodes: Iterable[Node]
    policy: AddressPolicy | None
    outgoing: OutgoingBudget | None
    limiter: PacketRateLimiter | None
    names: HostNames | None
    seconds: Callable[[], float]
    unixTime: Callable[[], float]
    random: Random | None
    metrics: Metrics | None
    refreshInterval: float
    checkInterval: float


class KademliaNode:
    """
    One node's discovery, from L{start} to L{stop}; it cannot be started again.

    @cvar name: what it is called in counters.
    @cvar targetSize: bytes of what lookups look for.
    @ivar table: the neighbours.
    @ivar edge: the socket, once started; protocols that share it are among its C{handlers}.
    """

    name: ClassVar[str]
    targetSize: ClassVar[int]

    def __init__(self, local: LocalRecord, reactor: Any, store: NodeStore, settings: Settings) -> None:
        """
        @param local: our record; its key is ours, and it learns our external endpoint from others.
        @param reactor: C{IReactorUDP}, C{IReactorTime} and C{IReactorPluggableNameResolver}.
        @param store: what is remembered over a restart. Its owner has it written down, and closes it.
        """
        self.seconds, self._unixTime = settings.get("seconds", monotonic), settings.get("unixTime", time)
        self._local = local
        self._reactor = reactor
        self._store = store
        self._random = settings.get("random") or SystemRandom()
        self._metrics = settings.get("metrics") or Metrics()
        self._limiter = settings.get("limiter") or PacketRateLimiter()
        self._policy = settings.get("policy") or AddressPolicy(lan=True, metrics=self._metrics)
        self._names = settings.get("names") or HostNames(reactor, self.seconds)
        self.bootnodes = Bootnodes(
            self.name, list(settings.get("bootnodes", ())), local, self._policy, self._names, self._metrics
        )
        checkInterval = settings.get("checkInterval", FAST_INTERVAL)
        self.table: Table[Node] = Table(
            local.node_id,
            self._random,
            self.seconds(),
            fast_interval=checkInterval,
            slow_interval=3 * checkInterval,
            refresh_interval=settings.get("refreshInterval", REFRESH_INTERVAL),
            admits=partial(self._policy.admits, protocol=self.name),
        )
        self.edge: DatagramEdge | None = None
        self._ownsEdge = False
        self._stopped: OneShot[None] | None = None
        self._outcomes: dict[Any, Deferred[Any]] = {}
        self._courses: dict[Course, None] = {}
        self._sleepers: dict[RandomNodes, float] = {}
        self._isStarving = False  # some of them wait for the table's first node
        self._tasks: dict[Deferred[None], None] = {}
        self._alarm: IDelayedCall | None = None
        self._alarmTime = 0.0
        self._pumping = False
        self._refreshTime = self.seconds()
        self._filled: OneShot[None] = OneShot()

    def _speak(self, core: DiscoveryCore, neighbours: Changing) -> None:
        """
        Take a version's protocol, once, before anything else.

        @param neighbours: the table as the protocol knows it.
        """
        self._state, self._neighbours = core, neighbours

    # -- what each version does in its own way ------------------------------------------------------------------------

    def _attach(self, edge: DatagramEdge) -> None:
        """Have datagrams handed to us."""
        raise NotImplementedError

    def ping(self, node: Node) -> Deferred[Any]:
        """Ask whether a node is alive; fires with an L{Answer}."""
        raise NotImplementedError

    def requestENR(self, node: Node) -> Deferred[Node]:
        """Ask a node for its record; fires with the node as that has it."""
        raise NotImplementedError

    def findNode(self, node: Node, target: bytes) -> Deferred[list[Node]]:
        """Ask a node for nodes near C{target}, which has L{targetSize} bytes; fires with them."""
        raise NotImplementedError

    def _targetOf(self, key: PublicKey) -> bytes:
        """The target of a lookup for a node."""
        raise NotImplementedError

    def _newLookup(self, target: bytes) -> Lookup[Node]:
        raise NotImplementedError

    def _trackFailure(self, node: Node) -> None:
        """A node found nothing for a lookup."""
        raise NotImplementedError

    def _trackSuccess(self, node: Node) -> None:
        """A node found something for a lookup."""

    def _trackPong(self, node: Node) -> None:
        """A node of the table answered a check."""

    def _cancel(self, call: Any) -> None:
        """Nobody waits for a call any more."""
        raise NotImplementedError

    def _handle(self, event: Any) -> None:
        """Act on something that happened."""
        raise NotImplementedError

    def _handleCoreTimer(self, now: float, unixTime: float) -> None:
        raise NotImplementedError

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self, port: int = 0, interface: str = "", *, edge: DatagramEdge | None = None) -> None:
        """
        Begin to answer, and fill the table.

        @param port: the UDP port; 0 for one that is free.
        @param interface: an address of ours; empty for all of IPv4, C{::} for all of IPv6.
        @param edge: sockets that are open already, and stay open; then C{port} and C{interface} are not used, and who
            opened them has told our record of them.
        @raise CannotListenError: the port is taken, or the address not ours.
        """
        self._ownsEdge = edge is None
        if edge is None:
            edge = DatagramEdge(self._reactor, self.seconds, self._unixTime, self._metrics, self._limiter)
            edge.listen(port, interface)
            self._local.versions = edge.versions
            bound = parse_address(interface or ANYWHERE[4])
            ip = None if bound.is_unspecified else bound
            self._local.offer(Source.INTERFACE, bound.version, ip, udp=edge.port)
        self.edge = edge
        self._attach(edge)
        self._rearm()

    def stop(self) -> Deferred[None]:
        """
        Fail everything that is under way with L{ServerStopped}, and close the socket.

        @return: fires when it is closed. Calling it again, or on what was never started, does no harm.
        """
        if self._stopped is None:
            self._stopped = OneShot()
            self._end(self._stopped)
        return self._stopped.when()

    def _end(self, stopped: OneShot[None]) -> None:
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        self._filled.fire(Failure(_notRunning()))
        for course in list(self._courses):
            course.end(Failure(ServerStopped("discovery stopped")))
        for task in list(self._tasks):
            task.cancel()
        self._names.stop()
        self._state.close()
        for event in self._state.next_events():
            self._handle(event)
        edge = self.edge
        if edge is not None:
            edge.handlers.remove(self)
        if edge is None or not self._ownsEdge:
            stopped.fire(None)
        else:
            maybeDeferred(edge.close).addErrback(_logFailure).addCallback(stopped.fire)

    def setBootnodes(self, nodes: Iterable[Node]) -> None:
        """Begin with these nodes from now on: the table is refreshed at once."""
        self.bootnodes.nodes = list(nodes)
        self._run(self._refresh())

    @property
    def isRunning(self) -> bool:
        """Whether it was started, and not stopped."""
        return self.edge is not None and self._stopped is None

    # -- what others ask for ------------------------------------------------------------------------------------------

    def lookup(self, target: bytes) -> Deferred[list[Node]]:
        """
        Search the network for the nodes closest to C{target}.

        @param target: L{targetSize} bytes.
        @return: fires with up to 16 nodes, closest first, not all of which need be alive; fails with L{ServerStopped}.
            Cancelling it ends the search.
        """
        if not self.isRunning:
            return fail(_notRunning())
        if len(target) != self.targetSize:
            return fail(LocalProtocolError(f"a target has {self.targetSize} bytes, not {len(target)}"))
        course = LookupCourse(self, self._newLookup(target))
        course.run()
        return course.done

    def resolve(self, node: Node) -> Deferred[Node]:
        """
        Find the newest version of a node: ask itself, or search for it.

        @return: fires with the node as its newest record has it, or, if it cannot be found, as it was; fails with
            L{ServerStopped}.
        """
        return Deferred.fromCoroutine(self._resolve(node))

    async def _resolve(self, node: Node) -> Node:
        if (newest := await self._newest(node)) is not None:
            return newest
        await self._filled.when()  # before there is nobody to ask
        known = self.table.get(node.node_id)
        if known is not None and (known.seq > node.seq or node.ip is None):
            node = known
            if (newest := await self._newest(node)) is not None:
                return newest
        for found in await self.lookup(self._targetOf(node.public_key)):
            if found.node_id == node.node_id:
                return await self._newest(found) or (found if node.ip is None else node)
        return node

    async def _newest(self, node: Node) -> Node | None:
        """The node as it presents itself, if it does."""
        try:
            return await self.requestENR(node)
        except ServerStopped:
            raise
        except DevP2PError:
            return None

    def randomNodes(self) -> RandomNodes:
        """
        Nodes from all over the network, one after the other, for as long as somebody wants them.

        @raise ServerStopped: it does not run.
        """
        if not self.isRunning:
            raise _notRunning()
        return RandomNodes(self, lambda: RandomWalk(self.table, self._newRandomLookup))

    # -- lookups ------------------------------------------------------------------------------------------------------

    def _newRandomLookup(self) -> Lookup[Node]:
        return self._newLookup(self._random.randbytes(self.targetSize))

    def query(self, node: Node, target: bytes, attempts: int = ATTEMPTS) -> Deferred[list[Node]]:
        """L{findNode} of a lookup: what is found enters the table, and who repeatedly finds nothing leaves it."""
        return self.findNode(node, target).addCallbacks(
            self._querySucceeded,
            self._queryFailed,
            callbackArgs=(node,),
            errbackArgs=(node, target, attempts - 1),
        )

    def _querySucceeded(self, found: list[Node], node: Node) -> list[Node]:
        self.bootnodes.answered(node.node_id)
        if found:
            self._trackSuccess(node)
            self.table.track_success(found, self.seconds())
        else:
            self._trackFailure(node)
        return found

    def _queryFailed(
        self, failure: Failure, node: Node, target: bytes, attempts: int
    ) -> Failure | Deferred[list[Node]]:
        if attempts and isinstance(failure.value, Timeout):
            return self.query(node, target, attempts)
        self.bootnodes.failed(node.node_id, failure)
        if not isinstance(failure.value, (ServerStopped, CancelledError, OverBudget)):
            self._trackFailure(node)
        return failure

    def started(self, course: Course) -> None:
        """A lookup or walk begins."""
        self._courses[course] = None

    def ended(self, course: Course) -> None:
        """It is over."""
        self._courses.pop(course, None)

    def wakeAt(self, course: RandomNodes, time: float | None) -> None:
        """A walk waits for C{time}, or for somebody to ask."""
        if time is None:
            self._sleepers.pop(course, None)
        else:
            self._sleepers[course] = time
            self._isStarving = self._isStarving or not len(self.table)
            self._rearm()

    def _wakeSleepers(self, now: float) -> None:
        isFed = self._isStarving and len(self.table) > 0  # seen at the first check of the first node, within seconds
        self._isStarving = self._isStarving and not isFed
        for course, due in list(self._sleepers.items()):
            if due <= now or isFed:
                del self._sleepers[course]
                course.run()

    # -- the table ----------------------------------------------------------------------------------------------------

    def _revalidate(self, node: Node, attempts: int = ATTEMPTS) -> None:
        self.ping(node).addCallbacks(
            self._answered, self._silent, callbackArgs=(node,), errbackArgs=(node, attempts - 1)
        )

    def _answered(self, pong: Answer, node: Node) -> None:
        self.bootnodes.answered(node.node_id)
        if pong.enr_seq > node.seq:
            newest = self.requestENR(node)
            newest.addCallbacks(partial(self._passed, node), self._recordMissing, errbackArgs=(node,))
        else:
            self._passed(node, None)

    def _recordMissing(self, failure: Failure, node: Node) -> None:
        failure.trap(DevP2PError)
        self._passed(node, None)  # it lives nevertheless

    def _passed(self, node: Node, newest: Node | None) -> None:
        proven = self.table.on_pong(node, self.seconds(), newest)
        if proven is not None:
            self._trackPong(proven)
            if self._store.node(proven.node_id) != (text := node_text(proven)):
                self._store.put_node(proven.node_id, text, proven.ip)
        self._rearm()

    def _silent(self, failure: Failure, node: Node, attempts: int) -> Failure | None:
        error = failure.value
        if not isinstance(error, DevP2PError):
            return failure  # a mistake of ours, to be logged
        if attempts and isinstance(error, Timeout):
            self._revalidate(node, attempts)
            return None
        self.bootnodes.failed(node.node_id, failure)
        if isinstance(error, OverBudget):
            self.table.on_unchecked(node)
        else:
            self.table.on_no_pong(node, self.seconds())
        return None

    async def _refresh(self) -> None:
        await self._resolveBootnodes()
        self.table.add_seeds(self._seeds(), self.seconds())
        await self.lookup(self._targetOf(self._local.key.public_key))
        for _ in range(REFRESH_LOOKUPS):
            await self.lookup(self._random.randbytes(self.targetSize))
        self.table.refresh_done(self.seconds())
        self._rearm()
        self._filled.fire(None)

    def _seeds(self) -> list[Node]:
        found = []
        for text in self._store.seeds(SEED_COUNT, SEED_MAX_AGE, int(self._unixTime()), self._random):
            with suppress(InvalidNode):  # somebody else wrote into the database
                found.append(self._inOurFamilies(parse_node(text)))
        return found

    def _inOurFamilies(self, node: Node) -> Node:
        """The node at the endpoint of its record that we can reach."""
        return node if node.record is None else Node.from_record(node.record, self._local.versions)

    async def _resolveBootnodes(self) -> None:
        """Find out where they are, at each refresh, since names move."""
        self.table.nursery = await self.bootnodes.resolve(self.ping)
        self._policy.vouch(self.name, [node.ip for node in self.table.nursery if node.ip is not None])

    # -- what comes in, what goes out ---------------------------------------------------------------------------------

    def datagramReceived(self, data: bytes, ip: IPAddress, port: int, now: float, unixTime: float) -> bool:
        """See L{devp2p_tx.net.discovery.udp.DatagramHandler}."""
        refusal = self._state.receive_datagram(data, ip, port, now, unixTime)
        if refusal is not None:
            self._metrics.count(f"{self.name}_refused", reason=refusal.value)
            return False
        self._pump(answering=True)
        return True

    def _call(self, begin: Callable[..., Any]) -> Deferred[Any]:
        """Begin a request; the Deferred of its outcome."""
        if self.edge is None:
            return fail(_notRunning())
        try:
            call = begin(now=self.seconds(), unix_time=self._unixTime())
        except DevP2PError as error:
            return fail(error)
        outcome: Deferred[Any] = Deferred(lambda _: self._cancel(call))
        self._outcomes[call] = outcome
        self._pump()
        return outcome

    def _pump(self, answering: bool = False) -> None:
        """
        Send what the core wants sent, act on what happened, and see to it that we wake up in time.

        @param answering: nothing but a datagram has come, so that perhaps nothing is due earlier than it was.
        """
        if self._pumping:  # whoever does it already goes on until there is nothing left
            return
        self._pumping = True
        try:
            while events := self._send():
                answering = False
                for event in events:
                    self._handle(event)
        finally:
            self._pumping = False
        if not (answering and self._isAwakeInTime()):
            self._rearm()

    def _isAwakeInTime(self) -> bool:
        """Whether the alarm is early enough, provided that others did not touch the table."""
        if self._neighbours.changed or self._alarm is None:
            self._neighbours.changed = False
            return False
        due = self._state.get_timer()
        return due is None or due >= self._alarmTime

    def _send(self) -> list[Any]:
        """Send what the core wants sent; what happened."""
        edge = self.edge
        assert edge is not None
        for data, ip, port in self._state.datagrams_to_send():
            edge.send(data, ip, port)
        return self._state.next_events()

    # -- time ---------------------------------------------------------------------------------------------------------

    def _rearm(self) -> None:
        """Wake up when the first thing is due; a call that comes too early puts itself off."""
        if self._pumping or self._stopped is not None:
            return
        due = self._due()
        if due is None:
            return
        alarm = self._alarm
        if alarm is None:
            self._alarm = self._reactor.callLater(max(due - self.seconds(), 0.0), self._wake)
        elif due < self._alarmTime:
            alarm.reset(max(due - self.seconds(), 0.0))
        else:
            return
        self._alarmTime = due

    def _due(self) -> float | None:
        waiting = [self.table.get_timer(), self._state.get_timer(), *self._sleepers.values()]
        if not len(self.table):
            waiting.append(self._refreshTime + EMPTY_TABLE_INTERVAL)
        return min((time for time in waiting if time is not None), default=None)

    def _wake(self) -> None:
        self._alarm = None
        self._pumping = True  # all at once, at the end
        try:
            self._handleTimers(self.seconds(), self._unixTime())
        finally:
            self._pumping = False
        self._pump()

    def _handleTimers(self, now: float, unixTime: float) -> None:
        self._handleCoreTimer(now, unixTime)
        if not len(self.table) and self._refreshTime + EMPTY_TABLE_INTERVAL <= now:
            self._refreshTime = now
            self.table.request_refresh(now)
        for action in self.table.handle_timer(now):
            if isinstance(action, Ping):
                self._revalidate(action.node)
            else:
                self._refreshTime = now
                self._run(self._refresh())
        self._wakeSleepers(now)

    def _run(self, coroutine: Any) -> None:
        """Run something that nobody waits for, until it or discovery ends."""
        task: Deferred[None] = Deferred.fromCoroutine(coroutine)
        self._tasks[task] = None
        task.addErrback(_logUnlessStopped)
        task.addBoth(lambda _: self._tasks.pop(task, None))


def _notRunning() -> ServerStopped:
    return ServerStopped("discovery does not run")


def _logUnlessStopped(failure: Failure) -> None:
    if not failure.check(ServerStopped, CancelledError):
        _logFailure(failure)


def _logFailure(failure: Failure) -> None:
    _log.failure("in discovery", failure)
