"""
Tests for L{devp2p_tx.core.dnstree.tree} and the walker: entries and roots that cannot be had, or read.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.dnstree.building import Tree, make_tree
from devp2p_tx.core.dnstree.entries import InvalidTree, Root, find_entry, find_root, subdomain
from devp2p_tx.core.dnstree.tree import (
    MAX_ATTEMPTS,
    MAX_ENTRY_FAILURES,
    RECHECK_INTERVAL,
)
from devp2p_tx.core.dnstree.walker import (
    RATE,
    Failed,
)
from tests.core.dnstree.examples import KEY, publish, records, url
from tests.core.dnstree.world import FOREIGN, World


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
        self.assertEqual(world.queries.count(name), MAX_ATTEMPTS)

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


class TwoHoursTests(SynchronousTestCase):
    """
    How often names are asked for in two hours by somebody who takes every record, of trees of four records.

    At a sixth of the real rate, which is enough to walk each tree hundreds of times.
    """

    def count(self, change: Callable[[dict[str, str]], str] = lambda zone: "", *domains: str) -> tuple[int, int, int]:
        """
        Walk for two hours.

        @param change: breaks something, and names it.
        @return: how often the root was asked for, what is broken, and the rest.
        """
        zone = publish("n", records(1, 4), *domains)
        name = change(zone)
        world = World(url("n"), zone=zone, rate=RATE / 6)
        while world.now < 2 * 3600 - 1:
            world.step()
        root, broken = world.queries.count("n"), world.queries.count(name)
        return root, broken, len(world.queries) - root - broken

    @staticmethod
    def replace(zone: dict[str, str], old: str, new: str) -> str:
        """Put another text in the place of one, with its own hash, all the way up to the root; its name."""
        name = next(name for name, entry in zone.items() if entry.startswith(old) and name != "n")
        del zone[name]
        before, after = name.partition(".")[0], subdomain(new)
        zone[f"{after}.n"] = new
        parent = next(name for name, entry in zone.items() if before in entry)
        text = zone[parent].replace(before, after)
        if parent == "n":
            root = Root.parse(text)
            zone["n"] = Tree(Root(root.records, root.links, root.seq), {}).sign(KEY).to_txt("n")["n"]
        else:
            TwoHoursTests.replace(zone, zone[parent], text)
        return f"{after}.n"

    def test_good(self) -> None:
        """The root every half hour, each entry once: four records, their branch, and the branch of no links."""
        self.assertEqual(self.count(), (4, 0, 6))

    def test_unreadable(self) -> None:
        """What matches its hash and cannot be read is asked for once: records, links, branches, unknown things."""
        for old, new in (
            ("enr:", "enr:nonsense"),
            ("enr:", "enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZuOh8R33Ls8RRcy5w"),
            ("enr:", "enr:" + "A" * 4100),
            ("enrtree://", "enrtree://nonsense"),
            ("enrtree-branch:", "enrtree-branch:short,shorter"),
        ):
            with self.subTest(new=new[:30]):
                root, broken, others = self.count(lambda zone, old=old, new=new: self.replace(zone, old, new), "m")
                self.assertEqual((root, broken), (4, 1))
                self.assertLessEqual(others, 6 + 30)  # the latter for the root of C{m}, which is not there

    def test_unreadable_at_the_top(self) -> None:
        """So is a tree of which nothing can be read."""
        root, broken, _ = self.count(lambda zone: self.replace(zone, "enrtree-branch:", "enrtree-branch:x"))
        self.assertEqual((root, broken), (4, 1))

    def test_absent(self) -> None:
        """What is not there, or is something else, may come: it is asked for seven times each half hour."""
        for text in ("", records(9, 1)[0].to_text(), "v=spf1 -all"):
            with self.subTest(text=text):

                def change(zone: dict[str, str], text: str = text) -> str:
                    name = next(name for name, entry in zone.items() if entry.startswith("enr:"))
                    zone[name] = text
                    if not text:
                        del zone[name]
                    return name

                root, broken, others = self.count(change)
                self.assertEqual((broken, others), (4 * MAX_ATTEMPTS, 5))
                self.assertLessEqual(root, 2 * 4)

    def test_all_absent(self) -> None:
        """A tree whose root alone is there."""

        def change(zone: dict[str, str]) -> str:
            for name in [name for name in zone if name != "n"]:
                del zone[name]
            return ""

        root, _, others = self.count(change)
        self.assertEqual(others, 2 * 4 * MAX_ATTEMPTS)
        self.assertLessEqual(root, 2 * 4)

    def test_bad_root(self) -> None:
        """A root that is no root."""
        self.assertLessEqual(self.count(lambda zone: zone.update(n=FOREIGN) or "")[0], 12)

    def test_no_root(self) -> None:
        """One that cannot be resolved."""
        self.assertLessEqual(self.count(lambda zone: zone.pop("n") and "")[0], 31)

    def test_circle(self) -> None:
        """Trees that lead to each other, and to themselves: each root and entry as of any other tree."""
        zone = publish("n", records(1, 4), "n", "m") | publish("m", records(11, 4), "n")
        world = World(url("n"), zone=zone, rate=RATE / 6)
        while world.now < 2 * 3600 - 1:
            world.step()
        self.assertEqual({world.queries.count(name) for name in ("n", "m")}, {4})
        entries = [name for name in world.queries if "." in name]
        self.assertEqual(len(entries), len(set(entries)))


class SeveralTextsTests(SynchronousTestCase):
    """Names with more than one text, as while a tree is being replaced."""

    def test_entry(self) -> None:
        """The text that its name stands for is taken, wherever it is among others."""
        zone = publish("n", records(1, 1))
        leaf = next(text for text in zone.values() if text.startswith("enr:"))
        texts = [records(7, 1)[0].to_text(), "enrtree-branch:", leaf]
        self.assertEqual(find_entry(texts, subdomain(leaf)), find_entry([leaf], subdomain(leaf)))

    def test_root(self) -> None:
        """Of several roots that which is valid, and of these the newest."""
        old, new = (publish("n", records(1, seq), seq=seq)["n"] for seq in (1, 2))
        for texts in ([FOREIGN, old, new], [new, old, "enrtree-root:v1 nonsense"]):
            root = find_root(texts, KEY.public_key)
            assert root is not None
            self.assertEqual(root.seq, 2)
        self.assertRaises(InvalidTree, find_root, [FOREIGN, "enrtree-root:v1 nonsense"], KEY.public_key)
