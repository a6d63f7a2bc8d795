"""
How much we may send to addresses that never answered us.

Whoever tells us of nodes decides where our packets go. One who tells of a stranger's network must not make us look, to
its owner, like somebody who scans or floods it, and all of them together must not make us look so to our own provider.
So there is a budget of packets to each network, a /24 of IPv4 or a /48 of IPv6, and one of all of them. Both are wide
enough for lookups and dials never to meet them on a network that means well. Nodes that have answered are not
counted, nor are answers of ours, which are counted as they are asked for (L{devp2p_tx.core.addressing.packetlimit}).
Networks of the LAN and of loopback get L{LAN_FACTOR} times as much, and are no part of what all get: no provider sees
that.
"""

from __future__ import annotations

from devp2p_tx.core.addressing.addresses import IPAddress, is_lan
from devp2p_tx.core.addressing.sourcebudget import (
    LAN_FACTOR,
    NETWORK_BITS_4,
    NETWORK_BITS_6,
    Allowance,
    SourceBudget,
)

#: UDP packets a second, and at once, to all who did not answer yet, and to those of one network. A lookup asks three
#: nodes at a time, most of which take a second or two packets, and the records of 16 candidates are asked for at once.
UDP_RATE, UDP_BURST = 200.0, 1000
UDP_NETWORK_RATE, UDP_NETWORK_BURST = 5.0, 60
#: TCP connections that are begun, likewise. A full set of dials, of which none is answered, is 50 in 15 seconds.
TCP_RATE, TCP_BURST = 20.0, 100
TCP_NETWORK_RATE, TCP_NETWORK_BURST = 0.5, 16
#: Networks remembered are between this many and twice as many.
MAX_NETWORKS = 8192


class OutgoingBudget:
    """A budget for each network, and one for all networks together."""

    __slots__ = ("_full_at", "_per_lan_network", "_per_network", "_total")

    def __init__(self, rate: float, burst: int, network_rate: float, network_burst: int) -> None:
        """
        @param rate: packets a second.
        @param burst: packets at once, at least 1.
        @param network_rate: packets a second to one network.
        @param network_burst: packets at once to one network, at least 1.
        """
        self._total = Allowance(rate, burst)
        self._full_at = float("-inf")
        self._per_network, self._per_lan_network = (
            SourceBudget(
                factor * network_rate,
                factor * network_burst,
                MAX_NETWORKS,
                bits_4=NETWORK_BITS_4,
                bits_6=NETWORK_BITS_6,
            )
            for factor in (1, LAN_FACTOR)
        )

    @classmethod
    def udp(cls) -> OutgoingBudget:
        """That of discovery."""
        return cls(UDP_RATE, UDP_BURST, UDP_NETWORK_RATE, UDP_NETWORK_BURST)

    @classmethod
    def tcp(cls) -> OutgoingBudget:
        """That of the dialer."""
        return cls(TCP_RATE, TCP_BURST, TCP_NETWORK_RATE, TCP_NETWORK_BURST)

    def take(self, ip: IPAddress, now: float, amount: int = 1) -> bool:
        """
        Count packets that are about to be sent; false, and they must not be, if there are too many.

        @param ip: where to, unwrapped.
        @param now: seconds of any monotonic clock.
        @param amount: how many packets, at most a burst.
        """
        if is_lan(ip):
            return self._per_lan_network.take(ip, now, amount)
        if not self._per_network.take(ip, now, amount):
            return False
        allowed, self._full_at = self._total.spend(self._full_at, now, amount)
        return allowed

    def __len__(self) -> int:
        """How many networks are remembered, some of them perhaps twice."""
        return len(self._per_network) + len(self._per_lan_network)
