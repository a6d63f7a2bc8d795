"""
Tests for L{devp2p_tx.core.discv4.protocol}: what a node asks of others.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import IPAddress, Netlist
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.discv4 import packets, protocol
from devp2p_tx.core.discv4.endpointproof import MAX_FAILURES
from devp2p_tx.core.discv4.events import (
    Call,
    CallFailed,
    ClockSuspect,
    EnrCall,
    NodesFound,
    PingAnswered,
    RecordFound,
    Refusal,
)
from devp2p_tx.core.discv4.protocol import Discv4
from devp2p_tx.core.discv4.replies import RESPONSE_TIMEOUT, SUSPICIOUS_TIMEOUTS
from devp2p_tx.core.enr.local import LocalRecord, Source
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import InvalidRecord, Record
from devp2p_tx.errors import LocalProtocolError, ServerStopped, Timeout
from tests.core.discv4.playing import (
    OUR_KEY,
    PEER,
    PEER_IP,
    PEER_PORT,
    START,
    STRANGER,
    STRANGER_IP,
    TARGET,
    FakeTable,
    ProtocolTestCase,
    key,
    neighbor,
    node,
)


class PingCallTests(ProtocolTestCase):
    """PINGs that we send for our user."""

    def ping(self) -> Call:
        """Ping the peer."""
        return self.node.ping(PEER.public_key.node_id, PEER_IP, PEER_PORT, self.now, self.unix_time)

    def test_answered(self) -> None:
        """The PONG is handed out; the peer is proved, but does not enter the table of itself."""
        call = self.ping()
        ((ping_hash, _),) = self.sent_datagrams()
        self.receive(self.make_pong(ping_hash))
        event = self.event()
        assert isinstance(event, PingAnswered)
        self.assertIs(event.call, call)
        self.assertEqual(event.pong.enr_seq, 9)
        self.assertTrue(self.node.proofs.is_proved(PEER.public_key.node_id, PEER_IP, self.unix_time))
        self.assertEqual(self.table.added, [])
        self.assertIsNone(self.node.get_timer())

    def test_timeout(self) -> None:
        """Half a second."""
        call = self.ping()
        self.advance(RESPONSE_TIMEOUT - 0.01)
        self.assertEqual(self.node.next_events(), [])
        self.advance(0.01)
        self.assert_failed(call, Timeout)

    def test_same_second(self) -> None:
        """Two PINGs of one second are the same bytes; one PONG answers both."""
        calls = [self.ping(), self.ping()]
        (first, _), (second, _) = self.sent_datagrams()
        self.assertEqual(first, second)
        self.receive(self.make_pong(first))
        self.assertEqual([event.call for event in self.node.next_events() if isinstance(event, PingAnswered)], calls)

    def test_clock_set_back(self) -> None:
        """A call whose end lies too far ahead fails at once."""
        call = self.ping()
        self.now -= 1
        self.node.handle_timer(self.now, self.unix_time)
        self.assert_failed(call, LocalProtocolError)

    def test_clock_set_back_on_a_stranger(self) -> None:
        """A PING back that never ended would keep the stranger out."""
        self.receive(self.make_ping())
        self.now -= 1
        self.node.handle_timer(self.now, self.unix_time)
        self.sent()
        self.bond()

    def test_cancel(self) -> None:
        """No outcome is told, and an answer is unsolicited."""
        call = self.ping()
        self.node.cancel(call)
        self.node.cancel(call)
        ((ping_hash, _),) = self.sent_datagrams()
        self.assertEqual(self.receive(self.make_pong(ping_hash)), Refusal.UNSOLICITED)
        self.advance(1)
        self.assertEqual(self.node.next_events(), [])

    def test_no_endpoint(self) -> None:
        """There must be an address and a port."""
        for ip, port in ((None, 1), (PEER_IP, 0), (ip_address("0.0.0.0"), 1)):
            error = self.assertRaises(
                LocalProtocolError, self.node.ping, PEER.public_key.node_id, ip, port, self.now, self.unix_time
            )
            self.assertEqual(str(error), "node has no UDP endpoint")

    def test_bound(self) -> None:
        """Our user cannot have too many calls in flight; those that ended do not count."""
        self.patch(protocol, "MAX_CALLS", 2)
        self.ping()
        self.ping()
        self.assertRaises(LocalProtocolError, self.ping)
        self.advance(RESPONSE_TIMEOUT)
        self.ping()

    def test_close(self) -> None:
        """All calls fail, nothing is answered, nothing can be asked."""
        call = self.ping()
        waiting = self.find_node()
        self.node.close()
        failed = {event.call for event in self.node.next_events() if isinstance(event, CallFailed)}
        self.assertEqual(failed, {call, waiting})
        self.assertIsNone(self.node.get_timer())
        self.assertEqual(self.receive(self.make_ping()), Refusal.NOT_DISCV4)
        self.assertEqual(self.sent(), [])
        self.assertRaises(ServerStopped, self.ping)

    def test_clock_suspect(self) -> None:
        """Many timeouts in a row, and our clock may be wrong; the PINGs may also be those to strangers."""
        for number in range(SUSPICIOUS_TIMEOUTS + 1):
            self.receive(self.make_ping(key(100 + number)))
        self.advance(RESPONSE_TIMEOUT)
        self.assertEqual(self.event(), ClockSuspect())

    def test_clock_trusted(self) -> None:
        """One answer among them, and it is right."""
        for number in range(SUSPICIOUS_TIMEOUTS):
            self.receive(self.make_ping(key(100 + number)))
        self.advance(RESPONSE_TIMEOUT)
        self.sent()
        self.bond()
        self.receive(self.make_ping(key(200)))
        self.advance(RESPONSE_TIMEOUT)
        self.assertEqual(self.node.next_events(), [])


class FindNodeCallTests(ProtocolTestCase):
    """FINDNODEs that we send."""

    def setUp(self) -> None:
        """The peer knows where we are."""
        super().setUp()
        self.node.proofs.ping_received(PEER.public_key.node_id, PEER_IP, self.unix_time)

    def tell(self, nodes: Iterable[Node], of: PrivateKey = PEER, ip: IPAddress = PEER_IP) -> list[Refusal | None]:
        """The peer tells nodes."""
        datagrams = packets.encode_neighbors(of, map(neighbor, nodes), self.expiration)
        return [self.receive(datagram, ip) for datagram in datagrams]

    def found(self, call: Call) -> tuple[Node, ...]:
        """What the call brought."""
        event = self.event()
        assert isinstance(event, NodesFound)
        self.assertIs(event.call, call)
        return event.nodes

    def test_question(self) -> None:
        """It is sent at once to who knows us."""
        self.find_node()
        self.assertEqual(self.sent(), [packets.FindNode(TARGET, self.expiration)])

    def test_full_answer(self) -> None:
        """Sixteen nodes in several packets end the call."""
        call = self.find_node()
        nodes = [node(number) for number in range(10, 26)]
        self.assertEqual(self.tell(nodes[:12]), [None])
        self.assertEqual(self.node.next_events(), [])
        self.assertEqual(self.tell(nodes[12:]), [None])
        self.assertEqual(self.found(call), tuple(nodes))
        self.assertEqual(self.tell(nodes), [Refusal.UNSOLICITED] * 2)

    def test_partial_answer(self) -> None:
        """Fewer nodes are an answer when time is over."""
        call = self.find_node()
        self.tell([node(10)])
        self.tell([node(11)])
        self.advance(RESPONSE_TIMEOUT)
        self.assertEqual(self.found(call), (node(10), node(11)))

    def test_empty_answer(self) -> None:
        """So is none; but it counts as a failure."""
        call = self.find_node()
        self.tell([])
        self.advance(RESPONSE_TIMEOUT)
        self.assertEqual(self.found(call), ())
        self.assertEqual(self.node.proofs.failures(PEER.public_key.node_id, PEER_IP), 1)

    def test_timeout(self) -> None:
        """Silence is a failure; nodes make up for it."""
        call = self.find_node()
        self.advance(RESPONSE_TIMEOUT)
        self.assert_failed(call, Timeout)
        self.assertEqual(self.node.proofs.failures(PEER.public_key.node_id, PEER_IP), 1)
        self.find_node()
        self.tell([node(10)])
        self.advance(RESPONSE_TIMEOUT)
        self.assertEqual(self.node.proofs.failures(PEER.public_key.node_id, PEER_IP), 0)

    def test_others_cannot_answer(self) -> None:
        """Neither another node at that address, nor that node from another one."""
        call = self.find_node()
        self.assertEqual(self.tell([node(10)], STRANGER), [Refusal.UNSOLICITED])
        self.assertEqual(self.tell([node(10)], ip=STRANGER_IP), [Refusal.UNSOLICITED])
        self.advance(RESPONSE_TIMEOUT)
        self.assert_failed(call, Timeout)

    def test_expired(self) -> None:
        """Nor does a packet whose time is over."""
        self.find_node()
        datagram = packets.encode_neighbors(PEER, [], int(self.unix_time))[0]
        self.assertEqual(self.receive(datagram), Refusal.EXPIRED)

    def test_two_calls(self) -> None:
        """NEIGHBORS do not say which FINDNODE they answer: both get all."""
        calls = [self.find_node(), self.find_node()]
        self.tell([node(10)])
        self.advance(RESPONSE_TIMEOUT)
        self.assertEqual(self.node.next_events(), [NodesFound(call, (node(10),)) for call in calls])

    def test_bad_nodes(self) -> None:
        """Low ports, addresses that the peer may not tell, and keys off the curve are left out, but counted."""
        call = self.find_node()
        texts = ["192.168.1.1", "127.0.0.1", "0.0.0.0", "203.0.113.1", "ff02::1"]
        bad = [node(50 + number, text) for number, text in enumerate(texts)]
        bad += [node(60, udp=1024), node(61, udp=0)]
        self.tell([*bad, node(10, udp=1025)])
        odd = packets.Neighbor(b"\1\2\3", 30303, 1, node(70).public_key.to_bytes())
        off_curve = neighbor(node(71))._replace(public_key=b"\1" * 64)
        self.receive(packets.encode_neighbors(PEER, [odd, off_curve], self.expiration)[0])
        self.tell([node(number) for number in range(11, 17)])
        self.assertEqual(self.found(call), (node(10, udp=1025), *(node(number) for number in range(11, 17))))

    def test_multiple_replies(self) -> None:
        """go-ethereum p2p/discover/v4_udp_test.go, TestUDPv4_findnodeMultiReply: the third node has a low port."""
        call = self.find_node()
        nodes = [node(10), node(11), node(12, udp=17), node(13)]
        self.tell(nodes[:2])
        self.tell(nodes[2:])
        self.advance(RESPONSE_TIMEOUT)
        self.assertEqual(self.found(call), (nodes[0], nodes[1], nodes[3]))

    def test_lan(self) -> None:
        """A peer of the LAN may tell of the LAN, and one on our host of our host."""
        home = ip_address("127.0.0.1")
        node_id = PEER.public_key.node_id
        self.node.proofs.ping_received(node_id, home, self.unix_time)
        call = self.node.find_node(node_id, home, PEER_PORT, TARGET, self.now, self.unix_time)
        nodes = [node(10, "127.0.0.2"), node(11, "192.168.1.1"), node(12, "1.2.3.4")]
        self.tell(nodes, ip=home)
        self.advance(RESPONSE_TIMEOUT)
        self.assertEqual(self.found(call), tuple(nodes))

    def test_other_family(self) -> None:
        """Who has one address family hears of nodes in that."""
        for versions, expected in [((4,), (node(10),)), ((6,), (node(12, "2a00::1"),))]:
            self.local.versions = versions
            call = self.find_node()
            self.tell([node(10), node(12, "2a00::1")])
            self.advance(RESPONSE_TIMEOUT)
            self.assertEqual(self.found(call), expected if self.policy is None or versions == (4,) else ())


class NetrestrictTests(FindNodeCallTests):
    """The same within a list of networks that holds all of them."""

    policy = AddressPolicy(Netlist.parse("98.0.0.0/8,99.1.1.0/24,127.0.0.0/8,192.168.0.0/16,1.0.0.0/8"), lan=True)

    def test_elsewhere(self) -> None:
        """Nodes elsewhere are left out."""
        call = self.find_node()
        self.tell([node(10), node(11, "97.1.1.1"), node(12, "2a00::1")])
        self.advance(RESPONSE_TIMEOUT)
        self.assertEqual(self.found(call), (node(10),))


class BondingTests(ProtocolTestCase):
    """What precedes a question to a node that may not know us."""

    def test_answered(self) -> None:
        """PING, PONG, half a second for their PING, the question."""
        call = self.find_node()
        ((ping_hash, ping),) = self.sent_datagrams()
        self.assertIsInstance(ping, packets.Ping)
        self.advance(0.1)
        self.receive(self.make_pong(ping_hash))
        self.advance(0.49)
        self.assertEqual(self.sent(), [])
        self.advance(0.01)
        self.assertEqual(self.sent(), [packets.FindNode(TARGET, self.expiration)])
        self.receive(packets.encode_neighbors(PEER, [neighbor(node(10))], self.expiration)[0])
        self.advance(RESPONSE_TIMEOUT)
        self.assertEqual(self.event(), NodesFound(call, (node(10),)))
        self.assertEqual(self.table.added, [])

    def test_unanswered(self) -> None:
        """Without a PONG the question is asked nevertheless, a second later."""
        call = self.find_node()
        self.advance(0.99)
        self.assertEqual(len(self.sent()), 1)
        self.advance(0.01)
        self.assertEqual(self.sent(), [packets.FindNode(TARGET, self.expiration)])
        self.advance(RESPONSE_TIMEOUT)
        self.assert_failed(call, Timeout)

    def test_peer_pings_meanwhile(self) -> None:
        """Their PING is answered while the question waits."""
        self.find_node()
        ((ping_hash, _),) = self.sent_datagrams()
        self.receive(self.make_pong(ping_hash))
        self.receive(self.make_ping())
        self.assertEqual([type(payload) for payload in self.sent()], [packets.Pong])

    def test_shared(self) -> None:
        """Several calls wait for one PING; another node or address needs its own."""
        self.find_node()
        self.find_node()
        node_id = PEER.public_key.node_id
        self.node.request_record(node_id, PEER_IP, PEER_PORT, self.now, self.unix_time)
        self.assertEqual(len(self.sent()), 1)
        self.advance(0.6)
        self.find_node()
        self.advance(0.4)
        kinds = [type(payload) for payload in self.sent()]
        self.assertEqual(kinds, [packets.FindNode, packets.FindNode, packets.EnrRequest, packets.FindNode])
        self.node.find_node(STRANGER.public_key.node_id, PEER_IP, PEER_PORT, TARGET, self.now, self.unix_time)
        self.assertEqual([type(payload) for payload in self.sent()], [packets.Ping])

    def test_cancelled(self) -> None:
        """A call that was cancelled is not asked."""
        self.node.cancel(self.find_node())
        self.advance(5)
        self.assertEqual(len(self.sent()), 1)
        self.assertEqual(self.node.next_events(), [])

    def test_failures(self) -> None:
        """Who failed too often may have forgotten us."""
        node_id = PEER.public_key.node_id
        self.node.proofs.ping_received(node_id, PEER_IP, self.unix_time)
        for _ in range(MAX_FAILURES + 1):
            self.find_node()
            self.assertEqual([type(payload) for payload in self.sent()], [packets.FindNode])
            self.advance(RESPONSE_TIMEOUT)
        self.find_node()
        self.assertEqual([type(payload) for payload in self.sent()], [packets.Ping])

    def test_clock_set_back(self) -> None:
        """The calls that wait fail; the next one begins anew."""
        call = self.find_node()
        self.now -= 1
        self.node.handle_timer(self.now, self.unix_time)
        self.assert_failed(call, LocalProtocolError)
        self.sent()
        self.find_node()
        self.assertEqual([type(payload) for payload in self.sent()], [packets.Ping])


class EnrCallTests(ProtocolTestCase):
    """ENRREQUESTs that we send."""

    def setUp(self) -> None:
        """The peer knows where we are."""
        super().setUp()
        self.node.proofs.ping_received(PEER.public_key.node_id, PEER_IP, self.unix_time)

    def request(self, known: Record | None = None) -> EnrCall:
        """Ask the peer for its record."""
        node_id = PEER.public_key.node_id
        return self.node.request_record(node_id, PEER_IP, PEER_PORT, self.now, self.unix_time, known)

    def answer(self, record: bytes, of: PrivateKey = PEER, ip: IPAddress = PEER_IP) -> Refusal | None:
        """The peer answers the only request."""
        ((request_hash, _),) = self.sent_datagrams()
        return self.receive(packets.encode_enr_response(of, packets.EnrResponse(request_hash, record)), ip)

    def record(self, seq: int = 5, ip: str = "99.1.1.2", of: PrivateKey = PEER) -> Record:
        """A record of the peer."""
        return Record.sign(of, seq, {b"ip": ip_address(ip).packed})

    def test_answered(self) -> None:
        """The record."""
        call = self.request()
        self.assertIsNone(self.answer(self.record().encoded))
        self.assertEqual(self.event(), RecordFound(call, self.record()))

    def test_older(self) -> None:
        """An older record than the known one is put away in silence."""
        known = self.record(6)
        call = self.request(known)
        self.answer(self.record(5).encoded)
        self.assertEqual(self.event(), RecordFound(call, known))

    def test_bad_records(self) -> None:
        """Of another node, with an address that it may not tell, without any, badly signed, malformed, too big."""
        other = self.record(of=STRANGER)
        bare = Record.sign(PEER, 5, {})
        altered = bytearray(self.record().encoded)
        altered[20] ^= 1
        cases = [
            (other.encoded, "invalid ID in response record"),
            (self.record(ip="192.168.1.1").encoded, "invalid IP in response record: LAN address"),
            (bare.encoded, "invalid IP in response record: no valid IP"),
            (bytes(altered), "invalid signature"),
            (b"\xc0", "record contains less"),
            (b"\xb9\1\x2d" + bytes(301), "record bigger than 300 bytes"),
        ]
        for encoded, sentence in cases:
            call = self.request()
            self.assertIsNone(self.answer(encoded))
            event = self.event()
            assert isinstance(event, CallFailed)
            self.assertIs(event.call, call)
            self.assertIsInstance(event.error, InvalidRecord)
            self.assertIn(sentence, str(event.error))

    def test_others_cannot_answer(self) -> None:
        """Neither another node, nor that node from another address."""
        for of, ip in ((STRANGER, PEER_IP), (PEER, STRANGER_IP)):
            call = self.request()
            self.assertEqual(self.answer(self.record().encoded, of, ip), Refusal.UNSOLICITED)
            self.advance(RESPONSE_TIMEOUT)
            self.assert_failed(call, Timeout)

    def test_same_second(self) -> None:
        """Requests of one second are the same bytes for all nodes; each gets its own answer."""
        first = self.request()
        node_id = STRANGER.public_key.node_id
        self.node.proofs.ping_received(node_id, STRANGER_IP, self.unix_time)
        second = self.node.request_record(node_id, STRANGER_IP, PEER_PORT, self.now, self.unix_time)
        one, other = (packets.datagram_hash(data) for data, _, _ in self.node.datagrams_to_send())
        self.assertEqual(one, other)
        response = packets.EnrResponse(one, self.record().encoded)
        self.receive(packets.encode_enr_response(PEER, response))
        self.assertEqual(self.event(), RecordFound(first, self.record()))
        response = packets.EnrResponse(one, self.record(of=STRANGER).encoded)
        self.receive(packets.encode_enr_response(STRANGER, response), STRANGER_IP)
        self.assertEqual(self.event(), RecordFound(second, self.record(of=STRANGER)))


class TwoNodesTests(SynchronousTestCase):
    """Two nodes, each with all of the protocol."""

    def test_talk(self) -> None:
        """They bond, and ask each other."""
        keys = (OUR_KEY, PEER)
        homes = [(ip_address(f"99.1.1.{number + 1}"), 30301 + number) for number in range(2)]
        nodes = []
        for our_key, (ip, port) in zip(keys, homes, strict=True):
            local = LocalRecord(our_key, int(START * 1000))
            local.offer(Source.FLAG, 4, ip, udp=port)
            nodes.append(Discv4(local, FakeTable()))
        now, events = 0.0, []
        them = (PEER.public_key.node_id, *homes[1])
        nodes[0].find_node(*them, TARGET, now, START)
        nodes[0].request_record(*them, now, START)
        for _ in range(40):
            for index, (ip, port) in enumerate(homes):
                nodes[index].handle_timer(now, START + now)
                for data, *to in nodes[index].datagrams_to_send():
                    self.assertEqual(tuple(to), homes[1 - index])
                    self.assertIsNone(nodes[1 - index].receive_datagram(data, ip, port, now, START + now))
                events += nodes[index].next_events()
            now += 0.05
        record, found = events
        assert isinstance(found, NodesFound) and isinstance(record, RecordFound)
        self.assertEqual(record.record.node_id, PEER.public_key.node_id)
