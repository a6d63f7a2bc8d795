"""
Tests of what a user orders, in every state that the other side may be in when the order arrives: does it hold
afterwards, and is nothing left of what was under way?
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError

from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import DisconnectReason, LocalProtocolError, PeerDisconnected, PeerRejected, ServerStopped
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.node.peer import Conn, ConnectionFlags, Peer
from devp2p_tx.node.server import Server
from devp2p_tx.node.server import Stage as Checkpoint
from devp2p_tx.testing import ScriptedPeer, Stage
from tests.node.support import PORT, ServerTestCase, addressOf, node

REASON = DisconnectReason


class OrderTestCase(ServerTestCase):
    """Looks at what is left when all is over."""

    latency = 0.01

    def assertNothingUnderWay(self, server: Server) -> None:
        """No connection is being set up, and none takes a place or a slot."""
        plan = server._dialer.plan
        self.assertEqual((server._conns, server._dialer._dials, plan._dialing), (set(), set(), {}))
        self.assertEqual(len(plan.places), server.peerCount)
        self.assertNotIn(node(2).node_id, plan.arriving)

    def connected(self, server: Server, number: int = 2) -> Peer:
        """Node C{number}, as a peer that was dialed."""
        connecting = server.connect(node(number))
        self.moment()
        return self.successResultOf(connecting)


class TypeTests(OrderTestCase):
    """What is no node."""

    def test_at_once(self) -> None:
        """It is refused to the one that gave it, in a sentence that says what is wanted; the run loop sees nothing."""
        server = self.start(1)
        for taker in ("addPeer", "removePeer", "addTrustedPeer", "removeTrustedPeer", "connect"):
            for wrong in ("x", "enode://zzz", 42, None, b"x", node(2).node_id, [node(2)]):
                error = self.assertRaises(TypeError, getattr(server, taker), wrong)
                self.assertIn(f"{taker} takes a Node, not {wrong!r}", str(error))
        self.assertTrue(server._loop.isIdle)
        for taker in ("addPeer", "connect"):  # before the start and after the stop as well
            self.assertRaises(TypeError, getattr(self.make(3), taker), "x")


class ConnectTests(OrderTestCase):
    """C{connect()}."""

    def test_a_peer(self) -> None:
        """Of a node that is a peer it fires at once, whoever dialed, and no connection is made."""
        self.start(2)
        server = self.start(1)
        peer = self.connected(server)
        connections = len(self.network.connections)
        self.assertIs(self.successResultOf(server.connect(node(2))), peer)
        self.assertIs(self.successResultOf(server.connect(node(2, tcp=9))), peer)
        self.call(3, 1)
        called = self.successResultOf(server.connect(node(3)))
        self.assertTrue(called.inbound)
        self.moment()
        self.assertEqual((server.metrics.value("dials"), len(self.network.connections)), (1, connections + 2))

    def test_leaving(self) -> None:
        """A peer that is being disconnected is none: it is dialed when it is gone."""
        self.start(2)
        server = self.start(1)
        first = self.connected(server)
        first.disconnect()
        connecting = server.connect(node(2))
        self.assertNoResult(connecting)
        self.moment(2)
        self.assertIsNot(self.successResultOf(connecting), first)
        self.assertEqual(self.kinds(1), ["add", "drop", "add"])

    def test_leaving_at_the_stop(self) -> None:
        """Nor is it dialed if the server is stopped meanwhile."""
        self.start(2)
        server = self.start(1)
        self.connected(server).disconnect()
        connecting = server.connect(node(2))
        server.stopService()
        self.moment(2)
        self.failureResultOf(connecting, ServerStopped)
        self.assertEqual(server.metrics.value("dials"), 1)

    def test_no_dial(self) -> None:
        """C{noDial} holds for it, too, and it says so."""
        self.start(2)
        server = self.start(1, noDial=True)
        error = self.failureResultOf(server.connect(node(2)), LocalProtocolError).value
        self.assertIn("noDial", str(error))
        self.moment(100)
        self.assertEqual((server.metrics.value("dials"), self.numbers(1)), (0, []))

    def test_before_the_start(self) -> None:
        """It says which of the two it is: not started, or stopped."""
        server = self.make(1)
        before = self.failureResultOf(server.connect(node(2)), ServerStopped).value
        server.stopService()
        after = self.failureResultOf(server.connect(node(2)), ServerStopped).value
        self.assertEqual((str(before), str(after)), ("the server is not started", "server stopped"))

    def test_no_places(self) -> None:
        """Where we have no place it says so, and no connection is made; for a trusted node there is one."""
        self.start(2)
        server = self.start(1, maxPeers=0)
        connecting = server.connect(node(2))
        error = self.failureResultOf(connecting, PeerRejected).value
        self.assertEqual(error.reason, REASON.TOO_MANY_PEERS)
        self.assertIn("maxPeers is 0", str(error))
        self.assertEqual(server.metrics.value("dials"), 0)
        server.addTrustedPeer(node(2))
        self.assertEqual(self.connected(server).id, node(2).node_id.hex())

    def test_full(self) -> None:
        """Likewise where all places are taken, with the numbers; the other side's refusal reads differently."""
        self.start(2)
        server = self.start(1, maxPeers=1, dialRatio=1)
        self.connected(server)
        error = self.failureResultOf(server.connect(node(3)), PeerRejected).value
        self.assertEqual(str(error), "too many peers: this node has 1 of maxPeers=1, not counting trusted nodes")
        self.start(4, maxPeers=0)
        other = self.start(5)
        connecting = other.connect(node(4))
        self.moment()
        self.assertEqual(str(self.failureResultOf(connecting, PeerDisconnected).value), "too many peers")

    def test_ourselves(self) -> None:
        """No connection is made to ourselves."""
        server = self.start(1)
        self.assertEqual(self.failureResultOf(server.connect(node(1))).value.reason, REASON.SELF)
        self.assertEqual(server.metrics.value("dials"), 0)

    def test_being_dialed(self) -> None:
        """A dial that is under way to the same address is not repeated: all that ask have its end."""
        self.start(2)
        self.host(3)
        server = self.start(1)
        for number, end in ((2, None), (3, ConnectionRefusedError)):
            asking = [server.connect(node(number)) for _ in range(3)]
            self.moment()
            if end is None:
                self.assertEqual([self.successResultOf(each) for each in asking], server.peers() * 3)
            else:
                for each in asking:
                    self.failureResultOf(each, end)
        self.assertEqual(server.metrics.value("dials"), 2)

    def test_static_being_dialed(self) -> None:
        """Also if it is the dial of a static node, which cancelling does not end; another address is dialed beside."""
        self.answer(2, Stage.CONNECTED)
        server = self.start(1, staticNodes=[node(2)])
        asking = server.connect(node(2))
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertEqual((server.metrics.value("dials"), len(server._conns)), (1, 1))
        there = self.scripted(2)
        there.listen(self.host(3), PORT)
        elsewhere = server.connect(node(2, ip=node(3).ip))
        self.moment()
        self.successResultOf(elsewhere)
        self.moment(10)
        self.assertEqual((self.numbers(1), self.kinds(1)), ([2], ["add"]))
        self.assertNothingUnderWay(server)

    def test_cancelled_by_one_of_two(self) -> None:
        """A dial goes on as long as one waits for it; the last one that cancels ends it."""
        self.answer(2, Stage.HANDSHAKE)
        server = self.start(1)
        one, two = server.connect(node(2)), server.connect(node(2))
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.moment()
        self.assertEqual(len(server._conns), 1)
        two.cancel()
        self.failureResultOf(two, CancelledError)
        self.moment(2)
        self.assertNothingUnderWay(server)

    def test_calls_us_meanwhile(self) -> None:
        """If the node becomes a peer by a connection of its own, that is the answer, however our dial ends."""
        self.answer(2, Stage.CONNECTED)
        server = self.start(1)
        connecting = server.connect(node(2))
        caller = self.scripted(2, Stage.HANDSHAKE, remote=server.config.key)
        caller.connect(self.host(3), addressOf(1), PORT)
        self.moment(4.98)
        self.assertNoResult(connecting)
        caller.sendHello()
        self.moment(1)
        self.assertEqual([self.successResultOf(connecting)], server.peers())

    def test_order_of_orders(self) -> None:
        """Of two orders in one turn the later holds: connect after removePeer, removePeer after connect."""
        self.start(2)
        server = self.start(1)
        first = self.connected(server)
        removing, connecting = server.removePeer(node(2)), server.connect(node(2))
        self.moment(2)
        self.successResultOf(removing)
        self.assertIsNot(self.successResultOf(connecting), first)
        self.assertEqual(self.numbers(1), [2])
        connecting, removing = server.connect(node(2)), server.removePeer(node(2))
        self.moment(2)
        self.assertEqual((self.successResultOf(removing), self.numbers(1)), (None, []))
        connecting, removing = server.connect(node(2)), server.removePeer(node(2))
        self.moment(2)
        self.failureResultOf(connecting, PeerDisconnected)
        self.assertEqual((self.successResultOf(removing), self.numbers(1)), (None, []))


class EveryMomentTests(OrderTestCase):
    """An order at each of many moments between the dial and the peer, for both directions."""

    #: Long enough for a whole set-up, in steps that are shorter than the way from one node to the other.
    steps = tuple(step * 0.002 for step in range(60))

    def at(self, number: int, seconds: float, inbound: bool) -> tuple[Server, Deferred[Peer] | None]:
        """A server of its own, that dials node C{number}, or is dialed by it, after so many seconds."""
        server = self.start(number)
        other = self.make(number + 1)
        other.startService()
        connecting: Deferred[Peer] | None = None
        if inbound:
            other.connect(node(number)).addErrback(lambda _: None)
        else:
            connecting = server.connect(node(number + 1))
            connecting.addErrback(lambda failure: failure.trap(Exception) and None)
        self.network.advance(seconds)
        return server, connecting

    def pairs(self) -> list[tuple[int, float, bool]]:
        """The numbers, moments and directions."""
        moments = [(seconds, inbound) for inbound in (False, True) for seconds in self.steps[::4]]
        return [(2 * index + 1, *each) for index, each in enumerate(moments)]

    def settled(self, server: Server, number: int) -> None:
        """Nothing is left of what was under way."""
        plan = server._dialer.plan
        self.assertEqual((server._conns, server._dialer._dials, plan._dialing), (set(), set(), {}))
        self.assertEqual(len(plan.places), server.peerCount)
        self.assertNotIn(node(number + 1).node_id, plan.arriving)

    def test_remove(self) -> None:
        """After C{removePeer} the node is no peer, and stays none, whatever was under way."""
        for number, seconds, inbound in self.pairs():
            server, _ = self.at(number, seconds, inbound)
            server.addPeer(node(number + 1))
            removing = server.removePeer(node(number + 1))
            self.moment(2)
            self.successResultOf(removing)
            when = f"{seconds} s, inbound: {inbound}"
            self.assertEqual([peer for peer in server.peers() if not peer.inbound], [], when)
            self.moment(2)
            self.settled(server, number)

    def test_cancel(self) -> None:
        """A C{connect()} that is cancelled at any moment leaves nothing, or a peer if it has fired already."""
        for number, seconds, inbound in self.pairs():
            if inbound:
                continue
            server, connecting = self.at(number, seconds, inbound)
            assert connecting is not None
            hadFired = connecting.called
            connecting.cancel()
            self.moment(2)
            self.settled(server, number)
            self.assertEqual(server.peerCount, int(hadFired), seconds)

    def test_stop(self) -> None:
        """So does a server that stops."""
        for number, seconds, inbound in self.pairs():
            server, _ = self.at(number, seconds, inbound)
            stopping = server.stopService()
            self.moment(2)
            self.successResultOf(stopping)
            self.settled(server, number)

    def test_trust(self) -> None:
        """Trust that is given, or taken, at any moment is what the peer has in the end."""
        for number, seconds, inbound in self.pairs():
            server, _ = self.at(number, seconds, inbound)
            server.addTrustedPeer(node(number + 1))
            self.moment(0.1)
            server.removeTrustedPeer(node(number + 1))
            server.addTrustedPeer(node(number + 1))
            self.moment(2)
            self.assertEqual([peer.trusted for peer in server.peers()], [True], (seconds, inbound))
            self.assertEqual(server._places.taken, 0)
            server.removeTrustedPeer(node(number + 1))
            self.moment()
            self.assertEqual(([peer.trusted for peer in server.peers()], server._places.taken), ([False], 1))
            self.settled(server, number)

    def test_add(self) -> None:
        """A node that is made static at any moment is one peer, and is dialed again when it drops."""
        for number, seconds, inbound in self.pairs():
            server, _ = self.at(number, seconds, inbound)
            server.addPeer(node(number + 1))
            self.moment(2)
            self.assertEqual(server.peerCount, 1, (seconds, inbound))
            self.servers[number + 1].peers()[0].disconnect()
            self.moment(75)
            self.assertEqual(server.peerCount, 1, (seconds, inbound))
            self.settled(server, number)

    def test_vanishes(self) -> None:
        """So does a node that vanishes, at any moment, without a word."""
        for number, seconds, inbound in self.pairs():
            server, _ = self.at(number, seconds, inbound)
            for transport in list(self.servers[number + 1]._transports):
                if transport.transport is not None:
                    transport.transport.abortConnection()
            self.moment(2)
            self.settled(server, number)


class CheckpointTests(OrderTestCase):
    """In the very turn of a checkpoint."""

    latency = 0.0

    def test_cancelled(self) -> None:
        """A dial that is given up while the run loop is about to answer a checkpoint leaves nothing."""
        for number, asked in ((1, "POST_HANDSHAKE"), (2, "ADD_PEER")):
            server = self.start(10 * number)
            self.start(10 * number + 1)
            dialing: list[Deferred[Peer]] = []
            self.patch(server, "checkpoint", partial(self.cancelling, server, server.checkpoint, asked, dialing))
            dialing.append(server.connect(node(10 * number + 1)))
            self.moment(2)
            self.failureResultOf(dialing[0], CancelledError)
            self.assertNothingUnderWay(server)
            self.assertEqual(server.peerCount, 0)

    def cancelling(
        self,
        server: Server,
        ask: Callable[[Conn, Checkpoint], Deferred[None]],
        asked: str,
        dialing: list[Deferred[Peer]],
        conn: Conn,
        stage: Checkpoint,
    ) -> Deferred[None]:
        """Ask, and cancel the dial in the turn of the answer, just before that."""
        if stage.name == asked:
            server._reactor.callLater(0, dialing[0].cancel)
        return ask(conn, stage)

    def test_inbound(self) -> None:
        """Nor does an inbound connection, so that its node is dialed like any other."""
        server = self.start(1)
        self.start(2)
        setUp = server.setupConn
        cancelled: list[Deferred[Peer]] = []

        def setupConn(transport: RLPxProtocol, flags: ConnectionFlags, dialed: Node | None) -> Deferred[Peer]:
            setting = setUp(transport, flags, dialed)
            transport.whenHandshaken().addCallback(lambda _: setting.cancel())
            cancelled.append(setting)
            return setting

        self.patch(server, "setupConn", setupConn)
        for _ in range(3):
            self.call(3, 1, Stage.HANDSHAKE)
        self.assertEqual(len(cancelled), 3)
        self.assertNothingUnderWay(server)
        self.assertIsNone(server._dialer.plan.check(node(3), by_user=True))

    def test_a_mistake_of_ours(self) -> None:
        """A checkpoint that raises ends its connection, is logged, and leaves nothing."""
        server = self.start(1)
        self.patch(server, "_launch", lambda conn, matches: [][0])
        peer = self.call(2, 1)
        self.moment(2)
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)
        self.assertTrue(peer.ended)
        self.assertNothingUnderWay(server)


class StaticTests(OrderTestCase):
    """Static nodes, and the limits."""

    latency = 0.0

    def test_dropped(self) -> None:
        """The least case: three peers at most, two static nodes; each that drops is a peer again."""
        others = [self.start(number) for number in (2, 3)]
        self.start(1, maxPeers=3, staticNodes=[node(2), node(3)])
        for other in others * 2:
            self.moment(50)
            other.peers()[0].disconnect(REASON.TOO_MANY_PEERS)
            self.moment(36)
            self.assertEqual(self.numbers(1), [2, 3])

    def test_many(self) -> None:
        """Forty static nodes are all peers, with default limits; so is one that was reset."""
        numbers = list(range(2, 42))
        for number in numbers:
            self.start(number)
        self.start(1, staticNodes=[node(number) for number in numbers])
        self.assertEqual(self.numbers(1), numbers)
        self.moment(100)
        self.servers[7].peers()[0]._transport.transport.abortConnection()
        self.moment(36)
        self.assertEqual(self.numbers(1), numbers)

    def test_full_of_strangers(self) -> None:
        """A static node gets a place from the youngest stranger, which is told "too many peers"; no limit is passed."""
        server = self.start(1, maxPeers=3, dialRatio=3, trustedNodes=[node(6)])
        self.answer(4)
        older, younger = self.call(2, 1), self.call(3, 1)
        self.connected(server, 4)
        self.call(6, 1)
        self.answer(5)
        server.addPeer(node(5))
        self.moment(3)
        self.assertEqual(self.numbers(1), [2, 3, 5, 6])
        self.assertEqual([older.ended, younger.ended], [False, False])
        self.assertEqual(self.call(7, 1).disconnectReason, REASON.TOO_MANY_PEERS)
        server.addPeer(node(8))
        self.call(8, 1)
        self.moment(2)
        self.assertEqual((self.numbers(1), younger.disconnectReason), ([2, 5, 6, 8], REASON.TOO_MANY_PEERS))

    def test_more_than_places(self) -> None:
        """Static nodes never give way to each other; one that waits is dialed when another leaves."""
        for number in (2, 3, 4):
            self.start(number)
        server = self.start(1, maxPeers=2, staticNodes=[node(number) for number in (2, 3, 4)])
        there = self.numbers(1)
        self.assertEqual((len(there), server.metrics.value("dials")), (2, 2))
        [waiting] = {2, 3, 4} - set(there)
        self.moment(100)
        self.assertEqual(self.numbers(1), there)
        server.removePeer(node(there[0]))
        self.moment(3)
        self.assertEqual(self.numbers(1), sorted([there[1], waiting]))

    def test_static_and_trusted_to_each_other(self) -> None:
        """Two full nodes meet, whichever dials, and whatever places they have."""
        for number, other in ((2, 1), (1, 2)):
            self.start(number, maxPeers=1, noDial=number == 2, staticNodes=[node(other)], trustedNodes=[node(other)])
            self.call(10 + number, number)
        self.moment(3)
        self.assertEqual((self.numbers(1), self.numbers(2)), ([2], [1, 12]))

    def test_without_places(self) -> None:
        """Also if there are none at all."""
        for number, other in ((1, 2), (2, 1)):
            self.start(number, maxPeers=0, staticNodes=[node(other)], trustedNodes=[node(other)])
        self.moment(40)
        self.assertEqual((self.numbers(1), self.numbers(2)), ([2], [1]))

    def test_two_addresses(self) -> None:
        """Of a node at several addresses all are tried in one dial, the newest first."""
        there: ScriptedPeer = self.scripted(2)
        there.listen(self.host(5), PORT)
        self.network.host(addressOf(3))
        self.start(4)  # another key
        nodes = [node(2, ip=node(number).ip) for number in (5, 4, 3)]
        server = self.start(1, staticNodes=nodes)
        self.moment(6)
        self.assertEqual((self.numbers(1), server.metrics.value("dials")), ([2], 1))
        self.assertEqual(server.peers()[0].node, nodes[0])

    def test_moved(self) -> None:
        """C{addPeer} with another address dials that at once, though the node failed a moment before."""
        self.network.host(addressOf(2))
        server = self.start(1, staticNodes=[node(2)])
        self.scripted(2).listen(self.host(5), PORT)
        server.addPeer(node(2, ip=node(5).ip))
        self.moment()
        self.assertEqual(self.numbers(1), [2])

    def test_moved_while_connected(self) -> None:
        """A peer stays; when it drops it is dialed at the new address."""
        first = self.start(2)
        self.scripted(2).listen(self.host(5), PORT)
        server = self.start(1, staticNodes=[node(2)])
        self.moment(60)
        server.addPeer(node(2, ip=node(5).ip))
        self.moment(10)
        self.assertEqual(self.kinds(1), ["add"])
        first.peers()[0].disconnect()
        self.moment(2)
        self.assertEqual(server.peersInfo()[0]["network"]["remoteAddress"], f"{addressOf(5)}:{PORT}")

    def test_answers_no(self) -> None:
        """A node that is reached, and says no, is not tried at its other addresses."""
        self.start(2, maxPeers=0)
        other = self.answer(5)
        server = self.start(1, staticNodes=[node(2, ip=node(5).ip), node(2)])
        self.moment(10)
        self.assertEqual((server.metrics.value("dials"), other.data), (1, b""))

    def test_stopped_between_addresses(self) -> None:
        """Nor is one when the server stops while the first is tried."""
        other = self.answer(5)
        server = self.start(1, staticNodes=[node(2, ip=node(5).ip), node(2, ip=node(99).ip)])
        self.moment(3)
        stopping = server.stopService()
        self.moment(3)
        self.successResultOf(stopping)
        self.assertEqual(other.data, b"")


class RemovedTests(OrderTestCase):
    """C{removePeer} of what is no peer yet."""

    latency = 0.0

    def test_being_dialed(self) -> None:
        """The dial is given up; the other side is told, and whoever waits for it."""
        for number, does in ((2, Stage.CONNECTED), (3, Stage.HANDSHAKE)):
            server = self.start(10 + number)
            peer = self.answer(number, does)
            connecting = server.connect(node(number))
            server.addPeer(node(number))
            self.moment()
            removing = server.removePeer(node(number))
            self.moment(2)
            self.successResultOf(removing)
            error = self.failureResultOf(connecting, PeerDisconnected).value
            self.assertEqual((error.reason, error.remote), (REASON.REQUESTED, False))
            self.assertTrue(peer.ended)
            self.assertIn(peer.disconnectReason, (None, REASON.REQUESTED))
            self.assertNothingUnderWay(server)

    def test_inbound(self) -> None:
        """So is a connection of its own that is being set up; it may come again."""
        server = self.start(1)
        peer = self.call(2, 1, Stage.HANDSHAKE)
        self.successResultOf(self.removed(server, 2))
        self.assertEqual((peer.disconnectReason, self.numbers(1)), (REASON.REQUESTED, []))
        self.assertNothingUnderWay(server)
        self.call(2, 1)
        self.assertEqual(self.numbers(1), [2])

    def removed(self, server: Server, number: int) -> Deferred[None]:
        removing = server.removePeer(node(number))
        self.moment(2)
        return removing

    def test_leaving(self) -> None:
        """A peer that is leaving already is waited for."""
        self.start(2)
        server = self.start(1)
        peer = self.connected(server)
        peer.disconnect()
        removing = server.removePeer(node(2))
        peer.disconnect()
        self.moment(2)
        self.successResultOf(removing)
        self.assertEqual(self.kinds(1), ["add", "drop"])

    def test_others_go_on(self) -> None:
        """What is under way with other nodes goes on."""
        self.answer(3)
        server = self.start(1)
        connecting = server.connect(node(3))
        server.removePeer(node(2))
        self.moment(2)
        self.successResultOf(connecting)
