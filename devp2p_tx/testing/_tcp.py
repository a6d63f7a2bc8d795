"""
TCP in memory: what L{devp2p_tx.testing.MemoryNetwork} connects with.

A connection is Twisted's own C{FileDescriptor}, so that buffers, producers and closing are what they are on a socket.
The socket's place is taken by a L{_Pipe} for each direction, which holds what a kernel would hold.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.base import BaseConnector
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectBindError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    NoRouteError,
    UserError,
)
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from devp2p_tx.net.log import Logger
from devp2p_tx.testing._hosts import Host, Network, later

#: What one direction of a connection holds of bytes that were written and not yet read (bytes); a common default.
WINDOW = 64 * 1024

#: What a socket is bound to that takes calls to any address of its host.
ANY_IPV4 = "0.0.0.0"  # noqa: S104 (nothing of this leaves the process)
ANY_IPV6 = "::"
WILD = ("", ANY_IPV4, ANY_IPV6)

_log = Logger()
_FIN, _RST = b"FIN", b"RST"  # compared by identity


class _Pipe:
    """
    One direction: what the writer's kernel took, and the reader has not yet read.

    @ivar arrived: what can be read.
    @ivar ended: the writer has shut its side, and nothing follows what C{arrived}.
    @ivar writer: C{None} once it has closed.
    @ivar reader: C{None} once it has closed.
    @ivar isSevered: whether nothing arrives any more.
    """

    def __init__(self, network: Network, writer: Connection, reader: Connection) -> None:
        self.arrived = bytearray()
        self.ended = False
        self.writer: Connection | None = writer
        self.reader: Connection | None = reader
        self._path = (writer.reactor, reader.reactor)
        self._network = network
        self._transit: deque[bytes] = deque()
        self._inTransit = 0
        self._held = 0
        self.isSevered = False

    @property
    def room(self) -> int:
        """How many bytes it takes now."""
        return max(0, WINDOW - self._inTransit - len(self.arrived))

    def put(self, data: bytes) -> None:
        """Send bytes, or one of the two marks."""
        self._transit.append(data)
        if data is not _FIN and data is not _RST:
            self._inTransit += len(data)
        if self._network.latency:
            self._network.clock.callLater(self._network.latency, self._arrive)
        else:
            self._arrive()

    def _arrive(self) -> None:
        if self.isSevered:
            return
        if self._network.isCut(*self._path):
            self._held += 1
            return
        data, reader = self._transit.popleft(), self.reader
        if data is _RST:
            if reader is not None:
                reader.reset()
            return
        if data is not _FIN:
            self._inTransit -= len(data)
        if reader is None:
            if data is not _FIN and self.writer is not None:
                self.writer.refuse()
        else:
            if data is _FIN:
                self.ended = True
            else:
                self.arrived += data
            reader.touch()

    def release(self) -> None:
        """Deliver what was held while the way was cut."""
        held, self._held = self._held, 0
        for _ in range(held):
            self._arrive()

    def take(self, most: int) -> bytes:
        """Read."""
        data = bytes(self.arrived[:most])
        del self.arrived[:most]
        if self.writer is not None:
            self.writer.touch()
        return data


@implementer(ITCPTransport)
class Connection(FileDescriptor):
    """
    One end of a connection.

    @ivar reactor: the host at this end.
    @ivar broken: the peer has reset the connection.
    """

    reactor: Host  # type: ignore[assignment]
    protocol: IProtocol | None = None
    broken = False
    _reading = False
    _writing = False
    _aborting = False

    def __init__(self, host: Host) -> None:
        super().__init__(host)  # type: ignore[arg-type]
        self._noDelay = self._keepAlive = False

    def open(self, local: Any, remote: Any, incoming: _Pipe, outgoing: _Pipe) -> None:
        """The connection is there, though its protocol may not know."""
        self._local, self._remote = local, remote
        self._in, self._out = incoming, outgoing
        self.connected = 1
        self.reactor.network.connections[self] = None

    # What the host tells.

    def watch(self, reading: bool | None = None, writing: bool | None = None) -> None:
        """Begin or cease to wait, as C{IReactorFDSet} is asked."""
        if reading is not None:
            self._reading = reading
        if writing is not None:
            self._writing = writing
        self.touch()

    def touch(self) -> None:
        """Something changed: come back at the next turn, if there is something to do."""
        if self.connected and (self._isReadable() or self._isWritable()):
            self.reactor.network.wake(self)

    def _isReadable(self) -> bool:
        return self._reading and bool(self.broken or self._in.arrived or self._in.ended)

    def _isWritable(self) -> bool:
        return self._writing and bool(self.broken or self._out.room)

    def turn(self) -> None:
        """Read and write what can be, as the epoll reactor does."""
        why: object = None
        inRead = False
        try:
            if self._isReadable():
                inRead = True
                why = self.doRead()
            if not why and self.connected and self._isWritable():
                inRead = False
                why = self.doWrite()  # type: ignore[no-untyped-call]
        except Exception as error:
            _log.failure("Unhandled Error")
            why = error
        if why:
            self._disconnect(why, inRead)
        elif self.connected:
            self.touch()

    def _disconnect(self, why: Any, inRead: bool) -> None:
        self.stopReading()  # type: ignore[no-untyped-call]
        if inRead and isinstance(why, ConnectionDone):
            self.readConnectionLost(Failure(why))
        else:
            self.stopWriting()  # type: ignore[no-untyped-call]
            self.connectionLost(Failure(why))

    # Bytes.

    def doRead(self) -> Exception | None:
        """See C{IReadDescriptor}."""
        if self.broken:
            return ConnectionLost()
        data = self._in.take(self.bufferSize)
        if not data:
            return ConnectionDone()
        assert self.protocol is not None
        self.protocol.dataReceived(data)
        return None

    def writeSomeData(self, data: bytes) -> int | Exception:
        """See C{FileDescriptor}."""
        if self.broken:
            return ConnectionLost()
        taken = bytes(data[: min(self._out.room, self.SEND_LIMIT)])
        if taken:
            self._out.put(taken)
        return len(taken)

    # The end.

    def abortConnection(self) -> None:
        """See C{ITCPTransport}."""
        if self.disconnected or self._aborting:
            return
        self._aborting = True
        self.stopReading()  # type: ignore[no-untyped-call]
        self.stopWriting()  # type: ignore[no-untyped-call]
        self.reactor.callLater(0, self.connectionLost, Failure(ConnectionAborted()))

    def _closeWriteConnection(self) -> None:
        self._out.put(_FIN)
        halves: Any = IHalfCloseableProtocol(self.protocol, None)
        if halves is not None:
            try:
                halves.writeConnectionLost()
            except BaseException:
                failure = Failure()
                _log.failure("writeConnectionLost", failure)
                self.connectionLost(failure)

    def readConnectionLost(self, reason: Failure) -> None:
        """See C{IHalfCloseableDescriptor}."""
        halves: Any = IHalfCloseableProtocol(self.protocol, None)
        if halves is None:
            self.connectionLost(reason)
            return
        try:
            halves.readConnectionLost()
        except BaseException:
            failure = Failure()
            _log.failure("readConnectionLost", failure)
            self.connectionLost(failure)

    def connectionLost(self, reason: Failure) -> None:
        """See C{FileDescriptor}."""
        protocol, self.protocol = self.protocol, None
        if protocol is None:
            return
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        del self.reactor.network.connections[self]
        self._close(orderly=not self._aborting)
        protocol.connectionLost(reason)

    def _close(self, orderly: bool) -> None:
        """Close the socket: unread bytes, or an abort, make it a reset."""
        incoming, outgoing = self._in, self._out
        del self._in, self._out  # nothing of this end is kept by the other
        incoming.reader = outgoing.writer = None
        if self.broken:
            return
        if not orderly or incoming.arrived:
            outgoing.put(_RST)
        elif not self._writeDisconnected:
            outgoing.put(_FIN)
        incoming.arrived.clear()

    def reset(self) -> None:
        """The peer reset the connection: what was not read is lost."""
        self.broken = True
        self._in.arrived.clear()
        self.touch()

    def refuse(self) -> None:
        """What we sent found the peer's socket closed."""
        if not self.broken:
            self._in.put(_RST)

    def release(self) -> None:
        """The way to the peer is open again."""
        self._out.release()
        self._in.release()

    def sever(self) -> None:
        """The way to the peer is gone for ever."""
        self._in.isSevered = self._out.isSevered = True

    # The rest of a TCP transport.

    def getHost(self) -> Any:
        """See C{ITransport}."""
        return self._local

    def getPeer(self) -> Any:
        """See C{ITransport}."""
        return self._remote

    def getTcpNoDelay(self) -> bool:
        """See C{ITCPTransport}."""
        return self._noDelay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See C{ITCPTransport}; it changes nothing."""
        self._noDelay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        """See C{ITCPTransport}."""
        return self._keepAlive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """See C{ITCPTransport}; it changes nothing."""
        self._keepAlive = bool(enabled)


class ClientConnection(Connection):
    """The end that called."""

    _settled = False

    def __init__(self, host: Host, connector: Connector) -> None:
        super().__init__(host)
        self._connector = connector
        self._attempt: Any = Deferred.fromCoroutine(self._connect())
        self._attempt.addErrback(self.failIfNotConnected)

    async def _connect(self) -> None:
        host, network, connector = self.reactor, self.reactor.network, self._connector
        await later(host, 0)  # nothing happens within connectTCP
        address = network.normalize(await host.resolve(connector.host))
        try:
            local = host.bindClient(address, connector.bindAddress)
        except OSError as error:
            raise ConnectBindError(error.errno, error.strerror) from None
        if local is None:
            raise NoRouteError(string=f"no way to {address}")
        remote = host if address in host.loopbacks else network.hosts.get(address)
        if remote is None or network.isCut(host, remote):
            return  # into the void, until the connector's timeout
        await later(host, 2 * network.latency)
        port = remote.listenerAt("TCP", address, connector.port)
        if port is None:
            raise ConnectionRefusedError()
        if network.isCut(host, remote):
            return
        self._connected(local, port, address)

    def _connected(self, local: tuple[str, int], port: Any, address: str) -> None:
        host, network = self.reactor, self.reactor.network
        server = Connection(port.reactor)
        there, back = _Pipe(network, self, server), _Pipe(network, server, self)
        here, far = makeAddress("TCP", *local), makeAddress("TCP", address, self._connector.port)
        self.open(here, far, back, there)
        server.open(port.seen(far), port.seen(here), there, back)
        host.connectedPorts.add(local)
        self._settled = True
        port.accept(server)
        protocol = self._connector.buildProtocol(self.getPeer())
        start(self, protocol)

    def failIfNotConnected(self, error: Any) -> None:
        """Give up, unless it is there, or given up, already."""
        if not self._settled:
            self._settled = self.disconnected = True
            self._attempt.cancel()
            self._connector.connectionFailed(error if isinstance(error, Failure) else Failure(error))

    def stopConnecting(self) -> None:
        """Give up."""
        self.failIfNotConnected(UserError())

    def connectionLost(self, reason: Failure) -> None:
        """See C{FileDescriptor}."""
        if self.protocol is not None:
            self.reactor.connectedPorts.discard((self._local.host, self._local.port))
            connector = self._connector
            del self._connector
            super().connectionLost(reason)
            connector.connectionLost(reason)


def start(connection: Connection, protocol: IProtocol | None) -> None:
    """Give a connection its protocol; without one, it is closed."""
    if protocol is None:
        connection.protocol = Protocol()
        connection.loseConnection()  # type: ignore[no-untyped-call]
    else:
        connection.protocol = protocol
        connection.startReading()  # type: ignore[no-untyped-call]
        protocol.makeConnection(connection)


def makeAddress(kind: Any, host: str, port: int) -> IPv4Address | IPv6Address:
    """An address as Twisted has it."""
    return (IPv6Address if ":" in host else IPv4Address)(kind, host, port)


class Connector(BaseConnector):
    """See C{IConnector}."""

    def __init__(self, host: str, port: int, factory: Any, timeout: float, bindAddress: Any, reactor: Host) -> None:
        super().__init__(factory, timeout, reactor)  # type: ignore[arg-type]
        self.host, self.port, self.bindAddress = host, port, bindAddress

    def _makeTransport(self) -> Any:
        return ClientConnection(self.reactor, self)  # type: ignore[arg-type]

    def getDestination(self) -> Any:
        """See C{IConnector}."""
        return makeAddress("TCP", self.host, self.port)


@implementer(IListeningPort)
class ListeningPort:
    """A TCP port."""

    def __init__(self, host: Host, port: int, factory: IProtocolFactory, interface: str) -> None:
        self.reactor = host
        self.interface = interface
        self.port = port
        self.connected = False
        self._factory = factory

    def seen(self, address: Any) -> IPv4Address | IPv6Address:
        """An address as this port's socket shows it: an IPv6 socket shows IPv4 addresses as mapped."""
        return makeAddress(address.type, mapped(self.interface, address.host), address.port)

    def startListening(self) -> None:
        """See C{IListeningPort}."""
        self.port = self.reactor.bind("TCP", self.interface, self.port, self)
        self.connected = True
        self._factory.doStart()

    def stopListening(self) -> Any:
        """See C{IListeningPort}."""
        return later(self.reactor, 0, self._stopped) if self.connected else None

    loseConnection = stopListening

    def _stopped(self) -> None:
        if self.connected:
            self.connected = False
            self.reactor.unbind("TCP", self.port, self)
            self._factory.doStop()

    def getHost(self) -> Any:
        """See C{IListeningPort}."""
        return makeAddress("TCP", self.interface or ANY_IPV4, self.port)

    def accept(self, connection: Connection) -> None:
        """Someone calls."""
        try:
            start(connection, self._factory.buildProtocol(connection.getPeer()))
        except Exception as error:
            _log.failure("Unhandled Error")
            start(connection, None) if connection.protocol is None else connection.connectionLost(Failure(error))

    def __repr__(self) -> str:
        return f"<TCP port {self.port} of {self.reactor}>"


def mapped(interface: str, address: str) -> str:
    """What a socket bound to C{interface} shows of C{address}."""
    return f"::ffff:{address}" if ":" in interface and ":" not in address else address
