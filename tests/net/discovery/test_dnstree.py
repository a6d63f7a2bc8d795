"""
Tests for L{devp2p_tx.net.discovery.dnstree}: published trees, and a resolver that answers from them.
"""

from __future__ import annotations

from collections import deque
from ipaddress import ip_address
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.names import dns
from twisted.names.error import DNSNameError
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.dnstree.building import make_tree
from devp2p_tx.core.dnstree.entries import Link
from devp2p_tx.core.dnstree.walker import BURST, RATE
from devp2p_tx.core.enr.entries import IP, TCP, Entry
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import InvalidNode, ServerStopped
from devp2p_tx.net.discovery.dnstree import LOOKUP_TIMEOUT, DNSTrees
from tests.core.dnstree.examples import KEY
from tests.net.discovery.support import keyOf

DOMAIN = "nodes.example.org"


def url(domain: str = DOMAIN) -> str:
    """The URL of a tree of ours."""
    return Link.make(domain, KEY.public_key).to_text()


def record(number: int, *items: tuple[Entry[Any], Any]) -> Record:
    """The record of node C{number}: an address and a port, unless other items are given."""
    chosen = items or ((IP, ip_address(f"192.0.2.{number}")), (TCP, 30303))
    return Record.sign(keyOf(number), 1, {entry.key: entry.encode(value) for entry, value in chosen})


class TreeResolver:
    """
    Answers from trees.

    @ivar texts: the TXT records of each name.
    @ivar asked: the names that were asked for, in order.
    @ivar waiting: the questions that are not answered yet, if it does not answer at once.
    """

    def __init__(self, atOnce: bool = True) -> None:
        self.texts: dict[str, list[dns.RRHeader]] = {}
        self.asked: list[str] = []
        self.made = 0
        self.waiting: deque[tuple[str, Deferred[Any]]] = deque()
        self._atOnce = atOnce

    def __call__(self) -> TreeResolver:
        """Make it."""
        self.made += 1
        return self

    def publish(self, *records: Record, domain: str = DOMAIN, seq: int = 1, links: tuple[str, ...] = ()) -> None:
        """Publish a tree."""
        tree = make_tree(seq, records, map(url, links)).sign(KEY)
        for name, text in tree.to_txt(domain).items():
            self.put(name, text.encode())

    def put(self, name: str, *strings: bytes) -> None:
        """Publish one TXT record, of one or several strings."""
        self.texts[name] = [dns.RRHeader(name, dns.TXT, payload=dns.Record_TXT(*strings))]

    def lookupText(self, name: str) -> Deferred[Any]:
        """See C{IResolver}."""
        self.asked.append(name)
        if self._atOnce:
            return self._answer(name)
        question: Deferred[Any] = Deferred()
        self.waiting.append((name, question))
        return question

    def _answer(self, name: str) -> Deferred[Any]:
        found = self.texts.get(name)
        return fail(DNSNameError(name)) if found is None else succeed((found, [], []))

    def answer(self) -> None:
        """Answer the oldest question."""
        name, question = self.waiting.popleft()
        self._answer(name).chainDeferred(question)


class DNSTestCase(SynchronousTestCase):
    """A line of nodes from the tree at L{DOMAIN}."""

    atOnce = True

    def setUp(self) -> None:
        self.clock = Clock()
        self.resolver = TreeResolver(self.atOnce)
        self.trees = self.make(url())

    def make(self, *urls: str) -> DNSTrees:
        """A line of nodes from these trees."""
        return DNSTrees(urls, self.clock, self.clock.seconds, Random(1), self.resolver)

    def found(self, count: int, trees: DNSTrees | None = None) -> set[int]:
        """Which nodes came among the next C{count}."""
        numbers = set()
        for _ in range(count):
            asked = (trees or self.trees).next()
            self.clock.pump([0.34] * 30)
            node: Node = self.successResultOf(asked)
            assert node.ip is not None
            numbers.add(node.ip.packed[-1])
        return numbers


class WalkTests(DNSTestCase):
    """What comes of trees."""

    def test_all_nodes(self) -> None:
        """Every node of a tree with branches comes, and then they come again."""
        self.resolver.publish(*map(record, range(1, 21)))
        self.assertEqual(self.found(20), set(range(1, 21)))
        self.assertEqual(self.found(20), set(range(1, 21)))

    def test_node(self) -> None:
        """A node has its record, from which its address comes."""
        self.resolver.publish(record(1))
        asked = self.trees.next()
        node = self.successResultOf(asked)
        self.assertEqual((node, node.record), (Node.from_record(record(1)), record(1)))
        self.assertEqual((str(node.ip), node.tcp), ("192.0.2.1", 30303))

    def test_name(self) -> None:
        """They are counted as "dns"."""
        self.assertEqual(self.trees.name, "dns")

    def test_who_cannot_be_dialed(self) -> None:
        """Nodes without an address, or without a TCP port, are left out."""
        without = record(2, (TCP, 30303)), record(3, (IP, ip_address("192.0.2.3")))
        self.resolver.publish(record(1), *without)
        self.assertEqual(self.found(5), {1})

    def test_links(self) -> None:
        """Links to other trees are followed."""
        self.resolver.publish(record(1), links=("more.example.org",))
        self.resolver.publish(record(2), domain="more.example.org")
        self.assertEqual(self.found(20), {1, 2})

    def test_several_trees(self) -> None:
        """Nodes of all trees come."""
        self.resolver.publish(record(1), domain="one.example.org")
        self.resolver.publish(record(2), domain="two.example.org")
        self.assertEqual(self.found(20, self.make(url("one.example.org"), url("two.example.org"))), {1, 2})

    def test_bad_url(self) -> None:
        """A URL that cannot be read is refused at once."""
        self.assertRaises(InvalidNode, self.make, "enrtree://nonsense")


class AnswerTests(DNSTestCase):
    """Answers of all kinds."""

    def test_strings_are_joined(self) -> None:
        """A TXT record of several strings is one text."""
        self.resolver.publish(record(1))
        for name, (header,) in list(self.resolver.texts.items()):
            text = header.payload.data[0]
            self.resolver.put(name, text[:7], text[7:])
        self.assertEqual(self.found(1), {1})

    def test_other_records(self) -> None:
        """What else is in an answer does no harm: aliases, records of unknown kinds, other texts."""
        self.resolver.publish(record(1))
        for name, headers in self.resolver.texts.items():
            headers[:0] = [
                dns.RRHeader(name, dns.CNAME, payload=dns.Record_CNAME("elsewhere.example.org")),
                dns.RRHeader(name, 46, payload=dns.UnknownRecord(b"\0\1signature")),
                dns.RRHeader(name, dns.TXT, payload=dns.Record_TXT(b"v=spf1 -all")),
                dns.RRHeader(name, dns.TXT, payload=dns.Record_TXT(b"\xff\xfe")),
                dns.RRHeader(name, dns.TXT, payload=dns.Record_TXT()),
            ]
        self.assertEqual(self.found(2), {1})

    def test_empty_answer(self) -> None:
        """A name without texts is tried again."""
        self.resolver.texts[DOMAIN] = []
        asked = self.trees.next()
        self.assertNoResult(asked)
        self.resolver.publish(record(1))
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(asked).record, record(1))

    def test_unknown_name(self) -> None:
        """So is one that does not exist."""
        asked = self.trees.next()
        self.assertNoResult(asked)
        self.resolver.publish(record(1))
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(asked).record, record(1))

    def test_entry_that_fails(self) -> None:
        """An entry that cannot be had does not keep the others from coming."""
        self.resolver.publish(*map(record, range(1, 6)))
        name = next(
            name
            for name, (header,) in self.resolver.texts.items()
            if record(3).to_text().encode() in header.payload.data
        )
        del self.resolver.texts[name]
        self.assertEqual(self.found(20), {1, 2, 4, 5})

    def test_resolver_that_raises(self) -> None:
        """A resolver that refuses a name at once, as for a label that is too long, has failed like another."""
        self.patch(self.resolver, "lookupText", self.refuse)
        asked = self.trees.next()
        self.clock.advance(60)
        self.assertNoResult(asked)
        self.trees.stop()
        self.failureResultOf(asked, ServerStopped)

    def refuse(self, name: str) -> Deferred[Any]:
        raise UnicodeError("label too long")


class PaceTests(DNSTestCase):
    """How much is asked."""

    def test_nothing_unless_asked(self) -> None:
        """Nothing is resolved, and no resolver made, before somebody wants a node, and no more than he wants."""
        self.resolver.publish(*map(record, range(1, 6)))
        self.clock.advance(3600)
        self.assertEqual((self.resolver.made, self.resolver.asked), (0, []))
        self.successResultOf(self.trees.next())
        asked = len(self.resolver.asked)
        self.assertLessEqual(asked, 4)  # the root, the empty branch of links, a branch, a leaf
        self.clock.advance(3600)
        self.assertEqual((self.resolver.made, len(self.resolver.asked)), (1, asked))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rate_limit(self) -> None:
        """However fast somebody takes nodes, names are resolved at the limited rate, and so is the cache read."""
        self.resolver.publish(*map(record, range(1, 41)))
        seconds, taken = 20, 0
        asked = self.trees.next()
        for _ in range(seconds * 10):
            while asked.called:
                taken += 1
                asked = self.trees.next()
            self.clock.advance(0.1)
        self.assertLessEqual(len(self.resolver.asked), BURST + RATE * seconds)
        self.assertLessEqual(taken, BURST + RATE * seconds)
        self.assertGreater(taken, 40)
        self.assertEqual((RATE, BURST), (3, 10))

    def test_failing_root(self) -> None:
        """A tree that cannot be had is asked for ever more rarely, and in between nothing moves."""
        self.trees.next()
        self.clock.pump([0.1] * 1200)
        early = len(self.resolver.asked)
        self.clock.pump([1.0] * 1000)
        self.assertLessEqual(early, 30)
        self.assertLessEqual(len(self.resolver.asked) - early, 101)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)


class SaidTests(DNSTestCase):
    """What the user is told of a list that he named."""

    def setUp(self) -> None:
        super().setUp()
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def lines(self, level: LogLevel) -> list[str]:
        """What was logged."""
        return [formatEvent(event) for event in self.events if event.get("log_level") is level]

    def test_said_once(self) -> None:
        """That a list cannot be read, and why; and that it can be again."""
        asked = self.trees.next()
        self.clock.pump([1.0] * 600)
        self.assertEqual(
            self.lines(LogLevel.warn),
            [f"the DNS list {DOMAIN} cannot be read: DNSNameError: {DOMAIN}; it is tried again from time to time"],
        )
        self.assertEqual(dict(self.trees.failing), {DOMAIN: f"DNSNameError: {DOMAIN}"})
        self.resolver.publish(record(1))
        self.clock.pump([1.0] * 310)
        self.successResultOf(asked)
        self.assertEqual(self.lines(LogLevel.info), [f"the DNS list {DOMAIN} can be read again"])
        self.assertEqual(dict(self.trees.failing), {})

    def test_two_lists(self) -> None:
        """A bad list does not keep the nodes of the others from coming."""
        self.resolver.publish(record(1))
        trees = self.make(url("bad.example.org"), url(), url("worse.example.org"))
        self.assertEqual(self.found(5, trees), {1})
        self.assertEqual(set(trees.failing), {"bad.example.org", "worse.example.org"})

    def test_links_of_others(self) -> None:
        """A list that only a link leads to is not the user's business."""
        self.resolver.publish(record(1), links=("gone.example.org",))
        self.found(5)
        self.assertEqual((self.lines(LogLevel.warn), dict(self.trees.failing)), ([], {}))


class WaitingTests(DNSTestCase):
    """With a resolver that takes its time."""

    atOnce = False

    def test_one_question_at_a_time(self) -> None:
        """The next name is asked for when the last is answered."""
        self.resolver.publish(record(1))
        asked = self.trees.next()
        for answered in range(1, 4):
            self.assertEqual(len(self.resolver.asked), answered)
            self.resolver.answer()
        self.assertEqual(self.successResultOf(asked).record, record(1))

    def test_asked_twice(self) -> None:
        """Only one may wait."""
        self.trees.next()
        self.assertRaises(RuntimeError, self.trees.next)

    def test_cancelled(self) -> None:
        """Who waits no longer stops the walk at its next step; who comes after him goes on with it."""
        self.resolver.publish(record(1))
        first = self.trees.next()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.resolver.answer()
        self.assertEqual(len(self.resolver.asked), 1)
        second = self.trees.next()
        while self.resolver.waiting:
            self.resolver.answer()
        self.assertEqual(self.successResultOf(second).record, record(1))
        self.assertEqual(self.resolver.asked.count(DOMAIN), 1)

    def test_resolver_that_hangs(self) -> None:
        """It is not waited for longer than a name may take, whatever it does; then the name is asked for again."""
        self.trees.next()
        self.clock.advance(LOOKUP_TIMEOUT - 0.1)
        self.assertFalse(self.resolver.waiting[0][1].called)
        self.clock.advance(0.2)
        self.assertTrue(self.resolver.waiting[0][1].called)
        self.clock.advance(5)
        self.assertEqual(self.resolver.asked, [DOMAIN] * 2)
        self.assertEqual(dict(self.trees.failing), {DOMAIN: "no answer within 30 s"})

    def test_stopped(self) -> None:
        """Who waits is told, the question is cancelled, and nothing is asked any more."""
        asked = self.trees.next()
        self.trees.stop()
        self.failureResultOf(asked, ServerStopped)
        self.assertTrue(self.resolver.waiting[0][1].called)
        self.assertEqual((len(self.resolver.asked), self.clock.getDelayedCalls()), (1, []))

    def test_stopped_while_it_pauses(self) -> None:
        """Between two questions nothing is left either, and stopping twice does no harm."""
        asked = self.trees.next()
        while self.resolver.waiting:
            self.resolver.answer()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for _ in range(2):
            self.trees.stop()
        self.failureResultOf(asked, ServerStopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_unused(self) -> None:
        """One that nobody asked makes no resolver to stop."""
        self.trees.stop()
        self.assertEqual(self.resolver.made, 0)
