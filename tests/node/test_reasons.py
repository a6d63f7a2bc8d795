"""
Tests of what the other side sees when it is refused, or left.
"""

from __future__ import annotations

from devp2p_tx.core.p2p.messages import DISCONNECT, HELLO, Cap, encode_disconnect
from devp2p_tx.errors import DisconnectReason, HandshakeError, PeerDisconnected, PeerRejected
from devp2p_tx.testing import ScriptedPeer, Stage
from tests.node.support import PORT, ServerTestCase, keyOf, node

REASON = DisconnectReason


class ReasonTestCase(ServerTestCase):
    """Looks at both stages of a refusal."""

    def assertRefusedBeforeHello(self, peer: ScriptedPeer, reason: DisconnectReason) -> None:
        """The first and only message was a Disconnect, not compressed: that begins with the Hellos."""
        self.assertEqual(peer.messages, [(DISCONNECT, encode_disconnect(reason))])
        self.assertTrue(peer.ended)

    def assertRefusedAfterHello(self, peer: ScriptedPeer, reason: DisconnectReason) -> None:
        """A Hello, and then a Disconnect, compressed: to a snappy block, of one literal."""
        self.assertEqual([code for code, _ in peer.messages], [HELLO, DISCONNECT])
        self.assertEqual(peer.messages[1][1], b"\x02\x04" + encode_disconnect(reason))
        self.assertTrue(peer.ended)


class FirstCheckpointTests(ReasonTestCase):
    """What is decided when it is known who is there."""

    def test_too_many_peers(self) -> None:
        """No place."""
        self.start(1, maxPeers=0)
        self.assertRefusedBeforeHello(self.call(2, 1), REASON.TOO_MANY_PEERS)
        self.assertRefusedBeforeHello(self.call(3, 1, Stage.HANDSHAKE), REASON.TOO_MANY_PEERS)

    def test_already_connected(self) -> None:
        """A second connection; the first stays."""
        self.start(1)
        first = self.call(2, 1)
        second = self.scripted(2, remote=keyOf(1))
        second.connect(self.host(3), "10.0.0.1", PORT)
        self.moment()
        self.assertRefusedBeforeHello(second, REASON.ALREADY_CONNECTED)
        self.assertFalse(first.ended)
        self.assertEqual(self.kinds(1), ["add"])

    def test_self(self) -> None:
        """Somebody who has our own key."""
        self.start(1)
        peer = self.scripted(1, remote=keyOf(1))
        peer.connect(self.host(2), "10.0.0.1", PORT)
        self.moment()
        self.assertRefusedBeforeHello(peer, REASON.SELF)

    def test_ourselves(self) -> None:
        """We ourselves, if we are told to."""
        server = self.start(1)
        connecting = server.connect(server.self())
        self.moment()
        failure = self.failureResultOf(connecting, PeerRejected, PeerDisconnected)
        self.assertEqual(failure.value.reason, REASON.SELF)
        self.assertEqual((self.numbers(1), self.events[1]), ([], []))

    def test_dialed(self) -> None:
        """One that we dialled, and that was a peer by another way: here it is we who refuse."""
        server = self.start(1)
        self.call(2, 1)
        called = self.scripted(2)
        called.listen(self.host(3), PORT)
        connecting = server._dialer.dialOnce(node(2, ip=node(3).ip))
        self.moment()
        self.failureResultOf(connecting, PeerRejected)
        self.assertRefusedBeforeHello(called, REASON.ALREADY_CONNECTED)


class SecondCheckpointTests(ReasonTestCase):
    """What is decided when it is known what is spoken."""

    def test_useless_peer(self) -> None:
        """Nothing in common: another name, another version, nothing at all."""
        self.start(1)
        for number, caps in enumerate([[Cap("foo", 1)], [Cap("echo", 2)], []], 2):
            self.assertRefusedAfterHello(self.call(number, 1, caps=caps), REASON.USELESS_PEER)
        self.assertEqual(self.events[1], [])

    def test_useless_before_too_many(self) -> None:
        """Uselessness is told first."""
        self.start(1, maxPeers=1, noDial=True)
        useless = self.call(2, 1, Stage.HANDSHAKE, [Cap("foo", 1)])
        self.call(3, 1)
        useless.sendHello()
        self.moment()
        self.assertRefusedAfterHello(useless, REASON.USELESS_PEER)

    def test_nothing_offered(self) -> None:
        """A server without capabilities keeps everybody."""
        self.start(1, capabilities=[])
        self.call(2, 1, caps=[])
        self.call(3, 1)
        self.assertEqual(self.numbers(1), [2, 3])

    def test_unexpected_identity(self) -> None:
        """A Hello in the name of another."""
        self.start(1)
        peer = self.call(2, 1, Stage.HANDSHAKE)
        peer.sendHello(node_key=keyOf(3).public_key.to_bytes())
        self.moment()
        self.assertRefusedAfterHello(peer, REASON.UNEXPECTED_IDENTITY)
        self.assertEqual(self.events[1], [])

    def test_unexpected_identity_dialed(self) -> None:
        """The same from one that we dialled."""
        peer = self.answer(2, Stage.HANDSHAKE)
        connecting = self.start(1).connect(node(2))
        self.moment()
        peer.sendHello(node_key=keyOf(3).public_key.to_bytes())
        self.moment()
        self.assertEqual(self.failureResultOf(connecting, PeerRejected).value.reason, REASON.UNEXPECTED_IDENTITY)
        self.assertRefusedAfterHello(peer, REASON.UNEXPECTED_IDENTITY)

    def test_wrong_key(self) -> None:
        """At the address is another node: it cannot read what we say, and nothing is told."""
        peer = self.answer(2)
        connecting = self.start(1).connect(node(3, ip=node(2).ip))
        self.moment(6)
        self.failureResultOf(connecting)
        self.assertEqual((peer.handshaken, peer.messages), (False, []))
        self.assertEqual(len(self.flushLoggedErrors(HandshakeError)), 1)  # the scripted peer's own


class PeerTests(ReasonTestCase):
    """Why a peer is left."""

    def test_client_quitting(self) -> None:
        """The server stops: a peer is told, and, not compressed, one that has not yet said Hello."""
        server = self.start(1)
        peer, pending = self.call(2, 1), self.call(3, 1, Stage.HANDSHAKE)
        server.stopService()
        self.moment(2)
        self.assertRefusedAfterHello(peer, REASON.CLIENT_QUITTING)
        self.assertEqual(pending.messages[1:], [(DISCONNECT, encode_disconnect(REASON.CLIENT_QUITTING))])

    def test_requested(self) -> None:
        """It is removed."""
        server = self.start(1)
        peer = self.call(2, 1)
        server.removePeer(node(2))
        self.moment()
        self.assertRefusedAfterHello(peer, REASON.REQUESTED)
        self.assertEqual(self.events[1][-1].error, "disconnect requested")

    def test_any_reason(self) -> None:
        """It is disconnected for a reason of the user's; the default is that it was requested."""
        server = self.start(1)
        for number, arguments, reason in ((2, (REASON.USELESS_PEER,), REASON.USELESS_PEER), (3, (), REASON.REQUESTED)):
            peer = self.call(number, 1)
            server.peers()[0].disconnect(*arguments)
            self.moment()
            self.assertRefusedAfterHello(peer, reason)

    def test_their_reason(self) -> None:
        """A peer leaves: its reason is told to the subscribers, and back to it."""
        self.start(1)
        peer = self.call(2, 1)
        peer.sendDisconnect(REASON.USELESS_PEER)
        self.moment()
        self.assertRefusedAfterHello(peer, REASON.USELESS_PEER)
        self.assertEqual(self.events[1][-1].error, "useless peer")


class BothSidesTests(ReasonTestCase):
    """Two servers: what the one decides is what the other is told."""

    def refusal(self) -> PeerDisconnected:
        """How node 2's connection to node 1 fails."""
        connecting = self.servers[2].connect(node(1))
        self.moment()
        error = self.failureResultOf(connecting, PeerDisconnected).value
        assert isinstance(error, PeerDisconnected)
        self.assertTrue(error.remote)
        return error

    def test_too_many_peers(self) -> None:
        """In place of a Hello."""
        self.start(1, maxPeers=0)
        self.start(2)
        self.assertEqual(str(self.refusal()), "too many peers")

    def test_useless_peer(self) -> None:
        """After it; both decide so, and neither has a peer."""
        self.start(1, capabilities=[])
        self.start(2)
        connecting = self.servers[2].connect(node(1))
        self.moment()
        self.assertEqual(self.failureResultOf(connecting, PeerRejected).value.reason, REASON.USELESS_PEER)
        self.assertEqual((self.numbers(1), self.numbers(2)), ([], []))
