"""
Walking trees of node records in DNS for ever, an entry at a time (EIP-1459; devp2p C{dnsdisc.md}, "Client Protocol").

Rules:

  - Of a tree first the links are walked, in order, then the records, at random, so that no two clients meet the same
    nodes first. When all was seen the walk starts anew, mostly from the cache. Links lead to further trees; a tree that
    no link leads to any more is forgotten.
  - When a tree's root is fetched again, and for how long an entry that cannot be had is left alone, is in
    L{devp2p_tx.core.dnstree.tree}. A hash that changed in the root starts that subtree anew. A root with a lower number
    than the last is refused. A walk that found nothing but failures waits for the next regular look at the root.
  - What matches its hash is never anything else. So an entry that does not parse, or does not belong into its subtree,
    is kept in the cache as such, reported once, and not asked for again.
  - Every step counts against a rate limit, also one served from the cache: whoever asks for the next record in a loop
    would keep a core busy.

One query is under way at a time. What to do comes out of L{TreeWalker.next}, and so do the records found.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from random import Random  # noqa: TID251 - as a type: our owner makes it
from typing import NamedTuple

from devp2p_tx.core.dnstree.entries import (
    Branch,
    Entry,
    HashMismatch,
    InvalidTree,
    Leaf,
    Link,
    RecordParser,
    find_entry,
    parse_url,
)
from devp2p_tx.core.dnstree.tree import RECHECK_INTERVAL, NoEntry, Subtree, WalkedTree
from devp2p_tx.core.enr.record import Record

#: Entries that are kept, of all trees together, those that cannot be read included.
CACHE_SIZE = 1000
#: Steps per second, and how many may follow each other at once.
RATE, BURST = 3.0, 10
#: Trees that are walked at most; further links are ignored.
MAX_TREES = 64


class Query(NamedTuple):
    """Resolve the TXT records of C{name}; report L{TreeWalker.on_answer} or L{TreeWalker.on_failure}."""

    name: str


class WaitUntil(NamedTuple):
    """Nothing to do until C{time}; if that is C{None}, until the query is answered."""

    time: float | None


class Found(NamedTuple):
    """The next record."""

    record: Record


class Failed(NamedTuple):
    """Something at C{name} could not be had, for the log; the walk goes on."""

    name: str
    reason: str


Step = Query | WaitUntil | Found | Failed


class _Unreadable(NamedTuple):
    """In the cache, in the place of an entry: the text that matches the hash cannot be read."""


class _Visit(NamedTuple):
    """What a query is for: an entry of a subtree, or the root if C{subtree} is C{None}."""

    name: str
    tree: WalkedTree
    subtree: Subtree | None
    digest: str


class _RateLimit:
    """A bucket of tokens that fills steadily."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = self._burst
        self._filled = float("-inf")

    def ready_at(self, now: float) -> float:
        """When there is a token: C{now}, or later."""
        if now > self._filled:
            self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
            self._filled = now
        return now if self._tokens >= 1 else now + (1 - self._tokens) / self._rate

    def take(self) -> None:
        """Take one."""
        self._tokens -= 1


class TreeWalker:
    """
    An endless line of records from trees in DNS, in random order. Records repeat.

    Nothing is resolved unless somebody asks for the next record.
    """

    def __init__(
        self,
        urls: Iterable[str],
        rng: Random,
        *,
        parse_record: RecordParser = Record.from_text,
        recheck_interval: float = RECHECK_INTERVAL,
        cache_size: int = CACHE_SIZE,
        rate: float = RATE,
        burst: int = BURST,
    ) -> None:
        """
        @param urls: of the trees to start with.
        @raise InvalidNode: a URL cannot be read.
        """
        self._rng = rng
        self._parse_record = parse_record
        self._recheck_interval = recheck_interval
        self._cache: OrderedDict[str, Entry | _Unreadable] = OrderedDict()
        self._cache_size = cache_size
        self._limit = _RateLimit(rate, burst)
        self._trees: dict[str, WalkedTree] = {}
        self._start: set[str] = set()
        self._links: dict[str, set[str]] = {}
        self._query: _Visit | None = None
        self._results: deque[Found | Failed] = deque()
        for url in urls:
            self.add_tree(url)

    @property
    def locations(self) -> list[str]:
        """Key and domain of each tree known."""
        return list(self._trees)

    def add_tree(self, url: str) -> None:
        """
        Walk one more tree, whether links lead to it or not.

        @raise InvalidNode: the URL cannot be read.
        """
        link = parse_url(url)
        self._start.add(link.location)
        self._add(link)

    def next(self, now: float) -> Step:
        """What to do for the next record; to be repeated until it says L{WaitUntil} or L{Found}."""
        while not self._results:
            if self._query is not None:
                return WaitUntil(None)
            tree = self._ready_tree(now)
            if not isinstance(tree, WalkedTree):
                return tree
            self._limit.take()
            self._query = self._visit(tree, now)
            if self._query is not None:
                return Query(self._query.name)
        return self._results.popleft()

    def on_answer(self, name: str, texts: Sequence[str], now: float) -> None:
        """
        The name was resolved.

        @param texts: its TXT records, the strings of each joined.
        """
        visit = self._take_query(name)
        if visit is None:
            return
        try:
            if visit.subtree is None:
                visit.tree.update_root(texts, now)
            else:
                self._read(visit, visit.subtree, texts)
        except InvalidTree as error:
            self._failed(visit, str(error), now, answered=True)

    def on_failure(self, name: str, now: float, reason: str = "name could not be resolved") -> None:
        """The name could not be resolved."""
        visit = self._take_query(name)
        if visit is not None:
            self._failed(visit, reason, now, answered=False)

    @property
    def failing(self) -> Mapping[str, str]:
        """The domains of the trees given by L{add_tree} whose root failed when last asked for, each with the reason."""
        return {
            tree.link.domain: tree.root_error
            for location, tree in self._trees.items()
            if location in self._start and tree.root_error
        }

    def _take_query(self, name: str) -> _Visit | None:
        visit = self._query
        if visit is None or visit.name != name:
            return None
        self._query = None
        return visit

    def _ready_tree(self, now: float) -> WalkedTree | WaitUntil:
        """A random tree that has something to do now, or when there will be one."""
        times = [(tree.ready_at(now), tree) for tree in self._trees.values()]
        if not times:
            return WaitUntil(None)
        earliest = max(min(time for time, _ in times), self._limit.ready_at(now))
        if earliest > now:
            return WaitUntil(earliest)
        return self._rng.choice([tree for time, tree in times if time <= now])

    def _visit(self, tree: WalkedTree, now: float) -> _Visit | None:
        """Start the next step of a tree; C{None} if no query is needed for it."""
        if tree.root_due(now):
            tree.ask_root(now)
            return _Visit(tree.link.domain, tree, None, "")
        subtree, digest = tree.choose(self._rng)
        visit = _Visit(f"{digest}.{tree.link.domain}", tree, subtree, digest)
        entry = self._cache.get(digest)
        if entry is not None:
            self._cache.move_to_end(digest)
            self._enter(visit, subtree, entry)
        elif tree.is_absent(digest):
            subtree.skip(digest)
        else:
            return visit
        return None

    def _read(self, visit: _Visit, subtree: Subtree, texts: Sequence[str]) -> None:
        """
        Use the answer to the query for an entry.

        @raise InvalidTree: it is not there, for now.
        """
        entry: Entry | _Unreadable | None
        try:
            entry = find_entry(texts, visit.digest, self._parse_record)
        except HashMismatch:
            raise
        except InvalidTree as error:
            entry = _Unreadable()
            self._results.append(Failed(visit.name, str(error)))
        if entry is None:
            raise NoEntry("no entry found")
        self._remember(visit.digest, entry)
        misplaced = self._enter(visit, subtree, entry)
        if misplaced:
            self._results.append(Failed(visit.name, misplaced))

    def _enter(self, visit: _Visit, subtree: Subtree, entry: Entry | _Unreadable) -> str:
        """Use an entry; return why it does not belong into its subtree, empty if it does."""
        tree = visit.tree
        subtree.visited(visit.digest, entry.children if isinstance(entry, Branch) else ())
        misplaced = ""
        if isinstance(entry, Leaf):
            if subtree is tree.links:
                misplaced = "record in link tree"
            else:
                subtree.has_leaves = True
                self._results.append(Found(entry.record))
        elif isinstance(entry, Link):
            if subtree is tree.records:
                misplaced = "link in record tree"
            else:
                self._follow(tree, entry)
        if subtree is tree.links:
            self._drop_links(tree)
        return misplaced

    def _failed(self, visit: _Visit, reason: str, now: float, *, answered: bool) -> None:
        self._results.append(Failed(visit.name, reason))
        if visit.subtree is None:
            visit.tree.root_failed(now, reason, answered=answered)
        else:
            visit.tree.entry_failed(visit.subtree, visit.digest)

    def _follow(self, tree: WalkedTree, link: Link) -> None:
        tree.found_links.add(link.location)
        if self._add(link):
            self._links.setdefault(tree.link.location, set()).add(link.location)

    def _add(self, link: Link) -> bool:
        """Know a tree; false if there are too many."""
        if link.location not in self._trees:
            if len(self._trees) >= MAX_TREES:
                return False
            self._trees[link.location] = WalkedTree(link, self._recheck_interval)
        return True

    def _drop_links(self, tree: WalkedTree) -> None:
        """
        When all links of a tree were seen, forget those it had before, and the trees that none leads to any more.

        Links that could not be had might still be there, so then all are kept.
        """
        if not tree.links.done or tree.links.incomplete:
            return
        self._links[tree.link.location] = tree.found_links & self._trees.keys()
        reachable: set[str] = set()
        queue = list(self._start)
        while queue:
            location = queue.pop()
            if location not in reachable:
                reachable.add(location)
                queue.extend(self._links.get(location, ()))
        self._trees = {location: known for location, known in self._trees.items() if location in reachable}
        self._links = {location: links for location, links in self._links.items() if location in reachable}

    def _remember(self, digest: str, entry: Entry | _Unreadable) -> None:
        self._cache[digest] = entry
        if len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
