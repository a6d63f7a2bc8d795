"""
Tests of the two checkpoints, and of the run loop that answers them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport

from devp2p_tx.core.p2p.messages import DISCONNECT, HELLO
from devp2p_tx.errors import DisconnectReason, PeerRejected, ServerStopped
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.node.peer import Conn, ConnectionFlags
from devp2p_tx.node.server import Server, Stage
from devp2p_tx.testing import Stage as Does
from tests.node.support import MOMENT, ServerTestCase, node


class CheckpointTestCase(ServerTestCase):
    """A server whose checkpoints are watched."""

    def watch(self, server: Server) -> list[tuple[Conn, Stage]]:
        """Note each checkpoint when it is answered."""
        ask, answered = server.checkpoint, []

        def checkpoint(conn: Conn, stage: Stage) -> Deferred[None]:
            cont = ask(conn, stage)
            self.assertIs(cont, conn.cont)
            self.assertNoResult(cont)
            cont.addBoth(note, conn, stage)
            return cont

        def note(result: Any, conn: Conn, stage: Stage) -> Any:
            answered.append((conn, stage))
            self.answered(conn, stage)
            return result

        self.patch(server, "checkpoint", checkpoint)
        return answered

    def answered(self, conn: Conn, stage: Stage) -> None:
        """A checkpoint has been answered."""

    def delay(self, server: Server, stage: Stage, seconds: float) -> None:
        """Have the connections wait before one of the checkpoints."""
        ask = server.checkpoint

        def checkpoint(conn: Conn, asked: Stage) -> Deferred[None]:
            if asked is not stage:
                return ask(conn, asked)
            return deferLater(self.host(1), seconds).addCallback(lambda _: ask(conn, asked))

        self.patch(server, "checkpoint", checkpoint)


class AnswerTests(CheckpointTestCase):
    """L{Conn.cont}."""

    def answered(self, conn: Conn, stage: Stage) -> None:
        server = self.servers[1]
        if stage is Stage.POST_HANDSHAKE:
            self.assertEqual((self.numbers(1), conn.peer), ([], None))
        else:
            self.assertEqual(self.numbers(1), [2])
            self.assertIs(server.peers()[0], conn.peer)
            self.assertEqual(self.kinds(1), ["add"])
            self.assertTrue(self.echo(1).protocols[0].connected)
            self.assertEqual(server._dialer.plan.is_static(node(2).node_id), False)
            self.assertIsNotNone(server._dialer.plan.check(node(2)))

    def test_after_insertion(self) -> None:
        """It fires after all is done: the peer is there, subscribers and capabilities know."""
        answered = self.watch(self.start(1))
        self.call(2, 1)
        self.assertEqual([stage for _, stage in answered], [Stage.POST_HANDSHAKE, Stage.ADD_PEER])
        self.assertEqual(self.numbers(1), [2])

    def test_dialed(self) -> None:
        """A connection that we dialled passes the same two."""
        answered = self.watch(self.start(1))
        self.answer(2)
        self.servers[1].addPeer(node(2))
        self.moment()
        self.assertEqual([stage for _, stage in answered], [Stage.POST_HANDSHAKE, Stage.ADD_PEER])

    def test_refused(self) -> None:
        """It fails with the reason; there is no second checkpoint then."""
        server = self.start(1, maxPeers=0)
        answered = self.watch(server)
        self.call(2, 1)
        self.assertEqual([stage for _, stage in answered], [Stage.POST_HANDSHAKE])
        self.assertEqual(self.numbers(1), [])

    def answer_of(self, server: Server, conn: Conn, stage: Stage) -> Deferred[None]:
        """Ask, and let the run loop turn."""
        cont = server.checkpoint(conn, stage)
        self.assertNoResult(cont)
        self.network.settle()
        return cont

    def conn(self) -> Conn:
        """A connection that got as far as the first checkpoint."""
        conn = Conn(Any, ConnectionFlags.INBOUND)
        conn.node = node(2)
        return conn

    def test_failures(self) -> None:
        """With L{PeerRejected}, or L{ServerStopped} where there is no server to answer."""
        server = self.start(1, maxPeers=0)
        failure = self.failureResultOf(self.answer_of(server, self.conn(), Stage.POST_HANDSHAKE), PeerRejected)
        self.assertEqual(failure.value.reason, DisconnectReason.TOO_MANY_PEERS)
        server.stopService()
        for stage in Stage:
            self.failureResultOf(self.answer_of(server, self.conn(), stage), ServerStopped)

    def test_not_started(self) -> None:
        """A server that has not been started has nobody to answer either."""
        server = self.make(1)
        self.failureResultOf(self.answer_of(server, self.conn(), Stage.POST_HANDSHAKE), ServerStopped)

    def test_set_up_without_server(self) -> None:
        """A connection that is handed to a server that does not run is closed."""
        server = self.make(1)
        transport = RLPxProtocol(server.config.key, self.host(1), self.network.random.randbytes)
        transport.makeConnection(StringTransport())
        setUp = server.setupConn(transport, ConnectionFlags.INBOUND, None)
        self.failureResultOf(setUp, ServerStopped)
        self.assertTrue(transport.closed)
        transport.connectionLost()

    def test_in_order(self) -> None:
        """Those who asked first are answered first, all in the next turn."""
        server = self.start(1)
        order: list[int] = []
        for number in range(5):
            server.checkpoint(self.conn(), Stage.POST_HANDSHAKE).addCallback(lambda _, n=number: order.append(n))
        self.assertEqual(order, [])
        self.network.settle()
        self.assertEqual(order, [0, 1, 2, 3, 4])

    def test_a_failing_request_stops_nobody(self) -> None:
        """What one request raises is logged, and those behind it are answered."""
        server = self.start(1)
        server._post(lambda: [][0])
        cont = self.answer_of(server, self.conn(), Stage.POST_HANDSHAKE)
        self.assertIsNone(self.successResultOf(cont))
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)


class RepeatedTests(CheckpointTestCase):
    """Between the two checkpoints the peer set changes, so both make the same checks."""

    def both(self, *numbers: int, **config: Any) -> list[list[int]]:
        """
        Let nodes pass the first checkpoint, all before any sends its Hello; then all send it at once.

        @return: the message codes that each has seen.
        """
        self.start(1, **config)
        hosts = iter(range(20, 30))
        peers = []
        for number in numbers:
            peer = self.scripted(number, Does.HANDSHAKE, remote=self.servers[1].config.key)
            peer.connect(self.host(next(hosts)), "10.0.0.1", 30303)
            peers.append(peer)
        self.moment()
        for peer in peers:
            self.assertEqual([code for code, _ in peer.messages], [HELLO])
        for peer in peers:
            peer.sendHello()
        self.moment()
        self.reasons = [peer.disconnectReason for peer in peers]
        return [[code for code, _ in peer.messages] for peer in peers]

    def test_same_node_twice(self) -> None:
        """Of two connections of one node the first to say Hello stays."""
        codes = self.both(2, 2)
        self.assertEqual(codes, [[HELLO], [HELLO, DISCONNECT]])
        self.assertEqual(self.reasons, [None, DisconnectReason.ALREADY_CONNECTED])
        self.assertEqual((self.numbers(1), self.kinds(1)), ([2], ["add"]))

    def test_last_place(self) -> None:
        """Of two nodes that saw one free place, one gets it."""
        codes = self.both(2, 3, maxPeers=1, noDial=True)
        self.assertEqual(codes, [[HELLO], [HELLO, DISCONNECT]])
        self.assertEqual(self.reasons, [None, DisconnectReason.TOO_MANY_PEERS])
        self.assertEqual(self.numbers(1), [2])

    def test_last_inbound_place(self) -> None:
        """Also if only the places for those who dial us have run out."""
        self.both(2, 3, 4, maxPeers=3, dialRatio=3)
        self.assertEqual(self.reasons, [None, None, DisconnectReason.TOO_MANY_PEERS])
        self.assertEqual(self.numbers(1), [2, 3])

    def test_trusted_meanwhile(self) -> None:
        """Trust that was given, or taken, in between counts at the second."""
        server = self.start(1, maxPeers=1, noDial=True, trustedNodes=[node(3)])
        self.delay(server, Stage.ADD_PEER, 6 * MOMENT)
        two, three, four = (self.call(number, 1) for number in (2, 3, 4))
        server.addTrustedPeer(node(4))
        server.removeTrustedPeer(node(3))
        self.moment(9 * MOMENT)
        self.assertEqual([peer.disconnectReason for peer in (two, three, four)], [None, 4, None])
        flags = {peer.node.node_id: str(peer.flags) for peer in server.peers()}
        self.assertEqual(flags, {node(2).node_id: "inbound", node(4).node_id: "trusted-inbound"})


class VanishingTests(CheckpointTestCase):
    """A peer that goes away between its Hello and the second checkpoint."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.start(1, maxPendingPeers=1)
        self.delay(self.server, Stage.ADD_PEER, 2 * MOMENT)

    def assertNobody(self) -> None:
        """Nobody is a peer, nobody ever was, nothing is left, and there is room for the next."""
        self.assertEqual((self.numbers(1), self.events[1], self.echo(1).protocols), ([], [], []))
        self.assertEqual(len(self.server._transports), 0)
        self.assertEqual(self.server._accepting.pending, 0)

    def test_closed(self) -> None:
        """It closed the connection."""
        peer = self.scripted(2, remote=self.server.config.key)
        peer.connect(self.host(2), "10.0.0.1", 30303)
        self.moment(0.1)
        peer.transport.abortConnection()
        self.moment(3)
        self.assertNobody()

    def test_disconnected(self) -> None:
        """It said so; the connection ends a moment later."""
        peer = self.scripted(2, remote=self.server.config.key)
        peer.connect(self.host(2), "10.0.0.1", 30303)
        self.moment(0.1)
        peer.sendDisconnect(DisconnectReason.TOO_MANY_PEERS)
        peer.stopReading()
        self.moment(3)
        self.assertNobody()
        failures = dict.fromkeys(labels for name, labels, _ in self.server.metrics if name == "handshake_failures")
        self.assertEqual(
            list(failures), [(("direction", "inbound"), ("reason", "they: too many peers"), ("stage", "addpeer"))]
        )

    def test_dialed(self) -> None:
        """One that we dialled: the dial fails with its reason, and is tried again."""
        peer = self.answer(2)
        connecting = self.server.connect(node(2))
        self.moment(0.1)
        peer.sendDisconnect(DisconnectReason.USELESS_PEER)
        self.moment(3)
        self.assertEqual(self.failureResultOf(connecting).value.reason, DisconnectReason.USELESS_PEER)
        self.assertNobody()

    def test_server_stops(self) -> None:
        """The server stops meanwhile: the peer is told so."""
        peer = self.call(2, 1)
        self.assertIsNone(peer.disconnectReason)
        self.server.stopService()
        self.moment(3)
        self.assertEqual(peer.disconnectReason, DisconnectReason.CLIENT_QUITTING)
        self.assertNobody()
