"""
Who may connect: what is asked of an inbound connection before any byte of its own is read, but behind a proxy's header.

The order is: the lists of the user, the rate limits, and only then a slot, so that a connection that is refused cannot
be made again at once. Where there is no slot left, the newcomer gets that of another connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from typing import Any, cast

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.connectionlimit import ConnectionRateLimiter
from devp2p_tx.core.addressing.handshakeslots import HandshakeSlots
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.enr.node import Node
from devp2p_tx.net.log import Logger
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.net.timing.lateness import LatenessProbe
from devp2p_tx.node.peer import addressIP, addressText

#: How many connections that have sent nothing yet may be there, beside the others: more than come in one turn of the
#: reactor, so that what a peer sends at once is read before its connection has to give way.
MAX_SILENT = 256
#: How many connections from addresses of trusted nodes may be on their way through the handshakes, beside the others.
MAX_TRUSTED_PENDING = 64

_log = Logger()


class InboundRefusal(Enum):
    """Why an inbound connection is closed without a word."""

    NETRESTRICT = "not in netrestrict list"
    NETDENY = "in netdeny list"
    THROTTLED = "too many attempts"
    OVER_BUDGET = "too many connections from everywhere, or from its network"
    GAVE_WAY = "gave way to a newer connection, having made no progress for the longest time"
    PROXY_HEADER = "no PROXY header"
    STOPPED = "server stopped"


class TrustedAddresses:
    """Where trusted nodes are: at the addresses that the user gave, and where each proved its identity last."""

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self._given: dict[bytes, set[IPAddress]] = {}
        self._proved: dict[bytes, IPAddress] = {}
        for node in nodes:
            self.trust(node)

    def trust(self, node: Node) -> None:
        """Trust a node, also at this address of it."""
        known = self._given.setdefault(node.node_id, set())
        known.update(ip for ip, _ in node.tcp_addresses())

    def distrust(self, nodeId: bytes) -> None:
        """Trust a node no longer."""
        self._given.pop(nodeId, None)
        self._proved.pop(nodeId, None)

    def proved(self, nodeId: bytes, ip: IPAddress) -> None:
        """A node has proved its identity, at that address; it counts if the node is trusted."""
        if nodeId in self._given:
            self._proved[nodeId] = ip

    def __contains__(self, ip: object) -> bool:
        """Whether a trusted node is at an address."""
        return ip in self._proved.values() or any(ip in known for known in self._given.values())


class NodeProtocol(RLPxProtocol):
    """
    A connection of a node.

    @ivar heard: is called with it when the peer's first bytes come, before they are read.
    """

    heard: Callable[[NodeProtocol], object] | None = None

    def dataReceived(self, data: bytes) -> None:
        """See C{IProtocol}."""
        if (heard := self.heard) is not None:
            self.heard = None
            heard(self)
        super().dataReceived(data)


class InboundFactory(Factory):
    """
    Lets connections in, within the bounds.

    @ivar limiter: how many connections strangers may make.
    """

    noisy = False

    def __init__(
        self,
        accepted: Callable[[], NodeProtocol],
        refused: Callable[[InboundRefusal], None],
        seconds: Callable[[], float],
        maxPending: int,
        policy: AddressPolicy,
        trusted: TrustedAddresses | None = None,
        reactor: Any = None,
    ) -> None:
        """
        @param accepted: makes the protocol, and has L{settled} called when its handshakes are over.
        @param refused: is told why a connection was closed.
        @param maxPending: how many connections may be on their way through the handshakes, but for those that have
            sent nothing yet, up to L{MAX_SILENT} more, and those from addresses of trusted nodes, up to
            L{MAX_TRUSTED_PENDING} more.
        @param policy: whose lists hold for all who connect.
        @param trusted: from where neither rate limits nor C{maxPending} hold.
        @param reactor: what tells how late it is; without it, it is never late.
        """
        self.limiter = ConnectionRateLimiter()
        self._accepted, self._refused = accepted, refused
        self._seconds = seconds
        self._silent: HandshakeSlots[NodeProtocol] = HandshakeSlots(MAX_SILENT)
        self._slots: HandshakeSlots[NodeProtocol] = HandshakeSlots(maxPending)
        self._trustedSlots: HandshakeSlots[NodeProtocol] = HandshakeSlots(MAX_TRUSTED_PENDING, share=1.0)
        self._policy = policy
        self._trusted = trusted or TrustedAddresses()
        self._probe = None if reactor is None else LatenessProbe(reactor, seconds, self.limiter.lateness)
        self._closed = False

    @property
    def pending(self) -> int:
        """How many connections are on their way through the handshakes, or have not begun to be."""
        return len(self._silent) + len(self._slots) + len(self._trustedSlots)

    def buildProtocol(self, addr: IAddress | None) -> NodeProtocol | None:
        """See C{IProtocolFactory}; C{None} closes the connection."""
        ip, now = None if addr is None else addressIP(addr), self._seconds()
        if (refusal := self._check(ip, now)) is not None:
            _log.debug("refused {address}: {why}", address=addressText(addr) if addr else "?", why=refusal.value)
            self._refused(refusal)
            return None
        protocol = self._accepted()
        if ip in self._trusted:
            self._enter(self._trustedSlots, ip, protocol)
        else:
            protocol.heard = partial(self._heard, ip)
            self._enter(self._silent, ip, protocol)
        return protocol

    def _heard(self, ip: IPAddress | None, protocol: NodeProtocol) -> None:
        """A connection has sent something: its handshake begins."""
        if protocol in self._silent:
            self._silent.leave(protocol)
            self._enter(self._slots, ip, protocol)

    def _enter(self, slots: HandshakeSlots[NodeProtocol], ip: IPAddress | None, protocol: NodeProtocol) -> None:
        if (other := slots.enter(protocol, ip, self._seconds())) is not None:
            self._refused(InboundRefusal.GAVE_WAY)
            other.abort()

    def progressed(self, protocol: RLPxProtocol) -> None:
        """A connection has come to the end of its first handshake; one that we dialed has no slot."""
        for slots in (self._slots, self._trustedSlots):
            slots.progressed(cast(NodeProtocol, protocol), self._seconds())

    def settled(self, protocol: NodeProtocol) -> None:
        """A connection that was pending is a peer now, or gone."""
        for slots in (self._silent, self._slots, self._trustedSlots):
            slots.leave(protocol)

    def proved(self, nodeId: bytes, ip: IPAddress) -> None:
        """A node that connected from an address has proved its identity, and became a peer."""
        self.limiter.note_known(ip, self._seconds())
        self._trusted.proved(nodeId, ip)

    def headless(self) -> None:
        """A proxy's connection was closed since it did not say whose it was, or since too many did not."""
        self._refused(InboundRefusal.PROXY_HEADER)

    def close(self) -> None:
        """Let nobody in any more, though a port that is being closed may still bring some."""
        self._closed = True
        if self._probe is not None:
            self._probe.stop()

    def _check(self, ip: IPAddress | None, now: float) -> InboundRefusal | None:
        if self._closed:
            return InboundRefusal.STOPPED
        if ip is None:  # a UNIX socket, say: whoever may connect there, may
            return None
        if (fault := self._policy.listed_fault(ip)) is not None:
            return InboundRefusal[fault.name]
        if ip in self._trusted:
            return None
        if self._probe is not None:
            self._probe.look(now)
        refusal = self.limiter.admit(ip, now)
        return None if refusal is None else InboundRefusal[refusal.name]
