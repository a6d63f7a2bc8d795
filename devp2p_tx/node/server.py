"""
The Server: owner of the peers.

Connections are made by the listener and the dialer, and each goes through L{Server.setupConn}: RLPx handshake, first
checkpoint, Hello, second checkpoint. All that looks at or changes the peer set, the checkpoints above all, is put into
one inbox, and done by the run loop, in order, a turn of the reactor later: so check and insertion are one step, and
nobody who calls us finds the peers changed under his hands.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from ipaddress import IPv4Address
from os import urandom
from random import Random, SystemRandom
from typing import Any

from twisted.application import service
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from devp2p_tx._oneshot import OneShot
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.crypto.secp256k1 import PublicKey, RandomBytes
from devp2p_tx.core.dialing.dialplan import DialPlan
from devp2p_tx.core.dialing.places import Places
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node, node_text
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.core.p2p.capabilities import Match, match
from devp2p_tx.core.p2p.messages import Cap, Hello
from devp2p_tx.errors import (
    DevP2PError,
    DisconnectReason,
    LocalProtocolError,
    PeerRejected,
    ServerStopped,
)
from devp2p_tx.interfaces import ICapability
from devp2p_tx.net.connecting.dialvia import parseVia
from devp2p_tx.net.discovery.discv4 import DiscoveryV4
from devp2p_tx.net.discovery.discv5 import DiscoveryV5
from devp2p_tx.net.discovery.dnstree import TextResolver
from devp2p_tx.net.log import Logger
from devp2p_tx.net.names.hostnames import HostNames, SystemTTLs, isReal
from devp2p_tx.net.names.nameservers import NameServers
from devp2p_tx.net.rlpx.faults import CapabilityFaults
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.net.timing.reactortime import secondsOf
from devp2p_tx.node.admission import Arriving, PeerSet, checkAddPeer, checkPostHandshake, explain
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.crossing import awaitProofs
from devp2p_tx.node.descriptors import DescriptorWatch, checkLimit
from devp2p_tx.node.dialer import Dialer
from devp2p_tx.node.discovery import Discovery
from devp2p_tx.node.events import Feed, PeerEvent, Subscription
from devp2p_tx.node.inbound import InboundFactory, InboundRefusal, NodeProtocol, TrustedAddresses
from devp2p_tx.node.info import NodeInfo
from devp2p_tx.node.listeners import Listeners
from devp2p_tx.node.nat import PortMapping
from devp2p_tx.node.nopeers import NoPeersNotice
from devp2p_tx.node.notices import PeerNotices
from devp2p_tx.node.ordering import TakesOrders
from devp2p_tx.node.orders import Orders, checkIsNode
from devp2p_tx.node.peer import DIALED, Conn, ConnectionFlags, Peer, addressIP
from devp2p_tx.node.runloop import RunLoop
from devp2p_tx.node.stopping import Part, cleaned, stopParts
from devp2p_tx.node.tried import Tried

_log = Logger()


class Stage(Enum):
    """The two checkpoints."""

    POST_HANDSHAKE = auto()
    ADD_PEER = auto()


class _Phase(Enum):
    NEW = auto()
    OPENED = auto()
    RUNNING = auto()
    STOPPING = auto()
    STOPPED = auto()


class Server(TakesOrders, service.Service):
    """
    A node: listens, dials, keeps peers.

    Like go-ethereum's C{p2p.Server} it runs once: after L{stopService} make another.

    @ivar config: how it was set up.
    @ivar metrics: what it counted.
    """

    def __init__(
        self,
        config: ServerConfig,
        reactor: Any = None,
        seconds: Callable[[], float] | None = None,
        randomBytes: RandomBytes = urandom,
        random: Random | None = None,
        unixTime: Callable[[], float] = time.time,
        resolver: Callable[[], TextResolver] | None = None,
        nat: Callable[..., PortMapping] = PortMapping,
    ) -> None:
        """
        @param config: see L{ServerConfig}.
        @param reactor: by default the global one.
        @param seconds: the time for deadlines: by default a clock that does not jump, or that of a simulated network.
        @param randomBytes: randomness for keys.
        @param random: randomness for choices.
        @param unixTime: the time of day, for what packets and records say.
        @param resolver: makes what looks up lists in DNS; by default what this system is set up with.
        @param nat: makes what gets us through a NAT.
        """
        if reactor is None:
            from twisted.internet import reactor

        self.config = config
        self.metrics = Metrics()
        self._reactor = reactor
        self._seconds: Callable[[], float] = seconds or secondsOf(reactor)
        self._phase = _Phase.NEW
        self._opening: Deferred[None] | None = None
        self._loop = RunLoop(reactor)
        self._post = self._loop.post
        self._selfId = config.key.public_key.node_id
        self._peers: dict[bytes, Peer] = {}
        self._conns: set[Conn] = set()  # those that are being set up
        self._transports: set[RLPxProtocol] = set()
        self._started: OneShot[None] = OneShot()
        self._stopped: OneShot[None] = OneShot()
        self._dropped: Deferred[None] = Deferred()  # of the start, by a parent
        caps = sorted({Cap(each.name, each.version) for each in config.capabilities})
        self._hello = Hello(config.name, tuple(caps), config.key.public_key.to_bytes())
        self._notices = PeerNotices(
            reactor, self._seconds, self._peers.values(), caps, self.metrics, config.messageEvents
        )
        random = random or SystemRandom()
        self._records: Feed[Node] = Feed()
        policy = AddressPolicy(config.netrestrict, config.netdeny, lan=config.lan, metrics=self.metrics)
        self._names = HostNames(reactor, self._seconds, partial(SystemTTLs, reactor) if isReal(reactor) else None)
        self._discovery = Discovery(
            config,
            reactor,
            self._seconds,
            unixTime,
            random,
            self.metrics,
            resolver or partial(NameServers, reactor),
            self._recordChanged,
            policy,
            self._names,
            randomBytes,
        )
        self._nat = nat(config, reactor, self._seconds, random, randomBytes, self.metrics, self._discovery.mapped)
        trusted = (node.node_id for node in config.trustedNodes)
        self._places = Places(config.maxPeers, config.maxDialed, trusted)
        plan = DialPlan(
            self._selfId,
            self._places,
            0 if config.noDial else config.maxPendingPeers,
            policy,
            random,
            config.bootnodes,
            Arriving(self._conns),
        )
        for node in config.staticNodes:  # here, so that orders that are given before the start come later
            plan.add_static(node)
        self._dialer = Dialer(
            reactor,
            self._seconds,
            plan,
            self._buildDialed,
            self.setupConn,
            self.metrics,
            policy,
            self._discovery,
            self._names,
            via=None if config.dialVia is None else parseVia(config.dialVia),
        )
        self._orders = Orders(self._peers, self._conns, self._dialer, self._peerSet, self._loop, self._discovery)
        tried = Tried(config, self.metrics, self._discovery, self._names, plan)
        self._noPeers = NoPeersNotice(reactor, self._seconds, self._peers.values(), tried.text)
        self._trustedAddresses = TrustedAddresses(config.trustedNodes)
        bounds = config.maxPendingPeers, policy, self._trustedAddresses, reactor
        self._accepting = InboundFactory(self._accept, self._refused, self._seconds, *bounds)
        faults = CapabilityFaults(self._seconds, self.metrics)
        self._make = partial(NodeProtocol, config.key, reactor, randomBytes, metrics=self.metrics, faults=faults)
        self._listeners = Listeners(reactor, config.key, self._accepting)
        self._descriptors = DescriptorWatch(reactor)
        self._info = NodeInfo(config, self._discovery, self._listeners, self._nat)

    # Start and stop.

    def privilegedStartService(self) -> None:
        """
        Open all sockets: see C{IService}. What becomes of that is told by L{startService}, which does it if this was
        not called.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        if self._phase is _Phase.NEW:
            self._phase = _Phase.OPENED
            self._opening = Deferred.fromCoroutine(self._open())

    async def _open(self) -> None:
        for listen in self.config.listens:
            await self._listeners.listen(listen)
        there = self._listeners
        self._discovery.open(there.listening, lambda: there.versions, there.isLocal)

    def startService(self) -> Deferred[None]:
        """
        Listen, and begin to dial.

        A C{MultiService} drops what is returned here: so a server that has a parent also logs why it cannot start.
        L{whenStarted} tells the owner of the parent.

        @return: fires when the server runs; fails, after all that was begun was undone, with
            L{devp2p_tx.node.opening.CannotOpen}, L{devp2p_tx.errors.InvalidAddress}, L{devp2p_tx.errors.ProxyError},
            L{ServerStopped}, or L{LocalProtocolError} (it ran before).
        """
        if self._phase not in (_Phase.NEW, _Phase.OPENED):
            failed: Deferred[None] = Deferred()
            failed.errback(LocalProtocolError("a Server runs once: make another"))
            return failed
        self._phase = _Phase.RUNNING
        super().startService()  # type: ignore[no-untyped-call]
        Deferred.fromCoroutine(self._start()).addErrback(cleaned).addBoth(self._started.fire)
        starting = self._started.when()
        if self.parent is not None:
            self._dropped = starting
        return starting

    def whenStarted(self) -> Deferred[None]:
        """
        Tell how the start ends, whoever starts the server.

        @return: fires and fails as what L{startService} returns; fails with L{ServerStopped} if the server is stopped
            before it is started. Cancelling it stops nothing.
        """
        return self._started.when()

    def _reportFailedStart(self, failure: Failure) -> None:
        """Log why the start fails, at once, if the parent drops what L{startService} returns."""
        if self.parent is None or failure.check(ServerStopped):
            return
        sentence = "this node cannot start, and what else runs in this process goes on: {error}"
        if failure.check(DevP2PError, CannotListenError):
            _log.critical(sentence, error=failure.value)
        else:  # a mistake in a part that was plugged in
            _log.failure(sentence, failure, error=failure.value)

    async def _start(self) -> None:
        if (why := self.config.idle) is not None:
            _log.warn("{sentence}", sentence=why)
        try:
            await (self._opening or self._open())
            self._begin()
        except Exception:
            self._reportFailedStart(Failure())
            await self.stopService()
            raise

    def _begin(self) -> None:
        """All sockets are open: begin to look for nodes, and to dial."""
        checkLimit(self.config)
        self._descriptors.start()
        self._discovery.start()
        self._nat.start(*self._discovery.sockets)
        self._dialer.start(self._discovery.candidates(self.config.maxDialed), self._discovery.resolve)
        self._post(self._announce)
        if self.config.maxDialed:
            self._noPeers.start()

    def _announce(self) -> None:
        """Say where we are, in the run loop, so that whoever reads it can rely on a reactor that runs."""
        if addresses := self._listeners.addresses:
            _log.info("listening at {addresses}", addresses=", ".join(addresses))
        _log.info("node {enode}", enode=format_node(self.self()))
        _log.info("node record {enr}", enr=node_text(self._discovery.self()))

    def stopService(self) -> Deferred[None]:
        """
        Stop: no connection is let in or dialled any more, every peer is told "client quitting".

        A part that fails to stop is logged, and keeps no other part from being stopped.

        @return: fires when everything is closed, at the latest ten seconds later (see
            L{devp2p_tx.node.stopping.STOP_TIMEOUT}); never fails. Calling it again, or on a server that never ran, does
            no harm.
        """
        self._dropped.addErrback(lambda _: None)  # it was logged
        if self._phase is _Phase.NEW:
            self._phase = _Phase.STOPPED
            self._started.fire(_neverStarted())
            self._stopped.fire(None)
        elif self._phase in (_Phase.OPENED, _Phase.RUNNING):
            if self._opening is not None and self._phase is _Phase.OPENED:
                self._opening.addErrback(lambda _: None)  # startService would have told
                self._started.fire(_neverStarted())
            self._phase = _Phase.STOPPING
            super().stopService()  # type: ignore[no-untyped-call]
            Deferred.fromCoroutine(self._stop()).addErrback(_logFailure)
        return self._stopped.when()

    async def _stop(self) -> None:
        connections: list[Part] = [("a connection", partial(_close, transport)) for transport in self._transports]
        try:
            await stopParts(
                self._reactor,
                [
                    ("the warning about no peers", self._noPeers.stop),
                    ("the notices of peers", self._notices.stop),
                    ("the watch over open files", self._descriptors.stop),
                    ("orders that are under way", self._orders.stop),
                    ("taking connections", self._accepting.close),
                    *self._listeners.close(),
                    ("the dialer", self._dialer.stop),
                    ("the port mapping (nat)", self._nat.stop),
                    *connections,
                ],
            )
            await stopParts(self._reactor, [("the lookups of host names", self._names.stop)])
            await self._discovery.stop()
        finally:
            self._post(self._afterLast)

    def _afterLast(self) -> None:
        """The run loop's last act: every peer was removed and every subscriber told."""
        self._phase = _Phase.STOPPED
        self._stopped.fire(None)

    @property
    def isRunning(self) -> bool:
        """Whether it was started, and not stopped."""
        return self._phase is _Phase.RUNNING

    # The run loop.

    def checkpoint(self, conn: Conn, stage: Stage) -> Deferred[None]:
        """
        Ask the run loop whether a connection may go on.

        @return: C{conn.cont}: fires when it may, at the second checkpoint after the peer was added; fails with
            L{PeerRejected} or L{ServerStopped}.
        """
        conn.cont = Deferred()
        self._post(partial(self._decide, conn, stage))
        return conn.cont

    def _decide(self, conn: Conn, stage: Stage) -> None:
        """Both checkpoints; to answer is the last thing done. If the set-up was cancelled nobody hears of it."""
        try:
            error = self._admit(conn, stage) if self.isRunning else ServerStopped("server stopped")
        except Exception as mistake:  # of ours; the connection has to end all the same
            _log.failure("checkpoint {stage}", stage=stage)
            error = mistake
        if error is not None:
            conn.cont.errback(error)
        else:
            conn.cont.callback(None)

    def _admit(self, conn: Conn, stage: Stage) -> Exception | None:
        """Let a connection past a checkpoint, or return why not."""
        conn.isTrusted = self._places.is_trusted(conn.node.node_id)
        if stage is Stage.POST_HANDSHAKE:
            reason = checkPostHandshake(conn, self._peerSet())
            conn.isAdmitted = reason is None
        else:
            matches = match(self.config.capabilities, conn.hello.caps)
            reason = checkAddPeer(conn, self._peerSet(), self.config.capabilities, matches)
            if reason is None and not conn.transport.closed:
                self._launch(conn, matches)
        return None if reason is None else PeerRejected(reason, explain(reason, self._places))

    def _peerSet(self) -> PeerSet:
        return PeerSet(self._places, self._selfId, self._conns)

    def _launch(self, conn: Conn, matches: list[Match[ICapability]]) -> None:
        peer = conn.peer = Peer(conn, matches, self._seconds())
        self._peers[peer.node.node_id] = peer
        self._dialer.peerAdded(peer.node, bool(peer.flags & DIALED))
        peer.whenEnded().addCallback(lambda reason: self._post(partial(self._drop, peer, reason)))
        if peer.inbound and (ip := addressIP(peer.remoteAddress)) is not None:
            self._discovery.local.note_reached(ip)
            self._accepting.proved(peer.node.node_id, ip)
        self._noPeers.changed()
        self._notices.connected(peer)
        self._makeRoom(peer)
        conn.transport.start(matches, peer, self._notices.observer(peer))

    def _makeRoom(self, peer: Peer) -> None:
        """A peer was added: if it is static, and there are too many now, one that the user did not name gives way."""
        if (nodeId := self._places.give_way(peer.node.node_id)) is not None:
            _log.info("peer {peer} gives way to static {other}", peer=self._peers[nodeId], other=peer)
            self._peers[nodeId].disconnect(DisconnectReason.TOO_MANY_PEERS)

    def _drop(self, peer: Peer, reason: BaseException) -> None:
        """A peer is gone; those who hear of it find it gone from L{peers}."""
        del self._peers[peer.node.node_id]
        self._dialer.peerRemoved(peer.node, self._seconds() - peer.created, reason)
        self._discovery.forks.dropped(peer.node.ip, reason)
        self._notices.dropped(peer, reason)
        self._noPeers.changed()
        self._dialer.evaluate()

    # Connections.

    def setupConn(self, transport: RLPxProtocol, flags: ConnectionFlags, dialed: Node | None) -> Deferred[Peer]:
        """
        Take a connection through both handshakes and both checkpoints.

        @param flags: how it came about.
        @param dialed: the node that we dialled; C{None} for one that dialled us.
        @return: fires with the peer; fails, the connection being closed, with L{PeerRejected}, L{ServerStopped},
            another L{DevP2PError}, or how the transport ended. Cancelling it closes the connection.
        """
        return Deferred.fromCoroutine(self._setUp(Conn(transport, flags), dialed))

    async def _setUp(self, conn: Conn, dialed: Node | None) -> Peer:
        transport, stage = conn.transport, "rlpx"
        self._conns.add(conn)
        try:
            if not self.isRunning:
                raise ServerStopped("server stopped")
            await transport.whenHandshaken()
            conn.setNode(dialed)
            stage = "posthandshake"
            self._accepting.progressed(transport)
            await awaitProofs(self._reactor, conn, self._conns, self._selfId)
            await self.checkpoint(conn, Stage.POST_HANDSHAKE)
            stage = "hello"
            conn.hello = await transport.exchangeHello(self._hello)
            stage = "addpeer"
            await self.checkpoint(conn, Stage.ADD_PEER)
            if conn.peer is None:  # it went away while the run loop was at other things
                raise await transport.whenEnded()
            return conn.peer
        except Exception as error:
            self._setUpFailed(conn, stage, error)
            raise
        finally:
            self._conns.discard(conn)
            conn.settle()
            if conn.isInbound:
                self._dialer.evaluate()

    def _setUpFailed(self, conn: Conn, stage: str, error: Exception) -> None:
        self._notices.refused(conn, stage, error)
        if isinstance(error, PeerRejected):
            conn.transport.disconnect(error.reason)
        elif isinstance(error, (ServerStopped, CancelledError)):
            isCancelled = self.isRunning and isinstance(error, CancelledError)
            conn.transport.disconnect(DisconnectReason.REQUESTED if isCancelled else DisconnectReason.CLIENT_QUITTING)
        else:
            conn.transport.abort()

    def _build(self, remote: PublicKey | None) -> NodeProtocol:
        transport = self._make(remote, self._seconds)
        self._transports.add(transport)
        transport.whenEnded().addCallback(lambda _: self._transports.discard(transport))
        return transport

    def _buildDialed(self, node: Node) -> RLPxProtocol:
        return self._build(node.public_key)

    def _accept(self) -> NodeProtocol:
        self.metrics.count("accepts")
        transport = self._build(None)
        setUp: Deferred[Any] = self.setupConn(transport, ConnectionFlags.INBOUND, None)
        # cleaned of its traceback, whose frames know the connection, which keeps the error
        setUp.addCallbacks(lambda _: self.metrics.count("accepts_succeeded"), Failure.cleanFailure)
        setUp.addBoth(lambda _: self._accepting.settled(transport))
        return transport

    def _refused(self, refusal: InboundRefusal) -> None:
        self.metrics.count("accepts_refused", reason=refusal.name.lower())

    # What others ask for.

    def peers(self) -> list[Peer]:
        """The peers, in the order of their node ids."""
        return [peer for _, peer in sorted(self._peers.items())]

    def peer(self, nodeId: bytes | str) -> Peer | None:
        """
        Return the peer with a node id; C{None} if there is none.

        @param nodeId: 32 bytes, as C{node.node_id}, or 64 hex digits, as C{peer.id} and C{event.peer}.
        @raise ValueError: it is no node id.
        """
        raw = bytes.fromhex(nodeId) if isinstance(nodeId, str) else nodeId
        if len(raw) != 32:
            raise ValueError(f"a node id is 32 bytes or 64 hex digits, not {nodeId!r}")
        return self._peers.get(raw)

    @property
    def peerCount(self) -> int:
        """How many peers there are."""
        return len(self._peers)

    def connect(self, node: Node) -> Deferred[Peer]:
        """
        Dial a node once, now.

        @return: fires with the peer: at once if the node is one, and also if the node connects to us meanwhile. Fails
            with L{ServerStopped} (not started, or stopped), L{LocalProtocolError} (C{noDial} is set), L{PeerRejected}
            (this node has no place for it; it is not dialed), as L{setupConn}, or as Twisted's client endpoints.
            Cancelling it gives up the dial, and tells the node "disconnect requested".
        @raise TypeError: C{node} is no L{Node}.
        """
        checkIsNode(node, "connect")
        if not self.isRunning:
            why = "the server is not started" if self._phase is _Phase.NEW else "server stopped"
            return fail(ServerStopped(why))
        return self._orders.connect(node)

    def subscribeEvents(self, subscriber: Callable[[PeerEvent], object]) -> Subscription:
        """Call C{subscriber} with every L{PeerEvent} from now on, until it unsubscribes."""
        return self._notices.feed.subscribe(subscriber)

    def self(self) -> Node:
        """Ourselves, as others can reach us as far as we know: before the start, and without a listener, at no port."""
        if self._phase is _Phase.NEW:
            return Node(self.config.key.public_key, IPv4Address("127.0.0.1"))
        return self._info.self()

    def nodeInfo(self) -> dict[str, Any]:
        """As go-ethereum's C{admin_nodeInfo} shows a node."""
        return self._info.info(self.self())

    def peersInfo(self) -> list[dict[str, Any]]:
        """As go-ethereum's C{admin_peers} shows them, in the order of their node ids."""
        return [peer.info() for peer in self.peers()]

    @property
    def discv5(self) -> DiscoveryV5 | None:
        """Discovery v5, while it runs; TALK protocols are registered there."""
        return self._discovery.discv5

    @property
    def discv4(self) -> DiscoveryV4 | None:
        """Discovery v4, while it runs."""
        return self._discovery.discv4

    def subscribeRecords(self, subscriber: Callable[[Node], object]) -> Subscription:
        """Call C{subscriber} with ourselves whenever our record was signed anew, since what it says has changed."""
        return self._records.subscribe(subscriber)

    def refreshRecord(self) -> Node:
        """
        Ask every capability again what our record announces, and sign the record if that has changed.

        @return: ourselves, with the newest record; while the server does not run no capability is asked.
        @raise LocalProtocolError: the entries have no room in a record, which stays as it was.
        """
        if self.isRunning:
            self._discovery.record.refresh()
        return self.self()

    def _recordChanged(self) -> None:
        if self._records:
            self._post(lambda: self._records.send(self._discovery.self()))


def _close(transport: RLPxProtocol) -> Deferred[BaseException]:
    transport.disconnect(DisconnectReason.CLIENT_QUITTING)
    return transport.whenEnded()


def _neverStarted() -> Failure:
    return Failure(ServerStopped("the server was stopped before it started"))


def _logFailure(failure: Failure) -> None:
    _log.failure("while the server stopped", failure)
