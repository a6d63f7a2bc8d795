"""
Tests for L{devp2p_tx.core.rlpx.connection}: deadlines, pings, and pauses.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.p2p.messages import DISCONNECT, HELLO, PING
from devp2p_tx.core.rlpx.connection import RLPxConnection, State
from devp2p_tx.core.rlpx.events import ConnectionBroken, Event
from devp2p_tx.errors import DisconnectReason, Timeout
from tests.core.rlpx.pairs import OURS, THEIRS, Talk, disconnect_of, our_hello, randomness, their_hello
from tests.vectors import eip8

TOLD_TIMEOUT = bytes((0xC1, DisconnectReason.READ_TIMEOUT))


def is_timeout(events: list[Event]) -> bool:
    """Whether that is the end by a deadline, and nothing else."""
    return [type(event.error) for event in events if isinstance(event, ConnectionBroken)] == [Timeout]


class HandshakeTimeoutTests(SynchronousTestCase):
    """Five seconds for the handshake."""

    def test_silence(self) -> None:
        """In either role, a peer that says nothing is left after five seconds; it is told nothing."""
        for remote in (None, THEIRS.public_key):
            connection = RLPxConnection(OURS, 100.0, randomness(), remote)
            connection.data_to_send()
            self.assertEqual(connection.get_timer(), 105.0)
            self.assertEqual(connection.handle_timer(104.5), [])
            self.assertTrue(is_timeout(connection.handle_timer(105.0)))
            self.assertEqual((connection.state, connection.data_to_send()), (State.CLOSED, b""))
            self.assertIsNone(connection.get_timer())

    def test_dripping(self) -> None:
        """Bytes that do not complete it do not prolong it."""
        connection = RLPxConnection(OURS, 100.0, randomness())
        for second in range(5):
            connection.receive_data(eip8.AUTH_2[second : second + 1], 100.0 + second)
        self.assertEqual(connection.get_timer(), 105.0)
        self.assertTrue(is_timeout(connection.handle_timer(105.0)))


class ReadTimeoutTests(SynchronousTestCase):
    """Thirty seconds for each message."""

    def test_no_hello(self) -> None:
        """A Hello has five, which run from the handshake; the reason is told uncompressed."""
        talk = Talk()
        self.assertEqual(talk.connection.get_timer(), 105.0)
        self.assertEqual(talk.after(4.5), [])
        self.assertTrue(is_timeout(talk.after(0.5)))
        self.assertEqual(disconnect_of(talk), TOLD_TIMEOUT)

    def test_silence(self) -> None:
        """They run from the Hello; the reason is told."""
        talk = Talk()
        talk.now += 20
        talk.exchange_hellos(version=4)
        self.assertEqual(talk.after(29.5), [])
        self.assertEqual(talk.sent(), [(PING, b"\xc0")])
        self.assertTrue(is_timeout(talk.after(0.5)))
        self.assertEqual(disconnect_of(talk), TOLD_TIMEOUT)

    def test_any_message_prolongs(self) -> None:
        """Each starts the thirty seconds anew, those without a meaning too."""
        talk = Talk().exchange_hellos(version=4)
        for code in (16, PING, 3, 15, HELLO):
            self.assertEqual(talk.after(29.5), [])
            talk.receive(talk.writer.message(code))
        self.assertFalse(is_timeout(talk.after(29.5)))
        self.assertTrue(is_timeout(talk.after(0.5)))

    def test_part_of_a_message_does_not(self) -> None:
        """Who drips a large message must complete it in time; a bad one does not help either."""
        talk = Talk().exchange_hellos(version=4)
        frame = talk.writer.message(16, bytes(1000))
        for index in range(0, 300, 10):
            self.assertEqual(talk.receive(frame[index : index + 10]), [])
            self.assertEqual(is_timeout(talk.after(1)), index == 290)

    def test_part_of_a_hello_does_not(self) -> None:
        """Likewise for the first message."""
        talk = Talk()
        frame = talk.writer.message(HELLO, their_hello().encode())
        talk.now += 29
        self.assertEqual(talk.receive(frame[:-1]), [])
        self.assertTrue(is_timeout(talk.after(1)))


class PingTests(SynchronousTestCase):
    """Our pings."""

    def test_every_fifteen_seconds(self) -> None:
        """From the Hellos on, whatever is sent or received beside."""
        talk = Talk().exchange_hellos(version=4)
        for _ in range(3):
            self.assertEqual((talk.after(14.5), talk.sent()), ([], []))
            self.assertEqual(talk.connection.get_timer(), talk.now + 15 - 14.5)
            talk.receive(talk.writer.message(16))
            self.assertEqual((talk.after(0.5), talk.sent()), ([], [(PING, b"\xc0")]))

    def test_late(self) -> None:
        """A timer that fires late makes one ping, and the next fifteen seconds from then."""
        talk = Talk().exchange_hellos(version=4)
        talk.connection.pause_reading()
        talk.after(100)
        self.assertEqual(talk.sent(), [(PING, b"\xc0")])
        self.assertEqual(talk.connection.get_timer(), 215.0)

    def test_not_before_our_hello(self) -> None:
        """Nothing but a Hello or Disconnect may be our first message."""
        talk = Talk()
        talk.receive(talk.writer.message(HELLO, their_hello(4).encode()))
        self.assertEqual((talk.after(15), talk.sent()), ([], []))
        talk.connection.send_hello(our_hello())
        talk.sent()
        talk.connection.pause_reading()
        talk.after(15)
        self.assertEqual(talk.sent(), [(PING, b"\xc0")])

    def test_not_before_their_hello(self) -> None:
        """There is no ping before we know them."""
        talk = Talk()
        talk.connection.send_hello(our_hello())
        talk.sent()
        self.assertEqual((talk.after(4.9), talk.sent()), ([], []))


class PauseTests(SynchronousTestCase):
    """While our own side does not read."""

    def test_paused(self) -> None:
        """The peer's silence is our doing; pings go on."""
        talk = Talk().exchange_hellos(version=4)
        talk.connection.pause_reading()
        self.assertEqual(talk.connection.get_timer(), 115.0)
        for _ in range(10):
            self.assertEqual(talk.after(15), [])
        self.assertEqual(talk.sent(), [(PING, b"\xc0")] * 10)

    def test_resumed(self) -> None:
        """The thirty seconds begin anew."""
        talk = Talk().exchange_hellos(version=4)
        talk.connection.pause_reading()
        talk.after(1000)
        talk.connection.resume_reading(talk.now)
        self.assertEqual(talk.after(29.5), [])
        self.assertTrue(is_timeout(talk.after(0.5)))

    def test_message_while_paused(self) -> None:
        """What was on its way is taken in, and does not start the deadline."""
        talk = Talk().exchange_hellos(version=4)
        talk.connection.pause_reading()
        [event] = talk.receive(talk.writer.message(16))
        self.assertEqual(len(event.messages), 1)
        self.assertEqual(talk.after(1000), [])

    def test_end_while_paused(self) -> None:
        """A Disconnect is one too."""
        talk = Talk().exchange_hellos(version=4)
        talk.connection.pause_reading()
        talk.receive(talk.writer.message(DISCONNECT, b"\xc1\x08"))
        self.assertIsNone(talk.connection.get_timer())
