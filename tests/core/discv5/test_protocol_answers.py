"""
Tests for L{devp2p_tx.core.discv5.protocol}: what a node does for those who ask.
"""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

from devp2p_tx.core.discv5 import messages, packets
from devp2p_tx.core.discv5.events import Call, IncomingTalk, Refusal, TalkAnswered
from devp2p_tx.core.discv5.messages import Nodes, Pong
from devp2p_tx.core.discv5.relay import MAX_REMEMBERED_ANSWERS, MAX_RESULTS
from devp2p_tx.core.discv5.session import MAX_MESSAGES
from devp2p_tx.core.enr.local import Source
from devp2p_tx.core.enr.record import Record
from devp2p_tx.core.kademlia.distance import ID_BITS
from devp2p_tx.errors import LocalProtocolError
from tests.core.discv5.playing import COUNTER, Neighbour, ProtocolTestCase, key, make_record


class AnswerTestCase(ProtocolTestCase):
    """Alice writes what she likes into her session with Bob."""

    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def write(self, message: bytes) -> Refusal | None:
        """Alice says something."""
        (session,) = self.alice.node._sessions._sessions.values()
        datagram, _ = session.write(message, self.alice.node._pool)
        return self.receive(datagram, self.bob, self.alice.ip, self.alice.port)

    def ask(self, message: bytes) -> list[messages.Response]:
        """Alice says something; what Bob answers."""
        self.assertIsNone(self.write(message))
        return self.answers()

    def answers(self) -> list[messages.Response]:
        """What Bob says to Alice."""
        (session,) = self.alice.node._sessions._sessions.values()
        found = []
        for datagram in self.bob.sent():
            self.assertEqual((datagram.ip, datagram.port), (self.alice.ip, self.alice.port))
            packet = self.unmask(datagram)
            message = session.read(packet.nonce, packet.message, packet.head)
            assert message is not None
            found.append(messages.decode_response(message))
        return found


class PingTests(AnswerTestCase):
    """PINGs that come in."""

    def test_pong(self) -> None:
        """At once, with the number of our record and where the PING came from; no PING goes back."""
        (pong,) = self.ask(messages.encode_ping(b"id", 7))
        self.assertEqual(pong, Pong(b"id", self.bob.local.seq, self.alice.ip, self.alice.port))
        self.assertEqual(self.bob.node.get_timer(), None)

    def test_new_record(self) -> None:
        """The number is always the newest one."""
        first = self.bob.local.seq
        self.ask(messages.encode_ping(b"id", 7))
        self.bob.local.set(COUNTER, b"new")
        self.now += 1
        (pong,) = self.ask(messages.encode_ping(b"id", 7))
        assert isinstance(pong, Pong)
        self.assertEqual(pong.enr_seq, first + 1)

    def test_request_ids(self) -> None:
        """0 to 8 bytes are echoed, more get no answer (trap 10)."""
        for size in range(9):
            (pong,) = self.ask(messages.encode_ping(b"\xff" * size, 7))
            self.assertEqual(pong.request_id, b"\xff" * size)
        self.assertEqual(self.write(messages.encode_ping(bytes(9), 7)), Refusal.BAD_MESSAGE)
        self.assertEqual(self.answers(), [])

    def test_malformed(self) -> None:
        """What is not exactly a message gets no answer, and the session stays (trap 10)."""
        for message in (b"", b"\0", b"\7\xc2\1\1", messages.encode_ping(b"id", 7) + b"\0", b"\1\xc3\1\1\1"):
            self.assertEqual(self.write(message), Refusal.BAD_MESSAGE)
        self.assertEqual(self.answers(), [])
        self.assertEqual(len(self.ask(messages.encode_ping(b"id", 7))), 1)

    def test_replay(self) -> None:
        """The protocol does not know replays of what was read; they get the same answer, to the same address."""
        (session,) = self.alice.node._sessions._sessions.values()
        datagram, _ = session.write(messages.encode_ping(b"id", 7), self.alice.node._pool)
        for _ in range(2):
            self.assertIsNone(self.receive(datagram, self.bob, self.alice.ip, self.alice.port))
            self.assertEqual(len(self.answers()), 1)
        self.assertIsNone(self.receive(datagram, self.bob, ip_address("99.9.9.9"), 9))
        (challenge,) = self.bob.sent()
        self.assertEqual(len(challenge.data), packets.MIN_SIZE)

    def test_higher_version(self) -> None:
        """Ordinary packets of a later version are read, too."""
        (session,) = self.alice.node._sessions._sessions.values()
        session._prefix = b"discv5\0\2\0"
        self.assertEqual(len(self.ask(messages.encode_ping(b"id", 7))), 1)


class FindNodeTests(AnswerTestCase):
    """FINDNODEs that come in."""

    def find(self, *distances: int) -> list[Nodes]:
        """The whole answer."""
        answers = self.ask(messages.encode_findnode(b"id", distances))
        found = [each for each in answers if isinstance(each, Nodes)]
        self.assertEqual({(nodes.request_id, nodes.total) for nodes in found}, {(b"id", len(answers))})
        return found

    def records(self, *distances: int) -> list[bytes]:
        """The records of the whole answer."""
        return [record for nodes in self.find(*distances) for record in nodes.records]

    def test_nothing(self) -> None:
        """One NODES says that there is nothing, also if nothing was asked for."""
        self.assertEqual(self.find(255), [Nodes(b"id", 1, ())])
        self.assertEqual(self.find(), [Nodes(b"id", 1, ())])

    def test_own_record(self) -> None:
        """Distance 0 is ourselves."""
        self.assertEqual(self.records(0), [self.bob.local.record(int(self.unix_time * 1000)).encoded])

    def test_own_record_anywhere(self) -> None:
        """Also where the record has an address that the asker cannot reach, or none."""
        for text in ("127.0.0.1", "10.0.0.1", "99.1.2.1", None):
            self.bob.local.offer(Source.FLAG, 4, None if text is None else ip_address(text))
            self.now += 1
            self.test_own_record()

    def test_distances(self) -> None:
        """In the order of the request; repeated ones and those over 256 are ignored."""
        near, far = self.told(5, distance=250), self.told(6, distance=256)
        self.bob.table.asked.clear()
        self.assertEqual(self.records(256, 257, 2**64 - 1, 250, 256, 250), [far[0].encoded, near[0].encoded])
        self.assertEqual(self.bob.table.asked, [256, 250])

    def test_limit(self) -> None:
        """16 in all, in packets of a thousand bytes at most."""
        records = self.told(*range(100, 130), distance=256)
        self.told(*range(200, 205), distance=255)
        answers = self.find(256, 255)
        found = [record for nodes in answers for record in nodes.records]
        self.assertEqual(found, [record.encoded for record in records[:MAX_RESULTS]])
        sizes = [sum(map(len, nodes.records)) for nodes in answers]
        self.assertGreater(len(sizes), 1)
        self.assertLessEqual(max(sizes), 1000)

    def test_end_of_a_session(self) -> None:
        """Its last answer may have several parts; then there must be another session."""
        self.told(*range(100, 130), distance=256)
        (session,) = self.bob.node._sessions._sessions.values()
        session.messages = MAX_MESSAGES - 1
        self.assertGreater(len(self.find(256)), 1)
        self.assertGreaterEqual(session.messages, MAX_MESSAGES)
        self.ping(self.alice, self.bob)
        self.assertIn(packets.WHOAREYOU, self.settle())

    def test_biggest_records(self) -> None:
        """Three of 300 bytes are in one packet, which is not too long."""
        short = len(Record.sign(key(3), 2**64 - 1, {b"z": b"x" * 100}).encoded)
        values = {b"z": b"x" * (399 - short)}  # its size takes a byte more
        big = [Record.sign(key(number), 2**64 - 1, values) for number in range(3, 3 + MAX_RESULTS)]
        self.assertEqual(len(big[0].encoded), 300)
        self.bob.table.neighbours[256] = [Neighbour(record, ip_address("98.1.1.1")) for record in big]
        self.assertIsNone(self.write(messages.encode_findnode(b"requests", [256])))
        datagrams = self.bob.sent()
        self.assertEqual(len(datagrams), 6)
        self.assertLessEqual(max(len(each.data) for each in datagrams), packets.MAX_SIZE)

    def test_relay(self) -> None:
        """Nobody is told whom he must not contact (trap 6)."""
        public = make_record(5, "98.1.1.1")
        neighbours = [Neighbour(public, ip_address("98.1.1.1"))]
        for text in ("127.0.0.1", "192.168.1.1", "203.0.113.1", "224.0.0.1", "0.0.0.0"):
            neighbours.append(Neighbour(make_record(6, text), ip_address(text)))
        neighbours += [Neighbour(make_record(7), None), Neighbour(None, ip_address("98.1.1.2"))]
        self.bob.table.neighbours[256] = neighbours
        self.assertEqual(self.records(256), [public.encoded])

    def test_relay_at_home(self) -> None:
        """On the same host everything but special addresses is told."""
        self.alice.ip = ip_address("127.0.0.1")
        self.alice.restart()
        self.bob.restart()
        self.connect()
        self.bob.table.neighbours[256] = [
            Neighbour(make_record(6, text), ip_address(text)) for text in ("127.0.0.1", "192.168.1.1", "224.0.0.1")
        ]
        self.assertEqual(len(self.records(256)), 2)

    def test_remembered(self) -> None:
        """An answer is made once a second; so others of that second are made of what is remembered of a distance."""
        self.told(5)
        for distances, asked in [([256], [256]), ([256], []), ([255, 256], [255]), ([256], []), ([256, 255], [])]:
            self.bob.table.asked.clear()
            self.records(*distances)
            self.assertEqual(self.bob.table.asked, asked)
        self.now += 1
        (other,) = self.told(6)
        self.assertEqual(self.records(256), [other.encoded])

    def test_all_distances(self) -> None:
        """Who asks for all of them, in another order each time, has the table looked through once a second."""
        near, far = self.told(5, distance=200), self.told(6, distance=256)
        everywhere, random = list(range(ID_BITS + 1)), Random(1)
        for _ in range(5):
            random.shuffle(everywhere)
            found = {0: self.bob.unix_record, 200: near[0], 256: far[0]}
            expected = [found[distance].encoded for distance in everywhere if distance in found]
            self.assertEqual(self.records(*everywhere), expected)
        self.assertEqual(sorted(self.bob.table.asked), list(range(1, ID_BITS + 1)))
        self.now += 1
        self.records(*everywhere)
        self.assertEqual(len(self.bob.table.asked), 2 * ID_BITS)

    def test_remembered_for_each_kind_of_asker(self) -> None:
        """What a host of the LAN is told others are not, be it in the same second."""
        self.told(5, ip="192.168.1.1")
        for ip, told in [("192.168.1.2", 1), ("99.1.1.1", 0), ("192.168.1.2", 1)]:
            self.alice.ip = ip_address(ip)
            self.alice.restart()
            self.connect()
            self.assertEqual(len(self.records(256)), told)

    def test_new_record_is_told_at_once(self) -> None:
        """Our own record is not remembered beyond its life."""
        self.records(0)
        self.bob.local.set(COUNTER, b"1")
        self.now += 0.01
        self.assertEqual(self.records(0), [self.bob.local.record(int(self.unix_time * 1000)).encoded])

    def test_bound_of_remembered_answers(self) -> None:
        """However many combinations somebody asks for."""
        for number in range(MAX_REMEMBERED_ANSWERS + 10):
            self.records(255, 1000 + number)
            self.assertLessEqual(len(self.bob.node._told._answers), MAX_REMEMBERED_ANSWERS)


class TalkTests(AnswerTestCase):
    """Requests of other protocols."""

    def setUp(self) -> None:
        super().setUp()
        self.requests: list[IncomingTalk] = []

    def talk(self, protocol: bytes, message: bytes) -> Call:
        """Alice asks Bob."""
        call = self.alice.node.talk(self.bob.contact, protocol, message, self.now)
        self.settle()
        return call

    def answer(self) -> bytes:
        """What Alice heard."""
        event = self.event(self.alice)
        assert isinstance(event, TalkAnswered)
        return event.message

    def test_unknown_protocol(self) -> None:
        """An empty answer."""
        self.talk(b"none", b"hello")
        self.assertEqual(self.answer(), b"")

    def test_handler(self) -> None:
        """It is told who asks, and its answer is sent; until nobody answers any more."""

        def handle(request: IncomingTalk) -> bytes:
            self.requests.append(request)
            return request.message[::-1]

        self.bob.node.register_talk(b"echo", handle)
        call = self.talk(b"echo", b"hello")
        self.assertEqual(self.answer(), b"olleh")
        alice = self.alice
        session = self.bob.node._sessions.get((alice.node_id, alice.ip, alice.port))
        expected = IncomingTalk(alice.node_id, alice.ip, alice.port, call.request_id, b"echo", b"hello", session)
        self.assertEqual(self.requests, [expected])
        self.bob.node.unregister_talk(b"echo")
        self.bob.node.unregister_talk(b"echo")
        self.talk(b"echo", b"hello")
        self.assertEqual(self.answer(), b"")

    def test_later(self) -> None:
        """An answer may take its time."""
        self.bob.node.register_talk(b"slow", self.requests.append)
        self.talk(b"slow", b"hello")
        self.assertEqual(self.alice.node.next_events(), [])
        self.advance(0.5)
        self.assertTrue(self.bob.node.answer_talk(self.requests[0], b"done"))
        self.settle()
        self.assertEqual(self.answer(), b"done")

    def test_too_late(self) -> None:
        """Without a session there is no answer; and after the end there is none either."""
        self.bob.node.register_talk(b"slow", self.requests.append)
        self.talk(b"slow", b"hello")
        node = self.bob.node
        self.bob.restart()
        self.assertFalse(self.bob.node.answer_talk(self.requests[0], b"done"))
        node.close()
        self.assertFalse(node.answer_talk(self.requests[0], b"done"))
        self.assertEqual(node.datagrams_to_send(), [])

    def test_longest_answer(self) -> None:
        """It fills a packet (nim-eth's "TalkResp Payload limit"); one byte more is our user's mistake."""
        self.bob.node.register_talk(b"slow", self.requests.append)
        self.talk(b"slow", b"hello")
        size = packets.MAX_MESSAGE_SIZE - len(messages.encode_talk_response(bytes(8), bytes(1000))) + 1000
        self.assertRaises(LocalProtocolError, self.bob.node.answer_talk, self.requests[0], bytes(size + 1))
        self.assertTrue(self.bob.node.answer_talk(self.requests[0], bytes(size)))
        (datagram,) = self.bob.sent()
        self.assertEqual(len(datagram.data), packets.MAX_SIZE)
        self.deliver(datagram, self.bob)
        self.assertEqual(self.answer(), bytes(size))

    def test_too_long_request(self) -> None:
        """Nothing is sent that does not fit."""
        self.assertRaises(LocalProtocolError, self.alice.node.talk, self.bob.contact, b"echo", bytes(1200), self.now)
        self.assertIsNone(self.alice.node.get_timer())
