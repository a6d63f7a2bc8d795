"""
Nodes that run discovery v4 on a network in memory, for the tests of L{devp2p_tx.net.discovery.discv4}.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.discv4 import packets
from devp2p_tx.core.discv4.packets import WireEndpoint
from devp2p_tx.core.enr.local import LocalRecord, Source
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.net.discovery.discv4 import DiscoveryV4
from devp2p_tx.storage.memory import MemoryNodeStore
from devp2p_tx.testing import MemoryHost, MemoryNetwork

T = TypeVar("T")

START = 1_700_000_000.25
PORT = 30303
TARGET = bytes(range(64))


def keyOf(number: int) -> PrivateKey:
    """A key for each number from 1."""
    return PrivateKey(number.to_bytes(32, "big"))


def addressOf(number: int) -> str:
    """A public address for each number, all in networks of their own."""
    return f"34.{number >> 8}.{number & 255}.1"


class Member:
    """A node, and all that it is made of."""

    def __init__(
        self,
        network: MemoryNetwork,
        number: int,
        bootnodes: Iterable[Node] = (),
        *,
        ip: str | None = None,
        store: MemoryNodeStore | None = None,
        **options: Any,
    ) -> None:
        self.network = network
        self.key = keyOf(number)
        self.ip = ip or addressOf(number)
        self.host: MemoryHost = network.host(self.ip)
        self.store = store or MemoryNodeStore()
        self.metrics = Metrics()
        self.local = LocalRecord(self.key, int(START * 1000))
        self.local.offer(Source.FLAG, 4, ip_address(self.ip))
        self.local.offer(Source.MAPPING, 4, tcp=PORT)
        self.discovery = DiscoveryV4(
            self.local,
            self.host,
            self.store,
            bootnodes=bootnodes,
            seconds=self.host.seconds,
            unixTime=self.unixTime,
            random=Random(number),
            metrics=self.metrics,
            **options,
        )

    def unixTime(self) -> float:
        return START + self.network.clock.seconds()

    def start(self) -> Member:
        """Start it, at L{PORT}."""
        self.discovery.start(PORT)
        return self

    @property
    def node(self) -> Node:
        """The node as others know it at first."""
        return Node(self.key.public_key, ip_address(self.ip), PORT, PORT)

    @property
    def nodeId(self) -> bytes:
        return self.key.public_key.node_id


class Puppet(DatagramProtocol):
    """A peer that does nothing by itself; what it receives is decoded."""

    def __init__(self, network: MemoryNetwork, number: int, ip: str | None = None, port: int = PORT) -> None:
        self.key = keyOf(number)
        self.ip, self.port = ip or addressOf(number), port
        self.network = network
        self.received: list[tuple[bytes, packets.Payload]] = []
        network.host(self.ip).listenUDP(port, self, interface="::" if ":" in self.ip else "")

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.received.append((packets.datagram_hash(datagram), packets.decode(datagram)[0]))

    def take(self, kind: type[T]) -> list[T]:
        """What came of one kind; all that came is forgotten."""
        received, self.received = self.received, []
        return [payload for _, payload in received if isinstance(payload, kind)]

    @property
    def node(self) -> Node:
        return Node(self.key.public_key, ip_address(self.ip), self.port, self.port)

    @property
    def expiration(self) -> int:
        return int(START + self.network.clock.seconds()) + 20

    def send(self, data: bytes, to: Member) -> None:
        """Send a datagram, and let happen what comes of it."""
        assert self.transport is not None
        self.transport.write(data, (to.ip, PORT))
        self.network.advance(2 * self.network.latency)

    def makePing(self, expiration: int | None = None, stated: WireEndpoint = packets.NO_ENDPOINT) -> bytes:
        sender = WireEndpoint(ip_address(self.ip).packed, self.port, 30399)
        return packets.encode_ping(self.key, packets.Ping(sender, stated, expiration or self.expiration))

    def makeFindNode(self, target: bytes = TARGET) -> bytes:
        return packets.encode_findnode(self.key, packets.FindNode(target, self.expiration))

    def makeNeighbors(self, *nodes: Node) -> bytes:
        told = [packets.Neighbor(n.ip.packed if n.ip else b"", n.udp, n.tcp, n.public_key.to_bytes()) for n in nodes]
        (datagram,) = packets.encode_neighbors(self.key, told, self.expiration)
        return datagram

    def pong(self, to: Member, stated: WireEndpoint = packets.NO_ENDPOINT, seq: int = 0) -> None:
        """Answer every PING that came, and forget what came."""
        received, self.received = self.received, []
        for packetHash, payload in received:
            if isinstance(payload, packets.Ping):
                self.send(packets.encode_pong(self.key, packets.Pong(stated, packetHash, self.expiration, seq)), to)

    def bond(self, to: Member) -> None:
        """Both sides prove their endpoints."""
        self.send(self.makePing(), to)
        self.pong(to)


class DiscoveryCase(SynchronousTestCase):
    """A network, in which all nodes are stopped at the end and leave nothing behind."""

    latency, loss = 0.02, 0.0

    def setUp(self) -> None:
        self.network = MemoryNetwork(seed=1, latency=self.latency, loss=self.loss)
        self.members: list[Member] = []

    def tearDown(self) -> None:
        stopping = [member.discovery.stop() for member in self.members]
        self.network.settle()
        for each in stopping:
            self.successResultOf(each)
        self.assertEqual([call for member in self.members for call in member.host.getDelayedCalls()], [])

    def add(self, number: int, *bootnodes: Node, **options: Any) -> Member:
        """A node that runs."""
        member = Member(self.network, number, bootnodes, **options)
        self.members.append(member)
        return member.start()

    def crowd(self, count: int, seconds: float = 120.0) -> list[Member]:
        """Nodes that know the first of them, after they have had some time."""
        first = self.add(1)
        crowd = [first, *(self.add(number, first.node) for number in range(2, count + 1))]
        self.network.advance(seconds)
        return crowd

    def result(self, deferred: Deferred[T], seconds: float = 10.0) -> T:
        """What a Deferred fires with in time."""
        self.network.advance(seconds)
        return self.successResultOf(deferred)

    def failure(self, deferred: Deferred[Any], kind: type[Exception], seconds: float = 10.0) -> str:
        """The sentence of the error that a Deferred fails with in time."""
        self.network.advance(seconds)
        return str(self.failureResultOf(deferred, kind).value)
