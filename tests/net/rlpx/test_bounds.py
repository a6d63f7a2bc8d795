"""
Tests for what may be queued for a peer, and for how its capabilities share the way.
"""

from __future__ import annotations

from itertools import groupby

from devp2p_tx.errors import DisconnectReason, SendBufferFull
from devp2p_tx.net.rlpx.channels import MESSAGE_COST
from devp2p_tx.net.rlpx.protocol import BURST, DISCONNECT_TIMEOUT, MAX_QUEUED
from devp2p_tx.testing._tcp import WINDOW
from tests.net.rlpx.flow import FlowCase, PushProducer
from tests.net.rlpx.support import FIRST, ConnectionCase, Recording


class TestTheBound(FlowCase):
    def fill(self, size: int) -> None:
        """Queue C{size} bytes, in messages of up to 8 MiB."""
        while size:
            part = min(size, 8 << 20)
            self.channel.sendMessage(0, bytes(part))
            size -= part

    def test_atTheBound(self) -> None:
        self.congest()
        self.fill(MAX_QUEUED - (MAX_QUEUED >> 3))
        self.channel.sendMessage(0, bytes(MAX_QUEUED - self.ours.queued - MESSAGE_COST))
        self.network.settle()
        self.assertFalse(self.ours.closed)
        self.channel.sendMessage(0, b"x")
        self.network.advance(DISCONNECT_TIMEOUT)
        self.assertIsInstance(self.reason, SendBufferFull)
        self.assertQuiet()

    def test_thePeerIsTold(self) -> None:
        """A peer that reads again gets what was on its way, none of what waited, and the reason."""
        self.congest()
        self.channel.sendMessage(0, b"waits")
        self.fill(MAX_QUEUED)
        self.peer.readAgain()
        self.network.settle()
        self.assertEqual(len(self.peer.payloads(FIRST)), 1)
        self.assertEqual(self.peer.disconnectReason, DisconnectReason.SUBPROTOCOL_ERROR)
        self.assertIsInstance(self.reason, SendBufferFull)

    def test_manySmallMessages(self) -> None:
        """A message costs memory, even if it is empty."""
        self.congest()
        for _ in range(MAX_QUEUED // MESSAGE_COST + 1):
            if self.ours.closed:
                break
            self.channel.sendMessage(0, b"")
        self.assertTrue(self.ours.closed)

    def test_nothingIsKept(self) -> None:
        self.congest()
        self.fill(MAX_QUEUED + 1)
        self.network.settle()
        self.assertEqual(self.channel.queued, 0)
        self.peer.readAgain()
        del self.channel
        self.assertNothingLeft()

    def test_whatAStrangerCanMakeUsQueue(self) -> None:
        """Requests are read, and answered, while the replies are not."""
        recorder = self.recorder
        self.ours._routes[:] = [
            (lambda code, payload: recorder.transport.sendMessage(1, payload * 1000), FIRST, [0], [0], self.channel)
        ]
        self.peer.stopReading()
        most = 0
        for _ in range(400):
            for _ in range(100):
                self.peer.send(FIRST, b"x" * 100)
            self.network.settle()
            if self.ours.closed:
                break
            most = max(most, self.ours.queued)
        self.network.advance(DISCONNECT_TIMEOUT)
        self.assertLessEqual(most, MAX_QUEUED)
        self.assertIsInstance(self.reason, SendBufferFull)


class TestFairness(ConnectionCase):
    def test_takeTurns(self) -> None:
        one, other = Recording(self.clock, "one", length=1), Recording(self.clock, "two", length=1)
        peer = self.scriptedFor(one, other)
        peer.stopReading()
        first, second = one.protocols[0].transport, other.protocols[0].transport
        first.sendMessage(0, self.network.random.randbytes(WINDOW + BURST))
        self.network.settle()
        for _ in range(200):
            first.sendMessage(0, b"greedy" * 1000)
        for _ in range(20):
            second.sendMessage(0, b"modest" * 1000)
        peer.readAgain()
        self.network.settle()
        codes = [code for code, _ in peer.messages if code >= FIRST][1:]
        self.assertEqual(codes[:40], [FIRST, FIRST + 1] * 20 if codes[0] == FIRST else [FIRST + 1, FIRST] * 20)
        self.assertEqual([code for code, _ in groupby(codes[40:])], [FIRST])

    def test_twoProducers(self) -> None:
        one, other = Recording(self.clock, "one", length=1), Recording(self.clock, "two", length=1)
        peer = self.scriptedFor(one, other)
        data = self.network.random.randbytes(1000)
        producers = [PushProducer(each.protocols[0].transport, data, 3000) for each in (one, other)]
        peer.stopReading()
        for producer in producers:
            producer.resumeProducing()
        self.network.settle()
        peer.readAgain()
        while len(peer.messages) < 3000:
            self.network.clock.advance(0)
        codes = [code for code, _ in peer.messages if code >= FIRST][:3000]
        share = codes.count(FIRST) / 3000
        self.assertTrue(0.4 < share < 0.6, share)
