"""
Tests for back-pressure inwards: a capability that cannot take more.
"""

from __future__ import annotations

from devp2p_tx.core.rlpx.connection import READ_TIMEOUT
from devp2p_tx.errors import DisconnectReason, Timeout
from devp2p_tx.testing import ScriptedPeer
from devp2p_tx.testing._tcp import WINDOW
from tests.net.rlpx.flow import KIB, FlowCase
from tests.net.rlpx.support import FIRST, ConnectionCase, Recording


class TestInwards(FlowCase):
    """A capability that cannot take more."""

    def test_stopsTheSocket(self) -> None:
        self.channel.pauseProducing()
        for _ in range(100):
            self.peer.send(FIRST, self.data(10 * KIB))
        self.network.settle()
        self.assertEqual(self.recorder.messages, [])
        # beyond the peer's own buffer, its bytes stay with the peer
        self.assertGreater(self.waiting(self.peer), 1000 * KIB - 2 * WINDOW)

    @staticmethod
    def waiting(peer: ScriptedPeer) -> int:
        """Bytes that the peer's transport could not write."""
        transport = peer.transport
        return len(transport.dataBuffer) - transport.offset + transport._tempDataLen

    def test_goesOnInOrder(self) -> None:
        self.channel.pauseProducing()
        for number in range(100):
            self.peer.send(FIRST, bytes([number]) + self.data(10 * KIB))
        self.network.settle()
        self.channel.resumeProducing()
        self.network.settle()
        self.assertEqual([payload[0] for _, payload in self.recorder.messages], list(range(100)))

    def test_inTheMiddleOfMany(self) -> None:
        recorder, received = self.recorder, self.recorder.messages

        def messageReceived(code: int, payload: bytes) -> None:
            received.append((code, payload))
            if len(received) % 10 == 0:
                recorder.transport.pauseProducing()

        self.ours._routes.clear()
        recorder.messageReceived = messageReceived
        self.ours._routes += [(messageReceived, FIRST, [0], [0], self.channel)]
        with self.peer.inOneWrite():
            for number in range(25):
                self.peer.send(FIRST, bytes([number]))
        for expected in (10, 20, 25, 25):
            self.network.settle()
            self.assertEqual([payload[0] for _, payload in received], list(range(expected)))
            self.channel.resumeProducing()

    def test_silenceIsOurOwnDoing(self) -> None:
        self.channel.pauseProducing()
        self.network.advance(10 * READ_TIMEOUT)
        self.assertFalse(self.ours.closed)
        self.channel.resumeProducing()
        self.network.advance(READ_TIMEOUT - 1)
        self.assertFalse(self.ours.closed)
        self.network.advance(1)
        self.assertIsInstance(self.reason, Timeout)

    def test_pausedTwice(self) -> None:
        self.channel.pauseProducing()
        self.channel.pauseProducing()
        self.channel.resumeProducing()
        self.peer.send(FIRST, b"hello")
        self.network.settle()
        self.assertEqual(self.recorder.messages, [(0, b"hello")])

    def test_disconnectWaitsForItsTurn(self) -> None:
        with self.peer.inOneWrite():
            self.peer.send(FIRST, b"one")
            self.peer.send(FIRST, b"two")
            self.peer.sendDisconnect(DisconnectReason.TOO_MANY_PEERS)
        self.channel.pauseProducing()
        self.network.settle()
        self.assertEqual(self.recorder.messages, [])
        self.channel.resumeProducing()
        self.network.settle()
        self.assertEqual(self.recorder.messages, [(0, b"one"), (0, b"two")])
        self.assertEqual(getattr(self.reason, "reason", None), DisconnectReason.TOO_MANY_PEERS)

    def test_afterTheEnd(self) -> None:
        self.ours.abort()
        self.channel.pauseProducing()
        self.network.settle()
        self.channel.resumeProducing()
        self.channel.pauseProducing()
        self.channel.stopProducing()
        self.assertEqual(len(self.recorder.reasons), 1)


class TestTwoInwards(ConnectionCase):
    def test_allMustBeAbleToRead(self) -> None:
        one, other = Recording(self.clock, "one", length=1), Recording(self.clock, "two", length=1)
        peer = self.scriptedFor(one, other)
        first, second = one.protocols[0].transport, other.protocols[0].transport
        first.pauseProducing()
        second.pauseProducing()
        first.resumeProducing()
        peer.send(FIRST, b"for one")
        self.network.settle()
        self.assertEqual(one.protocols[0].messages, [])
        second.resumeProducing()
        self.network.settle()
        self.assertEqual(one.protocols[0].messages, [(0, b"for one")])
