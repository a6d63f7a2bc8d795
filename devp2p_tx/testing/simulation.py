"""
A whole discovery network in one process, on a virtual clock: how well do lookups work when datagrams get lost and nodes
come and go?

::

    simulation = DiscoverySimulation(size=200, seed=7)
    for sample in simulation.run(minutes=5):
        print(sample.time, sample.share)

Everything is L{devp2p_tx.net.discovery.discv4.DiscoveryV4} as it runs on a real network, but for the signatures of
packets: since all nodes live in one process, the signer is simply looked up. The same seed makes the same things
happen.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from devp2p_tx.core.addressing.addresses import IPAddress, from_packed, is_global
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.discv4.cryptography import Cryptography, read_node
from devp2p_tx.core.discv4.packets import HASH_SIZE, Neighbor
from devp2p_tx.core.enr.local import LocalRecord, Source
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import Record
from devp2p_tx.core.kademlia.distance import as_number
from devp2p_tx.errors import InvalidSignature, ServerStopped
from devp2p_tx.net.discovery.discv4 import TARGET_SIZE, DiscoveryV4
from devp2p_tx.storage.memory import MemoryNodeStore
from devp2p_tx.testing._clock import VirtualClock
from devp2p_tx.testing.dialing import Exchange, SimulatedPeers
from devp2p_tx.testing.ether import Ether, EtherSocket

#: Where all nodes listen.
PORT = 30303
#: Nodes that a lookup should find, and how many of them are enough.
WANTED, ENOUGH = 16, 12
#: Lookups end within this time (seconds).
LOOKUP_TIME = 30.0

#: Nodes should have filled their dialled slots within this time (seconds).
FILL_TIME = 300.0

_START = 1_700_000_000.25
_MINUTE = 60.0


#: Where a packet has the name of its signer.
_SIGNER = slice(HASH_SIZE, HASH_SIZE + 32)


class SharedCryptography:
    """The keys of all nodes. A signature is the signer's name, and not for the outside world."""

    def __init__(self) -> None:
        self._nodes: dict[Neighbor, Node] = {}
        self._signers: dict[bytes, PublicKey] = {}
        self._records: dict[bytes, Record] = {}

    def of(self, key: PublicKey) -> Cryptography:
        """What the node with that key signs and verifies with."""
        self._signers[key.node_id] = key
        return _Share(self, key.node_id)

    @staticmethod
    def intact(datagram: bytes) -> bool:
        """Nothing happens to a packet on its way but that it is lost."""
        return True

    def sender(self, datagram: bytes) -> PublicKey:
        """The signer of a packet."""
        signer = self._signers.get(datagram[_SIGNER])
        if signer is None:
            raise InvalidSignature("no key can be recovered")
        return signer

    def node(self, told: Neighbor) -> Node:
        """A node, read the first time that anybody tells of it."""
        node = self._nodes.get(told)
        if node is None:
            node = self._nodes[told] = read_node(told)
        return node

    def record(self, data: bytes) -> Record:
        """A record, verified the first time that anybody sees it."""
        record = self._records.get(data)
        if record is None:
            record = self._records[data] = Record.decode(data)
        return record


class _Share:
    """One node's share of it."""

    def __init__(self, shared: SharedCryptography, name: bytes) -> None:
        self._signature = name + bytes(65 - len(name))
        self.intact, self.sender = shared.intact, shared.sender
        self.node, self.record = shared.node, shared.record

    def sign(self, digest: bytes) -> bytes:
        return self._signature


class SimulatedNode:
    """
    A node of the simulation.

    @ivar joined: when it came (seconds).
    @ivar number: its node id as a number.
    """

    def __init__(
        self,
        ether: Ether,
        cryptography: SharedCryptography,
        exchange: Exchange,
        random: Random,
        address: IPAddress,
        bootnodes: list[Node],
    ) -> None:
        key = PrivateKey.generate(random.randbytes)
        self._clock = clock = ether.clock
        self.joined = clock.rightNow
        self.number = as_number(key.public_key.node_id)
        self.node = Node(key.public_key, address, PORT, PORT)
        local = LocalRecord(key, int(ether.unixTime() * 1000))
        local.versions = (4,)
        local.offer(Source.FLAG, 4, address, tcp=PORT, udp=PORT)
        self.discovery = DiscoveryV4(
            local,
            clock,
            MemoryNodeStore(),
            bootnodes=bootnodes,
            seconds=clock.seconds,
            unixTime=ether.unixTime,
            random=Random(random.getrandbits(64)),  # noqa: S311 - it should be predictable
            cryptography=cryptography.of(key.public_key),
        )
        self._socket = EtherSocket(ether, address, PORT)
        self.discovery.start(edge=cast(Any, self._socket))
        chance = Random(random.getrandbits(64))  # noqa: S311
        self.peers = SimulatedPeers(clock, self.node, self.discovery, chance, exchange)

    @property
    def isSettled(self) -> bool:
        """Whether it is known whether its dialled slots were all taken within L{FILL_TIME}."""
        return self.peers.filledAt is not None or self._clock.rightNow - self.joined >= FILL_TIME

    @property
    def isFilledInTime(self) -> bool:
        """Whether all its dialled slots were taken within L{FILL_TIME}."""
        return self.peers.filledAt is not None and self.peers.filledAt - self.joined <= FILL_TIME

    def stop(self) -> None:
        """Go, without a word."""
        self.peers.stop()
        self.discovery.stop()
        self._socket.close()


class Sample(NamedTuple):
    """
    One minute of the simulation.

    @ivar time: its end (seconds).
    @ivar nodes: how many there are by then.
    @ivar lookups: how many lookups of random targets were begun in it.
    @ivar share: how many of those found L{ENOUGH} of the L{WANTED} closest live nodes, from 0 to 1.
    @ivar found: how many of those were found on average.
    @ivar tableSize: the mean number of entries in the tables of nodes.
    @ivar liveEntries: how many of all entries are nodes that are still there, from 0 to 1.
    @ivar dialed: the mean number of peers that a node dialled.
    @ivar settled: how many nodes have filled all their dialled slots, or have been there for L{FILL_TIME}; the others,
        who came later, may still do it in time.
    @ivar filled: how many of these filled them within that time, from 0 to 1; 1 if C{settled} is 0.
    """

    time: float
    nodes: int
    lookups: int
    share: float
    found: float
    tableSize: float
    liveEntries: float
    dialed: float
    settled: int
    filled: float


class DiscoverySimulation:
    """
    A network of nodes that run discovery v4.

    @ivar clock: the time of all nodes.
    @ivar nodes: those that are there; the first ones are the bootnodes, which stay.
    """

    def __init__(
        self,
        size: int = 1000,
        seed: int = 0,
        *,
        loss: float = 0.2,
        latency: float = 0.05,
        churn: float = 0.1,
        churnInterval: float = 600.0,
        joinTime: float = 60.0,
        bootnodes: int = 4,
    ) -> None:
        """
        @param size: how many nodes there are.
        @param seed: the same seed makes the same things happen.
        @param loss: the share of datagrams that get lost.
        @param latency: what a datagram takes, one way (seconds).
        @param churn: the share of nodes that leave, and are followed by as many new ones, in each C{churnInterval}...
        @param churnInterval: ...of so many seconds, evenly spread.
        @param joinTime: at the beginning nodes come one after the other within this time (seconds).
        @param bootnodes: how many nodes the others know at first.
        """
        self.clock = VirtualClock()
        self.nodes: list[SimulatedNode] = []
        self._random = Random(seed)  # noqa: S311 - it should be predictable
        self._ether = Ether(self.clock, self._random, lambda: _START + self.clock.rightNow, latency, loss)
        self._cryptography = SharedCryptography()
        self._exchange = Exchange(latency)
        self._addresses: set[int] = set()
        self._size, self._bootnodeCount = size, bootnodes
        self._bootnodes: list[Node] = []
        for _ in range(bootnodes):
            self._bootnodes.append(self._join().node)
        coming = size - bootnodes
        for number in range(coming):
            self.clock.callLater(joinTime * (number + 1) / coming, self._join)
        self._churnPause = churnInterval / (churn * size) if churn else 0.0
        if self._churnPause:
            self.clock.callLater(joinTime + self._churnPause, self._replace)
        self._results: list[int] = []

    def _join(self) -> SimulatedNode:
        node = SimulatedNode(
            self._ether, self._cryptography, self._exchange, self._random, self._newAddress(), self._bootnodes
        )
        self.nodes.append(node)
        return node

    def _newAddress(self) -> IPAddress:
        """A public address, in a network that no other node is in."""
        while True:
            value = self._random.getrandbits(32)
            address = from_packed(value.to_bytes(4, "big"))
            assert address is not None
            if value >> 8 not in self._addresses and is_global(address):
                self._addresses.add(value >> 8)
                return address

    def _replace(self) -> None:
        """One node goes without a word, and another one comes."""
        leaving = self.nodes.pop(self._random.randrange(self._bootnodeCount, len(self.nodes)))
        leaving.stop()
        self._join()
        self.clock.callLater(self._churnPause, self._replace)

    def run(self, minutes: int, lookups: int = 60) -> Iterator[Sample]:
        """
        Let time go by.

        @param minutes: for how long.
        @param lookups: how many lookups of random targets are begun in each minute, by nodes chosen at random.
        @return: a sample of each minute, each lookup counting in the minute in which it began.
        """
        for _ in range(minutes):
            self._results = []
            for number in range(lookups):
                self.clock.callLater((_MINUTE - LOOKUP_TIME) * number / lookups, self._lookUp)
            self.clock.advance(_MINUTE)
            yield self._sample()

    def stop(self) -> None:
        """Stop all nodes."""
        for node in self.nodes:
            node.stop()
        self.clock.advance(0)

    def closest(self, target: bytes, count: int = WANTED, besides: SimulatedNode | None = None) -> list[SimulatedNode]:
        """
        The nodes that are truly closest to a target, closest first.

        @param target: 64 bytes, as FINDNODE has it.
        @param besides: one that is left out.
        """
        number = as_number(keccak256(target))
        ranked = sorted(self.nodes, key=lambda node: node.number ^ number)
        return [node for node in ranked[: count + 1] if node is not besides][:count]

    def _lookUp(self) -> None:
        searching, target = self._random.choice(self.nodes), self._random.randbytes(TARGET_SIZE)
        looking: Deferred[list[Node]] = searching.discovery.lookup(target)
        looking.addCallbacks(self._count, _trapStopped, callbackArgs=(searching, target))

    def _count(self, found: list[Node], searching: SimulatedNode, target: bytes) -> None:
        ids = {node.node_id for node in found}
        closest = self.closest(target, besides=searching)
        self._results.append(sum(node.node.node_id in ids for node in closest))

    def _sample(self) -> Sample:
        results = self._results or [0]
        there = {node.node.node_id for node in self.nodes}
        settled = [node for node in self.nodes if node.isSettled]
        entries = [entry.node_id for node in self.nodes for entry in node.discovery.table]
        return Sample(
            time=self.clock.rightNow,
            nodes=len(self.nodes),
            lookups=len(self._results),
            share=sum(found >= ENOUGH for found in results) / len(results),
            found=sum(results) / len(results),
            tableSize=len(entries) / len(self.nodes),
            liveEntries=sum(entry in there for entry in entries) / max(len(entries), 1),
            dialed=sum(len(node.peers.dialed) for node in self.nodes) / len(self.nodes),
            settled=len(settled),
            filled=sum(node.isFilledInTime for node in settled) / len(settled) if settled else 1.0,
        )


def _trapStopped(failure: Failure) -> None:
    """The node left before its lookup ended."""
    failure.trap(ServerStopped)
