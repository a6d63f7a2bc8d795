"""
Tests for L{devp2p_tx.core.rlpx.connection}: Hellos that are refused, and how connections end.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import snappy
from devp2p_tx.core.p2p.messages import DISCONNECT, HELLO, PING, Cap, Hello
from devp2p_tx.core.rlpx.connection import State
from devp2p_tx.core.rlpx.events import ConnectionBroken, DisconnectReceived, Event, HelloReceived, MessagesReceived
from devp2p_tx.errors import (
    DisconnectReason,
    FrameError,
    HelloError,
    InvalidIdentity,
    InvalidSnappy,
    RemoteProtocolError,
)
from tests.core.rlpx.pairs import THEIRS, Talk, disconnect_of, our_hello, their_hello
from tests.vectors import rlpx_messages as vectors


class EndTests(SynchronousTestCase):
    """What the tests of ends share."""

    def assert_broken(self, talk: Talk, events: list[Event], error: type[RemoteProtocolError]) -> None:
        """The connection ended by just this error."""
        [event] = events
        assert isinstance(event, ConnectionBroken), event
        self.assertIs(type(event.error), error)
        self.assertIs(talk.connection.state, State.CLOSED)
        self.assertIsNone(talk.connection.get_timer())


class RefusedHelloTests(EndTests):
    """First messages that are no good Hello."""

    def first(self, code: int, payload: bytes) -> tuple[Talk, list[Event]]:
        """A talk in which the peer begins like that, and our Hello is on its way."""
        talk = Talk()
        talk.connection.send_hello(our_hello())
        talk.sent()
        return talk, talk.receive(talk.writer.message(code, payload))

    def test_not_hello(self) -> None:
        """Anything else is a breach of the protocol: a ping, reserved codes, those of capabilities."""
        for code in (PING, 3, 4, 16, 0x989898):
            talk, events = self.first(code, their_hello().encode())
            self.assert_broken(talk, events, HelloError)
            self.assertEqual(talk.sent(), [(DISCONNECT, b"\xc1\x02")])

    def test_malformed(self) -> None:
        """No list, too short a list, or compressed, which a Hello never is."""
        for payload in (b"", b"\x83\1\2\3", b"\xc0", b"\xf8", snappy.compress(their_hello().encode())):
            talk, events = self.first(HELLO, payload)
            self.assert_broken(talk, events, HelloError)
            self.assertEqual(talk.sent(), [(DISCONNECT, b"\xc1\x02")])

    def test_identity(self) -> None:
        """A node key of zeros or of a wrong length is told so, uncompressed since there was no Hello."""
        for key in (bytes(64), b"", b"\1" * 63, b"\1" * 65):
            talk, events = self.first(HELLO, Hello("them", (), key).encode())
            self.assert_broken(talk, events, InvalidIdentity)
            self.assertEqual(disconnect_of(talk), bytes((0xC1, DisconnectReason.INVALID_IDENTITY)))

    def test_size(self) -> None:
        """2048 bytes are read; one more is refused, and far more as soon as the header says so."""
        key = THEIRS.public_key.to_bytes()
        spare = 2048 - len(Hello("x" * 1000, (), key).encode())
        talk, [event] = self.first(HELLO, Hello("x" * (1000 + spare), (), key).encode())
        self.assertIsInstance(event, HelloReceived)
        talk, events = self.first(HELLO, Hello("x" * (1001 + spare), (), key).encode())
        self.assert_broken(talk, events, HelloError)
        talk = Talk()
        self.assert_broken(talk, talk.receive(talk.writer.header(4096)), FrameError)

    def test_thousands_of_capabilities(self) -> None:
        """3,000 of them are a frame over the limit."""
        caps = tuple(Cap(f"c{number}", 1) for number in range(3000))
        talk, events = self.first(HELLO, Hello("them", caps, THEIRS.public_key.to_bytes()).encode())
        self.assert_broken(talk, events, FrameError)

    def test_limit_ends_with_hello(self) -> None:
        """Messages after it may have any size, be they in one piece with it."""
        talk = Talk()
        hello = talk.writer.message(HELLO, their_hello(4).encode())
        _, run = talk.receive(hello, talk.writer.message(16, bytes(100_000)))
        self.assertEqual(run.messages[0][1], bytes(100_000))


class DisconnectTests(EndTests):
    """Disconnects that we get and send."""

    def test_instead_of_hello(self) -> None:
        """It may be the peer's first message, in any of its forms; the reason goes back as an uncompressed list."""
        for payload in ("c104", "04", "0204c104", "010004"):
            talk = Talk()
            events = talk.receive(talk.writer.message(DISCONNECT, bytes.fromhex(payload)))
            self.assertEqual(events, [DisconnectReceived(DisconnectReason.TOO_MANY_PEERS)])
            self.assertEqual(disconnect_of(talk), b"\xc1\x04")

    def test_echo(self) -> None:
        """After the Hellos the reason goes back too, compressed as everything is then."""
        for payload in ("c104", "04", "0204c104", "010004"):
            talk = Talk().exchange_hellos()
            events = talk.receive(talk.writer.message(DISCONNECT, bytes.fromhex(payload)))
            self.assertEqual(events, [DisconnectReceived(DisconnectReason.TOO_MANY_PEERS)])
            self.assertEqual(disconnect_of(talk), snappy.compress(b"\xc1\x04"))

    def test_between_messages(self) -> None:
        """Messages before it are told, what follows it is not read, be it right or wrong."""
        talk = Talk().exchange_hellos(version=4)
        frames = [talk.writer.message(code, b"\xc1\x08") for code in (PING, 16, DISCONNECT, 17, DISCONNECT)]
        events = talk.receive(*frames, bytes(64))
        self.assertEqual(events, [MessagesReceived([(16, b"\xc1\x08", 64)]), DisconnectReceived(8)])
        self.assertEqual([code for code, _ in talk.sent()], [3, DISCONNECT])

    def test_ours_before_our_hello(self) -> None:
        """A refusal instead of our Hello is uncompressed, also if the peer's Hello has come."""
        for hello_came in (False, True):
            talk = Talk()
            if hello_came:
                talk.receive(talk.writer.message(HELLO, their_hello().encode()))
            talk.connection.disconnect(DisconnectReason.TOO_MANY_PEERS)
            self.assertEqual(disconnect_of(talk), b"\xc1\x04")

    def test_ours_before_their_hello(self) -> None:
        """After our Hello, but before theirs, it is uncompressed too: we do not know what they speak."""
        talk = Talk()
        talk.connection.send_hello(our_hello())
        talk.sent()
        talk.connection.disconnect(DisconnectReason.REQUESTED)
        self.assertEqual(disconnect_of(talk), b"\xc1\x80")

    def test_ours_after_hellos(self) -> None:
        """After both it is compressed, for those who can read that."""
        for version, payload in [(4, b"\xc1\x04"), (5, snappy.compress(b"\xc1\x04"))]:
            talk = Talk().exchange_hellos(version)
            talk.connection.disconnect(DisconnectReason.TOO_MANY_PEERS)
            self.assertEqual(disconnect_of(talk), payload)


class ThunkTests(EndTests):
    """The bodies that nim-eth tests itself with."""

    def test_messages(self) -> None:
        """Codes of 16 and above reach their capability with whatever they hold; those below mean nothing to us."""
        talk = Talk().exchange_hellos(version=4)
        for body, code, payload in vectors.THUNKS:
            events = talk.receive(talk.writer.frame(bytes.fromhex(body)))
            told = [(code, bytes.fromhex(payload))] if code >= 16 else []
            self.assertEqual([message[:2] for event in events for message in event.messages], told)

    def test_disconnects(self) -> None:
        """What cannot be read as a reason ends the connection as well."""
        for body, reason in vectors.THUNK_DISCONNECTS:
            talk = Talk().exchange_hellos(version=4)
            self.assertEqual(talk.receive(talk.writer.frame(bytes.fromhex(body))), [DisconnectReceived(reason)])


class ClosedTests(EndTests):
    """After the end."""

    def ended(self) -> list[Talk]:
        """Talks that ended by our Disconnect, by theirs, and by an error."""
        talks = [Talk().exchange_hellos(version=4) for _ in range(3)]
        talks[0].connection.disconnect(8)
        talks[1].receive(talks[1].writer.message(DISCONNECT, b"\xc1\x08"))
        talks[2].receive(bytes(64))
        for talk in talks:
            talk.sent()
        return talks

    def test_nothing_more(self) -> None:
        """Neither bytes nor time nor a second Disconnect bring anything out of it."""
        for talk in self.ended():
            self.assertEqual(talk.receive(talk.writer.message(16), bytes(64)), [])
            self.assertEqual(talk.after(1000), [])
            talk.connection.disconnect(4)
            talk.connection.resume_reading(talk.now)
            self.assertIsNone(talk.connection.get_timer())
            self.assertEqual(talk.connection.data_to_send(), b"")

    def test_bad_snappy(self) -> None:
        """A payload in the clear where a compressed one is due is a breach of the protocol."""
        talk = Talk().exchange_hellos()
        self.assert_broken(talk, talk.receive(talk.writer.message(16, b"\xc0")), InvalidSnappy)
        self.assertEqual(talk.sent(), [(DISCONNECT, snappy.compress(b"\xc1\x02"))])
