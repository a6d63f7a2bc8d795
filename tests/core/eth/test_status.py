"""
Tests for L{devp2p_tx.core.eth.status} and L{devp2p_tx.core.eth.forkwatch}.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec.rlpfields import write_bytes, write_list, write_uint
from devp2p_tx.core.eth.codes import Code
from devp2p_tx.core.eth.forkwatch import MAX_NETWORKS, MIN_NETWORKS, WINDOW, ForkWatch
from devp2p_tx.core.eth.status import (
    MAINNET_DIFFICULTY,
    BlockRange,
    GenesisMismatch,
    NetworkMismatch,
    RangeMismatch,
    Status,
    StatusCheck,
    VersionMismatch,
)
from devp2p_tx.core.eth.wire import decode, encode
from devp2p_tx.core.forkid import MAINNET, ForkFilter, ForkID, ForkMismatch, LocalIncompatible, RemoteStale
from devp2p_tx.errors import DisconnectReason, InvalidRLP, LocalProtocolError

HASH = bytes(31) + b"\x01"
HEAD, TIME = 24_000_000, 1_790_000_000
GOOD = Status(69, 1, MAINNET.genesis_hash, MAINNET.fork_id(HEAD, TIME), BlockRange(0, HEAD, HASH))
CHECK = StatusCheck(1, MAINNET.genesis_hash, ForkFilter(MAINNET))


class StatusTests(SynchronousTestCase):
    """What a Status is, and which goes with ours."""

    def test_the_oldest_form(self) -> None:
        status = Status(68, 1, HASH, ForkID(b"abcd", 7), BlockRange(0, 0, HASH), MAINNET_DIFFICULTY)
        code, data = encode(68, status)
        fields = (
            write_uint(68), write_uint(1), write_uint(58750003716598352816469), write_bytes(HASH), write_bytes(HASH),
            write_list((write_bytes(b"abcd"), write_uint(7))),
        )  # fmt: skip
        self.assertEqual((code, data), (0, write_list(fields)))
        self.assertEqual(decode(68, code, data), status)

    def test_published(self) -> None:
        """reth's Status of eth/67, which has the form of 68."""
        data = bytes.fromhex(
            "f85643018a07aac59dabcdd74bc567a0feb27336ca7923f8fab3bd617fcb6e75841538f71c1bcfc267d7838489d9e13da0d4e56740f876"
            "aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3c684b715077d80"
        )
        head = bytes.fromhex("feb27336ca7923f8fab3bd617fcb6e75841538f71c1bcfc267d7838489d9e13d")
        fork_id = ForkID(bytes.fromhex("b715077d"), 0)
        status = Status(67, 1, MAINNET.genesis_hash, fork_id, BlockRange(0, 0, head), 36206751599115524359527)
        self.assertEqual(decode(68, Code.STATUS, data), status)
        self.assertRaises(VersionMismatch, CHECK.check, status, 68, HEAD, TIME)

    def test_difficulty(self) -> None:
        status = Status(68, 1, HASH, ForkID(b"abcd", 7), BlockRange(0, 0, HASH), (1 << 160) - 1)
        self.assertEqual(decode(68, *encode(68, status)), status)
        self.assertRaises(LocalProtocolError, encode, 68, replace(status, difficulty=1 << 160))
        fields = [write_uint(68), write_uint(1), write_uint(1 << 160), write_bytes(HASH), write_bytes(HASH)]
        fields.append(write_list((write_bytes(b"abcd"), write_uint(7))))
        self.assertRaises(InvalidRLP, decode, 68, Code.STATUS, write_list(fields))

    def test_not_sent(self) -> None:
        for wrong in (
            replace(GOOD, version=70),
            replace(GOOD, network=1 << 64),
            replace(GOOD, genesis=bytes(31)),
            replace(GOOD, fork_id=ForkID(b"abc", 0)),
            replace(GOOD, blocks=BlockRange(2, 1, HASH)),
            replace(GOOD, blocks=BlockRange(0, 1, bytes(32))),
        ):
            self.assertRaises(LocalProtocolError, encode, 69, wrong)

    def test_not_read(self) -> None:
        """Another number of fields, and forms of other versions."""
        _, data = encode(69, GOOD)
        old = Status(68, 1, HASH, ForkID(b"abcd", 7), BlockRange(0, 0, HASH), 5)
        for version, wrong in ((68, data), (69, encode(68, old)[1]), (69, data[:-1]), (69, data + b"\x80")):
            self.assertRaises(InvalidRLP, decode, version, Code.STATUS, wrong)

    def test_good(self) -> None:
        CHECK.check(GOOD, 69, HEAD, TIME)
        CHECK.check(decode(69, *encode(69, GOOD)), 69, HEAD, TIME)  # type: ignore[arg-type]

    def test_in_the_order_of_other_clients(self) -> None:
        """With all wrong the network is named; with that right the version; and so on."""
        status = Status(70, 5, HASH, ForkID(b"abcd", 0), BlockRange(2, 1, HASH))
        for right, error in (
            ({}, NetworkMismatch),
            ({"network": 1}, VersionMismatch),
            ({"version": 69}, GenesisMismatch),
            ({"genesis": MAINNET.genesis_hash}, ForkMismatch),
            ({"fork_id": GOOD.fork_id}, RangeMismatch),
        ):
            status = replace(status, **right)  # type: ignore[arg-type]
            mistake = self.assertRaises(error, CHECK.check, status, 69, HEAD, TIME)
            self.assertEqual(mistake.reason, DisconnectReason.SUBPROTOCOL_ERROR)

    def test_ranges(self) -> None:
        for blocks in (BlockRange(2, 1, HASH), BlockRange(0, 1, bytes(32))):
            self.assertRaises(RangeMismatch, CHECK.check, replace(GOOD, blocks=blocks), 69, HEAD, TIME)
            fields = (write_uint(blocks.earliest), write_uint(blocks.latest), write_bytes(blocks.latest_hash))
            self.assertRaises(RangeMismatch, decode, 69, Code.BLOCK_RANGE_UPDATE, write_list(fields))
            self.assertRaises(LocalProtocolError, encode, 69, blocks)
        CHECK.check(replace(GOOD, blocks=BlockRange(1, 1, HASH)), 69, HEAD, TIME)

    def test_over_a_fork(self) -> None:
        """Before the moment both sides name it as the next; after it who did not know of it is refused."""
        fork = MAINNET.time_forks[-1]
        before, after = MAINNET.fork_id(HEAD, fork - 1), MAINNET.fork_id(HEAD, fork)
        self.assertEqual((before.next, after.next), (fork, 0))
        self.assertNotEqual(before.checksum, after.checksum)
        for time in (fork - 1, fork):
            CHECK.check(replace(GOOD, fork_id=before), 69, HEAD, time)
            CHECK.check(replace(GOOD, fork_id=after), 69, HEAD, time)
        unaware = replace(GOOD, fork_id=ForkID(before.checksum, 0))
        CHECK.check(unaware, 69, HEAD, fork - 1)
        self.assertRaises(RemoteStale, CHECK.check, unaware, 69, HEAD, fork)
        self.assertRaises(
            LocalIncompatible, CHECK.check, replace(GOOD, fork_id=ForkID(after.checksum, fork + 5)), 69, HEAD, fork + 5
        )


class ForkWatchTests(SynchronousTestCase):
    """When our table of forks is outdated."""

    KNOWN, NEW = MAINNET.fork_id(HEAD, TIME), ForkID(bytes.fromhex("6c1d9423"), 0)

    def setUp(self) -> None:
        self.watch = ForkWatch()

    def add(self, count: int, fork_id: ForkID, first: int = 1, now: float = 0.0) -> None:
        """As many networks of IPv4 state a fork id."""
        for index in range(first, first + count):
            self.watch.add(ip_address(f"11.{index}.0.1"), fork_id, fork_id == self.KNOWN, now)

    def test_eight_networks(self) -> None:
        self.assertEqual((MIN_NETWORKS, WINDOW), (8, 600.0))
        self.add(7, self.NEW)
        self.assertEqual(self.watch.unknown(0.0), [])
        self.add(1, self.NEW, first=8)
        self.assertEqual(self.watch.unknown(0.0), [self.NEW])

    def test_more_than_half(self) -> None:
        self.add(8, self.NEW)
        self.add(8, self.KNOWN, first=100)
        self.assertEqual(self.watch.unknown(0.0), [])
        self.add(1, self.NEW, first=9)
        self.assertEqual(self.watch.unknown(0.0), [self.NEW])

    def test_a_network_counts_once(self) -> None:
        for index in range(1, 200):
            self.watch.add(ip_address(f"11.1.{index}.1"), self.NEW, False, 0.0)
            self.watch.add(ip_address(f"2001:db8:{index:x}::1"), self.NEW, False, 0.0)
        self.assertEqual(self.watch.unknown(0.0), [])
        for index in range(6):
            self.watch.add(ip_address(f"2001:{index + 1:x}::1"), self.NEW, False, 0.0)
        self.assertEqual(self.watch.unknown(0.0), [self.NEW])

    def test_ten_minutes(self) -> None:
        self.add(8, self.NEW)
        self.assertEqual(self.watch.unknown(WINDOW - 1), [self.NEW])
        self.assertEqual(self.watch.unknown(WINDOW), [])

    def test_the_last_word_counts(self) -> None:
        self.add(8, self.NEW)
        self.add(8, self.KNOWN, now=1.0)
        self.assertEqual(self.watch.unknown(1.0), [])

    def test_the_most_frequent_first(self) -> None:
        other = ForkID(b"abcd", 9)
        self.add(3, other)
        self.add(6, self.NEW, first=50)
        self.assertEqual(self.watch.unknown(0.0), [self.NEW, other])

    def test_bound(self) -> None:
        for index in range(MAX_NETWORKS + 10):
            self.watch.add(ip_address((index << 96) + (0x20 << 120)), self.NEW, False, 0.0)
        self.assertEqual(len(self.watch), MAX_NETWORKS)
