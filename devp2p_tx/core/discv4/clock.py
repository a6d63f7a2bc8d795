"""
How wrong our clock is, by what other nodes' packets show.

A packet says only when it expires: at a time of its sender's clock, a fixed time after it was sent. So each packet
shows how far our clock is ahead, if that lifetime is known: 20 seconds with go-ethereum, its forks and reth, 60 with
Besu and ethereumjs, 90 minutes with Nethermind. From these rules comes a figure that no single owner can move:

  - Packets count from nodes that have answered a PING of ours from the same address. Answers count even if they are
    expired by our clock, as the echo of the PING's hash shows that they are fresh; the checks of the protocol stay as
    they are. Of requests, an old one may have been recorded by others and sent again, so an expired one does not count.
  - A network, a /16 of IPv4 or a /32 of IPv6, has one sample: that which shows the least delay.
  - Each sample may mean any of the lifetimes. The difference that explains the most samples is taken, and of several
    that which more samples explain by 20 seconds, then the least. It has to explain at least L{MIN_NODES} samples, and
    more than half of all. The figure is their median; delay on the way and whole seconds make it 0 to 2 seconds high.
  - A node that answers has not taken our PING for expired. So our clock is less than its 20 seconds behind, and the
    answer's lifetime is the longer one, not 20 seconds.
  - When our clock is set all samples are void.

L{ClockState} decides what is said of it. Nothing here changes what is accepted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from statistics import median
from typing import NamedTuple

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.ipvote import SHARES

#: Seconds from sending to expiration with other clients, the usual one first.
LIFETIMES = (20, 60, 5400)
#: How many networks have to agree, and by how many seconds they may differ.
MIN_NODES, TOLERANCE = 8, 3.0
#: Seconds that a sample counts, and between two estimates.
SAMPLE_LIFE, ESTIMATE_INTERVAL = 600.0, 10.0
#: How many networks' samples are remembered, and how many nodes that have answered; beyond it the oldest goes.
MAX_SAMPLES, MAX_ANSWERED = 64, 1024
#: Our clock was set if it went by more than this (seconds) beside the monotonic one, from one packet to the next.
MAX_STEP = 2.0
#: A difference above the first number of seconds is said, and it is over below the second.
WRONG_ABOVE, RIGHT_BELOW = 10.0, 5.0
#: No clock is wrong by more than this (seconds): the expiration is none.
_MAX_OFFSET = 100 * 366 * 86400.0

_Host = tuple[bytes, IPAddress]


class ClockOffset(NamedTuple):
    """
    How wrong our clock is.

    @ivar seconds: by how much it is ahead; negative if it is behind.
    @ivar nodes: how many networks' nodes show that.
    """

    seconds: float
    nodes: int


class _Sample(NamedTuple):
    is_answer: bool
    remaining: float
    taken: float

    def offsets(self) -> Iterator[tuple[float, bool]]:
        """By how much our clock may be ahead, and whether that is by the usual lifetime."""
        for lifetime in LIFETIMES:
            offset = lifetime - self.remaining
            if not (self.is_answer and offset < -LIFETIMES[0]):
                yield offset, lifetime == LIFETIMES[0]


class ClockOffsets:
    """
    The samples of the last ten minutes. C{now} is seconds of a monotonic clock, C{unix_time} the clock in question.
    """

    __slots__ = ("_answered", "_base", "_estimated", "_samples")

    def __init__(self) -> None:
        self._answered: OrderedDict[_Host, None] = OrderedDict()
        self._samples: OrderedDict[tuple[int, int], _Sample] = OrderedDict()
        self._base: float | None = None
        self._estimated = float("-inf")

    def note_answer(
        self, node_id: bytes, ip: IPAddress, expiration: int, now: float, unix_time: float
    ) -> ClockOffset | None:
        """A node answered our PING, whether the answer is expired or not. Return L{estimate}."""
        self._answered[node_id, ip] = None
        self._answered.move_to_end((node_id, ip))
        if len(self._answered) > MAX_ANSWERED:
            self._answered.popitem(last=False)
        self._note(ip, expiration - unix_time, now, unix_time, True)
        return self.estimate(now)

    def note_request(
        self, node_id: bytes, ip: IPAddress, expiration: int, now: float, unix_time: float
    ) -> ClockOffset | None:
        """A signed request came, which is not expired. Return L{estimate}, if its sender has answered us."""
        if (node_id, ip) not in self._answered:
            return None
        self._note(ip, expiration - unix_time, now, unix_time, False)
        return self.estimate(now)

    def _note(self, ip: IPAddress, remaining: float, now: float, unix_time: float, is_answer: bool) -> None:
        self._watch(unix_time - now)
        key = ip.version, int(ip) >> (ip.max_prefixlen - SHARES[ip.version].block)
        known = self._samples.get(key)
        if known is not None and self._is_fresh(known, now) and known[:2] >= (is_answer, remaining):
            return
        if abs(remaining) > _MAX_OFFSET:
            return
        self._samples[key] = _Sample(is_answer, remaining, now)
        self._samples.move_to_end(key)
        if len(self._samples) > MAX_SAMPLES:
            self._samples.popitem(last=False)

    def _watch(self, base: float) -> None:
        if self._base is not None and abs(base - self._base) > MAX_STEP:
            self._samples.clear()
        self._base = base

    @staticmethod
    def _is_fresh(sample: _Sample, now: float) -> bool:
        return now - sample.taken < SAMPLE_LIFE

    def estimate(self, now: float) -> ClockOffset | None:
        """Return what the samples show, at most every L{ESTIMATE_INTERVAL} seconds; C{None} if they show nothing."""
        if len(self._samples) < MIN_NODES or now - self._estimated < ESTIMATE_INTERVAL:
            return None
        self._estimated = now
        samples = [each for each in self._samples.values() if self._is_fresh(each, now)]
        agreeing = _agreeing(each.offsets() for each in samples)
        if len(agreeing) < MIN_NODES or 2 * len(agreeing) <= len(samples):
            return None
        return ClockOffset(median(offset for offset, _ in agreeing), len(agreeing))


def _agreeing(samples: Iterable[Iterable[tuple[float, bool]]]) -> list[tuple[float, bool]]:
    """The offsets within L{TOLERANCE} that the most samples have, one of each, as lifetimes differ by more."""
    offsets = sorted(offset for sample in samples for offset in sample)
    best: list[tuple[float, bool]] = []
    first = 0
    for last in range(len(offsets)):
        while offsets[last][0] - offsets[first][0] > TOLERANCE:
            first += 1
        window = offsets[first : last + 1]
        best = max(best, window, key=_weight)
    return best


def _weight(offsets: list[tuple[float, bool]]) -> tuple[int, int, float]:
    return len(offsets), sum(is_usual for _, is_usual in offsets), -abs(offsets[0][0]) if offsets else 0.0


class ClockState:
    """
    What was said last of our clock.

    @ivar is_wrong: whether it was that it is wrong.
    """

    __slots__ = ("is_wrong",)

    def __init__(self) -> None:
        self.is_wrong = False

    def judge(self, offset: float) -> bool:
        """Take a measurement: the seconds by which our clock is ahead. Return whether that is news."""
        was_wrong = self.is_wrong
        self.is_wrong = self.would_be_wrong(offset)
        return self.is_wrong != was_wrong

    def would_be_wrong(self, offset: float) -> bool:
        """Whether our clock is wrong by such a measurement: it is less easily right again than it was."""
        return abs(offset) > (RIGHT_BELOW if self.is_wrong else WRONG_ABOVE)
