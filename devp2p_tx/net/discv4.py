"""
Node discovery version 4 on a UDP socket: the core is fed, its events are acted on, its datagrams are sent.

What the core knows of packets and of the table comes together here:

  - The table asks for checks and refreshes; a node that passed enough checks is remembered in the node database.
  - A refresh begins with remembered nodes and bootnodes, then looks up our own id and random ones.
  - Lookups and random walks (L{devp2p_tx.net.courses}) ask through here, and the table learns what they hear.
  - A node that writes to us enters the table when it has proved its address.

The path of an answer to a stranger makes no Deferred and no log entry. There is one delayed call, for whatever is due
first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from random import Random, SystemRandom
from time import monotonic, time
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from devp2p_tx.core.addresses import IPAddress, Netlist
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.discv4.cryptography import Cryptography
from devp2p_tx.core.discv4.events import (
    Call,
    CallFailed,
    ClockSuspect,
    Event,
    NodesFound,
    PingAnswered,
)
from devp2p_tx.core.discv4.neighbours import Neighbours
from devp2p_tx.core.discv4.packets import Pong
from devp2p_tx.core.discv4.protocol import Discv4
from devp2p_tx.core.discv4.storedproofs import NodeStore, StoredProofs
from devp2p_tx.core.enr.local import LocalRecord
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
from devp2p_tx.core.sourcebudget import SourceBudget
from devp2p_tx.errors import DevP2PError, InvalidNode, LocalProtocolError, ServerStopped, Timeout
from devp2p_tx.net.courses import Course, LookupCourse, RandomNodes
from devp2p_tx.net.datagram import DatagramEdge
from devp2p_tx.net.hostnames import resolveHost
from devp2p_tx.net.oneshot import OneShot
from devp2p_tx.net.sntp import measureDrift

#: Bytes of the key that a FINDNODE looks for.
TARGET_SIZE = 64
#: How often a node is asked, by a lookup or to check that it lives, before it counts as silent: datagrams get lost.
ATTEMPTS = 2
#: Seconds between two refreshes while the table is empty: the datagrams to the only bootnode may have got lost.
EMPTY_TABLE_INTERVAL = 30.0
#: A clock that is wrong by more than this is warned of (seconds).
MAX_DRIFT = 10.0

_log = Logger()


class DiscoveryV4:
    """
    One node's discovery v4, from L{start} to L{stop}; it cannot be started again.

    @ivar table: the neighbours.
    @ivar edge: the socket, once started; another protocol that shares it appends itself to its C{handlers}.
    """

    def __init__(
        self,
        local: LocalRecord,
        reactor: Any,
        store: NodeStore,
        *,
        bootnodes: Iterable[Node] = (),
        netrestrict: Netlist | None = None,
        ntpServer: str | None = None,
        seconds: Callable[[], float] = monotonic,
        unixTime: Callable[[], float] = time,
        random: Random | None = None,
        metrics: Metrics | None = None,
        budget: SourceBudget | None = None,
        cryptography: Cryptography | None = None,
        refreshInterval: float = REFRESH_INTERVAL,
        checkInterval: float = FAST_INTERVAL,
    ) -> None:
        """
        @param local: our record; its key is ours, and it learns our external endpoint from others.
        @param reactor: C{IReactorUDP}, C{IReactorTime} and C{IReactorPluggableNameResolver}.
        @param store: what is remembered over a restart. Its owner has it written down, and closes it.
        @param bootnodes: nodes to begin with; those with a host name are looked up by it.
        @param netrestrict: told nodes elsewhere are left out; C{None} for no restriction.
        @param ntpServer: name of the time server that is asked when our clock seems to be wrong, such as
            C{pool.ntp.org}; C{None} for never to ask.
        @param seconds: the time for deadlines, which should not jump.
        @param unixTime: unix time with fractions, for what packets say.
        @param random: what chooses; not to be guessed by strangers.
        @param metrics: where packets are counted that were not dealt with.
        @param budget: how many packets a source may send.
        @param cryptography: who signs and verifies; by default it is done with the key of C{local}.
        @param refreshInterval: the most seconds between two refreshes of the table; the least are half of it.
        @param checkInterval: the most seconds between two checks of nodes that are new; of others, three times that.
        """
        self._local = local
        self._reactor = reactor
        self._store = store
        self._bootnodes = list(bootnodes)
        self._ntpServer = ntpServer
        self.seconds, self._unixTime = seconds, unixTime
        self._random = random or SystemRandom()
        self._metrics = metrics or Metrics()
        self.table: Table[Node] = Table(
            local.node_id,
            self._random,
            seconds(),
            fast_interval=checkInterval,
            slow_interval=3 * checkInterval,
            refresh_interval=refreshInterval,
        )
        self._proofs = StoredProofs(store)
        self._core = Discv4(
            local,
            Neighbours(self.table),
            netrestrict=netrestrict,
            proofs=self._proofs,
            budget=budget,
            cryptography=cryptography,
        )
        self.edge: DatagramEdge | None = None
        self._ownsEdge = False
        self._stopped: OneShot[None] | None = None
        self._outcomes: dict[Call, Deferred[Any]] = {}
        self._courses: dict[Course, None] = {}
        self._sleepers: dict[RandomNodes, float] = {}
        self._isStarving = False  # some of them wait for the table's first node
        self._tasks: dict[Deferred[None], None] = {}
        self._alarm: IDelayedCall | None = None
        self._alarmTime = 0.0
        self._pumping = False
        self._refreshTime = seconds()

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self, port: int = 0, interface: str = "", *, edge: DatagramEdge | None = None) -> None:
        """
        Begin to answer, and fill the table.

        @param port: the UDP port; 0 for one that is free.
        @param interface: an address of ours; empty for all of IPv4, C{::} for all of both families.
        @param edge: a socket that is open already, and stays open; then C{port} and C{interface} are not used.
        @raise CannotListenError: the port is taken, or the address not ours.
        """
        self._ownsEdge = edge is None
        if edge is None:
            edge = DatagramEdge(self._reactor, self.seconds, self._unixTime, self._metrics)
            edge.listen(port, interface)
        self.edge = edge
        edge.handlers.insert(0, self)  # before discv5, which has to decrypt to see that a packet is none of its own
        self._local.set_fallback_udp(edge.port)
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
        for course in list(self._courses):
            course.end(Failure(ServerStopped("discovery stopped")))
        for task in list(self._tasks):
            task.cancel()
        self._core.close()
        for event in self._core.next_events():
            self._handle(event)
        edge = self.edge
        if edge is not None:
            edge.handlers.remove(self)
        if edge is None or not self._ownsEdge:
            stopped.fire(None)
        else:
            maybeDeferred(edge.close).addErrback(_logFailure).addCallback(stopped.fire)

    @property
    def isRunning(self) -> bool:
        """Whether it was started, and not stopped."""
        return self.edge is not None and self._stopped is None

    # -- what others ask for ------------------------------------------------------------------------------------------

    def ping(self, node: Node) -> Deferred[Pong]:
        """
        Ask whether a node is alive.

        @return: fires with its answer; fails with L{Timeout<devp2p_tx.errors.Timeout>} half a second later, with
            L{LocalProtocolError} if the node has no UDP endpoint, or with L{ServerStopped}. Cancelling it, as with all
            requests, does no more than no longer to wait.
        """
        return self._call(partial(self._core.ping, node.node_id, node.ip, node.udp))

    def requestENR(self, node: Node) -> Deferred[Node]:
        """
        Ask a node for its record.

        @return: fires with the node as its newest record has it; fails as L{ping}, or with
            L{InvalidRecord<devp2p_tx.core.enr.record.InvalidRecord>}.
        """
        return self._call(partial(self._core.request_record, node.node_id, node.ip, node.udp, known=node.record))

    def findNode(self, node: Node, target: bytes) -> Deferred[list[Node]]:
        """
        Ask a node for nodes near C{target}.

        @param target: 64 bytes, usually a public key.
        @return: fires with up to some 16 nodes that may be contacted; fails as L{ping}.
        """
        if len(target) != TARGET_SIZE:
            return fail(LocalProtocolError(f"a target has {TARGET_SIZE} bytes, not {len(target)}"))
        return self._call(partial(self._core.find_node, node.node_id, node.ip, node.udp, target))

    def lookup(self, target: bytes) -> Deferred[list[Node]]:
        """
        Search the network for the nodes closest to C{target}.

        @param target: 64 bytes, usually a public key.
        @return: fires with up to 16 nodes, closest first, not all of which need be alive; fails with L{ServerStopped}.
            Cancelling it ends the search.
        """
        if not self.isRunning:
            return fail(_notRunning())
        if len(target) != TARGET_SIZE:
            return fail(LocalProtocolError(f"a target has {TARGET_SIZE} bytes, not {len(target)}"))
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
        known = self.table.get(node.node_id)
        if known is not None and (known.seq > node.seq or node.ip is None):
            node = known
            if (newest := await self._newest(node)) is not None:
                return newest
        for found in await self.lookup(node.public_key.to_bytes()):
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

    def _newLookup(self, target: bytes) -> Lookup[Node]:
        digest = keccak256(target)
        return Lookup(digest, self._local.node_id, self.table.closest(digest), wire_target=target)

    def _newRandomLookup(self) -> Lookup[Node]:
        return self._newLookup(self._random.randbytes(TARGET_SIZE))

    def query(self, node: Node, target: bytes, attempts: int = ATTEMPTS) -> Deferred[list[Node]]:
        """L{findNode} of a lookup: what is found enters the table, and who repeatedly finds nothing leaves it."""
        return self.findNode(node, target).addCallbacks(
            self._querySucceeded,
            self._queryFailed,
            callbackArgs=(node,),
            errbackArgs=(node, target, attempts - 1),
        )

    def _querySucceeded(self, found: list[Node], node: Node) -> list[Node]:
        if found:
            self.table.track_success(found, self.seconds())
        else:
            self._trackFailure(node)
        return found

    def _queryFailed(
        self, failure: Failure, node: Node, target: bytes, attempts: int
    ) -> Failure | Deferred[list[Node]]:
        if failure.check(Timeout) and attempts:
            return self.query(node, target, attempts)
        if not failure.check(ServerStopped, CancelledError):
            self._trackFailure(node)
        return failure

    def _trackFailure(self, node: Node) -> None:
        if node.ip is not None:
            self.table.track_failure(node, self._proofs.failures(node.node_id, node.ip), self.seconds())

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
        isFed = self._isStarving and len(self.table) > 0
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

    def _answered(self, pong: Pong, node: Node) -> None:
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
        if proven is not None and self._store.node(proven.node_id) != (text := node_text(proven)):
            self._store.put_node(proven.node_id, text, proven.ip)
        self._rearm()

    def _silent(self, failure: Failure, node: Node, attempts: int) -> None:
        if failure.trap(DevP2PError) and failure.check(Timeout) and attempts:
            self._revalidate(node, attempts)
        else:
            self.table.on_no_pong(node, self.seconds())

    async def _refresh(self) -> None:
        await self._resolveBootnodes()
        self.table.add_seeds(self._seeds(), self.seconds())
        await self.lookup(self._local.key.public_key.to_bytes())
        for _ in range(REFRESH_LOOKUPS):
            await self.lookup(self._random.randbytes(TARGET_SIZE))
        self.table.refresh_done(self.seconds())
        self._rearm()

    def _seeds(self) -> list[Node]:
        found = []
        for text in self._store.seeds(SEED_COUNT, SEED_MAX_AGE, int(self._unixTime()), self._random):
            try:
                found.append(parse_node(text))
            except InvalidNode:  # somebody else wrote into the database
                continue
        return found

    async def _resolveBootnodes(self) -> None:
        """Those with a host name, at each refresh, since names move."""
        lookups = [self._addressed(node) for node in self._bootnodes]
        self.table.nursery = [node for lookup in lookups if (node := await lookup) is not None]

    def _addressed(self, node: Node) -> Deferred[Node | None]:
        if node.hostname is None:
            ready: Deferred[Node | None] = Deferred()
            ready.callback(node)
            return ready
        return resolveHost(self._reactor, node.hostname).addCallback(partial(self._withAddress, node))

    def _withAddress(self, node: Node, addresses: list[IPAddress]) -> Node | None:
        if addresses:
            return replace(node, ip=addresses[0], hostname=None)
        _log.warn("bootnode {name} has no address", name=node.hostname)
        return None

    # -- the clock ----------------------------------------------------------------------------------------------------

    async def _checkClock(self, server: str) -> None:
        drift = await measureDrift(self._reactor, server, self.seconds, self._unixTime, self._random.randbytes)
        self._metrics.count("clock_checks")
        if abs(drift) > MAX_DRIFT:
            _log.warn(
                "the system clock is {seconds:.1f} s {direction}: other nodes ignore us; please set it, or enable"
                " network time synchronisation",
                seconds=abs(drift),
                direction="ahead" if drift > 0 else "behind",
            )

    def _checkClockSoon(self) -> None:
        if self._ntpServer is not None:
            self._run(self._checkClock(self._ntpServer))

    # -- what comes in, what goes out ---------------------------------------------------------------------------------

    def datagramReceived(self, data: bytes, ip: IPAddress, port: int, now: float, unixTime: float) -> bool:
        """See L{devp2p_tx.net.datagram.DatagramHandler}."""
        refusal = self._core.receive_datagram(data, ip, port, now, unixTime)
        if refusal is not None:
            self._metrics.count("discv4_refused", reason=refusal.value)
            return False
        self._pump()
        return True

    def _call(self, begin: Callable[..., Call]) -> Deferred[Any]:
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

    def _cancel(self, call: Call) -> None:
        self._core.cancel(call)
        self._outcomes.pop(call, None)

    def _pump(self) -> None:
        """Send what the core wants sent, act on what happened, and see to it that we wake up in time."""
        if self._pumping:  # whoever does it already goes on until there is nothing left
            return
        self._pumping = True
        try:
            while events := self._send():
                for event in events:
                    self._handle(event)
        finally:
            self._pumping = False
        self._rearm()

    def _send(self) -> list[Event]:
        """Send what the core wants sent; what happened."""
        edge = self.edge
        assert edge is not None
        for data, ip, port in self._core.datagrams_to_send():
            edge.send(data, ip, port)
        return self._core.next_events()

    def _handle(self, event: Event) -> None:
        if isinstance(event, ClockSuspect):
            self._checkClockSoon()
            return
        outcome = self._outcomes.pop(event.call, None)
        if outcome is None:
            return
        if isinstance(event, CallFailed):
            outcome.errback(event.error)
        elif isinstance(event, PingAnswered):
            outcome.callback(event.pong)
        elif isinstance(event, NodesFound):
            outcome.callback([Node(key, ip, tcp, udp) for key, ip, udp, tcp in event.nodes])
        else:
            outcome.callback(Node.from_record(event.record))

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
        if self._isStarving and len(self.table):
            return self.seconds()
        due = self.table.get_timer()
        waiting = [self._core.get_timer(), *self._sleepers.values()]
        if not len(self.table):
            waiting.append(self._refreshTime + EMPTY_TABLE_INTERVAL)
        for other in waiting:
            if other is not None and (due is None or other < due):
                due = other
        return due

    def _wake(self) -> None:
        self._alarm = None
        self._pumping = True  # all at once, at the end
        try:
            self._handleTimers(self.seconds(), self._unixTime())
        finally:
            self._pumping = False
        self._pump()

    def _handleTimers(self, now: float, unixTime: float) -> None:
        self._core.handle_timer(now, unixTime)
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
