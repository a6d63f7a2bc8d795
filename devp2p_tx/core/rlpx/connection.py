"""
One RLPx connection, without any I/O: bytes and the time go in, events and bytes come out.

::

    HANDSHAKE --auth and ack read--> HELLO --their Hello read--> OPEN --Disconnect either way, any error--> CLOSED

The owner calls L{receive_data} with what the socket gave, acts on the events, and sends what L{data_to_send} returns.
It calls L{handle_timer} no earlier than L{get_timer} says, which may change with every call of anything.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import final

from devp2p_tx._sealed import Sealed, seal
from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto.ciphers import block_masker
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey, RandomBytes
from devp2p_tx.core.p2p import messages
from devp2p_tx.core.p2p.messages import Hello, decode_disconnect, encode_disconnect
from devp2p_tx.core.rlpx.events import (
    ConnectionBroken,
    DisconnectReceived,
    Event,
    HandshakeCompleted,
    HelloReceived,
    MessagesReceived,
)
from devp2p_tx.core.rlpx.frames import MAX_SIZE, Bytes, FrameReader, FrameWriter, Message
from devp2p_tx.core.rlpx.handshake import Initiator, Recipient, Secrets
from devp2p_tx.errors import HelloError, LocalProtocolError, RemoteProtocolError, Timeout

#: From the connection to the end of the RLPx handshake (seconds).
HANDSHAKE_TIMEOUT = 5.0
#: From the end of the RLPx handshake to the end of the peer's Hello (seconds), however slowly that comes.
HELLO_TIMEOUT = 5.0
#: From the end of one message to the end of the next (seconds); peers ping twice within it.
READ_TIMEOUT = 30.0
#: Between our pings (seconds).
PING_INTERVAL = 15.0
#: Pongs that may wait to be sent; pings beyond them are not answered.
MAX_PENDING_PONGS = 16
#: A Hello's frame: the message code, the payload, and what snappy adds to data that it cannot compress.
_MAX_HELLO_FRAME = messages.MAX_HELLO_SIZE + messages.MAX_HELLO_SIZE // 6 + 64


class State(Enum):
    """See the head of this module."""

    HANDSHAKE = auto()
    HELLO = auto()
    OPEN = auto()
    CLOSED = auto()


@final
class RLPxConnection(Sealed):
    """
    @ivar state: where the connection stands.
    @ivar remote: the peer's static key, once known; of an inbound connection only claimed until C{hello} was read.
    @ivar hello: the peer's Hello, once read: the first frame that verified, which proves C{remote}.
    """

    __slots__ = (
        "_buffer",
        "_handshake",
        "_hello_sent",
        "_next_ping",
        "_open",
        "_out",
        "_pongs",
        "_read_deadline",
        "_reader",
        "_writer",
        "hello",
        "remote",
        "state",
    )

    def __init__(self, key: PrivateKey, now: float, random_bytes: RandomBytes, remote: PublicKey | None = None) -> None:
        """
        @param key: our static key.
        @param now: the time, in seconds from any origin.
        @param random_bytes: source of randomness.
        @param remote: whom we call; C{None} makes us the one who is called.
        """
        self.state = State.HANDSHAKE
        self.remote = remote
        self.hello: Hello | None = None
        self._buffer = bytearray()
        self._out: list[Bytes] = []
        self._pongs = 0
        self._hello_sent = False
        self._open = False  # whether the state is OPEN, which every message asks
        self._read_deadline: float | None = now + HANDSHAKE_TIMEOUT
        self._next_ping: float | None = None
        self._handshake: Initiator | Recipient
        if remote is None:
            self._handshake = Recipient(key, random_bytes)
        else:
            self._handshake = Initiator(key, remote, random_bytes)
            self._out.append(self._handshake.auth())

    # Bytes in.

    def receive_data(self, data: Bytes, now: float) -> list[Event]:
        """What C{data} means, in order. After a L{ConnectionBroken} or L{DisconnectReceived} nothing more is read."""
        events: list[Event] = []
        if not isinstance(data, bytes):
            data = memoryview(data).tobytes()
        try:
            if self._open:
                self._receive_messages(data, now, events)
            elif self.state is not State.CLOSED:
                self._receive_early(data, now, events)
        except RemoteProtocolError as error:
            events.append(self._break(error))
        return events

    def _receive_early(self, data: bytes, now: float, events: list[Event]) -> None:
        if self.state is State.HANDSHAKE:
            self._buffer += data
            if not self._receive_handshake(now, events):
                return
            data = bytes(self._buffer)
            self._buffer.clear()
        if self._receive_hello(data, now, events):
            self._receive_messages(b"", now, events)

    def _receive_handshake(self, now: float, events: list[Event]) -> bool:
        if isinstance(self._handshake, Initiator):
            if (acked := self._handshake.receive_ack(self._buffer)) is None:
                return False
            secrets, size = acked
        else:
            if (answered := self._handshake.receive_auth(self._buffer)) is None:
                return False
            secrets, ack, size = answered
            self._out.append(ack)
            self.remote = self._handshake.remote
        del self._buffer[:size]
        self._start_frames(secrets)
        self.state = State.HELLO
        self._read_deadline = now + HELLO_TIMEOUT
        assert self.remote is not None
        events.append(HandshakeCompleted(self.remote))
        return True

    def _start_frames(self, secrets: Secrets) -> None:
        mask = block_masker(secrets.mac)
        self._writer = FrameWriter(secrets, mask)
        self._reader = FrameReader(secrets, mask)
        self._reader.limit = _MAX_HELLO_FRAME

    def _receive_hello(self, data: bytes, now: float, events: list[Event]) -> bool:
        received = self._reader.read(data, most=1)
        if not received:
            return False
        code, payload, _ = received[0]
        if code == messages.DISCONNECT:
            self._receive_disconnect(payload, events)
            return False
        if code != messages.HELLO:
            raise HelloError(f"expected Hello, got message {code:#x}")
        self.hello = Hello.decode(payload)
        self.state = State.OPEN
        self._open = True
        self._reader.limit = MAX_SIZE
        self._reader.snappy = self.hello.version >= messages.SNAPPY_VERSION
        self._start_compressing()
        self._read_deadline = now + READ_TIMEOUT
        self._next_ping = now + PING_INTERVAL
        events.append(HelloReceived(self.hello))
        return True

    def _receive_messages(self, data: bytes, now: float, events: list[Event]) -> None:
        received = self._reader.read(data)
        if received:
            if self._read_deadline is not None:
                self._read_deadline = now + READ_TIMEOUT
            self._sort(received, events)
            if self._open:
                self._reader.check()

    def _sort(self, received: list[Message], events: list[Event]) -> None:
        """Keep the base protocol's messages here; hand on those of the capabilities as one run."""
        for message in received:
            if message[0] < messages.BASE_LENGTH:
                self._sort_mixed(received, events)
                return
        events.append(MessagesReceived(received))

    def _sort_mixed(self, received: list[Message], events: list[Event]) -> None:
        run: list[Message] = []
        for message in received:
            code, payload, _ = message
            if code >= messages.BASE_LENGTH:
                run.append(message)
            elif code == messages.PING:
                self._receive_ping()
            elif code == messages.DISCONNECT:
                self._add_run(run, events)
                self._receive_disconnect(payload, events)
                return
            # a second Hello, a Pong, and the reserved codes mean nothing to us
        self._add_run(run, events)

    @staticmethod
    def _add_run(run: list[Message], events: list[Event]) -> None:
        if run:
            events.append(MessagesReceived(run))

    def _receive_ping(self) -> None:
        if self._hello_sent and self._pongs < MAX_PENDING_PONGS:
            self._pongs += 1
            self._out.append(self._writer.write(messages.PONG, rlp.EMPTY_LIST))

    def _receive_disconnect(self, payload: bytes, events: list[Event]) -> None:
        reason = decode_disconnect(payload)
        self.disconnect(reason)  # the same reason back, as the field does
        events.append(DisconnectReceived(reason))

    # Bytes out.

    def send_hello(self, hello: Hello) -> None:
        """
        Send our Hello, once, after L{HandshakeCompleted}; the peer's own may be there already.

        @raise LocalProtocolError: at another time.
        """
        if self.state not in (State.HELLO, State.OPEN) or self._hello_sent:
            raise LocalProtocolError("a Hello is sent once, after the handshake")
        self._out.append(self._writer.write(messages.HELLO, hello.encode()))
        self._hello_sent = True
        self._start_compressing()

    def _start_compressing(self) -> None:
        """Compress what follows both Hellos."""
        self._writer.snappy = self._hello_sent and self.state is State.OPEN and self._reader.snappy

    def send(self, code: int, payload: Bytes) -> int:
        """
        Send a message of a capability, after both Hellos.

        @param code: as on the wire.
        @return: the size of its frame (bytes).
        @raise LocalProtocolError: before both Hellos, after the end, or over L{MAX_SIZE}.
        """
        if not self._open or not self._hello_sent:
            raise LocalProtocolError("messages are sent between the Hellos and the end of a connection")
        return self._writer.write_to(self._out, code, payload)

    def check(self, code: int, payload: bytes) -> None:
        """
        Find out now whether L{send} will take a message later.

        @raise LocalProtocolError: as L{send}.
        """
        if self._open:
            self._writer.check(code, payload)

    def disconnect(self, reason: int) -> None:
        """Tell the peer why we leave, if it can be told, and read and send nothing more."""
        if self.state in (State.HELLO, State.OPEN):
            self._out.append(self._writer.write(messages.DISCONNECT, encode_disconnect(reason)))
        self._close()

    def data_to_send(self) -> bytes:
        """What to write to the socket now, in one piece; each byte is returned once."""
        self._pongs = 0
        data = b"".join(self._out)
        self._out.clear()
        return data

    # Time.

    def get_timer(self) -> float | None:
        """When L{handle_timer} wants to be called, in the caller's own seconds; C{None} for never."""
        times = [time for time in (self._read_deadline, self._next_ping) if time is not None]
        return min(times, default=None)

    def handle_timer(self, now: float) -> list[Event]:
        """Do what is due: a ping, or the end of a peer that was silent for too long."""
        if self._read_deadline is not None and now >= self._read_deadline:
            return [self._break(Timeout(f"nothing to read in time ({self.state.name.lower()})"))]
        if self._next_ping is not None and now >= self._next_ping:
            self._next_ping = now + PING_INTERVAL
            if self._hello_sent:
                self._out.append(self._writer.write(messages.PING, rlp.EMPTY_LIST))
        return []

    def pause_reading(self) -> None:
        """The owner stops reading: the peer's silence is our own doing."""
        self._read_deadline = None

    def resume_reading(self, now: float) -> None:
        """The owner reads again."""
        if self.state is not State.CLOSED:
            self._read_deadline = now + READ_TIMEOUT

    def _break(self, error: RemoteProtocolError) -> ConnectionBroken:
        error.__traceback__ = error.__context__ = None  # whose frames know us, who are to be freed at once
        if error.reason is None:
            self._close()
        else:
            self.disconnect(error.reason)
        return ConnectionBroken(error)

    def _close(self) -> None:
        self.state = State.CLOSED
        self._open = False
        self._read_deadline = self._next_ping = None


seal(__name__)
