"""
Tests of what a running server can be told of its lists of nodes, and of opening its sockets before it starts.
"""

from __future__ import annotations

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from devp2p_tx.errors import ServerStopped
from tests.node.support import PORT, ServerTestCase, addressOf, node
from tests.node.test_discovery import BOOT, DiscoveryTestCase


class StaticTests(ServerTestCase):
    """L{Server.stopDialing<devp2p_tx.node.ordering.TakesOrders.stopDialing>}."""

    def test_the_connection_stays(self) -> None:
        """When it is gone it is dialed no more."""
        other = self.start(2)
        server = self.start(1, staticNodes=[node(2)])
        server.stopDialing(node(2))
        self.moment(60)
        self.assertEqual(self.numbers(1), [2])
        [peer] = other.peers()
        peer.disconnect()
        self.moment(300)
        self.assertEqual((self.numbers(1), server.metrics.value("dials")), ([], 1))
        server.addPeer(node(2))
        self.moment(60)
        self.assertEqual(self.numbers(1), [2])

    def test_what_is_no_node(self) -> None:
        server = self.start(1)
        self.assertIn("stopDialing takes a Node", str(self.assertRaises(TypeError, server.stopDialing, "x")))
        self.assertIn("setBootnodes takes a Node", str(self.assertRaises(TypeError, server.setBootnodes, ["x"])))


class BootnodeTests(DiscoveryTestCase):
    """L{Server.setBootnodes<devp2p_tx.node.ordering.TakesOrders.setBootnodes>}."""

    def test_new_ones_are_asked_at_once(self) -> None:
        self.start(BOOT, noDial=True, maxPeers=0)
        for version in ("v4", "v5"):
            number = {"v4": 2, "v5": 3}[version]
            server = self.start(number, bootnodes=[node(9)], noDial=True, discoveryVersions=[version])
            self.moment(60)
            self.assertNotIn((addressOf(number), addressOf(BOOT)), self.sent)
            server.setBootnodes([node(BOOT)])
            self.moment(5)
            self.assertIn((addressOf(number), addressOf(BOOT)), self.sent)

    def test_old_ones_are_left_alone(self) -> None:
        server = self.start(2, bootnodes=[node(9)], maxPeers=3)
        server.setBootnodes([])
        self.moment(60)  # what was under way ends
        self.sent.clear()
        dials = server.metrics.value("dials")
        self.moment(3600)
        self.assertEqual((self.sent, server.metrics.value("dials")), ([], dials))


class PrivilegedTests(DiscoveryTestCase):
    """L{Server.privilegedStartService}."""

    def test_all_sockets_are_open(self) -> None:
        """Before the start, which takes them as they are."""
        server = self.make(2)
        server.privilegedStartService()
        self.assertRaises(CannotListenError, self.host(2).listenTCP, PORT, Factory.forProtocol(Protocol))
        self.assertRaises(CannotListenError, self.host(2).listenUDP, PORT, DatagramProtocol())
        self.assertFalse(server.isRunning)
        self.successResultOf(server.startService())
        self.start(BOOT)
        self.moment(30)
        self.assertEqual(self.numbers(2), [BOOT])

    def test_what_cannot_be_opened(self) -> None:
        """The start tells."""
        for listen in (self.host(2).listenTCP, self.host(2).listenUDP):
            taken = listen(PORT, Factory.forProtocol(Protocol) if "TCP" in listen.__name__ else DatagramProtocol())
            server = self.make(2)
            server.privilegedStartService()
            starting = server.startService()
            self.moment(2)
            self.failureResultOf(starting, CannotListenError)
            taken.stopListening()
            self.moment()

    def test_stopped_without_a_start(self) -> None:
        """The sockets are closed."""
        server = self.make(2)
        server.privilegedStartService()
        started = server.whenStarted()
        stopping = server.stopService()
        self.moment(2)
        self.successResultOf(stopping)
        self.failureResultOf(started, ServerStopped)
        self.host(2).listenTCP(PORT, Factory.forProtocol(Protocol)).stopListening()
        self.host(2).listenUDP(PORT, DatagramProtocol()).stopListening()
