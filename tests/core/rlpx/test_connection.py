"""
Tests for L{devp2p_tx.core.rlpx.connection}: from the first byte to both Hellos, and messages after them.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import snappy
from devp2p_tx.core.p2p.messages import HELLO, PING, PONG
from devp2p_tx.core.rlpx.connection import RLPxConnection, State
from devp2p_tx.core.rlpx.events import (
    ConnectionBroken,
    Event,
    HandshakeCompleted,
    HelloReceived,
    MessagesReceived,
)
from devp2p_tx.errors import FrameError, HandshakeError, LocalProtocolError
from tests.core.rlpx.pairs import OURS, THEIRS, Talk, in_pieces, our_hello, randomness, their_hello


def connect(cuts: list[int]) -> tuple[list[Event], list[Event]]:
    """Two of our own side by side, each sending Hello and then a message; the events of both."""
    sides = [
        RLPxConnection(OURS, 0.0, randomness("ours"), THEIRS.public_key),
        RLPxConnection(THEIRS, 0.0, randomness("theirs")),
    ]
    hellos = [our_hello(), their_hello()]
    told: tuple[list[Event], list[Event]] = ([], [])
    for _ in range(6):
        for index, side in enumerate(sides):
            for piece in in_pieces(side.data_to_send(), cuts):
                for event in sides[1 - index].receive_data(piece, 1.0):
                    told[1 - index].append(event)
                    if isinstance(event, HandshakeCompleted):
                        sides[1 - index].send_hello(hellos[1 - index])
                    elif isinstance(event, HelloReceived):
                        sides[1 - index].send(16, b"from %d" % (1 - index))
    return told


class OwnSideTests(SynchronousTestCase):
    """Our code at both ends."""

    @given(st.lists(st.integers(0, 3000), max_size=8))
    def test_connect(self, cuts: list[int]) -> None:
        """However the bytes are cut: who it is, what it says, and then its messages."""
        ours, theirs = connect(cuts)
        run = [MessagesReceived([(16, b"from 1", 64)]), MessagesReceived([(16, b"from 0", 64)])]
        self.assertEqual(ours, [HandshakeCompleted(THEIRS.public_key), HelloReceived(their_hello()), run[0]])
        self.assertEqual(theirs, [HandshakeCompleted(OURS.public_key), HelloReceived(our_hello()), run[1]])


class HandshakeTests(SynchronousTestCase):
    """Before the first frame."""

    def test_roles(self) -> None:
        """The caller knows whom it calls and speaks first; the called one learns it, and answers."""
        for dialled in (True, False):
            talk = Talk(dialled=dialled)
            self.assertEqual(talk.began, [HandshakeCompleted(THEIRS.public_key)])
            self.assertEqual(talk.connection.remote, THEIRS.public_key)
            self.assertEqual((talk.connection.state, talk.connection.data_to_send()), (State.HELLO, b""))

    def test_broken(self) -> None:
        """A bad packet ends it without a word, in either role."""
        for remote in (None, THEIRS.public_key):
            connection = RLPxConnection(OURS, 0.0, randomness(), remote)
            connection.data_to_send()
            [event] = connection.receive_data(b"\xff\xff", 1.0)
            self.assertIsInstance(event.error, HandshakeError)
            self.assertEqual((connection.state, connection.data_to_send()), (State.CLOSED, b""))

    def test_nothing_to_say_yet(self) -> None:
        """Hello, messages and reasons wait for secrets; to leave is always possible."""
        connection = RLPxConnection(OURS, 0.0, randomness())
        self.assertRaises(LocalProtocolError, connection.send_hello, our_hello())
        self.assertRaises(LocalProtocolError, connection.send, 16, b"")
        connection.disconnect(4)
        self.assertEqual((connection.state, connection.data_to_send()), (State.CLOSED, b""))

    def test_hello_behind_the_handshake(self) -> None:
        """A Hello and more that come in one piece with the ack are read with it."""
        talk = Talk()
        events = talk.receive(talk.writer.message(HELLO, their_hello(4).encode()), talk.writer.message(16, b"ab"))
        self.assertEqual(events, [HelloReceived(their_hello(4)), MessagesReceived([(16, b"ab", 64)])])
        self.assertEqual(talk.connection.hello, their_hello(4))


class MessageTests(SynchronousTestCase):
    """After both Hellos."""

    def test_run(self) -> None:
        """Messages of capabilities come as one run, those of the base protocol are not among them."""
        talk = Talk().exchange_hellos(version=4)
        frames = [talk.writer.message(code, b"\xc0") for code in (16, PING, 17, 5, PONG, 300, 15)]
        [event] = talk.receive(*frames)
        self.assertEqual([code for code, _, _ in event.messages], [16, 17, 300])
        self.assertEqual(talk.sent(), [(PONG, b"\xc0")])

    def test_nothing_for_the_owner(self) -> None:
        """Reserved codes, Pongs and a second Hello, even a malformed one, mean nothing."""
        talk = Talk().exchange_hellos(version=4)
        frames = [talk.writer.message(code, b"\xc0") for code in (*range(3, 16), HELLO)]
        self.assertEqual((talk.receive(*frames), talk.sent()), ([], []))
        self.assertEqual(talk.connection.hello, their_hello(4))
        self.assertEqual(talk.connection.state, State.OPEN)

    def test_send(self) -> None:
        """The size of the frame is told; what was sent is offered once, in one piece."""
        talk = Talk().exchange_hellos(version=4)
        self.assertEqual([talk.connection.send(16, b"ab"), talk.connection.send(17, b"c" * 20)], [64, 80])
        self.assertEqual(talk.sent(), [(16, b"ab"), (17, b"c" * 20)])
        self.assertEqual(talk.connection.data_to_send(), b"")

    def test_send_before_hellos(self) -> None:
        """Messages wait for both Hellos, whichever is missing."""
        first, second = Talk(), Talk()
        first.connection.send_hello(our_hello())
        second.receive(second.writer.message(HELLO, their_hello().encode()))
        for talk in (first, second):
            self.assertRaises(LocalProtocolError, talk.connection.send, 16, b"")

    def test_send_hello_once(self) -> None:
        """A second one is our own fault, as is one after the end."""
        talk = Talk().exchange_hellos()
        self.assertRaises(LocalProtocolError, talk.connection.send_hello, our_hello())
        ended = Talk()
        ended.connection.disconnect(0)
        self.assertRaises(LocalProtocolError, ended.connection.send_hello, our_hello())

    def test_messages_before_a_bad_frame(self) -> None:
        """They are told first; then the end, without a word to the peer."""
        talk = Talk().exchange_hellos(version=4)
        good, bad = talk.writer.message(16, b"ab"), bytes(64)
        run, end = talk.receive(good, bad, good)
        self.assertEqual(run, MessagesReceived([(16, b"ab", 64)]))
        self.assertIsInstance(end.error, FrameError)
        self.assertEqual((talk.connection.state, talk.sent()), (State.CLOSED, []))


class SnappyTests(SynchronousTestCase):
    """Compression, from the Hellos on (EIP-706)."""

    def test_by_version(self) -> None:
        """A peer of version 5 or more gets and sends compressed payloads, an older one does not."""
        for version, form in [(0, bytes), (3, bytes), (4, bytes), (5, snappy.compress), (6, snappy.compress)]:
            talk = Talk().exchange_hellos(version)
            talk.connection.send(16, b"ab")
            self.assertEqual(talk.sent(), [(16, form(b"ab"))])
            [event] = talk.receive(talk.writer.message(17, form(b"cd")))
            self.assertEqual(event.messages[0][:2], (17, b"cd"))

    def test_hello_is_not_compressed(self) -> None:
        """Ours is in the clear also if theirs, of version 5, came first; what follows it is compressed."""
        talk = Talk()
        talk.receive(talk.writer.message(HELLO, their_hello().encode()))
        talk.connection.send_hello(our_hello())
        talk.connection.send(16, b"ab")
        self.assertEqual(talk.sent(), [(HELLO, our_hello().encode()), (16, snappy.compress(b"ab"))])

    def test_base_messages(self) -> None:
        """Ping and Pong are compressed like the others; what is in a Pong does not matter, but it must expand."""
        talk = Talk().exchange_hellos()
        empty = snappy.compress(b"\xc0")
        talk.receive(talk.writer.message(PING, empty), talk.writer.message(PONG, snappy.compress(b"\x80")))
        talk.after(15)
        self.assertEqual(talk.sent(), [(PONG, empty), (PING, empty)])
        [event] = talk.receive(talk.writer.message(PONG, b"\xc0"))
        self.assertIsInstance(event, ConnectionBroken)


class PingTests(SynchronousTestCase):
    """Pings that we get."""

    def test_flood(self) -> None:
        """Sixteen answers may wait; further pings are dropped, until the answers went out."""
        talk = Talk().exchange_hellos(version=4)
        for _ in range(3):
            talk.receive(*(talk.writer.message(PING) for _ in range(100)))
        self.assertEqual(talk.sent(), [(PONG, b"\xc0")] * 16)
        talk.receive(talk.writer.message(PING), talk.writer.message(PING))
        self.assertEqual(talk.sent(), [(PONG, b"\xc0")] * 2)

    def test_before_our_hello(self) -> None:
        """Nothing but a Hello or Disconnect may be our first message, so there is no answer."""
        talk = Talk()
        talk.receive(talk.writer.message(HELLO, their_hello(4).encode()), talk.writer.message(PING))
        self.assertEqual(talk.sent(), [])
