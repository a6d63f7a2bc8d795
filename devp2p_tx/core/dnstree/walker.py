"""
Walking trees of node records in DNS for ever, an entry at a time (EIP-1459; devp2p C{dnsdisc.md}, "Client Protocol").

Rules:

  - Of a tree first the links are walked, in order, then the records, at random, so that no two clients meet the same
    nodes first. When all was seen the walk starts anew, mostly from the cache. Links lead to further trees; a tree that
    no link leads to any more is forgotten.
  - The root is fetched again after half an hour, and after more than five entries failed: the tree may have changed. A
    hash that changed there starts that subtree anew. A root with a lower number than the last is refused.
  - An entry that fails is tried again, some times; then this walk goes on without it. A walk that found nothing but
    failures waits for the next regular look at the root.
  - Every step counts against a rate limit, also one served from the cache: whoever asks for the next record in a loop
    would keep a core busy.

One query is under way at a time. What to do comes out of L{TreeWalker.next}, and so do the records found.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from random import Random  # noqa: TID251 - as a type: our owner makes it
from typing import NamedTuple

from devp2p_tx.core.dnstree.entries import (
    Branch,
    Entry,
    InvalidTree,
    Leaf,
    Link,
    RecordParser,
    Root,
    find_entry,
    find_root,
    parse_url,
)
from devp2p_tx.core.enr.record import Record

#: Seconds after which whoever resolves names should give up on a query.
QUERY_TIMEOUT = 5.0
#: Seconds between two looks at a root.
RECHECK_INTERVAL = 1800.0
#: Entries that are kept, of all trees together.
CACHE_SIZE = 1000
#: Steps per second, and how many may follow each other at once.
RATE, BURST = 3.0, 10
#: Entries that may fail before the root is fetched again.
MAX_ENTRY_FAILURES = 5
#: Failures of one entry after which a walk goes on without it; the root, which may have dropped it, is fetched before.
MAX_ATTEMPTS = MAX_ENTRY_FAILURES + 2
#: After more than so many failures of a root in a row, the seconds until the next attempt.
ROOT_PAUSES = ((20, 10.0), (5, 5.0))
#: Entries of one subtree that a walk remembers; further ones are ignored.
MAX_ENTRIES = 50_000
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


class NoEntry(InvalidTree):
    """A name without an entry of the kind expected."""


class OutdatedRoot(InvalidTree):
    """A root with a lower number than one seen before."""


class MisplacedEntry(InvalidTree):
    """A link among the records, or a record among the links."""


class _Subtree:
    """
    One walk of a subtree.

    @ivar root: its hash.
    @ivar missing: the hashes to be visited that are known.
    @ivar has_leaves: whether a leaf was visited.
    @ivar incomplete: whether it went on without an entry that failed.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.missing = [root]
        self.has_leaves = False
        self.incomplete = False
        self._seen = {root}
        self._attempts: dict[str, int] = {}

    @property
    def done(self) -> bool:
        """Whether nothing is left to visit."""
        return not self.missing

    def visited(self, digest: str, children: Iterable[str] = ()) -> None:
        """An entry was visited; each of its children is to be, once, wherever else it is named."""
        self.missing.remove(digest)
        for child in children:
            if child not in self._seen and len(self._seen) < MAX_ENTRIES:
                self._seen.add(child)
                self.missing.append(child)

    def failed(self, digest: str) -> None:
        """An entry could not be had; after some attempts the walk goes on without it."""
        attempts = self._attempts[digest] = self._attempts.get(digest, 0) + 1
        if attempts >= MAX_ATTEMPTS:
            self.missing.remove(digest)
            self.incomplete = True


class _Tree:
    """What is known of one tree, and when to do what."""

    def __init__(self, link: Link, recheck_interval: float) -> None:
        self.link = link
        self.root: Root | None = None
        self.records = self.links = _Subtree("")
        self.found_links: set[str] = set()
        self.entry_failures = 0
        self._recheck_interval = recheck_interval
        self._root_failures = 0
        self._root_asked = float("-inf")
        self._regular = False
        self._pause_until = float("-inf")

    def ready_at(self, now: float) -> float:
        """The earliest time for the next step."""
        if self.root_due(now):
            return max(now, self._pause_until)
        if not self.links.done or not self.records.done or self.records.has_leaves:
            return now
        return self._root_asked + self._recheck_interval

    def root_due(self, now: float) -> bool:
        """Whether the next step is fetching the root."""
        if self.root is None or self.entry_failures > MAX_ENTRY_FAILURES:
            return True
        return now >= self._root_asked + self._recheck_interval

    def ask_root(self, now: float) -> None:
        """The root is being fetched."""
        self._regular = now >= self._root_asked + self._recheck_interval
        self._root_asked = now

    def root_failed(self, now: float) -> None:
        """It could not be had."""
        self._root_failures += 1
        self._pause_until = now + next((pause for count, pause in ROOT_PAUSES if self._root_failures > count), 0.0)

    def update_root(self, texts: Sequence[str]) -> None:
        """
        Read the root.

        @raise InvalidTree: there is none, it is not valid, or older than the last.
        """
        root = find_root(texts, self.link.key)
        if root is None:
            raise NoEntry("no root found")
        if self.root is not None and root.seq < self.root.seq:
            raise OutdatedRoot(f"tree root has number {root.seq}, after {self.root.seq}")
        self.root = root
        self._root_failures = self.entry_failures = 0
        if self._outdated(self.links, root.links):
            self.links = _Subtree(root.links)
            self.found_links = set()
        if self._outdated(self.records, root.records):
            self.records = _Subtree(root.records)

    def _outdated(self, subtree: _Subtree, root: str) -> bool:
        """Whether to walk a subtree anew: it changed, or could not be had completely a while ago."""
        return subtree.root != root or (self._regular and subtree.done and subtree.incomplete)

    def choose(self, rng: Random) -> tuple[_Subtree, str]:
        """The subtree and entry to visit next."""
        if not self.links.done:
            return self.links, self.links.missing[0]
        if self.records.done:
            self.records = _Subtree(self.records.root)
        return self.records, rng.choice(self.records.missing)


class _Visit(NamedTuple):
    """What a query is for: an entry of a subtree, or the root if C{subtree} is C{None}."""

    name: str
    tree: _Tree
    subtree: _Subtree | None
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
        self._cache: OrderedDict[str, Entry] = OrderedDict()
        self._cache_size = cache_size
        self._limit = _RateLimit(rate, burst)
        self._trees: dict[str, _Tree] = {}
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
            if not isinstance(tree, _Tree):
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
                visit.tree.update_root(texts)
            else:
                entry = find_entry(texts, visit.digest, self._parse_record)
                if entry is None:
                    raise NoEntry("no entry found")
                self._remember(visit.digest, entry)
                self._enter(visit, visit.subtree, entry)
        except InvalidTree as error:
            self._failed(visit, str(error), now)

    def on_failure(self, name: str, now: float, reason: str = "name could not be resolved") -> None:
        """The name could not be resolved."""
        visit = self._take_query(name)
        if visit is not None:
            self._failed(visit, reason, now)

    def _take_query(self, name: str) -> _Visit | None:
        visit = self._query
        if visit is None or visit.name != name:
            return None
        self._query = None
        return visit

    def _ready_tree(self, now: float) -> _Tree | WaitUntil:
        """A random tree that has something to do now, or when there will be one."""
        times = [(tree.ready_at(now), tree) for tree in self._trees.values()]
        if not times:
            return WaitUntil(None)
        earliest = max(min(time for time, _ in times), self._limit.ready_at(now))
        if earliest > now:
            return WaitUntil(earliest)
        return self._rng.choice([tree for time, tree in times if time <= now])

    def _visit(self, tree: _Tree, now: float) -> _Visit | None:
        """Start the next step of a tree; C{None} if the cache ended it."""
        if tree.root_due(now):
            tree.ask_root(now)
            return _Visit(tree.link.domain, tree, None, "")
        subtree, digest = tree.choose(self._rng)
        visit = _Visit(f"{digest}.{tree.link.domain}", tree, subtree, digest)
        entry = self._cache.get(digest)
        if entry is None:
            return visit
        self._cache.move_to_end(digest)
        try:
            self._enter(visit, subtree, entry)
        except MisplacedEntry as error:
            self._failed(visit, str(error), now)
        return None

    def _enter(self, visit: _Visit, subtree: _Subtree, entry: Entry) -> None:
        """
        Use an entry.

        @raise MisplacedEntry: it does not belong into its subtree.
        """
        tree = visit.tree
        if isinstance(entry, Link) and subtree is tree.records:
            raise MisplacedEntry("link in record tree")
        if isinstance(entry, Leaf) and subtree is tree.links:
            raise MisplacedEntry("record in link tree")
        subtree.visited(visit.digest, entry.children if isinstance(entry, Branch) else ())
        if isinstance(entry, Leaf):
            subtree.has_leaves = True
            self._results.append(Found(entry.record))
        elif isinstance(entry, Link):
            self._follow(tree, entry)
        if subtree is tree.links:
            self._drop_links(tree)

    def _failed(self, visit: _Visit, reason: str, now: float) -> None:
        self._results.append(Failed(visit.name, reason))
        if visit.subtree is None:
            visit.tree.root_failed(now)
        else:
            visit.tree.entry_failures += 1
            visit.subtree.failed(visit.digest)

    def _follow(self, tree: _Tree, link: Link) -> None:
        tree.found_links.add(link.location)
        if self._add(link):
            self._links.setdefault(tree.link.location, set()).add(link.location)

    def _add(self, link: Link) -> bool:
        """Know a tree; false if there are too many."""
        if link.location not in self._trees:
            if len(self._trees) >= MAX_TREES:
                return False
            self._trees[link.location] = _Tree(link, self._recheck_interval)
        return True

    def _drop_links(self, tree: _Tree) -> None:
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

    def _remember(self, digest: str, entry: Entry) -> None:
        self._cache[digest] = entry
        if len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
