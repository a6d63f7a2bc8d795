"""
The dialled slots of simulated nodes: the dialer of a L{devp2p_tx.Server} as it is, over connections and handshakes that
cost nothing.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from devp2p_tx._oneshot import OneShot
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.dialing.dialplan import DialPlan
from devp2p_tx.core.dialing.places import Places
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import DisconnectReason, PeerRejected
from devp2p_tx.net.discovery.discv4 import DiscoveryV4
from devp2p_tx.net.names.hostnames import HostNames
from devp2p_tx.node.config import DEFAULT_DIAL_RATIO, DEFAULT_MAX_PEERS, DEFAULT_MAX_PENDING_PEERS
from devp2p_tx.node.dialer import Dialer
from devp2p_tx.node.discovery import RandomWalkSource
from devp2p_tx.node.peer import ConnectionFlags
from devp2p_tx.node.sources import Candidates
from devp2p_tx.testing._clock import VirtualClock

#: What a node has by default: so many dialled peers, and so many that dialled it.
SLOTS = DEFAULT_MAX_PEERS // DEFAULT_DIAL_RATIO
INBOUND_SLOTS = DEFAULT_MAX_PEERS - SLOTS

#: From a dial to the answer, in times that a packet takes one way: two for the connection, one for the welcome.
_TRIPS = 3


class _Link:
    """
    A connection, to both who share it.

    @ivar isWelcome: whether the side that was dialled has a slot for it.
    """

    isWelcome = False

    def __init__(self) -> None:
        self._ended: OneShot[None] = OneShot()

    def whenEnded(self) -> Deferred[None]:
        return self._ended.when()

    def end(self) -> None:
        self._ended.fire(None)


class Exchange:
    """Who is where, for nodes that dial."""

    def __init__(self, latency: float) -> None:
        """
        @param latency: what a packet takes, one way (seconds).
        """
        self.latency = latency
        self.peers: dict[tuple[str, int], SimulatedPeers] = {}

    def via(self, clock: Any, address: str, port: int) -> IStreamClientEndpoint:
        """See L{Via<devp2p_tx.net.connecting.dialvia.Via>}."""
        return _Line(self, clock, (address, port))


@implementer(IStreamClientEndpoint)
class _Line:
    def __init__(self, exchange: Exchange, clock: Any, to: tuple[str, int]) -> None:
        self._exchange, self._clock, self._to = exchange, clock, to

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """See C{IStreamClientEndpoint}."""
        answered: Deferred[Any] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(_TRIPS * self._exchange.latency, self._answer, protocolFactory, answered)
        return answered

    def _answer(self, protocolFactory: Any, answered: Deferred[Any]) -> None:
        callee = self._exchange.peers.get(self._to)
        if callee is None:
            answered.errback(ConnectionRefusedError())
        else:
            link = protocolFactory.buildProtocol(None)
            callee.welcome(link)
            answered.callback(link)


class SimulatedPeers:
    """
    The peers of one simulated node.

    @ivar dialed: those that it dialled.
    @ivar inbound: those that dialled it.
    @ivar filledAt: when its dialled slots were all taken for the first time (seconds); C{None} before.
    """

    def __init__(
        self, clock: VirtualClock, node: Node, discovery: DiscoveryV4, random: Random, exchange: Exchange
    ) -> None:
        """
        @param discovery: where its candidates come from, started.
        @param exchange: joins the nodes.
        """
        self.dialed: dict[_Link, None] = {}  # in their order, so that all runs are alike
        self.filledAt: float | None = None
        self._clock = clock
        self.inbound: dict[_Link, None] = {}
        self._exchange, self._place = exchange, (str(node.ip), node.tcp)
        exchange.peers[self._place] = self
        metrics = Metrics()
        policy = AddressPolicy(metrics=metrics)
        plan = DialPlan(node.node_id, Places(DEFAULT_MAX_PEERS, SLOTS), DEFAULT_MAX_PENDING_PEERS, policy, random)
        names = HostNames(clock, clock.seconds)
        build: Any = lambda node: _Link()  # noqa: E731 - in the place of an RLPx connection
        self._dialer = Dialer(
            clock,
            clock.seconds,
            plan,
            build,
            self._setUp,
            metrics,
            policy,
            _NoMemory(),
            names,
            via=exchange.via,
        )
        source: Any = RandomWalkSource(discovery)
        self._dialer.start(Candidates([], [source], clock, clock.seconds, metrics, SLOTS))

    def stop(self) -> None:
        """The node goes, and its peers find out."""
        self._dialer.stop()
        del self._exchange.peers[self._place]
        for link in [*self.dialed, *self.inbound]:
            link.end()

    def welcome(self, link: _Link) -> None:
        """Somebody dials this node."""
        if len(self.inbound) < INBOUND_SLOTS:
            link.isWelcome = True
            self.inbound[link] = None
            link.whenEnded().addCallback(lambda _: self.inbound.pop(link))

    def _setUp(self, link: Any, flags: ConnectionFlags, node: Node) -> Deferred[Any]:
        if not link.isWelcome or len(self.dialed) >= 2 * SLOTS:
            link.end()
            return fail(PeerRejected(DisconnectReason.TOO_MANY_PEERS))
        self.dialed[link] = None
        self._dialer.plan.peer_added(node.node_id, dialed=True)
        if len(self.dialed) >= SLOTS and self.filledAt is None:
            self.filledAt = self._clock.seconds()
        link.whenEnded().addCallback(lambda _: self._dropped(link, node))
        return succeed(link)

    def _dropped(self, link: _Link, node: Node) -> None:
        del self.dialed[link]
        self._dialer.plan.peer_removed(node.node_id)
        self._dialer.evaluate()


class _NoMemory:
    """No node remembers anything."""

    def succeeded(self, node: Node) -> None: ...

    def failed(self, node: Node) -> None: ...
