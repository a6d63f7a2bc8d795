"""
Tests for L{devp2p_tx.core.rlpx.connection}: two of ours talk at random over a line that cuts, damages and forges.
"""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.p2p.messages import Hello
from devp2p_tx.core.rlpx.connection import RLPxConnection, State
from devp2p_tx.core.rlpx.events import (
    ConnectionBroken,
    DisconnectReceived,
    HandshakeCompleted,
    HelloReceived,
    MessagesReceived,
)
from devp2p_tx.errors import LocalProtocolError
from tests.core.rlpx.pairs import OURS, THEIRS, our_hello, their_hello

SIZES = (0, 1, 20, 60, 61, 100, 5000, 70_000)
CODES = (16, 17, 127, 128, 300, 70_000)


class Side:
    """
    One of the two, and what happened to it.

    @ivar sent: the messages that it sent.
    @ivar received: those that it received.
    @ivar happened: the names of its events.
    """

    def __init__(self, connection: RLPxConnection, hello: Hello) -> None:
        self.connection = connection
        self.hello = hello
        self.sent: list[tuple[int, bytes]] = []
        self.received: list[tuple[int, bytes]] = []
        self.happened: list[str] = []

    def receive(self, data: bytes, now: float) -> None:
        """Act on what C{data} means, as an owner does."""
        for event in self.connection.receive_data(data, now):
            self.happened.append(type(event).__name__)
            if isinstance(event, HandshakeCompleted) and self.connection.state is not State.CLOSED:
                self.connection.send_hello(self.hello)
            elif isinstance(event, MessagesReceived):
                self.received += [(code, payload) for code, payload, _ in event.messages]

    def send(self, code: int, payload: bytes) -> None:
        """Send a message, if it is the time for messages."""
        try:
            self.connection.send(code, payload)
        except LocalProtocolError:
            return
        self.sent.append((code, payload))


class ConversationTests(SynchronousTestCase):
    """See above."""

    def converse(self, random: Random, damage: float) -> tuple[Side, Side]:
        """A dozen turns; C{damage} is how probable it is that what is sent in a turn is damaged, cut or replaced."""
        caller = Side(RLPxConnection(OURS, 0.0, random.randbytes, THEIRS.public_key), our_hello())
        called = Side(RLPxConnection(THEIRS, 0.0, random.randbytes), their_hello())
        now = 0.0
        for _ in range(12):
            now += random.random()
            for one, other in ((caller, called), (called, caller)):
                for _ in range(random.randrange(3)):
                    one.send(random.choice(CODES), random.randbytes(random.choice(SIZES)))
                if random.random() < damage / 3:
                    one.connection.disconnect(random.randrange(256))
                data = self.carry(random, one.connection.data_to_send(), damage)
                cut = random.randrange(len(data) + 1)
                other.receive(data[:cut], now)
                other.receive(data[cut:], now)
        return caller, called

    def carry(self, random: Random, data: bytes, damage: float) -> bytes:
        if not data or random.random() >= damage:
            return data
        at = random.randrange(len(data))
        flipped = data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]
        return random.choice((flipped, data[:at], random.randbytes(at)))

    def test_unharmed(self) -> None:
        """All that is sent arrives, in order, however it is cut."""
        for seed in range(20):
            for one, other in permutations(self.converse(Random(seed), 0.0)):
                self.assertEqual(one.happened[:2], [HandshakeCompleted.__name__, HelloReceived.__name__])
                self.assertEqual(other.received, one.sent[: len(other.received)])
                self.assertGreater(len(other.received), 5)
                self.assertIs(one.connection.state, State.OPEN)

    def test_harmed(self) -> None:
        """
        What arrives is what was sent, up to the first harm, and nothing after it; which ends the connection once at
        most, with an event and nothing else.
        """
        ends: Counter[str] = Counter()
        for seed in range(200):
            for one, other in permutations(self.converse(Random(seed), 0.1)):
                self.assertEqual(other.received, one.sent[: len(other.received)], seed)
                ended = {ConnectionBroken.__name__, DisconnectReceived.__name__} & set(one.happened)
                if ended:
                    self.assertEqual({one.happened[-1]}, ended, seed)
                    self.assertEqual(sum(map(one.happened.count, ended)), 1, seed)
                    self.assertIs(one.connection.state, State.CLOSED, seed)
                    self.assertIsNone(one.connection.get_timer(), seed)
                ends.update(ended or {one.connection.state.name})
        self.assertEqual(set(ends), {"ConnectionBroken", "DisconnectReceived", "OPEN", "CLOSED", "HANDSHAKE", "HELLO"})
