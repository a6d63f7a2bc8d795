"""
Tests for what time does to L{devp2p_tx.core.kademlia.table}: revalidation and refreshes.

The cases follow go-ethereum C{p2p/discover}, C{table_test.go} and C{table_reval_test.go}.
"""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.kademlia.bucket import BUCKET_SIZE
from devp2p_tx.core.kademlia.table import (
    FAST_INTERVAL,
    MAX_FAILURES,
    MIN_ENTRIES_TO_REMOVE,
    REFRESH_INTERVAL,
    SEED_MIN_CHECKS,
    SLOW_INTERVAL,
    Ping,
    Refresh,
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
    run_checks,
)


class RevalidationTests(SynchronousTestCase):
    """Checking whether nodes are alive."""

    def setUp(self) -> None:
        self.table = new_table()

    def test_newNodeSoon(self) -> None:
        """A new node is checked within the fast interval."""
        for seed in range(20):
            table = new_table(seed)
            table.add_found(node_at(256), 10.0)
            timer = table.get_timer()
            assert timer is not None
            self.assertTrue(10.0 <= timer < 10.0 + FAST_INTERVAL)

    def test_live(self) -> None:
        """A node that answers is live, and is checked at the slow pace from then on."""
        self.table.add_found(node_at(256), 0.0)
        run_checks(self.table, 0.0, FAST_INTERVAL)
        entry = entries(self.table)[id_at(256, 0)]
        self.assertEqual((entry.checks, entry.live), (1, True))
        count = len(run_checks(self.table, FAST_INTERVAL, 900.0))
        self.assertTrue(150 < count < 260, count)  # 900 s at a mean of 4.5 s

    def test_fastPace(self) -> None:
        """Nodes that are new come first: each time within three seconds."""
        fill_bucket(self.table)
        checked = run_checks(self.table, 0.0, 30.0)
        self.assertTrue(set(checked) == set(entries(self.table)), checked)

    def test_slowInterval(self) -> None:
        """The times are uniform in the interval."""
        self.table.add_found(node_at(256), 0.0)
        run_checks(self.table, 0.0, 3.0)
        now, gaps = 3.0, []
        for _ in range(200):
            timer = self.table.get_timer()
            assert timer is not None
            if timer > 800:
                break
            gaps.append(timer - now)
            now = timer
            run_checks(self.table, now, now)
        self.assertTrue(0 <= min(gaps[1:]) < 1 and SLOW_INTERVAL - 1 < max(gaps) < SLOW_INTERVAL)

    def test_silentNewNode(self) -> None:
        """A new node that does not answer is removed at once."""
        self.table.add_found(node_at(256), 0.0)
        run_checks(self.table, 0.0, FAST_INTERVAL, frozenset([id_at(256, 0)]))
        self.assertEqual(len(self.table), 0)
        self.assertGreater(self.table.get_timer() or 0, REFRESH_INTERVAL / 2)

    def test_silentOldNode(self) -> None:
        """One that passed checks is given further chances, each a third of those before."""
        node = node_at(256)
        self.table.add_found(node, 0.0)
        for _ in range(10):
            self.table.on_pong(check_once(self.table, 0.0), 0.0)
        for left in (3, 1):
            self.table.on_no_pong(check_once(self.table, 0.0), 0.0)
            self.assertEqual(entries(self.table)[node.node_id].checks, left)
            self.assertTrue(entries(self.table)[node.node_id].live)
        self.table.on_no_pong(check_once(self.table, 0.0), 0.0)
        self.assertEqual(len(self.table), 0)

    def test_pingReplace(self) -> None:
        """Which nodes a bucket has at last, as the last entry and the replacement answer or not."""
        for last_answers in (True, False):
            for new_answers in (True, False):
                table = new_table()
                nodes = fill_bucket(table)
                late = node_at(256, 100)
                table.add_found(late, 0.0)
                dead = {node.node_id for node, ok in ((nodes[-1], last_answers), (late, new_answers)) if not ok}
                run_checks(table, 0.0, 120.0, frozenset(dead))
                expected = {node.node_id for node in nodes[:-1]}
                expected |= {nodes[-1].node_id} if last_answers else {late.node_id} - dead
                self.assertEqual(set(entries(table)), expected)

    def test_notTwiceAtOnce(self) -> None:
        """A node whose check has not ended is not checked again."""
        self.table.add_found(node_at(256), 0.0)
        pings = [action for now in range(0, 60, 3) for action in self.table.handle_timer(now) if type(action) is Ping]
        self.assertEqual(len(pings), 1)

    def test_removedWhileChecked(self) -> None:
        """The answer of a node that was removed meanwhile does not bring it back, nor upset the queues."""
        self.table.add_found(node_at(256), 0.0)
        node = check_once(self.table, 0.0)
        self.table.remove(node.node_id, 1.0)
        self.assertIsNone(self.table.on_pong(node, 2.0))
        self.assertEqual(len(self.table), 0)
        self.table.on_no_pong(node, 2.0)

    def test_notChecked(self) -> None:
        """A node that could not be checked is as it was, and is checked another time."""
        node = node_at(256)
        self.table.add_found(node, 0.0)
        for now in (10.0, 30.0, 50.0):
            self.assertEqual(self.table.handle_timer(now), [Ping(node)])
            self.assertEqual(self.table.handle_timer(now + 9.0), [])
            self.table.on_unchecked(node)
        self.assertEqual(list(self.table), [node])

    def test_newRecord(self) -> None:
        """A newer record is taken from the answer; the endpoint being the same, the node is live."""
        self.table.add_found(node_at(256), 0.0)
        self.table.on_pong(check_once(self.table, 0.0), 0.0, node_at(256, seq=2))
        entry = entries(self.table)[id_at(256, 0)]
        self.assertEqual((entry.node.seq, entry.live), (2, True))

    def test_olderRecord(self) -> None:
        """A record that is not newer is not taken."""
        self.table.add_found(node_at(256, seq=2), 0.0)
        self.table.on_pong(check_once(self.table, 0.0), 0.0, node_at(256, seq=1, udp=4))
        self.assertEqual(list(self.table), [node_at(256, seq=2)])

    def test_newEndpoint(self) -> None:
        """A new address or port voids what was proved, and is checked soon, not at the slow pace."""
        for moved in (node_at(256, ip="100.100.100.100", seq=2), node_at(256, udp=9999, seq=2)):
            table = new_table()
            table.add_found(node_at(256), 0.0)
            for _ in range(SEED_MIN_CHECKS + 1):
                table.on_pong(check_once(table, 0.0), 0.0)
            self.assertIsNone(table.on_pong(check_once(table, 0.0), 0.0, moved))
            self.assertEqual(entries(table)[id_at(256, 0)][:3], (moved, SEED_MIN_CHECKS + 2, False))
            self.assertLess(table.get_timer() or 0, FAST_INTERVAL)

    def test_newEndpointBeyondLimit(self) -> None:
        """A new address that does not fit is not taken; the node is as live as it was."""
        for tail in range(2):
            self.table.add_found(node_at(256, tail, f"88.77.66.{tail}"), 0.0)
            run_checks(self.table, 0.0, 3.0)
        self.table.add_found(node_at(256, 2, "99.1.1.1"), 10.0)
        node = check_once(self.table, 10.0)
        while node.ip != ip_address("99.1.1.1"):
            self.table.on_pong(node, 10.0)
            node = check_once(self.table, 10.0)
        self.table.on_pong(node, 11.0, node_at(256, 2, "88.77.66.9", seq=5))
        self.assertEqual(entries(self.table)[node.node_id][:3], (node, 1, True))

    def test_movedWhileChecked(self) -> None:
        """The answer from an endpoint that the node has left proves nothing about the new one; nor does silence."""
        for report in (Table.on_pong, Table.on_no_pong):
            table = new_table()
            table.add_found(node_at(256, ip="88.77.66.1"), 0.0)
            node = check_once(table, 0.0)
            moved = node_at(256, ip="99.1.1.1")
            table.add_inbound(moved, 1.0)
            report(table, node, 2.0)
            self.assertEqual(entries(table)[node.node_id][:3], (moved, 0, False))
            self.assertEqual(check_once(table, 3.0), moved)

    def test_remembered(self) -> None:
        """A node is worth remembering when it passed more than five checks."""
        node = node_at(256)
        self.table.add_found(node, 0.0)
        told = [self.table.on_pong(check_once(self.table, 0.0), 0.0) for _ in range(SEED_MIN_CHECKS + 2)]
        self.assertEqual(told, [None] * SEED_MIN_CHECKS + [node, node])


class TrackRequestTests(SynchronousTestCase):
    """What lookups tell the table."""

    def setUp(self) -> None:
        self.table = new_table()

    def test_success(self) -> None:
        """What a node told is added as found."""
        self.table.track_success([node_at(256, 1), node_at(255, 1)], 0.0)
        self.assertEqual(len(self.table), 2)

    def test_removed(self) -> None:
        """After too many failures a node goes, if its bucket has others."""
        nodes = fill_bucket(self.table, count=MIN_ENTRIES_TO_REMOVE)
        self.table.track_failure(nodes[0], MAX_FAILURES - 1, 0.0)
        self.assertIn(nodes[0].node_id, self.table)
        self.table.track_failure(nodes[0], MAX_FAILURES, 0.0)
        self.assertNotIn(nodes[0].node_id, self.table)

    def test_smallNetwork(self) -> None:
        """In a bucket of few entries it stays however often it fails."""
        nodes = fill_bucket(self.table, count=MIN_ENTRIES_TO_REMOVE - 1)
        self.table.track_failure(nodes[0], 100, 0.0)
        self.assertIn(nodes[0].node_id, self.table)

    def test_stranger(self) -> None:
        """A node that is no entry cannot be removed."""
        fill_bucket(self.table)
        self.table.track_failure(node_at(256, 100), 100, 0.0)
        self.assertEqual(len(self.table), BUCKET_SIZE)


class RefreshTests(SynchronousTestCase):
    """When the table is filled, and with what."""

    def refreshes(self, table: Table[FakeNode], now: float) -> int:
        """How many refreshes are due."""
        return sum(isinstance(action, Refresh) for action in table.handle_timer(now))

    def test_first(self) -> None:
        """The first is due at once."""
        table = new_table(initialised=False)
        self.assertEqual(table.get_timer(), 0.0)
        self.assertEqual(self.refreshes(table, 0.0), 1)
        self.assertFalse(table.initialised)
        self.assertIsNone(table.get_timer())

    def test_next(self) -> None:
        """Later ones follow after half of the interval to all of it, counted from the end of the one before."""
        times = []
        for seed in range(50):
            table = new_table(seed, initialised=False)
            table.handle_timer(0.0)
            table.refresh_done(100.0)
            times.append((table.get_timer() or 0) - 100.0)
        self.assertTrue(REFRESH_INTERVAL / 2 <= min(times) < max(times) < REFRESH_INTERVAL)
        self.assertGreater(max(times) - min(times), REFRESH_INTERVAL / 4)

    def test_onRequest(self) -> None:
        """One that is asked for comes at once."""
        table = new_table()
        table.request_refresh(5.0)
        self.assertEqual(table.get_timer(), 5.0)
        self.assertEqual(self.refreshes(table, 5.0), 1)

    def test_requestWhileRunning(self) -> None:
        """One that is asked for while one runs is that one."""
        table = new_table(initialised=False)
        self.refreshes(table, 0.0)
        table.request_refresh(1.0)
        self.assertEqual(self.refreshes(table, 10.0), 0)

    def test_seeds(self) -> None:
        """A refresh starts with those remembered and the bootnodes."""
        table: Table[FakeNode] = Table(OWN_ID, Random(1), 0.0, nursery=[node_at(256, 1)])
        table.add_seeds([node_at(255, 2)], 0.0)
        self.assertEqual(set(table), {node_at(256, 1), node_at(255, 2)})
