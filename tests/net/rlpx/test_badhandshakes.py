"""
What strangers may send before they are known: each ends that connection only, in time, without a word in the log, and
leaves nothing behind.
"""

from __future__ import annotations

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto import ecies
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.rlpx.connection import HANDSHAKE_TIMEOUT, READ_TIMEOUT
from devp2p_tx.errors import (
    HandshakeError,
    Timeout,
)
from devp2p_tx.net.rlpx.protocol import DISCONNECT_TIMEOUT
from devp2p_tx.testing import ScriptedPeer, Stage
from tests.net.rlpx.badinput import BadInputCase


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
