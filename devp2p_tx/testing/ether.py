"""
Datagrams between simulated nodes, which are lost or late as on the internet, and cost as little as can be: there is a
L{devp2p_tx.testing.MemoryNetwork} for everything else that a socket does.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.testing._clock import VirtualClock


class Ether:
    """
    What joins the nodes.

    @ivar clock: the time of all nodes.
    @ivar latency: how long a datagram takes, one way (seconds).
    @ivar loss: the probability that it is lost.
    @ivar sockets: by address, of which each has one.
    """

    def __init__(
        self, clock: VirtualClock, random: Random, unixTime: Callable[[], float], latency: float, loss: float
    ) -> None:
        """
        @param random: decides what is lost.
        @param unixTime: unix time with fractions.
        """
        self.clock, self.unixTime = clock, unixTime
        self.latency, self.loss = latency, loss
        self.sockets: dict[IPAddress, EtherSocket] = {}
        self._random = random.random

    def carry(self, data: bytes, ip: IPAddress, source: EtherSocket) -> None:
        """Send a datagram on its way."""
        if self._random() >= self.loss:
            self.clock.post(self.latency, self._deliver, data, ip, source)

    def _deliver(self, data: bytes, ip: IPAddress, source: EtherSocket) -> None:
        to = self.sockets.get(ip)
        if to is not None:
            now, unixTime = self.clock.rightNow, self.unixTime()
            for handler in to.handlers:
                handler.datagramReceived(data, source.ip, source.port, now, unixTime)


class EtherSocket:
    """
    The one socket of a node, as L{DatagramEdge<devp2p_tx.net.discovery.udp.DatagramEdge>} to those who speak through
    it.

    @ivar handlers: who is given the datagrams; all of them.
    """

    def __init__(self, ether: Ether, ip: IPAddress, port: int) -> None:
        """
        @param port: where datagrams are said to come from.
        """
        self.handlers: list[Any] = []
        self.ip, self.port = ip, port
        self._ether = ether
        ether.sockets[ip] = self

    def send(self, data: bytes, ip: IPAddress, port: int) -> None:
        """Send a datagram to the node at an address, whatever its port."""
        self._ether.carry(data, ip, self)

    def close(self) -> None:
        """Take part no more."""
        del self._ether.sockets[self.ip]
