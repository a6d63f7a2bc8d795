"""
RLPx over a Twisted transport: the core is fed, its events are acted on, its bytes are sent.

Flow control, outwards: what is sent in a turn of the reactor leaves in one write, offered to the socket itself if it
is a plain TCP socket with nothing queued. When the socket does not take it all the connection is I{congested}:
messages then wait, unencrypted, in the queue of their channel, and each time the socket has drained the channels take
turns, a message each, until a burst is full. A channel whose queue is long pauses its producer; a peer that takes no
burst within L{WRITE_TIMEOUT} is dropped.

Inwards: a channel that pauses stops the socket. What was read by then waits: at most one read of the socket, of up to
L{LARGE_READ}, and the message that it completed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from socket import socket as Socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection as TCPConnection
from twisted.python.failure import Failure

from devp2p_tx._oneshot import OneShot
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey, RandomBytes
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.core.p2p.capabilities import Match
from devp2p_tx.core.p2p.messages import BASE_LENGTH, Hello
from devp2p_tx.core.rlpx.connection import RLPxConnection, State
from devp2p_tx.core.rlpx.events import (
    ConnectionBroken,
    DisconnectReceived,
    Event,
    HandshakeCompleted,
    HelloReceived,
    MessagesReceived,
)
from devp2p_tx.core.rlpx.frames import Bytes, Message
from devp2p_tx.errors import (
    DisconnectReason,
    LocalProtocolError,
    MessageError,
    PeerDisconnected,
    PeerRejected,
    SendBufferFull,
    Timeout,
)
from devp2p_tx.interfaces import ICapability, IPeer
from devp2p_tx.net.rlpx.channels import Channel, MessageObserver
from devp2p_tx.net.rlpx.faults import CapabilityFaults
from devp2p_tx.net.timing.reactortime import secondsOf

#: A peer that takes nothing of what it is sent for so long is dropped (seconds).
WRITE_TIMEOUT = 20.0
#: From our Disconnect to the end of the connection, whatever the peer does (seconds).
DISCONNECT_TIMEOUT = 1.0
#: What is read from a socket in one go (bytes), which is Twisted's own size.
READ = 64 * 1024
#: What is read next where there was as much as that (bytes): who has sent so much is likely to have sent more, and each
#: read takes a turn of the reactor.
LARGE_READ = 256 * 1024
#: What is collected in a turn, or taken from the channels in one go, before it is written (bytes).
BURST = 128 * 1024
#: How many bursts the socket is offered before other connections get their turn.
BURSTS_PER_TURN = 8
#: What may wait for one peer in all its channels; past it the peer is dropped (bytes). Room for two of the largest
#: messages: a producer that heeds its pauses stays far below.
MAX_QUEUED = 32 * 1024 * 1024

_NOTHING = memoryview(b"")


#: What handles the messages of a channel: their receiver, the first code on the wire, the counters, the channel.
_Route = tuple[Callable[[int, bytes], object], int, list[int], list[int], Channel]


class RLPxProtocol(Protocol):
    """
    One connection to one peer, in either role.

    Its owner waits for L{whenHandshaken}, calls L{sendHello}, waits for L{whenHello}, and calls L{start} with what both
    sides share; or refuses at any point with L{disconnect}. All three Deferreds of a connection that ends early fail
    with the reason of its end.

    @ivar transport: whatever carries it: TCP as a rule.
    @ivar congested: the socket did not take all that was written: messages queue.
    @ivar closed: nothing more is sent or received.
    @ivar remoteKey: the peer's static key, once known. If it dialed us, this is only claimed until L{isProved}.
    @ivar isProved: whether a frame of the peer has verified, so that C{remoteKey} is its key: from its Hello on.
    @ivar localKey: ours.
    @ivar channels: what is spoken with this peer, from the start to the end.
    @ivar faults: what is told of failures of capabilities.
    """

    def __init__(
        self,
        key: PrivateKey,
        clock: IReactorTime,
        randomBytes: RandomBytes,
        remote: PublicKey | None = None,
        seconds: Callable[[], float] | None = None,
        metrics: Metrics | None = None,
        faults: CapabilityFaults | None = None,
    ) -> None:
        """
        @param key: our static key.
        @param clock: what delayed calls are made with.
        @param randomBytes: source of randomness, such as C{os.urandom}.
        @param remote: whom we dialled; C{None} if we were dialled.
        @param seconds: the time for deadlines, which should not jump; by default a monotonic clock, or that of a
            simulated network.
        @param metrics: where traffic is counted.
        @param faults: what is told of failures of capabilities; connections share it.
        """
        self.transport: Any = None
        self.congested = False
        self.closed = False
        self.isProved = False
        self.remoteKey = remote
        self.channels: list[Channel] = []
        self.localKey = key.public_key
        self._key, self._random = key, randomBytes
        self._clock = clock
        self._seconds = seconds or secondsOf(clock)
        self._metrics = metrics or Metrics()
        self._volume = self._metrics.tcp
        self.faults = faults or CapabilityFaults(self._seconds, self._metrics)
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
        self._offered = False
        self._unwritten = _NOTHING
        self._waiting: deque[Channel] = deque()
        self._farewell: int | None = None  # the Disconnect reason that follows what waits
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
        if self._core.state is not State.CLOSED:  # by what came with the end of the handshake, of which we hear next
            self.sendHello(hello)
        theirs = await self.whenHello()
        assert self.remoteKey is not None
        if theirs.node_key != self.remoteKey.to_bytes():
            raise PeerRejected(DisconnectReason.UNEXPECTED_IDENTITY)
        return theirs

    def start(self, matches: Sequence[Match[ICapability]], peer: IPeer, observe: MessageObserver | None = None) -> None:
        """
        Begin to speak what both sides share, after L{whenHello}; messages that came already are delivered at once.

        @param matches: as L{devp2p_tx.core.p2p.capabilities.match} gave them.
        @param peer: what is given to each capability's C{buildProtocol}.
        @param observe: is told of every message.
        """
        if self.closed:
            return
        self._started = True
        for matched in matches:
            try:
                self._open(matched, peer, observe)
            except Exception:
                self.fail(matched.capability, Failure())
                return
        for channel in self.channels:
            self._call(channel, channel.connect)
        self.resumeReading(self)

    def _open(self, matched: Match[ICapability], peer: IPeer, observe: MessageObserver | None) -> None:
        """Have a capability build its protocol, and give that its channel."""
        capability = matched.capability
        traffic = self._metrics.traffic(f"{capability.name}/{capability.version}", capability.length)
        channel = Channel(self, matched, capability.buildProtocol(peer), traffic, observe)
        self.channels.append(channel)
        route = channel.receiver(), channel.offset, traffic.received.messages, traffic.received.bytes, channel
        self._routes += [route] * capability.length

    def disconnect(self, reason: int) -> None:
        """
        Send what is queued and then C{reason}, and close: within L{DISCONNECT_TIMEOUT}, whether the peer reads or not.
        What the peer does not take by then is lost. A connection without secrets is closed at once. Does nothing if it
        is closed already.
        """
        if self.closed:
            return
        self._farewell = reason  # behind what waits: to encrypt all of that now would take most of a second
        self._sayFarewell()
        self._close(PeerDisconnected(reason, remote=False))

    def abort(self) -> None:
        """Close at once, without a word."""
        if not self.closed:
            self._close(PeerDisconnected(DisconnectReason.NETWORK_ERROR, remote=False), kindly=False)

    @property
    def queued(self) -> int:
        """What waits in all channels since the peer does not read (bytes), at most L{MAX_QUEUED}."""
        return sum(channel.queued for channel in self.channels)

    @property
    def remoteAddress(self) -> IAddress:
        """The peer's address."""
        address: IAddress = self.transport.getPeer()
        return address

    @property
    def localAddress(self) -> IAddress:
        """Our address."""
        address: IAddress = self.transport.getHost()
        return address

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
        self._volume.received += len(data)
        if self._socket is not None:
            self.transport.bufferSize = READ if len(data) < READ else LARGE_READ
        if self.closed:  # all that is read now is the end
            return
        self._flushDue = True  # at the end of this method, for all that is sent meanwhile
        for event in self._core.receive_data(data, self._seconds()):
            self._handle(event)
        self._flush()

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:
        """See C{IProtocol}."""
        self.closed, self.connected = True, 0
        for alarm in (self._alarm, self._writeAlarm, self._closeAlarm):
            if alarm is not None and alarm.active():
                alarm.cancel()
        if self._cause is not None:
            reason = Failure(self._cause)
        channels, self.channels = self.channels, []
        for channel in channels:
            try:
                channel.connectionLost(reason)
            except Exception:
                self.faults.report(channel, Failure(), "its peer had gone")
        self._routes.clear()
        self._waiting.clear()
        self._inbox.clear()
        self._handshaken.fire(reason)
        self._hello.fire(reason)
        assert reason.value is not None  # as it is of every failure that was not made for a test of Twisted's own
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
            self.isProved = True
            self._hello.fire(event.hello)
        elif isinstance(event, DisconnectReceived):
            self._close(PeerDisconnected(event.reason, remote=True))
        elif isinstance(event, ConnectionBroken):
            self._close(event.error)

    def _deliver(self, messages: Sequence[Message]) -> None:
        """Hand messages to their channels, until one of them has enough."""
        routes, limit = self._routes, BASE_LENGTH + len(self._routes)
        remaining = iter(messages)
        channel = None
        try:
            for code, payload, size in remaining:
                if code >= limit:
                    raise MessageError(f"message code out of range: {code}")
                received, offset, counts, sizes, channel = routes[code - BASE_LENGTH]
                code -= offset
                counts[code] += 1
                sizes[code] += size
                received(code, payload)
                if self._stallers:
                    self._inbox.append(MessagesReceived(list(remaining)))
                    return
                if self.closed:
                    return
        except Exception:
            self.fail(channel, Failure())

    def _call(self, channel: Channel, method: Callable[..., object], *arguments: object) -> None:
        """Call into a capability's code, which may fail, and may not be needed any more."""
        if not self.closed:
            try:
                method(*arguments)
            except Exception:
                self.fail(channel, Failure())

    def fail(self, speaker: object, failure: Failure) -> None:
        """A capability's code raised: that ends this peer, and only this peer; see L{CapabilityFaults.judge}."""
        if not self.closed:
            error, reason = self.faults.judge(speaker, failure)
            self._core.disconnect(reason)
            self._close(error)

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

    def checkSendable(self, code: int, payload: bytes) -> None:
        """
        Find out now whether a message, by its code on the wire, can be sent when there is room.

        @raise LocalProtocolError: it is too large for a frame.
        """
        self._core.check(code, payload)

    def sendNow(self, code: int, payload: bytes) -> int:
        """Send a message by its code on the wire, with the rest of this turn; the size of its frame (bytes)."""
        try:
            size = self._core.send(code, payload)
        except LocalProtocolError:
            if self._core.state is State.CLOSED:
                return 0  # the peer has left, as we learn when we have heard what it said before
            raise
        self._pending += size
        if self._pending > BURST:
            self._write(self._core.data_to_send(), offer=not self._offered)
            self._offered = True
        if not self._flushDue:
            self._flushSoon()
        return size

    def queueStarted(self, channel: Channel) -> None:
        """A channel that had nothing queued queues a message: it takes its turns from now on."""
        self._waiting.append(channel)

    def queueGrew(self) -> None:
        """A channel has much queued, and queued more."""
        if self.queued > MAX_QUEUED and not self.closed:
            error = SendBufferFull(f"{self.queued} bytes wait for a peer that does not read")
            self._waiting.clear()
            for channel in self.channels:
                channel.clear()
            self._core.disconnect(error.reason)
            self._close(error)

    def wantMore(self) -> None:
        """A channel has got a pull producer."""
        self._flushSoon()

    def _flushSoon(self) -> None:
        if not self._flushDue and not self.closed:
            self._flushDue = True
            self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flushDue = self._offered = False
        if self.congested or not self.connected:
            return
        if data := self._core.data_to_send():
            self._write(data)
        if not self.congested and not self.closed:
            self._pull()  # what is sent now makes the next flush due, which asks for more

    def _write(self, data: bytes, offer: bool = True) -> None:
        """
        Write with nothing queued before: what the socket does not take at once makes us congested.

        @param offer: whether to ask the socket. One burst in a turn is enough: a peer that reads as fast as we write
            would have a producer go on for ever, and nobody else would get a turn.
        """
        self._pending = 0
        taken = self._offer(data) if offer else 0
        if taken < len(data):
            self._unwritten = memoryview(data)[taken:]
            self.congested = True
            self._armWriteAlarm()
            self.transport.registerProducer(self, False)

    def _offer(self, data: Bytes) -> int:
        """Give bytes to the socket itself, which spares a turn of the reactor; how many it took."""
        if self._socket is None or not self.transport.connected:
            return 0
        try:
            taken = self._socket.send(data)
        except OSError:  # full, or broken, which the transport's own write will find out
            return 0
        self._volume.sent += taken
        return taken

    def resumeProducing(self) -> None:
        """See C{IPullProducer}, which we are while congested: all is written, so give the next burst."""
        for _ in range(0 if self._offered else BURSTS_PER_TURN):
            if not self._unwritten and not self._nextBurst():
                self._drained()
                return
            if not self._offerBurst():
                break
        if self._unwritten or self._nextBurst():
            self._armWriteAlarm()
            data, self._unwritten = bytes(self._unwritten[:BURST]), self._unwritten[BURST:]
            self._volume.sent += len(data)
            self.transport.write(data)
        else:
            self._drained()

    def _offerBurst(self) -> bool:
        """Give the socket a burst of what is unwritten; whether it took that."""
        burst = self._unwritten[:BURST]
        taken = self._offer(burst)
        # an empty view of a large message would hold its memory while the next one is made
        self._unwritten = self._unwritten[taken:] if taken < len(self._unwritten) else _NOTHING
        return taken == len(burst)

    def stopProducing(self) -> None:
        """See C{IPullProducer}: the transport is gone."""
        self._unwritten = _NOTHING

    def _drained(self) -> None:
        """The socket has taken everything."""
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
        self._pull()

    def _nextBurst(self) -> bool:
        """Collect what is written next; whether there was anything."""
        room: float = BURST
        while room > 0 and (not self.closed or self._farewell is not None):
            self._pull()
            if not self._waiting:
                break
            room = self._sendQueued(room)
        self._sayFarewell()
        self._unwritten = memoryview(self._core.data_to_send())
        for channel in self.channels:
            self._call(channel, channel.drained)
        return len(self._unwritten) > 0

    def _sayFarewell(self) -> None:
        if self._farewell is not None and not self._waiting:
            self._core.disconnect(self._farewell)
            self._farewell = None

    def _pull(self) -> None:
        """Ask the pull producers for more."""
        for channel in self.channels:
            if channel.pulls:
                self._call(channel, channel.pull)

    def _sendQueued(self, room: float) -> float:
        """Let the channels that have something queued take turns, a message each; what is left of C{room} bytes."""
        waiting, send = self._waiting, self._core.send
        while waiting and room > 0:
            channel = waiting.popleft()
            try:
                room -= channel.sendQueued(send)
            except Exception:
                waiting.clear()
                self.fail(channel, Failure())
                return 0
            if channel.queued:
                waiting.append(channel)
        return room

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
        if self.closed:
            return
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
        self.transport.resumeProducing()  # or we would not learn that the peer closes
        if ITCPTransport.providedBy(self.transport):
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()
