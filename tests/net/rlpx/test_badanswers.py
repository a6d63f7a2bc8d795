"""
What may answer when we call.
"""

from __future__ import annotations

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.rlpx.connection import HANDSHAKE_TIMEOUT
from devp2p_tx.errors import (
    DisconnectReason,
    FrameError,
    HandshakeError,
    InvalidIdentity,
    Timeout,
)
from devp2p_tx.testing import ScriptedPeer, Stage
from devp2p_tx.testing.fakes import BODY_MAC
from tests.net.rlpx.badinput import BadInputCase
from tests.net.rlpx.support import FIRST


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
