"""
What one capability has of a connection: its range of message codes, its queue, its say in flow control.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConsumer
from twisted.python.failure import Failure
from zope.interface import implementer

from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.metrics import Traffic
from devp2p_tx.core.p2p.capabilities import Match
from devp2p_tx.core.rlpx.frames import Bytes, flat
from devp2p_tx.errors import DisconnectReason, LocalProtocolError
from devp2p_tx.interfaces import ICapability, ICapabilityProtocol, ICapabilityTransport
from devp2p_tx.net.rlpx.faults import CapabilityFaults

#: What a channel may have queued before its producer is paused, and when that is resumed (bytes).
HIGH_WATER = 256 * 1024
LOW_WATER = HIGH_WATER // 4
#: What a queued message costs beside its payload: a tuple, a bytes object, a place in a queue, roughly (bytes).
MESSAGE_COST = 128

#: Is told of every message: whether it was sent (or received), of which capability, its code there, its size (bytes).
MessageObserver = Callable[[bool, ICapability, int, int], object]


class Connection(Protocol):
    """
    What a channel asks of the connection that it is part of; L{devp2p_tx.net.rlpx.protocol.RLPxProtocol} provides it.

    @ivar closed: whether the connection has ended.
    @ivar congested: whether messages wait in queues, because the peer does not read.
    @ivar remoteKey: the peer's static key, once the handshake is done.
    @ivar faults: what is told of failures of capabilities.
    @ivar localKey: our static key.
    """

    closed: bool
    congested: bool
    remoteKey: PublicKey | None
    faults: CapabilityFaults

    @property
    def localKey(self) -> PublicKey: ...

    @property
    def remoteAddress(self) -> IAddress: ...

    @property
    def localAddress(self) -> IAddress: ...

    def sendNow(self, code: int, payload: bytes) -> int: ...

    def checkSendable(self, code: int, payload: bytes) -> None: ...

    def queueStarted(self, channel: Channel) -> None: ...

    def queueGrew(self) -> None: ...

    def wantMore(self) -> None: ...

    def pauseReading(self, channel: Channel) -> None: ...

    def resumeReading(self, channel: Channel) -> None: ...

    def disconnect(self, reason: int) -> None: ...

    def abort(self) -> None: ...

    def fail(self, channel: Channel, failure: Failure) -> None: ...


@implementer(ICapabilityTransport, IConsumer)
class Channel:
    """
    The transport of one capability's protocol.

    @ivar capability: what is spoken here.
    @ivar offset: the code on the wire of its message 0.
    @ivar protocol: who speaks it, until the end.
    @ivar queued: what waits because the peer does not read: payloads, and L{MESSAGE_COST} for each (bytes).
    @ivar pulls: whether a pull producer wants to be asked for more.
    """

    def __init__(
        self,
        connection: Connection,
        match: Match[ICapability],
        protocol: ICapabilityProtocol,
        traffic: Traffic,
        observe: MessageObserver | None = None,
    ) -> None:
        """
        @param protocol: what the capability built.
        @raise TypeError: that is no protocol.
        """
        if not callable(getattr(protocol, "messageReceived", None)):
            raise TypeError(f"buildProtocol returned {protocol!r}, which is no ICapabilityProtocol")
        self.capability = match.capability
        self.offset = match.offset
        self.protocol = protocol
        self.queued = 0
        self._connection = connection
        self._length = match.capability.length
        self._sent = traffic.sent
        self._observe = observe
        self._queue: deque[tuple[int, bytes]] = deque()
        self._producer: Any = None
        self._streaming = True
        self._paused = False
        self._connected = False
        self.pulls = False
        self._waiting: list[Deferred[None]] = []

    def __repr__(self) -> str:
        return f"<Channel {self.capability.name}/{self.capability.version}>"

    # Outwards.

    def sendMessage(self, code: int, payload: Bytes) -> None:
        """See L{ICapabilityTransport}."""
        if not 0 <= code < self._length:
            raise LocalProtocolError(f"{self!r} has no message {code}")
        if not isinstance(payload, bytes):
            payload = bytes(flat(payload))  # which may wait, and must not change meanwhile
        connection = self._connection
        if connection.closed:
            return
        if connection.congested:
            self._enqueue(code, payload)
        else:
            self._send(connection.sendNow, code, payload)

    def _send(self, send: Callable[[int, bytes], int], code: int, payload: bytes) -> int:
        """Give C{send} a message, and count it; the size of its frame (bytes)."""
        size = send(self.offset + code, payload)
        self._sent.messages[code] += 1
        self._sent.bytes[code] += size
        if self._observe is not None:
            self._observe(True, self.capability, code, len(payload))
        return size

    def _enqueue(self, code: int, payload: bytes) -> None:
        self._connection.checkSendable(self.offset + code, payload)
        if not self._queue:
            self._connection.queueStarted(self)
        self._queue.append((code, payload))
        self.queued += len(payload) + MESSAGE_COST
        if self.queued > HIGH_WATER:
            self._connection.queueGrew()
            if not self._paused:
                self._paused = True
                if self._producer is not None and self._streaming:
                    self._producer.pauseProducing()

    def sendQueued(self, send: Callable[[int, bytes], int]) -> int:
        """Give C{send} the oldest of the messages that wait; the size of its frame (bytes)."""
        code, payload = self._queue[0]
        size = self._send(send, code, payload)
        self._queue.popleft()  # last, so that who sends from within an observer does not start the queue anew
        self.queued -= len(payload) + MESSAGE_COST
        return size

    def clear(self) -> None:
        """Forget what waits: it will not be sent."""
        self._queue.clear()
        self.queued = 0

    def drained(self) -> None:
        """Room was made in the queue."""
        if self._paused and self.queued <= LOW_WATER:
            self._paused = False
            if self._producer is not None and self._streaming:
                self._producer.resumeProducing()
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                if not each.called:  # one may cancel another
                    each.callback(None)

    def pull(self) -> None:
        """Ask it, unless what it gave still waits."""
        if not self._queue:
            self._producer.resumeProducing()

    def whenWritable(self) -> Deferred[None]:
        """Fires when the queue has room, at once if it has it now; fails with the reason when the peer is gone."""
        waiting: Deferred[None] = Deferred(self._forgetWaiting)
        if self._paused or self._connection.closed:  # whoever writes in a loop would never stop
            self._waiting.append(waiting)
        else:
            waiting.callback(None)
        return waiting

    def _forgetWaiting(self, cancelled: Deferred[None]) -> None:
        if cancelled in self._waiting:
            self._waiting.remove(cancelled)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See C{IConsumer}."""
        if self._producer is not None:
            raise RuntimeError(f"{self!r} has a producer already: {self._producer!r}")
        if self._connection.closed:
            producer.stopProducing()
            return
        self._producer, self._streaming = producer, streaming
        self.pulls = not streaming
        if not streaming:
            self._connection.wantMore()
        elif self._paused:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """See C{IConsumer}."""
        self._producer = None
        self.pulls = False

    def write(self, data: bytes) -> None:
        """Not for messages, which have codes."""
        raise LocalProtocolError("a capability sends messages: use sendMessage")

    # Inwards.

    def receiver(self) -> Callable[[int, bytes], object]:
        """What to call with each message received; an observer costs nothing where there is none."""
        received: Callable[[int, bytes], object] = self.protocol.messageReceived
        observe = self._observe
        if observe is None:
            return received

        def observed(code: int, payload: bytes) -> None:
            observe(False, self.capability, code, len(payload))
            received(code, payload)

        return observed

    def pauseProducing(self) -> None:
        """See L{ICapabilityTransport}."""
        self._connection.pauseReading(self)

    def resumeProducing(self) -> None:
        """See L{ICapabilityTransport}."""
        self._connection.resumeReading(self)

    def stopProducing(self) -> None:
        """See C{IPushProducer}: the end of the connection."""
        self.loseConnection()

    # The connection.

    def connect(self) -> None:
        """Give the protocol its transport; only then it will be told of the end."""
        self._connected = True
        self.protocol.makeConnection(self)

    def loseConnection(self, reason: int = DisconnectReason.REQUESTED) -> None:
        """See L{ICapabilityTransport}."""
        self._connection.disconnect(reason)

    def abortConnection(self) -> None:
        """Close at once, without a word."""
        self._connection.abort()

    def keys(self) -> tuple[PublicKey, PublicKey]:
        """The peer's static key, and ours."""
        assert self._connection.remoteKey is not None
        return self._connection.remoteKey, self._connection.localKey

    def failed(self, failure: Failure) -> None:
        """The capability's code failed, outside of any call of ours."""
        self._connection.fail(self, failure)

    def failedLate(self, failure: Failure) -> None:
        """Likewise, when the peer had gone."""
        self._connection.faults.report(self, failure, "its peer had gone")

    def getPeer(self) -> IAddress:
        """See L{ICapabilityTransport}."""
        return self._connection.remoteAddress

    def getHost(self) -> IAddress:
        """See L{ICapabilityTransport}."""
        return self._connection.localAddress

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""
        self.clear()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.errback(reason)
        producer, self._producer, self.pulls = self._producer, None, False
        try:
            if producer is not None:
                producer.stopProducing()
        finally:
            protocol = self.protocol
            del self.protocol  # which holds us: what is gone should not wait for the garbage collector
            if self._connected:
                protocol.connectionLost(reason)
