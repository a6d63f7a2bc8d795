"""
Tests for the deadlines of L{devp2p_tx.net.rlpx.protocol}.
"""

from __future__ import annotations

from devp2p_tx.core.rlpx.connection import HANDSHAKE_TIMEOUT, PING_INTERVAL, READ_TIMEOUT
from devp2p_tx.errors import DisconnectReason, Timeout
from devp2p_tx.net.rlpx.protocol import DISCONNECT_TIMEOUT, WRITE_TIMEOUT
from devp2p_tx.testing import EchoCapability, Stage, connectedPair
from devp2p_tx.testing._tcp import WINDOW
from tests.net.rlpx.support import FIRST, ConnectionCase

JUST = 0.001


class TestDeadlines(ConnectionCase):
    def test_values(self) -> None:
        """They are those of every node in the field."""
        deadlines = HANDSHAKE_TIMEOUT, READ_TIMEOUT, WRITE_TIMEOUT, DISCONNECT_TIMEOUT, PING_INTERVAL
        self.assertEqual(deadlines, (5, 30, 20, 1, 15))

    def test_handshake(self) -> None:
        peer = self.scripted(Stage.CONNECTED)
        self.network.advance(HANDSHAKE_TIMEOUT - JUST)
        self.assertFalse(self.ours.closed)
        self.network.advance(JUST)
        self.assertTrue(self.ours.closed and peer.ended)

    def test_handshakeOfOneWhoDoesNotClose(self) -> None:
        peer = self.scripted(Stage.CONNECTED)
        peer.stopReading()
        self.network.advance(HANDSHAKE_TIMEOUT + DISCONNECT_TIMEOUT)
        self.assertNothingLeftOfOurs()

    def assertNothingLeftOfOurs(self) -> None:
        self.assertEqual([each for each in self.network.connections if each.reactor is self.us], [])
        self.assertEqual(list(self.us.getDelayedCalls()), [])

    def test_reading(self) -> None:
        peer = self.scripted()
        self.network.advance(READ_TIMEOUT - JUST)
        self.assertFalse(peer.ended)
        self.network.advance(JUST)
        self.assertTrue(peer.ended)
        self.assertIsInstance(self.reason, Timeout)
        self.assertEqual(peer.disconnectReason, DisconnectReason.READ_TIMEOUT)
        self.assertQuiet()

    def test_eachMessageGivesTime(self) -> None:
        peer = self.scripted()
        for _ in range(4):
            self.network.advance(READ_TIMEOUT - JUST)
            peer.send(FIRST, b"")
        self.network.advance(READ_TIMEOUT - JUST)
        self.assertFalse(peer.ended)

    def test_pings(self) -> None:
        peer = self.scripted()
        self.network.advance(PING_INTERVAL - JUST)
        self.assertEqual(len(peer.payloads(2)), 0)
        self.network.advance(JUST)
        self.assertEqual(len(peer.payloads(2)), 1)

    def test_twoPeersStayForEver(self) -> None:
        pair = connectedPair(EchoCapability())
        pair.advance(3600)
        self.assertFalse(pair.a.closed or pair.b.closed)
        pair.close()

    def test_silentNetwork(self) -> None:
        pair = connectedPair(EchoCapability())
        pair.network.silence(pair.network.host("192.0.2.2"))
        pair.advance(READ_TIMEOUT + DISCONNECT_TIMEOUT)
        self.assertIsInstance(pair.protocolA.reason.value, Timeout)
        self.assertIsInstance(pair.protocolB.reason.value, Timeout)

    def test_writing(self) -> None:
        peer = self.scripted()
        peer.stopReading()
        peer.pingForEver(self.them, 10, batch=1)
        self.recorder.transport.sendMessage(0, self.network.random.randbytes(3 * WINDOW))
        self.network.advance(WRITE_TIMEOUT - JUST)
        self.assertFalse(self.ours.closed)
        self.network.advance(JUST)
        self.assertIsInstance(self.reason, Timeout)
        self.assertNothingLeftOfOurs()
        self.assertQuiet()

    def test_slowReaderIsNotDropped(self) -> None:
        peer = self.scripted()
        peer.pingForEver(self.them, 10, batch=1)
        data = self.network.random.randbytes(3 << 20)
        self.recorder.transport.sendMessage(0, data)
        for _ in range(20):
            peer.stopReading()
            self.network.advance(WRITE_TIMEOUT / 2)
            # one read of 64 KiB frees the way for as much
            peer.readAgain()
            self.network.settle()
        self.assertEqual(peer.payloads(FIRST), [data])
