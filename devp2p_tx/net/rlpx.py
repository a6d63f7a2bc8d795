"""
RLPx over a Twisted transport: the core is fed, its events are acted on, its bytes are sent.

Flow control, outwards: what is sent in a turn of the reactor leaves in one write, offered to the socket itself if it is
a plain TCP socket with nothing queued. When the socket does not take it all the connection is I{congested}: messages then
wait, unencrypted, in the queue of their channel, and each time the socket has drained the channels take turns, a
message each, until a burst is full. A channel whose queue is long pauses its producer; a peer that takes no burst within
L{WRITE_TIMEOUT} is dropped.

Inwards: a channel that pauses stops the socket. What was read by then waits: at most one read of the socket and the
message that it completed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import urandom
from socket import socket as Socket

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection as TCPConnection
from twisted.logger import Logger
from twisted.python.failure import Failure

from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey, RandomBytes
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.core.p2p.capabilities import Match, match
from devp2p_tx.core.p2p.messages import BASE_LENGTH, Cap, Hello
from devp2p_tx.core.rlpx.connection import RLPxConnection
from devp2p_tx.core.rlpx.events import (
    ConnectionBroken,
    DisconnectReceived,
    Event,
    HandshakeCompleted,
    HelloReceived,
    MessagesReceived,
)
from devp2p_tx.core.rlpx.frames import Message
from devp2p_tx.errors import (
    CapabilityFailed,
    DisconnectReason,
    MessageError,
    PeerDisconnected,
    PeerRejected,
    SendBufferFull,
    Timeout,
)
from devp2p_tx.interfaces import ICapability
from devp2p_tx.net.channels import Channel, MessageObserver
from devp2p_tx.net.oneshot import OneShot

#: A peer that takes nothing of what it is sent for so long is dropped (seconds).
WRITE_TIMEOUT = 20.0
#: From our Disconnect to the end of the connection, whatever the peer does (seconds).
DISCONNECT_TIMEOUT = 1.0
#: What is collected in a turn, or taken from the channels in one go, before it is written (bytes).
BURST = 128 * 1024
#: What may wait for one peer in all its channels; past it the peer is dropped (bytes). Room for two of the largest
#: messages: a producer that heeds its pauses stays far below.
MAX_QUEUED = 32 * 1024 * 1024

_log = Logger()

#: What handles a message: its receiver, its code there, its counter, its channel.
_Route = tuple[Callable[[int, bytes], object], int, list[int], Channel]


class RLPxProtocol(Protocol):
    """
    One connection to one peer, in either role.

    Its owner waits for L{whenHandshaken}, calls L{sendHello}, waits for L{whenHello}, and calls L{start} with what both
    sides share; or refuses at any point with L{disconnect}. All three Deferreds of a connection that ends early fail
    with the reason of its end.

    @ivar congested: the socket did not take all that was written: messages queue.
    @ivar closed: nothing more is sent or received.
    @ivar remoteKey: the peer's static key, once known.
    @ivar channels: what is spoken with this peer, once started.
    """

    def __init__(
        self,
        key: PrivateKey,
        clock: IReactorTime,
        randomBytes: RandomBytes,
        remote: PublicKey | None = None,
        seconds: Callable[[], float] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """
        @param key: our static key.
        @param clock: what delayed calls are made with.
        @param randomBytes: source of randomness, such as C{os.urandom}.
        @param remote: whom we dialled; C{None} if we were dialled.
        @param seconds: the time for deadlines, which should not jump; by default that of C{clock}.
        @param metrics: where traffic is counted.
        """
        self.congested = False
        self.closed = False
        self.remoteKey = remote
        self.channels: list[Channel] = []
        self._key, self._random = key, randomBytes
        self._clock = clock
        self._seconds = seconds or clock.seconds
        self._metrics = metrics or Metrics()
        self._cause: Exception | None = None
        self._handshaken: OneShot[PublicKey] = OneShot()
        self._hello: OneShot[Hello] = OneShot()
        self._ended: OneShot[BaseException] = OneShot()
        # inwards
        self._started = False
        self._inbox: list[Event] = []
        self._routes: list[_Route] = []
        self._stallers: set[object] = set()
        # outwards
        self._socket: Socket | None = None
        self._pending = 0
        self._flushDue = False
        self._unwritten = memoryview(b"")
        self._queued = 0
        self._turn = 0
        # time
        self._alarm: IDelayedCall | None = None
        self._writeAlarm: IDelayedCall | None = None
        self._closeAlarm: IDelayedCall | None = None

    # What the owner does.

    def whenHandshaken(self) -> Deferred[PublicKey]:
        """Fires with the peer's static key, once both sides hold secrets."""
        return self._handshaken.when()

    def whenHello(self) -> Deferred[Hello]:
        """Fires with the peer's Hello."""
        return self._hello.when()

    def whenEnded(self) -> Deferred[BaseException]:
        """Fires with the reason of the end, as L{devp2p_tx.interfaces.ICapabilityProtocol.connectionLost} has it."""
        return self._ended.when()

    def sendHello(self, hello: Hello) -> None:
        """
        Send our Hello, once, after L{whenHandshaken}.

        @raise LocalProtocolError: at another time.
        """
        self._core.send_hello(hello)
        self._flushSoon()

    async def exchangeHello(self, hello: Hello) -> Hello:
        """
        Send our Hello, and wait for the peer's.

        @return: the peer's Hello, whose identity is the one that the handshake proved.
        @raise PeerRejected: it is another ("unexpected identity").
        """
        self.sendHello(hello)
        theirs = await self.whenHello()
        assert self.remoteKey is not None
        if theirs.node_key != self.remoteKey.to_bytes():
            raise PeerRejected(DisconnectReason.UNEXPECTED_IDENTITY)
        return theirs

    def start(
        self, matches: Sequence[Match[ICapability]], peer: object, observe: MessageObserver | None = None
    ) -> None:
        """
        Begin to speak what both sides share, after L{whenHello}; messages that came already are delivered at once.

        @param matches: as L{devp2p_tx.core.p2p.capabilities.match} gave them.
        @param peer: what is given to each capability's C{buildProtocol}.
        @param observe: is told of every message.
        """
        if self.closed:
            return
        self._started = True
        for match in matches:
            capability = match.capability
            traffic = self._metrics.traffic(f"{capability.name}/{capability.version}", capability.length)
            try:
                channel = Channel(self, match, capability.buildProtocol(peer), traffic, observe)
            except Exception:
                self.fail(capability, Failure())
                return
            self.channels.append(channel)
            received = channel.receiver()
            for code in range(capability.length):
                self._routes.append((received, code, traffic.received[code], channel))
        for channel in self.channels:
            self._call(channel, channel.protocol.makeConnection, channel)
        self.resumeReading(self)

    def disconnect(self, reason: int) -> None:
        """
        Send what is queued and then C{reason}, and close: within L{DISCONNECT_TIMEOUT}, whether the peer reads or not.
        A connection without secrets is closed at once. Does nothing if it is closed already.
        """
        if self.closed:
            return
        while self._sendTurn():
            pass
        self._core.disconnect(reason)
        self._close(PeerDisconnected(reason, remote=False))

    def abort(self) -> None:
        """Close at once, without a word."""
        if not self.closed:
            self._close(PeerDisconnected(DisconnectReason.NETWORK_ERROR, remote=False), kindly=False)

    @property
    def remoteAddress(self) -> IAddress:
        """The peer's address."""
        return self.transport.getPeer()

    @property
    def localAddress(self) -> IAddress:
        """Our address."""
        return self.transport.getHost()

    # What the transport says.

    def connectionMade(self) -> None:
        """See C{IProtocol}."""
        self._core = RLPxConnection(self._key, self._seconds(), self._random, self.remoteKey)
        if isinstance(self.transport, TCPConnection) and not self.transport.TLS:
            self.transport.setTcpNoDelay(True)
            self._socket = self.transport.getHandle()
        self._flush()
        self._wake()

    def dataReceived(self, data: bytes) -> None:
        """See C{IProtocol}."""
        self._flushDue = True  # at the end of this method, for all that is sent meanwhile
        for event in self._core.receive_data(data, self._seconds()):
            self._handle(event)
        self._flush()

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:
        """See C{IProtocol}."""
        self.closed = True
        for alarm in (self._alarm, self._writeAlarm, self._closeAlarm):
            if alarm is not None and alarm.active():
                alarm.cancel()
        if self._cause is not None:
            reason = Failure(self._cause)
        for channel in self.channels:
            try:
                channel.connectionLost(reason)
            except Exception:
                _log.failure("connectionLost of {channel}", channel=channel)
        self._routes.clear()
        self._inbox.clear()
        self._handshaken.fire(reason)
        self._hello.fire(reason)
        self._ended.fire(reason.value)

    # What the core says.

    def _handle(self, event: Event) -> None:
        if self._started and self._stallers:
            self._inbox.append(event)  # in order: what was sent before a Disconnect is delivered before it counts
        elif isinstance(event, MessagesReceived):
            if self._started:
                self._deliver(event.messages)
            else:
                self._inbox.append(event)
                self.pauseReading(self)
        elif isinstance(event, HandshakeCompleted):
            self.remoteKey = event.remote
            self._handshaken.fire(event.remote)
        elif isinstance(event, HelloReceived):
            self._hello.fire(event.hello)
        elif isinstance(event, DisconnectReceived):
            self._close(PeerDisconnected(event.reason, remote=True))
        elif isinstance(event, ConnectionBroken):
            self._close(event.error)

    def _deliver(self, messages: Sequence[Message]) -> None:
        """Hand messages to their channels, until one of them has enough."""
        routes, limit = self._routes, len(self._routes)
        remaining = iter(messages)
        channel = None
        try:
            for code, payload, size in remaining:
                if (code := code - BASE_LENGTH) >= limit:
                    self._breach(code + BASE_LENGTH)
                    return
                received, relative, count, channel = routes[code]
                count[0] += 1
                count[1] += size
                received(relative, payload)
                if self._stallers:
                    self._inbox.append(MessagesReceived(list(remaining)))
                    return
                if self.closed:
                    return
        except Exception:
            self.fail(channel, Failure())

    def _breach(self, code: int) -> None:
        error = MessageError(f"message code out of range: {code}")
        self._core.disconnect(error.reason)
        self._close(error)

    def _call(self, channel: Channel, method: Callable[..., object], *arguments: object) -> None:
        """Call into a capability's code, which may fail, and may not be needed any more."""
        if not self.closed:
            try:
                method(*arguments)
            except Exception:
                self.fail(channel, Failure())

    def fail(self, channel: object, failure: Failure) -> None:
        """A capability's code raised: that ends this peer, and only this peer."""
        if not self.closed:
            _log.failure("{channel} failed, and its peer is dropped", failure, channel=channel)
            self._core.disconnect(DisconnectReason.SUBPROTOCOL_ERROR)
            self._close(CapabilityFailed(repr(channel), failure.value))

    # Inward flow control.

    def pauseReading(self, who: object) -> None:
        """C{who} cannot take more: stop the socket, until all who did so can."""
        if not self._stallers and not self.closed:
            self._core.pause_reading()
            self.transport.pauseProducing()
        self._stallers.add(who)

    def resumeReading(self, who: object) -> None:
        """C{who} can take more."""
        self._stallers.discard(who)
        if self._stallers or not self._started or self.closed:
            return
        inbox, self._inbox = self._inbox, []
        for event in inbox:
            self._handle(event)
        if self._stallers or self.closed:
            return
        self._core.resume_reading(self._seconds())
        self.transport.resumeProducing()

    # Outward flow control.

    def sendNow(self, code: int, payload: bytes) -> int:
        """Send a message by its code on the wire, with the rest of this turn; the size of its frame (bytes)."""
        size = self._core.send(code, payload)
        self._pending += size
        if not self.congested:
            if self._pending > BURST:
                self._write(self._core.data_to_send())
            elif not self._flushDue:
                self._flushSoon()
        return size

    def queueGrew(self, size: int) -> None:
        """A channel queued C{size} bytes more."""
        self._queued += size
        if self._queued > MAX_QUEUED and not self.closed:
            self._close(SendBufferFull(f"{self._queued} bytes wait for a peer that does not read"), kindly=False)

    def wantMore(self) -> None:
        """A channel has got a pull producer."""
        self._flushSoon()

    def _flushSoon(self) -> None:
        if not self._flushDue and not self.closed:
            self._flushDue = True
            self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flushDue = False
        if self.congested:
            return
        data = self._core.data_to_send()
        if data:
            self._write(data)
        if not self.congested and not self.closed:
            for channel in self.channels:
                if channel.pulls:
                    self._call(channel, channel.drained)
                    self._flushSoon()

    def _write(self, data: bytes) -> None:
        """Write with nothing queued before: what the socket does not take at once makes us congested."""
        self._pending = 0
        taken = self._offer(data)
        if taken < len(data):
            self._unwritten = memoryview(data)[taken:]
            self.congested = True
            self._armWriteAlarm()
            self.transport.registerProducer(self, False)

    def _offer(self, data: bytes) -> int:
        """Give bytes to the socket itself, which spares a turn of the reactor; how many it took."""
        if self._socket is None or not self.transport.connected:
            return 0
        try:
            return self._socket.send(data)
        except OSError:  # full, or broken, which the transport's own write will find out
            return 0

    def resumeProducing(self) -> None:
        """The transport has written everything: give it the next burst. (We are its C{IPullProducer} while congested.)"""
        if data := self._nextBurst():
            self._armWriteAlarm()
            self.transport.write(data)
            return
        self.congested = False
        if self._writeAlarm is not None:
            self._writeAlarm.cancel()
            self._writeAlarm = None
        self.transport.unregisterProducer()
        if self.closed:
            self._closeTransport()
            return
        for channel in self.channels:
            self._call(channel, channel.drained)

    def stopProducing(self) -> None:
        """See C{IPullProducer}: the transport is gone."""
        self._unwritten = memoryview(b"")

    def _nextBurst(self) -> bytes:
        if not self._unwritten:
            while self._pending < BURST and not self.closed and self._sendTurn():
                pass
            self._pending = 0
            self._unwritten = memoryview(self._core.data_to_send())
            for channel in self.channels:
                if not self.closed:
                    self._call(channel, channel.drained)
        data, self._unwritten = bytes(self._unwritten[:BURST]), self._unwritten[BURST:]
        return data

    def _sendTurn(self) -> bool:
        """Let the next channel that has something queued send a message; whether there was one."""
        for _ in self.channels:
            self._turn = (self._turn + 1) % len(self.channels)
            channel = self.channels[self._turn]
            before = channel.queued
            if channel.sendQueued():
                self._queued -= before - channel.queued
                return True
        return False

    def _armWriteAlarm(self) -> None:
        if self._writeAlarm is None:
            self._writeAlarm = self._clock.callLater(WRITE_TIMEOUT, self._writeTimedOut)
        else:
            self._writeAlarm.reset(WRITE_TIMEOUT)

    def _writeTimedOut(self) -> None:
        self._writeAlarm = None
        self._close(Timeout("the peer does not read"), kindly=False)

    # Time and the end.

    def _wake(self) -> None:
        """Let the core do what is due, and come back when it wants."""
        self._alarm = None
        for event in self._core.handle_timer(self._seconds()):
            self._handle(event)
        self._flush()
        due = self._core.get_timer()
        if due is not None and not self.closed:
            self._alarm = self._clock.callLater(max(0.0, due - self._seconds()), self._wake)

    def _close(self, cause: Exception, kindly: bool = True) -> None:
        """
        End the connection for C{cause}; kindly, what was sent before is delivered first.

        Our side of the socket is then shut, and the peer's read, until it shuts it too: closing a socket with bytes
        unread resets it, and what the peer had not read of ours, our Disconnect above all, would be lost.
        """
        if self.closed:
            return
        self.closed = True
        self._cause = cause
        if not kindly:
            self.transport.abortConnection()
            return
        if not self.congested:
            data = self._core.data_to_send()
            if data:
                self._write(data)
        self._closeAlarm = self._clock.callLater(DISCONNECT_TIMEOUT, self.transport.abortConnection)
        if not self.congested:
            self._closeTransport()

    def _closeTransport(self) -> None:
        if self._stallers:
            self.transport.resumeProducing()
        if ITCPTransport.providedBy(self.transport):
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()


class RLPxFactory(Factory):
    """
    Connections without a Server: whoever completes both handshakes and shares a capability is spoken with.

    For a listening endpoint, or, with C{remote}, for one that connects. L{devp2p_tx.Server} is what a node uses: it also
    counts its peers, knows whom to refuse, and dials.
    """

    noisy = False

    def __init__(
        self,
        key: PrivateKey,
        capabilities: Sequence[ICapability],
        clientName: str,
        remote: PublicKey | None = None,
        clock: IReactorTime | None = None,
        randomBytes: RandomBytes = urandom,
    ) -> None:
        """
        @param key: our static key.
        @param capabilities: what we offer.
        @param clientName: what our Hello calls us.
        @param remote: whom we dial; C{None} to be dialled.
        @param clock: by default the global reactor.
        """
        if clock is None:
            from twisted.internet import reactor

            clock = IReactorTime(reactor)
        caps = sorted(Cap(each.name, each.version) for each in capabilities)
        self.metrics = Metrics()
        self._hello = Hello(clientName, tuple(caps), key.public_key.to_bytes())
        self._capabilities = capabilities
        self._make = lambda: RLPxProtocol(key, clock, randomBytes, remote, metrics=self.metrics)

    def buildProtocol(self, addr: IAddress | None) -> RLPxProtocol:
        """See C{IProtocolFactory}."""
        protocol = self._make()
        protocol.factory = self
        Deferred.fromCoroutine(self._setUp(protocol)).addErrback(self._failed, protocol)
        return protocol

    async def _setUp(self, protocol: RLPxProtocol) -> None:
        await protocol.whenHandshaken()
        theirs = await protocol.exchangeHello(self._hello)
        matches = match(self._capabilities, theirs.caps)
        if not matches:
            raise PeerRejected(DisconnectReason.USELESS_PEER)
        protocol.start(matches, protocol)

    def _failed(self, failure: Failure, protocol: RLPxProtocol) -> None:
        _log.debug("no connection with {address}: {error}", address=protocol.remoteAddress, error=failure.value)
        if failure.check(PeerRejected):
            protocol.disconnect(failure.value.reason)
        else:
            protocol.abort()
