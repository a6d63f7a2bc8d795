"""
Which connections may be on their way through the handshakes, of which there are a limited number.

When there is no room, the newcomer is let in, and another connection gives way: from the networks with the most
connections, first the widest, then within it the fullest narrower one, and so on, the one that has been silent longest.
So connections that come to nothing, of however many addresses, do not keep others out. One network of the internet has
a share of the slots, and a newcomer from a network that has its share takes the place of another of that network.

Silent is a connection that makes no progress: bytes alone, such as one a second, are none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from devp2p_tx.core.addressing.addresses import IPAddress, is_lan
from devp2p_tx.core.addressing.connectionlimit import Key, prefix

#: How many leading bits name networks, from the widest on, and at last a single source.
LEVELS: tuple[dict[int, int], ...] = ({4: 16, 6: 32}, {4: 24, 6: 48}, {4: 32, 6: 64})
#: The level whose networks have a share of the slots: a /24 of IPv4, a /48 of IPv6 (and so each /64 in it).
SHARED = 1
#: The share of the slots that one network has.
SHARE = 0.25

#: What names a connection.
C = TypeVar("C", bound=Hashable)
_LevelKey = tuple[int, Key]


@dataclass(slots=True)
class _Held:
    keys: tuple[_LevelKey, ...]
    since: float


class HandshakeSlots(Generic[C]):
    """
    The connections that hold a slot.

    @ivar limit: how many there are.
    """

    def __init__(self, limit: int, share: float = SHARE) -> None:
        """
        @param share: what part of the slots one network of the internet has.
        """
        self.limit = limit
        self._share = share
        self._held: dict[C, _Held] = {}
        self._counts: Counter[_LevelKey] = Counter()

    def enter(self, connection: C, ip: IPAddress | None, now: float) -> C | None:
        """
        Give a new connection a slot.

        @param ip: its source, unmapped; C{None} for one without, such as that of a UNIX socket.
        @return: the connection that gives way to it, which holds none any more.
        """
        new = _Held(_keys(ip), now)
        self._counts.update(new.keys)
        leaves = self._giving_way(new, ip)
        if leaves is not None:
            self.leave(leaves)
        self._held[connection] = new
        return leaves

    def progressed(self, connection: C, now: float) -> None:
        """A connection has made progress."""
        if (held := self._held.get(connection)) is not None:
            held.since = now

    def leave(self, connection: C) -> None:
        """A connection needs no slot any more; nothing happens to one that has none."""
        if (held := self._held.pop(connection, None)) is not None:
            self._counts.subtract(held.keys)
            for key in held.keys:
                if not self._counts[key]:
                    del self._counts[key]

    def _giving_way(self, new: _Held, ip: IPAddress | None) -> C | None:
        network = new.keys[SHARED]
        is_shared = ip is not None and not is_lan(ip)
        if is_shared and self._counts[network] > max(1, int(self.limit * self._share)):
            rivals = [(each, held) for each, held in self._held.items() if held.keys[SHARED] == network]
        elif len(self._held) >= self.limit:
            rivals = list(self._held.items())
        else:
            return None
        counts = self._counts
        for level in range(len(LEVELS)):
            most = max(counts[held.keys[level]] for _, held in rivals)
            rivals = [(each, held) for each, held in rivals if counts[held.keys[level]] == most]
        return min(rivals, key=lambda rival: rival[1].since)[0]

    def __contains__(self, connection: object) -> bool:
        """Whether a connection holds a slot."""
        return connection in self._held

    def __len__(self) -> int:
        """How many connections hold a slot."""
        return len(self._held)


def _keys(ip: IPAddress | None) -> tuple[_LevelKey, ...]:
    """What names the networks of a source, by level."""
    return tuple((level, (0, 0) if ip is None else prefix(ip, bits)) for level, bits in enumerate(LEVELS))
