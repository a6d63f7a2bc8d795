"""
The table of neighbours that discv4 and discv5 share in design; each has its own.

Rules, in the order of a node's life:

  - It comes by being I{found} (told by another, or remembered) or I{inbound} (it wrote to us). Inbound nodes are
    refused until the first refresh is done, so that a booting node cannot be filled by whoever shouts loudest.
  - A known node is updated by a found version only if that has a higher sequence number, by an inbound one always:
    discv4 nodes have no record, hence always number 0, and their address is where their packets come from.
  - Its address must be one that may be contacted.
  - It is an entry if its bucket has room, else it waits as a replacement; either way its network must have room.
  - A new entry is not I{live}: it stands in the fast queue, and is live once it answered a L{Ping}, after which it
    stands in the slow queue. An endpoint that changes puts it back. One that does not answer is removed when a third
    of its passed checks is nothing, and a random replacement follows it.
  - Only live nodes should be told to others.

Time is C{now} in seconds of any monotonic clock. What to do comes out of L{Table.handle_timer} as L{Ping} and
L{Refresh}; results are reported back. (devp2p C{discv4.md}, "Kademlia Table"; C{discv5-theory.md}, "Node Table".)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from random import Random  # noqa: TID251 - as a type: our owner makes it
from typing import Generic, NamedTuple

from devp2p_tx.core.addressing.addresses import DistinctNetSet, IPAddress, is_lan
from devp2p_tx.core.kademlia.bucket import BUCKET_SIZE, Bucket, Entry, N, RevalidationQueue
from devp2p_tx.core.kademlia.distance import ID_BITS, as_number

#: How many buckets there are. Half of all nodes belong into the last, a quarter into the one before...
BUCKETS = 17
#: ...so the distances up to this one, which hardly any node ever has, share the first bucket.
SHARED_DISTANCE = ID_BITS - BUCKETS + 1
#: Addresses of one network that the table takes.
TABLE_IP_LIMIT = 10
#: Leading bits of IPv4 and IPv6 addresses that name a network there. A company gets 65,536 /48s at once, in a /32, so
#: one /32 counts like one /24 of IPv4.
TABLE_BITS_4, TABLE_BITS_6 = 24, 32

#: Seconds: the mean time between two checks is half of it, for new and for proved nodes.
FAST_INTERVAL, SLOW_INTERVAL = 3.0, 9.0
#: Seconds: refreshes follow each other after half of it to all of it.
REFRESH_INTERVAL = 1800.0
#: Lookups of random targets in one refresh, after the lookup of our own id.
REFRESH_LOOKUPS = 3
#: Remembered nodes that a refresh starts with, and the greatest age of their last answer in seconds.
SEED_COUNT, SEED_MAX_AGE = 30, 5 * 86400
#: A node that passed more checks than this is remembered over a restart.
SEED_MIN_CHECKS = 5

#: Requests in a row without an answer after which a node is removed...
MAX_FAILURES = 5
#: ...if its bucket has at least this many entries: a small network cannot afford to lose a node.
MIN_ENTRIES_TO_REMOVE = BUCKET_SIZE // 4

_RANK = itemgetter(0)


class Ping(NamedTuple, Generic[N]):
    """
    Check this node; report L{Table.on_pong}, L{Table.on_no_pong} or L{Table.on_unchecked}, else it is never checked
    again.
    """

    node: N


class Refresh(NamedTuple):
    """
    Fill the table; report L{Table.refresh_done}.

    L{Table.add_seeds}, then look up our own id, then L{REFRESH_LOOKUPS} random ones.
    """


Action = Ping[N] | Refresh


class NodeView(NamedTuple, Generic[N]):
    """What is known of an entry or replacement, for a person to read; the fields are those of L{Entry}."""

    node: N
    checks: int
    live: bool
    added_to_table: float
    added_to_bucket: float | None


class BucketView(NamedTuple, Generic[N]):
    """The content of a bucket, for a person to read; C{distance} is the logarithmic distance of its nodes."""

    distance: int
    entries: list[NodeView[N]]
    replacements: list[NodeView[N]]


class Table(Generic[N]):
    """
    The neighbours of one node.

    @ivar own_id: our own node id, 32 bytes.
    @ivar nursery: nodes that every refresh starts with, beside the remembered ones: the bootnodes.
    @ivar initialised: whether the first refresh is done.
    """

    def __init__(
        self,
        own_id: bytes,
        rng: Random,
        now: float,
        *,
        admits: Callable[[IPAddress], bool] | None = None,
        nursery: Iterable[N] = (),
        fast_interval: float = FAST_INTERVAL,
        slow_interval: float = SLOW_INTERVAL,
        refresh_interval: float = REFRESH_INTERVAL,
    ) -> None:
        """
        @param rng: decides whom to check, when, and who replaces whom; not to be guessed by strangers.
        @param now: the first refresh is due at once.
        @param admits: whether an address may be contacted; C{None} if all may. Asked when one is about to enter.
        """
        self.own_id = own_id
        self.nursery: list[N] = list(nursery)
        self.initialised = False
        self._own_number = as_number(own_id)
        self._rng = rng
        self._admits = admits
        self._buckets: list[Bucket[N]] = [Bucket() for _ in range(BUCKETS)]
        self._networks = DistinctNetSet(TABLE_BITS_4, TABLE_BITS_6, TABLE_IP_LIMIT)
        self._fast: RevalidationQueue[N] = RevalidationQueue(fast_interval, rng)
        self._slow: RevalidationQueue[N] = RevalidationQueue(slow_interval, rng)
        self._checking: dict[int, Entry[N]] = {}
        self._refresh_interval = refresh_interval
        self._refresh_time: float | None = now

    # -- reading ------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many entries there are, without the replacements."""
        return len(self._fast) + len(self._slow)

    def __iter__(self) -> Iterator[N]:
        return (entry.node for bucket in self._buckets for entry in bucket)

    def __contains__(self, node_id: object) -> bool:
        return isinstance(node_id, bytes) and self.get(node_id) is not None

    def get(self, node_id: bytes) -> N | None:
        """The present version of an entry; C{None} for strangers and replacements."""
        number = as_number(node_id)
        entry = self._bucket(number).entries.get(number)
        return None if entry is None else entry.node

    def closest(self, target: bytes, count: int = BUCKET_SIZE, *, prefer_live: bool = False) -> list[N]:
        """
        The entries closest to C{target} (32 bytes), closest first, of the whole table.

        @param prefer_live: leave out those that are not live, unless no entry is.
        """
        number = as_number(target)
        found = self._closest(number, count, live_only=prefer_live)
        if prefer_live and not found:
            found = self._closest(number, count, live_only=False)
        return found

    def _closest(self, target: int, count: int, live_only: bool) -> list[N]:
        found: list[N] = []
        for buckets in self._nearest_buckets(target):
            ranked = [
                (entry.number ^ target, entry.node)
                for bucket in buckets
                for entry in bucket
                if entry.live or not live_only
            ]
            ranked.sort(key=_RANK)
            found += [node for _, node in ranked]
            if len(found) >= count:
                break
        return found[:count]

    def _nearest_buckets(self, target: int) -> Iterator[Sequence[Bucket[N]]]:
        """
        Groups of buckets, all nodes of one closer to C{target} than those of the next: mostly the first group suffices.

        With nodes of its own bucket C{target} shares the leading bits up to where both leave us; nodes of all nearer
        buckets differ from it in that last bit; nodes of farther buckets differ in the bit that makes them far.
        """
        home = self._index(target)
        yield self._buckets[home : home + 1]
        yield self._buckets[:home]
        for index in range(home + 1, BUCKETS):
            yield self._buckets[index : index + 1]

    def at_distance(self, distance: int, *, live_only: bool = True) -> list[N]:
        """
        The entries at a logarithmic distance of 1..256 from us, from a random one on, so that all are told at times;
        none for other distances.
        """
        if not 0 < distance <= ID_BITS:
            return []
        found = [
            entry.node
            for entry in self._buckets[max(distance - SHARED_DISTANCE, 0)]
            if (entry.live or not live_only) and (entry.number ^ self._own_number).bit_length() == distance
        ]
        first = int(self._rng.random() * len(found))  # a draw for each place would take longer than all else
        return found[first:] + found[:first]

    def view(self) -> list[BucketView[N]]:
        """The whole content, a copy."""
        return [
            BucketView(
                SHARED_DISTANCE + index,
                [_view(entry) for entry in bucket],
                [_view(entry) for entry in bucket.replacements.values()],
            )
            for index, bucket in enumerate(self._buckets)
        ]

    # -- adding and removing ------------------------------------------------------------------------------------------

    def add_found(self, node: N, now: float) -> bool:
        """
        Add or update a node that another node told, or that we remember.

        @return: whether it is a new entry.
        """
        return self._add(node, now, inbound=False)

    def add_inbound(self, node: N, now: float) -> bool:
        """
        Add or update a node that wrote to us from the endpoint it has here.

        @return: whether it is a new entry.
        """
        return self.initialised and self._add(node, now, inbound=True)

    def add_seeds(self, seeds: Iterable[N], now: float) -> None:
        """Add the nursery, and remembered nodes; but where one of the nursery is now its owner knows best."""
        for node in self.nursery:
            self.add_found(node, now)
        told = {node.node_id for node in self.nursery}
        for node in seeds:
            if node.node_id not in told:
                self.add_found(node, now)

    def remove(self, node_id: bytes, now: float) -> None:
        """Remove an entry, if it is one; a replacement follows it."""
        number = as_number(node_id)
        bucket = self._bucket(number)
        if number in bucket.entries:
            self._remove(bucket, number, now)

    def track_success(self, found: Iterable[N], now: float) -> None:
        """A node answered a FINDNODE usefully: add what it told. (Its count of failures is the caller's to reset.)"""
        for node in found:
            self.add_found(node, now)

    def track_failure(self, node: N, failures: int, now: float) -> None:
        """
        A node answered a FINDNODE with nothing or not at all.

        @param failures: how often in a row by now, which outlives the table in a node database.
        """
        bucket = self._bucket(as_number(node.node_id))
        if failures >= MAX_FAILURES and len(bucket.entries) >= MIN_ENTRIES_TO_REMOVE:
            self.remove(node.node_id, now)

    def _add(self, node: N, now: float, inbound: bool) -> bool:
        number = as_number(node.node_id)
        if number == self._own_number:
            return False
        bucket = self._bucket(number)
        entry = bucket.entries.get(number)
        if entry is not None:
            if inbound or node.seq > entry.node.seq:
                self._update(bucket, entry, node, now)
            return False
        if number in bucket.replacements:
            return False
        return self._add_new(bucket, node, now)

    def _add_new(self, bucket: Bucket[N], node: N, now: float) -> bool:
        counted = self._count(bucket, node.ip) if self._may_enter(node.ip) else None
        if counted is None:
            return False
        entry = Entry(node, counted, now)
        if not bucket.full:
            self._enter(bucket, entry, now)
            return True
        dropped = bucket.push_replacement(entry)
        if dropped is not None:
            self._uncount(bucket, dropped)
        return False

    def _enter(self, bucket: Bucket[N], entry: Entry[N], now: float) -> None:
        bucket.entries[entry.number] = entry
        entry.added_to_bucket = now
        self._fast.add(entry, now)

    def _remove(self, bucket: Bucket[N], number: int, now: float) -> None:
        entry = bucket.entries.pop(number)
        self._uncount(bucket, entry)
        assert entry.queue is not None  # every entry stands in one
        entry.queue.remove(entry)
        replacement = bucket.take_replacement(self._rng)
        if replacement is not None:
            self._enter(bucket, replacement, now)

    def _update(self, bucket: Bucket[N], entry: Entry[N], node: N, now: float) -> bool:
        """
        Put a newer version in place, unless its address does not fit the limits.

        @return: whether the endpoint changed, so that all that was proved is void.
        """
        old = entry.node
        if node.ip != old.ip:
            if not self._may_enter(node.ip):
                return False
            self._uncount(bucket, entry)
            counted = self._count(bucket, node.ip)
            if counted is None:
                entry.counted = self._count(bucket, old.ip) is True
                return False
            entry.counted = counted
        entry.node = node
        if node.ip == old.ip and node.udp == old.udp:
            return False
        entry.live = False
        self._requeue(entry, self._fast, now)
        return True

    def _may_enter(self, ip: IPAddress | None) -> bool:
        return ip is None or self._admits is None or self._admits(ip)

    def _count(self, bucket: Bucket[N], ip: IPAddress | None) -> bool | None:
        """Take a place for an address: true if it did, false if the address needs none, C{None} if it is refused."""
        if ip is None or ip.is_unspecified:
            return None
        if is_lan(ip):
            return False
        if not self._networks.add(ip):
            return None
        if not bucket.networks.add(ip):
            self._networks.remove(ip)
            return None
        return True

    def _uncount(self, bucket: Bucket[N], entry: Entry[N]) -> None:
        ip = entry.node.ip
        if entry.counted and ip is not None:
            self._networks.remove(ip)
            bucket.networks.remove(ip)

    # -- time ---------------------------------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        """When to call L{handle_timer} next, C{None} if nothing is due; asked again after every other call."""
        due = self._refresh_time
        for time in (self._fast.next_time, self._slow.next_time):
            if time is not None and (due is None or time < due):
                due = time
        return due

    def handle_timer(self, now: float) -> list[Action[N]]:
        """What is due now, to be done by the caller."""
        actions: list[Action[N]] = []
        if self._refresh_time is not None and self._refresh_time <= now:
            self._refresh_time = None
            actions.append(Refresh())
        for queue in (self._fast, self._slow):
            if queue.next_time is not None and queue.next_time <= now:
                queue.schedule(now)
                entry = queue.choose(self._checking)
                if entry is not None:
                    self._checking[entry.number] = entry
                    actions.append(Ping(entry.node))
        return actions

    def request_refresh(self, now: float) -> None:
        """Refresh as soon as possible, unless one is under way."""
        if self._refresh_time is not None:
            self._refresh_time = min(self._refresh_time, now)

    def refresh_done(self, now: float) -> None:
        """The lookups of a L{Refresh} have ended."""
        self.initialised = True
        half = self._refresh_interval / 2
        self._refresh_time = now + half + self._rng.random() * half

    def on_pong(self, node: N, now: float, newer: N | None = None) -> N | None:
        """
        A node that we were asked to check has answered.

        @param node: as the L{Ping} had it.
        @param newer: its new record, fetched because the answer told a higher sequence number.
        @return: the node, if it has passed so many checks that it should be remembered over a restart.
        """
        entry = self._checked(node)
        if entry is None:
            return None
        entry.checks += 1
        entry.live = True
        bucket = self._bucket(entry.number)
        if newer is not None and newer.seq > entry.node.seq and self._update(bucket, entry, newer, now):
            return None
        self._requeue(entry, self._slow, now)
        return entry.node if entry.checks > SEED_MIN_CHECKS else None

    def on_no_pong(self, node: N, now: float) -> None:
        """
        A node that we were asked to check has not answered in time.

        @param node: as the L{Ping} had it.
        """
        entry = self._checked(node)
        if entry is None:
            return
        entry.checks //= 3
        if entry.checks == 0:
            self._remove(self._bucket(entry.number), entry.number, now)
        else:
            self._requeue(entry, self._fast, now)

    def on_unchecked(self, node: N) -> None:
        """
        A node that we were asked to check could not be asked: it is as it was.

        @param node: as the L{Ping} had it.
        """
        self._checking.pop(as_number(node.node_id), None)

    def _checked(self, node: N) -> Entry[N] | None:
        """
        The entry whose check has ended; C{None} if that says nothing about it any more: it was removed meanwhile, or
        its endpoint changed, and it was the old one that was checked.
        """
        entry = self._checking.pop(as_number(node.node_id), None)
        if entry is None or entry.queue is None or entry.node.ip != node.ip or entry.node.udp != node.udp:
            return None
        return entry

    def _requeue(self, entry: Entry[N], queue: RevalidationQueue[N], now: float) -> None:
        if entry.queue is not queue:
            queue.add(entry, now)

    # -- buckets ------------------------------------------------------------------------------------------------------

    def _index(self, number: int) -> int:
        return max((number ^ self._own_number).bit_length() - SHARED_DISTANCE, 0)

    def _bucket(self, number: int) -> Bucket[N]:
        return self._buckets[self._index(number)]


def _view(entry: Entry[N]) -> NodeView[N]:
    return NodeView(entry.node, entry.checks, entry.live, entry.added_to_table, entry.added_to_bucket)
