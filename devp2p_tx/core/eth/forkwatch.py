"""
Whether our table of forks is outdated: what fork ids peers state.

One peer with an unknown fork id follows another chain, or lies. Where most do, from many networks, a fork has happened
that our table lacks; then our own fork id makes every peer leave.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.forkid import ForkID

#: How long a Status counts (seconds).
WINDOW = 600.0
#: How many networks must state unknown fork ids: a /16 of IPv4, a /32 of IPv6.
MIN_NETWORKS = 8
_IPV4_BITS, _IPV6_BITS = 16, 32
#: How many networks are remembered; beyond it the one that spoke longest ago is forgotten.
MAX_NETWORKS = 4096


class ForkWatch:
    """What each network stated last within L{WINDOW}: a network counts once, whatever it repeats."""

    def __init__(self) -> None:
        self._stated: OrderedDict[tuple[int, int], tuple[float, ForkID, bool]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._stated)

    def add(self, ip: IPAddress, fork_id: ForkID, is_known: bool, now: float) -> None:
        """
        A peer of our network id and genesis stated a fork id.

        @param is_known: whether our table has its checksum.
        @param now: a monotonic time (seconds).
        """
        bits = ip.max_prefixlen - (_IPV4_BITS if ip.version == 4 else _IPV6_BITS)
        network = (ip.version, int(ip) >> bits)
        self._stated.pop(network, None)
        self._stated[network] = (now, fork_id, is_known)
        if len(self._stated) > MAX_NETWORKS:
            self._stated.popitem(last=False)

    def unknown(self, now: float) -> list[ForkID]:
        """
        The fork ids that our table lacks, the most frequent first, if our table is outdated: more than half of the
        networks that spoke, and at least L{MIN_NETWORKS}, state such; else none.
        """
        while self._stated and next(iter(self._stated.values()))[0] <= now - WINDOW:
            self._stated.popitem(last=False)
        foreign = Counter(fork_id for _, fork_id, is_known in self._stated.values() if not is_known)
        count = foreign.total()
        if count < MIN_NETWORKS or 2 * count <= len(self._stated):
            return []
        return [fork_id for fork_id, _ in foreign.most_common()]
