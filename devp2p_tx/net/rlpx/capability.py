"""
The two ways to write a capability: as a protocol with callbacks, and as a coroutine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from devp2p_tx.core.enr.entries import Entry
from devp2p_tx.errors import DisconnectReason
from devp2p_tx.interfaces import ICapability, ICapabilityProtocol, ICapabilityTransport, IPeer
from devp2p_tx.net.rlpx.channels import Channel

#: What a name may have; the specification's limit.
MAX_NAME_LENGTH = 8


@implementer(ICapabilityProtocol)
class CapabilityProtocol:
    """
    A base class to write capabilities with, in the manner of C{twisted.internet.protocol.Protocol}.

    @ivar transport: what messages are sent through, from L{connectionMade} on.
    @ivar peer: whom it speaks with, from L{connectionMade} on.
    """

    transport: ICapabilityTransport
    peer: IPeer

    def makeConnection(self, transport: ICapabilityTransport) -> None:
        """See L{ICapabilityProtocol}."""
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """The peer is there; override this to greet it."""

    def messageReceived(self, code: int, payload: bytes) -> None:
        """A message came; override this to read it."""

    def connectionLost(self, reason: Failure) -> None:
        """The peer is gone; override this to let go of what was held for it."""


@implementer(ICapability)
class Capability:
    """
    A capability whose protocols are made by a callable, such as a subclass of L{CapabilityProtocol}.

    @ivar name: at most 8 printable ASCII characters.
    @ivar version: 0 or more.
    @ivar length: how many message codes there are, 1 or more.
    """

    def __init__(
        self, name: str, version: int, length: int, protocol: Callable[[], ICapabilityProtocol] | None = None
    ) -> None:
        """
        @param protocol: makes one protocol a peer; without it, a subclass overrides L{buildProtocol}.
        @raise ValueError: the name, the version or the length is out of range.
        """
        if not (0 < len(name) <= MAX_NAME_LENGTH and name.isascii() and name.isprintable()):
            raise ValueError(f"a capability's name has 1 to {MAX_NAME_LENGTH} printable ASCII characters, not {name!r}")
        if version < 0 or not 0 < length < 1 << 32:
            raise ValueError(f"{name}: the version is 0 or more and the length 1 or more, not {version} and {length}")
        self.name = name
        self.version = version
        self.length = length
        self._protocol = protocol

    def __repr__(self) -> str:
        return f"<Capability {self.name}/{self.version}>"

    def buildProtocol(self, peer: IPeer) -> ICapabilityProtocol:
        """See L{ICapability}."""
        if self._protocol is None:
            raise NotImplementedError(f"{self!r} was given no protocol")
        protocol = self._protocol()
        if isinstance(protocol, CapabilityProtocol):
            protocol.peer = peer
        return protocol

    def recordEntries(self) -> Sequence[tuple[Entry[Any], Any]]:
        """See L{ICapability}."""
        return ()

    def nodeInfo(self) -> object:
        """See L{ICapability}."""
        return None

    def peerInfo(self, peerId: str) -> object:
        """See L{ICapability}."""
        return None


#: What L{CoroutineCapability} runs for each peer.
Run = Callable[[IPeer, "MessageStream"], Coroutine[Deferred[Any], Any, Any]]


class CoroutineCapability(Capability):
    """
    A capability written as one coroutine a peer::

        async def run(peer, rw):
            await rw.writeMessage(0, b"hello")
            while True:
                code, payload = await rw.readMessage()

    When it returns the peer is told "client quitting"; when it raises, "subprotocol error". When the peer is gone,
    C{readMessage} and C{writeMessage} raise the reason; what else it waits for is cancelled.
    """

    def __init__(self, name: str, version: int, length: int, run: Run) -> None:
        """
        @param run: called with the peer (L{IPeer}) and a L{MessageStream}.
        @raise ValueError: as L{Capability}.
        """
        super().__init__(name, version, length)
        self._run = run

    def buildProtocol(self, peer: IPeer) -> ICapabilityProtocol:
        """See L{ICapability}."""
        return MessageStream(peer, self._run)


@implementer(ICapabilityProtocol)
class MessageStream:
    """
    What a coroutine reads from and writes to.

    Flow control needs no thought: nothing is read from the peer beyond what was asked for, and writing waits for room.
    """

    def __init__(self, peer: IPeer, run: Run) -> None:
        self._peer, self._run = peer, run
        self._channel: Channel
        self._unread: deque[tuple[int, bytes]] = deque()
        self._reader: Deferred[tuple[int, bytes]] | None = None
        self._ended: Failure | None = None
        self._paused = False
        self._task: Deferred[Any] | None = None

    # What the coroutine calls.

    def readMessage(self) -> Deferred[tuple[int, bytes]]:
        """
        The next message, as C{(code, payload)}; messages that came before the end are given first.

        @return: fails with the reason when the peer is gone (see L{ICapabilityProtocol.connectionLost}). Cancelling it
            loses no message.
        @raise RuntimeError: another call is still waiting.
        """
        if self._reader is not None:
            raise RuntimeError("a readMessage is waiting already")
        reader: Deferred[tuple[int, bytes]] = Deferred(self._forgetReader)
        if self._unread:
            reader.callback(self._unread.popleft())
        elif self._ended is not None:
            reader.errback(self._ended)
        else:
            self._reader = reader
            if self._paused:
                self._paused = False
                self._channel.resumeProducing()
        return reader

    def _forgetReader(self, cancelled: Deferred[tuple[int, bytes]]) -> None:
        self._reader = None

    def writeMessage(self, code: int, payload: bytes) -> Deferred[None]:
        """
        Send a message.

        @return: fires when more can be sent; fails with the reason when the peer is gone.
        @raise LocalProtocolError: the code or the size is out of range.
        """
        if self._ended is not None:
            failed: Deferred[None] = Deferred()
            failed.errback(self._ended)
            return failed
        self._channel.sendMessage(code, payload)
        return self._channel.whenWritable()

    # What the connection calls.

    def makeConnection(self, transport: ICapabilityTransport) -> None:
        """See L{ICapabilityProtocol}."""
        assert isinstance(transport, Channel)
        self._channel = transport
        self._task = Deferred.fromCoroutine(self._run(self._peer, self))
        self._task.addCallbacks(self._returned, self._raised)

    def messageReceived(self, code: int, payload: bytes) -> None:
        """See L{ICapabilityProtocol}."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.callback((code, payload))
            return
        self._unread.append((code, payload))
        if not self._paused:
            self._paused = True
            self._channel.pauseProducing()

    def connectionLost(self, reason: Failure) -> None:
        """See L{ICapabilityProtocol}."""
        self._ended = reason
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.errback(reason)
        elif self._task is not None and not self._task.called:
            self._task.cancel()

    def _returned(self, result: object) -> None:
        self._channel.loseConnection(DisconnectReason.CLIENT_QUITTING)

    def _raised(self, failure: Failure) -> None:
        if self._ended is None:
            self._channel.failed(failure)
        elif failure.value is not self._ended.value and not failure.check(CancelledError):
            self._channel.failedLate(failure)
        failure.cleanFailure()  # its traceback knows us, who keep the error
