"""
Tests for L{devp2p_tx.core.eth.wire}: every message of every version, published encodings, and what is no message.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.eth.announcements import Announcement
from devp2p_tx.core.eth.cells import Cells, GetCells
from devp2p_tx.core.eth.codes import LENGTHS, MAX_MESSAGE_SIZE, VERSIONS, Code, defined
from devp2p_tx.core.eth.headers import Header
from devp2p_tx.core.eth.items import Hashes
from devp2p_tx.core.eth.masks import NO_CELLS, make_mask
from devp2p_tx.core.eth.messages import (
    NOT_AVAILABLE,
    BlockAccessLists,
    BlockBodies,
    BlockHeaders,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    Message,
    PooledTransactions,
    Receipts,
)
from devp2p_tx.core.eth.receipts import read_block
from devp2p_tx.core.eth.status import BlockRange, Status
from devp2p_tx.core.eth.transactions import read_transaction
from devp2p_tx.core.eth.wire import decode, encode
from devp2p_tx.core.forkid import ForkID
from devp2p_tx.errors import InvalidSignature, LocalProtocolError, MessageError, RemoteProtocolError
from tests.core.eth.examples import Examples, codes
from tests.vectors import load

AA, BB, ONES, TWOS = (bytes((byte,)) * 32 for byte in (0xAA, 0xBB, 0x11, 0x22))
DEAD, BEEF = bytes(28) + b"\xde\xad\xc0\xde", bytes(28) + b"\xfe\xed\xbe\xef"
VECTORS = load("eth")
#: Random messages of each code of each version that are looked at here; tests/interop has a thousand.
COUNT = 20


def looked_into(message: Message, version: int) -> None:
    """Read what a message carries, as those would for whom it is."""
    reader: Callable[[bytes], object]
    if isinstance(message, BlockHeaders):
        reader = Header.read
    elif isinstance(message, PooledTransactions):
        reader = sender
    elif isinstance(message, Receipts):
        for block in message.blocks:
            read_block(block, version)
        return
    else:
        return
    for item in message.items:
        reader(item)


def sender(item: bytes) -> None:
    """Who signed a transaction, if anybody did."""
    transaction = read_transaction(item)
    try:
        transaction.sender()
    except InvalidSignature:
        return


class VersionTests(SynchronousTestCase):
    """Which version has what, against literals: all of it is visible on the wire."""

    def test_lengths(self) -> None:
        self.assertEqual(LENGTHS, {68: 17, 69: 18, 70: 18, 71: 20, 72: 22})
        self.assertEqual(VERSIONS, (68, 69, 70, 71, 72))

    def test_codes(self) -> None:
        oldest = {0x00, 0x02, 0x03, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0A, 0x0F, 0x10}
        self.assertEqual(defined(68), oldest)
        self.assertEqual(defined(69), oldest | {0x11})
        self.assertEqual(defined(70), oldest | {0x11})
        self.assertEqual(defined(71), oldest | {0x11, 0x12, 0x13})
        self.assertEqual(defined(72), oldest | {0x11, 0x12, 0x13, 0x14, 0x15})

    def test_each_code_fits_its_version(self) -> None:
        for version in VERSIONS:
            self.assertEqual(max(defined(version)) + 1, LENGTHS[version])

    def test_a_message_that_a_version_has_not(self) -> None:
        for version, message in (
            (68, BlockRange(0, 1, AA)),
            (70, BlockAccessLists(1, [])),
            (71, GetCells(1, [], NO_CELLS)),
        ):
            self.assertRaises(LocalProtocolError, encode, version, message)
            self.assertRaises(MessageError, decode, version, message.code, message.payload(72))

    def test_codes_that_the_field_gave_up(self) -> None:
        for version in VERSIONS:
            for code in (0x01, 0x07, 0x0D, 0x0E, 0x16, 0xFF):
                self.assertRaises(MessageError, decode, version, code, b"\xc0")

    def test_size(self) -> None:
        self.assertEqual(MAX_MESSAGE_SIZE, 10 * 1024 * 1024)
        self.assertRaises(MessageError, decode, 72, Code.TRANSACTIONS, bytes(MAX_MESSAGE_SIZE + 1))
        lists = [bytes.fromhex("ba100000") + bytes(0x100000)] * 10
        self.assertRaises(LocalProtocolError, encode, 72, BlockAccessLists(1, lists))


class PublishedTests(SynchronousTestCase):
    """Encodings that others have published."""

    def check(self, version: int, message: Message, expected: str) -> None:
        """It is encoded so, and read from that."""
        data = bytes.fromhex(expected.replace(" ", ""))
        self.assertEqual(encode(version, message), (message.code, data))
        self.assertEqual(decode(version, message.code, data), message)

    def test_status(self) -> None:
        status = Status(69, 1, AA, ForkID(bytes.fromhex("07c9462e"), 0), BlockRange(0, 1000, BB))
        self.check(69, status, f"f84f4501a0{AA.hex()}c68407c9462e80808203e8a0{BB.hex()}")

    def test_block_range(self) -> None:
        self.check(69, BlockRange(0, 1000, BB), f"e5808203e8a0{BB.hex()}")

    def test_announcements(self) -> None:
        two = Announcement(b"\x00\x02", [110, 300], Hashes.of([ONES, TWOS]))
        for version in (68, 69, 70, 71):
            self.check(version, two, f"f84c820002c46e82012cf842a0{ONES.hex()}a0{TWOS.hex()}")
        self.check(72, Announcement(b"\x02", [110], Hashes.of([ONES])), f"f602c16ee1a0{ONES.hex()}90{bytes(16).hex()}")
        blob = Announcement(b"\x03", [6450], Hashes.of([ONES]), make_mask([0, 127]))
        self.check(72, blob, f"f83803c3821932e1a0{ONES.hex()}9001{bytes(14).hex()}80")

    def test_cells(self) -> None:
        asked = GetCells(1, Hashes.of([ONES]), make_mask([0, 127]))
        self.check(72, asked, f"f401e1a0{ONES.hex()}9001{bytes(14).hex()}80")
        self.check(72, Cells(1, Hashes.of([]), (), NO_CELLS), f"d401c0c090{bytes(16).hex()}")

    def test_nothing(self) -> None:
        """What go-ethereum answers when it has nothing, to the request 3."""
        self.check(72, Cells(3, Hashes.of([]), (), NO_CELLS), f"d403c0c090{bytes(16).hex()}")
        self.check(71, BlockAccessLists(3, (NOT_AVAILABLE,)), "c303c180")
        self.check(70, Receipts(3, ()), "c30380c0")
        self.check(69, Receipts(3, ()), "c203c0")
        self.check(72, PooledTransactions(3, ()), "c203c0")

    def test_requests(self) -> None:
        self.check(70, GetReceipts(66, Hashes.of([ONES])), f"e44280e1a0{ONES.hex()}")
        self.check(72, GetPooledTransactions(5, Hashes.of([ONES])), f"e305e1a0{ONES.hex()}")
        self.check(72, GetBlockHeaders(33, 1, 2, 1), "c621c401020180")
        self.check(72, GetBlockHeaders(33, ONES, 1), f"e621e4a0{ONES.hex()}018080")

    def test_eip_2481(self) -> None:
        hashes = Hashes.of([DEAD, BEEF])
        self.check(69, GetBlockHeaders(1111, DEAD, 5, 5), VECTORS["get_block_headers_by_hash"])
        self.check(69, GetBlockHeaders(1111, 9999, 5, 5), VECTORS["get_block_headers_by_number"])
        self.check(69, GetBlockBodies(1111, hashes), VECTORS["get_block_bodies"])
        self.check(69, GetReceipts(1111, hashes), VECTORS["get_receipts_69"])
        self.check(69, GetPooledTransactions(1111, hashes), VECTORS["get_pooled_transactions"])

    def test_eip_2481_answers(self) -> None:
        """Their items are looked into, and they are encoded again as they were."""
        answers: tuple[tuple[type[Message], str], ...] = (
            (BlockHeaders, "block_headers"), (BlockBodies, "block_bodies"), (Receipts, "receipts_69"),
            (PooledTransactions, "pooled_transactions"),
        )  # fmt: skip
        for kind, name in answers:
            data = bytes.fromhex(VECTORS[name])
            message = decode(69, kind.code, data)
            looked_into(message, 69)
            self.assertEqual(encode(69, message), (kind.code, data))

    def test_tolerated(self) -> None:
        """What clients have sent that is not as the specification has it."""
        short = bytes.fromhex(f"e602c16ee1a0{ONES.hex()}80")
        self.assertEqual(
            decode(72, Code.NEW_POOLED_TRANSACTION_HASHES, short), Announcement(b"\x02", [110], Hashes.of([ONES]))
        )
        nested = bytes.fromhex(f"f501f3e1a0{ONES.hex()}90{make_mask([5]).hex()}")
        self.assertEqual(decode(72, Code.GET_CELLS, nested), GetCells(1, Hashes.of([ONES]), make_mask([5])))
        empty = decode(72, Code.GET_CELLS, bytes.fromhex(f"e401e1a0{ONES.hex()}80"))
        self.assertEqual(empty, GetCells(1, Hashes.of([ONES]), NO_CELLS))

    def test_refused(self) -> None:
        """What go-ethereum refuses as well."""
        three = f"f602c16ee1a0{ONES.hex()}"
        five = f"f83802c16ee1a0{ONES.hex()}90{bytes(16).hex()}80"
        large = f"f02c5850100000000e1a0{ONES.hex()}"
        longer = f"e6808203e8a0{BB.hex()}80"
        for version, code, text in (
            (72, Code.NEW_POOLED_TRANSACTION_HASHES, three),
            (72, Code.NEW_POOLED_TRANSACTION_HASHES, five),
            (71, Code.NEW_POOLED_TRANSACTION_HASHES, large),
            (69, Code.BLOCK_RANGE_UPDATE, longer),
            (72, Code.CELLS, f"d501c0c090{bytes(16).hex()}80"),
        ):
            data = bytes.fromhex(text if len(text) % 2 == 0 else text + "0")
            self.assertRaises(RemoteProtocolError, decode, version, code, data)


class RandomTests(SynchronousTestCase):
    """Random messages, by seed."""

    def test_both_ways(self) -> None:
        for version in VERSIONS:
            for code in codes(version):
                examples = Examples(version * 100 + code)
                for _ in range(COUNT):
                    message = examples.message(version, code)
                    sent, data = encode(version, message)
                    self.assertEqual((sent, decode(version, code, data)), (code, message))
                    looked_into(message, version)

    def test_changed_and_cut(self) -> None:
        """Each prefix, and each byte changed: read, or an error of ours, and nothing else."""
        random = Random(1)
        for version in VERSIONS:
            for code in codes(version):
                examples = Examples(code)
                data = min((encode(version, examples.message(version, code))[1] for _ in range(5)), key=len)
                for index in range(len(data)):
                    self.read(version, code, data[:index])
                    changed = bytearray(data)
                    changed[index] ^= random.randrange(1, 256)
                    self.read(version, code, bytes(changed))

    def read(self, version: int, code: Code, data: bytes) -> None:
        """What cannot be read raises an error of ours."""
        try:
            looked_into(decode(version, code, data), version)
        except RemoteProtocolError:
            return
