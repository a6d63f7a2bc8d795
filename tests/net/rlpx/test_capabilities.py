"""
Tests for L{devp2p_tx.net.rlpx.capability}, written as protocols.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.errors import LocalProtocolError
from devp2p_tx.interfaces import ICapability, ICapabilityProtocol, ICapabilityTransport
from devp2p_tx.net.rlpx.capability import Capability, CapabilityProtocol, CoroutineCapability
from devp2p_tx.testing import EchoCapability, connectedPair
from tests.net.rlpx.support import FIRST, OUR_ADDRESS, THEIR_ADDRESS, ConnectionCase, Recording


class TestDeclaring(SynchronousTestCase):
    def test_interfaces(self) -> None:
        verifyObject(ICapability, Capability("eth", 68, 17, CapabilityProtocol))
        verifyObject(ICapabilityProtocol, CapabilityProtocol())
        verifyObject(ICapability, CoroutineCapability("eth", 68, 17, None))  # type: ignore[arg-type]

    def test_bad(self) -> None:
        for name, version, length in (
            ("", 1, 1),
            ("ninechars", 1, 1),
            ("äöü", 1, 1),
            ("a\nb", 1, 1),
            ("eth", -1, 1),
            ("eth", 1, 0),
            ("eth", 1, 1 << 32),
        ):
            with self.assertRaises(ValueError):
                Capability(name, version, length)

    def test_withoutProtocol(self) -> None:
        self.assertRaises(NotImplementedError, Capability("eth", 68, 17).buildProtocol, None)

    def test_nothingToShow(self) -> None:
        capability = Capability("eth", 68, 17)
        self.assertEqual((capability.nodeInfo(), capability.peerInfo("00")), (None, None))


class TestProtocols(ConnectionCase):
    def test_made(self) -> None:
        self.scripted()
        self.assertEqual((self.recorder.made, self.recorder.peer.node.public_key), (1, self.ours.remoteKey))

    def test_peerOfACapabilityProtocol(self) -> None:
        made = CapabilityProtocol()
        self.speak(Capability("echo", 1, 2, lambda: made))
        peer = self.scripted()
        self.assertEqual(made.peer.node.public_key, self.ours.remoteKey)
        peer.send(FIRST, b"ignored")
        self.network.settle()
        self.assertFalse(peer.ended)

    def test_bothWays(self) -> None:
        pair = connectedPair(EchoCapability())
        for payload in (b"", b"x", bytes(100_000), bytes(range(256)) * 40_000):
            pair.protocolA.request(payload)
            pair.settle()
            self.assertTrue(pair.protocolA.replies[-1] == payload)
        pair.close()

    def test_largestMessage(self) -> None:
        pair = connectedPair(EchoCapability())
        pair.protocolA.request(bytes((1 << 24) - 1))
        pair.settle()
        self.assertEqual(len(pair.protocolA.replies[0]), (1 << 24) - 1)
        self.assertRaises(LocalProtocolError, pair.protocolA.request, bytes(1 << 24))
        pair.settle()
        self.assertTrue(pair.protocolB.connected)
        pair.close()

    def test_codesThatAreNotOurs(self) -> None:
        self.scripted()
        for code in (-1, 2, 1 << 40):
            self.assertRaises(LocalProtocolError, self.recorder.transport.sendMessage, code, b"")

    def test_addresses(self) -> None:
        self.scripted()
        transport = self.recorder.transport
        verifyObject(ICapabilityTransport, transport)
        self.assertEqual((transport.getHost().host, transport.getPeer().host), (OUR_ADDRESS, THEIR_ADDRESS))

    def test_offsets(self) -> None:
        """Names in alphabetical order, the highest version, and no codes for what is not shared."""
        offered = [Recording(self.clock, *each) for each in (("b", 1, 3), ("a", 1, 5), ("a", 2, 7), ("c", 1, 1))]
        self.speak(*offered)
        peer = self.scripted(caps=(Cap("c", 1), Cap("a", 2), Cap("a", 1), Cap("d", 1)))
        peer.send(FIRST + 6, b"last of a/2")
        peer.send(FIRST + 7, b"c/1")
        self.network.settle()
        received = [protocol.messages for each in offered for protocol in each.protocols]
        self.assertEqual(received, [[(6, b"last of a/2")], [(0, b"c/1")]])

    def test_traffic(self) -> None:
        pair = connectedPair(EchoCapability())
        pair.protocolA.request(b"x" * 80)
        pair.settle()
        traffic = pair.b.factory.metrics.traffic("echo/1", 2)  # type: ignore[union-attr]
        # 1 byte of code, 80 of payload as 9 of snappy, padded to 16, and 48 around it
        received, sent = traffic.received, traffic.sent
        self.assertEqual(
            (received.messages, received.bytes, sent.messages, sent.bytes), ([1, 0], [64, 0], [0, 1], [0, 64])
        )
        pair.close()
