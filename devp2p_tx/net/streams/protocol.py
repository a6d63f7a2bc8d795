"""
A stream of bytes between two nodes, for any Twisted protocol: the capability C{stream/1}.

It has two messages. DATA carries bytes, at least one; END, which is empty, says that its sender sends no more. Who
has said END and heard it disconnects. A stream that ends otherwise was cut short, and its protocol is told so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocol,
    IPullProducer,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.errors import CapabilityFailed, DisconnectReason, PeerDisconnected
from devp2p_tx.interfaces import ICapabilityProtocol, IPeer
from devp2p_tx.net.rlpx.capability import Capability
from devp2p_tx.net.rlpx.channels import Channel

NAME, VERSION, LENGTH = "stream", 1, 2
DATA, END = 0, 1
#: The most bytes that one message carries: who reads gets them when all have come.
CHUNK = 64 * 1024
#: What may wait to be sent before a producer is paused (bytes), as in Twisted's own transports.
HIGH_WATER = 64 * 1024
#: How long a stream that we have closed waits for its other end (seconds).
LINGER = 60.0


@implementer(IAddress)
@dataclass(frozen=True)
class RLPxAddress:
    """
    One end of a stream.

    @ivar publicKey: who is there: the static key that the handshake has proved.
    @ivar address: where it is.
    """

    publicKey: PublicKey
    address: IAddress

    @property
    def host(self) -> Any:
        """The host of L{address}; C{None} if that has none."""
        return getattr(self.address, "host", None)

    @property
    def port(self) -> Any:
        """The port of L{address}; C{None} if that has none."""
        return getattr(self.address, "port", None)


class StreamCapability(Capability):
    """C{stream/1}, which builds another factory's protocols."""

    def __init__(
        self, clock: IReactorTime, factory: Any, opened: Callable[[IProtocol | Failure], object] = lambda opened: None
    ) -> None:
        """
        @param factory: an C{IProtocolFactory}, whose C{buildProtocol} is given a L{RLPxAddress}.
        @param opened: is told the protocol when it has its transport; or fails with C{NoProtocol} if none was built.
        """
        super().__init__(NAME, VERSION, LENGTH)
        self._clock = clock
        self._factory = factory
        self._opened = opened

    def buildProtocol(self, peer: IPeer) -> ICapabilityProtocol:
        """See L{Capability}."""
        return _End(self._build)

    def _build(self, end: _End, channel: Channel) -> StreamTransport | None:
        remote, local = (
            RLPxAddress(key, address)
            for key, address in zip(channel.keys(), (channel.getPeer(), channel.getHost()), strict=True)
        )
        protocol: IProtocol | None = self._factory.buildProtocol(remote)
        if protocol is None:
            channel.loseConnection()
            self._opened(Failure(NoProtocol()))
            return None
        stream = StreamTransport(self._clock, channel, end, protocol, remote, local)
        protocol.makeConnection(stream)
        self._opened(protocol)
        return stream


@implementer(ICapabilityProtocol, IPullProducer)
class _End:
    """What the connection sees of a stream."""

    def __init__(self, build: Callable[[_End, Channel], StreamTransport | None]) -> None:
        self.stream: StreamTransport | None = None
        self._build = build

    def makeConnection(self, transport: Any) -> None:
        self._build(self, transport)

    def messageReceived(self, code: int, payload: bytes) -> None:
        if self.stream is not None:
            self.stream.received(code, payload)

    def connectionLost(self, reason: Failure) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.lost(reason)

    def resumeProducing(self) -> None:
        if self.stream is not None:
            self.stream.sendMore()

    def stopProducing(self) -> None:
        """The connection is gone, as it tells by L{connectionLost}, too."""


@implementer(ITransport, IConsumer, IPushProducer)
class StreamTransport:
    """
    The transport of a protocol at one end of a stream.

    It behaves as Twisted's TCP transport does: C{write} never blocks, producers are paused while the peer does not
    read, C{loseConnection} waits until all is sent and no producer is registered, and a protocol that provides
    C{IHalfCloseableProtocol} may go on writing when the peer has ended its side.

    @ivar disconnecting: L{loseConnection} was called.
    @ivar connected: the stream is there.
    @ivar protocol: whose transport this is.
    """

    def __init__(
        self,
        clock: IReactorTime,
        channel: Channel,
        end: _End,
        protocol: IProtocol,
        remote: RLPxAddress,
        local: RLPxAddress,
    ) -> None:
        self.protocol = protocol
        self.connected = True
        self.disconnecting = False
        end.stream = self
        self._clock = clock
        self._channel = channel
        self._end = end
        self._remote, self._local = remote, local
        self._linger: IDelayedCall | None = None
        # outwards
        self._buffer: deque[memoryview] = deque()
        self._size = 0
        self._isSending = False
        self._producer: Any = None
        self._streaming = self._paused = False
        self._ending = self._endSent = False
        # inwards
        self._endReceived = self._aborted = False

    # What the protocol does: ITransport.

    def write(self, data: bytes) -> None:
        """See C{ITransport}."""
        if isinstance(data, str):
            raise TypeError("Data must not be a string")
        if not data or self._endSent or not self.connected:
            return
        self._buffer.append(memoryview(bytes(data)))
        self._size += len(data)
        if self._streaming and not self._paused and self._size > HIGH_WATER:
            self._paused = True
            self._producer.pauseProducing()
        self._startSending()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """See C{ITransport}."""
        for each in data:
            self.write(each)

    def loseConnection(self) -> None:
        """See C{ITransport}."""
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._channel.resumeProducing()  # or we would not hear the peer's end
            self.loseWriteConnection()

    def loseWriteConnection(self) -> None:
        """See C{ITCPTransport}: end our side when all is sent; the protocol goes on to read."""
        self._ending = True
        self._startSending()
        self._endIfBoth()

    def abortConnection(self) -> None:
        """Close at once; what was not sent is lost."""
        if self.connected:
            self._aborted = self.disconnecting = True
            self._channel.abortConnection()

    def getPeer(self) -> RLPxAddress:
        """See C{ITransport}: who and where the peer is."""
        return self._remote

    def getHost(self) -> RLPxAddress:
        """See C{ITransport}: who and where we are."""
        return self._local

    # IPushProducer: what is received.

    def pauseProducing(self) -> None:
        """See C{IPushProducer}."""
        if self.connected and not self.disconnecting:
            self._channel.pauseProducing()

    def resumeProducing(self) -> None:
        """See C{IPushProducer}."""
        if self.connected:
            self._channel.resumeProducing()

    def stopProducing(self) -> None:
        """See C{IProducer}."""
        self.loseConnection()

    # IConsumer: what is sent.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See C{IConsumer}."""
        if self._producer is not None:
            raise RuntimeError(f"{self!r} has a producer already: {self._producer!r}")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._paused = producer, bool(streaming), False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """See C{IConsumer}."""
        self._producer = None
        self._streaming = self._paused = False
        if self._ending:
            self._startSending()

    # Outwards.

    def _startSending(self) -> None:
        if self.connected and not self._isSending and not self._endSent:
            self._isSending = True
            self._channel.registerProducer(self._end, False)

    def sendMore(self) -> None:
        """The connection has room: send a chunk, and find out what comes next."""
        if self._buffer:
            self._channel.sendMessage(DATA, self._nextChunk())
        if not self._buffer:
            self._drained()

    def _nextChunk(self) -> bytes:
        pieces, room = [], CHUNK
        while self._buffer and room:
            first = self._buffer.popleft()
            pieces.append(first[:room])
            if len(first) > room:
                self._buffer.appendleft(first[room:])
            room -= len(pieces[-1])
        self._size -= CHUNK - room
        return b"".join(pieces)

    def _drained(self) -> None:
        if self._producer is not None and (self._paused or not self._streaming):
            self._paused = False
            self._producer.resumeProducing()
        if self._buffer or not self.connected:
            return
        self._isSending = False
        self._channel.unregisterProducer()
        if self._ending and self._producer is None:
            self._sendEnd()

    def _sendEnd(self) -> None:
        self._endSent = True
        self._channel.sendMessage(END, b"")
        halves: Any = IHalfCloseableProtocol(self.protocol, None)
        if halves is not None and not self.disconnecting:
            halves.writeConnectionLost()
        self._endIfBoth()

    def _endIfBoth(self) -> None:
        """Disconnect when both sides have ended; who has closed waits for that, but not for ever."""
        if not self._endSent or not self.connected:
            return
        if self._endReceived:
            self._channel.loseConnection()
        elif self.disconnecting and self._linger is None:
            self._linger = self._clock.callLater(LINGER, self._channel.loseConnection)

    # Inwards.

    def received(self, code: int, payload: bytes) -> None:
        """A message came."""
        if self._endReceived:
            self._channel.loseConnection(DisconnectReason.BREACH_OF_PROTOCOL)
        elif code == END:
            self._endReceived = True
            self._readEnded()
        elif payload and not self.disconnecting:
            dataReceived: Callable[[bytes], object] = self.protocol.dataReceived
            dataReceived(payload)

    def _readEnded(self) -> None:
        halves: Any = IHalfCloseableProtocol(self.protocol, None)
        if halves is None or self.disconnecting:
            self._channel.loseConnection()
        else:
            halves.readConnectionLost()
            self._endIfBoth()

    def lost(self, reason: Failure) -> None:
        """The connection is gone."""
        self.connected = False
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        self._buffer.clear()
        producer, self._producer = self._producer, None
        try:
            if producer is not None:
                producer.stopProducing()
        finally:
            self.protocol.connectionLost(self._reason(reason))

    def _reason(self, reason: Failure) -> Failure:
        """How a transport tells it."""
        if self._aborted:
            return Failure(ConnectionAborted())
        if self._endReceived or (self._endSent and self.disconnecting and _isAnswer(reason.value)):
            return Failure(ConnectionDone())
        if reason.check(CapabilityFailed):
            return reason
        return Failure(ConnectionLost(f"the stream was cut short: {reason.getErrorMessage()}"))


def _isAnswer(error: object) -> bool:
    """Whether the peer, having heard our end, has closed: a protocol that does not go on without us does that."""
    return isinstance(error, PeerDisconnected) and error.remote and error.reason == DisconnectReason.REQUESTED
