"""
What strangers may send: each ends that connection only, in time, without a word in the log, and leaves nothing behind.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from twisted.internet.task import LoopingCall

from devp2p_tx.core import rlp
from devp2p_tx.core.crypto import ecies
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.p2p.messages import HELLO, PING, Cap
from devp2p_tx.core.rlpx import frames
from devp2p_tx.core.rlpx.connection import HANDSHAKE_TIMEOUT, MAX_PENDING_PONGS, READ_TIMEOUT
from devp2p_tx.core.snappy import compress
from devp2p_tx.errors import (
    DisconnectReason,
    FrameError,
    HandshakeError,
    HelloError,
    InvalidIdentity,
    InvalidRLP,
    InvalidSnappy,
    MessageError,
    PeerDisconnected,
    Timeout,
)
from devp2p_tx.net.rlpx import DISCONNECT_TIMEOUT, WRITE_TIMEOUT
from devp2p_tx.testing import ScriptedPeer, Stage, snappyBomb
from devp2p_tx.testing._tcp import WINDOW
from devp2p_tx.testing.fakes import BODY_MAC, HEADER_MAC
from tests.net.support import FIRST, ConnectionCase, stripped


class BadInputCase(ConnectionCase):
    def setUp(self) -> None:
        super().setUp()
        self.friend = self.scripted()
        self.friendly = self.recorder

    def wait(self, peer: ScriptedPeer, within: float = 0.0) -> Any:
        """
        Wait for the end of the last connection.

        @param within: seconds; the default is at once.
        @return: its reason, for us.
        """
        ended: list[Any] = []
        self.ours.whenEnded().addCallback(ended.append)
        self.network.advance(within)
        self.assertTrue(peer.ended and ended, f"it lasts after {within} seconds")
        return stripped(ended[0])

    def end(self, peer: ScriptedPeer, within: float = 0.0) -> Any:
        """As L{wait}; and all else is as it was before."""
        reason = self.wait(peer, within)
        self.assertOthersLive()
        self.assertQuiet()
        self.friend.sendDisconnect(DisconnectReason.REQUESTED)
        self.network.settle()
        del self.friendly
        self.assertNothingLeft()
        return reason

    def assertOthersLive(self) -> None:
        self.assertFalse(self.friend.ended)
        self.friend.send(FIRST, b"still here?")
        self.network.settle()
        self.assertEqual(self.friendly.messages[-1], (0, b"still here?"))

    def ping(self) -> None:
        """Keep the friend's connection alive for long waits."""
        self.friend.pingForEver(self.them, 10.0, batch=1)


class TestBeforeTheHandshake(BadInputCase):
    def raw(self, data: bytes = b"") -> ScriptedPeer:
        peer = self.scripted(Stage.CONNECTED)
        peer.write(data)
        self.network.settle()
        return peer

    def packet(self, plain: bytes) -> bytes:
        """A sealed auth packet with any contents."""
        prefix = (len(plain) + ecies.OVERHEAD).to_bytes(2, "big")
        random = self.network.random.randbytes
        ephemeral = PrivateKey.generate(random)
        sealed: bytes = ecies.encrypt(self.key.public_key, plain, prefix, ephemeral=ephemeral, iv=random(16))
        return prefix + sealed

    def auth(self) -> bytes:
        return ScriptedPeer(self.key.public_key, Stage.CONNECTED).auth()

    def test_silence(self) -> None:
        peer = self.raw()
        self.network.advance(HANDSHAKE_TIMEOUT - 0.01)
        self.assertFalse(peer.ended)
        self.assertIsInstance(self.end(peer, 0.01), Timeout)

    def test_garbage(self) -> None:
        peer = self.raw(b"\x01\x00" + bytes(range(256)))
        self.assertIsInstance(self.end(peer), HandshakeError)

    def test_otherProtocol(self) -> None:
        peer = self.raw(b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n")
        self.assertRegex(str(self.end(peer)), "over the limit")

    def test_nothingOfUse(self) -> None:
        peer = self.raw(b"\0\0" + bytes(1000))
        self.assertIsInstance(self.end(peer), HandshakeError)

    def test_truncated(self) -> None:
        peer = self.raw(self.auth()[:-1])
        self.assertIsInstance(self.end(peer, HANDSHAKE_TIMEOUT), Timeout)

    def test_truncatedAndClosed(self) -> None:
        peer = self.raw(self.auth()[:100])
        peer.transport.loseConnection()
        self.end(peer)

    def test_oversized(self) -> None:
        peer = self.raw(b"\x08\x01")
        self.assertRegex(str(self.end(peer)), "2049 bytes, over the limit of 2048")

    def test_altered(self) -> None:
        packet = bytearray(self.auth())
        packet[150] ^= 1
        self.assertIsInstance(self.end(self.raw(bytes(packet))), HandshakeError)

    def test_ephemeralKeyOffTheCurve(self) -> None:
        packet = bytearray(self.auth())
        packet[3:67] = (5).to_bytes(32, "big") + (5).to_bytes(32, "big")
        self.assertIsInstance(self.end(self.raw(bytes(packet))), HandshakeError)

    def test_staticKeyOffTheCurve(self) -> None:
        packet = self.packet(rlp.encode([bytes(65), b"\1" * 64, bytes(32), b"\4"]))
        self.assertIsInstance(self.end(self.raw(packet)), HandshakeError)

    def test_signatureThatRecoversNothing(self) -> None:
        key = PrivateKey.generate(self.network.random.randbytes).public_key.to_bytes()
        for signature in (bytes(65), b"\xff" * 64 + b"\0", bytes(64) + b"\xff"):
            peer = self.raw(self.packet(rlp.encode([signature, key, bytes(32), b"\4"])))
            self.assertTrue(peer.ended)
        self.assertIsInstance(self.end(peer), HandshakeError)

    def test_contentsThatAreNoList(self) -> None:
        for plain in (b"", b"\x80", b"\xff" * 64, rlp.encode([b"too", b"few"]), b"\xc1" * 1000):
            peer = self.raw(self.packet(plain))
            self.assertTrue(peer.ended, plain)
        self.assertIsInstance(self.end(peer), HandshakeError)

    def test_madeForAnother(self) -> None:
        stranger = PrivateKey.generate(self.network.random.randbytes)
        peer = self.scripted(Stage.HANDSHAKE, remote=stranger.public_key)
        self.assertIsInstance(self.end(peer), HandshakeError)
        self.assertEqual(peer.data, b"")

    def test_replayed(self) -> None:
        packet = self.auth()
        self.raw(packet).transport.loseConnection()
        peer = self.raw(packet)
        self.assertFalse(peer.ended)
        peer.write(bytes(64))
        self.assertRegex(str(self.end(peer)), "bad header MAC")

    def test_replayedAndSilent(self) -> None:
        self.ping()
        peer = self.raw(self.auth())
        self.assertIsInstance(self.end(peer, READ_TIMEOUT + DISCONNECT_TIMEOUT), Timeout)

    def test_byteByByte(self) -> None:
        peer = self.scripted(Stage.CONNECTED)
        peer.writeSlowly(peer.auth(), self.them, HANDSHAKE_TIMEOUT / 600)
        self.network.advance(HANDSHAKE_TIMEOUT - 0.1)
        self.assertFalse(peer.ended)
        self.assertNotEqual(peer.data, b"")
        peer.transport.loseConnection()
        self.end(peer)

    def test_byteByByteTooSlowly(self) -> None:
        peer = self.scripted(Stage.CONNECTED)
        peer.writeSlowly(peer.auth(), self.them, 0.1)
        self.assertIsInstance(self.end(peer, HANDSHAKE_TIMEOUT), Timeout)

    def test_neverReads(self) -> None:
        peer = self.scripted(Stage.CONNECTED)
        peer.stopReading()
        peer.write(b"\xff\xff")
        self.network.advance(DISCONNECT_TIMEOUT)
        peer.readAgain()
        self.assertIsInstance(self.end(peer), HandshakeError)


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
        self.assertIsInstance(self.end(peer), InvalidRLP)

    def sendBody(self, peer: ScriptedPeer, body: bytes) -> None:
        """Send a frame with a body that no writer makes."""
        with patch.object(frames, "_code", lambda code: body):
            peer.send(0, b"", compress=False)
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


class TestHello(BadInputCase):
    def shaken(self, **changes: Any) -> ScriptedPeer:
        """A peer that sent a Hello with changes."""
        peer = self.scripted(Stage.HANDSHAKE)
        peer.sendHello(**changes)
        self.network.settle()
        return peer

    def test_otherMessageFirst(self) -> None:
        for code in (PING, 3, 4, FIRST, 1 << 20):
            peer = self.scripted(Stage.HANDSHAKE)
            peer.send(code, rlp.EMPTY_LIST)
            self.network.settle()
            self.assertTrue(peer.ended)
        self.assertRegex(str(self.end(peer)), "expected Hello")

    def test_malformed(self) -> None:
        for payload in (b"", b"\xc0", b"\xff", rlp.encode([b"\5", b"x", b"no list", b"", bytes(64)]), b"\x80"):
            peer = self.scripted(Stage.HANDSHAKE)
            peer.send(HELLO, payload)
            self.network.settle()
            self.assertTrue(peer.ended, payload)
        self.assertIsInstance(self.end(peer), HelloError)

    def test_wrongId(self) -> None:
        other = PrivateKey.generate(self.network.random.randbytes).public_key
        peer = self.shaken(node_key=other.to_bytes())
        self.assertEqual(peer.disconnectReason, DisconnectReason.UNEXPECTED_IDENTITY)
        self.end(peer, DISCONNECT_TIMEOUT)

    def test_zeroId(self) -> None:
        peer = self.shaken(node_key=bytes(64))
        self.assertEqual(peer.disconnectReason, DisconnectReason.INVALID_IDENTITY)
        self.assertIsInstance(self.end(peer), InvalidIdentity)

    def test_idOfAnotherLength(self) -> None:
        for size in (0, 63, 65):
            peer = self.shaken(node_key=b"\1" * size)
            self.assertEqual(peer.disconnectReason, DisconnectReason.INVALID_IDENTITY)
        self.assertIsInstance(self.end(peer), InvalidIdentity)

    def test_furtherFields(self) -> None:
        peer = self.scripted(Stage.HANDSHAKE)
        fields = rlp.decode_list(peer.hello().encode())
        peer.send(HELLO, rlp.encode([*fields, b"new", [b"nested"]]))
        self.network.settle()
        self.assertFalse(peer.ended)
        self.assertEqual(self.recorder.made, 1)

    def test_otherVersions(self) -> None:
        for version in (0, 3, 4, 6, 1 << 60):
            self.assertFalse(self.shaken(version=version).ended)

    def test_manyCapabilities(self) -> None:
        peer = self.shaken(caps=tuple(Cap(f"c{number}", 1) for number in range(3000)))
        self.assertIsInstance(self.end(peer), FrameError)

    def test_asManyCapabilitiesAsFit(self) -> None:
        peer = self.shaken(caps=tuple(Cap(f"c{number}", 1) for number in range(240)))
        self.assertEqual(peer.disconnectReason, DisconnectReason.USELESS_PEER)
        self.assertIsInstance(self.end(peer), PeerDisconnected)

    def test_sameCapabilityOften(self) -> None:
        self.shaken(caps=(Cap("echo", 1),) * 200)
        self.assertEqual(len(self.ours.channels), 1)

    def test_nothingInCommon(self) -> None:
        peer = self.shaken(caps=(Cap("echo", 2), Cap("eth", 68)))
        self.assertEqual(peer.disconnectReason, DisconnectReason.USELESS_PEER)
        reason = self.end(peer)
        assert isinstance(reason, PeerDisconnected)
        self.assertEqual((reason.reason, reason.remote), (DisconnectReason.USELESS_PEER, False))

    def test_silenceInstead(self) -> None:
        self.ping()
        peer = self.scripted(Stage.HANDSHAKE)
        self.network.advance(READ_TIMEOUT - 0.01)
        self.assertFalse(peer.ended)
        self.assertIsInstance(self.end(peer, 0.01 + DISCONNECT_TIMEOUT), Timeout)

    def test_disconnectInstead(self) -> None:
        for compressed in (False, True):
            peer = self.scripted(Stage.HANDSHAKE)
            peer.sendDisconnect(DisconnectReason.TOO_MANY_PEERS, compressed)
            reason = self.wait(peer)
            self.assertEqual((reason.reason, reason.remote), (DisconnectReason.TOO_MANY_PEERS, True))
        self.end(peer)

    def test_disconnectInOtherForms(self) -> None:
        """The forms are from go-ethereum C{p2p/message_test.go} and from what other clients are known to send."""
        forms = {b"\xc1\x04": 4, b"\x04": 4, b"\x80": 0, b"\xc1\x80": 0, b"\xc1\x00": 0, b"\xc0": 0xFF, b"": 0xFF}
        for payload, reason in forms.items():
            for compressed in (False, True)[: 1 if reason == 0xFF else 2]:
                peer = self.scripted(Stage.HANDSHAKE)
                peer.send(1, payload, compressed)
                self.assertEqual((payload, self.wait(peer).reason), (payload, reason))
        self.end(peer)

    def test_secondHello(self) -> None:
        peer = self.scripted()
        peer.send(HELLO, compress(b"whatever"), compress=False)
        self.network.settle()
        self.assertFalse(peer.ended)


class TestMessages(BadInputCase):
    def test_declaredBomb(self) -> None:
        peer = self.scripted()
        peer.send(FIRST, snappyBomb(), compress=False)
        self.assertRegex(str(self.end(peer)), "declared 4294967295 bytes, over the limit")

    def test_expandingBomb(self) -> None:
        peer = self.scripted()
        peer.send(FIRST, snappyBomb(declared=100, expanded=1 << 24), compress=False)
        self.assertIsInstance(self.end(peer), InvalidSnappy)

    def test_bombJustOverTheLimit(self) -> None:
        peer = self.scripted()
        peer.send(FIRST, snappyBomb(1 << 24, 1 << 24), compress=False)
        self.assertIsInstance(self.end(peer), InvalidSnappy)

    def test_bombInAPing(self) -> None:
        peer = self.scripted()
        peer.send(PING, snappyBomb(), compress=False)
        self.assertIsInstance(self.end(peer), InvalidSnappy)

    def test_bombInADisconnect(self) -> None:
        peer = self.scripted()
        peer.send(1, snappyBomb(), compress=False)
        self.assertEqual(getattr(self.end(peer), "reason", None), DisconnectReason.INVALID)

    def test_notSnappy(self) -> None:
        for payload in (b"", b"\xff" * 20, b"\x05\x00"):
            peer = self.scripted()
            peer.send(FIRST, payload, compress=False)
            self.network.settle()
            self.assertTrue(peer.ended, payload)
        self.assertIsInstance(self.end(peer), InvalidSnappy)

    def test_codeOutOfRange(self) -> None:
        for code in (FIRST + 2, 255, 1 << 32, (1 << 64) - 1):
            peer = self.scripted()
            peer.send(code, b"?")
            self.network.settle()
            self.assertEqual(peer.disconnectReason, DisconnectReason.BREACH_OF_PROTOCOL)
        self.assertIsInstance(self.end(peer), MessageError)

    def test_reservedCodes(self) -> None:
        peer = self.scripted()
        for code in range(3, FIRST):
            peer.send(code, b"?")
        self.network.settle()
        self.assertFalse(peer.ended)
        self.assertEqual(self.recorder.messages, [])

    def test_pingsWithContents(self) -> None:
        peer = self.scripted()
        for payload in (b"", b"\x80", b"anything", bytes(100_000)):
            peer.send(PING, payload)
        self.network.settle()
        self.assertEqual((peer.pongs, peer.ended), (4, False))


class TestFloods(BadInputCase):
    def test_pingsOfAReader(self) -> None:
        peer = self.scripted()
        peer.pingForEver(self.them, 0.1, batch=1000)
        self.network.advance(2)
        self.assertFalse(peer.ended)
        # 16 for each read of the socket, of which a batch takes one or two
        self.assertLessEqual(peer.pongs, 42 * MAX_PENDING_PONGS)
        self.assertGreater(peer.pongs, 20 * MAX_PENDING_PONGS)
        peer.transport.loseConnection()
        self.end(peer)

    def test_pingsOfOneWhoDoesNotRead(self) -> None:
        peer = self.scripted()
        peer.stopReading()
        flood = LoopingCall(lambda: peer.write(b"".join(peer.frame(PING, rlp.EMPTY_LIST) for _ in range(100))))
        flood.clock = self.them
        flood.start(0.01)
        self.network.advance(1.5)
        flood.stop()
        peer.readAgain()
        self.network.settle()
        # what fills the socket, and what waits for room in it; of 15,000
        frame = 64
        self.assertLess(peer.pongs, WINDOW // frame + 2 * MAX_PENDING_PONGS)
        self.assertGreater(peer.pongs, WINDOW // frame)
        peer.transport.loseConnection()
        self.end(peer)

    def test_pingsOfOneWhoNeverReads(self) -> None:
        self.ping()
        peer = self.scripted()
        peer.stopReading()
        peer.pingForEver(self.them, 0.1, batch=1000)
        self.network.advance(30)
        self.assertTrue(self.ours.closed)
        peer.readAgain()
        self.assertIsInstance(self.end(peer), Timeout)

    def test_neverReads(self) -> None:
        peer = self.scripted()
        self.ping()
        peer.stopReading()
        self.recorder.transport.sendMessage(0, self.network.random.randbytes(1 << 20))
        self.network.advance(WRITE_TIMEOUT - 0.01)
        self.assertFalse(self.ours.closed)
        self.network.advance(0.01)
        peer.readAgain()
        self.assertIsInstance(self.end(peer), Timeout)


class TestAsInitiator(BadInputCase):
    """The same, where we called."""

    def called(self, does: Stage = Stage.HELLO, key: PrivateKey | None = None) -> ScriptedPeer:
        peer = ScriptedPeer(does=does, key=key, randomBytes=self.network.random.randbytes)
        self.call(peer)
        return peer

    def test_silence(self) -> None:
        peer = self.called(Stage.CONNECTED)
        self.assertIsInstance(self.end(peer, HANDSHAKE_TIMEOUT), Timeout)

    def test_garbage(self) -> None:
        peer = self.called(Stage.CONNECTED)
        peer.write(b"\x01\x00" + bytes(300))
        self.assertIsInstance(self.end(peer), HandshakeError)

    def test_ourOwnAuthComesBack(self) -> None:
        peer = self.called(Stage.CONNECTED)
        peer.write(peer.data)
        self.assertIsInstance(self.end(peer), HandshakeError)

    def test_zeroId(self) -> None:
        peer = self.called(Stage.HANDSHAKE)
        peer.sendHello(node_key=bytes(64))
        self.assertIsInstance(self.end(peer), InvalidIdentity)
        self.assertEqual(peer.disconnectReason, DisconnectReason.INVALID_IDENTITY)

    def test_badMAC(self) -> None:
        peer = self.called()
        peer.sendCorrupt(FIRST, b"hello", BODY_MAC)
        self.assertIsInstance(self.end(peer), FrameError)

    def test_disconnectWithTheAck(self) -> None:
        """As a node does that has too many peers; both packets may come in one segment."""
        for compressed in (False, True):
            peer = self.called(Stage.CONNECTED)
            with peer.inOneWrite():
                peer.goOn(Stage.HANDSHAKE)
                peer.sendDisconnect(DisconnectReason.TOO_MANY_PEERS, compressed)
            reason = self.wait(peer)
            self.assertEqual((reason.reason, reason.remote), (DisconnectReason.TOO_MANY_PEERS, True))
        self.end(peer)

    def test_disconnectWithTheHello(self) -> None:
        """As a node does that has too many peers once it knows who calls."""
        peer = self.called(Stage.HANDSHAKE)
        with peer.inOneWrite():
            peer.sendHello()
            peer.sendDisconnect(DisconnectReason.TOO_MANY_PEERS, True)
        reason = self.wait(peer)
        self.assertEqual((reason.reason, reason.remote), (DisconnectReason.TOO_MANY_PEERS, True))
        self.end(peer)
