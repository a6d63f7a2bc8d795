from __future__ import annotations

import gc
from weakref import ref

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.errors import DisconnectReason, PeerDisconnected
from devp2p_tx.interfaces import IPeer
from devp2p_tx.net.rlpx.capability import Capability, CapabilityProtocol, CoroutineCapability, MessageStream
from devp2p_tx.testing import EchoCapability, MemoryNetwork, connectedPair


class Greeting(CapabilityProtocol):
    """What a user might write."""

    heard: str | None = None

    def messageReceived(self, code: int, payload: bytes) -> None:
        self.heard = payload.decode()


class TestConnectedPair(SynchronousTestCase):
    def test_usersCapability(self) -> None:
        """A user's whole test: connect, act, settle, look, close."""
        pair = connectedPair(Capability("greet", 1, 1, Greeting))
        pair.protocolA.transport.sendMessage(0, b"hello")
        pair.settle()
        self.assertEqual(pair.protocolB.heard, "hello")
        pair.close()

    def test_bothKnowEachOther(self) -> None:
        pair = connectedPair(EchoCapability())
        self.assertEqual(pair.a.remoteAddress, pair.b.localAddress)
        self.assertNotEqual(pair.a.remoteKey, pair.b.remoteKey)
        pair.close()

    def test_peers(self) -> None:
        """Each side is given the other as a Server would give it."""
        capability = Capability("greet", 1, 1, Greeting)
        pair = connectedPair(capability)
        for peer, end, name, isInbound in ((pair.peerA, pair.b, "peer A", True), (pair.peerB, pair.a, "peer B", False)):
            self.assertTrue(verifyObject(IPeer, peer))
            assert end.remoteKey is not None
            self.assertEqual((peer.name, peer.fullname, peer.inbound), (name, name, isInbound))
            self.assertEqual((peer.id, peer.node.public_key), (end.remoteKey.node_id.hex(), end.remoteKey))
            self.assertEqual((peer.caps, peer.running), ((Cap("greet", 1),), [capability]))
            self.assertEqual((peer.remoteAddress, peer.localAddress), (end.remoteAddress, end.localAddress))
            self.assertTrue(peer.runningCap("greet", [1, 2]))
            self.assertFalse(peer.runningCap("greet", [2]) or peer.runningCap("echo", [1]))
        self.assertIs(pair.protocolA.peer, pair.peerB)
        ended = pair.peerB.whenEnded()
        pair.peerB.disconnect(DisconnectReason.TOO_MANY_PEERS)
        pair.advance(2)
        self.assertEqual(str(self.successResultOf(ended)), "too many peers")

    def test_coroutine(self) -> None:
        """README's kind of coroutine runs as it does in a Server."""
        heard: list[bytes] = []

        async def run(peer: IPeer, rw: MessageStream) -> None:
            await rw.writeMessage(0, b"hello, " + peer.name.encode())
            _, payload = await rw.readMessage()
            heard.append(payload)
            await rw.writeMessage(0, peer.id.encode())

        pair = connectedPair(CoroutineCapability("hi", 1, 1, run))
        pair.settle()
        self.assertEqual(sorted(heard), [b"hello, peer A", b"hello, peer B"])
        pair.close()

    def test_close(self) -> None:
        pair = connectedPair(EchoCapability())
        reasons = pair.protocolA.whenLost(), pair.protocolB.whenLost()
        pair.close(DisconnectReason.CLIENT_QUITTING)
        for each in reasons:
            reason = self.successResultOf(each)
            self.assertIsInstance(reason, PeerDisconnected)
            self.assertEqual(reason.reason, DisconnectReason.CLIENT_QUITTING)
        self.assertEqual((list(pair.clock.getDelayedCalls()), list(pair.network.connections)), ([], []))

    def test_twoCapabilities(self) -> None:
        ours, theirs = EchoCapability(), EchoCapability()
        pair = connectedPair(ours, theirs)
        self.assertEqual((ours.protocols, theirs.protocols), ([pair.protocolA], [pair.protocolB]))
        pair.close()
        self.assertFalse(ours.protocols[0].connected)

    def test_several(self) -> None:
        pair = connectedPair([EchoCapability(), EchoCapability("other")], [EchoCapability("other"), EchoCapability()])
        self.assertEqual([each.capability.name for each in pair.a.channels], ["echo", "other"])
        pair.close()

    def test_freedAtOnce(self) -> None:
        """What a connection held does not wait for the garbage collector when it has ended."""
        gc.disable()
        self.addCleanup(gc.enable)
        pair = connectedPair(Capability("greet", 1, 1, Greeting))
        held = [ref(each) for each in (pair.b, pair.protocolA, pair.protocolB)]  # A is held by Twisted's endpoint
        pair.close()
        del pair
        self.assertEqual([each() for each in held], [None] * 3)

    def test_nothingInCommon(self) -> None:
        self.assertRaises(ValueError, connectedPair, EchoCapability(), EchoCapability("other"))

    def test_latency(self) -> None:
        pair = connectedPair(EchoCapability(), network=MemoryNetwork(latency=0.1))
        pair.protocolA.request(b"there and back")
        pair.settle()
        self.assertEqual(pair.protocolA.replies, [b"there and back"])
        pair.close()
        self.assertEqual(list(pair.clock.getDelayedCalls()), [])

    def test_twoPairsInOneNetwork(self) -> None:
        network = MemoryNetwork()
        for pair in (
            connectedPair(EchoCapability(), network=network),
            connectedPair(EchoCapability(), network=network),
        ):
            pair.protocolA.request(b"x")
            pair.settle()
            self.assertEqual(pair.protocolA.replies, [b"x"])
            pair.close()

    def test_sameEachTime(self) -> None:
        keys = {connectedPair(EchoCapability()).a.remoteKey.to_bytes() for _ in range(3)}  # type: ignore[union-attr]
        self.assertEqual(len(keys), 1)
