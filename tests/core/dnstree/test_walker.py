"""
Tests for L{devp2p_tx.core.dnstree.walker}.

The cases of updates, links and empty trees follow go-ethereum C{p2p/dnsdisc/client_test.go} and C{sync_test.go}.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.dnstree import walker
from devp2p_tx.core.dnstree.building import make_tree
from devp2p_tx.core.dnstree.entries import subdomain
from devp2p_tx.core.dnstree.walker import (
    BURST,
    MAX_ATTEMPTS,
    MAX_ENTRY_FAILURES,
    MAX_TREES,
    RATE,
    RECHECK_INTERVAL,
    Failed,
    Found,
    Query,
    TreeWalker,
    WaitUntil,
)
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import InvalidNode
from tests.core.dnstree.examples import EXAMPLE, EXAMPLE_LINK, EXAMPLE_URL, KEY, publish, records, url

EMPTY: Mapping[str, str] = {}


class World:
    """
    A walker, a zone of names that answers its queries, and a clock.

    @ivar zone: the TXT record of each name.
    @ivar queries: the names asked for, in order.
    @ivar failures: what failed, in order.
    """

    def __init__(self, *urls: str, zone: Mapping[str, str] = EMPTY, rate: float = 1e6, cache_size: int = 1000) -> None:
        self.zone = dict(zone)
        self.now = 0.0
        self.queries: list[str] = []
        self.failures: list[Failed] = []
        self.walker = TreeWalker(urls, Random(1), rate=rate, cache_size=cache_size)

    def step(self) -> Record | None:
        """Take one step; the record if it found one."""
        step = self.walker.next(self.now)
        if isinstance(step, Found):
            return step.record
        if isinstance(step, Failed):
            self.failures.append(step)
        elif isinstance(step, Query):
            self.queries.append(step.name)
            if step.name in self.zone:
                self.walker.on_answer(step.name, ["other", self.zone[step.name]], self.now)
            else:
                self.walker.on_failure(step.name, self.now)
        else:
            assert step.time is not None and step.time > self.now, "stuck"
            self.now = step.time
        return None

    def find(self, count: int, steps: int = 2000) -> list[Record]:
        """The next records, within a number of steps."""
        found: list[Record] = []
        for _ in range(steps):
            record = self.step()
            if record is not None:
                found.append(record)
                if len(found) == count:
                    break
        return found

    def wait(self, steps: int = 2000) -> float:
        """Step until there is nothing to do for a while; for how long."""
        for _ in range(steps):
            before = self.now
            self.step()
            if self.now - before > 1:
                return self.now - before
        raise AssertionError("always something to do")


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

    def test_pauses(self) -> None:
        """A root that fails again and again is asked for at longer intervals."""
        world = World(url("n"))
        times: list[float] = []
        while len(times) < 30:
            count = len(world.queries)
            world.step()
            times += [world.now] * (len(world.queries) - count)
        gaps = [later - time for time, later in pairwise(times)]
        self.assertEqual(gaps, [0.0] * 5 + [5.0] * 15 + [10.0] * 9)

    def test_pausesEnd(self) -> None:
        """After a success failures are counted anew."""
        world = World(url("n"))
        while len(world.queries) < 8:
            world.step()
        world.zone = publish("n", records(1, 3))
        world.find(3)
        asked = world.queries.count("n")
        world.zone = {}
        world.now += RECHECK_INTERVAL
        before = world.now
        world.find(1)
        self.assertEqual((world.queries.count("n"), world.now), (asked + 1, before))

    def test_otherTreesMeanwhile(self) -> None:
        """While one tree pauses the others are walked."""
        nodes = records(1, 10)
        world = World(url("n"), url("gone"), zone=publish("n", nodes))
        self.assertEqual(set(world.find(100)), set(nodes))
        self.assertEqual(world.queries.count("gone"), 6)
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


class BrokenEntryTests(SynchronousTestCase):
    """Trees with entries that cannot be had."""

    def break_entry(self, zone: dict[str, str], prefix: str, text: str | None = None) -> str:
        """Remove or replace the text of some entry; its name."""
        name = next(name for name, entry in zone.items() if entry.startswith(prefix))
        if text is None:
            del zone[name]
        else:
            zone[name] = text
        return name

    def test_record(self) -> None:
        """Without one record the others are found, again and again."""
        zone = publish("n", records(1, 20))
        name = self.break_entry(zone, "enr:")
        world = World(url("n"), zone=zone)
        found = world.find(190)
        self.assertEqual(len(set(found)), 19)
        self.assertEqual({found.count(record) for record in found}, {10})
        self.assertEqual({failed.name for failed in world.failures}, {name})
        self.assertLess(world.queries.count(name), 12 * MAX_ATTEMPTS)

    def test_hash(self) -> None:
        """Nor does a record that a name server made up get through."""
        zone = publish("n", records(1, 20))
        self.break_entry(zone, "enr:", records(99, 1)[0].to_text())
        world = World(url("n"), zone=zone)
        self.assertNotIn(records(99, 1)[0], world.find(100))
        self.assertIn("does not match", world.failures[0].reason)

    def test_noEntry(self) -> None:
        """A name that has other TXT records only is as good as none."""
        zone = publish("n", records(1, 20))
        name = self.break_entry(zone, "enr:", "v=spf1 -all")
        world = World(url("n"), zone=zone)
        self.assertEqual(len(set(world.find(100))), 19)
        self.assertEqual(world.failures[0], Failed(name, "no entry found"))

    def test_transient(self) -> None:
        """An entry that fails now and then is found all the same."""
        zone = publish("n", records(1, 3))
        world = World(url("n"), zone=zone)
        while not world.queries or world.queries[-1] == "n":
            world.step()
        world.zone = {}
        while len(world.failures) < MAX_ATTEMPTS - 1:
            world.step()
        world.zone = zone
        self.assertEqual(len(set(world.find(3))), 3)

    def test_link(self) -> None:
        """A link that cannot be had does not keep us from the records; it is tried again when the root is due."""
        zone = publish("n", records(1, 3), "t1")
        name = self.break_entry(zone, "enrtree://")
        world = World(url("n"), zone=zone)
        self.assertEqual(len(set(world.find(3))), 3)
        zone[name] = url("t1")
        world.zone = {**zone, **publish("t1", records(10, 3))}
        world.now += RECHECK_INTERVAL
        self.assertEqual(len(set(world.find(60))), 6)

    def test_nothingLeft(self) -> None:
        """A tree all of whose entries fail waits for the next look at its root, and is walked anew then."""
        zone = publish("n", records(1, 1))
        world = World(url("n"), zone={"n": zone["n"]})
        self.assertGreater(world.wait(), RECHECK_INTERVAL / 2)
        self.assertEqual({world.queries.count(name) for name in zone if name != "n"}, {MAX_ATTEMPTS})
        world.zone = zone
        self.assertEqual(world.find(1), records(1, 1))

    def test_offline(self) -> None:
        """When no name can be resolved any more the entries are not given up; the root is tried until it comes."""
        zone = publish("n", records(1, 100))
        world = World(url("n"), zone=zone)
        found = world.find(10)
        world.zone = {}
        world.find(1, 200)
        self.assertEqual(sum(failed.name != "n" for failed in world.failures), MAX_ENTRY_FAILURES + 1)
        world.zone = zone
        self.assertEqual(len(set(found + world.find(90))), 100)

    def test_misplacedRecord(self) -> None:
        """A record among the links, and a link among the records, are refused; also if the cache has them."""
        tree = make_tree(1, records(1, 2), [url("t1")])
        swapped = type(tree)(type(tree.root)(tree.root.links, tree.root.records, 1), tree.entries)
        world = World(url("n"), zone=swapped.sign(KEY).to_txt("n"))
        self.assertEqual(world.find(1, 100), [])
        self.assertEqual({failed.reason for failed in world.failures}, {"record in link tree", "link in record tree"})
        self.assertEqual(len(world.walker.locations), 1)


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
        self.patch(walker, "MAX_ENTRIES", limit)
        subtree = walker._Subtree("root")
        subtree.visited("root", map(str, range(1000)))
        self.assertEqual(len(subtree.missing), limit - 1)
