"""
Tests for L{devp2p_tx.core.discv5.messages}.
"""

from __future__ import annotations

import contextlib
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.discv5 import messages
from devp2p_tx.core.discv5.messages import Nodes, Pong, TalkResponse
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import InvalidRLP
from tests.core.discv5.vectors import VECTORS, unhex

LOCALHOST = ip_address("127.0.0.1")
TALK_ID = bytes.fromhex("71ecff421fbfdd56")
request_ids = st.binary(max_size=8)


def encoded(name: str) -> bytes:
    """A published message."""
    return unhex("messages", name)["encoded"]


def message(kind: int, *items: rlp.Encodable) -> bytes:
    """Any message."""
    return bytes((kind,)) + rlp.encode(items)


def decode(data: bytes) -> object:
    """A message of any type, as its reader gives it."""
    readers = {1: messages.read_ping, 3: messages.read_findnode, 5: messages.read_talk_request}
    return readers.get(data[0] if data else 0, messages.decode_response)(data)


class VectorTests(SynchronousTestCase):
    """What others publish is what we write, and read."""

    def test_ping(self) -> None:
        self.assertEqual(messages.encode_ping(b"\1", 1), encoded("ping"))
        self.assertEqual(decode(encoded("ping")), b"\1")

    def test_pong(self) -> None:
        fields = messages.pong_fields(1, LOCALHOST, 5000)
        self.assertEqual(messages.encode_pong(b"\1", fields), encoded("pong"))
        self.assertEqual(decode(encoded("pong")), Pong(b"\1", 1, LOCALHOST, 5000))

    def test_findnode(self) -> None:
        self.assertEqual(messages.encode_findnode(b"\1", [256]), encoded("findnode"))
        self.assertEqual(decode(encoded("findnode")), (b"\1", (256,)))

    def test_nodes(self) -> None:
        for name in ("nodes_empty", "nodes_one", "nodes_two"):
            records = tuple(Record.from_text(text).encoded for text in VECTORS["messages"][name]["records"])
            self.assertEqual(messages.encode_nodes(b"\1", messages.nodes_fields(records)), [encoded(name)])
            self.assertEqual(decode(encoded(name)), Nodes(b"\1", 1, records))

    def test_large_record(self) -> None:
        """Sizes of two bytes, in three layers."""
        decoded = decode(encoded("nodes_large"))
        assert isinstance(decoded, Nodes)
        (record,) = decoded.records
        self.assertEqual(Record.decode(record).encoded, record)

    def test_talk(self) -> None:
        request, response = unhex("messages", "talk_request"), unhex("messages", "talk_response")
        self.assertEqual(
            messages.encode_talk_request(TALK_ID, request["protocol"], request["message"]), request["encoded"]
        )
        self.assertEqual(decode(request["encoded"]), (TALK_ID, request["protocol"], request["message"]))
        self.assertEqual(messages.encode_talk_response(TALK_ID, response["message"]), response["encoded"])
        self.assertEqual(decode(response["encoded"]), TalkResponse(TALK_ID, response["message"]))

    def test_short_talk(self) -> None:
        self.assertEqual(decode(encoded("talk_request_echo")), (b"\1", b"echo", b"hi"))
        self.assertEqual(decode(encoded("talk_response_hi")), TalkResponse(b"\1", b"hi"))
        self.assertEqual(decode(encoded("talk_response_short")), TalkResponse(b"\0", b"\x4b"))

    def test_invalid(self) -> None:
        for name in VECTORS["invalid_messages"]:
            if name != "origin":
                data = bytes.fromhex(VECTORS["invalid_messages"][name])
                self.assertRaises(InvalidRLP, decode, data)


class ReadingTests(SynchronousTestCase):
    """Messages of strangers."""

    def test_request_id(self) -> None:
        """Empty to 8 bytes; more are too many (trap 10)."""
        for size in range(9):
            request_id = bytes(range(0x80, 0x80 + size))
            self.assertEqual(decode(messages.encode_ping(request_id, 7)), request_id)
        self.assertRaises(InvalidRLP, decode, messages.encode_ping(bytes(9), 7))

    def test_mapped_address(self) -> None:
        """IPv4 in IPv6 clothes is unwrapped, IPv6 is left as it is."""
        for text, ip in [("::ffff:192.0.2.1", "192.0.2.1"), ("::1", "::1")]:
            data = message(2, b"\1", b"\x0f", ip_address(text).packed, b"\x50")
            self.assertEqual(decode(data), Pong(b"\1", 15, ip_address(ip), 80))

    def test_strictness(self) -> None:
        """No byte after the list, no further item, none missing, nothing that is not canonical (trap 10)."""
        shapes: list[tuple[int, list[rlp.Encodable]]] = [
            (1, [b"\1", b"\2"]),
            (2, [b"\1", b"\2", bytes(4), b"\3"]),
            (3, [b"\1", [b"\1"]]),
            (4, [b"\1", b"\1", [[b"\1"]]]),
            (5, [b"\1", b"a", b"b"]),
            (6, [b"\1", b"a"]),
        ]
        for kind, items in shapes:
            decode(message(kind, *items))
            self.assertRaises(InvalidRLP, decode, message(kind, *items) + b"\0")
            self.assertRaises(InvalidRLP, decode, message(kind, *items, b"\1"))
            self.assertRaises(InvalidRLP, decode, message(kind, *items[:-1]))
            self.assertRaises(InvalidRLP, decode, message(kind, *items)[:-1])
            self.assertRaises(InvalidRLP, decode, message(kind))

    def test_not_canonical(self) -> None:
        """Leading zeros, headers on small bytes, long sizes for short items."""
        for text in ("01c3018101", "01c301820001", "01c40182000101", "01c301b80101", "01f8020101", "01c20100"):
            self.assertRaises(InvalidRLP, decode, bytes.fromhex(text))

    def test_distances_not_canonical(self) -> None:
        """In the midst of good ones, too."""
        for bad in (b"\0", b"\x81\5", b"\x82\0\1", b"\x89" + b"\xff" * 9, b"\xb8\1\xff", b"\x82\1", b"\xc0", b"\xc1\1"):
            for written in (bad, b"\1" + bad, bad + b"\x82\1\0"):
                body = b"\1" + bytes((0xC0 + len(written),)) + written
                data = b"\3" + bytes((0xC0 + len(body),)) + body
                self.assertRaises(InvalidRLP, decode, data)

    def test_wrong_sort(self) -> None:
        """Lists where bytes should be, and bytes where lists should."""
        for data in [
            message(1, [], b"\1"),
            message(1, b"\1", []),
            message(3, b"\1", b"\1"),
            message(3, b"\1", [[b"\1"]]),
            message(4, b"\1", b"\1", b"\1"),
            message(6, b"\1", []),
            b"\1\x83abc",
        ]:
            self.assertRaises(InvalidRLP, decode, data)

    def test_kinds(self) -> None:
        """Topics are not spoken, by anyone so far; and no type is none."""
        for kind in [0, 7, 8, 9, 10, 255]:
            self.assertRaises(InvalidRLP, decode, message(kind, b"\1", b"\2"))
        self.assertRaises(InvalidRLP, decode, b"")
        self.assertRaises(InvalidRLP, decode, b"\1")

    def test_sizes_of_numbers(self) -> None:
        """64 bits for records' numbers, 16 for ports, 8 for totals."""
        decode(message(1, b"\1", b"\xff" * 8))
        self.assertRaises(InvalidRLP, decode, message(1, b"\1", b"\xff" * 9))
        self.assertRaises(InvalidRLP, decode, message(2, b"\1", b"\1", bytes(4), b"\1\0\0"))
        self.assertEqual(decode(message(4, b"\1", b"\xff", [])), Nodes(b"\1", 255, ()))
        self.assertRaises(InvalidRLP, decode, message(4, b"\1", b"\1\0", []))

    def test_too_many(self) -> None:
        """Distances, and records."""
        decode(message(3, b"\1", [b"\1"] * messages.MAX_DISTANCES))
        self.assertRaises(InvalidRLP, decode, message(3, b"\1", [b"\1"] * (messages.MAX_DISTANCES + 1)))
        decode(message(4, b"\1", b"\1", [[b"a"]] * messages.MAX_RECORDS))
        self.assertRaises(InvalidRLP, decode, message(4, b"\1", b"\1", [[b"a"]] * (messages.MAX_RECORDS + 1)))

    def test_inner_list_overruns(self) -> None:
        """A list of distances that claims to go on after its message."""
        self.assertRaises(InvalidRLP, decode, bytes.fromhex("03c301c201"))

    @given(st.integers(0, 7), st.binary(max_size=60))
    def test_anything(self, kind: int, body: bytes) -> None:
        """Whatever a stranger writes, the error is theirs."""
        with contextlib.suppress(InvalidRLP):
            decode(bytes((kind,)) + body)

    @given(st.one_of(st.binary(max_size=24), st.lists(st.binary(max_size=10), max_size=3).map(rlp.encode)))
    def test_patterns(self, body: bytes) -> None:
        """Requests that are read by patterns are just those that a decoder of all of RLP reads."""
        try:
            items = rlp.decode(body)
            assert isinstance(items, list)
            request_id, enr_seq = map(rlp.decode_bytes, items)
            isPing = len(request_id) <= 8 and len(enr_seq) <= 8 and enr_seq[:1] != b"\0"
        except (InvalidRLP, AssertionError, ValueError):
            isPing = False
        if isPing:
            self.assertEqual(messages.read_ping(b"\1" + body), request_id)
        else:
            self.assertRaises(InvalidRLP, messages.read_ping, b"\1" + body)


class WritingTests(SynchronousTestCase):
    """What we write is read again."""

    @given(request_ids, st.integers(0, 2**64 - 1))
    def test_ping(self, request_id: bytes, seq: int) -> None:
        self.assertEqual(decode(messages.encode_ping(request_id, seq)), request_id)

    @given(request_ids, st.integers(0, 2**64 - 1), st.ip_addresses(), st.integers(0, 65535))
    def test_pong(self, request_id: bytes, seq: int, ip: object, port: int) -> None:
        address = ip_address(str(ip))
        decoded = decode(messages.encode_pong(request_id, messages.pong_fields(seq, address, port)))
        assert isinstance(decoded, Pong)
        self.assertEqual((decoded.request_id, decoded.enr_seq, decoded.port), (request_id, seq, port))

    @given(request_ids, st.lists(st.integers(0, 2**64 - 1), max_size=12))
    def test_findnode(self, request_id: bytes, distances: list[int]) -> None:
        decoded = decode(messages.encode_findnode(request_id, distances))
        self.assertEqual(decoded, (request_id, tuple(distances)))

    @given(request_ids, st.binary(max_size=300), st.binary(max_size=300))
    def test_talk(self, request_id: bytes, protocol: bytes, text: bytes) -> None:
        request = messages.encode_talk_request(request_id, protocol, text)
        self.assertEqual(decode(request), (request_id, protocol, text))
        response = messages.encode_talk_response(request_id, text)
        self.assertEqual(decode(response), TalkResponse(request_id, text))

    @given(st.lists(st.integers(10, 300), max_size=16))
    def test_nodes(self, sizes: list[int]) -> None:
        """No packet has more than 1000 bytes of records, all say how many there are, and nothing gets lost."""
        records = [rlp.encode([bytes((number,)) * (size - 4)]) for number, size in enumerate(sizes)]
        told = [decode(each) for each in messages.encode_nodes(b"id", messages.nodes_fields(records))]
        found: list[bytes] = []
        for nodes in told:
            assert isinstance(nodes, Nodes)
            self.assertEqual((nodes.request_id, nodes.total), (b"id", len(told)))
            self.assertLessEqual(sum(map(len, nodes.records)), messages.MAX_RECORDS_SIZE)
            found += nodes.records
        self.assertEqual(found, records)
