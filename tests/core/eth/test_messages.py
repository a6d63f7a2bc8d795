"""
Tests for what L{devp2p_tx.core.eth} refuses to send, and to read: every bound and every rule.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec.rlpfields import write_bytes, write_list, write_uint
from devp2p_tx.core.eth.announcements import MAX_ANNOUNCED, Announcement
from devp2p_tx.core.eth.cells import CELL_SIZE, MAX_ASKED, Cells, GetCells, columns
from devp2p_tx.core.eth.codes import Code
from devp2p_tx.core.eth.items import Hashes, read_hashes, read_only
from devp2p_tx.core.eth.masks import ALL_CELLS, NO_CELLS, cells_of, make_mask
from devp2p_tx.core.eth.messages import (
    MAX_ANSWERS,
    MAX_TRANSACTIONS,
    BlockBodies,
    GetBlockBodies,
    GetBlockHeaders,
    GetReceipts,
    Message,
    PooledTransactions,
    Receipts,
    Transactions,
)
from devp2p_tx.core.eth.wire import decode, encode
from devp2p_tx.errors import InvalidRLP, LocalProtocolError
from tests.core.eth.examples import Examples, wrap

HASH = bytes(31) + b"\x07"
#: The least that passes for a transaction: ten bytes.
TINY = write_bytes(b"\x02" + bytes(8))
BLOB = wrap(3, write_list([bytes((1,))] * 20))


class Bounds(SynchronousTestCase):
    """Helpers."""

    def assertNotSent(self, version: int, message: Message) -> None:
        """It is refused when it is to be sent."""
        self.assertRaises(LocalProtocolError, encode, version, message)

    def assertNotRead(self, version: int, code: Code, *fields: bytes) -> None:
        """A message of these fields is refused."""
        self.assertRaises(InvalidRLP, decode, version, code, write_list(fields))


class NumberTests(Bounds):
    """Integers and hashes."""

    def test_request_ids_have_64_bits(self) -> None:
        for number in (0, 1 << 63, (1 << 64) - 1):
            message = GetBlockBodies(number, Hashes.of([HASH]))
            self.assertEqual(decode(72, *encode(72, message)), message)
        for number in (-1, 1 << 64):
            self.assertNotSent(72, GetBlockBodies(number, []))
        self.assertNotRead(72, Code.GET_BLOCK_BODIES, write_bytes(b"\x01" + bytes(8)), b"\xc0")
        self.assertNotRead(72, Code.GET_BLOCK_BODIES, b"\0", b"\xc0")

    def test_a_start_is_a_hash_or_a_number(self) -> None:
        for size in (9, 31, 33):
            query = write_list((write_bytes(b"\x01" * size), b"\x01", b"\x80", b"\x80"))
            self.assertNotRead(72, Code.GET_BLOCK_HEADERS, b"\x01", query)
        query = write_list((b"\xc0", b"\x01", b"\x80", b"\x80"))
        self.assertNotRead(72, Code.GET_BLOCK_HEADERS, b"\x01", query)
        self.assertNotSent(72, GetBlockHeaders(1, bytes(31), 1))

    def test_a_direction_is_0_or_1(self) -> None:
        self.assertNotRead(72, Code.GET_BLOCK_HEADERS, b"\x01", write_list((b"\x01", b"\x01", b"\x80", b"\x02")))

    def test_hashes_have_32_bytes(self) -> None:
        self.assertNotSent(72, GetBlockBodies(1, [bytes(31)]))
        for hashes in (write_bytes(HASH), write_list([bytes(31)]), write_list([write_bytes(bytes(31)), b"\x80"])):
            self.assertNotRead(72, Code.GET_BLOCK_BODIES, b"\x01", hashes)

    def test_hashes_are_cut_when_they_are_asked_for(self) -> None:
        data = write_list(write_bytes(bytes((index,)) * 32) for index in range(4))
        hashes = read_hashes(data, read_only(data), 4)
        self.assertEqual([len(hashes), hashes[1], hashes[-1][:1]], [4, b"\x01" * 32, b"\x03"])
        self.assertEqual([each[0] for each in hashes[1:3]], [1, 2])
        self.assertEqual(list(hashes), [bytes((index,)) * 32 for index in range(4)])
        self.assertRaises(IndexError, hashes.__getitem__, 4)
        self.assertRaises(InvalidRLP, read_hashes, data, read_only(data), 3)


class AnswerTests(Bounds):
    """How many, and how small, items may be."""

    def test_count(self) -> None:
        body = b"\xc2\xc0\xc0"
        most = BlockBodies(1, (body,) * MAX_ANSWERS)
        self.assertEqual(decode(72, *encode(72, most)), most)
        self.assertNotSent(72, BlockBodies(1, (body,) * (MAX_ANSWERS + 1)))
        self.assertNotRead(72, Code.BLOCK_BODIES, b"\x01", write_list([body] * (MAX_ANSWERS + 1)))

    def test_least_sizes(self) -> None:
        self.assertNotRead(72, Code.BLOCK_BODIES, b"\x01", write_list([b"\xc1\xc0"]))
        self.assertNotRead(72, Code.BLOCK_HEADERS, b"\x01", write_list([write_list([bytes(100)])]))
        self.assertNotRead(72, Code.POOLED_TRANSACTIONS, b"\x01", write_list([write_bytes(b"\x02" + bytes(7))]))

    def test_ten_mebibytes_of_tiny_items(self) -> None:
        """They end with the first of them, whatever their number."""
        size = 10 * 1024 * 1024 - 16
        tiny = b"\xfa" + size.to_bytes(3, "big") + b"\x01" * size
        for code in (Code.POOLED_TRANSACTIONS, Code.BLOCK_BODIES, Code.BLOCK_HEADERS, Code.GET_POOLED_TRANSACTIONS):
            self.assertNotRead(72, code, b"\x01", tiny)
        self.assertRaises(InvalidRLP, decode, 72, Code.TRANSACTIONS, tiny)
        for code in (Code.RECEIPTS, Code.BLOCK_ACCESS_LISTS):
            fields = (b"\x01", tiny) if code != Code.RECEIPTS else (b"\x01", b"\x80", tiny)
            self.assertNotRead(72, code, *fields)

    def test_transactions(self) -> None:
        most = Transactions((TINY,) * MAX_TRANSACTIONS)
        self.assertEqual(decode(72, *encode(72, most)), most)
        for items in ((TINY,) * (MAX_TRANSACTIONS + 1), (), (TINY, BLOB)):
            self.assertNotSent(72, Transactions(items))
        for wrong in ([TINY] * (MAX_TRANSACTIONS + 1), [TINY, BLOB]):
            self.assertNotRead(72, Code.TRANSACTIONS, *wrong)
        self.assertEqual(decode(72, Code.TRANSACTIONS, b"\xc0"), Transactions(()))

    def test_blobs_may_be_asked_for(self) -> None:
        message = PooledTransactions(1, (BLOB,))
        self.assertEqual(decode(72, *encode(72, message)), message)

    def test_parts_of_receipts(self) -> None:
        self.assertNotSent(69, GetReceipts(1, [HASH], 1))
        self.assertNotSent(69, Receipts(1, (b"\xc1\xc0",), True))
        for blocks in ((), (b"\xc0",)):
            self.assertNotSent(70, Receipts(1, blocks, True))
            self.assertNotRead(70, Code.RECEIPTS, b"\x01", b"\x01", write_list(blocks))
        self.assertNotRead(70, Code.RECEIPTS, b"\x01", b"\x02", b"\xc0")

    def test_forms_of_other_versions(self) -> None:
        self.assertNotRead(70, Code.GET_RECEIPTS, b"\x01", b"\xc0")
        self.assertNotRead(69, Code.GET_RECEIPTS, b"\x01", b"\x80", b"\xc0")
        self.assertNotRead(70, Code.RECEIPTS, b"\x01", b"\xc0")

    def test_something_behind(self) -> None:
        _, data = encode(72, GetBlockBodies(1, [HASH]))
        self.assertRaises(InvalidRLP, decode, 72, Code.GET_BLOCK_BODIES, data + b"\x01")


class AnnouncementTests(Bounds):
    """Three sequences of one length, and a mask."""

    def test_strict(self) -> None:
        hashes = [HASH, HASH]
        for version, types, sizes, mask in (
            (71, b"\x02", [1, 1], NO_CELLS),
            (71, b"\x02\x02", [1], NO_CELLS),
            (71, b"\x02\x02", [1, 0], NO_CELLS),
            (71, b"\x02\x02", [1, 1 << 32], NO_CELLS),
            (71, b"\x02\x03", [1, 1], ALL_CELLS),
            (72, b"\x02\x03", [1, 1], NO_CELLS),
            (72, b"\x02\x02", [1, 1], ALL_CELLS),
            (72, b"\x02\x03", [1, 1], b"\x01"),
        ):
            self.assertNotSent(version, Announcement(types, sizes, hashes, mask))
        self.assertNotSent(71, Announcement(b"", [], []))

    def test_most(self) -> None:
        for count, sent in ((MAX_ANNOUNCED, True), (MAX_ANNOUNCED + 1, False)):
            message = Announcement(b"\x02" * count, [300] * count, Hashes.of([HASH] * count))
            if sent:
                self.assertEqual(decode(72, *encode(72, message)), message)
            else:
                self.assertNotSent(72, message)

    def test_sizes(self) -> None:
        """Of each length that an integer of 32 bits has."""
        sizes = [1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000, 0xFFFFFF, 0x1000000, 0xFFFFFFFF]
        message = Announcement(b"\x02" * len(sizes), sizes, Hashes.of([HASH] * len(sizes)))
        self.assertEqual(decode(71, *encode(71, message)), message)

    def test_wrong_sizes(self) -> None:
        hashes = write_list([write_bytes(HASH)])
        for size in (
            b"\0",
            b"\x81\x7f",
            b"\x82\0\x80",
            b"\x85\x01\0\0\0\0",
            b"\xc0",
            b"\x82\x01",
            b"\x81",
            b"\x01\x01",
        ):
            self.assertNotRead(71, Code.NEW_POOLED_TRANSACTION_HASHES, b"\x02", write_list([size]), hashes)
        self.assertNotRead(71, Code.NEW_POOLED_TRANSACTION_HASHES, b"\x02", b"\x01", hashes)

    def test_a_size_of_33_bits(self) -> None:
        """Beside a small one, so that both together are not too long for two."""
        hashes = write_list([write_bytes(HASH)] * 2)
        sizes = write_list([write_uint(1 << 32), b"\x01"])
        self.assertNotRead(71, Code.NEW_POOLED_TRANSACTION_HASHES, write_bytes(b"\x02\x02"), sizes, hashes)

    def test_unequal(self) -> None:
        hashes = write_list([write_bytes(HASH)] * 2)
        for types, sizes in ((b"\x02", [b"\x01"] * 2), (b"\x82\x02\x02", [b"\x01"]), (b"\x02", [b"\x01"])):
            self.assertNotRead(71, Code.NEW_POOLED_TRANSACTION_HASHES, types, write_list(sizes), hashes)

    def test_tolerated(self) -> None:
        """A size of 0, an unknown type, a hash twice, nothing at all."""
        hashes = write_list([write_bytes(HASH)] * 2)
        data = write_list((write_bytes(b"\x7e\x02"), write_list([b"\x80", b"\x01"]), hashes))
        message = decode(71, Code.NEW_POOLED_TRANSACTION_HASHES, data)
        self.assertEqual(message, Announcement(b"\x7e\x02", [0, 1], Hashes.of([HASH, HASH])))
        self.assertEqual(
            decode(71, Code.NEW_POOLED_TRANSACTION_HASHES, write_list((b"\x80", b"\xc0", b"\xc0"))),
            Announcement(b"", [], Hashes.of([])),
        )

    def test_masks(self) -> None:
        sizes, hashes = write_list([b"\x01"]), write_list([write_bytes(HASH)])
        for mask in (bytes(15), bytes(17)):
            self.assertNotRead(72, Code.NEW_POOLED_TRANSACTION_HASHES, b"\x03", sizes, hashes, write_bytes(mask))


class CellTests(Bounds):
    """Masks, and cells in their order."""

    def test_bits(self) -> None:
        self.assertEqual(make_mask([0, 127]), b"\x01" + bytes(14) + b"\x80")
        self.assertEqual(make_mask(range(128)), ALL_CELLS)
        self.assertEqual(cells_of(make_mask([9, 3, 64])), [3, 9, 64])
        for cell in (-1, 128):
            self.assertRaises(LocalProtocolError, make_mask, [cell])

    def test_index_major(self) -> None:
        """The cells of the first number for all blobs, then those of the next."""
        cells = [bytes((index,)) * CELL_SIZE for index in range(4)]
        self.assertEqual(columns(cells, make_mask([5, 9])), {5: cells[:2], 9: cells[2:]})
        self.assertRaises(LocalProtocolError, columns, cells[:3], make_mask([5, 9]))
        self.assertRaises(LocalProtocolError, columns, cells[:1], NO_CELLS)
        self.assertEqual(columns([], NO_CELLS), {})

    def test_asked(self) -> None:
        GetCells(1, [HASH] * MAX_ASKED, ALL_CELLS).payload(72)
        self.assertNotSent(72, GetCells(1, [HASH] * (MAX_ASKED + 1), ALL_CELLS))
        self.assertNotSent(72, GetCells(1, [HASH], b""))

    def test_counts(self) -> None:
        cell, mask = bytes(CELL_SIZE), make_mask([1, 2])
        for cells in ([], [[cell]], [[cell, cell], []], [[cell, cell[1:]]]):
            self.assertNotSent(72, Cells(1, [HASH], cells, mask))
        hashes = write_list([write_bytes(HASH)])
        for lists in (
            [],
            [write_list([write_bytes(cell)])],
            [write_list([write_bytes(cell)] * 2), b"\xc0"],
            [write_list([write_bytes(cell[1:])] * 2)],
            [write_bytes(cell)],
        ):
            self.assertNotRead(72, Code.CELLS, b"\x01", hashes, write_list(lists), write_bytes(mask))

    def test_examples_have_several_blobs(self) -> None:
        """So that the order is seen in what is compared with go-ethereum."""
        examples = Examples(3)
        made = [examples.cells() for _ in range(50)]
        self.assertTrue(any(len(cells) > len(cells_of(each.mask)) for each in made for cells in each.cells))


class RequestTests(Bounds):
    """The rest of what a request states."""

    def test_headers(self) -> None:
        message = GetBlockHeaders((1 << 64) - 1, (1 << 64) - 1, (1 << 64) - 1, (1 << 64) - 1, True)
        self.assertEqual(decode(72, *encode(72, message)), message)
        for wrong in (GetBlockHeaders(1, -1, 1), GetBlockHeaders(1, 1, 1 << 64), GetBlockHeaders(1, 1, 1, -1)):
            self.assertNotSent(72, wrong)

    def test_fields(self) -> None:
        self.assertNotRead(72, Code.GET_BLOCK_HEADERS, write_uint(1), write_list((b"\x01", b"\x01", b"\x80")))
        self.assertNotRead(72, Code.GET_BLOCK_HEADERS, write_uint(1))
