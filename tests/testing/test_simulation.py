"""
Tests for L{devp2p_tx.testing.simulation}: a small network of the kind that C{bench/simulation.py} runs.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.discv4.packets import Neighbor, PacketType, encode_neighbors, packet_type
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.kademlia.distance import as_number
from devp2p_tx.errors import InvalidPublicKey, InvalidSignature
from devp2p_tx.testing.dialing import INBOUND_SLOTS, SLOTS
from devp2p_tx.testing.simulation import DiscoverySimulation, SharedCryptography

TARGET = bytes(64)


class SimulationTests(SynchronousTestCase):
    """Whole networks."""

    def test_lossy_network_converges(self) -> None:
        """With every fifth datagram lost, and nodes that come and go, lookups find their targets after some minutes."""
        simulation = DiscoverySimulation(50, seed=1, joinTime=20.0, churnInterval=300.0)
        samples = list(simulation.run(minutes=4, lookups=20))
        simulation.stop()
        self.assertEqual([(sample.time, sample.nodes) for sample in samples], [(60.0 * n, 50) for n in range(1, 5)])
        self.assertGreaterEqual(samples[-1].share, 0.95)
        self.assertGreater(samples[-1].tableSize, 20)
        self.assertTrue(0.8 < samples[-1].liveEntries < 1, samples[-1])

    def test_dialled_slots_are_filled(self) -> None:
        """All nodes fill their slots, and do it within five minutes."""
        simulation = DiscoverySimulation(40, seed=1, joinTime=20.0, churnInterval=300.0)
        *_, sample = simulation.run(minutes=6, lookups=0)
        simulation.stop()
        self.assertGreaterEqual(sample.settled, 37)
        self.assertEqual(sample.filled, 1.0)
        self.assertGreaterEqual(sample.dialed, SLOTS)

    def test_slots_that_stay_empty(self) -> None:
        """In a network of less nodes than slots nobody fills them, which is known after five minutes."""
        simulation = DiscoverySimulation(4, churn=0.0, joinTime=1.0)
        *_, before, after = simulation.run(minutes=5, lookups=0)
        simulation.stop()
        self.assertEqual((before.settled, before.filled), (0, 1.0))
        self.assertEqual((after.settled, after.filled), (4, 0.0))

    def test_full(self) -> None:
        """A node that has no slot left refuses, and is not dialled for a while."""
        simulation = DiscoverySimulation(60, seed=1, churn=0.0, joinTime=5.0)
        list(simulation.run(minutes=2, lookups=0))
        inbound = Counter(link for node in simulation.nodes for link in node.peers.dialed)
        self.assertEqual(set(inbound.values()), {1})
        self.assertEqual(max(len(node.peers.inbound) for node in simulation.nodes), INBOUND_SLOTS)
        self.assertEqual(sum(len(node.peers.inbound) for node in simulation.nodes), len(inbound))
        simulation.stop()

    def test_reproducible(self) -> None:
        """The same seed makes the same things happen, another one others."""
        runs = []
        for seed in (1, 1, 2):
            simulation = DiscoverySimulation(12, seed, joinTime=10.0)
            runs.append(list(simulation.run(minutes=2, lookups=5)))
            simulation.stop()
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])

    def test_perfect_network(self) -> None:
        """Where nothing gets lost and nobody leaves, everything is found."""
        simulation = DiscoverySimulation(20, loss=0.0, churn=0.0, joinTime=5.0)
        (_, sample) = simulation.run(minutes=2, lookups=10)
        simulation.stop()
        self.assertEqual((sample.lookups, sample.share, sample.liveEntries), (10, 1.0, 1.0))
        self.assertEqual(sample.found, 16)

    def test_closest(self) -> None:
        """The truth that lookups are compared with."""
        simulation = DiscoverySimulation(8, joinTime=0.0, bootnodes=8, churn=0.0)
        number = as_number(keccak256(TARGET))
        closest = simulation.closest(TARGET, 3)
        distances = sorted(node.number ^ number for node in simulation.nodes)
        self.assertEqual([node.number ^ number for node in closest], distances[:3])
        without = simulation.closest(TARGET, 3, besides=closest[1])
        self.assertEqual([node.number ^ number for node in without], [distances[0], *distances[2:4]])
        simulation.stop()

    def test_nothing_is_left(self) -> None:
        """After the end no node waits for anything."""
        simulation = DiscoverySimulation(5, joinTime=1.0, churn=0.0)
        list(simulation.run(minutes=1, lookups=1))
        simulation.stop()
        self.assertEqual(simulation.clock.getDelayedCalls(), [])


class SharedCryptographyTests(SynchronousTestCase):
    """Signatures that are looked up."""

    def test_signatures(self) -> None:
        """They name their signer."""
        shared, key = SharedCryptography(), PrivateKey(b"\1" * 32).public_key
        (datagram,) = encode_neighbors(shared.of(key), (), 1)
        self.assertEqual((packet_type(datagram), shared.sender(datagram)), (PacketType.NEIGHBORS, key))
        self.assertRaises(InvalidSignature, shared.sender, datagram[:32] + bytes(65) + datagram[97:])

    def test_nodes(self) -> None:
        """A node is read once, whoever tells of it; what is no key is none for anybody."""
        shared, key = SharedCryptography(), PrivateKey(b"\1" * 32).public_key
        told = Neighbor(bytes((34, 1, 1, 1)), 30303, 30304, key.to_bytes())
        node = shared.of(key).node(told)
        self.assertEqual(node, Node(key, ip_address("34.1.1.1"), 30304, 30303))
        self.assertIs(shared.node(told), node)
        for _ in range(2):
            self.assertRaises(InvalidPublicKey, shared.node, told._replace(public_key=bytes(64)))
