"""
Who is not heard, asked before anything is opened or verified for a stranger.

A packet that no session can open costs a challenge, and may be followed by a handshake, which costs as much as
everything else that is done in a millisecond. So such packets are counted against the budgets of
L{devp2p_tx.core.addressing.packetlimit}.

Nobody is banned for what comes from his address, since that may be forged; bans are for our user to set.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from devp2p_tx.core.addressing.addresses import IPAddress, unwrap
from devp2p_tx.core.addressing.packetlimit import PacketRateLimiter

#: Bans of each sort that are kept; beyond it the oldest one goes.
MAX_BANS = 4096

K = TypeVar("K", bound=Hashable)


class BanList(Generic[K]):
    """
    Whom not to hear until some time.

    @ivar bans: until when, for each; mostly there are none, which can be seen here without a call.
    """

    __slots__ = ("bans", "max_bans")

    def __init__(self, max_bans: int = MAX_BANS) -> None:
        self.max_bans = max_bans
        self.bans: OrderedDict[K, float] = OrderedDict()

    def add(self, banned: K, until: float) -> None:
        """Ban somebody; C{until} in seconds of the monotonic clock, infinity for ever."""
        self.bans.pop(banned, None)
        self.bans[banned] = until
        if len(self.bans) > self.max_bans:
            self.bans.popitem(last=False)

    def remove(self, banned: K) -> None:
        """Hear somebody again, if that is not so already."""
        self.bans.pop(banned, None)

    def has(self, candidate: K, now: float) -> bool:
        """Whether somebody is banned; a ban that is over is forgotten."""
        until = self.bans.get(candidate)
        if until is None:
            return False
        if until > now:
            return True
        del self.bans[candidate]
        return False

    def __len__(self) -> int:
        return len(self.bans)


class PacketFilter:
    """
    The filter of one node.

    @ivar hosts: banned addresses, unwrapped.
    @ivar nodes: banned node ids.
    """

    __slots__ = ("_limiter", "hosts", "nodes")

    def __init__(self, limiter: PacketRateLimiter | None = None) -> None:
        """
        @param limiter: counts packets without a session.
        """
        self._limiter = PacketRateLimiter() if limiter is None else limiter
        self.hosts: BanList[IPAddress] = BanList()
        self.nodes: BanList[bytes] = BanList()

    def ban_host(self, ip: IPAddress, until: float) -> None:
        """Ban an address; C{until} as in L{BanList.add}."""
        self.hosts.add(unwrap(ip), until)

    def take(self, ip: IPAddress, now: float) -> bool:
        """Count a packet without a session; false if a budget is used up. C{ip} is unwrapped."""
        return self._limiter.take(ip, now)

    def note_known(self, ip: IPAddress, now: float) -> None:
        """There is a session with a node at that address."""
        self._limiter.note_known(ip, now)
