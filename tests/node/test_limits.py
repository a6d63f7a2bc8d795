"""
Tests of how many peers there may be, and of those for whom that does not count.
"""

from __future__ import annotations

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.errors import DisconnectReason
from devp2p_tx.node.config import ServerConfig, clientName
from devp2p_tx.testing import EchoCapability
from tests.node.support import ServerTestCase, keyOf, node

TOO_MANY = DisconnectReason.TOO_MANY_PEERS
KEY = PrivateKey(bytes(31) + b"\1")


class ConfigTests(ServerTestCase):
    """L{ServerConfig}."""

    def test_defaults(self) -> None:
        """Fifty peers, a third of them dialled."""
        config = ServerConfig(KEY)
        self.assertEqual((config.maxPeers, config.maxPendingPeers, config.dialRatio), (50, 50, 3))
        self.assertEqual((config.maxDialed, config.maxInbound), (16, 34))
        self.assertIsNone(config.netrestrict)
        self.assertFalse(config.noDial or config.messageEvents)

    def test_split(self) -> None:
        """The dialled share is rounded down, but at least one; the rest may dial us."""
        table = [(50, 3, 16), (50, 1, 50), (50, 2, 25), (3, 3, 1), (2, 3, 1), (1, 50, 1), (0, 3, 0), (100, 7, 14)]
        for maxPeers, ratio, dialed in table:
            config = ServerConfig(KEY, maxPeers=maxPeers, dialRatio=ratio)
            self.assertEqual((config.maxDialed, config.maxInbound), (dialed, maxPeers - dialed), (maxPeers, ratio))

    def test_no_dial(self) -> None:
        """All places are for those who dial us."""
        config = ServerConfig(KEY, noDial=True)
        self.assertEqual((config.maxDialed, config.maxInbound), (0, 50))

    def test_out_of_range(self) -> None:
        """Each number has a least value, which the sentence names."""
        for field, value, sentence in [
            ("maxPeers", -1, "maxPeers: want a whole number from 0, not -1"),
            ("maxPendingPeers", 0, "maxPendingPeers: want a whole number from 1, not 0"),
            ("dialRatio", 0, "dialRatio: want a whole number from 1, not 0"),
        ]:
            error = self.assertRaises(ValueError, ServerConfig, KEY, **{field: value})
            self.assertEqual(str(error), sentence)

    def test_capability_twice(self) -> None:
        """Two versions of a capability are two; twice the same is a mistake."""
        ServerConfig(KEY, [EchoCapability(version=1), EchoCapability(version=2), EchoCapability("other")])
        error = self.assertRaises(ValueError, ServerConfig, KEY, [EchoCapability(), EchoCapability()])
        self.assertEqual(str(error), "capabilities: echo/1 is given twice")

    def test_client_name(self) -> None:
        """Who we are, where, and in which Python; an identity stands second."""
        name = clientName()
        self.assertRegex(name, r"^devp2p-tx/v[0-9.a-z+]+/[a-z]+-[a-z0-9_]+/py[a-z]*3\.[0-9]+$")
        self.assertEqual(clientName("me"), name.replace("devp2p-tx/", "devp2p-tx/me/"))


class NoPeersTests(ServerTestCase):
    """A server with C{maxPeers} 0."""

    def test_nobody(self) -> None:
        """It dials nobody, and lets nobody in."""
        self.answer(2)
        server = self.start(1, maxPeers=0, staticNodes=[node(2)])
        self.assertEqual(self.call(3, 1).disconnectReason, TOO_MANY)
        self.moment(100)
        self.assertEqual((self.numbers(1), server.metrics.value("dials")), ([], 0))

    def test_but_trusted_nodes(self) -> None:
        """Whom it trusts is let in."""
        self.start(1, maxPeers=0, trustedNodes=[node(2)])
        self.call(2, 1)
        self.assertEqual(self.numbers(1), [2])


class SplitTests(ServerTestCase):
    """Places for those who dial us, and for those whom we dial."""

    def test_inbound(self) -> None:
        """Who dials us does not get the place of one whom we dial."""
        server = self.start(1, maxPeers=3, dialRatio=3)
        self.assertEqual([self.call(number, 1).disconnectReason for number in (2, 3, 4)], [None, None, TOO_MANY])
        self.answer(5)
        server.addPeer(node(5))
        self.moment()
        self.assertEqual(self.numbers(1), [2, 3, 5])

    def test_place_is_free_again(self) -> None:
        """When a peer leaves the next may come."""
        server = self.start(1, maxPeers=2, dialRatio=2)
        first = self.call(2, 1)
        self.assertEqual(self.call(3, 1).disconnectReason, TOO_MANY)
        first.sendDisconnect(0)
        self.moment()
        self.assertIsNone(self.call(4, 1).disconnectReason)
        self.assertEqual((self.numbers(1), server.peerCount), ([4], 1))

    def test_all(self) -> None:
        """However they came, there are no more than that: the second that was dialled takes the last place."""
        for number in (5, 6, 7):
            self.answer(number)
        server = self.start(1, maxPeers=3, dialRatio=3, staticNodes=[node(5), node(6)])
        self.assertEqual(self.numbers(1), [5, 6])
        self.assertEqual([self.call(number, 1).disconnectReason for number in (2, 3)], [None, TOO_MANY])
        connecting = server.connect(node(7))
        self.moment()
        self.assertEqual(self.failureResultOf(connecting).value.reason, TOO_MANY)

    def test_static_nodes(self) -> None:
        """Static nodes are dialed when the dialed places are taken, and take none."""
        for number in (4, 5, 6):
            self.answer(number)
        server = self.start(1, maxPeers=4, dialRatio=4)
        connecting = server.connect(node(4))
        self.moment()
        self.successResultOf(connecting)
        for number in (5, 6):
            server.addPeer(node(number))
        self.moment()
        self.assertEqual((self.numbers(1), server.metrics.value("dials")), ([4, 5, 6], 3))

    def test_static_nodes_that_call(self) -> None:
        """A static node that calls us takes no inbound place."""
        server = self.start(1, maxPeers=3, dialRatio=2)
        server.addPeer(node(5))
        server.addPeer(node(6))
        self.host(5), self.host(6)
        self.moment()
        calls = [self.call(number, 1).disconnectReason for number in (5, 6, 2, 3)]
        self.assertEqual(calls, [None, None, None, TOO_MANY])


class TrustedTests(ServerTestCase):
    """Trusted nodes."""

    def flags(self) -> dict[int, str]:
        """The peers' flags, by number."""
        byId = {node(number).node_id.hex(): number for number in range(1, 20)}
        return {byId[peer.id]: str(peer.flags) for peer in self.servers[1].peers()}

    def test_past_all_limits(self) -> None:
        """They are let in when the house is full; others are not."""
        self.start(1, maxPeers=1, noDial=True, trustedNodes=[node(3), node(4)])
        reasons = [self.call(number, 1).disconnectReason for number in (2, 3, 4, 5)]
        self.assertEqual(reasons, [None, None, None, TOO_MANY])
        self.assertEqual(self.flags(), {2: "inbound", 3: "trusted-inbound", 4: "trusted-inbound"})

    def test_they_take_no_place(self) -> None:
        """There is as much room for others as without them, whoever dialed."""
        self.answer(4)
        self.start(1, maxPeers=2, dialRatio=2, trustedNodes=[node(3), node(4)], staticNodes=[node(4)])
        self.assertEqual([self.call(number, 1).disconnectReason for number in (3, 2, 5)], [None, None, TOO_MANY])
        self.assertEqual(self.numbers(1), [2, 3, 4])

    def test_not_past_other_checks(self) -> None:
        """A trusted node is one peer, as every other, and must be of use."""
        self.start(1, trustedNodes=[node(2)])
        self.call(2, 1)
        again = self.scripted(2, remote=keyOf(1))
        again.connect(self.host(3), "10.0.0.1", 30303)
        self.moment()
        self.assertEqual(again.disconnectReason, DisconnectReason.ALREADY_CONNECTED)

    def test_not_dialed(self) -> None:
        """That they are welcome does not mean that they are sought."""
        self.answer(2)
        server = self.start(1, trustedNodes=[node(2)])
        self.moment(100)
        self.assertEqual(server.metrics.value("dials"), 0)

    def test_dialed(self) -> None:
        """One that is static as well keeps both."""
        self.answer(2)
        self.start(1, trustedNodes=[node(2)], staticNodes=[node(2)])
        self.assertEqual(self.flags(), {2: "trusted-staticdial"})

    def test_given(self) -> None:
        """Trust that is given counts at once: for the next connection, and for one that is there."""
        server = self.start(1, maxPeers=1, noDial=True)
        self.call(2, 1)
        self.assertEqual(self.call(3, 1).disconnectReason, TOO_MANY)
        server.addTrustedPeer(node(3))
        server.addTrustedPeer(node(2))
        self.assertIsNone(self.call(3, 1).disconnectReason)
        self.assertEqual(self.flags(), {2: "trusted-inbound", 3: "trusted-inbound"})
        self.assertTrue(all(peer.trusted for peer in server.peers()))

    def test_taken(self) -> None:
        """Trust that is taken leaves the peer where it is; the next time it counts."""
        server = self.start(1, maxPeers=0, trustedNodes=[node(2)])
        peer = self.call(2, 1)
        server.removeTrustedPeer(node(2))
        self.moment()
        self.assertEqual(self.flags(), {2: "inbound"})
        self.assertFalse(peer.ended or server.peers()[0].trusted)
        peer.sendDisconnect(0)
        self.moment()
        self.assertEqual(self.call(2, 1).disconnectReason, TOO_MANY)

    def test_again_and_again(self) -> None:
        """Giving twice, or taking what was never given, does no harm."""
        server = self.start(1)
        self.call(2, 1)
        for change in (server.removeTrustedPeer, server.addTrustedPeer, server.addTrustedPeer):
            change(node(2))
        self.moment()
        self.assertEqual(self.flags(), {2: "trusted-inbound"})
        server.removeTrustedPeer(node(2))
        self.moment()
        self.assertEqual(self.flags(), {2: "inbound"})
        self.assertEqual(self.kinds(1), ["add"])
