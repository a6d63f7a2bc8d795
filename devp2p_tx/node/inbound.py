"""
Who may connect: what is asked of an inbound connection before any byte of its own is read, but behind a proxy's header.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from devp2p_tx.core.addressing.addresses import IPAddress, is_lan
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.node.peer import addressIP, addressText

#: An address that connected may not connect again for so long (seconds); LAN addresses may.
THROTTLE = 30.0
#: How many addresses the throttle remembers; the oldest are forgotten first.
MAX_REMEMBERED = 65536

_log = Logger()


class InboundRefusal(Enum):
    """Why an inbound connection is closed without a word."""

    NETRESTRICT = "not in netrestrict list"
    NETDENY = "in netdeny list"
    THROTTLED = "too many attempts"
    PENDING = "too many pending connections"
    PROXY_HEADER = "no PROXY header"
    STOPPED = "server stopped"


class InboundThrottle:
    """Remembers who connected lately."""

    def __init__(self) -> None:
        self._expiries: OrderedDict[IPAddress, float] = OrderedDict()

    def admit(self, ip: IPAddress, now: float) -> bool:
        """Whether C{ip} may connect; only if so is it remembered, so that trying does not prolong the wait."""
        while self._expiries and next(iter(self._expiries.values())) <= now:
            self._expiries.popitem(last=False)
        if is_lan(ip):
            return True
        if ip in self._expiries:
            return False
        if len(self._expiries) >= MAX_REMEMBERED:
            self._expiries.popitem(last=False)
        self._expiries[ip] = now + THROTTLE
        return True


class InboundFactory(Factory):
    """
    Lets connections in, within the bounds.

    @ivar pending: how many are on their way through the handshakes.
    """

    noisy = False

    def __init__(
        self,
        accepted: Callable[[], RLPxProtocol],
        refused: Callable[[InboundRefusal], None],
        seconds: Callable[[], float],
        maxPending: int,
        policy: AddressPolicy,
    ) -> None:
        """
        @param accepted: makes the protocol, and has L{settled} called when its handshakes are over.
        @param refused: is told why a connection was closed.
        @param policy: whose lists hold for those who connect.
        """
        self.pending = 0
        self._accepted, self._refused = accepted, refused
        self._seconds = seconds
        self._maxPending = maxPending
        self._policy = policy
        self._throttle = InboundThrottle()
        self._closed = False

    def buildProtocol(self, addr: IAddress | None) -> RLPxProtocol | None:
        """See C{IProtocolFactory}; C{None} closes the connection."""
        refusal = self._check(addr)
        if refusal is not None:
            _log.debug("refused {address}: {why}", address=addressText(addr) if addr else "?", why=refusal.value)
            self._refused(refusal)
            return None
        self.pending += 1
        return self._accepted()

    def settled(self) -> None:
        """A connection that was pending is a peer now, or gone."""
        self.pending -= 1

    def headless(self) -> None:
        """A proxy's connection was closed since it did not say whose it was, or since too many did not."""
        self._refused(InboundRefusal.PROXY_HEADER)

    def close(self) -> None:
        """Let nobody in any more, though a port that is being closed may still bring some."""
        self._closed = True

    def _check(self, addr: IAddress | None) -> InboundRefusal | None:
        ip = None if addr is None else addressIP(addr)
        if self._closed:
            return InboundRefusal.STOPPED
        if self.pending >= self._maxPending:
            return InboundRefusal.PENDING
        if ip is None:  # a UNIX socket, say: whoever may connect there, may
            return None
        if (fault := self._policy.listed_fault(ip)) is not None:
            return InboundRefusal[fault.name]
        if not self._throttle.admit(ip, self._seconds()):
            return InboundRefusal.THROTTLED
        return None
