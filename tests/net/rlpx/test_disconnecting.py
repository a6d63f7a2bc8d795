"""
Tests for how L{devp2p_tx.net.rlpx.protocol} disconnects, and is disconnected.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost

from devp2p_tx.errors import DisconnectReason, PeerDisconnected
from devp2p_tx.net.rlpx.protocol import BURST, DISCONNECT_TIMEOUT, MAX_QUEUED
from devp2p_tx.testing import EchoCapability, MemoryNetwork, Stage, connectedPair
from devp2p_tx.testing._tcp import WINDOW
from tests.net.rlpx.support import FIRST, ConnectionCase, Recording

JUST = 0.001


class TestDisconnecting(ConnectionCase):
    def test_reachesThePeer(self) -> None:
        peer = self.scripted()
        self.ours.disconnect(DisconnectReason.TOO_MANY_PEERS)
        self.network.settle()
        self.assertEqual((peer.disconnectReason, peer.ended), (DisconnectReason.TOO_MANY_PEERS, True))
        assert isinstance(self.reason, PeerDisconnected)
        self.assertEqual((self.reason.reason, self.reason.remote), (DisconnectReason.TOO_MANY_PEERS, False))
        self.assertNothingLeft()

    def test_afterAllThatWasSent(self) -> None:
        peer = self.scripted()
        for number in range(100):
            self.recorder.transport.sendMessage(0, bytes([number]) * 5000)
        self.recorder.transport.loseConnection(DisconnectReason.CLIENT_QUITTING)
        self.network.settle()
        self.assertEqual([each[0] for each in peer.payloads(FIRST)], list(range(100)))
        self.assertEqual(peer.disconnectReason, DisconnectReason.CLIENT_QUITTING)

    def test_withMuchQueued(self) -> None:
        """
        What waits is encrypted a burst at a time as the peer takes it, not all at once; the reason comes behind it.
        """
        peer = self.scripted()
        data = self.network.random.randbytes(WINDOW + BURST)
        peer.stopReading()
        self.recorder.transport.sendMessage(0, data)
        self.network.settle()
        while self.ours.queued < MAX_QUEUED - (1 << 20):
            self.recorder.transport.sendMessage(1, data[:BURST])
        queued = self.ours.queued
        self.ours.disconnect(DisconnectReason.CLIENT_QUITTING)
        self.assertEqual(self.ours.queued, queued)
        peer.readAgain()
        self.network.settle()
        self.assertEqual({len(each) for each in peer.payloads(FIRST + 1)}, {BURST})
        self.assertEqual(len(peer.payloads(FIRST + 1)), queued // BURST)
        self.assertEqual(peer.disconnectReason, DisconnectReason.CLIENT_QUITTING)
        self.assertNothingLeft()

    def test_disconnectOfAPeerThatWrites(self) -> None:
        """What comes while we leave is not delivered, and does not disturb."""
        peer = self.scripted()
        peer.stopReading()
        self.recorder.transport.sendMessage(0, self.network.random.randbytes(WINDOW + BURST))
        self.network.settle()
        self.recorder.transport.sendMessage(0, b"waits")
        self.ours.disconnect(DisconnectReason.CLIENT_QUITTING)
        peer.send(FIRST, b"late")
        peer.write(bytes(100))
        self.network.settle()
        peer.readAgain()
        self.network.settle()
        self.assertEqual(self.recorder.messages, [])
        self.assertEqual(peer.payloads(FIRST)[-1], b"waits")
        self.assertEqual(peer.disconnectReason, DisconnectReason.CLIENT_QUITTING)

    def test_nothingAfterIt(self) -> None:
        peer = self.scripted()
        transport = self.recorder.transport
        transport.loseConnection()
        transport.sendMessage(0, b"too late")
        self.network.settle()
        transport.sendMessage(0, b"far too late")
        self.assertEqual(peer.payloads(FIRST), [])

    def test_peerThatDoesNotRead(self) -> None:
        peer = self.scripted()
        peer.stopReading()
        self.recorder.transport.sendMessage(0, self.network.random.randbytes(3 * WINDOW))
        self.network.settle()
        self.ours.disconnect(DisconnectReason.REQUESTED)
        self.network.advance(DISCONNECT_TIMEOUT - JUST)
        self.assertEqual(self.recorder.reasons, [])
        self.network.advance(JUST)
        self.assertIsInstance(self.reason, PeerDisconnected)
        self.assertEqual([each for each in self.network.connections if each.reactor is self.us], [])
        self.assertEqual(list(self.us.getDelayedCalls()), [])

    def test_peerThatDoesNotClose(self) -> None:
        """It has read everything, but its side of the connection stays open."""
        peer = self.scripted()
        self.network.silence(self.them)
        self.ours.disconnect(DisconnectReason.REQUESTED)
        self.network.advance(DISCONNECT_TIMEOUT)
        self.assertIsInstance(self.reason, PeerDisconnected)
        self.network.restore(self.them)
        self.network.settle()
        self.assertTrue(peer.ended)

    def test_peerThatGoesOnSending(self) -> None:
        """Its bytes do not make ours a reset, which would lose the Disconnect."""
        peer = self.scripted()
        self.network.latency = 0.05
        for _ in range(20):
            peer.send(FIRST, self.network.random.randbytes(10_000))
        self.ours.disconnect(DisconnectReason.USELESS_PEER)
        self.network.advance(DISCONNECT_TIMEOUT)
        self.assertEqual(peer.disconnectReason, DisconnectReason.USELESS_PEER)

    def test_whilePaused(self) -> None:
        peer = self.scripted()
        self.recorder.transport.pauseProducing()
        peer.send(FIRST, self.network.random.randbytes(3 * WINDOW))
        self.network.settle()
        self.ours.disconnect(DisconnectReason.USELESS_PEER)
        self.network.advance(DISCONNECT_TIMEOUT)
        self.assertEqual((peer.disconnectReason, peer.ended), (DisconnectReason.USELESS_PEER, True))
        self.assertEqual(self.recorder.messages, [])

    def test_twice(self) -> None:
        peer = self.scripted()
        self.ours.disconnect(DisconnectReason.USELESS_PEER)
        self.ours.disconnect(DisconnectReason.REQUESTED)
        self.ours.abort()
        self.network.settle()
        self.assertEqual(peer.disconnectReason, DisconnectReason.USELESS_PEER)

    def test_beforeTheHandshake(self) -> None:
        peer = self.scripted(Stage.CONNECTED)
        self.ours.disconnect(DisconnectReason.TOO_MANY_PEERS)
        self.network.settle()
        self.assertEqual((peer.data, peer.ended), (b"", True))

    def test_abort(self) -> None:
        peer = self.scripted()
        self.ours.abort()
        self.network.settle()
        self.assertEqual((peer.disconnectReason, peer.reason.type), (None, ConnectionLost))  # type: ignore[union-attr]

    def test_theirs(self) -> None:
        peer = self.scripted()
        peer.sendDisconnect(DisconnectReason.TOO_MANY_PEERS)
        self.network.settle()
        assert isinstance(self.reason, PeerDisconnected)
        self.assertEqual((self.reason.reason, self.reason.remote), (DisconnectReason.TOO_MANY_PEERS, True))
        self.assertEqual(peer.disconnectReason, DisconnectReason.TOO_MANY_PEERS)
        self.assertQuiet()
        self.assertNothingLeft()

    def test_theirReasonsBeyondTheNamedOnes(self) -> None:
        for reason in (0x0C, 0x42, 0xFE):
            self.scripted().sendDisconnect(reason)
            self.network.settle()
            self.assertEqual(getattr(self.reason, "reason", None), reason)

    def test_theirsAfterTheirMessages(self) -> None:
        peer = self.scripted()
        with peer.inOneWrite():
            peer.send(FIRST, b"last words")
            peer.sendDisconnect(DisconnectReason.REQUESTED)
        self.network.settle()
        self.assertEqual(self.recorder.messages, [(0, b"last words")])

    def test_closedWithoutAWord(self) -> None:
        self.scripted().transport.loseConnection()
        self.network.settle()
        self.assertIsInstance(self.reason, ConnectionDone)
        self.assertNothingLeft()

    def test_reset(self) -> None:
        self.scripted().transport.abortConnection()
        self.network.settle()
        self.assertIsInstance(self.reason, ConnectionLost)
        self.assertNothingLeft()

    def test_resetWhileSending(self) -> None:
        """What was sent in the same turn leaves no deadline behind."""
        peer = self.scripted()
        self.network.disconnect(self.us, self.them)
        self.recorder.transport.sendMessage(0, b"to nobody")
        self.network.settle()
        self.assertIsInstance(self.reason, ConnectionLost)
        del peer
        self.assertNothingLeft()

    def test_withLatency(self) -> None:
        self.network = MemoryNetwork(latency=0.2)
        pair = connectedPair(EchoCapability(), network=self.network)
        pair.a.disconnect(DisconnectReason.CLIENT_QUITTING)
        pair.advance(DISCONNECT_TIMEOUT)
        self.assertEqual(pair.protocolB.reason.value.reason, DisconnectReason.CLIENT_QUITTING)
        self.assertEqual(list(self.network.clock.getDelayedCalls()), [])


class Greeter(Recording):
    """Says something at each opportunity."""

    def buildProtocol(self, peer: object) -> Any:
        protocol = super().buildProtocol(peer)

        def connectionMade() -> None:
            protocol.made += 1
            protocol.transport.sendMessage(0, b"welcome")

        def messageReceived(code: int, payload: bytes) -> None:
            protocol.messages.append((code, payload))
            protocol.transport.sendMessage(0, b"thank you")

        protocol.connectionMade = connectionMade
        protocol.messageReceived = messageReceived
        return protocol


class TestLastWords(ConnectionCase):
    """What a capability says when the peer has left already is lost, and no fault of the capability."""

    def setUp(self) -> None:
        super().setUp()
        self.capability = Greeter(self.clock)
        self.speak(self.capability)

    def test_disconnectWithTheHello(self) -> None:
        peer = self.scripted(Stage.HANDSHAKE)
        with peer.inOneWrite():
            peer.sendHello()
            peer.sendDisconnect(DisconnectReason.TOO_MANY_PEERS, compress=True)
        self.network.settle()
        self.assertEqual((self.recorder.made, getattr(self.reason, "reason", None)), (1, 4))
        self.assertQuiet()

    def test_disconnectWithAMessage(self) -> None:
        peer = self.scripted()
        with peer.inOneWrite():
            peer.send(FIRST, b"here you are")
            peer.sendDisconnect(DisconnectReason.TOO_MANY_PEERS)
        self.network.settle()
        self.assertEqual(self.recorder.messages, [(0, b"here you are")])
        self.assertEqual(getattr(self.reason, "reason", None), DisconnectReason.TOO_MANY_PEERS)
        self.assertQuiet()

    def test_badFrameAfterAMessage(self) -> None:
        peer = self.scripted()
        with peer.inOneWrite():
            peer.send(FIRST, b"here you are")
            peer.sendCorrupt(FIRST, b"and this", -1)
        self.network.settle()
        self.assertRegex(str(self.reason), "bad frame MAC")
        self.assertQuiet()

    def test_disconnectingInReply(self) -> None:
        peer = self.scripted()
        recorder = self.recorder
        recorder.messageReceived = lambda code, payload: recorder.transport.loseConnection()
        with peer.inOneWrite():
            peer.send(FIRST, b"leave me")
            peer.sendDisconnect(DisconnectReason.TOO_MANY_PEERS)
        self.network.settle()
        self.assertIsInstance(self.reason, PeerDisconnected)
        self.assertQuiet()
