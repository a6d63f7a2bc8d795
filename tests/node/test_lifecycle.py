"""
Tests of the Server's start and stop.
"""

from __future__ import annotations

import gc
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogLevel, formatEvent

from devp2p_tx.errors import DisconnectReason, InvalidAddress, LocalProtocolError, ServerStopped
from devp2p_tx.net.rlpx.protocol import DISCONNECT_TIMEOUT
from devp2p_tx.node import listeners as listenersModule
from devp2p_tx.node import server as serverModule
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.server import Server
from devp2p_tx.testing import Stage
from tests.net.proxy.torcontrol import TorControlPort
from tests.node.slow import SlowEndpoint
from tests.node.support import PORT, ServerTestCase, addressOf, keyOf, node

QUITTING = DisconnectReason.CLIENT_QUITTING


class StartTests(ServerTestCase):
    """L{Server.startService}."""

    def test_listens(self) -> None:
        """When it fires the port is open, and the node knows where it is."""
        server = self.make(1)
        self.assertFalse(server.isRunning)
        self.assertEqual((str(server.self().ip), server.self().tcp), ("127.0.0.1", 0))
        self.successResultOf(server.startService())
        self.assertTrue(server.isRunning and server.running)
        self.assertEqual((str(server.self().ip), server.self().tcp), ("127.0.0.1", PORT))
        self.call(2, 1)
        self.assertEqual(self.numbers(1), [2])

    def test_any_port(self) -> None:
        """Of port 0 the system makes a real one."""
        server = self.start(1, listen=0)
        self.assertGreater(server.self().tcp, 1024)

    def test_one_address(self) -> None:
        """An endpoint names the address at which it can be reached."""
        server = self.start(1, listen=f"tcp:30304:interface={addressOf(1)}")
        self.assertEqual((str(server.self().ip), server.self().tcp), (addressOf(1), 30304))
        self.assertEqual(server.nodeInfo()["listenAddr"], f"{addressOf(1)}:30304")

    def test_without_listening(self) -> None:
        """A node may only dial."""
        self.start(2)
        server = self.start(1, listen=None, staticNodes=[node(2)])
        self.assertEqual((server.self().tcp, server.nodeInfo()["listenAddr"]), (0, ""))
        self.assertEqual(self.numbers(1), [2])

    def test_idle(self) -> None:
        """A node that has no peers by itself says so, and what to set; C{ServerConfig(key)} alone is one."""
        said: list[str] = []
        self.patch(serverModule._log, "observer", lambda event: said.append(formatEvent(event)))
        for number, config, words in [
            (1, {"listen": None}, "listens nowhere and knows no node to dial"),
            (2, {"listen": None, "noDial": True, "staticNodes": [node(9)]}, "neither dial nor listen"),
            (3, {"listen": None, "maxPeers": 0}, "neither dial nor listen"),
            (4, {"listen": None, "staticNodes": [node(9)]}, None),
            (5, {"listen": None, "discovery": True}, None),
            (6, {"listen": PORT, "noDial": True}, None),
        ]:
            said.clear()
            self.start(number, **config)
            lines = [line for line in said if "this node" in line]
            self.assertEqual(len(lines), 0 if words is None else 1, lines)
            if words is not None:
                self.assertIn(words, lines[0])
                self.assertIn("set listen=", lines[0])
        said.clear()
        server = Server(ServerConfig(keyOf(7)), reactor=self.host(7))
        self.servers[7] = server
        self.successResultOf(server.startService())
        self.assertIn("set listen=", said[0])

    def test_once(self) -> None:
        """A server is not started twice: neither while it runs, nor after."""
        server = self.start(1)
        self.failureResultOf(server.startService(), LocalProtocolError)
        self.assertTrue(server.isRunning)
        server.stopService()
        self.failureResultOf(server.startService(), LocalProtocolError)
        self.moment(2)
        error = self.failureResultOf(server.startService(), LocalProtocolError).value
        self.assertEqual(str(error), "a Server runs once: make another")
        self.assertFalse(server.isRunning or server.running)

    def test_with_a_parent(self) -> None:
        """As part of an application it is started and stopped with it."""
        application, server = MultiService(), self.make(1)
        server.setServiceParent(application)
        application.startService()
        self.call(2, 1)
        self.assertEqual(self.numbers(1), [2])
        stopping = application.stopService()
        self.moment(2)
        self.successResultOf(stopping)


class FailedStartTests(ServerTestCase):
    """A start that fails."""

    def failedStart(self, **config: Any) -> BaseException:
        """Start a server with a static node and a subscriber, and return how it failed."""
        self.answer(2)
        server = self.make(1, staticNodes=[node(2)], **config)
        starting = server.startService()
        self.moment(2)
        error = self.failureResultOf(starting).value
        self.assertFalse(server.isRunning or server.running)
        self.assertEqual((self.events[1], server.metrics.value("dials")), ([], 0))
        self.assertEqual(self.host(1).getDelayedCalls(), [])
        self.failureResultOf(server.startService(), LocalProtocolError)
        self.successResultOf(server.stopService())
        return error

    def test_port_taken(self) -> None:
        """A port that another has: nothing is dialled, and nothing is left."""
        taken = self.host(1).listenTCP(PORT, Factory.forProtocol(Protocol))
        error = self.failedStart()
        assert isinstance(error, CannotListenError)
        self.assertIn(str(PORT), str(error))
        taken.stopListening()
        self.network.settle()
        self.start(1)

    def test_no_endpoint(self) -> None:
        """A description that means nothing."""
        error = self.failedStart(listen="carrier-pigeon:1")
        assert isinstance(error, InvalidAddress)
        self.assertIn("cannot listen on 'carrier-pigeon:1'", str(error))

    def test_endpoint_fails_later(self) -> None:
        """An endpoint that needs a while to find out."""
        endpoint = SlowEndpoint()
        self.patch(listenersModule, "serverEndpoint", lambda *arguments: endpoint)
        server = self.make(1)
        starting = server.startService()
        self.assertNoResult(starting)
        fail(OSError("no")).addBoth(endpoint.asked.callback)
        self.moment(2)
        self.failureResultOf(starting, OSError)
        self.assertFalse(server.isRunning)


class ParentTests(ServerTestCase):
    """A server in a C{MultiService}, which does not look at what C{startService} returns."""

    def setUp(self) -> None:
        super().setUp()
        self.parent = MultiService()
        self.said: list[dict[str, Any]] = []
        self.patch(serverModule._log, "observer", self.said.append)

    def sentences(self, level: LogLevel = LogLevel.critical) -> list[str]:
        """What was logged at a level."""
        return [formatEvent(event) for event in self.said if event["log_level"] is level]

    def child(self, number: int, **config: Any) -> Server:
        """A server with the parent."""
        server = self.make(number, **config)
        server.setServiceParent(self.parent)
        return server

    def test_port_taken(self) -> None:
        """It is logged at once: what, which setting, and what to do; and the others are started."""
        taken = self.host(1).listenTCP(PORT, Factory.forProtocol(Protocol))
        server, other = self.child(1), self.child(2)
        self.parent.startService()
        self.assertEqual(
            self.sentences(),
            [
                "this node cannot start, and what else runs in this process goes on: cannot listen on IPv4 TCP"
                f" 0.0.0.0:{PORT}: Address already in use (errno 98); another program, or another node, has this port:"
                " stop that, or choose another port (--listen, or ServerConfig(listen=...))"
            ],
        )
        self.moment()
        self.failureResultOf(server.whenStarted(), CannotListenError)
        self.successResultOf(other.whenStarted())
        self.assertEqual((server.isRunning, other.isRunning), (False, True))
        self.assertEqual(len(self.sentences()), 1)
        taken.stopListening()
        self.successResultOf(self.stopAll())

    def stopAll(self) -> Any:
        """Stop the parent."""
        stopping = self.parent.stopService()
        self.moment(2)
        return stopping

    def test_nothing_is_said_twice(self) -> None:
        """What was logged is no unhandled error as well, whenever the garbage is collected."""
        taken = self.host(1).listenTCP(PORT, Factory.forProtocol(Protocol))
        self.child(1)
        self.parent.startService()
        taken.stopListening()
        self.successResultOf(self.stopAll())
        del self.parent, self.servers[1]
        gc.collect()
        self.assertEqual((len(self.sentences()), self.flushLoggedErrors()), (1, []))

    def test_a_mistake(self) -> None:
        """What nobody expects is logged with its traceback."""
        endpoint = SlowEndpoint()
        self.child(1, listen=endpoint)
        self.parent.startService()
        endpoint.asked.errback(ZeroDivisionError("an endpoint's mistake"))
        self.moment()
        [event] = [event for event in self.said if event["log_level"] is LogLevel.critical]
        self.assertIn("an endpoint's mistake", formatEvent(event))
        self.assertIn("ZeroDivisionError", event["log_failure"].getTraceback())
        self.successResultOf(self.stopAll())

    def test_stopped_meanwhile(self) -> None:
        """A start that its user gave up is no failure."""
        self.child(1, listen=SlowEndpoint())
        self.parent.startService()
        self.successResultOf(self.stopAll())
        self.assertEqual(self.sentences(), [])

    def test_without_a_parent(self) -> None:
        """Its owner has the failure, and says what is to be said; who drops it finds it in the log at once."""
        taken = self.host(1).listenTCP(PORT, Factory.forProtocol(Protocol))
        gc.disable()
        self.addCleanup(gc.enable)
        server = self.make(1)
        server.startService()
        self.moment()
        self.assertEqual((self.sentences(), len(self.flushLoggedErrors(CannotListenError))), ([], 1))
        taken.stopListening()

    def test_two_servers(self) -> None:
        """Two of them are children of one parent, find each other, and have names if their owner gives them some."""
        one, two = self.make(1), self.make(2, staticNodes=[node(1)])
        two.setName("the second")  # type: ignore[no-untyped-call]
        for server in (one, two):
            server.setServiceParent(self.parent)
        self.parent.startService()
        self.moment()
        self.assertEqual((self.numbers(1), self.numbers(2)), ([2], [1]))
        self.assertIs(self.parent.getServiceNamed("the second"), two)
        self.successResultOf(self.stopAll())
        self.assertEqual((self.kinds(1), self.kinds(2)), (["add", "drop"], ["add", "drop"]))

    def test_when_started(self) -> None:
        """Everybody who asks is told, before and after; cancelling stops nothing."""
        endpoint = SlowEndpoint()
        server = self.child(1, listen=endpoint)
        before, cancelled = server.whenStarted(), server.whenStarted()
        self.parent.startService()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.assertNoResult(before)
        endpoint.asked.callback(self.host(1).listenTCP(PORT, endpoint.factory))
        for each in (before, server.whenStarted()):
            self.successResultOf(each)
        self.successResultOf(self.stopAll())

    def test_never_started(self) -> None:
        """A server that is stopped before it is started will not be."""
        server = self.make(1)
        waiting = server.whenStarted()
        server.stopService()
        self.failureResultOf(waiting, ServerStopped)


class OrdersBeforeTests(ServerTestCase):
    """Orders before the start come after what the configuration says."""

    def test_remove(self) -> None:
        """A static node of the configuration that is removed is never dialed."""
        self.start(2)
        server = self.make(1, staticNodes=[node(2)])
        removing = server.removePeer(node(2))
        self.moment()
        self.successResultOf(removing)
        server.startService()
        self.moment(100)
        self.assertEqual((self.numbers(1), server.metrics.value("dials")), ([], 0))

    def test_move(self) -> None:
        """Of two addresses that which was added is tried first."""
        self.start(2, listen=[PORT, PORT + 1])
        server = self.make(1, staticNodes=[node(2)])
        server.addPeer(node(2, tcp=PORT + 1))
        self.moment()
        server.startService()
        self.moment()
        [address] = [peer.remoteAddress for peer in server.peers()]
        self.assertEqual(address, IPv4Address("TCP", addressOf(2), PORT + 1))

    def test_trust(self) -> None:
        """A trusted node of the configuration that is trusted no longer is not let in."""
        server = self.make(1, maxPeers=0, trustedNodes=[node(2)])
        server.removeTrustedPeer(node(2))
        self.moment()
        server.startService()
        self.moment()
        self.call(2, 1)
        self.assertEqual(self.numbers(1), [])


class StopTests(ServerTestCase):
    """L{Server.stopService}."""

    def assertNothingLeft(self, number: int) -> None:
        """No port, no connection, no delayed call, no peer."""
        host, server = self.host(number), self.servers[number]
        self.assertEqual((host.getDelayedCalls(), host._ports), ([], {}))
        self.assertEqual([each for each in self.network.connections if each.reactor is host], [])
        self.assertEqual((server.peers(), server.peerCount, len(server._transports)), ([], 0, 0))
        self.assertFalse(server.isRunning or server.running)

    def stopped(self, server: Server) -> None:
        """Stop, and find that it took no longer than a Disconnect may."""
        stopping = server.stopService()
        self.moment(DISCONNECT_TIMEOUT)
        self.successResultOf(stopping)
        self.assertNothingLeft(1)

    def test_nothing_to_do(self) -> None:
        """Without connections it takes no time at all."""
        server = self.start(1)
        stopping = server.stopService()
        self.assertNoResult(stopping)
        self.network.settle()
        self.successResultOf(stopping)
        self.assertNothingLeft(1)

    def test_peers(self) -> None:
        """Every peer is told; when it fires all are gone, and every subscriber has been told."""
        server = self.start(1)
        peers = [self.call(number, 1) for number in (2, 3, 4)]
        seen: list[int] = []
        stopping = server.stopService().addCallback(lambda _: seen.append(len(self.events[1])))
        self.moment(2)
        self.successResultOf(stopping)
        self.assertEqual(seen, [6])
        self.assertEqual(self.kinds(1), ["add"] * 3 + ["drop"] * 3)
        self.assertEqual({event.error for event in self.events[1][3:]}, {"client quitting"})
        self.assertEqual([peer.disconnectReason for peer in peers], [QUITTING] * 3)
        self.assertTrue(all(not protocol.connected for protocol in self.echo(1).protocols))
        self.assertNothingLeft(1)

    def test_silent_peers(self) -> None:
        """Peers that read nothing, with and without something waiting for them, are not waited for."""
        server = self.start(1)
        for number in (2, 3, 4):
            self.call(number, 1).stopReading()
        self.echo(1).protocols[0].request(bytes(100))
        for _ in range(100):
            self.echo(1).protocols[1].request(bytes(10_000))
        self.moment()
        self.assertEqual(self.numbers(1), [2, 3, 4])
        self.stopped(server)

    def test_cut_off(self) -> None:
        """Nor is a peer behind a pulled cable."""
        server = self.start(1)
        self.call(2, 1)
        self.network.silence(self.host(2))
        self.stopped(server)

    def test_handshakes(self) -> None:
        """Nor are those that are somewhere in their handshakes, silent or not."""
        server = self.start(1)
        silent = self.call(2, 1, Stage.CONNECTED)
        half = self.call(3, 1, Stage.CONNECTED)
        half.write(half.auth()[:100])
        shaken = self.call(4, 1, Stage.HANDSHAKE)
        deaf = self.call(5, 1, Stage.HANDSHAKE)
        deaf.stopReading()
        self.moment()
        self.stopped(server)
        self.assertEqual(server._accepting.pending, 0)
        self.assertEqual((silent.data, half.data), (b"", b""))
        self.assertEqual(shaken.disconnectReason, QUITTING)

    def test_dials(self) -> None:
        """Dials are given up at every stage."""
        self.answer(2, Stage.CONNECTED)
        self.answer(3, Stage.HANDSHAKE)
        self.network.names["boot.example"] = [addressOf(98)]
        named = node(4, ip=None, hostname="boot.example")
        unknown = node(5, ip=None, hostname="nobody.example")
        server = self.start(1, staticNodes=[node(2), node(3), node(99), named, unknown])
        connecting = server.connect(node(97))
        self.moment(1)
        self.assertEqual(server.metrics.value("dials"), 6)
        self.stopped(server)
        self.failureResultOf(connecting)
        self.moment(200)
        self.assertEqual(server.metrics.value("dials"), 6)

    def test_twice(self) -> None:
        """Stopping again waits for the same end."""
        server = self.start(1)
        self.call(2, 1).stopReading()
        stopping = [server.stopService()]
        self.moment(0.5)
        stopping.append(server.stopService())
        for each in stopping:
            self.assertNoResult(each)
        self.moment(0.5)
        stopping.append(server.stopService())
        for each in stopping:
            self.successResultOf(each)
        self.assertEqual(self.kinds(1), ["add", "drop"])

    def test_before_start(self) -> None:
        """A server that never ran is stopped at once, and cannot be started any more."""
        server = self.make(1)
        self.successResultOf(server.stopService())
        self.failureResultOf(server.startService(), LocalProtocolError)
        self.successResultOf(server.stopService())
        self.assertNothingLeft(1)

    def test_during_start(self) -> None:
        """A port that comes when the server is stopped already is closed; the start fails."""
        endpoint = SlowEndpoint()
        self.patch(listenersModule, "serverEndpoint", lambda *arguments: endpoint)
        server = self.make(1, staticNodes=[node(2)])
        starting, stopping = server.startService(), server.stopService()
        self.moment()
        self.successResultOf(stopping)
        endpoint.asked.callback(self.host(1).listenTCP(PORT, endpoint.factory))
        self.moment()
        self.failureResultOf(starting, ServerStopped)
        self.assertEqual(server.metrics.value("dials"), 0)
        self.assertNothingLeft(1)

    def test_while_tor_is_waited_for(self) -> None:
        """An onion service that Tor has not accepted yet is given up, and nothing is left of it."""
        control = TorControlPort()
        control.answers = {"": []}
        tor = self.host(1).listenTCP(9051, control, interface="127.0.0.1")
        server = self.make(1, listen=[PORT, "onion:30303:control=9051", PORT + 1])
        starting = server.startService()
        self.moment()
        self.assertNoResult(starting)
        stopping = server.stopService()
        self.moment()
        self.successResultOf(stopping)
        self.failureResultOf(starting, ServerStopped)
        self.assertFalse(control.connections[0].transport.connected)
        tor.stopListening()
        self.moment()
        self.assertNothingLeft(1)

    def test_nobody_comes_in(self) -> None:
        """A connection that comes between the call and the closing of the port is closed at once."""
        server = self.start(1)
        late = self.scripted(2, remote=keyOf(1))
        stopping = server.stopService()
        protocol = server._accepting.buildProtocol(None)
        self.assertIsNone(protocol)
        late.connect(self.host(2), addressOf(1), PORT)
        self.moment(DISCONNECT_TIMEOUT)
        self.successResultOf(stopping)
        self.assertNothingLeft(1)
        self.assertEqual((late.data, late.messages), (b"", []))

    def test_what_is_asked_afterwards(self) -> None:
        """A server that is stopped answers: it has no peers, and forgets what it is told."""
        server = self.start(1)
        self.call(2, 1)
        self.stopped(server)
        server.addPeer(node(3))
        server.addTrustedPeer(node(3))
        server.removeTrustedPeer(node(3))
        removing = server.removePeer(node(3))
        self.moment(100)
        self.successResultOf(removing)
        self.assertEqual((server.peersInfo(), server.metrics.value("dials")), ([], 0))
        self.assertEqual(server.nodeInfo()["listenAddr"], "")
        self.assertNothingLeft(1)

    def test_started_by_a_subscriber(self) -> None:
        """A subscriber who stops the server when it loses a peer is answered as well."""
        server = self.start(1)
        stopping: list[Deferred[None]] = []
        server.subscribeEvents(lambda event: stopping.append(server.stopService()))
        self.call(2, 1)
        self.moment(2)
        self.assertEqual(len(stopping), 2)
        for each in stopping:
            self.successResultOf(each)
        self.assertNothingLeft(1)
