"""
Node discovery version 4 on a UDP socket: the core is fed, its events are acted on, its datagrams are sent.

A node that writes to us enters the table when it has proved its address. What there is to be done but for that is in
L{devp2p_tx.net.discovery.kademlia}.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Unpack

from twisted.internet.defer import Deferred, fail

from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.discv4.clock import ClockOffset
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
from devp2p_tx.core.discv4.storedproofs import StoredProofs
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.kademlia.lookup import Lookup
from devp2p_tx.errors import LocalProtocolError
from devp2p_tx.interfaces import NodeStore
from devp2p_tx.net.discovery.clock import ClockWatch
from devp2p_tx.net.discovery.kademlia import KademliaNode, Settings
from devp2p_tx.net.discovery.udp import DatagramEdge

#: Bytes of the key that a FINDNODE looks for.
TARGET_SIZE = 64


class DiscoveryV4(KademliaNode):
    """
    One node's discovery v4, from L{start} to C{stop}; it cannot be started again.
    """

    name = "discv4"
    targetSize = TARGET_SIZE

    def __init__(
        self,
        local: LocalRecord,
        reactor: Any,
        store: NodeStore,
        *,
        ntpServer: str | None = None,
        cryptography: Cryptography | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        """
        @param local: our record; its key is ours, and it learns our external endpoint from others.
        @param reactor: C{IReactorUDP}, C{IReactorTime} and C{IReactorPluggableNameResolver}.
        @param store: what is remembered over a restart. Its owner has it written down, and closes it.
        @param ntpServer: name of the time server with which our clock is compared, such as C{pool.ntp.org}; C{None}
            for none.
        @param cryptography: who signs and verifies; by default it is done with the key of C{local}.
        @param settings: see L{Settings}.
        """
        super().__init__(local, reactor, store, settings)
        self._clock = ClockWatch(
            reactor, ntpServer, self.seconds, self._unixTime, self._random.randbytes, self._metrics
        )
        self._proofs = StoredProofs(store)
        neighbours = Neighbours(self.table)
        self._core = Discv4(
            local,
            neighbours,
            policy=self._policy,
            outgoing=settings.get("outgoing"),
            proofs=self._proofs,
            limiter=self._limiter,
            cryptography=cryptography,
        )
        self._speak(self._core, neighbours)

    def _attach(self, edge: DatagramEdge) -> None:
        edge.handlers.insert(0, self)  # before discv5, which has to decrypt to see that a packet is none of its own
        self._clock.start()

    def stop(self) -> Deferred[None]:
        """
        Fail everything that is under way with L{ServerStopped<devp2p_tx.errors.ServerStopped>}, and close the socket.

        @return: fires when it is closed. Calling it again, or on what was never started, does no harm.
        """
        self._clock.stop()
        return super().stop()

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

    def _targetOf(self, key: PublicKey) -> bytes:
        return key.to_bytes()

    def _newLookup(self, target: bytes) -> Lookup[Node]:
        digest = keccak256(target)
        return Lookup(digest, self._local.node_id, self.table.closest(digest), wire_target=target)

    def _trackFailure(self, node: Node) -> None:
        if node.ip is not None:
            self.table.track_failure(node, self._proofs.failures(node.node_id, node.ip), self.seconds())

    # -- what comes in, what goes out ---------------------------------------------------------------------------------

    def _cancel(self, call: Call) -> None:
        self._core.cancel(call)
        self._outcomes.pop(call, None)

    def _handle(self, event: Event) -> None:
        if isinstance(event, ClockSuspect):
            self._clock.suspect()
            return
        if isinstance(event, ClockOffset):
            self._clock.nodesShow(event)
            return
        outcome = self._outcomes.pop(event.call, None)
        if outcome is None:
            return
        if isinstance(event, CallFailed):
            outcome.errback(event.error)
        elif isinstance(event, PingAnswered):
            outcome.callback(event.pong)
        elif isinstance(event, NodesFound):
            outcome.callback(list(event.nodes))
        else:
            outcome.callback(Node.from_record(event.record, self._local.versions))

    def _handleCoreTimer(self, now: float, unixTime: float) -> None:
        self._core.handle_timer(now, unixTime)
