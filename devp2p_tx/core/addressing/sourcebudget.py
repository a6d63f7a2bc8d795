"""
How many packets a source may send, or a network be sent. (GCRA: a source's whole state is the time at which its budget
will be full again.)
"""

from __future__ import annotations

from devp2p_tx.core.addressing.addresses import IPAddress, translated

#: Packets a second that one source may send for ever, and how many it may send at once.
RATE, BURST = 25.0, 200
#: What sums of intervals are wrong by at most (seconds).
ROUNDING = 1e-9
#: How many leading bits of an address name a source.
SOURCE_BITS_4, SOURCE_BITS_6 = 32, 64
#: Sources remembered are between this many and twice as many.
MAX_SOURCES = 8192
#: How many times as much a source or network of the LAN, or of loopback, may send and be sent.
LAN_FACTOR = 10
#: How many leading bits name a network: the smallest that the internet routes, so what one owner sees of what happens.
NETWORK_BITS_4, NETWORK_BITS_6 = 24, 48


class Allowance:
    """
    So many at once, and so many a second.

    @ivar interval: seconds in which the allowance grows by one.
    @ivar tolerance: seconds that a burst may be ahead of that.
    @ivar ceiling: seconds in which it grows from nothing to a burst.
    """

    __slots__ = ("_burst", "_rate", "ceiling", "interval", "tolerance")

    def __init__(self, rate: float, burst: int) -> None:
        """
        @param rate: how many a second for ever.
        @param burst: how many at once, at least 1.
        """
        self._rate, self._burst = rate, burst
        self.interval = 1 / rate
        self.tolerance = (burst - 1) / rate
        self.ceiling = burst / rate

    def times(self, factor: int) -> Allowance:
        """So many times as much."""
        return Allowance(self._rate * factor, self._burst * factor)

    def spend(self, full_at: float, now: float, amount: int = 1) -> tuple[bool, float]:
        """
        Take from what is left, if it is enough.

        @param full_at: when all would be left again; any time in the past for one who took nothing yet.
        @param amount: how many are taken, at most the burst.
        @return: whether it was taken, and when all will be left again.
        """
        # A clock that went backwards must not lock anybody out for longer than a full burst.
        if full_at < now:
            full_at = now
        elif full_at > now + self.ceiling:
            full_at = now + self.ceiling
        if full_at - now > self.tolerance - (amount - 1) * self.interval + ROUNDING:
            return False, full_at
        return True, full_at + amount * self.interval


class SourceBudget:
    """
    A budget of packets for each source, usually an IPv4 address or an IPv6 /64. An address of NAT64 is the IPv4 address
    that it leads to.

    When too many sources have been seen those not seen for the longest time are forgotten, in one stroke and without a
    search; they begin anew with a full budget.
    """

    __slots__ = ("_allowance", "_earlier", "_recent", "_shift_4", "_shift_6", "max_sources")

    def __init__(
        self,
        rate: float = RATE,
        burst: int = BURST,
        max_sources: int = MAX_SOURCES,
        *,
        bits_4: int = SOURCE_BITS_4,
        bits_6: int = SOURCE_BITS_6,
    ) -> None:
        """
        @param rate: packets a second.
        @param burst: packets at once, at least 1.
        @param bits_4: leading bits of an IPv4 address that name a source.
        @param bits_6: likewise of an IPv6 address.
        """
        self.max_sources = max_sources
        self._shift_4, self._shift_6 = 32 - bits_4, 128 - bits_6
        self._allowance = Allowance(rate, burst)
        self._recent: dict[int, float] = {}
        self._earlier: dict[int, float] = {}

    def take(self, source: IPAddress, now: float, amount: int = 1) -> bool:
        """
        Count one packet; false, and it is not counted, if the budget is used up.

        @param source: unwrapped.
        @param now: seconds of any monotonic clock.
        @param amount: count so many packets, all or none, at most a burst.
        """
        bare = translated(source)
        key = int(bare) >> self._shift_4 if bare.version == 4 else ~(int(bare) >> self._shift_6)
        full_at = self._recent.get(key)
        if full_at is None:
            full_at = self._earlier.get(key, now)
            if len(self._recent) >= self.max_sources:
                self._earlier, self._recent = self._recent, {}
        allowed, self._recent[key] = self._allowance.spend(full_at, now, amount)
        return allowed

    def __len__(self) -> int:
        """How many sources are remembered, some of them perhaps twice."""
        return len(self._recent) + len(self._earlier)
