"""
What is known of one tree in DNS, and when to look at what of it again.

Rules:

  - The root is fetched again after L{RECHECK_INTERVAL}, and sooner after more than L{MAX_ENTRY_FAILURES} entries could
    not be had: the tree may have changed. If it did not, the next such look waits L{REFETCH_PAUSE}, then twice as long.
  - A root that cannot be had, or is not valid, is asked for at doubling intervals.
  - An entry that cannot be had is asked for L{MAX_ATTEMPTS} times; then it is absent until the next regular look at the
    root.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random  # noqa: TID251 - as a type: the walker's owner makes it

from devp2p_tx.core.dnstree.entries import InvalidTree, Link, Root, find_root

#: Seconds between two regular looks at a root.
RECHECK_INTERVAL = 1800.0
#: Entries that may fail before the root is fetched again.
MAX_ENTRY_FAILURES = 5
#: Failures of one entry after which it is absent; the root, which may have dropped it, is fetched before.
MAX_ATTEMPTS = MAX_ENTRY_FAILURES + 2
#: Seconds without another look at a root that did not change although entries failed; doubles each time.
REFETCH_PAUSE = 60.0
#: Seconds until a root that failed is asked for again: at first, and at most when no answer came. After an answer that
#: is no valid root the most is the regular interval: its owner has to act.
ROOT_RETRY, MAX_ROOT_RETRY = 5.0, 300.0
#: Entries of one subtree that a walk remembers; further ones are ignored.
MAX_ENTRIES = 50_000


class NoEntry(InvalidTree):
    """A name without an entry of the kind expected."""


class OutdatedRoot(InvalidTree):
    """A root with a lower number than one seen before."""


class Subtree:
    """
    One walk of a subtree.

    @ivar root: its hash.
    @ivar missing: the hashes to be visited that are known.
    @ivar has_leaves: whether a leaf was visited.
    @ivar incomplete: whether it went on without an entry that is absent.
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

    def failed(self, digest: str) -> bool:
        """Count a failure of an entry; return whether that was the last attempt, and the walk goes on without it."""
        attempts = self._attempts[digest] = self._attempts.get(digest, 0) + 1
        if attempts < MAX_ATTEMPTS:
            return False
        self.skip(digest)
        return True

    def skip(self, digest: str) -> None:
        """Go on without an entry."""
        self.missing.remove(digest)
        self.incomplete = True


class WalkedTree:
    """
    What is known of one tree.

    @ivar link: where it is.
    @ivar root: the last valid root; C{None} before the first.
    @ivar records: the walk of the subtree with records.
    @ivar links: the walk of the subtree with links.
    @ivar found_links: the locations of the links that this walk found.
    @ivar root_error: why the last look at the root failed; empty if it did not.
    """

    def __init__(self, link: Link, recheck_interval: float) -> None:
        self.link = link
        self.root: Root | None = None
        self.records = self.links = Subtree("")
        self.found_links: set[str] = set()
        self.root_error = ""
        # At most RATE * RECHECK_INTERVAL / MAX_ATTEMPTS: the walker's rate limit bounds it.
        self._absent: set[str] = set()
        self._entry_failures = 0
        self._recheck_interval = recheck_interval
        self._root_failures = 0
        self._root_asked = float("-inf")
        self._regular = False
        self._pause_until = float("-inf")
        self._refetch_pause = REFETCH_PAUSE
        self._refetch_at = float("-inf")

    def ready_at(self, now: float) -> float:
        """Return the earliest time for the next step."""
        if self.root_due(now):
            return max(now, self._pause_until)
        if not self.links.done or not self.records.done or self.records.has_leaves:
            return now
        return self._root_asked + self._recheck_interval

    def root_due(self, now: float) -> bool:
        """Return whether the next step is fetching the root."""
        if self.root is None or now >= self._root_asked + self._recheck_interval:
            return True
        return self._entry_failures > MAX_ENTRY_FAILURES and now >= self._refetch_at

    def ask_root(self, now: float) -> None:
        """The root is being fetched."""
        self._regular = now >= self._root_asked + self._recheck_interval
        self._root_asked = now

    def root_failed(self, now: float, reason: str, *, answered: bool) -> None:
        """
        The root could not be had.

        @param answered: whether there was an answer, which is no valid root.
        """
        self.root_error = reason
        most = self._recheck_interval if answered else MAX_ROOT_RETRY
        self._pause_until = now + min(most, ROOT_RETRY * 2.0 ** min(self._root_failures, 20))
        self._root_failures += 1

    def update_root(self, texts: Sequence[str], now: float) -> None:
        """
        Read the root.

        @raise InvalidTree: there is none, it is not valid, or older than the last.
        """
        root = find_root(texts, self.link.key)
        if root is None:
            raise NoEntry("no root found")
        if self.root is not None and root.seq < self.root.seq:
            raise OutdatedRoot(f"tree root has number {root.seq}, after {self.root.seq}")
        self._note_change(root, now)
        self.root, self.root_error = root, ""
        self._root_failures = self._entry_failures = 0
        if self._outdated(self.links, root.links):
            self.links = Subtree(root.links)
            self.found_links = set()
        if self._outdated(self.records, root.records):
            self.records = Subtree(root.records)

    def _note_change(self, root: Root, now: float) -> None:
        """Decide whether what was absent may be there now, and when failures lead to the next look at the root."""
        changed = self.root is None or (root.records, root.links) != (self.root.records, self.root.links)
        if changed or self._regular:
            self._absent.clear()
        if changed:
            self._refetch_pause, self._refetch_at = REFETCH_PAUSE, now
        elif not self._regular:
            self._refetch_at = now + self._refetch_pause
            self._refetch_pause = min(2 * self._refetch_pause, self._recheck_interval)

    def _outdated(self, subtree: Subtree, root: str) -> bool:
        """Return whether to walk a subtree again: it changed, or was incomplete at the last regular look."""
        return subtree.root != root or (self._regular and subtree.done and subtree.incomplete)

    def choose(self, rng: Random) -> tuple[Subtree, str]:
        """Return the subtree and entry to visit next."""
        if not self.links.done:
            return self.links, self.links.missing[0]
        if self.records.done:
            self.records = Subtree(self.records.root)
        return self.records, rng.choice(self.records.missing)

    def is_absent(self, digest: str) -> bool:
        """Return whether an entry is not asked for until the next regular look at the root."""
        return digest in self._absent

    def entry_failed(self, subtree: Subtree, digest: str) -> None:
        """An entry could not be had, this time."""
        self._entry_failures += 1
        if subtree.failed(digest):
            self._absent.add(digest)
