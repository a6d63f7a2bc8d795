"""
Tests of the Server on real sockets of this host.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import AddressRefused, DisconnectReason, PeerDisconnected
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.events import PeerEvent, PeerEventType
from devp2p_tx.node.peer import Peer
from devp2p_tx.node.server import Server
from devp2p_tx.testing import EchoCapability, ScriptedPeer, Stage

HERE = ip_address("127.0.0.1")
LISTEN = "tcp:0:interface=127.0.0.1"


def keyOf(number: int) -> PrivateKey:
    """The key of node C{number}."""
    return PrivateKey(number.to_bytes(32, "big"))


class TCPTestCase(TestCase):
    """Servers on ports of this host, which are stopped at the end."""

    timeout = 20

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor

    async def start(self, number: int, **config: Any) -> Server:
        """Start one."""
        config = {"capabilities": [EchoCapability()], "listen": LISTEN, **config}
        server = Server(ServerConfig(keyOf(number), **config))
        self.addCleanup(server.stopService)
        await server.startService()
        return server

    def whenEvent(self, server: Server, kind: PeerEventType) -> Deferred[PeerEvent]:
        """Fires with the next event of a kind, a turn later: the capabilities of a new peer begin after it."""
        heard: Deferred[PeerEvent] = Deferred()

        def hear(event: PeerEvent) -> None:
            if event.type is kind:
                subscription.unsubscribe()
                heard.callback(event)

        subscription = server.subscribeEvents(hear)
        return heard.addCallback(lambda event: deferLater(self.reactor, 0, lambda: event))

    async def connected(self) -> tuple[Server, Server, Peer]:
        """Two servers, of which the second has dialled the first."""
        one, other = await self.start(1), await self.start(2)
        added = self.whenEvent(one, PeerEventType.ADD)
        peer = await other.connect(one.self())
        await added
        return one, other, peer

    def echo(self, server: Server) -> Any:
        """Its first protocol."""
        capability = server.config.capabilities[0]
        assert isinstance(capability, EchoCapability)
        return capability.protocols[0]

    async def turn(self) -> None:
        """Let the reactor do what is due."""
        await deferLater(self.reactor, 0)


class ServerTests(TCPTestCase):
    """From the start to the end."""

    async def test_messages(self) -> None:
        """Two servers find each other, and what the one sends the other sends back, small and large."""
        one, other, peer = await self.connected()
        self.assertEqual(peer.node, one.self())
        self.assertEqual([each.id for each in one.peers()], [other.self().node_id.hex()])
        payloads = [b"", b"small", bytes(range(256)) * 4096, b"after"]
        for payload in payloads:
            self.echo(other).request(payload)
        while len(self.echo(other).replies) < len(payloads):
            await self.turn()
        self.assertEqual(self.echo(other).replies, payloads)

    async def test_static(self) -> None:
        """A static node, known by name, is dialled, and told when it is removed."""
        one = await self.start(1)
        added = self.whenEvent(one, PeerEventType.ADD)
        node = Node(keyOf(1).public_key, None, one.self().tcp, 0, "localhost")
        other = await self.start(2, listen=None, staticNodes=[node], netrestrict=Netlist.parse("127.0.0.0/8"))
        await added
        self.assertTrue(one.peersInfo()[0]["network"]["inbound"])
        dropped = self.whenEvent(one, PeerEventType.DROP)
        await other.removePeer(node)
        self.assertEqual(other.peers(), [])
        self.assertEqual((await dropped).error, "disconnect requested")

    async def test_bootnode_by_name(self) -> None:
        """A node that is given nothing but a bootnode's name finds it, and one of the two dials the other."""
        one = await self.start(1, discovery=True)
        added = self.whenEvent(one, PeerEventType.ADD)
        boot = Node(keyOf(1).public_key, None, one.self().tcp, one.self().udp, "localhost")
        other = await self.start(2, discovery=True, bootnodes=[boot])
        event = await added
        self.assertEqual(event.peer, other.self().node_id.hex())
        self.assertEqual([len(server.discv4.table) for server in (one, other) if server.discv4], [1, 1])

    async def test_denied_by_what_the_name_means(self) -> None:
        """A name that leads to a denied address is not dialled."""
        one = await self.start(1)
        node = Node(keyOf(1).public_key, None, one.self().tcp, 0, "localhost")
        other = await self.start(2, listen=None, netdeny=Netlist.parse("127.0.0.0/8,::1/128"))
        error = await self.assertFailure(other.connect(node), AddressRefused)
        self.assertIn("127.0.0.1", str(error))
        self.assertEqual(one.metrics.value("accepts"), 0)

    async def test_stop(self) -> None:
        """A server that stops tells its peers so, and its port is free again."""
        one, other, _ = await self.connected()
        dropped = self.whenEvent(other, PeerEventType.DROP)
        port = one.self().tcp
        await one.stopService()
        self.assertEqual((await dropped).error, "client quitting")
        failing = other.connect(Node(keyOf(1).public_key, HERE, port, port))
        await self.assertFailure(failing, ConnectionRefusedError)
        await self.start(3, listen=f"tcp:{port}:interface=127.0.0.1")

    async def test_reason_behind_messages(self) -> None:
        """Also with much under way in both directions the reason arrives."""
        one, other, peer = await self.connected()
        dropped = self.whenEvent(one, PeerEventType.DROP)
        for _ in range(20):
            self.echo(one).request(bytes(50_000))
            self.echo(other).request(bytes(50_000))
        await self.turn()
        peer.disconnect(DisconnectReason.USELESS_PEER)
        self.assertEqual((await dropped).error, "useless peer")
        self.assertEqual(len(self.echo(one).requests), 20)

    async def test_refused(self) -> None:
        """A reason that comes in place of a Hello."""
        one, other = await self.start(1, maxPeers=0), await self.start(2)
        error = await self.assertFailure(other.connect(one.self()), PeerDisconnected)
        self.assertEqual((error.reason, error.remote), (DisconnectReason.TOO_MANY_PEERS, True))

    async def test_refused_without_a_word(self) -> None:
        """An address outside of the networks is closed before any byte."""
        one = await self.start(1, netrestrict=Netlist.parse(""))
        heard = Listening()
        await connectProtocol(HostnameEndpoint(self.reactor, "127.0.0.1", one.self().tcp), heard)
        await heard.ended
        self.assertEqual(heard.data, b"")

    async def test_port_taken(self) -> None:
        """A port that is taken is told, and nothing is left behind."""
        one = await self.start(1)
        server = Server(ServerConfig(keyOf(2), listen=f"tcp:{one.self().tcp}:interface=127.0.0.1"))
        await self.assertFailure(server.startService(), CannotListenError)
        self.assertFalse(server.isRunning)

    async def test_silent_peers(self) -> None:
        """Peers that read nothing, and strangers that say nothing, keep no server from stopping."""
        one = await self.start(1)
        port, strangers = one.self().tcp, [Listening() for _ in range(3)]
        for each in strangers:
            await connectProtocol(HostnameEndpoint(self.reactor, "127.0.0.1", port), each)
        deaf = ScriptedPeer(keyOf(1).public_key, Stage.HELLO, key=keyOf(2))
        added = self.whenEvent(one, PeerEventType.ADD)
        deaf.connect(self.reactor, "127.0.0.1", port)
        await added
        deaf.stopReading()
        for _ in range(100):
            self.echo(one).request(bytes(50_000))
        await self.turn()  # so that what was sent is on its way, and does not fit the socket
        await one.stopService()
        self.assertEqual(one.peers(), [])
        deaf.transport.abortConnection()
        await DeferredList([each.ended for each in strangers])
        while not deaf.ended:
            await self.turn()


class Listening(Protocol):
    """Says nothing."""

    def __init__(self) -> None:
        self.data = b""
        self.ended: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Any = None) -> None:
        self.ended.callback(None)
