"""
What the tests of the memory network share.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from devp2p_tx.testing import MemoryHost, MemoryNetwork


class Noting(Protocol):
    """Notes all that it is told."""

    def __init__(self) -> None:
        self.data = b""
        self.ends: list[type[BaseException] | None] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ends.append(reason.type)


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Noting):
    """Notes both halves' ends, too."""

    def __init__(self) -> None:
        super().__init__()
        self.halves: list[str] = []

    def readConnectionLost(self) -> None:
        self.halves.append("read")

    def writeConnectionLost(self) -> None:
        self.halves.append("write")


class Datagrams(DatagramProtocol):
    """Notes what it receives."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, tuple[str, int]]] = []

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.received.append((datagram, addr))


class Client(ClientFactory):
    """Builds one given protocol, and notes what becomes of the attempt."""

    noisy = False

    def __init__(self, made: Protocol | None) -> None:
        self.made = made
        self.failed: list[type[BaseException] | None] = []
        self.lost: list[type[BaseException] | None] = []

    def buildProtocol(self, addr: object) -> Protocol | None:
        return self.made

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self.failed.append(reason.type)

    def clientConnectionLost(self, connector: object, reason: Failure) -> None:
        self.lost.append(reason.type)


class Service(Factory):
    """Builds one given protocol after the other."""

    noisy = False

    def __init__(self, *made: Any) -> None:
        self.made = list(made)
        self.addresses: list[object] = []

    def buildProtocol(self, addr: object) -> Any:
        self.addresses.append(addr)
        return self.made.pop(0)


def joined(
    network: MemoryNetwork, one: Protocol | None = None, other: Protocol | None = None
) -> tuple[Any, Any, MemoryHost, MemoryHost]:
    """A client at 192.0.2.1 connected with a server at 192.0.2.2, port 30303, and their hosts."""
    alice, bob = network.host("192.0.2.1"), network.host("192.0.2.2")
    client, server = one or Noting(), other or Noting()
    port = bob.listenTCP(30303, Service(server))
    alice.connectTCP("192.0.2.2", 30303, Client(client))
    network.advance(4 * network.latency)
    port.stopListening()
    network.settle()
    return client, server, alice, bob
