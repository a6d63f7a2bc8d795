"""
What may come in place of a Hello.
"""

from __future__ import annotations

from typing import Any

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.codec.snappy import compress
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.p2p.messages import HELLO, PING, Cap
from devp2p_tx.core.rlpx.connection import HELLO_TIMEOUT
from devp2p_tx.errors import (
    DisconnectReason,
    FrameError,
    HelloError,
    InvalidIdentity,
    PeerDisconnected,
    Timeout,
)
from devp2p_tx.net.rlpx.protocol import DISCONNECT_TIMEOUT
from devp2p_tx.testing import ScriptedPeer, Stage
from tests.net.rlpx.badinput import BadInputCase
from tests.net.rlpx.support import FIRST


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
        fields = rlp.decode(peer.hello().encode())
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
        self.network.advance(HELLO_TIMEOUT - 0.01)
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
