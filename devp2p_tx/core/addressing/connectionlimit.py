"""
How many connections strangers may make, asked before anything is done for a connection.

Rules:

  - A source, an IPv4 address or a /64 of IPv6, makes one connection in L{INTERVAL}. Sources of the LAN and of loopback
    make more: test tools run there, and strangers come from there, too, through proxies, onion services and tunnels.
  - All sources share a budget, and so do those of one network, a /24 of IPv4 or a /48 of IPv6. Once an eighth of the
    one, or half of the other, is used up, sources of the LAN make no more than two: one that made no connection of late
    comes through, also if its first one has to give way.
  - While the reactor is late, a connection counts as several for the budget that all share, up to L{MAX_COST}.
  - The last L{RESERVE} of that budget is for sources from which a node has proved its identity of late.

A connection that is refused is not counted, so that trying does not prolong the wait.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from math import inf

from devp2p_tx.core.addressing.addresses import IPAddress, is_lan
from devp2p_tx.core.addressing.lateness import Lateness

#: A source makes one connection in this time (seconds), 5 less than clients of the field wait before they dial again.
INTERVAL = 30.0
#: How many connections a source of the LAN or of loopback makes at once, and the time in which it may make one more
#: (seconds).
LAN_BURST, LAN_INTERVAL = 250, 0.5
#: Connections a second, and at once, of all sources together.
ALL_RATE, ALL_BURST = 400.0, 32768
#: As how many connections one counts for that at most, while the reactor is late.
MAX_COST = 2.0
#: Below this share of it, and below half of a network's budget, sources of the LAN make so many connections at once,
#: and one more in this time (seconds).
PRESSED, PRESSED_BURST, PRESSED_INTERVAL = 7 / 8, 2, 15.0
#: Likewise of one network. All 256 addresses of a /24 stay below.
NETWORK_RATE, NETWORK_BURST = 10.0, 512
#: How many leading bits of an address name a source, and a network.
SOURCE_BITS, NETWORK_BITS = {4: 32, 6: 64}, {4: 24, 6: 48}
#: The share of the budget of all that is kept for known sources.
RESERVE = 0.25
#: How long a source is known (seconds), and how many are; beyond, the one that proved itself the longest time ago is
#: forgotten.
KNOWN_LIFETIME, MAX_KNOWN = 24 * 3600.0, 4096
#: Sources remembered are between this many and twice as many; likewise networks.
MAX_SOURCES = 65536

_EPSILON = 1e-6

#: An address family, and the leading bits of an address.
Key = tuple[int, int]


def prefix(ip: IPAddress, bits: dict[int, int]) -> Key:
    """What names a source or a network: its leading bits, so many by address family."""
    return ip.version, int(ip) >> ip.max_prefixlen - bits[ip.version]


class ConnectionRefusal(Enum):
    """Why a connection may not be made now."""

    THROTTLED = "its source has made too many"
    OVER_BUDGET = "all sources, or those of its network, have made too many"


class Budget:
    """
    A number of connections at once, which grows back in time; one for each of many sources or networks.

    @ivar burst: how many connections at once.
    """

    def __init__(self, interval: float, burst: int) -> None:
        """
        @param interval: in which one more may be made (seconds).
        """
        self.burst = burst
        self._interval = interval
        self._recent: dict[Key, float] = {}  # when all is left again
        self._earlier: dict[Key, float] = {}

    def left(self, key: Key, now: float) -> float:
        """How many connections are left."""
        full_at = self._recent.get(key)
        if full_at is None:
            full_at = self._earlier.get(key, -inf)
        debt = max((full_at - now) / self._interval, 0.0)
        return self.burst - debt if debt <= self.burst + _EPSILON else self.burst  # the clock was set back

    def spend(self, key: Key, count: float, now: float) -> None:
        """Count so many connections, of those that are L{left}."""
        debt = self.burst - self.left(key, now) + count
        if key not in self._recent and len(self._recent) >= MAX_SOURCES:
            self._earlier, self._recent = self._recent, {}
        self._recent[key] = now + debt * self._interval

    def __len__(self) -> int:
        """How many are remembered, some of them perhaps twice."""
        return len(self._recent) + len(self._earlier)


_ALL = (0, 0)


class ConnectionRateLimiter:
    """
    The budgets of one node.

    @ivar lateness: how late the reactor is.
    """

    def __init__(self, lateness: Lateness | None = None) -> None:
        self.lateness = lateness or Lateness()
        self._sources = Budget(INTERVAL, 1)
        self._lan_sources = Budget(LAN_INTERVAL, LAN_BURST)
        self._pressed_sources = Budget(PRESSED_INTERVAL, PRESSED_BURST)
        self._networks = Budget(1 / NETWORK_RATE, NETWORK_BURST)
        self._all = Budget(1 / ALL_RATE, ALL_BURST)
        self._known: OrderedDict[Key, float] = OrderedDict()

    def admit(self, ip: IPAddress, now: float) -> ConnectionRefusal | None:
        """
        Count a connection, if it may be made.

        @param ip: its source, unmapped.
        @param now: seconds of any monotonic clock.
        @return: why it may not be made.
        """
        source, network = prefix(ip, SOURCE_BITS), prefix(ip, NETWORK_BITS)
        cost = min(1 / self.lateness.share, MAX_COST)
        of_all, of_network = self._all.left(_ALL, now), self._networks.left(network, now)
        is_pressed = of_all < ALL_BURST * PRESSED or of_network < NETWORK_BURST / 2
        budgets = (self._lan_sources, self._pressed_sources) if is_lan(ip) else (self._sources,)
        left = [budget.left(source, now) + _EPSILON for budget in budgets]
        if left[0] < 1 or (is_pressed and left[-1] < 1):
            return ConnectionRefusal.THROTTLED
        reserve = 0.0 if self.is_known(ip, now) else ALL_BURST * RESERVE
        if of_all - cost < reserve or of_network < 1:
            return ConnectionRefusal.OVER_BUDGET
        for budget in budgets:
            budget.spend(source, min(1, budget.left(source, now)), now)
        self._networks.spend(network, 1, now)
        self._all.spend(_ALL, cost, now)
        return None

    def note_known(self, ip: IPAddress, now: float) -> None:
        """A node that connected from there has proved its identity."""
        key = prefix(ip, SOURCE_BITS)
        self._known[key] = now + KNOWN_LIFETIME
        self._known.move_to_end(key)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def is_known(self, ip: IPAddress, now: float) -> bool:
        """Whether a node has proved its identity from there of late."""
        return now < self._known.get(prefix(ip, SOURCE_BITS), -inf) <= now + KNOWN_LIFETIME

    @property
    def remembered(self) -> int:
        """How many sources and networks are remembered, some of them perhaps twice."""
        budgets = self._sources, self._lan_sources, self._pressed_sources, self._networks
        return sum(map(len, budgets))
