"""
Tests for L{devp2p_tx.core.dnstree.walker}.

The cases of updates, links and empty trees follow go-ethereum C{p2p/dnsdisc/client_test.go} and C{sync_test.go}.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.dnstree import tree as tree_module
from devp2p_tx.core.dnstree.building import make_tree
from devp2p_tx.core.dnstree.entries import subdomain
from devp2p_tx.core.dnstree.tree import (
    MAX_ENTRY_FAILURES,
    MAX_ROOT_RETRY,
    RECHECK_INTERVAL,
    ROOT_RETRY,
    Subtree,
)
from devp2p_tx.core.dnstree.walker import (
    BURST,
    MAX_TREES,
    RATE,
    Failed,
    Query,
    TreeWalker,
    WaitUntil,
)
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import InvalidNode
from tests.core.dnstree.examples import EXAMPLE, EXAMPLE_LINK, EXAMPLE_URL, KEY, publish, records, url
from tests.core.dnstree.world import FOREIGN, World


class OneTreeTests(SynchronousTestCase):
    """Walking one tree."""

    def test_example(self) -> None:
        """The example's records are all found; its links are walked first."""
        world = World(EXAMPLE_URL, zone=EXAMPLE)
        texts = {record.to_text() for record in world.find(3)}
        self.assertEqual(texts, {text for text in EXAMPLE.values() if text.startswith("enr:")})
        mine = [name for name in world.queries if name.endswith("n")]
        self.assertEqual(mine[:2], ["n", "C7HRFPF3BLGF3YR4DY5KX3SMBE.n"])
        self.assertIn(EXAMPLE_LINK.removeprefix("enrtree://"), world.walker.locations)

    def test_all(self) -> None:
        """Every record is found once before any is found again, and then all again, without an end."""
        nodes = records(1, 40)
        world = World(url("n"), zone=publish("n", nodes))
        for _ in range(3):
            self.assertEqual(set(world.find(40)), set(nodes))

    def test_fromCache(self) -> None:
        """What was fetched is not fetched again, until the root is due."""
        world = World(url("n"), zone=publish("n", records(1, 40)))
        world.find(40)
        asked = len(world.queries)
        world.find(200)
        self.assertEqual(len(world.queries), asked)

    def test_smallCache(self) -> None:
        """With a small cache, what was used long ago is fetched again."""
        world = World(url("n"), zone=publish("n", records(1, 40)), cache_size=10)
        world.find(80)
        self.assertGreater(len(world.queries), 80)
        self.assertLessEqual(len(world.walker._cache), 10)

    def test_order(self) -> None:
        """Two walkers meet the records in different order."""
        zone = publish("n", records(1, 40))
        orders = []
        for seed in range(2):
            world = World(url("n"), zone=zone)
            world.walker._rng.seed(seed)
            orders.append(world.find(40))
        self.assertNotEqual(*orders)

    def test_lazy(self) -> None:
        """A record is handed out before the rest of the tree was fetched."""
        world = World(url("n"), zone=publish("n", records(1, 100)))
        world.find(1)
        self.assertLess(len(world.queries), 10)

    def test_oneQuery(self) -> None:
        """Until a query is answered there is nothing to do; answers to other names are not heard."""
        walking = TreeWalker([EXAMPLE_URL], Random(1))
        self.assertEqual(walking.next(0.0), Query("n"))
        self.assertEqual(walking.next(0.0), WaitUntil(None))
        walking.on_answer("m", [EXAMPLE["n"]], 0.0)
        walking.on_failure("m", 0.0)
        self.assertEqual(walking.next(0.0), WaitUntil(None))
        walking.on_answer("n", [EXAMPLE["n"]], 0.0)
        walking.on_answer("n", [EXAMPLE["n"]], 0.0)
        self.assertEqual(walking.next(0.0), Query("C7HRFPF3BLGF3YR4DY5KX3SMBE.n"))

    def test_noTree(self) -> None:
        """Without trees there is nothing to do; one may come later."""
        walking = TreeWalker([], Random(1))
        self.assertEqual(walking.next(0.0), WaitUntil(None))
        walking.add_tree(EXAMPLE_URL)
        self.assertEqual(walking.next(0.0), Query("n"))

    def test_invalidUrl(self) -> None:
        """A URL that cannot be read is its giver's fault."""
        self.assertRaises(InvalidNode, TreeWalker, ["enrtree://n"], Random(1))


class RateTests(SynchronousTestCase):
    """How fast a tree is walked."""

    def test_rate(self) -> None:
        """After a burst, three steps a second."""
        world = World(url("n"), zone=publish("n", records(1, 200)), rate=RATE)
        steps = 0
        while world.now < 60:
            steps += isinstance(world.step(), Record)
        self.assertLess(abs(len(world.queries) - BURST - 60 * RATE), 3)

    def test_wait(self) -> None:
        """After the burst the next step comes as soon as there is a token for it."""
        world = World(url("n"), zone=publish("n", records(1, 200)), rate=RATE)
        while world.now == 0:
            world.step()
        self.assertAlmostEqual(world.now, 1 / RATE)
        self.assertEqual(len(world.queries), BURST)

    def test_cacheCountsToo(self) -> None:
        """Also steps that the cache serves: whoever reads in a loop would keep a core busy."""
        world = World(url("n"), zone=publish("n", records(1, 3)), rate=RATE)
        world.find(300)
        self.assertGreater(world.now, 300 / RATE - BURST)

    def test_burst(self) -> None:
        """Idle time is not saved up beyond the burst."""
        world = World(url("n"), zone=publish("n", records(1, 200)), rate=RATE)
        world.find(20)
        world.now += 1000
        before, asked = world.now, len(world.queries)
        while world.now < before + 10:
            world.step()
        self.assertLess(abs(len(world.queries) - asked - BURST - 10 * RATE), 3)


class RootTests(SynchronousTestCase):
    """When the root is fetched, and what it changes."""

    def test_recheck(self) -> None:
        """Half an hour after the last time."""
        world = World(url("n"), zone=publish("n", records(1, 3)))
        world.find(10)
        self.assertEqual(world.queries.count("n"), 1)
        world.now = RECHECK_INTERVAL - 1
        world.find(10)
        self.assertEqual(world.queries.count("n"), 1)
        world.now = RECHECK_INTERVAL
        world.find(10)
        self.assertEqual(world.queries.count("n"), 2)

    def test_update(self) -> None:
        """Changed records are found after the recheck, those gone no more."""
        old, new = records(1, 25), records(1, 12, seq=55) + records(13, 18)
        world = World(url("n"), zone=publish("n", old))
        self.assertEqual(set(world.find(25)), set(old))
        world.zone = publish("n", new, seq=2)
        world.now += RECHECK_INTERVAL
        self.assertEqual(set(world.find(30)), set(new))

    def test_unchanged(self) -> None:
        """A root that did not change does not start the walk anew."""
        world = World(url("n"), zone=publish("n", records(1, 40)))
        first = world.find(20)
        world.now += RECHECK_INTERVAL
        self.assertEqual(len(set(first + world.find(20))), 40)

    def test_afterFailures(self) -> None:
        """More than five failed entries make it due at once."""
        world = World(url("n"), zone=publish("n", records(1, 25)), cache_size=1)
        world.find(25)
        new = records(100, 25)
        world.zone = publish("n", new, seq=2)
        self.assertEqual(set(world.find(25)), set(new))
        self.assertEqual(len(world.failures), MAX_ENTRY_FAILURES + 1)
        self.assertLess(world.now, 1)

    def test_outdated(self) -> None:
        """A root with a lower number is refused, and the walk goes on with what is known (EIP-1459)."""
        new = records(1, 5)
        world = World(url("n"), zone=publish("n", new, seq=2))
        world.find(5)
        world.zone = {**world.zone, **publish("n", records(100, 5), seq=1)}
        world.now += RECHECK_INTERVAL
        self.assertEqual(set(world.find(20)), set(new))
        self.assertEqual([failed.name for failed in world.failures], ["n"])

    def test_sameNumber(self) -> None:
        """One with the same number is taken."""
        world = World(url("n"), zone=publish("n", records(1, 5)))
        world.find(5)
        world.zone = publish("n", records(100, 5))
        world.now += RECHECK_INTERVAL
        self.assertEqual(set(world.find(5)), set(records(100, 5)))

    def test_foreignSignature(self) -> None:
        """A root of another key yields nothing."""
        zone = publish("n", records(1, 5))
        other = "enrtree://" + EXAMPLE_LINK.removeprefix("enrtree://").partition("@")[0] + "@n"
        world = World(other, zone=zone)
        self.assertEqual(world.find(1, 20), [])
        self.assertIn("not signed", world.failures[0].reason)

    def test_noRoot(self) -> None:
        """A name without a root yields nothing."""
        world = World(url("n"), zone={"n": "v=spf1 -all"})
        self.assertEqual(world.find(1, 20), [])
        self.assertEqual(world.failures[0], Failed("n", "no root found"))

    def root_times(self, world: World, count: int) -> list[float]:
        """When the root is asked for, the first times."""
        times: list[float] = []
        while len(times) < count:
            asked = len(world.queries)
            world.step()
            times += [world.now] * (len(world.queries) - asked)
        return times

    def test_pauses(self) -> None:
        """A root that cannot be resolved is asked for at doubling intervals, up to five minutes."""
        times = self.root_times(World(url("n")), 12)
        gaps = [later - time for time, later in pairwise(times)]
        self.assertEqual(gaps, [5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300])
        self.assertEqual((ROOT_RETRY, MAX_ROOT_RETRY), (5, 300))

    def test_pauses_of_a_bad_root(self) -> None:
        """A root that is none, or of another key, at most as rarely as a good one: its owner has to mend it."""
        for text in ("enrtree-root:v1 e=x l=y", FOREIGN, "v=spf1 -all"):
            times = self.root_times(World(url("n"), zone={"n": text}), 12)
            gaps = [later - time for time, later in pairwise(times)]
            self.assertEqual(gaps, [5, 10, 20, 40, 80, 160, 320, 640, 1280, RECHECK_INTERVAL, RECHECK_INTERVAL])

    def test_failing(self) -> None:
        """Which of the trees given have no valid root, and why; when it is there, it is no more."""
        zone = publish("good", records(1, 3))
        world = World(url("good"), url("bad"), zone=zone)
        world.find(3)
        self.assertEqual(world.walker.failing, {"bad": "name could not be resolved"})
        world.zone |= publish("bad", records(10, 3))
        world.now += MAX_ROOT_RETRY
        world.find(20)
        self.assertEqual(world.walker.failing, {})

    def test_pausesEnd(self) -> None:
        """After a success failures are counted anew."""
        world = World(url("n"))
        while len(world.queries) < 8:
            world.step()
        world.zone = publish("n", records(1, 3))
        world.find(3)
        asked = world.queries.count("n")
        world.zone = {"n": "v=spf1 -all"}
        world.now += RECHECK_INTERVAL
        before = world.now
        world.find(1)
        self.assertEqual((world.queries.count("n"), world.now), (asked + 1, before))
        self.assertEqual(world.walker.failing, {"n": "no root found"})

    def test_otherTreesMeanwhile(self) -> None:
        """While one tree pauses the others are walked."""
        nodes = records(1, 10)
        world = World(url("n"), url("gone"), zone=publish("n", nodes))
        self.assertEqual(set(world.find(100)), set(nodes))
        self.assertEqual(world.queries.count("gone"), 1)
        self.assertLess(world.now, 1)


class EmptyTreeTests(SynchronousTestCase):
    """Trees without records."""

    def test_waits(self) -> None:
        """An empty tree is not walked again until the root is due."""
        world = World(url("n"), zone=publish("n", []))
        self.assertEqual(world.wait(), RECHECK_INTERVAL)
        asked = len(world.queries)
        self.assertEqual(world.wait(), RECHECK_INTERVAL)
        self.assertEqual(len(world.queries), asked + 1)

    def test_filled(self) -> None:
        """When it has records then, they are found."""
        world = World(url("n"), zone=publish("n", []))
        world.wait()
        world.zone = publish("n", records(1, 1), seq=2)
        self.assertEqual(world.find(1), records(1, 1))


class LinkTests(SynchronousTestCase):
    """Trees that lead to other trees."""

    def zone(self, **links: str) -> dict[str, str]:
        """Trees named C{t1}, C{t2}... of ten records each, with links to the domains told."""
        zone: dict[str, str] = {}
        for index in range(1, 5):
            nodes = records(index * 10, 10)
            zone |= publish(f"t{index}", nodes, *links.get(f"t{index}", "").split(), seq=len(links) + 1)
        return zone

    def domains(self, world: World) -> set[str]:
        """The trees known."""
        return {location.partition("@")[2] for location in world.walker.locations}

    def test_followed(self) -> None:
        """The records of linked trees are found too."""
        world = World(url("t1"), zone=self.zone(t1="t2", t2="t3"))
        world.find(300)
        self.assertEqual(set(world.find(200)), set(records(10, 30)))

    def test_several(self) -> None:
        """Several trees share the steps."""
        world = World(url("t1"), url("t2"), zone=self.zone())
        world.find(50)
        self.assertEqual(set(world.find(100)), set(records(10, 20)))

    def test_changed(self) -> None:
        """After links changed, those trees are walked that links lead to now, and no others."""
        world = World(url("t1"), zone=self.zone(t1="t2"))
        self.assertEqual(set(world.find(200)), set(records(10, 20)))
        world.zone = self.zone(t1="t3", t3="", t4="")
        world.now += RECHECK_INTERVAL
        world.find(50)
        self.assertEqual(set(world.find(200)), set(records(10, 10)) | set(records(30, 10)))
        self.assertEqual(self.domains(world), {"t1", "t3"})

    def test_chain(self) -> None:
        """A tree that is forgotten takes with it those that only it led to, circles included."""
        world = World(url("t1"), zone=self.zone(t1="t2", t2="t3 t4", t3="t1 t2"))
        world.find(200)
        self.assertEqual(self.domains(world), {"t1", "t2", "t3", "t4"})
        world.zone |= publish("t1", records(10, 10), seq=9)
        world.now += RECHECK_INTERVAL
        world.find(200)
        self.assertEqual(self.domains(world), {"t1"})

    def test_stillLinked(self) -> None:
        """A tree that another link leads to stays, and so does one that the user gave."""
        world = World(url("t1"), url("t4"), zone=self.zone(t1="t2 t3 t4", t3="t2"))
        world.find(200)
        world.zone |= publish("t1", records(10, 10), "t3", seq=9)
        world.now += RECHECK_INTERVAL
        world.find(200)
        self.assertEqual(self.domains(world), {"t1", "t2", "t3", "t4"})

    def test_notForgottenForFailure(self) -> None:
        """A link that cannot be fetched now is not taken for one that is gone."""
        world = World(url("t1"), zone=self.zone(t1="t2 t3"))
        world.find(200)
        zone = self.zone(t1="t2 t3 t4", t3="", t4="")
        for name in [name for name, text in zone.items() if text in (url("t2"), url("t3")) and name.endswith("t1")]:
            del zone[name]
        world.walker._cache.clear()
        world.zone = zone
        world.now += RECHECK_INTERVAL
        world.find(200)
        self.assertEqual(self.domains(world), {"t1", "t2", "t3", "t4"})

    def test_self(self) -> None:
        """A tree may lead to itself."""
        world = World(url("t1"), zone=self.zone(t1="t1"))
        self.assertEqual(set(world.find(20)), set(records(10, 10)))


class BoundTests(SynchronousTestCase):
    """What the owner of a tree cannot do to us."""

    def test_manyTrees(self) -> None:
        """Of very many links only some are followed."""
        world = World(url("n"), zone=publish("n", records(1, 1), *(f"t{index}" for index in range(2 * MAX_TREES))))
        world.find(100, 5000)
        self.assertEqual(len(world.walker.locations), MAX_TREES)

    def test_repeatedChildren(self) -> None:
        """An entry that is named often is visited once in a walk: else few entries make an endless one."""
        text = "enrtree-branch:"
        zone = {}
        for _ in range(12):
            zone[f"{subdomain(text)}.n"] = text
            text = "enrtree-branch:" + ",".join([subdomain(text)] * 13)
        zone[f"{subdomain(text)}.n"] = text
        tree = make_tree(1, [])
        zone["n"] = type(tree)(type(tree.root)(subdomain(text), tree.root.links, 1), {}).sign(KEY).to_txt("n")["n"]
        world = World(url("n"), zone=zone)
        world.wait()
        self.assertEqual(len(world.queries), 14)

    def test_hugeTree(self) -> None:
        """What a walk remembers of a tree is bounded."""
        limit = 100
        self.patch(tree_module, "MAX_ENTRIES", limit)
        subtree = Subtree("root")
        subtree.visited("root", map(str, range(1000)))
        self.assertEqual(len(subtree.missing), limit - 1)
