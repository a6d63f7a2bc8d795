"""
Tests for L{devp2p_tx.net.streams.protocol}: any Twisted protocol between two nodes.
"""

from __future__ import annotations

from hashlib import sha256

from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.protocols.basic import LineReceiver
from twisted.protocols.wire import Echo
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.errors import DevP2PError
from devp2p_tx.net.streams.protocol import CHUNK, DATA, END, HIGH_WATER, LINGER, StreamCapability
from devp2p_tx.testing import EchoCapability, MemoryNetwork, ScriptedPeer, Stage, connectedPair
from tests.net.streams.support import HERE, THERE, Adding, Halves, Noting, Producer, Pulled, Serving, StreamCase, Sum

#: The first message code of the only capability.
FIRST = 16
LARGE = 40 * 1024 * 1024


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


class OfferedTests(SynchronousTestCase):
    """L{StreamCapability} among others."""

    def test_beside_another(self) -> None:
        """A stream is one of the capabilities of a connection, and its end is the connection's."""
        network = MemoryNetwork()
        one, other = Serving(), Serving()
        pair = connectedPair(
            [EchoCapability(), StreamCapability(network.clock, one)],
            [StreamCapability(network.clock, other), EchoCapability()],
            network,
        )
        one.built[0].transport.write(b"hello")
        pair.protocolA.request(b"ping")
        pair.settle()
        self.assertEqual((other.built[0].data, pair.protocolA.replies), (b"hello", [b"ping"]))
        self.assertEqual(one.seen[0].publicKey, pair.a.remoteKey)
        one.built[0].transport.loseConnection()
        pair.advance(2)
        for protocol in (one.built[0], other.built[0]):
            self.assertTrue(protocol.reason.check(ConnectionDone))
        pair.close()


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
