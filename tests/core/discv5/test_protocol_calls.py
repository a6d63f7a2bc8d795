"""
Tests for L{devp2p_tx.core.discv5.protocol}: what a node asks, and what it makes of the answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.addressing.ipvote import MIN_STATEMENTS
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.discv5 import messages, protocol
from devp2p_tx.core.discv5.calls import RESPONSE_TIMEOUT
from devp2p_tx.core.discv5.events import (
    Call,
    CallFailed,
    Contact,
    FindNodeCall,
    NodesFound,
    PingAnswered,
    RecordFound,
    Refusal,
    TalkAnswered,
)
from devp2p_tx.core.discv5.packets import ORDINARY
from devp2p_tx.core.enr.local import Source
from devp2p_tx.core.enr.record import InvalidRecord, Record
from devp2p_tx.core.kademlia.distance import log_distance
from devp2p_tx.errors import LocalProtocolError, ServerStopped, Timeout
from tests.core.discv5.playing import COUNTER, PORT, Player, ProtocolTestCase, key, make_record


class CallTestCase(ProtocolTestCase):
    """Alice calls, and Bob answers as he likes."""

    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def asked(self) -> list[bytes]:
        """What Alice asks Bob."""
        (session,) = self.bob.node._sessions._sessions.values()
        found = []
        for datagram in self.alice.sent():
            packet = self.unmask(datagram)
            message = session.read(packet.nonce, packet.message, packet.head)
            assert message is not None
            found.append(message)
        return found

    def answer(self, message: bytes) -> Refusal | None:
        """Bob says something to Alice."""
        (session,) = self.bob.node._sessions._sessions.values()
        datagram, _ = session.write(message, self.bob.node._pool)
        return self.receive(datagram, self.alice, self.bob.ip, self.bob.port)

    def pong(self, call: Call, ip: str = "99.1.1.1", port: int = 1) -> bytes:
        """A PONG."""
        return messages.encode_pong(call.request_id, messages.pong_fields(7, ip_address(ip), port))


class QueueTests(CallTestCase):
    """One call at a time."""

    def test_one_after_the_other(self) -> None:
        """The second call is sent when the first is answered, in their order."""
        first, second = self.ping(self.alice, self.bob), self.ping(self.alice, self.bob)
        self.assertEqual(self.asked(), [messages.encode_ping(first.request_id, self.alice.local.seq)])
        self.assertEqual(self.answer(self.pong(second)), Refusal.UNSOLICITED)
        self.assertIsNone(self.answer(self.pong(first)))
        self.assertEqual(self.asked(), [messages.encode_ping(second.request_id, self.alice.local.seq)])
        self.assertIsNone(self.answer(self.pong(second)))
        events = self.alice.node.next_events()
        self.assertEqual([event.call for event in events], [first, second])
        self.assertIsNone(self.alice.node.get_timer())

    def test_after_a_timeout(self) -> None:
        """Or when it was not."""
        first, second = self.ping(self.alice, self.bob), self.ping(self.alice, self.bob)
        self.asked()
        self.advance(RESPONSE_TIMEOUT)
        self.assert_failed(self.alice, first, Timeout)
        self.assertEqual(len(self.asked()), 1)
        self.assertEqual(self.alice.node.get_timer(), self.now + RESPONSE_TIMEOUT)
        self.advance(RESPONSE_TIMEOUT)
        self.assert_failed(self.alice, second, Timeout)

    def test_during_a_handshake(self) -> None:
        """A queued call does not disturb it."""
        self.bob.restart()
        self.alice.restart()
        for _ in range(3):
            self.ping(self.alice, self.bob)
        self.settle()
        self.assertEqual([type(event) for event in self.alice.node.next_events()], [PingAnswered] * 3)

    def test_nodes_apart(self) -> None:
        """Different nodes are called at once."""
        carol = Player(3, "99.1.3.1")
        self.players.append(carol)
        self.ping(self.alice, self.bob)
        self.ping(self.alice, carol)
        self.assertEqual(len(self.carry(self.alice)), 2)

    def test_cancel(self) -> None:
        """No event tells of a cancelled call; a queued one is not sent, an active one makes way."""
        first, second, third = (self.ping(self.alice, self.bob) for _ in range(3))
        self.asked()
        self.alice.node.cancel(second, self.now)
        self.alice.node.cancel(first, self.now)
        self.assertEqual(self.asked(), [third.message])
        self.assertEqual(self.answer(self.pong(first)), Refusal.UNSOLICITED)
        self.assertIsNone(self.answer(self.pong(third)))
        self.assertEqual([event.call for event in self.alice.node.next_events()], [third])
        self.alice.node.cancel(third, self.now)

    def test_bound(self) -> None:
        """There are only so many calls; those that end make room."""
        calls = [self.ping(self.alice, self.bob) for _ in range(protocol.MAX_CALLS)]
        self.assertRaises(LocalProtocolError, self.ping, self.alice, self.bob)
        self.alice.node.cancel(calls[5], self.now)
        self.ping(self.alice, self.bob)

    def test_close(self) -> None:
        """All calls fail, and nothing happens any more."""
        calls = {self.ping(self.alice, self.bob) for _ in range(2)}
        (datagram,) = self.alice.sent()
        self.bob.node.close()
        self.assertEqual(self.deliver(datagram, self.alice).refusal, Refusal.NOT_DISCV5)
        self.alice.node.close()
        events = self.alice.node.next_events()
        self.assertEqual({event.call for event in events}, calls)
        for event in events:
            assert isinstance(event, CallFailed)
            self.assertIsInstance(event.error, ServerStopped)
        self.assertRaises(ServerStopped, self.ping, self.alice, self.bob)
        self.assertIsNone(self.alice.node.get_timer())

    def test_no_endpoint(self) -> None:
        """A node without an address or a port cannot be called."""
        for ip, port in [(None, 1), (ip_address("0.0.0.0"), 1), (self.bob.ip, 0)]:
            contact = Contact(self.bob.node_id, ip, port)
            self.assertRaises(LocalProtocolError, self.alice.node.ping, contact, self.now, self.unix_time)


class ResponseTests(CallTestCase):
    """Who may answer, and with what."""

    def test_request_id(self) -> None:
        """It must be that of the call."""
        call = self.ping(self.alice, self.bob)
        for request_id in (b"", call.request_id[:-1], bytes(8)):
            fields = messages.pong_fields(7, self.alice.ip, 1)
            self.assertEqual(self.answer(messages.encode_pong(request_id, fields)), Refusal.UNSOLICITED)
        self.assertIsNone(self.answer(self.pong(call)))

    def test_type(self) -> None:
        """It must be that which was asked for."""
        call = self.ping(self.alice, self.bob)
        self.assertEqual(self.answer(messages.encode_talk_response(call.request_id, b"")), Refusal.UNSOLICITED)
        self.assertEqual(
            self.answer(messages.encode_nodes(call.request_id, messages.nodes_fields([]))[0]), Refusal.UNSOLICITED
        )
        self.assertIsNone(self.answer(self.pong(call)))

    def test_once(self) -> None:
        """A second answer is to nothing."""
        call = self.ping(self.alice, self.bob)
        self.assertIsNone(self.answer(self.pong(call)))
        self.assertEqual(self.answer(self.pong(call)), Refusal.UNSOLICITED)

    def test_other_endpoint(self) -> None:
        """The callee may have a session elsewhere, but must answer from where it was called."""
        call = self.ping(self.alice, self.bob)
        port = self.bob.port
        self.bob.port += 1
        self.bob.restart()
        self.ping(self.bob, self.alice)
        self.alice.sent()  # the call gets lost
        self.settle()
        self.assertEqual(self.answer(self.pong(call)), Refusal.UNSOLICITED)
        self.assertEqual(call.port, port)

    def test_statements(self) -> None:
        """Where a callee saw us counts as a vote, once for its address; not so if nothing was asked."""
        self.alice.local.offer(Source.FLAG, 4)
        for number in range(10, 10 + MIN_STATEMENTS):
            host = Player(number, f"99.{number}.2.1")
            self.players.append(host)
            call = self.ping(self.alice, host)
            self.carry(self.alice)
            self.carry(host)
            self.carry(self.alice)
            (session,) = host.node._sessions._sessions.values()
            for echo in (b"wrong", call.request_id):
                fields = messages.pong_fields(7, ip_address("99.7.7.7"), 777)
                datagram, _ = session.write(messages.encode_pong(echo, fields), host.node._pool)
                self.receive(datagram, self.alice, host.ip, host.port)
                predicted = self.alice.local.record(int(self.unix_time * 1000) + number * 10).values
                is_last = number == 9 + MIN_STATEMENTS and echo != b"wrong"
                self.assertEqual(b"\x84" + ip_address("99.7.7.7").packed in dict(predicted).values(), is_last)

    def test_useless_statements(self) -> None:
        """Neither port 0 nor an unspecified address is one."""
        self.alice.local.offer(Source.FLAG, 4)
        for ip, port in [("99.7.7.7", 0), ("0.0.0.0", 1)]:
            call = self.ping(self.alice, self.bob)
            self.assertIsNone(self.answer(self.pong(call, ip, port)))
        stated = self.alice.local._families[4].votes._statements.values()
        self.assertEqual([each.host for each in stated], [self.bob.ip])  # that of connect()

    def test_talk(self) -> None:
        """An answer of another protocol."""
        call = self.alice.node.talk(self.bob.contact, b"echo", b"hello", self.now)
        self.assertEqual(self.asked(), [messages.encode_talk_request(call.request_id, b"echo", b"hello")])
        self.assertIsNone(self.answer(messages.encode_talk_response(call.request_id, b"hi")))
        self.assertEqual(self.alice.node.next_events(), [TalkAnswered(call, b"hi")])


class NodesTests(CallTestCase):
    """What is made of NODES."""

    def find(self, *numbers: int) -> FindNodeCall:
        """Ask for some nodes, by their distances."""
        distances = {log_distance(self.bob.node_id, make_record(number).node_id) for number in numbers}
        call = self.alice.node.find_node(self.bob.contact, sorted(distances) or [256], self.now)
        self.alice.sent()
        return call

    def tell(self, call: Call, records: Iterable[Record | bytes], total: int = 1) -> Refusal | None:
        """Bob answers."""
        encoded = [each if isinstance(each, bytes) else each.encoded for each in records]
        (message,) = messages.encode_nodes(call.request_id, messages.nodes_fields(encoded))
        head = 2 if message[1] <= 0xF7 else message[1] - 0xF7 + 2
        position = head + 9
        self.assertEqual(message[position], 1)
        written = bytes((total,)) if 0 < total < 0x80 else b"\x80" if not total else b"\x81" + bytes((total,))
        if len(written) > 1:  # the list gets longer by one byte, which its short header has room for
            self.assertLess(message[1], 0xF7)
            message = message[:1] + bytes((message[1] + 1,)) + message[2:]
        return self.answer(message[:position] + written + message[position + 1 :])

    def found(self) -> tuple[list[Record], bool]:
        """What came of it."""
        event = self.event(self.alice)
        assert isinstance(event, NodesFound)
        return list(event.records), event.is_complete

    def test_one_packet(self) -> None:
        records = [make_record(number) for number in (5, 6)]
        self.assertIsNone(self.tell(self.find(5, 6), records))
        self.assertEqual(self.found(), (records, True))

    def test_several_packets(self) -> None:
        """As many as the first one says."""
        call = self.find(5, 6, 7)
        for number, total in [(5, 3), (6, 1), (7, 9)]:
            self.assertEqual(self.alice.node.next_events(), [])
            self.assertIsNone(self.tell(call, [make_record(number)], total))
        self.assertEqual(self.found(), ([make_record(number) for number in (5, 6, 7)], True))

    def test_totals(self) -> None:
        """Zero is as good as one; of 255 no more than five are awaited."""
        self.assertIsNone(self.tell(self.find(5), [make_record(5)], 0))
        self.assertEqual(self.found(), ([make_record(5)], True))
        call = self.find(5)
        for _ in range(protocol.MAX_ANSWERS):
            self.assertEqual(self.alice.node.next_events(), [])
            self.assertIsNone(self.tell(call, [], 255))
        self.assertEqual(self.found(), ([], True))
        self.assertEqual(self.tell(call, [], 255), Refusal.UNSOLICITED)

    def test_timeout(self) -> None:
        """Each part of the answer gives it more time; what came counts, even if it was no node."""
        call = self.find(5)
        self.assertIsNone(self.tell(call, [make_record(5)], 3))
        self.advance(RESPONSE_TIMEOUT / 2)
        self.assertIsNone(self.tell(call, [], 3))
        self.advance(RESPONSE_TIMEOUT * 0.9)
        self.assertEqual(self.alice.node.next_events(), [])
        self.advance(RESPONSE_TIMEOUT * 0.1)
        self.assertEqual(self.found(), ([make_record(5)], False))
        call = self.find(5)
        self.advance(RESPONSE_TIMEOUT)
        self.assert_failed(self.alice, call, Timeout)

    def test_bad_records(self) -> None:
        """Those that are malformed, forged, or repeated are left out, the others stay."""
        good = make_record(5)
        forged = good.encoded[:20] + b"\0" + good.encoded[21:]
        self.assertIsNone(self.tell(self.find(5), [b"\xc0", b"\x01", forged, good, good]))
        self.assertEqual(self.found(), ([good], True))

    def test_impossible_distances(self) -> None:
        """They are not asked for; possible ones are, once each, and be it all of them."""
        for wrong in ([-1], [257], range(10_000)):
            with self.assertRaises(LocalProtocolError):
                self.alice.node.find_node(self.bob.contact, wrong, self.now)
        call = self.alice.node.find_node(self.bob.contact, [*range(257)] * 9, self.now)
        self.assertEqual(call.distances, tuple(range(257)))

    def test_other_distances(self) -> None:
        """Records for ids that were not asked for."""
        numbers = range(10, 40)
        records = [make_record(number) for number in numbers]
        distances = [log_distance(self.bob.node_id, record.node_id) for record in records]
        wanted, other = distances[0], next(each for each in distances if each != distances[0])
        call = self.alice.node.find_node(self.bob.contact, [wanted], self.now)
        told = [records[distances.index(wanted)], records[distances.index(other)], self.bob.unix_record]
        self.assertIsNone(self.tell(call, told))
        self.assertEqual(self.found(), (told[:1], True))

    def test_bad_endpoints(self) -> None:
        """LAN, special and missing addresses, and low ports."""
        bad = [("127.0.0.1", PORT), ("10.0.0.1", PORT), ("203.0.113.1", PORT), ("98.1.1.1", 1024), ("98.1.1.1", 53)]
        for ip, port in bad:
            self.assertIsNone(self.tell(self.find(5), [make_record(5, ip, port)]))
            self.assertEqual(self.found(), ([], True))
        bare = Record.sign(Player(5, "98.1.1.1").key, 1, {})
        self.assertIsNone(self.tell(self.find(5), [bare]))
        self.assertEqual(self.found(), ([], True))
        self.assertIsNone(self.tell(self.find(5), [make_record(5, udp=1025)]))
        self.assertEqual(len(self.found()[0]), 1)

    def test_other_family(self) -> None:
        """Who has one address family hears of nodes in that, and of those in both."""
        endpoints = {b"ip": ip_address("98.1.1.1").packed, b"ip6": ip_address("2600::1").packed, b"udp": b"\x76\x5f"}
        both = Record.sign(key(7), 1, dict(endpoints))
        four = make_record(5)
        six = Record.sign(key(6), 1, {b"ip6": endpoints[b"ip6"], b"udp6": endpoints[b"udp"]})
        for versions, expected in [((4,), [four, both]), ((6,), [six, both]), ((4, 6), [four, six, both])]:
            self.alice.local.versions = versions
            self.assertIsNone(self.tell(self.find(5, 6, 7), [four, six, both]))
            if self.policy is None:
                self.assertEqual(self.found(), (expected, True), versions)
            else:
                self.assertEqual(self.found()[0], [each for each in (four, both) if 4 in versions])


class RestrictedTests(NodesTests):
    """The same, where only some networks are wanted."""

    policy = AddressPolicy(Netlist.parse("98.1.0.0/16,99.1.2.0/24"))

    def test_elsewhere(self) -> None:
        """Nodes elsewhere are left out."""
        self.assertIsNone(self.tell(self.find(5, 6), [make_record(5, "98.2.1.1"), make_record(6)]))
        self.assertEqual(self.found(), ([make_record(6)], True))


class RecordTests(CallTestCase):
    """Asking for a record."""

    def request(self, known: Record | None = None) -> Call:
        """Alice asks for Bob's."""
        call = self.alice.node.request_record(self.bob.contact, self.now, known)
        self.settle()
        return call

    def test_record(self) -> None:
        """As it is now."""
        self.bob.local.set(COUNTER, b"new")
        self.now += 1
        call = self.request()
        newest = self.bob.local.record(int(self.unix_time * 1000))
        self.assertEqual(self.alice.node.next_events(), [RecordFound(call, newest)])  # type: ignore[arg-type]

    def test_known(self) -> None:
        """The newer of what is told and what is known."""
        current = self.bob.unix_record
        older, newer = (Record.sign(self.bob.key, current.seq + step, {}) for step in (-1, 1))
        for known, expected in [(older, current), (newer, newer)]:
            self.request(known)
            event = self.event(self.alice)
            assert isinstance(event, RecordFound)
            self.assertEqual(event.record, expected)

    def test_none(self) -> None:
        """A node that does not tell its record, as it has no address for us."""
        self.bob.local.offer(Source.FLAG, 4, ip_address("127.0.0.1"))
        self.now += 1
        self.assert_failed(self.alice, self.request(), InvalidRecord, "0 nodes")

    def test_another(self) -> None:
        """A record of another node is none."""
        call = self.alice.node.request_record(self.bob.contact, self.now)
        self.assertEqual(self.asked(), [messages.encode_findnode(call.request_id, (0,))])
        self.assertIsNone(
            self.answer(messages.encode_nodes(call.request_id, messages.nodes_fields([make_record(5).encoded]))[0])
        )
        self.assert_failed(self.alice, call, InvalidRecord)

    def test_timeout(self) -> None:
        """Nothing came, or only a part of it with nothing in it."""
        call = self.alice.node.request_record(self.bob.contact, self.now)
        self.advance(RESPONSE_TIMEOUT)
        self.assert_failed(self.alice, call, Timeout)

    def test_lookups_meet(self) -> None:
        """A FINDNODE from core to core."""
        records = self.told(*range(50, 80), distance=256)
        wanted = [each for each in records[:16] if log_distance(self.bob.node_id, each.node_id) == 256]
        self.alice.node.find_node(self.bob.contact, [256], self.now)
        flags = self.settle()
        self.assertEqual(set(flags), {ORDINARY})
        event = self.event(self.alice)
        assert isinstance(event, NodesFound)
        self.assertEqual((list(event.records), event.is_complete), (wanted, True))
