"""
Tests for the parts of L{devp2p_tx.core.dialing.dialplan} that concern bootnodes as peers, and where static nodes are.
Ledgers, as in L{tests.core.dialing.test_dialplan}; after go-ethereum's C{TestDialStateDynDialBootnode} and
C{TestDialResolve}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.dialing.dialplan import FALLBACK_DELAY, DialPlan, Refusal
from devp2p_tx.core.dialing.places import Places
from devp2p_tx.core.dialing.statics import MAX_RESOLVE_DELAY, RESOLVE_DELAY
from tests.core.dialing.test_dialplan import SELF, InOrder, Round, node


def make_plan(*bootnodes: int, max_dialed: int = 4, netrestrict: Netlist | None = None, **changes: Any) -> DialPlan:
    """A plan of node 31 with these bootnodes."""
    nodes = [node(number, **changes) for number in bootnodes]
    return DialPlan(
        node(SELF).node_id, Places(50, max_dialed), 50, AddressPolicy(netrestrict, lan=True), InOrder(), nodes, set()
    )


class FallbackTests(SynchronousTestCase):
    """Bootnodes are dialled by a node that has no peer for 20 seconds."""

    def play(self, plan: DialPlan, *rounds: tuple[Round, int | None]) -> None:
        """Check every line: what happened, and which bootnode is dialled then."""
        for each, bootnode in rounds:
            each.tell(plan)
            plan.next_dials(each.at)
            expected = None if bootnode is None else node(bootnode)
            self.assertEqual(plan.next_fallback(each.at), expected, f"at {each.at}")
            self.assertIsNone(plan.next_fallback(each.at), f"it counts as started at {each.at}")

    def wakes(self, plan: DialPlan, start: float, end: float) -> list[tuple[float, Any]]:
        """When a plan that is asked whenever it says so dials a bootnode, each dial failing after a second."""
        now, dials = start, []
        for _ in range(1000):
            plan.next_dials(now)
            bootnode = plan.next_fallback(now)
            if bootnode is not None:
                dials.append((now, bootnode))
                now += 1
                plan.dial_done(bootnode.node_id)
                continue
            due = plan.get_timer()
            if due is None or due > end:
                return dials
            self.assertGreater(due, now, "it asks to be woken at once, again and again")
            now = due
        self.fail("too busy")

    def test_after_twenty_seconds(self) -> None:
        """Not sooner; the clock starts with the first look."""
        plan = make_plan(1)
        self.play(plan, (Round(100), None), (Round(119.9), None), (Round(120), 1))
        self.assertEqual(FALLBACK_DELAY, 20)

    def test_not_with_a_peer(self) -> None:
        """Nobody who has a peer, whoever dialled whom, dials bootnodes."""
        self.play(make_plan(1), (Round(0, came=(7,)), None), (Round(1000), None))
        self.play(make_plan(1), (Round(0), None), (Round(10, connected=(7,)), None), (Round(1000), None))

    def test_since_the_last_peer_left(self) -> None:
        """The 20 seconds are those without a peer."""
        self.play(
            make_plan(1),
            (Round(0), None),
            (Round(15, came=(7, 8)), None),
            (Round(100, dropped=(7,)), None),
            (Round(200, dropped=(8,)), None),
            (Round(219.9), None),
            (Round(220), 1),
        )

    def test_in_turn(self) -> None:
        """One at a time: the next when the last has failed, and the first again 35 seconds after it was dialled."""
        self.play(
            make_plan(1, 2),
            (Round(0), None),
            (Round(20), 1),
            (Round(25), None),
            (Round(26, failed=(1,)), 2),
            (Round(27, failed=(2,)), None),
            (Round(54.9), None),
            (Round(55), 1),
        )

    def test_who_was_dialed_by_chance(self) -> None:
        """One that was a candidate, or is about to be a peer, is passed over."""
        plan = make_plan(1, 2, 3)
        plan.next_fallback(0)
        plan.dial_started(node(2).node_id, 5)
        self.play(plan, (Round(19, failed=(2,), pending=(1,)), None), (Round(20), 3))

    def test_no_slot(self) -> None:
        """Bootnodes need a slot, too: static nodes leave them half of the dials once one waits."""
        plan = make_plan(1, max_dialed=1)
        plan.max_active = 2
        self.play(
            plan,
            (Round(0), None),
            (Round(18, add=(5, 6, 7)), None),
            (Round(20), None),
            (Round(21, failed=(5,)), 1),
            (Round(22, failed=(6,)), None),
        )
        self.assertEqual(plan.check_static(node(7).node_id), Refusal.DIALING)
        self.play(make_plan(1, max_dialed=0), (Round(0), None), (Round(100), None))

    def test_timer(self) -> None:
        """It wakes for the first bootnode, then for the first of which the 35 seconds are over, and never in vain."""
        dials = self.wakes(make_plan(1, 2), 0, 100)
        self.assertEqual(
            dials, [(20, node(1)), (21, node(2)), (55, node(1)), (56, node(2)), (90, node(1)), (91, node(2))]
        )

    def test_timer_with_a_peer(self) -> None:
        """With a peer, or without any bootnode, there is nothing to wait for."""
        plan = make_plan(1)
        self.play(plan, (Round(0), None))
        self.assertEqual(plan.get_timer(), 20)
        self.play(plan, (Round(1, came=(7,)), None))
        self.assertIsNone(plan.get_timer())
        plan = make_plan()
        self.play(plan, (Round(0), None), (Round(50), None))
        self.assertIsNone(plan.get_timer())

    def test_timer_while_one_is_dialed(self) -> None:
        """While it lasts only its end can change anything, however long that takes."""
        plan = make_plan(1, 2)
        self.play(plan, (Round(0), None), (Round(20), 1), (Round(90), None))
        self.assertIsNone(plan.get_timer())

    def test_bootnodes_that_cannot_be_dialed(self) -> None:
        """Ourselves, one that is only for discovery, one in a forbidden network: nobody is woken for them."""
        plans = [
            make_plan(SELF),
            make_plan(1, tcp=0),
            make_plan(1, ip=None),
            make_plan(1, netrestrict=Netlist.parse("")),
        ]
        for plan in plans:
            self.assertEqual(self.wakes(plan, 0, 1000), [])
        mixed = make_plan(0, SELF, 2, netrestrict=Netlist.parse("127.0.2.2/32"))
        self.assertEqual(self.wakes(mixed, 0, 80), [(20, node(2)), (55, node(2))])


class ResolveTests(SynchronousTestCase):
    """How often the address of a static node is searched for."""

    def setUp(self) -> None:
        self.plan = make_plan()
        self.lost = node(1, ip=None, tcp=0)
        self.plan.add_static(self.lost)

    def test_backoff(self) -> None:
        """After a minute, then ever twice as late, up to an hour."""
        now, pauses = 0.0, []
        for _ in range(9):
            self.assertTrue(self.plan.should_resolve(self.lost.node_id, now))
            self.plan.resolved(self.lost.node_id, None, now)
            pause = next(
                pause for pause in range(0, 4000, 30) if self.plan.should_resolve(self.lost.node_id, now + pause)
            )
            self.assertFalse(self.plan.should_resolve(self.lost.node_id, now + pause - 0.1))
            pauses.append(pause)
            now += pause
        self.assertEqual(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600])
        self.assertEqual((RESOLVE_DELAY, MAX_RESOLVE_DELAY), (60, 3600))

    def test_found(self) -> None:
        """Once found it is dialled there; if it moves again it is searched for at once, and then after a minute."""
        node_id = self.lost.node_id
        for now in (0, 60, 180):
            self.plan.resolved(node_id, None, now)
        self.plan.resolved(node_id, node(1), 500)
        self.assertEqual(self.plan.next_dials(500), [node(1)])
        self.assertTrue(self.plan.should_resolve(node_id, 500))
        self.plan.resolved(node_id, None, 500)
        self.assertFalse(self.plan.should_resolve(node_id, 559))
        self.assertTrue(self.plan.should_resolve(node_id, 560))

    def test_only_static(self) -> None:
        """Nobody else is searched for, one that was removed meanwhile neither."""
        self.assertFalse(self.plan.should_resolve(node(2).node_id, 0))
        self.plan.remove_static(self.lost.node_id)
        self.assertFalse(self.plan.should_resolve(self.lost.node_id, 0))
        self.plan.resolved(self.lost.node_id, node(1), 0)
        self.assertEqual(self.plan.next_dials(0), [])

    def test_without_address(self) -> None:
        """A static node whose address nobody knows is dialled by the rules of all, since discovery may know it."""
        self.assertEqual(self.plan.next_dials(0), [self.lost])
        self.plan.dial_done(self.lost.node_id)
        self.assertEqual(self.plan.next_dials(34), [])
        self.assertEqual(self.plan.next_dials(35), [self.lost])
