from __future__ import annotations

import gc
from weakref import ref

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.errors import DisconnectReason, PeerDisconnected
from devp2p_tx.net.rlpx.capability import Capability, CapabilityProtocol
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
