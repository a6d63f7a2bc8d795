"""
A peer that misbehaves: it can send anything at any stage of an RLPx connection, in either role.

::

    peer = ScriptedPeer(serverKey.public_key, does=Stage.HELLO)
    peer.connect(network.host("192.0.2.66"), "192.0.2.1", 30303)
    network.settle()
    peer.send(0x10, snappyBomb(), compress=False)
    network.settle()
    assert peer.reason is not None

It works over any Twisted transport, so real sockets can be tested with it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import IntEnum
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTCP, IReactorTime
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey, RandomBytes
from devp2p_tx.core.p2p.messages import DISCONNECT, HELLO, PING, PONG, Cap, Hello, decode_disconnect, encode_disconnect
from devp2p_tx.core.rlpx.frames import FrameReader, FrameWriter
from devp2p_tx.core.rlpx.handshake import Initiator, Recipient, Secrets

#: Where the parts of a frame with a body of up to 16 bytes are: for L{ScriptedPeer.sendCorrupt}.
HEADER, HEADER_MAC, BODY, BODY_MAC = 0, 16, 32, -16


class Stage(IntEnum):
    """How far a L{ScriptedPeer} behaves well by itself."""

    #: It does nothing but connect.
    CONNECTED = 0
    #: It does its part of the handshake.
    HANDSHAKE = 1
    #: It sends a Hello, too.
    HELLO = 2


class ScriptedPeer(Protocol):
    """
    One end of a connection, which does what it is told. It never closes the connection by itself.

    @ivar key: its static key.
    @ivar data: what it read of bytes, until there was a handshake.
    @ivar messages: what it read since, as C{(code, payload)}, expanded.
    @ivar handshaken: whether both sides hold secrets.
    @ivar reason: why the connection ended; C{None} while it lasts.
    """

    transport: Any = None

    def __init__(
        self,
        remote: PublicKey | None = None,
        does: Stage = Stage.HANDSHAKE,
        caps: tuple[Cap, ...] = (Cap("echo", 1),),
        key: PrivateKey | None = None,
        randomBytes: RandomBytes | None = None,
    ) -> None:
        """
        @param remote: the static key that it calls; C{None} makes it the one who is called.
        @param does: what it does by itself.
        @param caps: what its Hello announces.
        @param key: its static key; by default made with C{randomBytes}.
        @param randomBytes: by default always the same.
        """
        self._random = randomBytes or Random(1).randbytes  # noqa: S311 (it should be predictable)
        self.key = key or PrivateKey.generate(self._random)
        self.data = b""
        self.messages: list[tuple[int, bytes]] = []
        self.handshaken = False
        self.reason: Failure | None = None
        self._does = does
        self._caps = caps
        self._handshake: Any = Recipient(self.key, self._random)
        if remote is not None:
            self._handshake = Initiator(self.key, remote, self._random)
        self._gathered: list[bytes] | None = None
        self._loops: list[LoopingCall] = []
        self._helloSent = self._helloReceived = False

    # Getting there.

    def connect(self, reactor: IReactorTCP, host: str, port: int) -> None:
        """Call somebody; nothing tells of a failure."""
        reactor.connectTCP(host, port, _Client(self))

    def listen(self, reactor: IReactorTCP, port: int = 0) -> IListeningPort:
        """Wait for one call."""
        service: Any = _Service(self)
        return reactor.listenTCP(port, service)

    # What it saw.

    @property
    def ended(self) -> bool:
        """Whether the connection is over."""
        return self.reason is not None

    @property
    def disconnectReason(self) -> int | None:
        """The reason of the Disconnect that came; C{None} if there was none."""
        reasons = [decode_disconnect(payload) for code, payload in self.messages if code == DISCONNECT]
        return reasons[0] if reasons else None

    def payloads(self, code: int) -> list[bytes]:
        """Those of the messages with this code."""
        return [payload for each, payload in self.messages if each == code]

    @property
    def pongs(self) -> int:
        """How many came."""
        return len(self.payloads(PONG))

    # What it sends.

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self._gathered is None:
            self.transport.write(data)
        else:
            self._gathered.append(data)

    @contextmanager
    def inOneWrite(self) -> Iterator[None]:
        """Send all that is sent within in one piece, to arrive in one read."""
        gathered: list[bytes] = []
        self._gathered = gathered
        try:
            yield
        finally:
            self._gathered = None
        self.write(b"".join(gathered))

    def goOn(self, does: Stage) -> None:
        """Behave further than it was told at first: answer what was read meanwhile."""
        self._does = does
        if self.handshaken:
            if does >= Stage.HELLO and not self._helloSent:
                self.sendHello()
        elif isinstance(self._handshake, Initiator) and not self.data:
            self.write(self.auth())
        else:
            self._shake()

    def writeSlowly(self, data: bytes, clock: IReactorTime, interval: float, size: int = 1) -> Deferred[Any]:
        """
        Send bytes a few at a time.

        @param interval: seconds between two pieces.
        @param size: bytes in a piece.
        @return: fires when all was sent, or the connection is over.
        """
        pieces = iter([data[at : at + size] for at in range(0, len(data), size)])

        def next_() -> None:
            piece = next(pieces, None)
            if piece is None:
                loop.stop()
            else:
                self.write(piece)

        loop = LoopingCall(next_)
        return self._repeat(loop, clock, interval)

    def pingForEver(self, clock: IReactorTime, interval: float, batch: int = 100) -> Deferred[Any]:
        """Send C{batch} pings every C{interval} seconds, until the connection is over."""

        def pings() -> None:
            self.write(b"".join(self.frame(PING, rlp.EMPTY_LIST) for _ in range(batch)))

        return self._repeat(LoopingCall(pings), clock, interval)

    def _repeat(self, loop: LoopingCall, clock: IReactorTime, interval: float) -> Deferred[Any]:
        loop.clock = clock
        self._loops.append(loop)
        return loop.start(interval)

    def auth(self) -> bytes:
        """The packet that begins a handshake, for a peer that calls: to be sent whole, damaged or in part."""
        packet: bytes = self._handshake.auth()
        return packet

    def frame(self, code: int, payload: bytes, compress: bool | None = None) -> bytes:
        """
        The next frame: the frames that are made must be sent in order, and all.

        @param code: as on the wire.
        @param compress: whether C{payload} is compressed; by default as the protocol has it at this stage.
        """
        usual = self._helloSent and self._helloReceived and code != HELLO
        self._writer.snappy = usual if compress is None else compress
        return self._writer.write(code, payload)

    def send(self, code: int, payload: bytes, compress: bool | None = None) -> None:
        """Send one message; see L{frame}."""
        self.write(self.frame(code, payload, compress))

    def sendCorrupt(self, code: int, payload: bytes, at: int) -> None:
        """Send one message with one bit of its frame flipped: in the byte at C{at}, such as L{HEADER_MAC}."""
        frame = bytearray(self.frame(code, payload))
        frame[at] ^= 1
        self.write(bytes(frame))

    def hello(self, **changes: Any) -> Hello:
        """An honest Hello, but for C{changes} of its fields."""
        return replace(Hello("scripted peer", self._caps, self.key.public_key.to_bytes()), **changes)

    def sendHello(self, **changes: Any) -> None:
        """Send an honest Hello, but for C{changes} of its fields."""
        self.send(HELLO, self.hello(**changes).encode(), compress=False)
        self._helloSent = True

    def sendDisconnect(self, reason: int, compress: bool | None = None) -> None:
        """Send a Disconnect, and leave the rest to the other side."""
        self.send(DISCONNECT, encode_disconnect(reason), compress)

    def stopReading(self) -> None:
        """Read nothing more, not even the end of the connection."""
        self.transport.pauseProducing()

    def readAgain(self) -> None:
        """End L{stopReading}."""
        self.transport.resumeProducing()

    # What the transport says.

    def connectionMade(self) -> None:
        """See C{IProtocol}."""
        if self._does and isinstance(self._handshake, Initiator):
            self.write(self.auth())

    def dataReceived(self, data: bytes) -> None:
        """See C{IProtocol}."""
        if self.handshaken:
            self._read(data)
            return
        self.data += data
        if self._does:
            self._shake()

    def _shake(self) -> None:
        if isinstance(self._handshake, Initiator):
            acked = self._handshake.receive_ack(self.data)
            if acked is None:
                return
            secrets, size = acked
        else:
            answered = self._handshake.receive_auth(self.data)
            if answered is None:
                return
            secrets, ack, size = answered
            self.write(ack)
        rest, self.data = self.data[size:], self.data[:size]
        self._begin(secrets)
        self._read(rest)

    def _begin(self, secrets: Secrets) -> None:
        self.handshaken = True
        self._writer, self._reader = FrameWriter(secrets), FrameReader(secrets)
        if self._does >= Stage.HELLO:
            self.sendHello()

    def _read(self, data: bytes) -> None:
        while received := self._reader.read(data, most=1):
            data = b""
            code, payload, _ = received[0]
            self.messages.append((code, payload))
            if code == HELLO:
                self._helloReceived = True
                self._reader.snappy = True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See C{IProtocol}."""
        self.reason = reason
        for loop in self._loops:
            if loop.running:
                loop.stop()


class _Client(ClientFactory):
    noisy = False

    def __init__(self, peer: ScriptedPeer) -> None:
        self._peer = peer

    def buildProtocol(self, addr: IAddress | None) -> ScriptedPeer:
        return self._peer


class _Service(Factory):
    noisy = False

    def __init__(self, peer: ScriptedPeer) -> None:
        self._peer: ScriptedPeer | None = peer

    def buildProtocol(self, addr: IAddress | None) -> ScriptedPeer | None:
        peer, self._peer = self._peer, None
        return peer


def snappyBomb(declared: int = (1 << 32) - 1, expanded: int = 0) -> bytes:
    """
    A block that claims to be C{declared} bytes long, and expands to about C{expanded}, at a 21st of the cost.

    (snappy C{format_description.txt}: the length, base 128 and little endian; a literal of one byte; copies of 64.)
    """
    preamble = bytearray()
    while declared >= 0x80:
        preamble.append(declared & 0x7F | 0x80)
        declared >>= 7
    preamble.append(declared)
    literal, copy = b"\x00\x00", bytes([63 << 2 | 2, 1, 0])
    return bytes(preamble) + literal + copy * (expanded // 64)
