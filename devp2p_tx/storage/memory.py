"""
What we remember of other nodes, in memory.

Reads come from dictionaries, so that they may stand in the path of every packet; a store on disk is this one with its
changes written down (L{devp2p_tx.storage.sqlite}). Strangers make rows, so every table has a limit.

Times are unix seconds, and 0 means never. A time that is to come says that the clock was wrong when it was written, or
is wrong now. It proves nothing (L{devp2p_tx.core.timestamps}); to keep a node, and to begin with it, a time that is a
day ahead is as good as one that is a day old. An IPv4-mapped IPv6 address is the IPv4 address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import inf
from random import Random
from typing import Generic, NamedTuple, TypeVar

from devp2p_tx.core.addressing.addresses import IPAddress, unwrap
from devp2p_tx.core.timestamps import distance

#: Rows of each table: nodes and endpoints of about 300 bytes in memory each.
MAX_NODES = MAX_ENDPOINTS = 20_000
MAX_DIALS = 2_000
MAX_LOCAL = 64
#: Seconds after which a node that has not answered is forgotten, and those between two looks for such.
NODE_EXPIRATION, EXPIRATION_INTERVAL = 86400, 3600
#: Seconds for which a good peer is remembered, and failed dials in a row after which it is not.
DIAL_EXPIRATION, MAX_DIAL_FAILURES = 7 * 86400, 5

_SEQ = re.compile("[0-9]{1,20}")

#: An id, or an id and the bytes of an address.
Key = tuple[bytes, ...]


class StoredNode(NamedTuple):
    """A node as text (C{enr:} or C{enode://}), and the bytes of its address, none if it has none."""

    text: str
    ip: bytes


class Endpoint(NamedTuple):
    """
    What passed between us and a node at an address.

    C{last_ping} is when it proved that it hears of us, C{last_pong} and C{last_pong_v5} when it proved its address to
    us, in discv4 and discv5, neither of which counts in the other; C{failures_v4} and C{failures_v5} are FINDNODE
    requests in a row without an answer.
    """

    last_ping: int = 0
    last_pong: int = 0
    failures_v4: int = 0
    failures_v5: int = 0
    last_pong_v5: int = 0

    @property
    def proved(self) -> int:
        """When it last proved its address to us; 0 for never."""
        return max(self.last_pong, self.last_pong_v5)

    def distance(self, now: int) -> float:
        """The seconds between now and the nearest time at which it proved its address to us."""
        return min(distance(self.last_pong, now), distance(self.last_pong_v5, now))


class Dial(NamedTuple):
    """A peer that was good once: its text, the last attempt and the last success, and failures in a row since."""

    text: str
    attempted: int
    succeeded: int
    failures: int


class LocalNode(NamedTuple):
    """The sequence number of our own record, as decimal text, since it has 64 bits and no sign."""

    seq: str


V = TypeVar("V", StoredNode, Endpoint, Dial, LocalNode)


class Rows(Generic[V]):
    """
    A table of limited length that knows what changed.

    @ivar limit: above this many rows one goes for each that comes: the first of C{expendable}, else the one unchanged
        for longest.
    @ivar expendable: keys of rows that matter little, in the order in which they go.
    @ivar changed: keys of rows to be written, or to be deleted if they are there no more; oldest change first.
    @ivar rows: the rows, the one unchanged for longest first; only to be read.
    @ivar rewrite: whether all that was written before is void.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.expendable: dict[Key, None] = {}
        self.changed: dict[Key, None] = {}
        self.rewrite = False
        self.rows: dict[Key, V] = {}

    def get(self, key: Key) -> V | None:
        """The row, C{None} if there is none."""
        return self.rows.get(key)

    def put(self, key: Key, row: V) -> None:
        """Insert or replace a row, which is then the one changed last."""
        self.rows.pop(key, None)
        self.rows[key] = row
        self._mark(key)
        if len(self.rows) > self.limit:
            self.delete(next(iter(self.expendable or self.rows)))

    def delete(self, key: Key) -> None:
        """Delete a row, if it is there."""
        if self.rows.pop(key, None) is not None:
            self.expendable.pop(key, None)
            self._mark(key)

    def rewrite_all(self) -> None:
        """Have everything written anew."""
        self.rewrite = True
        self.changed = dict.fromkeys(self.rows)

    def _mark(self, key: Key) -> None:
        self.changed[key] = None
        if len(self.changed) > 2 * self.limit:  # nobody writes them down; do not collect deleted keys for ever
            self.rewrite_all()

    def __iter__(self) -> Iterator[tuple[Key, V]]:
        return iter(list(self.rows.items()))

    def __len__(self) -> int:
        return len(self.rows)


class MemoryNodeStore:
    """The node database without a disk; it is gone with the process."""

    def __init__(self) -> None:
        self._nodes: Rows[StoredNode] = Rows(MAX_NODES)
        self._endpoints: Rows[Endpoint] = Rows(MAX_ENDPOINTS)
        self._dials: Rows[Dial] = Rows(MAX_DIALS)
        self._local: Rows[LocalNode] = Rows(MAX_LOCAL)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def put_node(self, node_id: bytes, text: str, ip: IPAddress | None) -> None:
        """
        Remember a node, as one to begin with after a restart.

        @param text: the form that users read, C{enr:} or C{enode://}.
        @param ip: the address that its answers come from.
        """
        self._nodes.put((node_id,), StoredNode(text, b"" if ip is None else unwrap(ip).packed))

    def node(self, node_id: bytes) -> str | None:
        """The text of a node that is remembered."""
        row = self._nodes.get((node_id,))
        return None if row is None else row.text

    def forget_node(self, node_id: bytes) -> None:
        """Forget a node, but not what passed between us."""
        self._nodes.delete((node_id,))

    def seeds(self, count: int, max_age: int, now: int, rng: Random) -> list[str]:
        """
        The texts of up to C{count} nodes, chosen at random among those that answered from their present address within
        the last C{max_age} seconds, or as much later by a clock that was ahead.
        """
        fit = [node.text for key, node in self._nodes if self._endpoint((*key, node.ip)).distance(now) <= max_age]
        return rng.sample(fit, min(count, len(fit)))

    # -- endpoint proof -----------------------------------------------------------------------------------------------

    def last_ping(self, node_id: bytes, ip: IPAddress) -> int:
        """When the node at this address last sent us a ping that we answered."""
        return self._endpoint(_key(node_id, ip)).last_ping

    def last_pong(self, node_id: bytes, ip: IPAddress) -> int:
        """When the node at this address last answered a ping of ours."""
        return self._endpoint(_key(node_id, ip)).last_pong

    def ping_received(self, node_id: bytes, ip: IPAddress, now: int) -> None:
        """The node at this address sent us a ping."""
        key = _key(node_id, ip)
        self._put_endpoint(key, Endpoint(now, *self._endpoint(key)[1:]))  # at half the price of _replace

    def pong_received(self, node_id: bytes, ip: IPAddress, now: int, *, v5: bool = False) -> None:
        """The node at this address answered a ping of ours, of discv4 or discv5."""
        key = _key(node_id, ip)
        old = self._endpoint(key)
        self._put_endpoint(key, Endpoint(*old[:4], now) if v5 else Endpoint(old.last_ping, now, *old[2:]))

    def findnode_failed(self, node_id: bytes, ip: IPAddress, *, v5: bool = False) -> int:
        """A FINDNODE had no useful answer; how many in a row by now, of discv4 or discv5."""
        key = _key(node_id, ip)
        old = self._endpoint(key)
        new = old._replace(failures_v5=old.failures_v5 + 1) if v5 else old._replace(failures_v4=old.failures_v4 + 1)
        self._put_endpoint(key, new)
        return new.failures_v5 if v5 else new.failures_v4

    def findnode_succeeded(self, node_id: bytes, ip: IPAddress, *, v5: bool = False) -> None:
        """A FINDNODE had a useful answer: count anew."""
        key = _key(node_id, ip)
        if self.findnode_failures(node_id, ip, v5=v5):
            old = self._endpoint(key)
            self._put_endpoint(key, old._replace(failures_v5=0) if v5 else old._replace(failures_v4=0))

    def findnode_failures(self, node_id: bytes, ip: IPAddress, *, v5: bool = False) -> int:
        """How many FINDNODE in a row had no useful answer."""
        endpoint = self._endpoint(_key(node_id, ip))
        return endpoint.failures_v5 if v5 else endpoint.failures_v4

    def _endpoint(self, key: Key) -> Endpoint:
        return self._endpoints.rows.get(key) or _UNKNOWN

    def _put_endpoint(self, key: Key, endpoint: Endpoint) -> None:
        """Those that never proved their address go first: anybody can make them with forged senders."""
        self._endpoints.expendable.pop(key, None)
        if not endpoint.proved:
            self._endpoints.expendable[key] = None
        self._endpoints.put(key, endpoint)

    # -- dials --------------------------------------------------------------------------------------------------------

    def dial_succeeded(self, node_id: bytes, text: str, now: int) -> None:
        """A dialled node has become a peer; C{text} is how to dial it again."""
        self._dials.put((node_id,), Dial(text, now, now, 0))

    def dial_failed(self, node_id: bytes, now: int) -> None:
        """A dial failed. It counts only against a peer that was good: strangers are not worth remembering."""
        row = self._dials.get((node_id,))
        if row is None:
            return
        if row.failures + 1 >= MAX_DIAL_FAILURES:
            self._dials.delete((node_id,))
        else:
            self._dials.put((node_id,), row._replace(attempted=now, failures=row.failures + 1))

    def good_peers(self, count: int) -> list[str]:
        """Texts of up to C{count} peers to dial first after a restart: few failures before many, then the latest."""
        ranked = sorted((row for _, row in self._dials), key=lambda row: (row.failures, -row.succeeded))
        return [row.text for row in ranked[:count]]

    # -- ourselves ----------------------------------------------------------------------------------------------------

    def local_seq(self, node_id: bytes) -> int | None:
        """The sequence number that our own record had last, C{None} if it had none, or somebody wrote no number."""
        row = self._local.get((node_id,))
        return int(row.seq) if row is not None and _SEQ.fullmatch(row.seq) and int(row.seq) >> 64 == 0 else None

    def set_local_seq(self, node_id: bytes, seq: int) -> None:
        """Remember the sequence number (64 bits) of our own record, before anybody sees it."""
        self._local.put((node_id,), LocalNode(str(seq)))

    # -- time ---------------------------------------------------------------------------------------------------------

    def expire(self, now: int) -> None:
        """
        Forget what is old; to be called every L{EXPIRATION_INTERVAL} seconds, but not at the start, since after days
        off there may be nothing else to begin with.

        An endpoint goes a day after its last pong, or, if there never was one, its last ping; a node goes when it had
        pongs and all are old. So do those whose times are to come by more than a day.
        """
        nearest: dict[bytes, float] = {}
        for key, endpoint in self._endpoints:
            if endpoint.proved:
                nearest[key[0]] = min(nearest.get(key[0], inf), endpoint.distance(now))
            since = endpoint.distance(now) if endpoint.proved else distance(endpoint.last_ping, now)
            if NODE_EXPIRATION < since < inf:
                self._endpoints.delete(key)
        for node_id, since in nearest.items():
            if since > NODE_EXPIRATION:
                self._nodes.delete((node_id,))
        for key, dial in self._dials:
            if distance(dial.succeeded, now) > DIAL_EXPIRATION:
                self._dials.delete(key)

    def flush(self) -> int:
        """Write changes down; how many rows are left for the next time. Here there is nothing to write to."""
        return 0

    def close(self) -> None:
        """Write all changes down."""


_UNKNOWN = Endpoint()


def _key(node_id: bytes, ip: IPAddress) -> Key:
    return node_id, unwrap(ip).packed
