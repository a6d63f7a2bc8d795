"""
Node discovery version 5 on a UDP socket, and the requests of other protocols that it carries.

What there is to be done for the table and for lookups is in L{devp2p_tx.net.discovery.kademlia}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from os import urandom
from typing import Any, Unpack

from twisted.internet.defer import Deferred, fail

from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.discv5.calls import lookup_distances
from devp2p_tx.core.discv5.events import (
    CallFailed,
    Contact,
    Event,
    NodesFound,
    PingAnswered,
    RecordFound,
)
from devp2p_tx.core.discv5.filter import PacketFilter
from devp2p_tx.core.discv5.messages import Pong
from devp2p_tx.core.discv5.neighbours import Neighbours
from devp2p_tx.core.discv5.packets import PROTOCOL_ID
from devp2p_tx.core.discv5.protocol import Discv5
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.kademlia.lookup import Lookup
from devp2p_tx.errors import LocalProtocolError
from devp2p_tx.interfaces import NodeStore
from devp2p_tx.net.discovery.clock import V5_EFFECT, ClockWatch
from devp2p_tx.net.discovery.kademlia import KademliaNode, Settings
from devp2p_tx.net.discovery.talk import TalkCallback, Talks
from devp2p_tx.net.discovery.udp import DatagramEdge

#: Bytes of what a lookup looks for: a node id.
TARGET_SIZE = 32


class DiscoveryV5(KademliaNode):
    """
    One node's discovery v5, from L{start} to L{stop}; it cannot be started again.

    @ivar filter: who is not heard; bans are set here, in seconds of the monotonic clock.
    """

    name = "discv5"
    targetSize = TARGET_SIZE

    def __init__(
        self,
        local: LocalRecord,
        reactor: Any,
        store: NodeStore,
        *,
        randomBytes: Callable[[int], bytes] = urandom,
        packetFilter: PacketFilter | None = None,
        protocolId: bytes = PROTOCOL_ID,
        ntpServer: str | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        """
        @param local: our record; its key is ours, and it learns our external endpoint from others.
        @param reactor: C{IReactorUDP}, C{IReactorTime} and C{IReactorPluggableNameResolver}.
        @param store: what is remembered over a restart. Its owner has it written down, and closes it.
        @param randomBytes: the source of keys and nonces.
        @param packetFilter: who is not heard.
        @param protocolId: 6 bytes, by which a private network keeps apart.
        @param ntpServer: name of the time server with which our clock is compared; C{None} for none, or where
            discovery v4 runs, too, and does it.
        @param settings: see L{Settings}.
        """
        super().__init__(local, reactor, store, settings)
        effects = dict.fromkeys(("ahead", "behind"), V5_EFFECT)
        self._clock = ClockWatch(
            reactor, ntpServer, self.seconds, self._unixTime, self._random.randbytes, self._metrics, effects
        )
        neighbours = Neighbours(self.table, store.node, self._policy, local)
        self._core = Discv5(
            local,
            neighbours,
            randomBytes,
            policy=self._policy,
            outgoing=settings.get("outgoing"),
            packet_filter=packetFilter or PacketFilter(self._limiter),
            protocol_id=protocolId,
        )
        self.filter = self._core.filter
        self._talks = Talks(reactor, self.seconds, self._metrics, self._core.answer_talk, self._flush)
        self._speak(self._core, neighbours)

    def _attach(self, edge: DatagramEdge) -> None:
        edge.handlers.append(self)
        self._clock.start()

    def stop(self) -> Deferred[None]:
        """
        Fail everything that is under way with L{ServerStopped<devp2p_tx.errors.ServerStopped>}, and close the socket.

        @return: fires when it is closed. Calling it again, or on what was never started, does no harm.
        """
        self._clock.stop()
        self._talks.stop()
        return super().stop()

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return self._core.sessions

    @property
    def challenges(self) -> int:
        """How many challenges of ours may await an answer."""
        return self._core.challenges

    # -- what others ask for ------------------------------------------------------------------------------------------

    def ping(self, node: Node) -> Deferred[Pong]:
        """
        Ask whether a node is alive.

        @return: fires with its answer; fails with L{Timeout<devp2p_tx.errors.Timeout>} 0.7 s after it was sent, with
            L{LocalProtocolError} if the node has no UDP endpoint, or with
            L{ServerStopped<devp2p_tx.errors.ServerStopped>}. Of all requests to one node only one is under way at a
            time. Cancelling it, as with all requests, does no more than no longer to wait.
        """
        return self._call(partial(self._core.ping, _contact(node)))

    def requestENR(self, node: Node) -> Deferred[Node]:
        """
        Ask a node for its record.

        @return: fires with the node as its newest record has it; fails as L{ping}, or with
            L{InvalidRecord<devp2p_tx.core.enr.record.InvalidRecord>}.
        """
        core, known = self._core, node.record
        return self._call(lambda now, unix_time: core.request_record(_contact(node), now, known))

    def findNode(self, node: Node, target: bytes) -> Deferred[list[Node]]:
        """
        Ask a node for nodes near C{target}, which means: at three distances from it.

        @param target: a node id, 32 bytes.
        @return: fires with up to some 16 nodes that may be contacted; fails as L{ping}.
        """
        if len(target) != TARGET_SIZE:
            return fail(LocalProtocolError(f"a target has {TARGET_SIZE} bytes, not {len(target)}"))
        return self.findDistances(node, lookup_distances(target, node.node_id))

    def findDistances(self, node: Node, distances: Iterable[int]) -> Deferred[list[Node]]:
        """
        Ask a node for nodes at logarithmic distances from it.

        @param distances: 0..256, 0 being the node itself.
        @return: as L{findNode}.
        """
        core, wanted = self._core, tuple(distances)
        return self._call(lambda now, unix_time: core.find_node(_contact(node), wanted, now))

    def talk(self, node: Node, protocol: bytes, message: bytes) -> Deferred[bytes]:
        """
        Send a request of another protocol.

        @param protocol: its name.
        @return: fires with the answer, which is empty if the node does not know the protocol; fails as L{ping}, or with
            L{LocalProtocolError} if the request is too long for a packet.
        """
        core = self._core
        return self._call(lambda now, unix_time: core.talk(_contact(node), protocol, message, now))

    # -- other protocols ----------------------------------------------------------------------------------------------

    def registerTalk(self, protocol: bytes, callback: TalkCallback) -> None:
        """
        Answer the requests of another protocol, in the place of who did so before.

        @param protocol: its name.
        @param callback: is given each request, and returns the answer, or a Deferred of it. If it fails the answer is
            empty; the failure is logged. The Deferred is cancelled when discovery stops, and after 5 s; whoever asks
            waits for 0.7 s, or not much longer. Of all protocols 1024 are answered at one time; others wait for 0.4 s
            for one to end, and are dropped then.
        @raise TypeError: the name is no C{bytes}, and so of no protocol, or the callback cannot be called.
        """
        if not (isinstance(protocol, bytes) and callable(callback)):
            raise TypeError(f"a protocol has a name in bytes and a callback, not {protocol!r} and {callback!r}")
        self._core.register_talk(protocol, partial(self._talks.take, callback))

    def unregisterTalk(self, protocol: bytes) -> None:
        """No longer answer them, if they were."""
        self._core.unregister_talk(protocol)

    def _flush(self) -> None:
        if self.isRunning:
            self._pump()

    # -- what KademliaNode asks for -----------------------------------------------------------------------------------

    def _targetOf(self, key: PublicKey) -> bytes:
        return key.node_id

    def _newLookup(self, target: bytes) -> Lookup[Node]:
        return Lookup(target, self._local.node_id, self.table.closest(target))

    def _trackFailure(self, node: Node) -> None:
        if node.ip is not None:
            failures = self._store.findnode_failed(node.node_id, node.ip, v5=True)
            self.table.track_failure(node, failures, self.seconds())

    def _trackSuccess(self, node: Node) -> None:
        if node.ip is not None:
            self._store.findnode_succeeded(node.node_id, node.ip, v5=True)

    def _trackPong(self, node: Node) -> None:
        if node.ip is not None:
            self._store.pong_received(node.node_id, node.ip, int(self._unixTime()), v5=True)

    def _cancel(self, call: Any) -> None:
        self._outcomes.pop(call, None)
        self._core.cancel(call, self.seconds())
        self._pump()

    def _handle(self, event: Event) -> None:
        outcome = self._outcomes.pop(event.call, None)
        if outcome is None:
            return
        if isinstance(event, CallFailed):
            outcome.errback(event.error)
        elif isinstance(event, PingAnswered):
            outcome.callback(event.pong)
        elif isinstance(event, NodesFound):
            outcome.callback([Node.from_record(record, self._local.versions) for record in event.records])
        elif isinstance(event, RecordFound):
            outcome.callback(Node.from_record(event.record, self._local.versions))
        else:
            outcome.callback(event.message)

    def _handleCoreTimer(self, now: float, unixTime: float) -> None:
        self._core.handle_timer(now)


def _contact(node: Node) -> Contact:
    return Contact(node.node_id, node.ip, node.udp, node.public_key)
