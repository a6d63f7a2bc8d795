"""
Tests for L{devp2p_tx.net.discovery.discv4}: what strangers try.
"""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.addressing.sourcebudget import BURST
from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.discv4 import packets
from devp2p_tx.core.discv4.packets import NO_ENDPOINT, PacketType
from devp2p_tx.core.enr import entries
from devp2p_tx.core.enr.local import Source
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import InvalidRecord, Record
from devp2p_tx.core.kademlia.bucket import BUCKET_IP_LIMIT
from devp2p_tx.core.kademlia.table import TABLE_IP_LIMIT
from devp2p_tx.errors import Timeout
from tests.net.discovery.support import PORT, TARGET, DiscoveryCase, Member, Puppet, addressOf, keyOf


def seal(key: PrivateKey, kind: int, body: bytes) -> bytes:
    """A datagram of any content, rightly signed."""
    message = bytes((kind,)) + body
    signed = key.sign(keccak256(message)) + message
    return keccak256(signed) + signed


class AttackCase(DiscoveryCase):
    """A node that is up and knows nobody, and a stranger."""

    latency = 0.0

    def setUp(self) -> None:
        super().setUp()
        self.victim = self.add(1)
        self.network.advance(1)
        self.stranger = Puppet(self.network, 1000)

    def sent(self) -> int:
        """How many datagrams the stranger has had."""
        self.network.advance(1)
        return len(self.stranger.received)

    def refusals(self, member: Member) -> dict[str, int]:
        """How many datagrams were refused for which reason."""
        return {labels[0][1]: count for name, labels, count in member.metrics if name == "discv4_refused"}

    def assertRefused(self, reason: str, *datagrams: bytes) -> None:
        """All are refused for this reason, and nobody is sent anything or comes into the table."""
        for data in datagrams:
            self.stranger.send(data, self.victim)
        self.assertEqual(self.refusals(self.victim), {reason: len(datagrams)})
        self.assertEqual((self.sent(), len(self.victim.discovery.table)), (0, 0))


class UnsolicitedTests(AttackCase):
    """Answers that nobody asked for."""

    def test_neighbors(self) -> None:
        """They add no node."""
        self.assertRefused("unsolicited reply", self.stranger.makeNeighbors(Puppet(self.network, 1001).node))

    def test_neighbors_after_bonding(self) -> None:
        """Nor do those of a node that is known."""
        self.stranger.bond(self.victim)
        before = len(self.victim.discovery.table)
        self.stranger.send(self.stranger.makeNeighbors(Puppet(self.network, 1001).node), self.victim)
        self.assertEqual(len(self.victim.discovery.table), before)
        self.assertEqual(self.refusals(self.victim), {"unsolicited reply": 1})

    def test_neighbors_of_another_address(self) -> None:
        """An answer has to come from where the question went, whoever signed it."""
        self.stranger.bond(self.victim)
        self.stranger.received.clear()
        asking = self.victim.discovery.findNode(self.stranger.node, TARGET)
        elsewhere = Puppet(self.network, 1000, ip="36.1.1.1")
        elsewhere.send(elsewhere.makeNeighbors(Puppet(self.network, 1001).node), self.victim)
        self.failure(asking, Timeout, 1)

    def test_neighbors_of_another_key(self) -> None:
        """It has to be signed by the node that was asked."""
        self.stranger.bond(self.victim)
        asking = self.victim.discovery.findNode(self.stranger.node, TARGET)
        self.stranger.key = keyOf(1002)
        self.stranger.send(self.stranger.makeNeighbors(Puppet(self.network, 1001).node), self.victim)
        self.failure(asking, Timeout, 1)

    def test_pong(self) -> None:
        """They prove nothing."""
        pong = packets.encode_pong(self.stranger.key, packets.Pong(NO_ENDPOINT, bytes(32), self.stranger.expiration))
        self.assertRefused("unsolicited reply", pong)
        self.stranger.send(self.stranger.makeFindNode(), self.victim)
        self.assertEqual(self.sent(), 0)

    def test_pong_with_another_hash(self) -> None:
        """A PONG that does not echo our PING proves nothing either."""
        self.stranger.send(self.stranger.makePing(), self.victim)
        self.stranger.received.clear()
        pong = packets.Pong(NO_ENDPOINT, bytes(32), self.stranger.expiration)
        self.stranger.send(packets.encode_pong(self.stranger.key, pong), self.victim)
        self.stranger.send(self.stranger.makeFindNode(), self.victim)
        self.assertEqual((self.sent(), len(self.victim.discovery.table)), (0, 0))

    def test_record(self) -> None:
        """A record that nobody asked for is not looked at."""
        record = Record.sign(self.stranger.key, 1, {})
        response = packets.EnrResponse(bytes(32), record.encoded)
        self.assertRefused("unsolicited reply", packets.encode_enr_response(self.stranger.key, response))


class AmplificationTests(AttackCase):
    """Datagrams whose source is forged, so that the answer hits somebody else."""

    def test_findnode_without_proof(self) -> None:
        """Not a byte is sent, not even a PING."""
        self.assertRefused("unknown node", self.stranger.makeFindNode())

    def test_record_request_without_proof(self) -> None:
        """Likewise."""
        request = packets.EnrRequest(self.stranger.expiration)
        self.assertRefused("unknown node", packets.encode_enr_request(self.stranger.key, request))

    def test_findnode_from_another_address(self) -> None:
        """A proof holds for the address that it was given from."""
        self.stranger.bond(self.victim)
        elsewhere = Puppet(self.network, 1000, ip="36.1.1.1")
        elsewhere.send(elsewhere.makeFindNode(), self.victim)
        self.network.advance(1)
        self.assertEqual(elsewhere.received, [])

    def test_findnode_from_another_port(self) -> None:
        """The port does not matter: a NAT may change it."""
        self.stranger.bond(self.victim)
        elsewhere = Puppet(self.network, 1000, port=4444)
        elsewhere.send(elsewhere.makeFindNode(), self.victim)
        self.assertEqual(len(elsewhere.take(packets.Neighbors)), 1)

    def test_one_packet_after_bonding(self) -> None:
        """Who has just proved its address is not at once asked for its record, for nodes, or once more."""
        self.stranger.send(self.stranger.makePing(), self.victim)
        kinds = [type(payload) for _, payload in self.stranger.received]
        self.assertEqual(kinds, [packets.Pong, packets.Ping])
        self.stranger.pong(self.victim, seq=99)
        self.assertEqual(self.stranger.received, [])

    def test_expiry_of_a_proof(self) -> None:
        """After a day it has to be given again."""
        self.stranger.bond(self.victim)
        self.stranger.received.clear()
        self.network.silence(self.network.host(self.stranger.ip))
        self.network.advance(24 * 3600)
        self.network.restore(self.network.host(self.stranger.ip))
        self.stranger.send(self.stranger.makeFindNode(), self.victim)
        self.assertEqual(self.stranger.take(packets.Neighbors), [])


class SpoofedTests(AttackCase):
    """A flood of datagrams in the names of others."""

    def test_pings_with_forged_sources(self) -> None:
        """They make no entry of the table: nobody is there to answer ours."""
        assert self.victim.discovery.edge is not None
        for number in range(300):
            ping = packets.Ping(NO_ENDPOINT, NO_ENDPOINT, self.stranger.expiration)
            datagram = packets.encode_ping(keyOf(2000 + number), ping)
            self.victim.discovery.edge.sockets[4].datagramReceived(
                datagram, (f"37.{number >> 8}.{number & 255}.1", PORT)
            )
        self.network.advance(5)
        self.assertEqual(len(self.victim.discovery.table), 0)

    def test_budget(self) -> None:
        """One source costs only so many signatures, and others are served all the same."""
        ping = self.stranger.makePing()
        for _ in range(BURST + 100):
            self.stranger.transport.write(ping, (self.victim.ip, PORT))  # type: ignore[union-attr]
        self.network.settle()
        self.assertEqual(self.refusals(self.victim), {})
        self.assertEqual(self.victim.metrics.value("udp_dropped", reason="over budget"), 100)
        other = Puppet(self.network, 1001)
        other.send(other.makePing(), self.victim)
        self.assertEqual(len(other.take(packets.Pong)), 1)

    def test_forged_votes(self) -> None:
        """A source that has not proved its address has no vote on ours."""
        self.victim.local.offer(Source.FLAG, 4)
        stated = packets.WireEndpoint(ip_address("77.1.1.1").packed, 5555, 0)
        for number in range(1100, 1150):
            peer = Puppet(self.network, number)
            peer.send(peer.makePing(stated=stated), self.victim)
        self.assertIsNone(self.victim.local.record(99).get(entries.IP))


class EclipseTests(AttackCase):
    """Attempts to fill the table with nodes of one owner."""

    def settle(self, attackers: list[Puppet], member: Member, seconds: int) -> None:
        """All attackers are the best of nodes for a while."""
        for _ in range(seconds * 4):
            self.network.advance(0.25)
            for each in attackers:
                if each.received:
                    each.pong(member)

    def test_two_networks(self) -> None:
        """Two /24 get two places of each bucket and ten of the table each, however many nodes they have."""
        attackers = [
            Puppet(self.network, 3000 + number, ip=f"38.1.{number % 2}.{number // 2 + 1}") for number in range(120)
        ]
        for each in attackers:
            each.bond(self.victim)
        self.settle(attackers, self.victim, 5)
        table = self.victim.discovery.table
        self.assertLessEqual(len(table), 2 * TABLE_IP_LIMIT)
        for bucket in table.view():
            nodes = [each.node.ip for each in (*bucket.entries, *bucket.replacements)]
            for net in ("38.1.0.", "38.1.1."):
                self.assertLessEqual(len([ip for ip in nodes if str(ip).startswith(net)]), BUCKET_IP_LIMIT)
        honest = Puppet(self.network, 4000)
        honest.bond(self.victim)
        self.assertIn(honest.node.node_id, table)

    def test_told_networks(self) -> None:
        """The same for nodes that are told in answers."""
        self.stranger.bond(self.victim)
        self.stranger.received.clear()
        searching = self.victim.discovery.lookup(TARGET)
        told = [Node(keyOf(n).public_key, ip_address(f"38.1.1.{n - 3000}"), PORT, PORT) for n in range(3001, 3017)]
        self.stranger.send(self.stranger.makeNeighbors(*told[:12]), self.victim)
        self.stranger.send(self.stranger.makeNeighbors(*told[12:]), self.victim)
        self.assertLessEqual(len(self.victim.discovery.table), 1 + TABLE_IP_LIMIT)
        searching.cancel()
        self.failureResultOf(searching)

    def test_pings_at_the_start(self) -> None:
        """Who writes before the first refresh is over is answered, and kept out of the table."""
        boot = self.add(2)
        member = self.add(3, boot.node)
        attackers = [Puppet(self.network, number) for number in range(3000, 3020)]
        for each in attackers:
            each.bond(member)
            self.assertEqual(each.received, [])
        self.assertFalse(member.discovery.table.initialised)
        self.assertFalse({each.node.node_id for each in attackers} & {n.node_id for n in member.discovery.table})
        self.network.advance(60)
        self.assertIn(boot.nodeId, member.discovery.table)


class MalformedTests(AttackCase):
    """Datagrams that are none of discv4, or no good ones."""

    def test_wrong_clock(self) -> None:
        """Expired packets, and those that count as such: numbers with the highest of 64 bits set lie in the past."""
        now = self.stranger.expiration - 20
        times = (1, now - 1, now, (1 << 64) - 1, 1 << 63, (1 << 64) - now)
        self.assertRefused("expired", *map(self.stranger.makePing, times))

    def test_clock_that_is_ahead(self) -> None:
        """There is no upper limit to the time."""
        self.stranger.send(self.stranger.makePing((1 << 63) - 1), self.victim)
        self.assertEqual(len(self.stranger.take(packets.Pong)), 1)

    def test_our_clock_is_wrong(self) -> None:
        """A node whose own clock is an hour ahead drops what others send."""
        member = Member(self.network, 5)
        member.unixTime = lambda: 1_700_003_600.0 + self.network.clock.seconds()  # type: ignore[method-assign]
        member.discovery._unixTime = member.unixTime
        self.members.append(member.start())
        self.stranger.send(self.stranger.makePing(), member)
        self.assertEqual(self.stranger.take(packets.Pong), [])
        self.assertEqual(self.refusals(member), {"expired": 1})

    def test_truncated(self) -> None:
        """Every beginning of a packet."""
        ping = self.stranger.makePing()
        for size in range(len(ping)):
            self.stranger.send(ping[:size], self.victim)
        self.assertEqual(self.sent(), 0)
        self.assertEqual(set(self.refusals(self.victim)), {"no discv4 packet", "bad hash"})

    def test_oversized(self) -> None:
        """A packet of more than 1280 bytes is dropped, though its signature is right; with 1280 it is answered."""
        body = rlp.encode([b"\4", [b"", b"", b""], [b"", b"", b""], self.stranger.expiration.to_bytes(4, "big")])
        whole = packets.MAX_SIZE - packets.MIN_SIZE - len(body)
        self.stranger.send(seal(self.stranger.key, PacketType.PING, body + bytes(whole + 1)), self.victim)
        self.assertEqual(self.sent(), 0)
        self.assertEqual(self.victim.metrics.value("udp_dropped", reason="oversized"), 1)
        self.stranger.send(seal(self.stranger.key, PacketType.PING, body + bytes(whole)), self.victim)
        self.assertEqual(len(self.stranger.take(packets.Pong)), 1)

    def test_flipped_bits(self) -> None:
        """A byte that was altered anywhere: the hash does not fit."""
        ping = self.stranger.makePing()
        for place in range(0, len(ping), 7):
            self.stranger.send(ping[:place] + bytes((ping[place] ^ 1,)) + ping[place + 1 :], self.victim)
        self.assertEqual(self.sent(), 0)

    def test_bad_signatures(self) -> None:
        """A right hash over a signature of nobody."""
        _, payload = self.stranger.makePing()[:97], self.stranger.makePing()[97:]
        forged = [bytes(65), b"\xff" * 65, bytes(64) + b"\4", b"\1" * 64 + b"\x1b"]
        datagrams = [keccak256(signature + payload) + signature + payload for signature in forged]
        self.assertRefused("bad signature", *datagrams)

    def test_malformed_lists(self) -> None:
        """Lists of other shapes, each rightly signed."""
        bodies = [b"", b"\xc0", b"\x80", rlp.encode([b"\4"]), b"\xf9\xff\xff", b"\xc1" * 400]
        self.assertRefused("malformed packet", *(seal(self.stranger.key, PacketType.PING, body) for body in bodies))

    def test_noise(self) -> None:
        """Bytes of no meaning, of any size."""
        random = Random(1)
        for _ in range(400):
            self.stranger.transport.write(  # type: ignore[union-attr]
                random.randbytes(random.randrange(1300)), (self.victim.ip, PORT)
            )
            self.network.advance(0.1)
        self.assertEqual((self.sent(), len(self.victim.discovery.table)), (0, 0))

    def test_source_port_zero(self) -> None:
        """A source that cannot be answered is not read."""
        assert self.victim.discovery.edge is not None
        self.victim.discovery.edge.sockets[4].datagramReceived(self.stranger.makePing(), (self.stranger.ip, 0))
        self.assertEqual(self.refusals(self.victim), {"no discv4 packet": 1})


class ToldTests(AttackCase):
    """Nodes and records that a node tells."""

    def asked(self, *told: Node) -> list[Node]:
        """What is left of an answer."""
        self.stranger.bond(self.victim)
        asking = self.victim.discovery.findNode(self.stranger.node, TARGET)
        self.stranger.send(self.stranger.makeNeighbors(*told), self.victim)
        return self.result(asking, 1)

    def test_ports(self) -> None:
        """Nodes at port 0, or at one of the ports of services, are not believed."""
        key, ip = keyOf(1001).public_key, ip_address("36.1.1.1")
        self.assertEqual(self.asked(*(Node(key, ip, PORT, udp) for udp in (0, 53, 1024))), [])

    def test_addresses(self) -> None:
        """A stranger cannot make us knock at the doors of our own network."""
        key = keyOf(1001).public_key
        told = [
            Node(key, ip_address(ip), PORT, PORT)
            for ip in ("127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "::1", "fe80::1")
        ]
        self.assertEqual(self.asked(*told, Node(key, ip_address("36.1.1.1"), PORT, 1025))[0].udp, 1025)

    def test_own_address_is_not_told(self) -> None:
        """A stranger is not told of nodes in the LAN, which it could not reach."""
        lan = Puppet(self.network, 1001, ip="10.1.1.1")
        lan.bond(self.victim)
        self.stranger.bond(self.victim)
        self.stranger.received.clear()
        self.stranger.send(self.stranger.makeFindNode(), self.victim)
        (neighbors,) = self.stranger.take(packets.Neighbors)
        self.assertEqual([str(node.ip) for node in neighbors.nodes], [self.stranger.ip])

    def record(self, encoded: bytes) -> str:
        """The error when the stranger answers ENRREQUEST so."""
        self.stranger.bond(self.victim)
        self.stranger.received.clear()
        asking = self.victim.discovery.requestENR(self.stranger.node)
        self.network.settle()
        ((request, _),) = self.stranger.received
        response = packets.EnrResponse(request, encoded)
        self.stranger.send(packets.encode_enr_response(self.stranger.key, response), self.victim)
        return str(self.failureResultOf(asking, InvalidRecord).value)

    def test_record_over_300_bytes(self) -> None:
        """It is refused, though it is rightly signed."""
        key = self.stranger.key
        content: list[rlp.Encodable] = [b"\1", b"a", bytes(200), b"id", b"v4"]
        content += [b"secp256k1", key.public_key.to_compressed()]
        signature = key.sign(keccak256(rlp.encode(content)))[:64]
        encoded = rlp.encode([signature, *content])
        self.assertGreater(len(encoded), 300)
        self.assertIn("bigger than 300 bytes", self.record(encoded))

    def test_record_badly_signed(self) -> None:
        """Likewise."""
        encoded = bytearray(Record.sign(self.stranger.key, 1, {}).encoded)
        encoded[10] ^= 1
        self.assertIn("invalid signature", self.record(bytes(encoded)))

    def test_record_of_another(self) -> None:
        """A node has no business with other nodes' records."""
        self.assertEqual(self.record(Record.sign(keyOf(7), 1, {}).encoded), "invalid ID in response record")

    def test_record_of_the_lan(self) -> None:
        """An address that the node may not tell."""
        encoded = Record.sign(self.stranger.key, 1, {b"ip": ip_address("127.0.0.1").packed}).encoded
        self.assertIn("invalid IP in response record", self.record(encoded))

    def test_netrestrict(self) -> None:
        """Nodes outside of the networks allowed are left out."""
        self.victim = self.add(9, policy=AddressPolicy(Netlist.parse("34.0.0.0/8")))
        self.network.advance(1)
        told = [Node(keyOf(n).public_key, ip_address(ip), PORT, PORT) for n, ip in ((5, "36.1.1.1"), (6, addressOf(6)))]
        self.assertEqual([str(node.ip) for node in self.asked(*told)], [addressOf(6)])

    def test_moving_node(self) -> None:
        """A node that writes from elsewhere is updated, and has to pass its checks there before it is told."""
        self.stranger.bond(self.victim)
        for _ in range(40):
            self.network.advance(0.25)
            self.stranger.pong(self.victim)
        table = self.victim.discovery.table
        live = [each.live for bucket in table.view() for each in bucket.entries]
        self.assertEqual(live, [True])
        moved = Puppet(self.network, 1000, ip="36.1.1.1")
        moved.bond(self.victim)
        (entry,) = [each for bucket in table.view() for each in bucket.entries]
        self.assertEqual((str(entry.node.ip), entry.live), ("36.1.1.1", False))
