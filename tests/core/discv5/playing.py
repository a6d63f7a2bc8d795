"""
Nodes that talk to each other, for the tests of L{devp2p_tx.core.discv5.protocol}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from random import Random
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.discv5 import packets
from devp2p_tx.core.discv5.events import Call, CallFailed, Contact, Event, Refusal
from devp2p_tx.core.discv5.filter import PacketFilter
from devp2p_tx.core.discv5.packets import Packet, PacketReader
from devp2p_tx.core.discv5.protocol import Discv5
from devp2p_tx.core.enr import entries
from devp2p_tx.core.enr.entries import Entry
from devp2p_tx.core.enr.local import LocalRecord, Source
from devp2p_tx.core.enr.nodeendpoint import preferred_endpoint
from devp2p_tx.core.enr.record import Record

START = 1_700_000_000.25
PORT = 30303
COUNTER: Entry[rlp.Item] = entries.raw(b"counter")


def key(number: int) -> PrivateKey:
    """A key for each number."""
    return PrivateKey(number.to_bytes(32, "big"))


class Datagram(NamedTuple):
    """What a player sent."""

    data: bytes
    ip: IPAddress
    port: int


class Neighbour(NamedTuple):
    """A node of the table."""

    record: Record | None
    ip: IPAddress | None


class Added(NamedTuple):
    """A call of L{FakeTable.add_inbound}."""

    record: Record
    ip: IPAddress
    port: int
    now: float


class FakeTable:
    """A table that writes down what enters, and holds what it is told to."""

    def __init__(self) -> None:
        self.known: dict[bytes, Record] = {}
        self.neighbours: dict[int, list[Neighbour]] = {}
        self.asked: list[int] = []
        self.added: list[Added] = []

    def record(self, node_id: bytes) -> Record | None:
        return self.known.get(node_id)

    def at_distance(self, distance: int) -> Iterable[Neighbour]:
        self.asked.append(distance)
        return self.neighbours.get(distance, ())

    def add_inbound(self, record: Record, ip: IPAddress, port: int, now: float) -> None:
        self.added.append(Added(record, ip, port, now))


def make_record(number: int, ip: str = "98.1.1.1", udp: int = PORT, seq: int = 1) -> Record:
    """The record of some node."""
    values = {entries.IP.key: ip_address(ip).packed, entries.UDP.key: udp.to_bytes(2, "big").lstrip(b"\0")}
    return Record.sign(key(number), seq, values)


class Player:
    """One node at its address."""

    def __init__(self, number: int, ip: str, policy: AddressPolicy | None = None) -> None:
        self.ip, self.port = ip_address(ip), PORT + number
        self.key = key(number)
        self.number = number
        self.policy = policy
        self.table = FakeTable()
        self.local = LocalRecord(self.key, int(START * 1000))
        self.local.offer(Source.FLAG, 4, self.ip)
        self.local.offer(Source.INTERFACE, 4, udp=self.port)
        self.packet_filter = PacketFilter()
        self.lives = 0
        self.restart()

    def restart(self) -> None:
        """Begin anew, without any session."""
        self.lives += 1
        self.node = Discv5(
            self.local,
            self.table,
            Random(self.number * 1000 + self.lives).randbytes,
            policy=self.policy,
            packet_filter=self.packet_filter,
        )
        self.reader = PacketReader(self.node_id)

    def sent(self) -> list[Datagram]:
        """What it has sent since."""
        return [Datagram(*each) for each in self.node.datagrams_to_send()]

    @property
    def node_id(self) -> bytes:
        """Its id."""
        return self.key.public_key.node_id

    @property
    def contact(self) -> Contact:
        """Whom others call."""
        return Contact(self.node_id, self.ip, self.port, self.key.public_key)

    @property
    def unix_record(self) -> Record:
        """Its record as it is now."""
        return self.local.record(int(START * 1000) + 1)


class Delivered(NamedTuple):
    """A datagram on its way."""

    flag: int
    to: Player
    refusal: Refusal | None
    datagram: Datagram


class ProtocolTestCase(SynchronousTestCase):
    """Alice, Bob, and the network between them."""

    policy: AddressPolicy | None = None

    def setUp(self) -> None:
        """Monotonic and unix time have nothing to do with each other but their pace."""
        self.now = 5.0
        self.alice, self.bob = Player(1, "99.1.1.1", self.policy), Player(2, "99.1.2.1")
        self.players = [self.alice, self.bob]

    @property
    def unix_time(self) -> float:
        """As the nodes' caller has it."""
        return START + self.now - 5.0

    def carry(self, sender: Player, lost: Callable[[Packet], bool] = lambda packet: False) -> list[Delivered]:
        """What a node wants sent is sent, but for what gets lost."""
        return [self.deliver(datagram, sender) for datagram in sender.sent() if not lost(self.unmask(datagram))]

    def deliver(self, datagram: Datagram, sender: Player) -> Delivered:
        """Bring a datagram to where it belongs."""
        to = self.player_at(datagram)
        packet = self.unmask(datagram)
        return Delivered(packet.flag, to, self.receive(datagram.data, to, sender.ip, sender.port), datagram)

    def receive(self, data: bytes, to: Player, ip: IPAddress, port: int) -> Refusal | None:
        """A datagram comes in."""
        return to.node.receive_datagram(data, ip, port, self.now, self.unix_time)

    def player_at(self, datagram: Datagram) -> Player:
        """Who is to receive a datagram."""
        (player,) = (each for each in self.players if (each.ip, each.port) == (datagram.ip, datagram.port))
        return player

    def unmask(self, datagram: Datagram) -> Packet:
        """A datagram as its recipient sees it."""
        return self.player_at(datagram).reader.read(datagram.data)

    def settle(self) -> list[int]:
        """Carry all there is to carry, and the answers to it; the kinds of the packets."""
        flags: list[int] = []
        while carried := [each for player in self.players for each in self.carry(player)]:
            self.assertEqual([each.refusal for each in carried], [None] * len(carried))
            flags += [each.flag for each in carried]
        return flags

    def advance(self, seconds: float) -> None:
        """Let time pass, waking the nodes when they ask for it."""
        end = self.now + seconds
        while timers := [
            (timer, player.number, player)
            for player in self.players
            if (timer := player.node.get_timer()) is not None and timer <= end
        ]:
            self.now, _, player = min(timers)
            player.node.handle_timer(self.now)
        self.now = end

    def connect(self) -> None:
        """Alice and Bob have a session."""
        self.ping(self.alice, self.bob)
        self.assertEqual(self.settle(), [packets.ORDINARY, packets.WHOAREYOU, packets.HANDSHAKE, packets.ORDINARY])
        self.event(self.alice)

    def ping(self, caller: Player, callee: Player) -> Call:
        """One node pings another."""
        return caller.node.ping(callee.contact, self.now, self.unix_time)

    def event(self, player: Player) -> Event:
        """The only thing that happened to a node."""
        (event,) = player.node.next_events()
        return event

    def assert_failed(self, player: Player, call: Call, error: type[Exception], why: str = "") -> None:
        """The call failed so, and that is all that happened."""
        event = self.event(player)
        assert isinstance(event, CallFailed)
        self.assertIs(event.call, call)
        self.assertIsInstance(event.error, error)
        self.assertIn(why, str(event.error))

    def told(self, *numbers: int, ip: str = "98.1.1.1", distance: int | None = None) -> list[Record]:
        """Put nodes into Bob's table, where they are close enough to each other for any distance."""
        records = [make_record(number, ip) for number in numbers]
        self.bob.table.neighbours[256 if distance is None else distance] = [
            Neighbour(record, preferred_endpoint(record).ip) for record in records
        ]
        return records
