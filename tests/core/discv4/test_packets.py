"""
Tests for L{devp2p_tx.core.discv4.packets}; the origins of the vectors are in C{tests/vectors/discv4.json}.
"""

from __future__ import annotations

import contextlib
from ipaddress import ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.discv4 import packets
from devp2p_tx.core.discv4.packets import NO_ENDPOINT, PacketType, WireEndpoint
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import InvalidRLP, InvalidSignature, RemoteProtocolError
from tests.vectors import load

VECTORS = load("discv4")
KEY = PrivateKey(bytes.fromhex(VECTORS["key"]))
EXPIRATION = VECTORS["expiration"]
HERE = WireEndpoint(bytes([127, 0, 0, 1]), 30303, 30304)
WIDEST = WireEndpoint(b"\xff" * 16, 65535, 65535)


def vector(*path: str) -> bytes:
    """A published datagram."""
    found: Any = VECTORS
    for name in path:
        found = found[name]
    return bytes.fromhex(found)


def endpoint(of: dict[str, Any]) -> WireEndpoint:
    """An endpoint of the vectors."""
    return WireEndpoint(ip_address(of["ip"]).packed, of["udp"], of["tcp"])


def seal(kind: int, body: bytes) -> bytes:
    """A datagram with a right hash and signature, whatever it says."""
    message = bytes([kind]) + body
    signed = KEY.sign(keccak256(message)) + message
    return keccak256(signed) + signed


class PublishedTests(SynchronousTestCase):
    """Datagrams of EIP-8; all are long expired."""

    def assert_says(self, datagram: bytes, payload: packets.Payload) -> None:
        """The datagram says that, and comes from the published key."""
        self.assertEqual(packets.decode(datagram), (payload, KEY.public_key))

    def test_ping(self) -> None:
        """With and without further items."""
        for name in ("ping", "ping_with_extras"):
            case = VECTORS[name]
            expected = packets.Ping(endpoint(case["sender"]), endpoint(case["recipient"]), EXPIRATION, case["enr_seq"])
            self.assert_says(vector(name, "datagram"), expected)

    def test_ping_encoding(self) -> None:
        """The one without extras is what we would write, but for the record's number, which nobody had then."""
        case = VECTORS["ping"]
        ping = packets.Ping(endpoint(case["sender"]), endpoint(case["recipient"]), EXPIRATION, 0)
        ours = packets.encode_ping(KEY, ping)
        self.assertEqual(rlp.decode_prefix(ours[98:])[0][:4], rlp.decode_prefix(vector("ping", "datagram")[98:])[0][:4])

    def test_ping_of_another_version(self) -> None:
        """With a list where EIP-868 has a number since."""
        datagram = vector("eip8", "ping_version_555")
        sender = WireEndpoint(ip_address("2001:db8:3c4d:15::abcd:ef12").packed, 3322, 5544)
        recipient = WireEndpoint(ip_address("2001:db8:85a3:8d3:1319:8a2e:370:7348").packed, 2222, 33338)
        self.assert_says(datagram, packets.Ping(sender, recipient, EXPIRATION, 0))

    def test_pong(self) -> None:
        """With further items and bytes."""
        recipient = WireEndpoint(ip_address("2001:db8:85a3:8d3:1319:8a2e:370:7348").packed, 2222, 33338)
        expected = packets.Pong(recipient, vector("eip8", "pong_hash"), EXPIRATION, 0)
        self.assert_says(vector("eip8", "pong"), expected)

    def test_findnode(self) -> None:
        """With further items and bytes."""
        expected = packets.FindNode(vector("findnode", "target"), EXPIRATION)
        self.assert_says(vector("findnode", "datagram"), expected)

    def test_neighbors(self) -> None:
        """Four nodes, with further items and bytes."""
        nodes = tuple(
            packets.Neighbor(*endpoint(node), bytes.fromhex(node["public_key"]))
            for node in VECTORS["neighbors"]["nodes"]
        )
        self.assert_says(vector("neighbors", "datagram"), packets.Neighbors(nodes, EXPIRATION))


class RoundTripTests(SynchronousTestCase):
    """What we write we read."""

    def assert_reads(self, datagram: bytes, kind: PacketType, payload: packets.Payload) -> None:
        """The datagram is of that type and says that."""
        self.assertEqual(packets.packet_type(datagram), kind)
        self.assertEqual(packets.decode(datagram), (payload, KEY.public_key))
        self.assertEqual(packets.datagram_hash(datagram), keccak256(datagram[32:]))

    def test_ping(self) -> None:
        """Known and unknown endpoints."""
        for sender in (HERE, WIDEST, NO_ENDPOINT):
            ping = packets.Ping(sender, HERE, 2**64 - 1, 2**64 - 1)
            self.assert_reads(packets.encode_ping(KEY, ping), PacketType.PING, ping)

    def test_version(self) -> None:
        """We speak version 4."""
        datagram = packets.encode_ping(KEY, packets.Ping(HERE, HERE, 1, 1))
        self.assertEqual(rlp.decode_prefix(datagram[98:])[0][0], b"\4")

    def test_pong(self) -> None:
        """A record's number of zero is written and read."""
        pong = packets.Pong(HERE, bytes(32), 1, 0)
        self.assert_reads(packets.encode_pong(KEY, pong), PacketType.PONG, pong)

    def test_findnode(self) -> None:
        """A target that is no point of the curve."""
        findnode = packets.FindNode(b"\xff" * 64, 1)
        self.assert_reads(packets.encode_findnode(KEY, findnode), PacketType.FINDNODE, findnode)

    def test_enr_request(self) -> None:
        """The hash that the answer has to echo."""
        request = packets.EnrRequest(5)
        self.assert_reads(packets.encode_enr_request(KEY, request), PacketType.ENRREQUEST, request)

    def test_enr_response(self) -> None:
        """The biggest record, as it is."""
        record = Record.sign(KEY, 1, {b"x": bytes(296 - len(Record.sign(KEY, 1, {}).encoded))})
        response = packets.EnrResponse(bytes(32), record.encoded)
        self.assert_reads(packets.encode_enr_response(KEY, response), PacketType.ENRRESPONSE, response)

    def test_ip(self) -> None:
        """Addresses of 4 and 16 bytes are some, others none."""
        self.assertEqual(HERE.ip, ip_address("127.0.0.1"))
        self.assertEqual(WireEndpoint(ip_address("::ffff:1.2.3.4").packed, 1, 1).ip, ip_address("1.2.3.4"))
        self.assertIsNone(NO_ENDPOINT.ip)
        self.assertIsNone(packets.Neighbor(b"\1\2\3", 1, 1, bytes(64)).ip)


class NeighborsTests(SynchronousTestCase):
    """Answers of several datagrams."""

    def sizes(self, count: int) -> list[int]:
        """How many nodes are in each datagram; all datagrams fit."""
        nodes = [packets.Neighbor(*WIDEST, bytes([number]) * 64) for number in range(count)]
        datagrams = packets.encode_neighbors(KEY, nodes, 2**64 - 1)
        read: list[packets.Neighbor] = []
        sizes = []
        for datagram in datagrams:
            self.assertLessEqual(len(datagram), packets.MAX_SIZE)
            payload, _ = packets.decode(datagram)
            assert isinstance(payload, packets.Neighbors)
            read += payload.nodes
            sizes.append(len(payload.nodes))
        self.assertEqual(read, nodes)
        return sizes

    def test_chunks(self) -> None:
        """At most twelve in each, and at least one datagram."""
        self.assertEqual(self.sizes(0), [0])
        self.assertEqual(self.sizes(1), [1])
        self.assertEqual(self.sizes(12), [12])
        self.assertEqual(self.sizes(13), [12, 1])
        self.assertEqual(self.sizes(16), [12, 4])

    def test_extra_items_of_a_node(self) -> None:
        """Are ignored."""
        node: list[rlp.Encodable] = [HERE.packed, b"\1", b"\2", bytes(64), b"more", [b"more"]]
        payload, _ = packets.decode(seal(4, rlp.encode([[node], b"\1"])))
        self.assertEqual(payload, packets.Neighbors((packets.Neighbor(HERE.packed, 1, 2, bytes(64)),), 1))

    def test_malformed_nodes(self) -> None:
        """Are left out, and those beside them are read."""
        node: list[rlp.Encodable] = [HERE.packed, b"\1", b"\2", bytes(64)]
        wide, short, bytes_ = [HERE.packed, b"\1\0\0", b"\2", bytes(64)], node[:3], b"node"
        odd = [[HERE.packed, b"\1", b"\2", bytes(size)] for size in (0, 63, 65)]
        payload, _ = packets.decode(seal(4, rlp.encode([[wide, node, short, bytes_, *odd, node], b"\1"])))
        self.assertEqual(payload, packets.Neighbors((packets.Neighbor(HERE.packed, 1, 2, bytes(64)),) * 2, 1))


class RefusalTests(SynchronousTestCase):
    """What is no packet, and when that is found."""

    def test_sizes(self) -> None:
        """98 to 1280 bytes."""
        good = packets.encode_enr_request(KEY, packets.EnrRequest(1))
        self.assertEqual(packets.packet_type(good[:97]), 0)
        self.assertEqual(packets.packet_type(good[:97] + b"\5"), 5)
        self.assertEqual(packets.packet_type(good.ljust(1280, b"\0")), 5)
        self.assertEqual(packets.packet_type(good.ljust(1281, b"\0")), 0)
        self.assertEqual(packets.packet_type(b""), 0)

    def test_types(self) -> None:
        """1 to 6."""
        kinds = [packets.packet_type(bytes(97) + bytes([kind])) for kind in range(256)]
        self.assertEqual(kinds, [kind if 1 <= kind <= 6 else 0 for kind in range(256)])
        self.assertRaises(InvalidRLP, packets.decode, seal(66, b"\xc0"))

    def test_hash(self) -> None:
        """Any altered byte, also behind the list."""
        good = packets.encode_enr_request(KEY, packets.EnrRequest(1)) + b"tail"
        good = keccak256(good[32:]) + good[32:]
        self.assertTrue(packets.has_hash(good))
        for place in (0, 31, 32, 97, 98, len(good) - 1):
            altered = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
            self.assertFalse(packets.has_hash(altered))
            self.assertRaises(InvalidSignature, packets.decode, altered)

    def test_signature(self) -> None:
        """One from which no key can be recovered."""
        for signature in (b"\xff" * 65, bytes(64) + b"\4"):
            signed = signature + b"\5\xc1\1"
            self.assertRaises(InvalidSignature, packets.decode, keccak256(signed) + signed)

    def test_payloads(self) -> None:
        """Lists of another shape than the type's."""
        here = [HERE.packed, b"\1", b"\1"]
        wide = [HERE.packed, b"\1\0\0", b"\1"]
        node = [*here, bytes(64)]
        bad: list[tuple[int, rlp.Encodable]] = [
            (1, []),
            (1, b"ping"),
            (1, [b"\4", here, here]),
            (1, [b"\4", wide, here, b"\1"]),
            (1, [b"\4", here, here[:2], b"\1"]),
            (1, [b"\4", here, HERE.packed, b"\1"]),
            (1, [b"\4", here, here, bytes(9)]),
            (1, [b"\4", here, here, b"\0\1"]),
            (2, [here, bytes(32)]),
            (2, [here, [bytes(32)], b"\1"]),
            (3, [bytes(63), b"\1"]),
            (3, [bytes(64)]),
            (4, [b"", b"\1"]),
            (4, [[node]]),
            (5, []),
            (5, [[b"\1"]]),
            (6, [bytes(32)]),
            (6, [[], []]),
        ]
        for kind, body in bad:
            self.assertRaises(InvalidRLP, packets.decode, seal(kind, rlp.encode(body)))

    def test_memory(self) -> None:
        """What is written longer than it has to be is read each time: with it strangers could fill our memory."""
        for extra, remembered in ((b"", 1), (b"x" * 40, 0)):
            here = [WIDEST.packed, b"\xff\xff", b"\xff\xff", *([extra] if extra else [])]
            node = [*here[:3], bytes(64), *here[3:]]
            for decode, kind, body in (
                (packets._decode_endpoint, 1, [b"\4", here, here, b"\1"]),
                (packets._decode_neighbor, 4, [[node, node], b"\1"]),
            ):
                decode.cache_clear()
                for _ in range(2):
                    packets.decode(seal(kind, rlp.encode(body)))
                self.assertEqual(decode.cache_info().currsize, remembered)

    def test_extras(self) -> None:
        """Further items, even malformed ones, and bytes behind the list are ignored (EIP-8)."""
        payload, _ = packets.decode(seal(5, b"\xc4\1\x81\1\x02" + b"\xff" * 50))
        self.assertEqual(payload, packets.EnrRequest(1))

    @given(st.sampled_from(PacketType), st.binary(max_size=200))
    def test_anything(self, kind: int, body: bytes) -> None:
        """Whatever a stranger signs, the error is one of theirs."""
        with contextlib.suppress(RemoteProtocolError):
            packets.decode(seal(kind, body))


class ExpirationTests(SynchronousTestCase):
    """Times of packets."""

    def test_sub_second(self) -> None:
        """The present second is over as soon as it has begun."""
        self.assertFalse(packets.is_expired(1000, 1000.0))
        self.assertTrue(packets.is_expired(1000, 1000.001))
        self.assertFalse(packets.is_expired(1001, 1000.999))
        self.assertTrue(packets.is_expired(0, 1.0))

    def test_signed(self) -> None:
        """Numbers from 2**63 on are negative, hence in the past: the conformance suite sends such."""
        self.assertTrue(packets.is_expired(2**64 - 1000, 1000.0))
        self.assertTrue(packets.is_expired(2**63, 1000.0))
        self.assertTrue(packets.is_expired(2**64 - 1, 1000.0))
        self.assertFalse(packets.is_expired(2**63 - 1, 1000.0))
