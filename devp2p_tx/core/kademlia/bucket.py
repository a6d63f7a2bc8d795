"""One bucket of the table: its entries, those that wait to replace them, and the queues in which they are checked."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random  # noqa: TID251 - as a type: our owner makes it
from typing import Generic, TypeVar

from devp2p_tx.core.addressing.addresses import DistinctNetSet
from devp2p_tx.core.kademlia.distance import TableNode, as_number

N = TypeVar("N", bound=TableNode)

#: Entries of a bucket ("k" of Kademlia).
BUCKET_SIZE = 16
#: Nodes that wait for a place in a full bucket.
MAX_REPLACEMENTS = 10
#: Addresses of one network that a bucket takes, entries and replacements together.
BUCKET_IP_LIMIT = 2
#: Leading bits of IPv4 and IPv6 addresses that name a network: the smallest that the internet routes.
BUCKET_BITS_4, BUCKET_BITS_6 = 24, 48


class Entry(Generic[N]):
    """
    A node in a bucket, and what is known of it.

    @ivar number: the node id as a number.
    @ivar node: its newest version.
    @ivar counted: whether the address limits hold a place for it (they do not for LAN addresses).
    @ivar checks: revalidations passed; cut to a third by each one failed.
    @ivar live: whether the present endpoint has passed a revalidation.
    @ivar added_to_table: when it first came, as entry or as replacement.
    @ivar added_to_bucket: when it became an entry; C{None} for a replacement.
    @ivar queue: the revalidation queue it stands in; C{None} once it is removed, and for a replacement.
    @ivar place: its index there.
    """

    __slots__ = ("added_to_bucket", "added_to_table", "checks", "counted", "live", "node", "number", "place", "queue")

    def __init__(self, node: N, counted: bool, now: float) -> None:
        self.number = as_number(node.node_id)
        self.node = node
        self.counted = counted
        self.checks = 0
        self.live = False
        self.added_to_table = now
        self.added_to_bucket: float | None = None
        self.queue: RevalidationQueue[N] | None = None
        self.place = 0


class RevalidationQueue(Generic[N]):
    """
    Entries of which a random one is checked at random times.

    @ivar interval: seconds; each next time is uniform within it.
    @ivar next_time: when the next entry is due; C{None} while the queue is empty.
    """

    __slots__ = ("_entries", "_rng", "interval", "next_time")

    def __init__(self, interval: float, rng: Random) -> None:
        self.interval = interval
        self.next_time: float | None = None
        self._rng = rng
        self._entries: list[Entry[N]] = []

    def add(self, entry: Entry[N], now: float) -> None:
        """Append an entry, after taking it out of the queue that it is in."""
        if entry.queue is not None:
            entry.queue.remove(entry)
        entry.queue = self
        entry.place = len(self._entries)
        self._entries.append(entry)
        if self.next_time is None:
            self.schedule(now)

    def remove(self, entry: Entry[N]) -> None:
        """Take out an entry of this queue; the last one moves to its place."""
        last = self._entries.pop()
        if last is not entry:
            self._entries[entry.place] = last
            last.place = entry.place
        entry.queue = None
        if not self._entries:
            self.next_time = None

    def schedule(self, now: float) -> None:
        """Choose the next time."""
        self.next_time = now + self._rng.random() * self.interval

    def choose(self, busy: dict[int, Entry[N]]) -> Entry[N] | None:
        """
        A random entry that is not C{busy}.

        A few draws decide: while most entries are being checked it may find none, and the next time comes soon.
        """
        for _ in range(min(len(self._entries) * 3, 30)):
            entry = self._entries[int(self._rng.random() * len(self._entries))]
            if entry.number not in busy:
                return entry
        return None

    def __len__(self) -> int:
        return len(self._entries)


class Bucket(Generic[N]):
    """
    Nodes of one distance.

    @ivar entries: by number, oldest first. Below L{BUCKET_SIZE} entries there is no replacement.
    @ivar replacements: by number, oldest first.
    @ivar networks: the addresses counted, of entries and replacements.
    """

    __slots__ = ("entries", "networks", "replacements")

    def __init__(self) -> None:
        self.entries: dict[int, Entry[N]] = {}
        self.replacements: dict[int, Entry[N]] = {}
        self.networks = DistinctNetSet(BUCKET_BITS_4, BUCKET_BITS_6, BUCKET_IP_LIMIT)

    @property
    def full(self) -> bool:
        """Whether a new node must wait among the replacements."""
        return len(self.entries) >= BUCKET_SIZE

    def push_replacement(self, entry: Entry[N]) -> Entry[N] | None:
        """Let an entry wait; the oldest replacement, if there are now too many, is removed and returned."""
        self.replacements[entry.number] = entry
        if len(self.replacements) <= MAX_REPLACEMENTS:
            return None
        return self.replacements.pop(next(iter(self.replacements)))

    def take_replacement(self, rng: Random) -> Entry[N] | None:
        """Remove and return a random replacement: not the newest, which a stranger could time."""
        if not self.replacements:
            return None
        return self.replacements.pop(rng.choice(list(self.replacements)))

    def __iter__(self) -> Iterator[Entry[N]]:
        return iter(self.entries.values())
