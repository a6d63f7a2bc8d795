"""
What the tests of streams share: two hosts, and protocols that note what they are told.
"""

from __future__ import annotations

from hashlib import sha256
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import (
    ConnectionDone,
)
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.amp import AMP, Command, Integer
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.net.streams.endpoints import RLPxClientEndpoint, RLPxServerEndpoint
from devp2p_tx.testing import MemoryNetwork

HERE, THERE = "192.0.2.1", "192.0.2.2"


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


class Sum(Command):
    arguments = ((b"a", Integer()), (b"b", Integer()))
    response = ((b"total", Integer()),)


class Adding(AMP):
    @Sum.responder
    def sum(self, a: int, b: int) -> dict[str, int]:
        return {"total": a + b}
