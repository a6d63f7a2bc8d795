"""
Tests for L{devp2p_tx.storage.memory}.

The cases of seeds and expiration follow go-ethereum C{p2p/enode/nodedb_test.go} (TestDBSeedQuery, TestDBExpiration,
TestDBExpireV5).
"""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.storage.memory import (
    DIAL_EXPIRATION,
    MAX_DIAL_FAILURES,
    NODE_EXPIRATION,
    Dial,
    Endpoint,
    LocalNode,
    MemoryNodeStore,
    Rows,
)

NOW = 1_700_000_000
DAY = 86400
IP = ip_address("88.77.66.1")
OTHER_IP = ip_address("88.77.66.2")


def node_id(number: int) -> bytes:
    """An id."""
    return number.to_bytes(32, "big")


class NodeTests(SynchronousTestCase):
    """Nodes as text."""

    def test_nodes(self) -> None:
        """They are put, replaced and forgotten."""
        store = MemoryNodeStore()
        self.assertIsNone(store.node(node_id(1)))
        store.put_node(node_id(1), "enr:old", IP)
        store.put_node(node_id(1), "enr:new", None)
        self.assertEqual(store.node(node_id(1)), "enr:new")
        store.forget_node(node_id(1))
        store.forget_node(node_id(1))
        self.assertIsNone(store.node(node_id(1)))


class EndpointTests(SynchronousTestCase):
    """The endpoint proof, and failures."""

    def setUp(self) -> None:
        self.store = MemoryNodeStore()

    def test_never(self) -> None:
        """Of a stranger nothing is known."""
        self.assertEqual(self.store.last_ping(node_id(1), IP), 0)
        self.assertEqual(self.store.last_pong(node_id(1), IP), 0)
        self.assertEqual(self.store.findnode_failures(node_id(1), IP), 0)

    def test_keyedByIdAndAddress(self) -> None:
        """The proof holds for one id at one address only."""
        self.store.ping_received(node_id(1), IP, NOW)
        self.store.pong_received(node_id(1), IP, NOW + 1)
        self.assertEqual(self.store.last_ping(node_id(1), IP), NOW)
        self.assertEqual(self.store.last_pong(node_id(1), IP), NOW + 1)
        for who, ip in ((node_id(2), IP), (node_id(1), OTHER_IP)):
            self.assertEqual((self.store.last_ping(who, ip), self.store.last_pong(who, ip)), (0, 0))

    def test_mappedAddress(self) -> None:
        """An IPv4 address in IPv6 clothes is the same address."""
        self.store.pong_received(node_id(1), ip_address("::ffff:88.77.66.1"), NOW)
        self.assertEqual(self.store.last_pong(node_id(1), IP), NOW)

    def test_failures(self) -> None:
        """Failures in a row are counted, for both protocols apart, and a success begins anew."""
        counts = [self.store.findnode_failed(node_id(1), IP) for _ in range(3)]
        self.assertEqual(counts, [1, 2, 3])
        self.assertEqual(self.store.findnode_failed(node_id(1), IP, v5=True), 1)
        self.store.findnode_succeeded(node_id(1), IP)
        self.assertEqual(self.store.findnode_failures(node_id(1), IP), 0)
        self.assertEqual(self.store.findnode_failures(node_id(1), IP, v5=True), 1)
        self.store.findnode_succeeded(node_id(1), IP, v5=True)
        self.assertEqual(self.store.findnode_failures(node_id(1), IP, v5=True), 0)

    def test_successOfStranger(self) -> None:
        """A success makes no row where there was none."""
        self.store.findnode_succeeded(node_id(1), IP)
        self.assertEqual(len(self.store._endpoints), 0)


class SeedTests(SynchronousTestCase):
    """Nodes to begin with."""

    def add(self, store: MemoryNodeStore, number: int, pong: int | None, pong_ip: IPAddress = IP) -> None:
        """A node at L{IP} that answered some time."""
        store.put_node(node_id(number), f"enr:{number}", IP)
        if pong is not None:
            store.pong_received(node_id(number), pong_ip, pong)

    def test_age(self) -> None:
        """Only nodes that answered lately, from the address that they have now."""
        store = MemoryNodeStore()
        self.add(store, 1, NOW)
        self.add(store, 2, NOW - 5 * DAY)
        self.add(store, 3, NOW - 5 * DAY - 1)
        self.add(store, 4, None)
        self.add(store, 5, NOW, OTHER_IP)
        store.pong_received(node_id(6), IP, NOW)
        store.put_node(node_id(7), "enr:7", None)
        self.assertEqual(sorted(store.seeds(30, 5 * DAY, NOW, Random(1))), ["enr:1", "enr:2"])

    def test_random(self) -> None:
        """Of many a random choice, without repetition."""
        store = MemoryNodeStore()
        for number in range(100):
            self.add(store, number, NOW)
        choices = [store.seeds(30, DAY, NOW, Random(seed)) for seed in range(2)]
        self.assertEqual([len(set(choice)) for choice in choices], [30, 30])
        self.assertNotEqual(set(choices[0]), set(choices[1]))


class ExpirationTests(SynchronousTestCase):
    """What is forgotten after a day."""

    def setUp(self) -> None:
        self.store = MemoryNodeStore()
        self.store.put_node(node_id(1), "enr:1", IP)

    def test_fresh(self) -> None:
        """A node that answered within a day stays, to the second."""
        self.store.pong_received(node_id(1), IP, NOW - NODE_EXPIRATION)
        self.store.expire(NOW)
        self.assertEqual(self.store.node(node_id(1)), "enr:1")
        self.assertEqual(self.store.last_pong(node_id(1), IP), NOW - NODE_EXPIRATION)

    def test_old(self) -> None:
        """One that did not goes, with all that passed."""
        self.store.pong_received(node_id(1), IP, NOW - NODE_EXPIRATION - 1)
        self.store.ping_received(node_id(1), IP, NOW)
        self.store.expire(NOW)
        self.assertIsNone(self.store.node(node_id(1)))
        self.assertEqual((self.store.last_ping(node_id(1), IP), self.store.last_pong(node_id(1), IP)), (0, 0))

    def test_v5(self) -> None:
        """Pongs of discv5 keep a node, and those of discv4 count for themselves."""
        self.store.pong_received(node_id(1), IP, NOW - NODE_EXPIRATION, v5=True)
        self.store.expire(NOW)
        self.assertEqual(self.store.seeds(1, NODE_EXPIRATION, NOW, Random(1)), ["enr:1"])
        self.assertEqual(self.store.last_pong(node_id(1), IP), 0)
        self.store.expire(NOW + 1)
        self.assertIsNone(self.store.node(node_id(1)))

    def test_severalAddresses(self) -> None:
        """Each address expires for itself; the node stays while one of them is fresh."""
        self.store.pong_received(node_id(1), IP, NOW - NODE_EXPIRATION - 1)
        self.store.pong_received(node_id(1), OTHER_IP, NOW - 10)
        self.store.expire(NOW)
        self.assertEqual(self.store.node(node_id(1)), "enr:1")
        self.assertEqual(self.store.last_pong(node_id(1), IP), 0)
        self.assertEqual(self.store.last_pong(node_id(1), OTHER_IP), NOW - 10)

    def test_withoutPong(self) -> None:
        """A node that never had a pong is left alone, and so are its failures."""
        self.store.findnode_failed(node_id(1), IP, v5=True)
        self.store.expire(NOW)
        self.assertEqual(self.store.node(node_id(1)), "enr:1")
        self.assertEqual(self.store.findnode_failures(node_id(1), IP, v5=True), 1)

    def test_unprovenEndpoint(self) -> None:
        """Pings of those who never answered ours expire too."""
        self.store.ping_received(node_id(1), IP, NOW - NODE_EXPIRATION - 1)
        self.store.ping_received(node_id(2), IP, NOW - 10)
        self.store.expire(NOW)
        self.assertEqual(self.store.last_ping(node_id(1), IP), 0)
        self.assertEqual(self.store.last_ping(node_id(2), IP), NOW - 10)
        self.assertEqual(self.store.node(node_id(1)), "enr:1")

    def test_peers(self) -> None:
        """A peer is remembered for a week."""
        self.store.dial_succeeded(node_id(1), "enr:1", NOW - DIAL_EXPIRATION)
        self.store.dial_succeeded(node_id(2), "enr:2", NOW - DIAL_EXPIRATION - 1)
        self.store.expire(NOW)
        self.assertEqual(self.store.good_peers(10), ["enr:1"])

    def test_times_to_come(self) -> None:
        """What is dated a day ahead or less stays, what is dated a year ahead goes, as what is that old."""
        for ahead, stays in ((NODE_EXPIRATION, True), (NODE_EXPIRATION + 1, False), (365 * 86400, False)):
            for v5 in (False, True):
                self.setUp()
                self.store.pong_received(node_id(1), IP, NOW + ahead, v5=v5)
                self.store.ping_received(node_id(2), IP, NOW + ahead)
                self.store.expire(NOW)
                self.assertEqual(self.store.node(node_id(1)) is not None, stays)
                self.assertEqual(self.store.last_ping(node_id(2), IP) > 0, stays)
        for ahead, stays in ((DIAL_EXPIRATION, True), (DIAL_EXPIRATION + 1, False)):
            self.store.dial_succeeded(node_id(3), "enr:3", NOW + ahead)
            self.store.expire(NOW)
            self.assertEqual(self.store.good_peers(9) == ["enr:3"], stays)

    def test_one_time_to_come(self) -> None:
        """A fresh proof of one version counts, whatever the clock was when that of the other was written."""
        self.store.pong_received(node_id(1), IP, NOW + 365 * 86400)
        self.store.pong_received(node_id(1), IP, NOW, v5=True)
        self.store.expire(NOW)
        self.assertEqual(self.store.seeds(1, 100, NOW, Random(1)), ["enr:1"])

    def test_seeds_of_times_to_come(self) -> None:
        """Nodes to begin with may be dated ahead by as much as they may be old."""
        for ahead, fit in ((100, True), (101, False), (365 * 86400, False)):
            self.store.pong_received(node_id(1), IP, NOW + ahead)
            self.assertEqual(self.store.seeds(1, 100, NOW, Random(1)), ["enr:1"] if fit else [])

    def test_clock_of_1970(self) -> None:
        """Who never answered is no node to begin with."""
        self.assertEqual(self.store.seeds(1, 5 * 86400, 100, Random(1)), [])


class DialTests(SynchronousTestCase):
    """Peers that were good."""

    def setUp(self) -> None:
        self.store = MemoryNodeStore()

    def test_order(self) -> None:
        """Those with few failures come first, then those seen last."""
        for number, when in ((1, 10), (2, 30), (3, 20)):
            self.store.dial_succeeded(node_id(number), f"enr:{number}", NOW + when)
        self.store.dial_failed(node_id(2), NOW + 40)
        self.assertEqual(self.store.good_peers(10), ["enr:3", "enr:1", "enr:2"])
        self.assertEqual(self.store.good_peers(1), ["enr:3"])

    def test_strangers(self) -> None:
        """A dial that fails at a stranger is not remembered."""
        self.store.dial_failed(node_id(1), NOW)
        self.assertEqual(len(self.store._dials), 0)

    def test_tooManyFailures(self) -> None:
        """A peer that cannot be reached any more is forgotten; a success in between counts anew."""
        self.store.dial_succeeded(node_id(1), "enr:1", NOW)
        for _ in range(MAX_DIAL_FAILURES - 1):
            self.store.dial_failed(node_id(1), NOW)
        self.assertEqual(self.store.good_peers(1), ["enr:1"])
        self.store.dial_succeeded(node_id(1), "enr:1", NOW)
        for _ in range(MAX_DIAL_FAILURES - 1):
            self.store.dial_failed(node_id(1), NOW)
        self.assertEqual(self.store.good_peers(1), ["enr:1"])
        self.store.dial_failed(node_id(1), NOW)
        self.assertEqual(self.store.good_peers(1), [])


class LocalSeqTests(SynchronousTestCase):
    """Our own number."""

    def test_seq(self) -> None:
        """It is kept for each of our ids; at first there is none."""
        store = MemoryNodeStore()
        self.assertIsNone(store.local_seq(node_id(1)))
        store.set_local_seq(node_id(1), 2**64 - 1)
        self.assertEqual(store.local_seq(node_id(1)), 2**64 - 1)
        self.assertIsNone(store.local_seq(node_id(2)))

    def test_no_number(self) -> None:
        """What somebody else wrote into the database is no number."""
        store = MemoryNodeStore()
        for text in ("", "abc", "-1", "1.5", str(2**64), "9" * 99, "\u0661"):
            store._local.put((node_id(1),), LocalNode(text))
            self.assertIsNone(store.local_seq(node_id(1)))


class BoundTests(SynchronousTestCase):
    """What strangers cannot do to us."""

    def test_rows(self) -> None:
        """A table keeps to its limit; what was unchanged for longest goes."""
        rows: Rows[Dial] = Rows(3)
        for number in (1, 2, 3, 1, 4):
            rows.put((node_id(number),), Dial("", 0, 0, 0))
        self.assertEqual([key for key, _ in rows], [(node_id(number),) for number in (3, 1, 4)])

    def test_unprovenFirst(self) -> None:
        """Pings from made-up senders push each other out, but none who proved its address."""
        store = MemoryNodeStore()
        store._endpoints.limit = 100
        for number in range(60):
            store.ping_received(node_id(number), IP, NOW)
            store.pong_received(node_id(number), IP, NOW)
        for number in range(1000, 3000):
            store.ping_received(node_id(number), IP, NOW)
        self.assertEqual(len(store._endpoints), 100)
        self.assertTrue(all(store.last_pong(node_id(number), IP) == NOW for number in range(60)))
        self.assertEqual(store.last_ping(node_id(2999), IP), NOW)
        self.assertEqual(len(store._endpoints.expendable), 40)

    def test_changes(self) -> None:
        """The list of changes that nobody writes down does not grow for ever."""
        rows: Rows[Endpoint] = Rows(10)
        for number in range(1000):
            rows.put((node_id(number),), Endpoint())
            self.assertLessEqual(len(rows.changed), 20)
        self.assertTrue(rows.rewrite)

    def test_nothingToDo(self) -> None:
        """A store in memory has nothing to write."""
        store = MemoryNodeStore()
        store.set_local_seq(node_id(1), 1)
        self.assertEqual(store.flush(), 0)
        store.close()
