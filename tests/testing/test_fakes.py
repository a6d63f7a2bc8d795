from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from devp2p_tx.core.codec.snappy import decompress
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.p2p.messages import PING, Cap
from devp2p_tx.errors import InvalidSnappy
from devp2p_tx.net.rlpx.factory import RLPxFactory
from devp2p_tx.testing import EchoCapability, MemoryNetwork, ScriptedPeer, Stage, snappyBomb


class TestTwoOfThem(SynchronousTestCase):
    """A scripted peer against another, as each other's proof."""

    def joined(self, does: Stage) -> tuple[ScriptedPeer, ScriptedPeer, MemoryNetwork]:
        network = MemoryNetwork()
        called = ScriptedPeer(does=does, randomBytes=network.random.randbytes)
        called.listen(network.host("192.0.2.2"), 30303)
        caller = ScriptedPeer(called.key.public_key, does, randomBytes=network.random.randbytes)
        caller.connect(network.host("192.0.2.1"), "192.0.2.2", 30303)
        network.settle()
        return caller, called, network

    def test_connected(self) -> None:
        caller, called, network = self.joined(Stage.CONNECTED)
        caller.write(b"anything")
        network.settle()
        self.assertEqual((called.data, caller.handshaken), (b"anything", False))

    def test_handshake(self) -> None:
        caller, called, _ = self.joined(Stage.HANDSHAKE)
        self.assertEqual((caller.handshaken, called.handshaken, called.messages), (True, True, []))

    def test_hello(self) -> None:
        caller, called, network = self.joined(Stage.HELLO)
        self.assertEqual(len(caller.messages), 1)
        caller.send(16, b"compressed")
        called.send(17, b"too")
        network.settle()
        self.assertEqual((called.payloads(16), caller.payloads(17)), ([b"compressed"], [b"too"]))

    def test_goesOn(self) -> None:
        caller, called, network = self.joined(Stage.CONNECTED)
        for does in (Stage.HANDSHAKE, Stage.HELLO):
            for peer in (caller, called, caller):
                peer.goOn(does)
                network.settle()
        self.assertEqual((len(caller.messages), len(called.messages)), (1, 1))

    def test_disconnect(self) -> None:
        caller, called, network = self.joined(Stage.HELLO)
        self.assertIsNone(called.disconnectReason)
        caller.sendDisconnect(4)
        network.settle()
        self.assertEqual((called.disconnectReason, called.ended), (4, False))

    def test_slowly(self) -> None:
        caller, called, network = self.joined(Stage.CONNECTED)
        done = caller.writeSlowly(b"abcde", network.clock, 1.0, size=2)
        network.advance(1.5)
        self.assertEqual(called.data, b"abcd")
        self.assertNoResult(done)
        network.advance(2)
        self.successResultOf(done)
        self.assertEqual(called.data, b"abcde")

    def test_loopsEndWithTheConnection(self) -> None:
        caller, called, network = self.joined(Stage.HELLO)
        loops = caller.pingForEver(network.clock, 1.0), caller.writeSlowly(bytes(100), network.clock, 1.0)
        called.transport.loseConnection()
        network.advance(1)
        for loop in loops:
            self.successResultOf(loop)
        self.assertEqual(list(network.clock.getDelayedCalls()), [])

    def test_takesOneCall(self) -> None:
        _, called, network = self.joined(Stage.CONNECTED)
        late = ScriptedPeer(called.key.public_key, Stage.CONNECTED)
        late.connect(network.host("192.0.2.1"), "192.0.2.2", 30303)
        network.settle()
        self.assertTrue(late.ended)


class TestBombs(SynchronousTestCase):
    def test_declared(self) -> None:
        with self.assertRaisesRegex(InvalidSnappy, "declared 4294967295 bytes"):
            decompress(snappyBomb(), 1 << 24)

    def test_expands(self) -> None:
        """Its copies are valid: with the right length declared it expands in full."""
        bomb = snappyBomb(declared=64 * 1000 + 1, expanded=64 * 1000)
        self.assertEqual((len(decompress(bomb, 1 << 20)), len(bomb)), (64_001, 3005))


class TestSockets(TestCase):
    """The same peer over a real socket, where the connection writes to the socket itself."""

    timeout = 20

    async def test_loopback(self) -> None:
        from twisted.internet import reactor

        network = MemoryNetwork()
        key = PrivateKey.generate(network.random.randbytes)
        real: Any = reactor
        echo = EchoCapability()
        port = real.listenTCP(0, RLPxFactory(key, [echo], "us"), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        peer = ScriptedPeer(key.public_key, Stage.HELLO, (Cap("echo", 1),))
        ended: Deferred[None] = Deferred()
        answered: Deferred[None] = Deferred()
        lost, received = peer.connectionLost, peer.dataReceived

        def connectionLost(reason: Any) -> None:
            lost(reason)
            ended.callback(None)

        def dataReceived(data: bytes) -> None:
            received(data)
            if peer.payloads(17) and not answered.called:
                answered.callback(None)
            elif len(peer.messages) == 1:
                peer.send(16, bytes(range(256)) * 40_000)
                peer.send(PING, b"")

        peer.connectionLost, peer.dataReceived = connectionLost, dataReceived  # type: ignore[method-assign]
        peer.connect(real, "127.0.0.1", port.getHost().port)
        await answered
        self.assertTrue(peer.payloads(17) == [bytes(range(256)) * 40_000])
        gone = echo.protocols[0].whenLost()
        peer.sendCorrupt(16, b"", 0)
        await ended
        await gone
