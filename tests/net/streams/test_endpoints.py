"""
Tests for L{devp2p_tx.net.streams.endpoints}.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionLost,
    ConnectionRefusedError,
    NoProtocol,
)

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import HandshakeError, InvalidNode, PeerDisconnected
from devp2p_tx.net.connecting.dialvia import parseVia
from devp2p_tx.net.streams import endpoints as streamendpoints
from devp2p_tx.net.streams.endpoints import MAX_PENDING
from devp2p_tx.testing import EchoCapability, ScriptedPeer, Stage
from tests.net.proxy.socksproxy import SocksProxy
from tests.net.rlpx.support import NotingFactory as RLPxNotingFactory
from tests.net.streams.support import THERE, Serving, StreamCase


class EndpointTests(StreamCase):
    """Connecting and listening."""

    def test_factories_are_told(self) -> None:
        """When they start and stop; a port that closes leaves its streams."""
        serving = self.serve()
        client = self.successResultOf(self.connect())
        self.assertEqual((serving.running, self.calling.running), (1, 1))
        stopping = self.port.stopListening()
        self.network.settle()
        self.successResultOf(stopping)
        self.assertEqual((serving.running, client.reason), (0, None))
        client.transport.loseConnection()
        self.assertOver(client, *serving.built)
        self.assertEqual(self.calling.running, 0)

    def test_nobody_there(self) -> None:
        """As any endpoint says it."""
        self.failureResultOf(self.connect(), ConnectionRefusedError)
        self.assertEqual(self.calling.running, 0)
        self.failureResultOf(self.connect(node=Node(self.serverKey.public_key)), InvalidNode)

    def test_somebody_else(self) -> None:
        """Another key listens there: nothing is opened."""
        self.serve()
        other = Node(self.key.public_key, ip_address(THERE), 30303)
        connecting = self.connect(node=other)
        self.network.advance(10)
        self.failureResultOf(connecting)
        self.assertEqual((self.calling.built, self.calling.running), ([], 0))

    def test_no_rlpx(self) -> None:
        """What listens there speaks something else."""
        talking = Serving()
        self.there.listenTCP(30303, talking)
        connecting = self.connect()
        talking.built[0].transport.write(b"220 mail.example ESMTP, nice to meet you" * 20)
        self.network.settle()
        self.failureResultOf(connecting, HandshakeError)
        self.assertEqual(self.calling.built, [])

    def test_no_streams(self) -> None:
        """A node that speaks other things."""
        factory = RLPxNotingFactory(self.serverKey, [EchoCapability()], "eth node", None, self.there)
        self.there.listenTCP(30303, factory)
        failure = self.failureResultOf(self.connect(), ConnectError, PeerDisconnected)
        self.assertNotEqual(str(failure.value), "")
        peer = ScriptedPeer(does=Stage.HELLO, key=self.serverKey)
        peer.listen(self.there, 30304)
        failure = self.failureResultOf(self.connect(node=Node(self.serverKey.public_key, ip_address(THERE), 30304)))
        self.assertIn("does not speak stream/1", str(failure.value))
        self.network.advance(2)
        self.assertEqual(self.here.getDelayedCalls(), [])

    def test_unwanted(self) -> None:
        """A factory that builds nothing, at either end."""
        self.serve()
        self.failureResultOf(self.connect(lambda: None), NoProtocol)
        self.port.stopListening()
        self.network.advance(2)
        self.serve(lambda: None)
        client = self.successResultOf(self.connect())
        self.network.advance(2)
        self.assertTrue(client.reason.check(ConnectionLost))

    def test_allowed(self) -> None:
        """Who is not is sent away before its Hello, and its protocol never built."""
        serving = self.serve(allowed=[self.key.public_key])
        client = self.successResultOf(self.connect())
        self.key = PrivateKey(bytes(31) + b"\3")
        self.failureResultOf(self.connect(), PeerDisconnected)
        self.assertEqual((len(serving.built), client.reason), (1, None))

    def test_pending(self) -> None:
        """Strangers who say nothing are bounded in number, and in time."""
        self.patch(streamendpoints, "MAX_PENDING", 2)
        self.serve()
        silent = [ScriptedPeer(self.serverKey.public_key, Stage.CONNECTED) for _ in range(3)]
        for peer in silent:
            peer.connect(self.here, THERE, 30303)
        self.network.settle()
        self.assertEqual([peer.ended for peer in silent], [False, False, True])
        self.network.advance(5)
        self.assertTrue(all(peer.ended for peer in silent))
        for _ in range(4):
            self.successResultOf(self.connect())
        self.assertEqual(MAX_PENDING, 50)

    def test_cancel(self) -> None:
        """At any time; nothing is left of it."""
        for port, host in ((30303, THERE), (1, "192.0.2.77")):
            self.there.listenTCP(port, Serving())
            connecting = self.connect(node=Node(self.serverKey.public_key, ip_address(host), port))
            connecting.cancel()
            self.failureResultOf(connecting, ConnectingCancelledError)
            self.network.settle()
            self.assertEqual((self.here.getDelayedCalls(), self.network.connections), ([], {}))
            self.assertEqual(self.calling.running, 0)

    def test_through_a_proxy(self) -> None:
        """Who is there is still known."""
        serving = self.serve()
        host = self.network.host("192.0.2.9")
        proxy = SocksProxy(host)
        proxy.names["service.onion"] = THERE
        host.listenTCP(1080, proxy)
        node = Node(self.serverKey.public_key, None, 30303, hostname="service.onion")
        client = self.successResultOf(self.connect(node=node, via=parseVia("socks5:192.0.2.9:1080")))
        self.assertEqual(client.transport.getPeer().host, "service.onion")
        self.assertEqual(serving.built[0].transport.getPeer().publicKey, self.key.public_key)
