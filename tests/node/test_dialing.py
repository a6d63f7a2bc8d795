"""
Tests of whom the Server dials, and when.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError, DNSLookupError, TimeoutError

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.errors import DisconnectReason, InvalidNode, PeerDisconnected, ServerStopped
from devp2p_tx.node.peer import Peer
from devp2p_tx.node.server import Server
from devp2p_tx.testing import Stage
from tests.node.support import PORT, ServerTestCase, addressOf, node


class DialTestCase(ServerTestCase):
    """Looks at when nodes are dialled."""

    def dialTimes(self, server: Server, seconds: float) -> list[int]:
        """At which full seconds, from now, a dial began."""
        times, before = [], server.metrics.value("dials")
        for second in range(int(seconds)):
            dials = server.metrics.value("dials")
            times += [second] * (dials - before)
            before = dials
            self.moment(1)
        return times


class StaticTests(DialTestCase):
    """Static nodes."""

    def test_dialed_at_start(self) -> None:
        """Those of the configuration are dialled when the server starts."""
        self.start(2)
        server = self.start(1, staticNodes=[node(2)])
        [peer] = server.peers()
        self.assertEqual((peer.node, str(peer.flags), peer.inbound), (node(2), "staticdial", False))
        self.assertEqual(str(self.servers[2].peers()[0].flags), "inbound")

    def test_added(self) -> None:
        """Those added later are dialled at once; adding a peer again, also elsewhere, dials nobody."""
        self.start(2)
        server = self.start(1)
        for _ in range(3):
            server.addPeer(node(2))
        self.moment()
        server.addPeer(node(2, tcp=9))
        self.moment(300)
        self.assertEqual((self.numbers(1), server.metrics.value("dials")), ([2], 1))

    def test_added_before_start(self) -> None:
        """One that is added before the start is dialled after it."""
        self.start(2)
        server = self.make(1)
        server.addPeer(node(2))
        self.moment()
        self.assertEqual(server.metrics.value("dials"), 0)
        server.startService()
        self.moment()
        self.assertEqual(self.numbers(1), [2])

    def test_backoff(self) -> None:
        """One at which nobody listens is dialled ever more rarely, at last every two minutes."""
        self.host(2)
        server = self.start(1)
        server.addPeer(node(2))
        self.network.settle()
        self.assertEqual(server.metrics.value("dials"), 1)
        self.moment(0.5)
        self.assertEqual(self.dialTimes(server, 480), [35, 105, 225, 345, 465])
        self.assertEqual(server.metrics.value("dial_errors", kind="ConnectionRefusedError"), 6)

    def test_refused_by_the_node(self) -> None:
        """So is one that answers, and refuses."""
        self.start(2, maxPeers=0)
        server = self.start(1, staticNodes=[node(2)])
        self.assertEqual(self.dialTimes(server, 130), [35, 105])

    def test_lost_soon(self) -> None:
        """A peer that is lost within 35 seconds of the dial is dialled again when these are over."""
        other = self.start(2)
        server = self.start(1, staticNodes=[node(2)])
        self.moment(9.5)
        other.peers()[0].disconnect(DisconnectReason.TOO_MANY_PEERS)
        self.assertEqual(self.dialTimes(server, 100), [25])
        self.assertEqual((self.kinds(1), self.numbers(1)), (["add", "drop", "add"], [2]))

    def test_lost_later(self) -> None:
        """One that is lost later is dialled again at once."""
        other = self.start(2)
        self.start(1, staticNodes=[node(2)])
        self.moment(100)
        other.peers()[0].disconnect(DisconnectReason.TOO_MANY_PEERS)
        self.moment()
        self.assertEqual((self.kinds(1), self.numbers(1)), (["add", "drop", "add"], [2]))

    def test_comes_back(self) -> None:
        """A node that was away for long is a peer again, and its failures are forgotten."""
        server = self.start(1, staticNodes=[node(2)])
        self.host(2)
        self.moment(400)
        dials = server.metrics.value("dials")
        other = self.start(2)
        self.moment(120)
        self.assertEqual((self.numbers(1), server.metrics.value("dials")), ([2], dials + 1))
        self.moment(200)
        other.stopService()
        self.moment(1)
        self.assertEqual(self.dialTimes(server, 120), [34, 104])

    def test_while_it_dials_us(self) -> None:
        """A node whose id an inbound connection names is dialed all the same: only a Hello proves it."""
        server = self.start(1)
        pending = self.scripted(2, does=Stage.HANDSHAKE, remote=server.config.key)
        pending.connect(self.host(3), addressOf(1), PORT)
        self.moment()
        self.answer(2)
        server.addPeer(node(2))
        self.moment(2)
        self.assertEqual((self.numbers(1), server.metrics.value("dials")), ([2], 1))
        self.assertFalse(server.peers()[0].inbound)
        self.moment(5)
        self.assertTrue(pending.ended)

    def test_no_dial(self) -> None:
        """With C{noDial} not even these are dialled."""
        self.start(2)
        server = self.start(1, noDial=True, staticNodes=[node(2)])
        self.moment(300)
        self.assertEqual((self.numbers(1), server.metrics.value("dials")), ([], 0))

    def test_max_pending(self) -> None:
        """No more dials are under way than there may be pending peers."""
        server = self.start(1, maxPendingPeers=2, staticNodes=[node(number) for number in range(50, 55)])
        self.assertEqual(server.metrics.value("dials"), 2)
        self.moment(15)
        self.assertEqual(server.metrics.value("dials"), 4)
        self.assertEqual(server.metrics.value("dial_errors", kind="TimeoutError"), 2)


class NameTests(DialTestCase):
    """Static nodes that are known by name."""

    named = node(2, ip=None, hostname="boot.example")

    def test_looked_up_at_each_dial(self) -> None:
        """When the name means another host, that is dialled."""
        self.network.names["boot.example"] = [addressOf(9)]
        self.host(9)
        self.start(2)
        server = self.start(1, staticNodes=[self.named])
        self.assertEqual(self.numbers(1), [])
        self.network.names["boot.example"] = [addressOf(2)]
        self.moment(35)
        self.assertEqual(self.numbers(1), [2])
        self.assertEqual(server.peersInfo()[0]["network"]["remoteAddress"], f"{addressOf(2)}:{PORT}")

    def test_unknown(self) -> None:
        """A name that means nothing is tried again."""
        self.start(2)
        self.start(1, staticNodes=[self.named])
        self.assertEqual(self.numbers(1), [])
        self.network.names["boot.example"] = [addressOf(2)]
        self.moment(35)
        self.assertEqual(self.numbers(1), [2])

    def test_restricted(self) -> None:
        """An address outside of the networks is not spoken to: it does not get a byte."""
        self.network.names["boot.example"] = [addressOf(2)]
        stranger = self.answer(2)
        self.start(1, staticNodes=[self.named], netrestrict=Netlist.parse("10.0.0.0/31"))
        self.moment(10)
        self.assertEqual((self.numbers(1), stranger.data, stranger.messages), ([], b"", []))

    def test_one_of_them_restricted(self) -> None:
        """Another address of the same name may do."""
        self.network.names["boot.example"] = [addressOf(7), addressOf(2)]
        stranger = self.answer(7)
        self.start(2)
        self.start(1, staticNodes=[self.named], netrestrict=Netlist.parse("10.0.0.2/32"))
        self.moment(10)
        self.assertEqual((self.numbers(1), stranger.data), ([2], b""))


class RestrictTests(DialTestCase):
    """Static nodes outside of the networks."""

    def test_not_dialed(self) -> None:
        """They are not dialled at all; those inside are."""
        for number in (2, 3):
            self.start(number)
        server = self.start(1, staticNodes=[node(2), node(3)], netrestrict=Netlist.parse("10.0.0.3/32"))
        self.moment(100)
        self.assertEqual((self.numbers(1), server.metrics.value("dials")), ([3], 1))

    def test_connect(self) -> None:
        """Nor is one spoken to that the user asks for."""
        stranger = self.answer(2)
        server = self.start(1, netrestrict=Netlist.parse(""))
        connecting = server.connect(node(2))
        self.moment()
        self.failureResultOf(connecting)
        self.assertEqual((self.numbers(1), stranger.data), ([], b""))


class RemoveTests(DialTestCase):
    """L{Server.removePeer}."""

    def test_order(self) -> None:
        """It fires when the peer is gone, and everybody has been told."""
        self.start(2)
        server = self.start(1, staticNodes=[node(2)])
        order: list[object] = []
        server.subscribeEvents(lambda event: order.append((event.type.value, server.peerCount)))
        server.removePeer(node(2)).addCallback(lambda _: order.append("removed"))
        self.assertEqual((order, self.numbers(1)), ([], [2]))
        self.moment(2)
        self.assertEqual(order, [("drop", 0), "removed"])
        self.assertEqual(self.events[2][-1].error, "disconnect requested")

    def test_not_dialed_again(self) -> None:
        """It is dialled no more, until it is added again."""
        self.start(2)
        server = self.start(1, staticNodes=[node(2)])
        server.removePeer(node(2))
        self.moment(300)
        self.assertEqual((self.numbers(1), server.metrics.value("dials")), ([], 1))
        server.addPeer(node(2))
        self.moment()
        self.assertEqual(self.numbers(1), [2])

    def test_not_connected(self) -> None:
        """Without a peer it fires too, and the node is forgotten."""
        self.host(2)
        server = self.start(1, staticNodes=[node(2)])
        removing = server.removePeer(node(2))
        self.assertNoResult(removing)
        self.network.settle()
        self.assertIsNone(self.successResultOf(removing))
        self.assertEqual(self.dialTimes(server, 100), [])

    def test_several_times(self) -> None:
        """Everybody who asks is answered."""
        self.start(2)
        server = self.start(1, staticNodes=[node(2)])
        removing = [server.removePeer(node(2)) for _ in range(3)]
        self.moment(2)
        removing.append(server.removePeer(node(2)))
        self.network.settle()
        self.assertEqual([self.successResultOf(each) for each in removing], [None] * 4)
        self.assertEqual(self.kinds(1), ["add", "drop"])

    def test_inbound(self) -> None:
        """A peer that dialled us is removed as well."""
        self.start(1)
        peer = self.call(2, 1)
        removing = self.servers[1].removePeer(node(2))
        self.moment()
        self.successResultOf(removing)
        self.assertTrue(peer.ended)

    def test_silent_peer(self) -> None:
        """A peer that reads nothing keeps nobody waiting for longer than a second."""
        server = self.start(1)
        peer = self.call(2, 1)
        peer.stopReading()
        removing = server.removePeer(node(2))
        self.moment(1)
        self.successResultOf(removing)
        self.assertEqual(self.numbers(1), [])

    def test_stopped_meanwhile(self) -> None:
        """It fires when the server is stopped, before or after."""
        server = self.start(1)
        self.call(2, 1)
        removing = [server.removePeer(node(2))]
        server.stopService()
        removing.append(server.removePeer(node(2)))
        self.moment(2)
        removing.append(server.removePeer(node(2)))
        self.network.settle()
        self.assertEqual([self.successResultOf(each) for each in removing], [None] * 3)


class ConnectTests(DialTestCase):
    """L{Server.connect}."""

    def connect(self, server: Server, number: int = 2, **changes: object) -> Deferred[Peer]:
        """Connect, and let a moment pass."""
        connecting = server.connect(node(number, **changes))
        self.moment()
        return connecting

    def test_peer(self) -> None:
        """It fires with the peer, which is one by then, and is not dialled again when it is lost."""
        self.start(2)
        server = self.start(1)
        numbers: list[list[int]] = []
        connecting = server.connect(node(2))
        connecting.addCallback(lambda peer: numbers.append(self.numbers(1)) or peer)
        self.moment()
        peer = self.successResultOf(connecting)
        self.assertEqual((numbers, server.peers(), str(peer.flags)), ([[2]], [peer], "dyndial"))
        peer.disconnect()
        self.moment(200)
        self.assertEqual(server.metrics.value("dials"), 1)

    def test_at_once(self) -> None:
        """It does not wait, whatever was dialled lately, and however many."""
        self.start(2)
        server = self.start(1, maxPeers=1)
        for _ in range(3):
            self.successResultOf(self.connect(server)).disconnect()
            self.moment()
        self.assertEqual(self.kinds(1), ["add", "drop"] * 3)

    def test_failures(self) -> None:
        """It fails as the endpoints do, or with what is wrong with the node."""
        self.host(2)
        server = self.start(1)
        self.failureResultOf(self.connect(server), ConnectionRefusedError)
        self.failureResultOf(self.connect(server, ip=None), InvalidNode)
        self.failureResultOf(self.connect(server, tcp=0), InvalidNode)
        self.failureResultOf(self.connect(server, ip=None, hostname="nobody.example"), DNSLookupError)
        nobody = self.connect(server, 99)
        self.moment(15)
        self.failureResultOf(nobody, TimeoutError)

    def test_refused(self) -> None:
        """It fails with the reason that the node gave."""
        self.start(2, maxPeers=0)
        error = self.failureResultOf(self.connect(self.start(1)), PeerDisconnected).value
        self.assertEqual((error.reason, error.remote), (DisconnectReason.TOO_MANY_PEERS, True))

    def test_silence(self) -> None:
        """A node that says nothing is given up after five seconds."""
        self.answer(2, Stage.CONNECTED)
        connecting = self.connect(self.start(1))
        self.moment(4)
        self.assertNoResult(connecting)
        self.moment(1)
        self.failureResultOf(connecting)

    def test_not_running(self) -> None:
        """A server that does not run dials nobody."""
        server = self.make(1)
        self.failureResultOf(self.connect(server), ServerStopped)
        server.startService()
        server.stopService()
        self.failureResultOf(self.connect(server), ServerStopped)

    def test_cancelled(self) -> None:
        """Cancelling gives up, at every stage, and the other side is told as far as it can be."""
        server = self.start(1)
        for does, told in ((Stage.CONNECTED, None), (Stage.HANDSHAKE, DisconnectReason.REQUESTED)):
            peer = self.answer(2 + does, does)
            connecting = self.connect(server, 2 + does)
            connecting.cancel()
            self.moment(2)
            self.failureResultOf(connecting, CancelledError)
            self.assertEqual((peer.ended, peer.disconnectReason), (True, told))
        nowhere = self.connect(server, 99)
        nowhere.cancel()
        self.failureResultOf(nowhere)
        self.assertEqual(server._dialer.plan.free_slots, 32)

    def test_too_late_to_cancel(self) -> None:
        """Cancelling what has fired does nothing to the peer."""
        self.start(2)
        connecting = self.connect(self.start(1))
        connecting.cancel()
        self.moment()
        self.assertEqual(self.numbers(1), [2])

    def test_stopped_meanwhile(self) -> None:
        """Stopping the server ends it."""
        server = self.start(1)
        connecting = self.connect(server, 99)
        stopping = server.stopService()
        self.network.settle()
        self.failureResultOf(connecting)
        self.successResultOf(stopping)

    def test_what_becomes_of_it_is_the_callers(self) -> None:
        """A caller who, when it fails, waits for something else does not keep the server from stopping."""
        server = self.start(1)
        for _ in range(2):
            connecting = server.connect(node(99))
            connecting.addErrback(lambda failure: Deferred())
        self.moment()
        stopping = server.stopService()
        self.moment(2)
        self.successResultOf(stopping)
