"""
One node, and others played by hand, for the tests of L{devp2p_tx.core.discv4.protocol}.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.packetlimit import PacketRateLimiter
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.discv4 import packets
from devp2p_tx.core.discv4.events import (
    Call,
    CallFailed,
    Event,
    FindNodeCall,
    Refusal,
)
from devp2p_tx.core.discv4.packets import WireEndpoint
from devp2p_tx.core.discv4.protocol import Discv4
from devp2p_tx.core.enr.local import LocalRecord, Source
from devp2p_tx.core.enr.node import Node

OUR_KEY = PrivateKey(bytes(31) + b"\1")
PEER = PrivateKey(bytes(31) + b"\2")
STRANGER = PrivateKey(bytes(31) + b"\3")
PEER_IP, STRANGER_IP = ip_address("99.1.1.2"), ip_address("99.1.1.3")
PEER_PORT = 30302
PEER_TCP = 30399
TARGET = bytes(range(64))
START = 1_700_000_000.25


class Added(NamedTuple):
    """A call of L{FakeTable.add_inbound}."""

    public_key: PublicKey
    ip: IPAddress
    udp: int
    tcp: int
    now: float


class FakeTable:
    """A table that writes down what enters, and holds what it is told to."""

    def __init__(self) -> None:
        self.added: list[Added] = []
        self.nodes: list[Node] = []
        self.asked: list[tuple[bytes, int]] = []

    def closest(self, target: bytes, count: int) -> Iterable[Node]:
        self.asked.append((target, count))
        return self.nodes[:count]

    def add_inbound(self, public_key: PublicKey, ip: IPAddress, udp: int, tcp: int, now: float) -> None:
        self.added.append(Added(public_key, ip, udp, tcp, now))


def key(number: int) -> PrivateKey:
    """A key for each number."""
    return PrivateKey(number.to_bytes(32, "big"))


def node(number: int, ip: str | None = None, udp: int = 30303) -> Node:
    """A node of the table."""
    return Node(key(number).public_key, ip_address(ip or f"98.1.{number >> 8}.{number & 255}"), 30304, udp)


def neighbor(of: Node) -> packets.Neighbor:
    """The node as NEIGHBORS has it."""
    assert of.ip is not None
    return packets.Neighbor(of.ip.packed, of.udp, of.tcp, of.public_key.to_bytes())


class ProtocolTestCase(SynchronousTestCase):
    """A node at a public address, and a peer that need not exist."""

    policy: AddressPolicy | None = None

    def setUp(self) -> None:
        """Monotonic and unix time have nothing to do with each other but their pace."""
        self.now = 5.0
        self.table = FakeTable()
        self.local = LocalRecord(OUR_KEY, int(START * 1000))
        self.local.offer(Source.FLAG, 4, ip_address("99.1.1.1"))
        self.local.offer(Source.INTERFACE, 4, tcp=30305, udp=30301)
        self.node = Discv4(self.local, self.table, policy=self.policy, limiter=self.make_limiter())

    def make_limiter(self) -> PacketRateLimiter | None:
        """The default."""
        return None

    @property
    def unix_time(self) -> float:
        """As the node's caller has it."""
        return START + self.now - 5.0

    @property
    def expiration(self) -> int:
        """A time that is not over."""
        return int(self.unix_time) + 20

    def advance(self, seconds: float) -> None:
        """Let time pass, waking the node when it asks for it."""
        end = self.now + seconds
        while (timer := self.node.get_timer()) is not None and timer <= end:
            self.now = timer
            self.node.handle_timer(self.now, self.unix_time)
        self.now = end

    def receive(self, data: bytes, ip: IPAddress = PEER_IP, port: int = PEER_PORT) -> Refusal | None:
        """A datagram comes in."""
        return self.node.receive_datagram(data, ip, port, self.now, self.unix_time)

    def sent(self) -> list[packets.Payload]:
        """What the node sent, all of it to the peer."""
        return [payload for _, payload in self.sent_datagrams()]

    def sent_datagrams(self, ip: IPAddress = PEER_IP, port: int = PEER_PORT) -> list[tuple[bytes, packets.Payload]]:
        """The hashes and contents of what the node sent, all of it signed by the node, and to one address."""
        found = []
        for data, *to in self.node.datagrams_to_send():
            payload, sender = packets.decode(data)
            self.assertEqual(sender, OUR_KEY.public_key)
            self.assertEqual(to, [ip, port])
            found.append((packets.datagram_hash(data), payload))
        return found

    def make_ping(self, of: PrivateKey = PEER, recipient: WireEndpoint = packets.NO_ENDPOINT) -> bytes:
        """A PING of the peer."""
        sender = WireEndpoint(b"\xc0\0\2\0", 1, PEER_TCP)  # the address is not to be believed
        return packets.encode_ping(of, packets.Ping(sender, recipient, self.expiration, 7))

    def make_pong(
        self, ping_hash: bytes, of: PrivateKey = PEER, recipient: WireEndpoint = packets.NO_ENDPOINT
    ) -> bytes:
        """A PONG of the peer."""
        return packets.encode_pong(of, packets.Pong(recipient, ping_hash, self.expiration, 9))

    def bond(self, of: PrivateKey = PEER) -> None:
        """Both sides prove their endpoints, the peer being first."""
        self.assertIsNone(self.receive(self.make_ping(of)))
        (_, pong), (ping_hash, ping) = self.sent_datagrams()
        assert isinstance(pong, packets.Pong) and isinstance(ping, packets.Ping)
        self.assertIsNone(self.receive(self.make_pong(ping_hash, of)))

    def event(self) -> Event:
        """The only thing that happened."""
        (event,) = self.node.next_events()
        return event

    def assert_failed(self, call: Call, error: type[Exception]) -> None:
        """The call failed so, and that is all that happened."""
        event = self.event()
        assert isinstance(event, CallFailed)
        self.assertIs(event.call, call)
        self.assertIsInstance(event.error, error)

    def find_node(self) -> FindNodeCall:
        """Ask the peer for nodes."""
        return self.node.find_node(PEER.public_key.node_id, PEER_IP, PEER_PORT, TARGET, self.now, self.unix_time)
