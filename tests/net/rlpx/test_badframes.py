"""
Frames that are no frames.
"""

from __future__ import annotations

from devp2p_tx.core.p2p.messages import HELLO
from devp2p_tx.core.rlpx.connection import READ_TIMEOUT
from devp2p_tx.errors import (
    DisconnectReason,
    FrameError,
    InvalidRLP,
    Timeout,
)
from devp2p_tx.net.rlpx.protocol import DISCONNECT_TIMEOUT
from devp2p_tx.testing import ScriptedPeer, Stage
from devp2p_tx.testing.fakes import BODY_MAC, HEADER_MAC
from tests.net.rlpx.badinput import BadInputCase
from tests.net.rlpx.support import FIRST


class TestFrames(BadInputCase):
    def test_badHeaderMAC(self) -> None:
        peer = self.scripted()
        peer.sendCorrupt(FIRST, b"hello", HEADER_MAC)
        self.assertRegex(str(self.end(peer)), "bad header MAC")

    def test_badHeader(self) -> None:
        peer = self.scripted()
        peer.sendCorrupt(FIRST, b"hello", 0)
        self.assertIsInstance(self.end(peer), FrameError)

    def test_badBodyMAC(self) -> None:
        peer = self.scripted()
        peer.sendCorrupt(FIRST, b"hello", BODY_MAC)
        self.assertRegex(str(self.end(peer)), "bad frame MAC")

    def test_goodFramesBeforeABadOne(self) -> None:
        peer = self.scripted()
        messages = self.recorder.messages
        good = peer.frame(FIRST, b"good")
        bad = bytearray(peer.frame(FIRST, b"bad"))
        bad[-1] ^= 1
        peer.write(good + bytes(bad))
        self.end(peer)
        self.assertEqual(messages, [(0, b"good")])

    def test_overTheLimitInsteadOfHello(self) -> None:
        peer = self.scripted(Stage.HANDSHAKE)
        peer.write(peer.frame(HELLO, bytes(3000))[:32])
        self.assertRegex(str(self.end(peer)), "over the limit")

    def test_withoutABody(self) -> None:
        peer = self.scripted()
        frame = peer.frame(FIRST, b"")
        peer.write(frame[:40])
        self.ping()
        self.assertIsInstance(self.end(peer, READ_TIMEOUT + DISCONNECT_TIMEOUT), Timeout)

    def test_codeThatIsNotCanonical(self) -> None:
        for body in (b"\x81\x05", b"\x82\x00\x10", b"\xc1\x10", b"\x89" + b"\xff" * 9, b"\x82\x01", b"\xb8"):
            peer = self.scripted()
            self.sendBody(peer, body)
            self.assertIsInstance(self.wait(peer), InvalidRLP)
        self.end(peer)

    def test_withoutEvenACode(self) -> None:
        peer = self.scripted()
        self.sendBody(peer, b"")
        error = self.end(peer)
        self.assertIsInstance(error, InvalidRLP)
        self.assertEqual(str(error), "empty frame: it has no message code")

    def test_whatIsTold(self) -> None:
        """A frame whose MAC is right was the peer's: it is told of the breach. After a wrong MAC nothing is."""
        for body in (b"", b"\x82\x00\x10", b"\x10\xff\xff\xff\xff\xff"):
            peer = self.scripted()
            self.sendBody(peer, body)
            self.assertEqual(peer.disconnectReason, DisconnectReason.BREACH_OF_PROTOCOL)
        peer = self.scripted(Stage.HANDSHAKE)
        peer.write(peer.frame(HELLO, bytes(3000))[:32])
        self.network.settle()
        self.assertEqual(peer.disconnectReason, DisconnectReason.BREACH_OF_PROTOCOL)
        peer = self.scripted()
        peer.sendCorrupt(FIRST, b"hello", BODY_MAC)
        self.network.settle()
        self.assertTrue(peer.ended)
        self.assertIsNone(peer.disconnectReason)

    def sendBody(self, peer: ScriptedPeer, body: bytes) -> None:
        """Send a frame with a body that no writer makes."""
        writer = peer._writer

        def mac(sealed: bytes = b"") -> bytes:
            seed = writer._digest()[:16]
            writer._update(writer._mask(seed + (sealed or seed))[16:])
            return writer._digest()[:16]

        sealed = writer._encrypt(
            len(body).to_bytes(3, "big") + b"\xc2\x80\x80" + bytes(10) + body + bytes(-len(body) % 16)
        )
        head = sealed[:16] + mac(sealed[:16])
        writer._update(sealed[16:])
        writer._seed = mac()
        peer.write(head + sealed[16:] + writer._seed)
        self.network.settle()

    def test_slowFrame(self) -> None:
        peer = self.scripted()
        self.ping()
        peer.writeSlowly(peer.frame(FIRST, bytes(500), compress=False), self.them, 0.1)
        self.assertIsInstance(self.end(peer, READ_TIMEOUT + DISCONNECT_TIMEOUT), Timeout)

    def test_byteByByte(self) -> None:
        peer = self.scripted()
        messages = self.recorder.messages
        for payload in (b"", b"short", bytes(100)):
            peer.writeSlowly(peer.frame(FIRST, payload), self.them, 0.01)
            self.network.advance(3)
        self.assertEqual([payload for _, payload in messages], [b"", b"short", bytes(100)])
        peer.transport.loseConnection()
        self.end(peer)
