"""
Tests for L{devp2p_tx.core.discv4.protocol}: what a node does when others write to it.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from devp2p_tx.core.addressing.ipvote import MIN_STATEMENTS
from devp2p_tx.core.addressing.packetlimit import PacketRateLimiter
from devp2p_tx.core.addressing.sourcebudget import Allowance
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.discv4 import packets, protocol
from devp2p_tx.core.discv4.endpointproof import LIFETIME
from devp2p_tx.core.discv4.events import (
    Refusal,
)
from devp2p_tx.core.discv4.packets import WireEndpoint
from devp2p_tx.core.discv4.protocol import Discv4
from devp2p_tx.core.discv4.replies import RESPONSE_TIMEOUT
from devp2p_tx.core.enr import entries
from devp2p_tx.core.enr.local import LocalRecord, Source
from devp2p_tx.core.enr.record import Record
from tests.core.discv4.playing import (
    OUR_KEY,
    PEER,
    PEER_IP,
    PEER_PORT,
    PEER_TCP,
    STRANGER,
    STRANGER_IP,
    TARGET,
    Added,
    ProtocolTestCase,
    key,
    neighbor,
    node,
)


class PingTests(ProtocolTestCase):
    """PINGs that come in."""

    def test_stranger(self) -> None:
        """PONG, then PING; the stranger enters the table with its own PONG (TestUDPv4_successfulPing)."""
        datagram = self.make_ping()
        self.assertIsNone(self.receive(datagram))
        (_, pong), (ping_hash, ping) = self.sent_datagrams()
        seq = self.local.seq
        recipient = WireEndpoint(PEER_IP.packed, PEER_PORT, PEER_TCP)
        self.assertEqual(pong, packets.Pong(recipient, packets.datagram_hash(datagram), self.expiration, seq))
        ours = WireEndpoint(ip_address("99.1.1.1").packed, 30301, 30305)
        self.assertEqual(ping, packets.Ping(ours, WireEndpoint(PEER_IP.packed, PEER_PORT, 0), self.expiration, seq))
        self.assertEqual(self.table.added, [])
        self.assertIsNone(self.receive(self.make_pong(ping_hash)))
        self.assertEqual(self.table.added, [Added(PEER.public_key, PEER_IP, PEER_PORT, PEER_TCP, self.now)])
        self.assertEqual(self.node.next_events(), [])

    def test_silence_after_bonding(self) -> None:
        """Nothing follows for a while, be it PING, FINDNODE or ENRREQUEST: the peer may expect an answer next."""
        self.bond()
        self.advance(10)
        self.assertEqual(self.sent(), [])
        self.assertIsNone(self.node.get_timer())

    def test_bonded(self) -> None:
        """Who is bonded gets a PONG only, and enters the table at once."""
        self.bond()
        self.receive(self.make_ping())
        (pong,) = self.sent()
        self.assertIsInstance(pong, packets.Pong)
        self.assertEqual(len(self.table.added), 2)

    def test_bond_ends(self) -> None:
        """After a day the peer is pinged back again."""
        self.bond()
        self.advance(LIFETIME)
        self.receive(self.make_ping())
        self.assertEqual([type(payload) for payload in self.sent()], [packets.Pong, packets.Ping])

    def test_bond_is_of_an_address(self) -> None:
        """From another address the bonded node is a stranger; from another port it is not."""
        self.bond()
        self.receive(self.make_ping(), port=9)
        self.assertEqual(len(self.sent_datagrams(port=9)), 1)
        self.receive(self.make_ping(), ip=STRANGER_IP)
        self.assertEqual(len(self.sent_datagrams(ip=STRANGER_IP)), 2)

    def test_one_ping_back_at_a_time(self) -> None:
        """A stranger's second PING is answered, but not with another PING until the first one timed out."""
        for expected in (2, 1):
            self.receive(self.make_ping())
            self.assertEqual(len(self.sent()), expected)
        self.advance(RESPONSE_TIMEOUT)
        self.receive(self.make_ping())
        self.assertEqual(len(self.sent()), 2)
        self.assertEqual(self.node.next_events(), [])

    def test_bound_on_ping_backs(self) -> None:
        """Too many strangers get their PONG, but are not pinged back."""
        self.patch(protocol, "MAX_PING_BACKS", 3)
        for number in range(10, 15):
            self.receive(self.make_ping(key(number)))
        self.assertEqual(sum(isinstance(payload, packets.Ping) for payload in self.sent()), 3)

    def test_expired(self) -> None:
        """Nothing happens, also if the time lies so far ahead that it is in the past."""
        for expiration in (int(self.unix_time), 0, 2**64 - self.expiration, 2**63):
            ping = packets.Ping(packets.NO_ENDPOINT, packets.NO_ENDPOINT, expiration, 0)
            self.assertEqual(self.receive(packets.encode_ping(PEER, ping)), Refusal.EXPIRED)
        self.assertEqual(self.sent(), [])

    def test_is_a_proof_of_ours(self) -> None:
        """Who pinged us knows us: a question to it needs no PING."""
        self.bond()
        self.find_node()
        self.assertEqual([type(payload) for payload in self.sent()], [packets.FindNode])

    def test_new_endpoint_of_our_own(self) -> None:
        """PINGs tell what the record tells."""
        self.receive(self.make_ping())
        self.advance(RESPONSE_TIMEOUT)
        self.local.offer(Source.FLAG, 4, ip_address("99.1.1.77"))
        self.receive(self.make_ping())
        senders = [payload.sender.ip for payload in self.sent() if isinstance(payload, packets.Ping)]
        self.assertEqual(senders, [ip_address("99.1.1.1"), ip_address("99.1.1.77")])

    def test_endpoint_of_the_family(self) -> None:
        """PINGs tell where we are in the family in which they are sent: the TCP port may be another one there."""
        self.local.offer(Source.FLAG, 6, ip_address("2600::1"), tcp=40305, udp=40301)
        for ip in (PEER_IP, ip_address("2600::2")):
            self.node.ping(STRANGER.public_key.node_id, ip, 9, self.now, self.unix_time)
        told = [packets.decode(data)[0] for data, _, _ in self.node.datagrams_to_send()]
        senders = [payload.sender for payload in told if isinstance(payload, packets.Ping)]
        self.assertEqual(
            [(each.ip, each.udp, each.tcp) for each in senders],
            [(ip_address("99.1.1.1"), 30301, 30305), (ip_address("2600::1"), 40301, 40305)],
        )

    def test_no_endpoint_of_our_own(self) -> None:
        """Who does not know its address says so."""
        node = Discv4(LocalRecord(OUR_KEY, 1), self.table)
        node.receive_datagram(self.make_ping(), PEER_IP, PEER_PORT, self.now, self.unix_time)
        ping, _ = packets.decode(node.datagrams_to_send()[1][0])
        assert isinstance(ping, packets.Ping)
        self.assertEqual(ping.sender, packets.NO_ENDPOINT)

    def test_ipv6(self) -> None:
        """Addresses of 16 bytes."""
        ip = ip_address("2a00::5")
        self.receive(self.make_ping(), ip=ip)
        (_, pong), _ = self.sent_datagrams(ip=ip)
        assert isinstance(pong, packets.Pong)
        self.assertEqual(pong.recipient.ip, ip)


class PongTests(ProtocolTestCase):
    """PONGs, and the amplification that a wrong one must not allow."""

    def ping_hash(self) -> bytes:
        """The hash of our PING to a stranger."""
        self.receive(self.make_ping())
        return self.sent_datagrams()[1][0]

    def assert_not_bonded(self) -> None:
        """FINDNODE is ignored, and provokes nothing."""
        datagram = packets.encode_findnode(PEER, packets.FindNode(TARGET, self.expiration))
        self.assertEqual(self.receive(datagram), Refusal.UNKNOWN_NODE)
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.table.added, [])

    def test_wrong_hash(self) -> None:
        """The echo must be right (Amplification/InvalidPongHash)."""
        self.ping_hash()
        for echo in (bytes(32), b""):
            self.assertEqual(self.receive(self.make_pong(echo)), Refusal.UNSOLICITED)
        self.assert_not_bonded()

    def test_wrong_address(self) -> None:
        """It must come from where the PING went (TestUDPv4_pingMatchIP)."""
        datagram = self.make_pong(self.ping_hash())
        self.assertEqual(self.receive(datagram, ip=STRANGER_IP), Refusal.UNSOLICITED)
        self.assert_not_bonded()

    def test_wrong_node(self) -> None:
        """It must come from whom the PING was for."""
        datagram = self.make_pong(self.ping_hash(), STRANGER)
        self.assertEqual(self.receive(datagram), Refusal.UNSOLICITED)
        self.assert_not_bonded()

    def test_too_late(self) -> None:
        """It must come in time."""
        datagram = self.make_pong(self.ping_hash())
        self.advance(RESPONSE_TIMEOUT)
        self.assertEqual(self.receive(datagram), Refusal.UNSOLICITED)
        self.assert_not_bonded()

    def test_expired(self) -> None:
        """It must be valid still."""
        pong = packets.Pong(packets.NO_ENDPOINT, self.ping_hash(), 2**64 - 1, 0)
        self.assertEqual(self.receive(packets.encode_pong(PEER, pong)), Refusal.EXPIRED)
        self.assert_not_bonded()

    def test_twice(self) -> None:
        """It counts once."""
        datagram = self.make_pong(self.ping_hash())
        self.assertIsNone(self.receive(datagram))
        self.assertEqual(self.receive(datagram), Refusal.UNSOLICITED)

    def test_another_port(self) -> None:
        """The port does not matter."""
        datagram = self.make_pong(self.ping_hash())
        self.assertIsNone(self.receive(datagram, port=9))


class FindNodeTests(ProtocolTestCase):
    """FINDNODEs and ENRREQUESTs that come in."""

    def setUp(self) -> None:
        """The questions."""
        super().setUp()
        self.findnode = packets.encode_findnode(PEER, packets.FindNode(TARGET, self.expiration))

    def answers(self) -> list[list[packets.Neighbor]]:
        """The nodes in each NEIGHBORS that the question gets."""
        self.assertIsNone(self.receive(self.findnode))
        answers = []
        for payload in self.sent():
            assert isinstance(payload, packets.Neighbors)
            self.assertEqual(payload.expiration, self.expiration)
            answers.append(list(payload.nodes))
        return answers

    def test_without_proof(self) -> None:
        """No answer, and no PING either."""
        self.assertEqual(self.receive(self.findnode), Refusal.UNKNOWN_NODE)
        request = packets.encode_enr_request(PEER, packets.EnrRequest(self.expiration))
        self.assertEqual(self.receive(request), Refusal.UNKNOWN_NODE)
        self.assertEqual(self.sent(), [])

    def test_wrong_address(self) -> None:
        """A bond is for one address (Amplification/WrongIP)."""
        self.bond()
        self.assertEqual(self.receive(self.findnode, ip=STRANGER_IP), Refusal.UNKNOWN_NODE)
        self.assertEqual(self.sent(), [])

    def test_only_pinged(self) -> None:
        """Having been pinged is no proof of anything."""
        self.receive(self.make_ping())
        self.sent()
        self.assertEqual(self.receive(self.findnode), Refusal.UNKNOWN_NODE)

    def test_answer(self) -> None:
        """The nodes closest to the hash of the target, in two packets."""
        self.bond()
        self.table.nodes = [node(number) for number in range(10, 40)]
        expected = [neighbor(each) for each in self.table.nodes[:16]]
        self.assertEqual(self.answers(), [expected[:12], expected[12:]])
        self.assertEqual(self.table.asked, [(keccak256(TARGET), 16)])

    def test_nothing_known(self) -> None:
        """An empty answer is an answer."""
        self.bond()
        self.assertEqual(self.answers(), [[]])

    def test_relay_check(self) -> None:
        """Our LAN is nobody else's business."""
        self.bond()
        texts = ["192.168.1.1", "127.0.0.1", "0.0.0.0", "198.51.100.1", "98.1.1.1", "224.0.0.1", "2a00::1"]
        self.table.nodes = [node(10 + number, text) for number, text in enumerate(texts)]
        self.table.nodes.append(replace(node(30), ip=None))
        self.assertEqual(self.answers(), [[neighbor(self.table.nodes[4]), neighbor(self.table.nodes[6])]])

    def test_expired(self) -> None:
        """Silence."""
        self.bond()
        for expiration in (int(self.unix_time), 2**64 - self.expiration):
            findnode = packets.FindNode(TARGET, expiration)
            self.assertEqual(self.receive(packets.encode_findnode(PEER, findnode)), Refusal.EXPIRED)
            request = packets.EnrRequest(expiration)
            self.assertEqual(self.receive(packets.encode_enr_request(PEER, request)), Refusal.EXPIRED)
        self.assertEqual(self.sent(), [])

    def test_record(self) -> None:
        """ENRREQUEST gets our record (TestUDPv4_EIP868)."""
        self.bond()
        request = packets.encode_enr_request(PEER, packets.EnrRequest(self.expiration))
        self.assertIsNone(self.receive(request))
        (response,) = self.sent()
        assert isinstance(response, packets.EnrResponse)
        self.assertEqual(response.request_hash, packets.datagram_hash(request))
        record = Record.decode(response.record)
        self.assertEqual((record.node_id, record.seq), (self.local.node_id, self.local.seq))


class RefusalTests(ProtocolTestCase):
    """Datagrams without effect."""

    def test_reasons(self) -> None:
        """Each of them has its name (TestUDPv4_packetErrors)."""
        ping = self.make_ping()
        neighbors = packets.encode_neighbors(PEER, [], self.expiration)[0]
        response = packets.encode_enr_response(PEER, packets.EnrResponse(bytes(32), b"\xc0"))
        bad_signature = b"\xff" * 65 + ping[97:]
        cases = [
            (b"", Refusal.NOT_DISCV4),
            (ping[:97], Refusal.NOT_DISCV4),
            (ping.ljust(1281, b"\0"), Refusal.NOT_DISCV4),
            (ping[:97] + b"\7" + ping[98:], Refusal.NOT_DISCV4),
            (ping + b"\0", Refusal.BAD_HASH),
            (keccak256(ping[32:98]) + ping[32:98], Refusal.BAD_PAYLOAD),
            (keccak256(bad_signature) + bad_signature, Refusal.BAD_SIGNATURE),
            (self.make_pong(bytes(32)), Refusal.UNSOLICITED),
            (neighbors, Refusal.UNSOLICITED),
            (response, Refusal.UNSOLICITED),
        ]
        for datagram, refusal in cases:
            self.assertEqual(self.receive(datagram), refusal)
        self.assertEqual(self.sent(), [])

    def test_port_zero(self) -> None:
        """A forged source port to which nothing can be sent."""
        self.assertEqual(self.receive(self.make_ping(), port=0), Refusal.NOT_DISCV4)
        self.assertEqual(self.sent(), [])


class BudgetTests(ProtocolTestCase):
    """Strangers that send too much."""

    def make_limiter(self) -> PacketRateLimiter:
        """Two packets at once."""
        return PacketRateLimiter(source=Allowance(1, 2))

    def forbid_work(self) -> None:
        """Make every expensive step fail the test."""

        def work(*args: object) -> bytes:
            raise AssertionError("work was done for nothing")

        for owner, step in ((packets, "keccak256"), (packets, "decode_payload"), (PublicKey, "recover")):
            self.patch(owner, step, work)

    def test_before_any_work(self) -> None:
        """Over its budget, a source costs neither a hash nor a curve operation."""
        ping = self.make_ping()
        self.receive(ping)
        self.receive(ping)
        self.forbid_work()
        self.assertEqual(self.receive(ping), Refusal.OVER_BUDGET)

    def test_other_protocols_cost_nothing(self) -> None:
        """What is no packet of ours does not count, and is not hashed."""
        self.forbid_work()
        for _ in range(10):
            self.assertEqual(self.receive(bytes(200), ip=ip_address("99.1.1.9")), Refusal.NOT_DISCV4)


class CheapRefusalTests(ProtocolTestCase):
    """What is refused before the signature is looked at."""

    def test_no_recovery(self) -> None:
        """Expired packets, and answers that nobody awaits."""
        pong, neighbors = self.make_pong(bytes(32)), packets.encode_neighbors(PEER, [], self.expiration)[0]
        expired = packets.encode_enr_request(PEER, packets.EnrRequest(1))

        def recover(*args: object) -> PublicKey:
            raise AssertionError("a signature was looked at for nothing")

        self.patch(PublicKey, "recover", recover)
        self.assertEqual(self.receive(pong), Refusal.UNSOLICITED)
        self.assertEqual(self.receive(neighbors), Refusal.UNSOLICITED)
        self.assertEqual(self.receive(expired), Refusal.EXPIRED)


class StatementTests(ProtocolTestCase):
    """What others say of our endpoint."""

    seen = WireEndpoint(ip_address("77.1.1.1").packed, 4444, 0)

    def setUp(self) -> None:
        """Our address is to be found out."""
        super().setUp()
        self.local.offer(Source.FLAG, 4)
        self.local.offer(Source.INTERFACE, 4, ip_address("127.0.0.1"), tcp=30305, udp=30301)

    def bond_with_many(self, seen: WireEndpoint) -> None:
        """Enough hosts bond with us, and say in their PONG where they see us."""
        for number in range(MIN_STATEMENTS):
            ip = ip_address(f"66.{number + 1}.1.1")
            self.receive(self.make_ping(key(300 + number)), ip=ip)
            (_, _), (ping_hash, _) = self.sent_datagrams(ip=ip)
            self.receive(self.make_pong(ping_hash, key(300 + number), seen), ip=ip)

    def announced(self) -> tuple[object, object]:
        """What our record says."""
        record = self.local.record(int(self.unix_time * 1000) + 1)
        return record.get(entries.IP), record.get(entries.UDP)

    def test_pongs(self) -> None:
        """PONGs count."""
        self.bond_with_many(self.seen)
        self.assertEqual(self.announced(), (self.seen.ip, 4444))

    def test_contacts(self) -> None:
        """Hosts that we pinged before they spoke are no sign of a full cone NAT."""
        self.bond_with_many(self.seen)
        self.assertFalse(self.local.is_full_cone(4, self.now))

    def test_pings_of_bonded_nodes(self) -> None:
        """So do the PINGs of those who have proved to be where they are."""
        self.bond_with_many(packets.NO_ENDPOINT)
        self.assertEqual(self.announced(), (ip_address("127.0.0.1"), 30301))
        for number in range(MIN_STATEMENTS):
            self.receive(self.make_ping(key(300 + number), self.seen), ip=ip_address(f"66.{number + 1}.1.1"))
        self.assertEqual(self.announced(), (self.seen.ip, 4444))

    def test_pings_of_strangers(self) -> None:
        """PINGs from addresses that may be forged do not: a single host could move us."""
        for number in range(MIN_STATEMENTS):
            self.receive(self.make_ping(key(300 + number), self.seen), ip=ip_address(f"66.{number + 1}.1.1"))
        self.assertEqual(self.announced(), (ip_address("127.0.0.1"), 30301))

    def test_nonsense(self) -> None:
        """No address, or no port, is no statement."""
        for seen in (packets.NO_ENDPOINT, WireEndpoint(bytes(4), 4444, 0), self.seen._replace(udp=0)):
            self.node.proofs._pongs.clear()
            self.bond_with_many(seen)
            self.assertEqual(self.announced(), (ip_address("127.0.0.1"), 30301))
