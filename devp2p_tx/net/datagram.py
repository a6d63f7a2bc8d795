"""
The one UDP edge: the socket that the discovery protocols of a node share.

Rules:

  - The time is taken once for a datagram, and its source parsed once: an IPv4 address in IPv6 clothes is unwrapped.
  - A datagram goes to the handlers in their order until one takes it. discv4 is the first: it knows at a glance what it
    cannot be, where discv5 has to decrypt. All of it happens in one call, so there is no queue that could be filled.
  - The socket is asked for one byte more than any datagram may have, since what is longer comes cut off.
  - What goes wrong with one datagram is counted, and never ends the edge. A socket that breaks is opened anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address
from socket import socket as Socket
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError, InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port as UDPPort
from twisted.logger import Logger

from devp2p_tx.core.addresses import IPAddress, parse_address
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import InvalidAddress
from devp2p_tx.net.adopted import datagramSocket

#: The largest datagram of any discovery protocol (bytes).
MAX_SIZE = 1280
#: What is read in one turn of the reactor, so that a flood of datagrams leaves it time for others (bytes).
MAX_READ = 4 * 1024
#: From the end of a broken socket to the next attempt to open it (seconds).
REOPEN_INTERVAL = 1.0

_MAPPED = "::ffff:"
#: What a transport says of a datagram that it cannot send, mostly since its destination is none.
_UNSENDABLE = (OSError, OverflowError, ValueError, MessageLengthError, InvalidAddressError)

_log = Logger()


class DatagramHandler(Protocol):
    """A protocol that shares the socket."""

    def datagramReceived(self, data: bytes, ip: IPAddress, port: int, now: float, unixTime: float) -> bool:
        """
        A datagram came.

        @param data: up to L{MAX_SIZE} bytes.
        @param ip: its source, unwrapped.
        @param now: when it came, in seconds of a monotonic clock.
        @param unixTime: likewise, in unix time with fractions.
        @return: whether it was taken; if not, the next handler has it.
        """


class DatagramEdge(DatagramProtocol):
    """
    A UDP socket.

    @ivar handlers: who is given the datagrams, in this order.
    """

    noisy = False

    def __init__(
        self, reactor: Any, seconds: Callable[[], float], unixTime: Callable[[], float], metrics: Metrics | None = None
    ) -> None:
        """
        @param reactor: what listens (C{IReactorUDP}, C{IReactorTime}).
        @param seconds: a monotonic clock.
        @param unixTime: unix time with fractions.
        @param metrics: where datagrams are counted that were not dealt with.
        """
        self.handlers: list[DatagramHandler] = []
        self._reactor = reactor
        self._seconds, self._unixTime = seconds, unixTime
        self._metrics = metrics or Metrics()
        self._interface, self._number = "", 0
        self._adopted: int | None = None
        self._port: Any = None
        self._socket: Socket | None = None
        self._prefix = ""
        self._source: tuple[IPAddress | None, str] = (None, "")
        self._closed = False
        self._reopening: IDelayedCall | None = None

    def listen(self, port: int, interface: str = "") -> None:
        """
        Open the socket.

        @param port: 0 for one that is free.
        @param interface: an address of ours; empty for all of IPv4, C{::} for all of both families.
        @raise CannotListenError: the port is taken, or the address not ours.
        """
        self._open(interface, partial(self._reactor.listenUDP, port, self, interface=interface))

    def adopt(self, descriptor: int) -> None:
        """
        Take over a socket that was opened for us, such as by systemd; it is ours from now on.

        @param descriptor: its file descriptor.
        @raise InvalidAddress: that is no UDP socket.
        """
        family, interface = datagramSocket(descriptor)
        os.set_blocking(descriptor, False)
        self._adopted = descriptor  # the reactor takes a copy, so that this one can be opened anew
        self._open(interface, partial(self._reactor.adoptDatagramPort, descriptor, family, self))

    def _open(self, interface: str, listen: Callable[..., Any]) -> None:
        self._interface = interface
        self._port = listen(maxPacketSize=MAX_SIZE + 1)
        self._number = self._port.getHost().port

    @property
    def isListening(self) -> bool:
        """Whether the socket is open."""
        return self._port is not None

    @property
    def port(self) -> int:
        """The number of the port; 0 before L{listen} and L{adopt}."""
        return self._number

    @property
    def interface(self) -> str:
        """As it was given to L{listen}, or the address of the socket that L{adopt} took over."""
        return self._interface

    def close(self) -> Deferred[None]:
        """Close the socket; fires when it is closed."""
        self._closed = True
        if self._reopening is not None and self._reopening.active():
            self._reopening.cancel()
        port, self._port = self._port, None
        self._socket = None
        descriptor, self._adopted = self._adopted, None
        if descriptor is not None:
            os.close(descriptor)
        return succeed(None) if port is None else maybeDeferred(port.stopListening)

    # What the transport says.

    def startProtocol(self) -> None:
        """See C{AbstractDatagramProtocol}."""
        transport: Any = self.transport
        self._prefix = _MAPPED if ":" in self._interface else ""
        if isinstance(transport, UDPPort):
            transport.maxThroughput = MAX_READ
            self._socket = transport.socket

    def stopProtocol(self) -> None:
        """See C{AbstractDatagramProtocol}; a socket that ends by itself is opened anew."""
        self._port = self._socket = None
        if not self._closed:
            self._metrics.count("udp_reopened")
            _log.warn("UDP port {port} broke, and is opened again", port=self._number)
            self._reopenLater()

    def _reopenLater(self) -> None:
        self._reopening = self._reactor.callLater(REOPEN_INTERVAL, self._reopen)

    def _reopen(self) -> None:
        try:
            if self._adopted is None:
                self.listen(self._number, self._interface)
            else:
                self.adopt(self._adopted)
        except (CannotListenError, InvalidAddress) as error:
            _log.warn("UDP port {port} cannot be opened again: {error}", port=self._number, error=error)
            self._reopenLater()

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """See C{DatagramProtocol}."""
        if len(datagram) > MAX_SIZE:
            self._metrics.count("udp_dropped", reason="oversized")
            return
        text, port = addr
        try:
            ip = parse_address(text)
        except InvalidAddress:
            self._metrics.count("udp_dropped", reason="bad source")
            return
        self._source = ip, text
        now, unixTime = self._seconds(), self._unixTime()
        for handler in self.handlers:
            if handler.datagramReceived(datagram, ip, port, now, unixTime):
                return
        self._metrics.count("udp_dropped", reason="refused")

    # What handlers do.

    def send(self, data: bytes, ip: IPAddress, port: int) -> None:
        """
        Send a datagram, if it can be sent.

        @param data: up to L{MAX_SIZE} bytes.
        @param ip: where to, unwrapped.
        """
        known, text = self._source
        address = (text if ip is known else self._addressText(ip)), port
        try:
            if self._socket is not None:
                self._socket.sendto(data, address)  # what the transport looks at before costs as much as sending does
            elif self._port is not None:
                self._port.write(data, address)
        except _UNSENDABLE:
            self._metrics.count("udp_unsent")

    def _addressText(self, ip: IPAddress) -> str:
        return self._prefix + str(ip) if isinstance(ip, IPv4Address) else str(ip)
