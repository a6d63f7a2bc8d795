"""
The dialled slots of simulated nodes: the dialer of a L{devp2p_tx.Server} as it is, over handshakes that cost nothing.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from devp2p_tx.core.addresspolicy import AddressPolicy
from devp2p_tx.core.dialplan import DialPlan
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import DisconnectReason, PeerRejected
from devp2p_tx.net.discv4 import DiscoveryV4
from devp2p_tx.net.hostnames import HostNames
from devp2p_tx.net.oneshot import OneShot
from devp2p_tx.node.config import DEFAULT_DIAL_RATIO, DEFAULT_MAX_PEERS, DEFAULT_MAX_PENDING_PEERS
from devp2p_tx.node.dialer import Dialer
from devp2p_tx.node.discovery import RandomWalkSource
from devp2p_tx.node.peer import ConnectionFlags
from devp2p_tx.node.sources import Candidates

#: What a node has by default: so many dialled peers, and so many that dialled it.
SLOTS = DEFAULT_MAX_PEERS // DEFAULT_DIAL_RATIO
INBOUND_SLOTS = DEFAULT_MAX_PEERS - SLOTS

_WELCOME = b"+"


class _Link(Protocol):
    """One end of a connection: the side that was dialled says welcome, or hangs up."""

    def __init__(self) -> None:
        self._welcomed: OneShot[Any] = OneShot()
        self._ended: OneShot[Any] = OneShot()

    def whenWelcome(self) -> Deferred[Any]:
        return self._welcomed.when()

    def whenEnded(self) -> Deferred[Any]:
        return self._ended.when()

    def dataReceived(self, data: bytes) -> None:
        self._welcomed.fire(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._welcomed.fire(Failure(PeerRejected(DisconnectReason.TOO_MANY_PEERS)))
        self._ended.fire(None)


class SimulatedPeers(Factory):
    """
    The peers of one simulated node.

    @ivar dialed: those that it dialled.
    @ivar filledAt: when its dialled slots were all taken for the first time (seconds); C{None} before.
    """

    noisy = False

    def __init__(self, host: Any, node: Node, discovery: DiscoveryV4, random: Random) -> None:
        """
        @param host: a host of a L{devp2p_tx.testing.MemoryNetwork}; it listens at the node's TCP port.
        @param discovery: where its candidates come from, started.
        """
        self.dialed: set[_Link] = set()
        self.filledAt: float | None = None
        self._host = host
        self._inbound: set[_Link] = set()
        self._port = host.listenTCP(node.tcp, self)
        metrics = Metrics()
        policy = AddressPolicy(metrics=metrics)
        plan = DialPlan(node.node_id, SLOTS, DEFAULT_MAX_PENDING_PEERS, policy, random)
        names = HostNames(host, host.seconds)
        build: Any = lambda node: _Link()  # noqa: E731 - in the place of an RLPx connection
        self._dialer = Dialer(host, host.seconds, plan, build, self._setUp, metrics, policy, _NoMemory(), names)
        source: Any = RandomWalkSource(discovery)
        self._dialer.start(Candidates([], [source], host, host.seconds, metrics, SLOTS))

    def stop(self) -> None:
        """The node goes, and its peers find out."""
        self._dialer.stop()
        self._port.stopListening()
        for link in [*self.dialed, *self._inbound]:
            link.transport.abortConnection()  # type: ignore[union-attr]

    def buildProtocol(self, addr: IAddress | None) -> _Link | None:
        """See C{IProtocolFactory}; C{None} closes the connection of one too many."""
        if len(self._inbound) >= INBOUND_SLOTS:
            return None
        link = _Link()
        self._inbound.add(link)
        link.whenEnded().addCallback(lambda _: self._inbound.discard(link))
        self._host.callLater(0, self._welcome, link)
        return link

    def _welcome(self, link: _Link) -> None:
        if link.transport is not None:
            link.transport.write(_WELCOME)

    def _setUp(self, link: Any, flags: ConnectionFlags, node: Node) -> Deferred[Any]:
        if len(self.dialed) >= 2 * SLOTS:
            return fail(PeerRejected(DisconnectReason.TOO_MANY_PEERS))
        return link.whenWelcome().addCallback(self._added, node)  # type: ignore[no-any-return]

    def _added(self, link: _Link, node: Node) -> _Link:
        self.dialed.add(link)
        self._dialer.plan.peer_added(node.node_id, dialed=True)
        if len(self.dialed) >= SLOTS and self.filledAt is None:
            self.filledAt = self._host.seconds()
        link.whenEnded().addCallback(lambda _: self._dropped(link, node))
        return link

    def _dropped(self, link: _Link, node: Node) -> None:
        self.dialed.discard(link)
        self._dialer.plan.peer_removed(node.node_id)
        self._dialer.evaluate()


class _NoMemory:
    """No node remembers anything."""

    def succeeded(self, node: Node) -> None: ...

    def failed(self, node: Node) -> None: ...
