"""
Tests for L{devp2p_tx.core.discv5.protocol}: strangers who mean harm.
"""

from __future__ import annotations

import tracemalloc
from ipaddress import IPv4Address, ip_address
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from devp2p_tx.core.discv5 import messages, packets
from devp2p_tx.core.discv5.events import PingAnswered, Refusal
from devp2p_tx.core.discv5.filter import PacketFilter
from devp2p_tx.core.discv5.packets import PacketReader, PacketWriter
from devp2p_tx.core.discv5.session import MAX_CHALLENGES, MAX_SESSIONS
from devp2p_tx.core.sourcebudget import BURST, RATE, SourceBudget
from tests.core.discv5.playing import Player, ProtocolTestCase

STRANGER_IP = ip_address("97.1.1.1")


class AttackTestCase(ProtocolTestCase):
    """Mallory writes to Bob."""

    def setUp(self) -> None:
        super().setUp()
        self.random = Random(7)
        self.mask = packets.mask_of(self.bob.node_id)

    def unreadable(self, node_id: bytes | None = None, size: int = packets.RANDOM_MESSAGE_SIZE) -> bytes:
        """An ordinary packet of anybody that nobody can read."""
        head = PacketWriter(node_id or self.random.randbytes(32)).ordinary(
            self.random.randbytes(16), self.random.randbytes(12)
        )
        return packets.masked(head, self.mask) + self.random.randbytes(size)

    def unlimited(self) -> None:
        """Bob's budgets are no hindrance."""
        self.bob.packet_filter = PacketFilter(SourceBudget(1e9, 10**9), SourceBudget(1e9, 10**9))
        self.bob.restart()


class ReflectionTests(AttackTestCase):
    """Bob does not speak louder than who speaks to him from a forged address."""

    def test_no_amplification(self) -> None:
        """The smallest packet that is answered is larger than the answer."""
        smallest = self.unreadable(size=packets.MIN_MESSAGE_SIZE - 32)
        self.assertIsNone(self.receive(smallest, self.bob, STRANGER_IP, 9))
        (answer,) = self.bob.sent()
        self.assertLess(len(answer.data), len(smallest))
        self.assertEqual((answer.ip, answer.port), (STRANGER_IP, 9))
        self.assertEqual(self.receive(smallest[:-1], self.bob, STRANGER_IP, 9), Refusal.NOT_DISCV5)

    def test_budget(self) -> None:
        """No address is sent more challenges than its budget has, nor any network; LAN hosts are not counted."""
        answered = 0
        for _ in range(BURST + 50):
            answered += self.receive(self.unreadable(), self.bob, STRANGER_IP, 9) is None
        self.assertEqual(answered, BURST)
        self.assertEqual(self.receive(self.unreadable(), self.bob, STRANGER_IP, 10), Refusal.OVER_BUDGET)
        self.assertIsNone(self.receive(self.unreadable(), self.bob, ip_address("97.1.1.2"), 9))
        self.now += 1
        again = [self.receive(self.unreadable(), self.bob, STRANGER_IP, 9) for _ in range(100)]
        self.assertEqual(again.count(None), int(RATE))

    def test_networks(self) -> None:
        """The hosts of one network share a larger budget."""
        refusals = [
            self.receive(self.unreadable(), self.bob, IPv4Address(0x61010100 + number % 256), 9)
            for number in range(256 * 20)
        ]
        self.assertEqual(refusals.count(None), 2000)
        self.assertIsNone(self.receive(self.unreadable(), self.bob, ip_address("97.2.1.1"), 9))

    def test_sessions_do_not_count(self) -> None:
        """Whoever floods in a friend's name does not silence him."""
        self.connect()
        while self.receive(self.unreadable(self.alice.node_id), self.bob, self.alice.ip, self.alice.port) is None:
            pass
        self.bob.sent()
        self.ping(self.alice, self.bob)
        self.settle()
        self.assertIsInstance(self.event(self.alice), PingAnswered)

    def test_handshakes_without_a_challenge(self) -> None:
        """They cost no curve arithmetic, and get no answer."""
        head = PacketWriter(self.alice.node_id).handshake(bytes(16), bytes(12), bytes(64), bytes(33), b"")
        datagram = packets.masked(head, self.mask) + bytes(20)
        self.assertEqual(self.receive(datagram, self.bob, self.alice.ip, self.alice.port), Refusal.UNSOLICITED)
        self.assertEqual(self.bob.sent(), [])

    def test_port_zero(self) -> None:
        """Nothing can be sent there."""
        self.assertEqual(self.receive(self.unreadable(), self.bob, STRANGER_IP, 0), Refusal.NOT_DISCV5)


class BanTests(AttackTestCase):
    """Whom our user does not want to hear."""

    def test_host(self) -> None:
        """Until the ban is over."""
        self.connect()
        self.bob.node.filter.ban_host(self.alice.ip, self.now + 10)
        self.ping(self.alice, self.bob)
        self.assertEqual([each.refusal for each in self.carry(self.alice)], [Refusal.BANNED])
        self.advance(10)
        self.alice.node.next_events()
        self.ping(self.alice, self.bob)
        self.settle()
        self.assertIsInstance(self.event(self.alice), PingAnswered)

    def test_node(self) -> None:
        """With a session, without one, and in a handshake."""
        self.ping(self.alice, self.bob)
        self.carry(self.alice)
        self.carry(self.bob)
        self.bob.node.filter.nodes.add(self.alice.node_id, self.now + 10)
        self.assertEqual([each.refusal for each in self.carry(self.alice)], [Refusal.BANNED])
        unreadable = self.unreadable(self.alice.node_id)
        self.assertEqual(self.receive(unreadable, self.bob, STRANGER_IP, 9), Refusal.BANNED)
        self.assertIsNone(self.receive(self.unreadable(), self.bob, STRANGER_IP, 9))


class MemoryTests(AttackTestCase):
    """Strangers do not fill our memory."""

    def test_challenge_flood(self) -> None:
        """10,000 endpoints at once: the challenges kept have a bound, in number and in bytes."""
        self.unlimited()
        datagrams = [self.unreadable() for _ in range(10_000)]
        tracemalloc.start()
        for number, datagram in enumerate(datagrams):
            self.assertIsNone(self.receive(datagram, self.bob, IPv4Address(0x61000000 + number), 9))
            self.bob.sent()
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.assertEqual(self.bob.node.challenges, MAX_CHALLENGES)
        self.assertLess(used, 16 << 20)
        self.assertEqual(self.bob.node.sessions, 0)
        self.now += 1
        self.receive(self.unreadable(), self.bob, STRANGER_IP, 9)
        self.assertEqual(self.bob.node.challenges, 1)

    def test_one_challenge_for_each_endpoint(self) -> None:
        """However many node ids somebody makes up."""
        self.unlimited()
        for _ in range(100):
            self.assertIsNone(self.receive(self.unreadable(), self.bob, STRANGER_IP, 9))
        self.assertEqual(self.bob.node.challenges, 1)

    def test_session_churn(self) -> None:
        """Real handshakes of one node from many ports: the sessions kept have a bound, and a friend who talks stays."""
        self.unlimited()
        self.bob.node._sessions.max_sessions = 16
        self.connect()
        mallory = Player(9, "97.1.1.1")
        self.players.append(mallory)
        for port in range(1000, 1040):
            mallory.port = port
            mallory.restart()
            self.ping(mallory, self.bob)
            self.settle()
            self.ping(self.alice, self.bob)
            self.assertEqual(self.settle(), [packets.ORDINARY] * 2)
        self.assertEqual(self.bob.node.sessions, 16)
        self.assertEqual(self.alice.node._sessions.max_sessions, MAX_SESSIONS)

    def test_unread_answers(self) -> None:
        """Answers that nobody asked for leave nothing behind."""
        self.connect()
        (session,) = self.alice.node._sessions._sessions.values()
        fields = messages.pong_fields(1, STRANGER_IP, 9)
        for message in (
            messages.encode_pong(b"id", fields),
            messages.encode_nodes(b"id", messages.nodes_fields([]))[0],
            messages.encode_talk_response(b"id", b"x"),
        ):
            datagram, _ = session.write(message, self.alice.node._pool)
            self.assertEqual(self.receive(datagram, self.bob, self.alice.ip, self.alice.port), Refusal.UNSOLICITED)
        self.assertEqual((self.bob.sent(), self.bob.node.next_events()), ([], []))
        self.assertEqual(self.bob.local._of4.votes._statements, {})


class NoiseTests(AttackTestCase):
    """Datagrams that are nothing."""

    def test_random_datagrams(self) -> None:
        """Of every size; none is answered, none leaves anything behind."""
        for size in range(0, 1400, 7):
            data = self.random.randbytes(size)
            self.assertEqual(self.receive(data, self.bob, STRANGER_IP, 9), Refusal.NOT_DISCV5)
        self.assertEqual(self.bob.sent(), [])
        self.assertEqual((self.bob.node.challenges, self.bob.node.sessions), (0, 0))

    def test_bad_headers(self) -> None:
        """With the right mask and protocol id, but else wrong."""
        for rest in (b"\0\0\0", b"\0\1\3", b"\0\1\0"):
            datagram = packets.masked(bytes(16) + b"discv5" + rest + bytes(80), self.mask)
            self.assertEqual(self.receive(datagram, self.bob, STRANGER_IP, 9), Refusal.BAD_HEADER)
        self.assertEqual(self.bob.sent(), [])

    @given(st.binary(min_size=16, max_size=16), st.binary(max_size=120), st.integers(0, 3))
    def test_anything_masked(self, iv: bytes, content: bytes, flag: int) -> None:
        """Datagrams with the right mask and anything below it."""
        head = iv + b"discv5\0\1" + bytes((flag,)) + content
        refusal = self.receive(packets.masked(head, self.mask), self.bob, STRANGER_IP, 9)
        for answer in self.bob.sent():
            self.assertIsNone(refusal)
            self.assertLess(len(answer.data), len(head))
        self.assertEqual(self.bob.node.next_events(), [])

    @given(st.binary(max_size=60))
    def test_anything_sealed(self, message: bytes) -> None:
        """Any message of a node with a session: at most it is answered."""
        self.setUp()
        self.connect()
        (session,) = self.alice.node._sessions._sessions.values()
        datagram, _ = session.write(message, self.alice.node._pool)
        self.receive(datagram, self.bob, self.alice.ip, self.alice.port)
        self.assertEqual(self.bob.node.next_events(), [])
        self.assertLessEqual(len(self.bob.sent()), 1)

    def test_mirrored(self) -> None:
        """Our own datagrams are none to ourselves, but for those that challenge somebody in our name."""
        self.ping(self.alice, self.bob)
        (datagram,) = self.alice.sent()
        self.assertEqual(self.receive(datagram.data, self.alice, self.bob.ip, self.bob.port), Refusal.NOT_DISCV5)
        in_our_name = self.unreadable(self.bob.node_id)
        self.assertIsNone(self.receive(in_our_name, self.bob, self.bob.ip, self.bob.port))
        (challenge,) = self.bob.sent()
        self.assertEqual(self.receive(challenge.data, self.bob, self.bob.ip, self.bob.port), Refusal.UNSOLICITED)
        self.assertEqual(PacketReader(self.bob.node_id).read(challenge.data).flag, packets.WHOAREYOU)
