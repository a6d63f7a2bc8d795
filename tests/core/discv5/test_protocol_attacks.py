"""
Tests for L{devp2p_tx.core.discv5.protocol}: strangers who mean harm.
"""

from __future__ import annotations

import tracemalloc
from ipaddress import IPv4Address, ip_address
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from devp2p_tx.core.addressing.packetlimit import NETWORK_BURST, PacketRateLimiter
from devp2p_tx.core.addressing.sourcebudget import BURST, MAX_SOURCES, RATE, Allowance
from devp2p_tx.core.codec import rlp
from devp2p_tx.core.discv5 import messages, packets
from devp2p_tx.core.discv5.calls import RESPONSE_TIMEOUT
from devp2p_tx.core.discv5.events import NodesFound, PingAnswered, Refusal
from devp2p_tx.core.discv5.filter import PacketFilter
from devp2p_tx.core.discv5.packets import PacketReader, PacketWriter
from devp2p_tx.core.discv5.protocol import MAX_ANSWERS
from devp2p_tx.core.discv5.session import MAX_CHALLENGES, MAX_SESSIONS, RandomPool, initiate
from devp2p_tx.core.enr.record import Record
from tests.core.discv5.playing import Player, ProtocolTestCase, key, make_record

STRANGER_IP = ip_address("97.1.1.1")


#: A budget that is never used up.
ENDLESS = Allowance(1e9, 10**9)


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
        self.limit(strangers=ENDLESS, known=ENDLESS, source=ENDLESS, network=ENDLESS)

    def limit(self, **allowances: Allowance) -> None:
        """Give Bob budgets."""
        self.limiter = PacketRateLimiter(**allowances)
        self.bob.packet_filter = PacketFilter(self.limiter)
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
        """No address is sent more challenges than its budget has."""
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
        self.assertEqual(refusals.count(None), NETWORK_BURST)
        self.assertIsNone(self.receive(self.unreadable(), self.bob, ip_address("97.2.1.1"), 9))

    def test_nothing_is_done_beyond_the_budget(self) -> None:
        """No record is looked for, no random byte drawn, no cipher made: that is what the budget is for."""
        self.limit(source=Allowance(1, 1))
        self.assertIsNone(self.receive(self.unreadable(), self.bob, STRANGER_IP, 9))
        self.bob.sent()
        self.patch(packets, "mask_of", None)
        self.patch(self.bob.table, "record", None)
        self.bob.node._pool = RandomPool(self.fail)
        for port in range(1, 50):
            self.assertEqual(self.receive(self.unreadable(), self.bob, STRANGER_IP, port), Refusal.OVER_BUDGET)
        self.assertEqual((self.bob.sent(), self.bob.node.challenges), ([], 1))

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

    def test_budget_tables(self) -> None:
        """Packets of very many hosts and networks: what is remembered of them has a bound."""
        self.limit(strangers=ENDLESS)
        datagram = self.unreadable()
        for number in range(5 * MAX_SOURCES):
            self.receive(datagram, self.bob, IPv4Address(0x61000000 + number * 256), 9)
            self.bob.sent()
        self.assertLessEqual(self.limiter.sources, 2 * 2 * MAX_SOURCES)
        self.assertLessEqual(self.bob.node.challenges, MAX_CHALLENGES)

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
        self.assertEqual(self.bob.local._families[4].votes._statements, {})


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


class HandshakeAttackTests(AttackTestCase):
    """Handshakes of those who have no right to a session."""

    def handshake(
        self,
        player: Player,
        record: bytes | None = None,
        signature: bytes | None = None,
        message: bytes = b"\1\xc2\1\1",
    ) -> Refusal | None:
        """Somebody asks, is challenged by Bob, and answers with this instead of what is right."""
        self.assertIsNone(self.receive(self.unreadable(player.node_id), self.bob, player.ip, player.port))
        (challenge,) = self.bob.sent()
        node, head = player.node, player.reader.read(challenge.data).head
        answer = initiate(
            player.key, self.bob.key.public_key, self.bob.ip, self.bob.port, head, node._writer, self.random.randbytes
        )
        if signature is not None:
            answer = answer._replace(signature=signature)
        own = player.unix_record.encoded if record is None else record
        datagram, _ = answer.write(message, own, node._writer, node._pool)
        return self.receive(datagram, self.bob, player.ip, player.port)

    def assert_nothing_gained(self) -> None:
        """Neither a session nor a challenge is left, nobody came into the table, and nothing is answered."""
        self.assertEqual((self.bob.node.sessions, self.bob.node.challenges), (0, 0))
        self.assertEqual((self.bob.table.added, self.bob.sent()), ([], []))

    def test_as_it_should_be(self) -> None:
        """Nothing but what these tests make wrong is wrong."""
        self.assertIsNone(self.handshake(self.alice))
        self.assertEqual((self.bob.node.sessions, len(self.bob.sent())), (1, 1))

    def test_no_record_known(self) -> None:
        """Who sends no record, and is not known, asks in vain."""
        self.assertEqual(self.handshake(self.alice, record=b""), Refusal.BAD_HANDSHAKE)
        self.assert_nothing_gained()

    def test_record_of_another_id(self) -> None:
        """A good record, and a good signature, but not of one node; be it that Bob knows an older record."""
        record = make_record(5).encoded
        self.assertEqual(self.handshake(self.alice, record=record), Refusal.BAD_HANDSHAKE)
        self.assert_nothing_gained()
        self.bob.table.known[self.alice.node_id] = make_record(1, seq=1)
        self.assertEqual(self.handshake(self.alice, record=make_record(5, seq=2).encoded), Refusal.BAD_HANDSHAKE)
        self.assert_nothing_gained()

    def test_forged_record(self) -> None:
        """With the right key in it, and another signature."""
        record = self.alice.unix_record
        forged = record.encoded.replace(record.signature, make_record(5).signature)
        self.assertEqual(self.handshake(self.alice, record=forged), Refusal.BAD_HANDSHAKE)
        self.assert_nothing_gained()

    def test_in_the_name_of_another(self) -> None:
        """Bob knows the record, and the signature is of another key."""
        self.bob.table.known[self.alice.node_id] = self.alice.unix_record
        signature = self.bob.key.sign(bytes(32))[:64]
        self.assertEqual(self.handshake(self.alice, record=b"", signature=signature), Refusal.BAD_HANDSHAKE)
        self.assert_nothing_gained()

    def test_no_more_than_challenges(self) -> None:
        """Each costs a challenge, so that the budget of challenges is one of handshakes, too."""
        mallory = Player(9, "97.1.1.1")
        for _ in range(BURST):
            self.assertEqual(self.handshake(mallory, signature=bytes(64)), Refusal.BAD_HANDSHAKE)
        refusal = self.receive(self.unreadable(mallory.node_id), self.bob, mallory.ip, mallory.port)
        self.assertEqual(refusal, Refusal.OVER_BUDGET)
        self.assert_nothing_gained()

    def test_replay_from_another_address(self) -> None:
        """A handshake that was overheard is nothing where it was not asked for, not even beside a challenge there."""
        self.ping(self.alice, self.bob)
        self.carry(self.alice)
        self.carry(self.bob)
        (overheard,) = self.alice.sent()
        self.assertEqual(self.receive(overheard.data, self.bob, STRANGER_IP, 9), Refusal.UNSOLICITED)
        self.assertIsNone(self.receive(self.unreadable(self.alice.node_id), self.bob, STRANGER_IP, 9))
        self.assertEqual(self.receive(overheard.data, self.bob, STRANGER_IP, 9), Refusal.BAD_HANDSHAKE)
        self.assertEqual((self.bob.node.sessions, self.bob.table.added), (0, []))


class SessionAttackTests(AttackTestCase):
    """Packets that look like those of a session."""

    def setUp(self) -> None:
        super().setUp()
        self.connect()
        (self.session,) = self.alice.node._sessions._sessions.values()

    def pinged(self) -> bytes:
        """A PING of Alice."""
        return self.session.write(messages.encode_ping(b"id", 1), self.alice.node._pool)[0]

    def answers(self, datagram: bytes) -> list[int]:
        """The kinds of packets that Bob answers with."""
        self.assertIsNone(self.receive(datagram, self.bob, self.alice.ip, self.alice.port))
        return [self.unmask(answer).flag for answer in self.bob.sent()]

    def test_wrong_nonce(self) -> None:
        """What was sealed with another nonce is not read; its sender is challenged, and the session goes on."""
        datagram = self.pinged()
        head = bytearray(self.bob.reader.read(datagram).head)
        head[packets.NONCE_STOP - 1] ^= 1
        wrong = packets.masked(bytes(head), self.mask) + datagram[packets.ORDINARY_SIZE :]
        self.assertEqual(self.answers(wrong), [packets.WHOAREYOU])
        self.assertEqual(self.answers(datagram), [packets.ORDINARY])

    def test_replay_after_the_session(self) -> None:
        """What was overheard before is noise in later sessions; only the session just before is read still."""
        datagram = self.pinged()
        for expected in (packets.ORDINARY, packets.WHOAREYOU):
            self.alice.restart()
            self.connect()
            self.assertEqual(self.answers(datagram), [expected])
            self.now += 1

    def test_long_request_ids(self) -> None:
        """Nine bytes, in messages of every type: no answer, and nothing remembered."""
        nine = bytes(9)
        call = self.ping(self.bob, self.alice)
        self.bob.sent()
        for message in (
            messages.encode_ping(nine, 1),
            messages.encode_pong(nine, messages.pong_fields(1, self.alice.ip, 1)),
            messages.encode_findnode(nine, [0]),
            *messages.encode_nodes(nine, messages.nodes_fields([])),
            messages.encode_talk_request(nine, b"", b""),
            messages.encode_talk_response(nine, b""),
        ):
            datagram, _ = self.session.write(message, self.alice.node._pool)
            self.assertEqual(self.receive(datagram, self.bob, self.alice.ip, self.alice.port), Refusal.BAD_MESSAGE)
        self.assertEqual((self.bob.sent(), self.bob.node.next_events()), ([], []))
        self.bob.node.cancel(call, self.now)

    def tell(self, total: int, records: list[bytes], request_id: bytes) -> Refusal | None:
        """Alice answers Bob's FINDNODE."""
        message = b"\4" + rlp.encode([request_id, rlp.encode_uint(total), [rlp.decode(record) for record in records]])
        datagram, _ = self.session.write(message, self.alice.node._pool)
        return self.receive(datagram, self.bob, self.alice.ip, self.alice.port)

    def test_nodes_with_total_0(self) -> None:
        """As good as one: the call ends, with what is in that packet, and no further one is heard."""
        call = self.bob.node.find_node(self.alice.contact, range(257), self.now)
        record = make_record(5).encoded
        self.assertIsNone(self.tell(0, [record], call.request_id))
        event = self.event(self.bob)
        assert isinstance(event, NodesFound)
        self.assertEqual([each.encoded for each in event.records], [record])
        self.assertEqual(self.tell(0, [record], call.request_id), Refusal.UNSOLICITED)

    def test_nodes_with_total_255(self) -> None:
        """Five are heard, of 16 records each at the most; who sends the fifth late ends the call with what there is."""
        call = self.bob.node.find_node(self.alice.contact, range(257), self.now)
        records = [
            Record.sign(key(number), 1, {b"ip": STRANGER_IP.packed, b"udp": b"\xff\xff"}) for number in range(50, 99)
        ]
        for packet in range(MAX_ANSWERS - 1):
            told = [record.encoded for record in records[8 * packet : 8 * packet + 8]]
            self.assertIsNone(self.tell(255, told, call.request_id))
            self.assertEqual((call.received, len(call.records)), (packet + 1, 8 * packet + 8))
        self.assertEqual(self.tell(255, [b"\xc1\1"] * 17, call.request_id), Refusal.BAD_MESSAGE)
        self.advance(RESPONSE_TIMEOUT)
        event = self.event(self.bob)
        assert isinstance(event, NodesFound)
        self.assertEqual((len(event.records), event.is_complete), (8 * (MAX_ANSWERS - 1), False))
        self.assertEqual(self.bob.node._calls.active(self.alice.node_id), None)
