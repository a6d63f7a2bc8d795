"""
Tests for L{devp2p_tx.core.dialing.dialplan}.

Most are ledgers, in the manner of go-ethereum's C{p2p/dial_test.go}: each line says what has happened by a time, and
who is dialled then.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.dialing.dialplan import HISTORY_EXPIRATION, MAX_BACKOFF, DialPlan, Refusal
from devp2p_tx.core.dialing.places import Places
from devp2p_tx.core.enr.node import Node

_KEYS = [PrivateKey(number.to_bytes(32, "big")).public_key for number in range(1, 33)]
SELF = 31


def node(number: int, **changes: Any) -> Node:
    """Node 0 to 31, at 127.0.2.number:30303."""
    fields = {"ip": ip_address(f"127.0.2.{number}"), "tcp": 30303, "udp": 30303, **changes}
    return Node(_KEYS[number], **fields)


class InOrder(Random):
    """Chance that leaves everything as it is."""

    def shuffle(self, x: Any) -> None:
        """Do not."""


class Reversed(Random):
    """Chance that turns everything round."""

    def shuffle(self, x: Any) -> None:
        """Turn round."""
        x.reverse()


@dataclass
class Round:
    """
    One line of the ledger.

    @ivar at: the time.
    @ivar connected: whose dials have made them peers.
    @ivar failed: whose dials have failed.
    @ivar dropped: who was a peer.
    @ivar came: who has dialled us and become a peer.
    @ivar pending: who is dialling us.
    @ivar settled: who was.
    @ivar add: who is static from now on.
    @ivar remove: who is not any more.
    @ivar dials: who is dialled.
    """

    at: float
    connected: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    came: tuple[int, ...] = ()
    pending: tuple[int, ...] = ()
    settled: tuple[int, ...] = ()
    add: tuple[int, ...] = ()
    remove: tuple[int, ...] = ()
    dials: tuple[int, ...] = ()

    def tell(self, plan: DialPlan) -> None:
        """Report all that has happened."""
        for number in self.connected:
            plan.peer_added(node(number).node_id, dialed=True)
        for number in (*self.connected, *self.failed):
            plan.dial_done(node(number).node_id)
        for number in self.dropped:
            plan.peer_removed(node(number).node_id)
        for number in self.came:
            plan.peer_added(node(number).node_id, dialed=False)
        for number in self.pending:
            _arriving(plan).add(node(number).node_id)
        for number in self.settled:
            _arriving(plan).discard(node(number).node_id)
        for number in self.add:
            plan.add_static(node(number))
        for number in self.remove:
            plan.remove_static(node(number).node_id)


def _arriving(plan: DialPlan) -> set[bytes]:
    assert isinstance(plan.arriving, set)
    return plan.arriving


def make_plan(
    max_dialed: int = 16,
    max_active: int = 50,
    netrestrict: Netlist | None = None,
    random: Random | None = None,
    max_peers: int = 50,
) -> DialPlan:
    """A plan of node 31."""
    policy = AddressPolicy(netrestrict, lan=True)
    places = Places(max_peers, max_dialed)
    arriving: set[bytes] = set()
    return DialPlan(node(SELF).node_id, places, max_active, policy, random or InOrder(), arriving=arriving)


class LedgerTestCase(SynchronousTestCase):
    """Plays ledgers."""

    def play(self, plan: DialPlan, *rounds: Round) -> None:
        """Check every line."""
        for each in rounds:
            each.tell(plan)
            dials = plan.next_dials(each.at)
            self.assertEqual(dials, [node(number) for number in each.dials], f"at {each.at}")
            self.assertEqual(plan.next_dials(each.at), [], f"they count as started at {each.at}")


class SlotTests(LedgerTestCase):
    """How many are dialed."""

    def test_candidates_doubled(self) -> None:
        """Twice as many dials of candidates as dialed places that are missing, since many fail."""
        plan = make_plan(max_dialed=2)
        self.assertEqual(plan.free_slots, 4)
        for number in (1, 2, 3, 4):
            plan.dial_started(node(number).node_id, 0)
        self.assertEqual((plan.free_slots, plan.wants_candidates), (0, False))
        plan.dial_done(node(1).node_id)
        self.assertEqual((plan.free_slots, plan.wants_candidates), (1, True))
        plan.peer_added(node(2).node_id, dialed=True)
        plan.dial_done(node(2).node_id)
        self.assertEqual(plan.free_slots, 0)

    def test_added_twice(self) -> None:
        """A peer takes one place, whatever is said of it last; and none once it is gone."""
        plan = make_plan(max_dialed=3)
        for dialed, free in ((True, 4), (True, 4), (False, 6), (True, 4)):
            plan.peer_added(node(1).node_id, dialed)
            self.assertEqual(plan.free_slots, free)
        for _ in range(2):
            plan.peer_removed(node(1).node_id)
            self.assertEqual(plan.free_slots, 6)

    def test_no_dialed_places(self) -> None:
        """Static nodes need none, and take none: neither their dials, nor as peers."""
        plan = make_plan(max_dialed=1)
        plan.peer_added(node(9).node_id, dialed=True)
        self.play(
            plan,
            Round(0, add=(1, 2, 3), dials=(1, 2, 3)),
            Round(1, connected=(1, 2), failed=(3,)),
            Round(35, dials=(3,)),
            Round(36, connected=(3,)),
            Round(100, dropped=(2, 9), dials=(2,)),
        )
        self.assertEqual(plan.free_slots, 2)

    def test_dropped_for_ever(self) -> None:
        """Of 40 static nodes each that drops is dialed again, be it within the 35 seconds or later."""
        numbers = tuple(range(30))
        plan = make_plan(max_dialed=16)
        self.play(plan, Round(0, add=numbers, dials=numbers), Round(1, connected=numbers))
        for number in numbers:
            self.play(
                plan,
                Round(100 * number + 100, dropped=(number,), dials=(number,)),
                Round(100 * number + 101, connected=(number,)),
                Round(100 * number + 110, dropped=(number,)),
                Round(100 * number + 135, dials=(number,)),
                Round(100 * number + 136, connected=(number,)),
            )

    def test_max_peers(self) -> None:
        """Static nodes are dialed as long as there are places for all of them, whoever else is a peer."""
        plan = make_plan(max_peers=2)
        self.play(
            plan,
            Round(0, came=(7, 8), add=(1, 2, 3, 4), dials=(1, 2)),
            Round(1, failed=(1,), dials=(3,)),
            Round(2, connected=(2, 3)),
            Round(100),
        )
        self.assertEqual(plan.waiting, [node(1), node(4)])
        self.play(plan, Round(101, dropped=(2,), dials=(1,)))
        self.assertEqual(plan.waiting, [node(2), node(4)])
        self.play(plan, Round(150, failed=(1,), dropped=(3,), dials=(2, 3)))

    def test_trusted(self) -> None:
        """One that is trusted as well needs no place."""
        plan = make_plan(max_peers=1, max_dialed=1)
        plan.places.set_trusted(node(3).node_id, True)
        self.play(plan, Round(0, add=(1, 2, 3, 4), dials=(1, 3)))
        self.assertEqual(plan.waiting, [node(2), node(4)])
        plan.places.set_trusted(node(4).node_id, True)
        self.play(plan, Round(1, dials=(4,)), Round(2, connected=(1, 3, 4)))
        self.assertEqual(plan.waiting, [node(2)])
        plan = make_plan(max_peers=0, max_dialed=0)
        plan.places.set_trusted(node(2).node_id, True)
        self.play(plan, Round(0, add=(1, 2), dials=(2,)))

    def test_max_active(self) -> None:
        """However many places there are, no more dials than that are under way."""
        self.play(
            make_plan(max_active=3),
            Round(0, add=(1, 2, 3, 4, 5, 6), dials=(1, 2, 3)),
            Round(1, connected=(2,), dials=(4,)),
            Round(2, failed=(1, 3), dials=(5, 6)),
        )

    def test_half_while_others_wait(self) -> None:
        """While a candidate waits static nodes take at most half of that; of three, one."""
        for max_active, half in ((2, 1), (3, 1), (4, 2), (50, 25)):
            plan = make_plan(max_active=max_active)
            Round(0, add=tuple(range(30))).tell(plan)
            self.assertEqual(len(plan.next_dials(0, candidate_waits=True)), half)
            self.assertEqual(plan.next_dials(0, candidate_waits=True), [])
            self.assertEqual(len(plan.next_dials(0)), min(max_active, 30) - half)

    def test_nobody_waits_for_what_there_is_not(self) -> None:
        """A candidate that has no place is not one that waits for room."""
        plan = make_plan(max_active=4, max_dialed=0)
        Round(0, add=(1, 2, 3, 4)).tell(plan)
        self.assertEqual(len(plan.next_dials(0, candidate_waits=True)), 4)

    def test_turns(self) -> None:
        """If only one dial may be under way, static nodes and candidates that wait take turns."""
        plan = make_plan(max_active=1)
        Round(0, add=(1, 2, 3)).tell(plan)
        self.assertEqual(plan.next_dials(0, candidate_waits=True), [node(1)])
        plan.dial_done(node(1).node_id)
        self.assertEqual(plan.next_dials(1, candidate_waits=True), [])
        plan.dial_started(node(9).node_id, 1)
        plan.dial_done(node(9).node_id)
        self.assertEqual(plan.next_dials(2, candidate_waits=True), [node(2)])
        plan.dial_done(node(2).node_id)
        self.assertEqual(plan.next_dials(3), [node(3)])

    def test_inbound_peers_take_no_dialed_place(self) -> None:
        """Only peers that were dialed count."""
        plan = make_plan(max_dialed=1)
        Round(0, came=(7, 8, 9)).tell(plan)
        self.assertEqual(plan.free_slots, 2)

    def test_none(self) -> None:
        """Without dials no node is dialed, and there is nothing to wait for."""
        plan = make_plan(max_active=0)
        self.play(plan, Round(0, add=(1, 2)), Round(1000))
        self.assertEqual((plan.get_timer(), plan.waiting, plan.wants_candidates), (None, [], False))

    def test_dials_of_others(self) -> None:
        """A dial that the owner began by itself takes a slot, and a place in the history; also if there are two."""
        plan = make_plan(max_active=2)
        plan.dial_started(node(1).node_id, 0)
        plan.dial_started(node(1).node_id, 0)
        self.play(
            plan,
            Round(1, add=(1, 2)),
            Round(2, failed=(1,), dials=(2,)),
            Round(3, failed=(2,)),
        )
        self.assertIs(plan.check(node(1)), Refusal.DIALING)
        self.play(plan, Round(4, failed=(1,)), Round(35, dials=(1,)))


class OrderTests(LedgerTestCase):
    """Who is dialled first."""

    def test_as_chance_has_it(self) -> None:
        """All that may be dialled are shuffled, and not only those that are chosen."""
        plan = make_plan(max_active=2, random=Reversed())
        self.play(plan, Round(0, add=(1, 2, 3, 4), dials=(4, 3)))

    def test_nobody_is_preferred(self) -> None:
        """Over many plans everybody comes first."""
        first = set()
        for seed in range(40):
            plan = make_plan(max_active=1, random=Random(seed))
            Round(0, add=(1, 2, 3, 4)).tell(plan)
            first.add(plan.next_dials(0)[0])
        self.assertEqual(first, {node(number) for number in (1, 2, 3, 4)})


class HistoryTests(LedgerTestCase):
    """When somebody is dialled again."""

    def test_from_the_start_of_the_dial(self) -> None:
        """35 seconds after the last dial began, whenever it ended."""
        self.play(
            make_plan(),
            Round(100, add=(1,), dials=(1,)),
            Round(120, failed=(1,)),
            Round(134.9),
            Round(135, dials=(1,)),
        )

    def test_not_while_it_lasts(self) -> None:
        """A dial that takes longer is not joined by another."""
        self.play(
            make_plan(),
            Round(0, add=(1,), dials=(1,)),
            Round(36),
            Round(50, failed=(1,), dials=(1,)),
        )

    def test_peer_that_leaves(self) -> None:
        """One that was a peer is dialled again at once, but not before the 35 seconds are over."""
        self.play(
            make_plan(),
            Round(0, add=(1, 2), dials=(1, 2)),
            Round(1, connected=(1, 2)),
            Round(10, dropped=(1,)),
            Round(35, dials=(1,)),
            Round(500, dropped=(2,), dials=(2,)),
        )

    def test_backoff(self) -> None:
        """Each failure doubles the pause, up to two minutes."""
        plan = make_plan(max_dialed=1)
        Round(0, add=(1,)).tell(plan)
        starts, now = [], 0.0
        for _ in range(7):
            starts.append(now)
            self.assertEqual(plan.next_dials(now), [node(1)])
            plan.dial_done(node(1).node_id)
            due = plan.get_timer()
            assert due is not None
            self.assertEqual(plan.next_dials(due - 0.001), [])
            now = due
        pauses = [later - earlier for earlier, later in pairwise(starts)]
        self.assertEqual(pauses, [35, 70, 120, 120, 120, 120])
        self.assertEqual((HISTORY_EXPIRATION, MAX_BACKOFF), (35, 120))

    def test_many_failures(self) -> None:
        """A node that is away for years does not become a number too large."""
        plan = make_plan()
        Round(0, add=(1,)).tell(plan)
        for _ in range(3000):
            plan.dial_done(node(1).node_id)
        plan.dial_started(node(1).node_id, 0)
        self.assertEqual(plan.get_timer(), MAX_BACKOFF)

    def test_success_ends_backoff(self) -> None:
        """Once it was a peer, the next pause is the short one again."""
        self.play(
            make_plan(),
            Round(0, add=(1,), dials=(1,)),
            Round(1, failed=(1,)),
            Round(35, dials=(1,)),
            Round(36, failed=(1,)),
            Round(105, dials=(1,)),
            Round(106, connected=(1,)),
            Round(500, dropped=(1,), dials=(1,)),
            Round(501, failed=(1,)),
            Round(535, dials=(1,)),
        )

    def test_coming_by_itself_ends_backoff(self) -> None:
        """Also if it was the other side that dialled."""
        self.play(
            make_plan(),
            Round(0, add=(1,), dials=(1,)),
            Round(1, failed=(1,)),
            Round(35, dials=(1,)),
            Round(36, failed=(1,), came=(1,)),
            Round(200, dropped=(1,), dials=(1,)),
            Round(201, failed=(1,)),
            Round(235, dials=(1,)),
        )

    def test_rejected_as_connected(self) -> None:
        """A dial that fails since the node has connected meanwhile is no failure of the node."""
        self.play(
            make_plan(),
            Round(0, add=(1,), dials=(1,)),
            Round(1, came=(1,)),
            Round(2, failed=(1,)),
            Round(40, dropped=(1,), dials=(1,)),
            Round(41, failed=(1,)),
            Round(75, dials=(1,)),
        )

    def test_added_again(self) -> None:
        """Adding a static node again forgets its failures, but not its last dial."""
        plan = make_plan()
        self.play(
            plan,
            Round(0, add=(1,), dials=(1,)),
            Round(1, failed=(1,)),
            Round(35, dials=(1,)),
            Round(36, failed=(1,)),
        )
        plan.add_static(node(1))
        self.play(plan, Round(104), Round(105, dials=(1,)), Round(106, failed=(1,)), Round(140, dials=(1,)))

    def test_removed_and_added(self) -> None:
        """A node is not dialled sooner for being removed in between."""
        self.play(
            make_plan(),
            Round(0, add=(1,), dials=(1,)),
            Round(1, failed=(1,), remove=(1,)),
            Round(2, add=(1,)),
            Round(34.9),
            Round(35, dials=(1,)),
        )


class RefusalTests(LedgerTestCase):
    """Who is not dialled."""

    def test_connected(self) -> None:
        """Nobody who is a peer, whoever dialled."""
        self.play(make_plan(), Round(0, came=(1,), add=(1, 2), dials=(2,)))

    def test_pending_inbound(self) -> None:
        """Nobody who is about to be a peer; whether it was or not, it is looked at again."""
        self.play(
            make_plan(),
            Round(0, pending=(1, 2), add=(1, 2, 3), dials=(3,)),
            Round(1, settled=(1,), came=(2,), dials=(1,)),
            Round(2, settled=(2,)),
            Round(3, dropped=(2,), dials=(2,)),
        )

    def test_removed(self) -> None:
        """Nobody who is not wanted any more; a dial that is under way goes on."""
        plan = make_plan()
        self.play(
            plan,
            Round(0, add=(1, 2), dials=(1, 2)),
            Round(1, remove=(1, 2, 7)),
            Round(2, failed=(1,), connected=(2,)),
            Round(100, dropped=(2,)),
        )
        self.assertIsNone(plan.get_timer())
        self.assertFalse(plan.is_static(node(1).node_id))

    def test_self(self) -> None:
        """Not ourselves."""
        plan = make_plan()
        self.play(plan, Round(0, add=(SELF,)))
        self.assertIs(plan.check(node(SELF)), Refusal.SELF)

    def test_nowhere(self) -> None:
        """Nobody without an address, unless it is static and can be searched for, or without a port."""
        plan = make_plan()
        plan.add_static(node(2, tcp=0))
        self.play(plan, Round(0))
        self.assertIs(plan.check(node(1, ip=None)), Refusal.NO_ADDRESS)
        self.assertIs(plan.check(node(2, tcp=0)), Refusal.NO_PORT)

    def test_netrestrict(self) -> None:
        """Nobody outside of the networks; of a host name nothing is known yet."""
        plan = make_plan(netrestrict=Netlist.parse("127.0.2.0/31"))
        self.play(plan, Round(0, add=(0, 1, 2), dials=(0, 1)))
        self.assertIs(plan.check(node(2)), Refusal.RESTRICTED)
        self.assertIsNone(plan.check(node(2, ip=None, hostname="example.org")))

    def test_empty_netrestrict(self) -> None:
        """No network at all is another thing than no restriction."""
        self.play(make_plan(netrestrict=Netlist.parse("")), Round(0, add=(1, 2)))

    def test_order(self) -> None:
        """The first reason is told: the more lasting one first."""
        plan = make_plan(netrestrict=Netlist.parse(""))
        restricted, reasons = node(1), []
        plan.dial_started(restricted.node_id, 0)
        plan.peer_added(restricted.node_id, dialed=True)
        Round(0, pending=(1,)).tell(plan)
        for change in (
            lambda: plan.dial_done(restricted.node_id),
            lambda: plan.peer_removed(restricted.node_id),
            lambda: Round(0, settled=(1,)).tell(plan),
            lambda: None,
        ):
            reasons.append(plan.check(restricted))
            change()
        self.assertEqual(reasons, [Refusal.DIALING, Refusal.CONNECTED, Refusal.PENDING_INBOUND, Refusal.RESTRICTED])
        plan = make_plan()
        plan.dial_started(node(1).node_id, 0)
        plan.dial_done(node(1).node_id)
        self.assertIs(plan.check(node(1)), Refusal.RECENTLY_DIALED)
        self.assertIsNone(plan.check(node(2)))


class TimerTests(LedgerTestCase):
    """When to ask again."""

    def test_nothing_to_wait_for(self) -> None:
        """Without static nodes only a report can change anything."""
        plan = make_plan()
        plan.dial_started(node(1).node_id, 0)
        self.assertIsNone(plan.get_timer())

    def test_the_first_to_be_due(self) -> None:
        """The next pause that ends."""
        plan = make_plan()
        self.play(plan, Round(0, add=(1,), dials=(1,)), Round(5, add=(2,), failed=(1,), dials=(2,)))
        self.assertEqual(plan.get_timer(), 35)
        self.play(plan, Round(35, dials=(1,)))
        self.assertEqual(plan.get_timer(), 40)

    def test_no_slot(self) -> None:
        """Without a slot a pause that ends changes nothing."""
        plan = make_plan(max_active=2)
        self.play(plan, Round(0, add=(1, 2), dials=(1, 2)))
        self.assertIsNone(plan.get_timer())
        self.play(plan, Round(1, failed=(1,)))
        self.assertEqual(plan.get_timer(), 35)


class LongRunTests(SynchronousTestCase):
    """A plan, and a network that does as it likes."""

    @settings(max_examples=40)
    @given(st.randoms(use_true_random=False), st.integers(1, 9), st.integers(1, 6))
    def test_rules_hold(self, random: Random, max_peers: int, max_active: int) -> None:
        """
        Whatever happens: not too many dials, none too early, none in vain; and each that may be dialed is, when there
        is room and a place, and the timer has gone.
        """
        plan = make_plan(1, max_active, random=random, max_peers=max_peers)
        now, started, dialing, peers = 0.0, dict[int, float](), set[int](), set[int]()
        for number in range(8):
            plan.add_static(node(number))
        numbers = {node(number).node_id: number for number in range(8)}
        for _ in range(60):
            for each in plan.next_dials(now):
                number = numbers[each.node_id]
                self.assertNotIn(number, dialing | peers)
                self.assertGreaterEqual(now, started.get(number, -100) + HISTORY_EXPIRATION)
                started[number] = now
                dialing.add(number)
            self.assertLessEqual(len(dialing), min(max_active, max_peers - len(peers)))
            idle = set(range(8)) - dialing - peers
            due = plan.get_timer()
            if due is not None:
                self.assertGreater(due, now)
            isFull = len(dialing) + len(peers) == max_peers
            self.assertEqual({numbers[each.node_id] for each in plan.waiting}, idle if isFull else set())
            if not isFull and len(dialing) < max_active:
                self.assertFalse([number for number in idle if now >= started.get(number, -999) + MAX_BACKOFF])
            now = due if due is not None and random.random() < 0.5 else now + random.uniform(0, 20)
            self._something_happens(random, plan, dialing, peers)

    def _something_happens(self, random: Random, plan: DialPlan, dialing: set[int], peers: set[int]) -> None:
        for number in sorted(dialing):
            if random.random() < 0.5:
                if random.random() < 0.3:
                    peers.add(number)
                    plan.peer_added(node(number).node_id, dialed=True)
                dialing.discard(number)
                plan.dial_done(node(number).node_id)
        for number in sorted(peers):
            if random.random() < 0.2:
                peers.discard(number)
                plan.peer_removed(node(number).node_id)
