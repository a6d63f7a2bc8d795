"""
UDP in memory: what L{devp2p_tx.testing.MemoryNetwork} carries datagrams with.
"""

from __future__ import annotations

from errno import EINVAL
from os import strerror
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import IListeningPort, IUDPTransport
from twisted.internet.protocol import AbstractDatagramProtocol
from zope.interface import implementer

from devp2p_tx.net.log import Logger
from devp2p_tx.testing._hosts import Host, later
from devp2p_tx.testing._tcp import ANY_IPV4, makeAddress, mapped

#: The most that a datagram can have: 65,535 less the headers of IPv4 and UDP (bytes).
MAX_DATAGRAM = 65507

_log = Logger()


@implementer(IListeningPort, IUDPTransport)
class DatagramPort:
    """A UDP port, which treats what it is given as C{twisted.internet.udp.Port} does."""

    def __init__(
        self, host: Host, port: int, protocol: AbstractDatagramProtocol, interface: str, maxPacketSize: int
    ) -> None:
        self.reactor = host
        self.interface = interface
        self.port = port
        self.maxPacketSize = maxPacketSize
        self.connected = False
        self._protocol = protocol
        self._connectedTo: tuple[str, int] | None = None
        self._broadcast = False
        self._reading = True

    def startListening(self) -> None:
        """See C{IListeningPort}."""
        self.port = self.reactor.bind("UDP", self.interface, self.port, self)
        self.connected = True
        self._protocol.makeConnection(self)

    def stopListening(self) -> Any:
        """See C{IListeningPort}."""
        self._reading = False
        return later(self.reactor, 0, self._stopped) if self.connected else None

    loseConnection = stopListening

    def _stopped(self) -> None:
        if self.connected:
            self.connected = False
            self.reactor.unbind("UDP", self.port, self)
            self._protocol.doStop()

    def pauseProducing(self) -> None:
        """Read nothing: what comes meanwhile is lost."""
        self._reading = False

    def resumeProducing(self) -> None:
        """Read again."""
        self._reading = self.connected

    def write(self, packet: bytes, addr: tuple[str, int] | None = None) -> None:
        """See C{IUDPTransport}."""
        if not isinstance(packet, (bytes, bytearray, memoryview)):
            raise TypeError(f"a bytes-like object is required, not {type(packet).__name__!r}")
        address, port = self._destination(addr)
        if len(packet) > MAX_DATAGRAM:
            raise MessageLengthError("message too long")
        if self.connected:
            self.reactor.network.carry(self, bytes(packet), address, port)

    def _destination(self, addr: tuple[str, int] | None) -> tuple[str, int]:
        if self._connectedTo is not None:
            assert addr in (None, self._connectedTo)
            return self._connectedTo
        assert addr is not None
        address, port = addr
        version = self.reactor.network.version(address)
        if not version:
            raise InvalidAddressError(address, "write() only accepts IP addresses, not hostnames")
        if version != (6 if ":" in self.interface else 4):
            raise InvalidAddressError(address, f"an IPv{version} address for a port of the other family")
        if not 0 <= port < 1 << 16:
            raise OverflowError("port must be 0-65535.")
        if port == 0:
            raise OSError(EINVAL, strerror(EINVAL))
        return address, port

    def writeSequence(self, seq: Any, addr: tuple[str, int]) -> None:
        """All as one datagram."""
        self.write(b"".join(seq), addr)

    def datagramReceived(self, datagram: bytes, address: str, port: int) -> None:
        """One came; what is over C{maxPacketSize} is cut off, as a socket does."""
        if self._reading and self._connectedTo in (None, (address, port)):
            try:
                self._protocol.datagramReceived(datagram[: self.maxPacketSize], (mapped(self.interface, address), port))
            except Exception:
                _log.failure("Unhandled Error")

    def connect(self, host: str, port: int) -> None:
        """See C{IUDPTransport}."""
        if self._connectedTo is not None:
            raise RuntimeError("already connected, reconnecting is not currently supported")
        if not self.reactor.network.version(host):
            raise InvalidAddressError(host, "not an IPv4 or IPv6 address.")
        self._connectedTo = (host, port)

    def getHost(self) -> IPv4Address | IPv6Address:
        """See C{IUDPTransport}."""
        return makeAddress("UDP", self.interface or ANY_IPV4, self.port)

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """See C{IUDPTransport}; it changes nothing."""
        self._broadcast = bool(enabled)

    def getBroadcastAllowed(self) -> bool:
        """See C{IUDPTransport}."""
        return self._broadcast

    def __repr__(self) -> str:
        return f"<UDP port {self.port} of {self.reactor}>"
