"""
Tests for L{devp2p_tx.core.kademlia.table} and L{devp2p_tx.core.kademlia.bucket}.

The cases of adding, limits and revalidation follow go-ethereum C{p2p/discover}, C{table_test.go} and
C{table_reval_test.go}.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import is_lan
from devp2p_tx.core.kademlia.bucket import BUCKET_BITS_6, BUCKET_IP_LIMIT, BUCKET_SIZE, MAX_REPLACEMENTS
from devp2p_tx.core.kademlia.distance import as_number
from devp2p_tx.core.kademlia.table import (
    BUCKETS,
    TABLE_BITS_6,
    TABLE_IP_LIMIT,
    NodeView,
    Ping,
    Table,
)
from tests.core.kademlia.nodes import (
    OWN_ID,
    FakeNode,
    check_once,
    entries,
    fill_bucket,
    id_at,
    new_table,
    node_at,
    replacements,
)


class AddTests(SynchronousTestCase):
    """How nodes come into the table, and how they are updated."""

    def setUp(self) -> None:
        self.table = new_table()

    def test_added(self) -> None:
        """A new node is an entry, and not live."""
        node = node_at(256, ip="88.77.66.1")
        self.assertTrue(self.table.add_found(node, 5.0))
        self.assertEqual(list(self.table), [node])
        self.assertEqual(self.table.get(node.node_id), node)
        self.assertIn(node.node_id, self.table)
        self.assertEqual(entries(self.table)[node.node_id], NodeView(node, 0, False, 5.0, 5.0))

    def test_addresses(self) -> None:
        """No node enters at an address that may not be contacted, nor moves there."""
        asked: list[str] = []

        def admits(ip: IPv4Address | IPv6Address) -> bool:
            asked.append(str(ip))
            return ip in ip_network("88.0.0.0/8")

        table: Table[FakeNode] = Table(OWN_ID, Random(1), 0.0, admits=admits)
        table.refresh_done(0.0)
        allowed, forbidden = node_at(256, ip="88.77.66.1"), node_at(255, ip="10.1.1.1")
        self.assertTrue(table.add_found(allowed, 0.0))
        self.assertFalse(table.add_found(forbidden, 0.0))
        self.assertFalse(table.add_inbound(forbidden, 0.0))
        table.add_seeds([forbidden], 0.0)
        table.add_found(node_at(256, ip="10.1.1.1", seq=2), 0.0)
        self.assertEqual(list(table), [allowed])
        self.assertEqual(asked, ["88.77.66.1"] + ["10.1.1.1"] * 4)

    def test_nurseryIsNotRemembered(self) -> None:
        """Where one of the nursery is, its owner says; not what was remembered, be that a newer record."""
        now, before = node_at(256, ip="88.77.66.1"), node_at(256, ip="88.77.66.2", seq=7)
        self.table.nursery = [now]
        self.table.add_seeds([before], 0.0)
        self.assertEqual(list(self.table), [now])

    def test_self(self) -> None:
        """We are no neighbour of our own."""
        self.assertFalse(self.table.add_found(FakeNode(OWN_ID), 0.0))
        self.assertFalse(self.table.add_inbound(FakeNode(OWN_ID), 0.0))
        self.assertEqual(len(self.table), 0)

    def test_withoutAddress(self) -> None:
        """A node that has no address, or the unspecified one, cannot be asked."""
        for tail, ip in enumerate((None, ip_address("0.0.0.0"), ip_address("::"))):
            self.assertFalse(self.table.add_found(FakeNode(id_at(256, tail), ip), 0.0))
        self.assertEqual(len(self.table), 0)

    def test_foundNeedsHigherSeq(self) -> None:
        """Another's word about a known node counts only with a higher sequence number."""
        self.table.add_found(node_at(256, ip="88.77.66.1", seq=1), 0.0)
        newer = node_at(256, ip="99.99.99.99", seq=2)
        self.assertFalse(self.table.add_found(newer, 0.0))
        self.table.add_found(node_at(256, ip="100.100.100.100", seq=2), 0.0)
        self.table.add_found(node_at(256, ip="100.100.100.100", seq=1), 0.0)
        self.assertEqual(list(self.table), [newer])

    def test_foundV4Update(self) -> None:
        """A discv4 node has no record, hence number 0, and cannot be moved by another's word."""
        self.table.add_found(node_at(256, ip="88.77.66.1"), 0.0)
        self.table.add_found(node_at(256, ip="99.99.99.99"), 0.0)
        self.assertEqual(list(self.table), [node_at(256, ip="88.77.66.1")])

    def test_inboundUpdatesAlways(self) -> None:
        """A node's own packet counts whatever its number."""
        for ip, seq in (("88.77.66.1", 5), ("99.99.99.99", 5), ("100.100.100.100", 4)):
            node = node_at(256, ip=ip, seq=seq)
            self.table.add_inbound(node, 0.0)
            self.assertEqual(list(self.table), [node])

    def test_inboundBeforeRefresh(self) -> None:
        """While the first refresh runs nobody gets in by writing to us; those found do."""
        table = new_table(initialised=False)
        self.assertFalse(table.add_inbound(node_at(256), 0.0))
        self.assertTrue(table.add_found(node_at(255), 0.0))
        table.refresh_done(1.0)
        self.assertTrue(table.add_inbound(node_at(256), 1.0))

    def test_sharedBucket(self) -> None:
        """All small distances share the first bucket; each greater one has its own."""
        for distance in (1, 200, 239, 240, 241, 256):
            self.table.add_found(node_at(distance), 0.0)
        sizes = [len(bucket.entries) for bucket in self.table.view()]
        self.assertEqual(sizes, [4, 1] + [0] * 14 + [1])
        self.assertEqual(self.table.view()[-1].distance, 256)


class ReplacementTests(SynchronousTestCase):
    """Nodes that wait for a place."""

    def setUp(self) -> None:
        self.table = new_table()
        self.nodes = fill_bucket(self.table)

    def test_waits(self) -> None:
        """In a full bucket a new node waits; it is no entry, and is not told to others."""
        late = node_at(256, 100)
        self.assertFalse(self.table.add_found(late, 3.0))
        self.assertEqual(replacements(self.table), [late])
        self.assertIsNone(self.table.get(late.node_id))
        self.assertNotIn(late, self.table.closest(late.node_id, 100))

    def test_once(self) -> None:
        """A node waits only once."""
        for _ in range(2):
            self.table.add_found(node_at(256, 100), 0.0)
        self.assertEqual(len(replacements(self.table)), 1)

    def test_oldestDropped(self) -> None:
        """The oldest of too many is dropped."""
        late = [node_at(256, 100 + tail) for tail in range(MAX_REPLACEMENTS + 2)]
        for node in late:
            self.table.add_found(node, 0.0)
        self.assertEqual(replacements(self.table), late[2:])

    def test_follows(self) -> None:
        """A removed entry is followed by a replacement, which then is checked as every new entry."""
        self.table.add_found(node_at(256, 100), 3.0)
        self.table.remove(self.nodes[0].node_id, 7.0)
        entry = entries(self.table)[id_at(256, 100)]
        self.assertEqual((entry.live, entry.added_to_table, entry.added_to_bucket), (False, 3.0, 7.0))
        self.assertEqual(len(self.table), BUCKET_SIZE)
        self.assertEqual(replacements(self.table), [])

    def test_random(self) -> None:
        """Which one follows is left to chance, else a stranger would arrange to be next."""
        followers = set()
        for seed in range(40):
            table = new_table(seed)
            nodes = fill_bucket(table)
            for tail in range(4):
                table.add_found(node_at(256, 100 + tail), 0.0)
            table.remove(nodes[0].node_id, 0.0)
            followers.update(set(entries(table)) - {node.node_id for node in nodes})
        self.assertEqual(followers, {id_at(256, 100 + tail) for tail in range(4)})

    def test_removeStranger(self) -> None:
        """Removing what is no entry does nothing."""
        self.table.remove(id_at(256, 100), 0.0)
        self.assertEqual(len(self.table), BUCKET_SIZE)


class AddressLimitTests(SynchronousTestCase):
    """How many nodes of one network there may be."""

    def setUp(self) -> None:
        self.table = new_table()

    def add(self, distance: int, tail: int, ip: str) -> bool:
        """Add a node."""
        return self.table.add_found(node_at(distance, tail, ip), 0.0)

    def test_bucket(self) -> None:
        """A bucket takes two of one /24."""
        added = [self.add(256, tail, f"172.0.1.{tail}") for tail in range(3)]
        self.assertEqual(added, [True, True, False])
        self.assertTrue(self.add(256, 3, "172.0.2.1"))
        self.assertTrue(self.add(255, 3, "172.0.1.3"))

    def test_table(self) -> None:
        """The whole table takes ten of one /24."""
        added = [self.add(256 - tail, 0, f"172.0.1.{tail}") for tail in range(TABLE_IP_LIMIT + 1)]
        self.assertEqual(added, [True] * TABLE_IP_LIMIT + [False])

    def test_refusedByBucketLeavesTableAlone(self) -> None:
        """A node that its bucket refuses does not use up the table's places."""
        for tail in range(20):
            self.add(256, tail, f"172.0.1.{tail}")
        added = [self.add(255 - distance, 0, f"172.0.1.{distance}") for distance in range(8)]
        self.assertEqual(added, [True] * (TABLE_IP_LIMIT - BUCKET_IP_LIMIT))

    def test_sameAddress(self) -> None:
        """Many ids at one address are of one network too."""
        self.assertEqual([self.add(256, tail, "88.77.66.55") for tail in range(3)], [True, True, False])

    def test_lan(self) -> None:
        """On a LAN, as in a test network, all nodes may share one address."""
        fill_bucket(self.table)
        self.assertEqual(len(self.table), BUCKET_SIZE)

    def test_ipv6(self) -> None:
        """A bucket takes two of one /48, apart from those of IPv4."""
        self.assertEqual([self.add(256, tail, f"2a00:1:2:{tail}::1") for tail in range(3)], [True, True, False])
        self.assertTrue(self.add(256, 3, "2a00:1:3::1"))

    def test_ipv6_company(self) -> None:
        """The whole table takes ten of one /32, however many /48s of it there are, and as many of the next."""
        for company in ("2a00:1", "2a00:2"):
            added = [self.add(256 - number % 17, number, f"{company}:{number:x}::1") for number in range(2000)]
            self.assertEqual(sum(added), TABLE_IP_LIMIT)

    def test_nat64(self) -> None:
        """Nodes that are reached through NAT64 count by their IPv4 addresses, not as one network."""
        added = [self.add(256, tail, f"64:ff9b::88.77.{tail}.1") for tail in range(10)]
        self.assertEqual(added, [True] * 10)
        self.assertTrue(self.add(256, 20, "88.77.0.2"))
        self.assertFalse(self.add(256, 21, "64:ff9b::88.77.0.3"))

    def test_mappedAddress(self) -> None:
        """An IPv4 address in IPv6 clothes counts as what it is."""
        self.add(256, 0, "88.77.66.1")
        self.add(256, 1, "88.77.66.2")
        self.assertFalse(self.add(256, 2, "::ffff:88.77.66.3"))

    def test_replacements(self) -> None:
        """Replacements count like entries."""
        fill_bucket(self.table)
        for tail in range(3):
            self.add(256, 100 + tail, f"88.77.66.{tail}")
        self.assertEqual(len(replacements(self.table)), BUCKET_IP_LIMIT)

    def test_droppedReplacementGivesBack(self) -> None:
        """A replacement that is dropped leaves its place to others."""
        fill_bucket(self.table)
        self.add(256, 100, "88.77.66.1")
        self.add(256, 101, "88.77.66.2")
        for tail in range(MAX_REPLACEMENTS):
            self.add(256, 200 + tail, f"90.0.{tail}.1")
        self.add(256, 102, "88.77.66.3")
        self.assertIn(node_at(256, 102, "88.77.66.3"), replacements(self.table))

    def test_removedEntryGivesBack(self) -> None:
        """So does an entry that is removed."""
        self.add(256, 0, "88.77.66.1")
        self.add(256, 1, "88.77.66.2")
        self.table.remove(id_at(256, 0), 0.0)
        self.assertTrue(self.add(256, 2, "88.77.66.3"))

    def test_updateBeyondLimit(self) -> None:
        """A move to a full network is refused: the old address stays, with its place."""
        for tail in range(2):
            self.add(256, tail, f"88.77.66.{tail}")
        self.add(256, 2, "99.1.1.1")
        self.add(256, 3, "99.1.1.2")
        self.table.add_inbound(node_at(256, 2, "88.77.66.9", seq=9), 0.0)
        self.assertEqual(self.table.get(id_at(256, 2)), node_at(256, 2, "99.1.1.1"))
        self.assertFalse(self.add(256, 4, "99.1.1.3"))

    def test_updateGivesBack(self) -> None:
        """A move leaves the old place to others, and takes one in the new network."""
        self.add(256, 0, "88.77.66.1")
        self.add(256, 1, "88.77.66.2")
        self.table.add_inbound(node_at(256, 0, "99.1.1.1"), 0.0)
        self.assertTrue(self.add(256, 2, "88.77.66.3"))
        self.assertTrue(self.add(256, 3, "99.1.1.2"))
        self.assertFalse(self.add(256, 4, "99.1.1.3"))

    def test_updateWithinFullNetwork(self) -> None:
        """A node may move within its own network though that is full."""
        self.add(256, 0, "88.77.66.1")
        self.add(256, 1, "88.77.66.2")
        self.table.add_inbound(node_at(256, 0, "88.77.66.7"), 0.0)
        self.assertEqual(self.table.get(id_at(256, 0)), node_at(256, 0, "88.77.66.7"))

    def test_fromLanOutwards(self) -> None:
        """A node that moves from the LAN is counted from then on, and given back once."""
        self.add(256, 0, "10.0.0.1")
        self.table.add_inbound(node_at(256, 0, "88.77.66.1"), 0.0)
        self.assertTrue(self.add(256, 1, "88.77.66.2"))
        self.assertFalse(self.add(256, 2, "88.77.66.3"))
        self.table.add_inbound(node_at(256, 0, "10.0.0.1"), 0.0)
        self.assertTrue(self.add(256, 2, "88.77.66.3"))
        self.assertFalse(self.add(256, 3, "88.77.66.4"))


#: Mostly those that have a bucket of their own.
DISTANCES = st.one_of(st.integers(238, 256), st.integers(1, 256))


class ClosestTests(SynchronousTestCase):
    """Which nodes are told to those who ask."""

    def make_live(self, table: Table[FakeNode], count: int) -> None:
        """Have a number of nodes checked."""
        while sum(entry.live for entry in entries(table).values()) < count:
            table.on_pong(check_once(table, 0.0), 0.0)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.tuples(DISTANCES, st.integers(0, 2**60)), max_size=120),
        st.one_of(
            st.binary(min_size=32, max_size=32),
            st.builds(id_at, DISTANCES, st.integers(0, 2**60)),
            st.just(OWN_ID),
        ),
        st.integers(0, 40),
    )
    def test_closest(self, places: list[tuple[int, int]], target: bytes, count: int) -> None:
        """The result is what sorting the whole table by distance would give."""
        table = new_table()
        for distance, tail in places:
            table.add_found(node_at(distance, tail), 0.0)
        ranked = sorted(table, key=lambda node: as_number(node.node_id) ^ as_number(target))
        self.assertEqual(table.closest(target, count), ranked[:count])

    def test_live(self) -> None:
        """Only live nodes, and not only those of one bucket."""
        table = new_table()
        for distance in (256, 255, 254):
            fill_bucket(table, distance)
        self.make_live(table, 10)
        live = {node_id for node_id, entry in entries(table).items() if entry.live}
        self.assertEqual({node.node_id for node in table.closest(OWN_ID, prefer_live=True)}, live)
        self.assertEqual(len(table.closest(OWN_ID)), BUCKET_SIZE)

    def test_noneLive(self) -> None:
        """If no node is live yet, all are told."""
        table = new_table()
        fill_bucket(table)
        self.assertEqual(len(table.closest(OWN_ID, prefer_live=True)), BUCKET_SIZE)

    def test_atDistance(self) -> None:
        """Exactly the nodes at a distance, also in the bucket that many share."""
        table = new_table()
        for distance in (200, 239, 240, 241):
            table.add_found(node_at(distance), 0.0)
        for distance, count in ((199, 0), (200, 1), (239, 1), (240, 1), (241, 1), (242, 0)):
            self.assertEqual(len(table.at_distance(distance, live_only=False)), count)
            self.assertEqual(table.at_distance(distance), [])

    def test_atNoDistance(self) -> None:
        """At 0 there are only we ourselves; beyond 256 nobody can be."""
        table = new_table()
        fill_bucket(table)
        for distance in (-1, 0, 257, 2**70):
            self.assertEqual(table.at_distance(distance, live_only=False), [])

    def test_atDistanceLive(self) -> None:
        """Only live nodes are told, in an order that changes."""
        table = new_table()
        fill_bucket(table)
        self.make_live(table, 5)
        told = [tuple(table.at_distance(256)) for _ in range(10)]
        self.assertEqual({len(nodes) for nodes in told}, {5})
        self.assertGreater(len(set(told)), 1)


NODES = st.builds(
    lambda distance, tail, ip, udp, seq: FakeNode(id_at(distance, tail), ip, udp, seq),
    st.sampled_from((1, 240, 255, 256)),
    st.integers(0, 30),
    st.one_of(
        st.builds(lambda a, b: IPv4Address(f"88.77.{a}.{b}"), st.integers(0, 20), st.integers(0, 3)),
        st.builds(lambda a: IPv6Address(f"2a00:{a}00::1"), st.integers(1, 5)),
        st.sampled_from((None, ip_address("10.0.0.1"), ip_address("0.0.0.0"))),
    ),
    st.integers(1, 2),
    st.integers(0, 3),
)


class InvariantTests(SynchronousTestCase):
    """What holds whatever happens."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(("found", "inbound", "pong", "silence", "remove")), NODES), max_size=150))
    def test_invariants(self, events: list[tuple[str, FakeNode]]) -> None:
        """Sizes, limits and queues are as they should after any sequence of events."""
        table = new_table()
        now = 0.0
        for kind, node in events:
            now += 1.0
            if kind == "found":
                table.add_found(node, now)
            elif kind == "inbound":
                table.add_inbound(node, now)
            elif kind == "remove":
                table.remove(node.node_id, now)
            else:
                for action in table.handle_timer(now):
                    assert isinstance(action, Ping)
                    if kind == "pong":
                        table.on_pong(action.node, now, node if node.node_id == action.node.node_id else None)
                    else:
                        table.on_no_pong(action.node, now)
            self.check(table)

    def check(self, table: Table[FakeNode]) -> None:
        """Compare the table with what its content says."""
        everywhere: Counter[object] = Counter()
        for bucket, state in zip(table.view(), table._buckets, strict=True):
            nodes = [entry.node for entry in bucket.entries + bucket.replacements]
            counted = [node for node in nodes if node.ip is not None and not is_lan(node.ip)]
            networks = Counter(network(node, BUCKET_BITS_6) for node in counted)
            self.assertEqual(len({node.node_id for node in nodes}), len(nodes))
            self.assertEqual(len(state.networks), networks.total())
            self.assertLessEqual(max(networks.values(), default=0), BUCKET_IP_LIMIT)
            self.assertTrue(len(bucket.entries) == BUCKET_SIZE or not bucket.replacements)
            everywhere += Counter(network(node, TABLE_BITS_6) for node in counted)
        self.assertEqual(len(table._networks), everywhere.total())
        self.assertLessEqual(max(everywhere.values(), default=0), TABLE_IP_LIMIT)
        self.assertEqual(len(table), sum(len(bucket.entries) for bucket in table.view()))
        self.assertEqual(len(table.view()), BUCKETS)


def network(node: FakeNode, bits_6: int) -> IPv4Network | IPv6Network:
    """The network of the node's address: a /24 of IPv4, C{bits_6} bits of IPv6."""
    assert node.ip is not None
    return ip_network((node.ip, 24 if node.ip.version == 4 else bits_6), strict=False)
