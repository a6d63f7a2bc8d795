"""
Tests for L{devp2p_tx.net.streams} and L{devp2p_tx.net.streamendpoints}: any Twisted protocol between two nodes.
"""

from __future__ import annotations

from hashlib import sha256
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    NoProtocol,
)
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IPushProducer, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.amp import AMP, Command, Integer
from twisted.protocols.basic import LineReceiver
from twisted.protocols.wire import Echo
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.errors import DevP2PError, HandshakeError, InvalidNode, PeerDisconnected
from devp2p_tx.net import streamendpoints
from devp2p_tx.net.dialvia import parseVia
from devp2p_tx.net.streamendpoints import MAX_PENDING, RLPxClientEndpoint, RLPxServerEndpoint
from devp2p_tx.net.streams import CHUNK, DATA, END, HIGH_WATER, LINGER
from devp2p_tx.testing import EchoCapability, MemoryNetwork, ScriptedPeer, Stage
from tests.net.socksproxy import SocksProxy
from tests.net.support import NotingFactory as RLPxNotingFactory

HERE, THERE = "192.0.2.1", "192.0.2.2"
#: The first message code of the only capability.
FIRST = 16
LARGE = 40 * 1024 * 1024


class Noting(Protocol):
    """Notes all that it is told."""

    transport: Any

    def __init__(self) -> None:
        self.size = 0
        self.data = b""
        self.digest = sha256()
        self.reason: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.size += len(data)
        self.digest.update(data)
        if self.size < 1 << 16:
            self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason


@implementer(IHalfCloseableProtocol)
class Halves(Noting):
    """Goes on when one side has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[str] = []

    def readConnectionLost(self) -> None:
        self.ended.append("read")

    def writeConnectionLost(self) -> None:
        self.ended.append("write")


class Serving(Factory):
    """Keeps the protocols that it makes."""

    noisy = False

    def __init__(self, make: Any = Noting) -> None:
        self.make = make
        self.built: list[Any] = []
        self.seen: list[Any] = []
        self.running = 0

    def doStart(self) -> None:
        self.running += 1

    def doStop(self) -> None:
        self.running -= 1

    def buildProtocol(self, addr: Any) -> Any:
        self.seen.append(addr)
        protocol = self.make()
        if protocol is not None:
            self.built.append(protocol)
        return protocol


class Producer:
    """A push producer that counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class Pulled:
    """A pull producer of so many pieces."""

    def __init__(self, transport: Any, pieces: list[bytes]) -> None:
        self.transport, self.pieces = transport, pieces
        self.most = 0

    def resumeProducing(self) -> None:
        if self.pieces:
            self.transport.write(self.pieces.pop(0))
        else:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.pieces = []


class StreamCase(SynchronousTestCase):
    """Two hosts; a server endpoint at one of them."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.here, self.there = self.network.host(HERE), self.network.host(THERE)
        self.key = PrivateKey(bytes(31) + b"\1")
        self.serverKey = PrivateKey(bytes(31) + b"\2")
        self.node = Node(self.serverKey.public_key, ip_address(THERE), 30303)

    def serve(self, make: Any = Noting, allowed: Any = None) -> Serving:
        """Listen."""
        factory = Serving(make)
        endpoint = RLPxServerEndpoint(
            self.there,
            TCP4ServerEndpoint(self.there, 30303),
            self.serverKey,
            allowed,
            self.network.random.randbytes,
        )
        self.port = self.successResultOf(endpoint.listen(factory))
        return factory

    def connect(self, make: Any = Noting, node: Node | None = None, via: Any = None) -> Deferred[Any]:
        """Connect, and let a moment pass."""
        self.calling = Serving(make)
        endpoint = RLPxClientEndpoint(self.here, node or self.node, self.key, via, self.network.random.randbytes)
        connecting = endpoint.connect(self.calling)
        self.network.settle()
        return connecting

    def pair(self, make: Any = Noting, other: Any = None) -> tuple[Any, Any]:
        """Both ends of a stream."""
        serving = self.serve(other or make)
        client = self.successResultOf(self.connect(make))
        [server] = serving.built
        return client, server

    def assertOver(self, *protocols: Any, reason: Any = ConnectionDone) -> None:
        """Each was told, and nothing is left."""
        self.network.settle()
        for protocol in protocols:
            self.assertIsNotNone(protocol.reason)
            self.assertTrue(protocol.reason.check(reason), protocol.reason)
        self.network.advance(2)
        self.assertEqual(self.network.connections, {})
        self.assertEqual((self.here.getDelayedCalls(), self.there.getDelayedCalls()), ([], []))


class StreamTests(StreamCase):
    """The transport."""

    def test_bytes(self) -> None:
        """Both ways, in order; nothing comes of nothing."""
        client, server = self.pair()
        client.transport.write(b"one ")
        client.transport.write(b"")
        client.transport.writeSequence([b"two ", b"three"])
        server.transport.write(b"pong")
        self.network.settle()
        self.assertEqual((server.data, client.data), (b"one two three", b"pong"))
        self.assertRaises(TypeError, client.transport.write, "text")

    def test_who_is_there(self) -> None:
        """Each knows the other by its key, and where it is; so do the factories."""
        client, server = self.pair()
        for protocol, key, host in ((client, self.serverKey, THERE), (server, self.key, HERE)):
            peer = protocol.transport.getPeer()
            self.assertEqual((peer.publicKey, peer.host), (key.public_key, host))
            self.assertEqual(peer.port, peer.address.port)
        self.assertEqual(client.transport.getHost().publicKey, self.key.public_key)
        self.assertEqual(server.transport.getHost().port, 30303)
        self.assertEqual(self.calling.seen, [client.transport.getPeer()])

    def test_interfaces(self) -> None:
        """It is what it says."""
        client, _ = self.pair()
        for interface in (ITransport, IConsumer, IPushProducer):
            verifyObject(interface, client.transport)

    def test_large(self) -> None:
        """More than a connection would ever queue, in one write and without a producer, as TCP takes it."""
        client, server = self.pair()
        data = self.network.random.randbytes(LARGE)
        client.transport.write(data)
        self.network.settle()
        self.assertEqual((server.size, server.digest.digest()), (LARGE, sha256(data).digest()))

    def test_close_after_writing(self) -> None:
        """All that was written arrives before the end does, also with a slow reader; both hear of an orderly end."""
        client, server = self.pair()
        server.transport.pauseProducing()
        data = self.network.random.randbytes(4 * 1024 * 1024)
        client.transport.write(data)
        client.transport.loseConnection()
        self.network.advance(15)
        self.assertIsNone(client.reason)
        server.transport.resumeProducing()
        self.network.settle()
        self.assertEqual((server.size, server.digest.digest()), (len(data), sha256(data).digest()))
        self.assertOver(client, server)

    def test_either_side_closes(self) -> None:
        """It does not matter who called."""
        for side in (0, 1):
            ends = self.pair()
            ends[side].transport.loseConnection()
            ends[side].transport.loseConnection()
            ends[side].transport.write(b"bye")  # as TCP does, until all is sent
            self.network.settle()
            self.assertEqual(ends[1 - side].data, b"bye")
            self.port.stopListening()
            self.assertOver(*ends)

    def test_both_close(self) -> None:
        """At once."""
        client, server = self.pair()
        client.transport.loseConnection()
        server.transport.loseConnection()
        self.assertOver(client, server)

    def test_nothing_after_close(self) -> None:
        """Who has closed hears nothing more."""
        client, server = self.pair(Noting, Halves)
        client.transport.loseConnection()
        server.transport.write(b"too late")
        self.network.settle()
        self.assertEqual(client.data, b"")
        self.assertEqual(server.ended, ["read"])
        server.transport.loseConnection()
        self.assertOver(client, server)

    def test_half_close(self) -> None:
        """One side ends; the other goes on, until it ends too."""
        client, server = self.pair(Halves)
        client.transport.write(b"question")
        client.transport.loseWriteConnection()
        client.transport.write(b"?")  # as TCP does, until all is sent
        self.network.advance(2 * LINGER)
        self.assertEqual((client.ended, server.ended, client.reason, server.reason), (["write"], ["read"], None, None))
        self.assertEqual(server.data, b"question?")
        client.transport.write(b"lost")
        server.transport.write(b"answer")
        server.transport.loseWriteConnection()
        self.network.settle()
        self.assertEqual((client.data, server.data), (b"answer", b"question?"))
        self.assertEqual((client.ended, server.ended), (["write", "read"], ["read", "write"]))
        self.assertOver(client, server)

    def test_half_close_of_whom_does_not_care(self) -> None:
        """A protocol that knows no halves ends with the other side, as with TCP."""
        client, server = self.pair(Halves, Noting)
        client.transport.loseWriteConnection()
        self.assertOver(server)
        self.assertTrue(client.reason.check(ConnectionLost))

    def test_abort(self) -> None:
        """At once, without what waits; the other end hears that it was cut short."""
        client, server = self.pair()
        client.transport.write(b"never")
        client.transport.abortConnection()
        client.transport.abortConnection()
        self.assertOver(client, reason=ConnectionAborted)
        self.assertOver(server, reason=ConnectionLost)
        self.assertEqual(server.data, b"")

    def test_cut_short(self) -> None:
        """A connection that only breaks is not taken for an end, as an attacker might wish."""
        client, server = self.pair()
        for connection in list(self.network.connections):
            connection.loseConnection()  # type: ignore[no-untyped-call]
        self.assertOver(client, server, reason=ConnectionLost)

    def test_the_peer_never_ends(self) -> None:
        """Who has closed waits for a minute."""
        client, server = self.pair()
        server.transport.pauseProducing()
        client.transport.loseConnection()
        self.network.advance(LINGER - 0.5)
        self.assertIsNone(client.reason)
        self.network.advance(2)
        self.assertTrue(client.reason.check(ConnectionLost))
        server.transport.resumeProducing()
        self.assertOver(server, reason=ConnectionLost)

    def test_a_protocol_fails(self) -> None:
        """It ends that stream, whose protocols are told."""

        class Failing(Noting):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError

        client, server = self.pair(Noting, Failing)
        client.transport.write(b"x")
        self.assertOver(client, reason=ConnectionLost)
        self.assertOver(server, reason=DevP2PError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stop_producing(self) -> None:
        """As a producer it ends by closing."""
        client, server = self.pair()
        client.transport.stopProducing()
        self.assertOver(client, server)


class FlowTests(StreamCase):
    """Producers."""

    def test_push_producer(self) -> None:
        """It is paused when much waits, and resumed when it was sent: not before the peer reads."""
        client, server = self.pair()
        server.transport.pauseProducing()
        producer = Producer()
        client.transport.registerProducer(producer, True)
        sent = 0
        for _ in range(200):
            client.transport.write(bytes(HIGH_WATER + 1))
            sent += HIGH_WATER + 1
            self.network.settle()
            if producer.told[-1:] == ["pause"]:
                break
        self.assertEqual(producer.told[-1], "pause")
        self.network.advance(1)
        self.assertEqual(producer.told[-1], "pause")
        server.transport.resumeProducing()
        self.network.settle()
        self.assertEqual((producer.told[-1], server.size), ("resume", sent))

    def test_close_waits_for_the_producer(self) -> None:
        """As with TCP."""
        client, server = self.pair()
        client.transport.registerProducer(Producer(), True)
        client.transport.loseConnection()
        client.transport.write(b"more")
        self.network.advance(5)
        self.assertEqual((server.data, server.reason), (b"more", None))
        client.transport.unregisterProducer()
        self.assertOver(client, server)

    def test_pull_producer(self) -> None:
        """It is asked whenever there is room, and never before."""
        client, server = self.pair()
        server.transport.pauseProducing()
        pieces = [bytes([number]) * CHUNK for number in range(100)]
        producer = Pulled(client.transport, list(pieces))
        client.transport.registerProducer(producer, False)
        self.network.advance(1)
        self.assertGreater(len(producer.pieces), 0)
        server.transport.resumeProducing()
        self.network.settle()
        self.assertEqual(server.digest.digest(), sha256(b"".join(pieces)).digest())
        client.transport.loseConnection()
        self.assertOver(client, server)

    def test_the_end_stops_the_producer(self) -> None:
        """Also one that comes too late; and there is only one at a time."""
        client, server = self.pair()
        producer, late = Producer(), Producer()
        client.transport.registerProducer(producer, True)
        self.assertRaises(RuntimeError, client.transport.registerProducer, late, True)
        server.transport.abortConnection()
        self.network.settle()
        self.assertEqual(producer.told, ["stop"])
        client.transport.registerProducer(late, True)
        self.assertEqual(late.told, ["stop"])

    def test_pausing(self) -> None:
        """What is not read waits at the sender, and is not lost."""
        client, server = self.pair()
        server.transport.pauseProducing()
        client.transport.write(b"hello")
        self.network.advance(5)
        self.assertEqual(server.data, b"")
        server.transport.resumeProducing()
        self.network.settle()
        self.assertEqual(server.data, b"hello")


class Sum(Command):
    arguments = ((b"a", Integer()), (b"b", Integer()))
    response = ((b"total", Integer()),)


class Adding(AMP):
    @Sum.responder
    def sum(self, a: int, b: int) -> dict[str, int]:
        return {"total": a + b}


class Shouting(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line.upper())


class UnchangedTests(StreamCase):
    """Protocols of Twisted, as they are."""

    def test_amp(self) -> None:
        """AMP at both ends: each asks the other."""
        client, server = self.pair(Adding)
        answers = [client.callRemote(Sum, a=3, b=4), server.callRemote(Sum, a=30, b=40)]
        self.network.settle()
        self.assertEqual([self.successResultOf(each)["total"] for each in answers], [7, 70])
        waiting = client.callRemote(Sum, a=1, b=1)
        server.transport.loseConnection()
        self.network.settle()
        self.failureResultOf(waiting, ConnectionDone)

    def test_lines(self) -> None:
        """A LineReceiver."""
        client, _ = self.pair(Noting, Shouting)
        client.transport.write(b"hello\r\nwor")
        client.transport.write(b"ld\r\n")
        self.network.settle()
        self.assertEqual(client.data, b"HELLO\r\nWORLD\r\n")

    def test_echo(self) -> None:
        """Twisted's own, with more than fits anywhere."""
        client, _ = self.pair(Noting, Echo)
        data = self.network.random.randbytes(3 * 1024 * 1024)
        client.transport.write(data)
        self.network.settle()
        self.assertEqual(client.digest.digest(), sha256(data).digest())


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


class StrangerTests(StreamCase):
    """One who speaks the protocol, but not as it should."""

    def setUp(self) -> None:
        super().setUp()
        self.serving = self.serve()
        self.peer = ScriptedPeer(self.serverKey.public_key, Stage.HELLO, (Cap("stream", 1),))
        self.peer.connect(self.here, THERE, 30303)
        self.network.settle()
        [self.protocol] = self.serving.built

    def send(self, code: int, payload: bytes) -> None:
        self.peer.send(FIRST + code, payload)
        self.network.settle()

    def test_the_wire(self) -> None:
        """Bytes as they are; an end without any."""
        self.send(DATA, b"hello")
        self.assertEqual(self.protocol.data, b"hello")
        self.protocol.transport.write(b"bye")
        self.protocol.transport.loseConnection()
        self.network.settle()
        self.assertEqual(self.peer.messages[-2:], [(FIRST + DATA, b"bye"), (FIRST + END, b"")])
        self.assertEqual((DATA, END), (0, 1))

    def test_chunks(self) -> None:
        """Much goes in pieces, little in one."""
        for _ in range(10):
            self.protocol.transport.write(b"x")
        self.network.settle()
        self.assertEqual(self.peer.messages[-1], (FIRST + DATA, b"x" * 10))
        self.protocol.transport.write(bytes(CHUNK + 1))
        self.network.settle()
        self.assertEqual([len(payload) for _, payload in self.peer.messages[-2:]], [CHUNK, 1])

    def test_empty_data(self) -> None:
        """It is nothing, and no protocol sees it."""
        heard: list[bytes] = []
        self.patch(self.protocol, "dataReceived", heard.append)
        self.send(DATA, b"")
        self.assertEqual((heard, self.protocol.reason), ([], None))

    def test_after_its_end(self) -> None:
        """Whoever has ended says nothing more."""
        self.serving.make = Halves
        peer = ScriptedPeer(self.serverKey.public_key, Stage.HELLO, (Cap("stream", 1),), PrivateKey(bytes(31) + b"\4"))
        peer.connect(self.here, THERE, 30303)
        self.network.settle()
        peer.send(FIRST + END, b"")
        peer.send(FIRST + DATA, b"ghost")
        self.network.settle()
        self.assertEqual((self.serving.built[1].data, peer.disconnectReason), (b"", 2))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_never_ends(self) -> None:
        """After we have closed, what it goes on to send is dropped, and it is gone after a minute."""
        self.protocol.transport.loseConnection()
        for _ in range(130):
            if not self.peer.ended:
                self.send(DATA, b"more")
            self.network.advance(0.5)
        self.assertTrue(self.peer.ended)
        self.assertEqual((self.protocol.data, self.peer.disconnectReason), (b"", 0))
