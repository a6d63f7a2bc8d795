"""
The one UDP edge: the sockets that the discovery protocols of a node share, one in each address family.

Rules:

  - The time is taken once for a datagram. Then the limiter is asked, before anything is made of it; what that refuses
    costs little more than Twisted and the system need to read it.
  - A source is parsed once: an IPv4-mapped address is unwrapped. What no handler takes is counted by the limiter.
  - A datagram goes to the handlers in their order until one takes it. discv4 is the first: it knows at a glance what it
    cannot be, where discv5 has to decrypt. All of it happens in one call, so there is no queue that could be filled.
  - The socket is asked for one byte more than any datagram may have, since what is longer comes cut off.
  - An answer leaves by the socket that the question came to; anything else by that of its destination's family.
  - What goes wrong with one datagram is counted, and never ends the edge. A socket that breaks is opened anew, and the
    other one does not notice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import ENOTCONN
from functools import partial
from ipaddress import IPv4Address
from os import strerror
from socket import AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, SO_RCVBUF, SOL_SOCKET, inet_aton, inet_pton
from typing import Any, Protocol

from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError, InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port as UDPPort

from devp2p_tx.core.addressing.addresses import IPAddress, parse_address
from devp2p_tx.core.addressing.packetlimit import PacketRateLimiter, canonical
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import InvalidAddress
from devp2p_tx.net.listening.adopted import datagramSocket
from devp2p_tx.net.listening.families import familyName, separateFamilies
from devp2p_tx.net.log import Logger
from devp2p_tx.net.timing.lateness import LatenessProbe

#: The largest datagram of any discovery protocol (bytes).
MAX_SIZE = 1280
#: What is read in one turn of the reactor, so that a flood of datagrams leaves it time for others (bytes).
MAX_READ = 4 * 1024
#: What the system is asked to keep of datagrams that came and were not read (bytes); it may keep less.
RECEIVE_BUFFER = 1024 * 1024
#: From the end of a broken socket to the next attempt to open it (seconds).
REOPEN_INTERVAL = 1.0

_MAPPED = "::ffff:"
#: What a transport says of a datagram that it cannot send, mostly since its destination is none.
_UNSENDABLE = (OSError, OverflowError, ValueError, MessageLengthError, InvalidAddressError)

_log = Logger()


class DatagramHandler(Protocol):
    """A protocol that shares the sockets."""

    def datagramReceived(self, data: bytes, ip: IPAddress, port: int, now: float, unixTime: float) -> bool:
        """
        A datagram came.

        @param data: up to L{MAX_SIZE} bytes.
        @param ip: its source, unwrapped.
        @param now: when it came, in seconds of a monotonic clock.
        @param unixTime: likewise, in unix time with fractions.
        @return: whether it was taken; if not, the next handler has it.
        """


def _cannotSend(data: bytes, address: tuple[str, int]) -> None:
    """What a socket does that is not open."""
    raise OSError(ENOTCONN, strerror(ENOTCONN))


def _packed(text: str) -> bytes | None:
    """The address that a socket names as a source, as L{canonical} gives it; C{None} if it is none."""
    try:
        return inet_aton(text) if ":" not in text else canonical(inet_pton(AF_INET6, text.partition("%")[0]))
    except (OSError, ValueError):
        return None


class FamilySocket(DatagramProtocol):
    """
    The socket of one address family.

    @ivar interface: the address that it is bound to; empty for all of IPv4, C{::} for all of IPv6.
    @ivar number: its port.
    @ivar takesIPv4: whether it is one of IPv6 that takes IPv4 as well.
    @ivar clothes: what an IPv4 address begins with that goes through it: nothing, or C{::ffff:}.
    @ivar sendTo: sends a datagram to C{(host, port)}; raises why it cannot be sent.
    """

    noisy = False

    def __init__(self, edge: DatagramEdge, reactor: Any, metrics: Metrics, interface: str) -> None:
        self.interface, self.number = interface, 0
        self.sendTo: Callable[[bytes, tuple[str, int]], Any] = _cannotSend
        self.takesIPv4, self.clothes = False, ""
        self.family = familyName(6 if isIPv6Address(interface) else 4)
        self._edge = edge
        self._reactor = reactor
        self._metrics = metrics
        self._countRefused = metrics.counter("udp_dropped", reason="over budget")
        self._adopted: int | None = None
        self._port: Any = None
        self._closed = False
        self._reopening: IDelayedCall | None = None

    def open(self, port: int) -> None:
        """
        Open it.

        @param port: 0 for one that is free.
        @raise CannotListenError: the port is taken, or the address not ours.
        """
        self._open(partial(self._reactor.listenUDP, port, self, interface=self.interface))

    def adopt(self, descriptor: int) -> None:
        """
        Use a socket that was opened for us, such as by systemd.

        @param descriptor: its file descriptor. A duplicate of it is used from now on, so its owner may close it.
        @raise InvalidAddress: that is no UDP socket.
        """
        datagramSocket(descriptor)
        self._adopted = os.dup(descriptor)
        os.set_blocking(self._adopted, False)
        try:
            self._openAdopted()
        except BaseException:
            self._forgetAdopted()
            raise

    def _openAdopted(self) -> None:
        assert self._adopted is not None
        family, _ = datagramSocket(self._adopted)
        # the reactor takes a duplicate of its own, so that ours can be opened again
        self._open(partial(self._reactor.adoptDatagramPort, self._adopted, family, self))

    def _forgetAdopted(self) -> None:
        descriptor, self._adopted = self._adopted, None
        if descriptor is not None:
            os.close(descriptor)

    def _open(self, listen: Callable[..., Any]) -> None:
        self._port = listen(maxPacketSize=MAX_SIZE + 1)
        self.number = self._port.getHost().port

    def close(self) -> Deferred[Any]:
        """Close it; fires when it is closed."""
        self._closed = True
        if self._reopening is not None and self._reopening.active():
            self._reopening.cancel()
        port, self._port = self._port, None
        self.sendTo = _cannotSend
        self._forgetAdopted()
        return maybeDeferred(lambda: None if port is None else port.stopListening())

    @property
    def isOpen(self) -> bool:
        """Whether it is open."""
        return self.sendTo is not _cannotSend

    def startProtocol(self) -> None:
        """See C{AbstractDatagramProtocol}."""
        transport: Any = self.transport
        self.sendTo = transport.write
        if isinstance(transport, UDPPort):
            transport.maxThroughput = MAX_READ
            transport.socket.setsockopt(SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER)
            self.sendTo = transport.socket.sendto  # what the transport looks at before costs as much as sending does
            if transport.addressFamily == AF_INET6 and not transport.socket.getsockopt(IPPROTO_IPV6, IPV6_V6ONLY):
                self.takesIPv4, self.clothes = True, _MAPPED

    def stopProtocol(self) -> None:
        """See C{AbstractDatagramProtocol}; a socket that ends by itself is opened anew."""
        self._port = None
        self.sendTo = _cannotSend
        if not self._closed:
            self._metrics.count("udp_reopened", family=self.family)
            _log.warn("{family} UDP port {port} broke, and is opened again", family=self.family, port=self.number)
            self._reopenLater()

    def _reopenLater(self) -> None:
        self._reopening = self._reactor.callLater(REOPEN_INTERVAL, self._reopen)

    def _reopen(self) -> None:
        try:
            if self._adopted is None:
                self.open(self.number)
            else:
                self._openAdopted()
        except (CannotListenError, InvalidAddress) as error:
            _log.warn(
                "{family} UDP port {port} cannot be opened again: {error}",
                family=self.family,
                port=self.number,
                error=error,
            )
            self._reopenLater()

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """See C{DatagramProtocol}."""
        self._metrics.udp.received += len(datagram)
        text, port = addr
        edge = self._edge
        now = edge.seconds()
        packed = _packed(text)
        if packed is None:
            self._metrics.count("udp_dropped", reason="bad source")
        elif edge.limiter.refuses(packed, now):
            self._countRefused()
        elif len(datagram) > MAX_SIZE:
            self._metrics.count("udp_dropped", reason="oversized")
        else:
            self._deliver(datagram, text, port, now)

    def _deliver(self, datagram: bytes, text: str, port: int, now: float) -> None:
        """Offer a datagram to the handlers."""
        edge = self._edge
        edge.probe.look(now)
        ip = parse_address(text)
        edge.source = ip, text, self
        unixTime = edge.unixTime()
        for handler in edge.handlers:
            if handler.datagramReceived(datagram, ip, port, now, unixTime):
                return
        edge.limiter.take(ip, now)
        self._metrics.count("udp_dropped", reason="refused")


class DatagramEdge:
    """
    The UDP sockets.

    @ivar handlers: who is given the datagrams, in this order.
    @ivar sockets: the sockets, by their address family, 4 or 6.
    @ivar source: of the datagram that came last: its address, that as text, and the socket that it came to.
    @ivar seconds: a monotonic clock.
    @ivar unixTime: unix time with fractions.
    @ivar limiter: says for which datagrams nothing is done.
    @ivar probe: looks how late the reactor is, while datagrams come.
    """

    def __init__(
        self,
        reactor: Any,
        seconds: Callable[[], float],
        unixTime: Callable[[], float],
        metrics: Metrics | None = None,
        limiter: PacketRateLimiter | None = None,
    ) -> None:
        """
        @param reactor: what listens (C{IReactorUDP}, C{IReactorTime}).
        @param seconds: a monotonic clock.
        @param unixTime: unix time with fractions.
        @param metrics: where datagrams are counted that were not dealt with.
        @param limiter: how many packets nodes may send us; its handlers count them, too.
        """
        self.handlers: list[DatagramHandler] = []
        self.sockets: dict[int, FamilySocket] = {}
        self._reactor = separateFamilies(reactor)
        self.seconds, self.unixTime = seconds, unixTime
        self._metrics = metrics or Metrics()
        self.limiter = limiter or PacketRateLimiter()
        self.probe = LatenessProbe(reactor, seconds, self.limiter.lateness)
        self._closed = FamilySocket(self, self._reactor, self._metrics, "")
        self._of4 = self._of6 = self._closed
        self.source: tuple[IPAddress | None, str, FamilySocket] = (None, "", self._closed)

    def listen(self, port: int, interface: str = "") -> None:
        """
        Open the socket of one address family, once for each.

        @param port: 0 for one that is free.
        @param interface: an address of ours; empty for all of IPv4, C{::} for all of IPv6.
        @raise CannotListenError: the port is taken, or the address not ours.
        """
        opened = FamilySocket(self, self._reactor, self._metrics, interface)
        opened.open(port)
        self._add(opened)

    def adopt(self, descriptor: int) -> None:
        """
        Use a socket that was opened for us, such as by systemd. One on C{::} that takes IPv4 as well, as systemd's do,
        serves both families.

        @param descriptor: its file descriptor. A duplicate of it is used from now on, so its owner may close it.
        @raise InvalidAddress: that is no UDP socket.
        """
        _, interface = datagramSocket(descriptor)
        opened = FamilySocket(self, self._reactor, self._metrics, interface)
        opened.adopt(descriptor)
        self._add(opened)

    def _add(self, opened: FamilySocket) -> None:
        self.sockets[6 if isIPv6Address(opened.interface) else 4] = opened
        self._of6 = self.sockets.get(6, self._closed)
        self._of4 = self.sockets.get(4, self._of6 if self._of6.takesIPv4 else self._closed)

    @property
    def isListening(self) -> bool:
        """Whether the sockets are open, all of them."""
        return bool(self.sockets) and all(each.isOpen for each in self.sockets.values())

    def socketOf(self, version: int) -> FamilySocket | None:
        """The socket that serves an address family, 4 or 6, if there is one."""
        found = self._of4 if version == 4 else self._of6
        return None if found is self._closed else found

    @property
    def versions(self) -> tuple[int, ...]:
        """The address families that have a socket."""
        return tuple(version for version in (4, 6) if self.socketOf(version))

    @property
    def port(self) -> int:
        """The number of the port, that of IPv4 if there are two; 0 before L{listen} and L{adopt}."""
        return next((each.number for version in self.versions if (each := self.socketOf(version))), 0)

    @property
    def interface(self) -> str:
        """What the socket of L{port} is bound to."""
        return next((each.interface for version in self.versions if (each := self.socketOf(version))), "")

    def close(self) -> Deferred[Any]:
        """Close the sockets; fires when they are closed."""
        self.probe.stop()
        return DeferredList([each.close() for each in self.sockets.values()])

    def send(self, data: bytes, ip: IPAddress, port: int) -> None:
        """
        Send a datagram, if it can be sent.

        @param data: up to L{MAX_SIZE} bytes.
        @param ip: where to, unwrapped.
        """
        known, text, sender = self.source
        if ip is not known:
            text, sender = str(ip), self._of6
            if isinstance(ip, IPv4Address):
                sender = self._of4
                text = sender.clothes + text
        try:
            sender.sendTo(data, (text, port))
        except _UNSENDABLE:
            self._metrics.count("udp_unsent")
        else:
            self._metrics.udp.sent += len(data)
