"""
Random messages of every version by seed, as objects of ours; and the same as JSON, for a program of another language.
"""

from __future__ import annotations

import dataclasses
from hashlib import sha256
from random import Random
from typing import Any

from devp2p_tx.core.codec.rlpfields import write_bytes, write_list, write_uint
from devp2p_tx.core.eth.announcements import Announcement
from devp2p_tx.core.eth.cells import CELL_SIZE, Cells, GetCells
from devp2p_tx.core.eth.codes import Code, defined
from devp2p_tx.core.eth.items import Hashes
from devp2p_tx.core.eth.masks import NO_CELLS, cells_of, make_mask
from devp2p_tx.core.eth.messages import (
    BlockAccessLists,
    BlockBodies,
    BlockHeaders,
    GetBlockAccessLists,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    Message,
    PooledTransactions,
    Receipts,
    Transactions,
)
from devp2p_tx.core.eth.receipts import Receipt, write_block
from devp2p_tx.core.eth.status import BlockRange, Status
from devp2p_tx.core.eth.transactions import COMMITMENT_SIZE, LEGACY, PROOF_SIZE
from devp2p_tx.core.forkid import ForkID


class Examples:
    """Random messages; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def uint(self, bits: int = 64) -> int:
        """An integer of any length, zero and the greatest among them."""
        return self.random.getrandbits(self.random.randint(0, bits)) if self.random.random() < 0.9 else (1 << bits) - 1

    def some_bytes(self, most: int) -> bytes:
        """Bytes of any length up to C{most}."""
        return self.random.randbytes(self.random.choice((0, 1, self.random.randint(0, most))))

    def hash(self) -> bytes:
        """32 bytes, not all of them zero."""
        return self.random.randbytes(31) + b"\x01"

    def hashes(self, most: int = 5) -> Hashes:
        """A few hashes, or none."""
        return Hashes.of([self.hash() for _ in range(self.random.randint(0, most))])

    def several(self, make: Any, most: int = 4, least: int = 0) -> tuple[Any, ...]:
        """A few of what C{make} makes."""
        return tuple(make() for _ in range(self.random.randint(least, most)))

    def word(self) -> int:
        """An integer of up to 255 bits, one or more."""
        return self.uint(255) or 1

    # What messages carry.

    def list(self, *fields: int | bytes) -> bytes:
        """
        An RLP list: integers as such, C{bytes} of 20, 32 or more bytes as byte strings if they are no list.
        """
        return write_list(each if self.is_list(each) else self.item(each) for each in fields)  # type: ignore[misc]

    @staticmethod
    def is_list(field: int | bytes) -> bool:
        """Whether a field is the RLP of a list already, which is said by its class."""
        return isinstance(field, _Encoded)

    @staticmethod
    def item(field: int | bytes) -> bytes:
        """The RLP of an integer or of bytes."""
        return write_uint(field) if isinstance(field, int) else write_bytes(field)

    def transaction(self, *, blobs: bool = False) -> bytes:
        """A transaction as it stands in a message, without sidecar; one of EIP-4844 if C{blobs}."""
        kind = 3 if blobs else self.random.choice((LEGACY, 1, 2, 4))
        return wrap(kind, self.payload(kind))

    def fields(self, kind: int, hashes: tuple[bytes, ...] = ()) -> list[bytes]:
        """The encoded fields of a transaction between its chain and its signature."""
        needs = kind in (3, 4)
        to = self.random.randbytes(20) if needs or self.random.random() < 0.8 else b""
        fees = (self.uint(256),) if kind in (LEGACY, 1) else (self.uint(256), self.uint(256))
        fields = [
            self.item(each) for each in (self.uint(), *fees, self.uint(), to, self.uint(256), self.some_bytes(300))
        ]
        if kind != LEGACY:
            fields.append(write_list(self.several(self.access_entry)))
        if kind == 3:
            fields += [self.item(self.uint(256)), write_list(map(write_bytes, hashes))]
        if kind == 4:
            fields.append(write_list(self.several(self.authorization, least=1)))
        return fields

    def payload(self, kind: int, hashes: tuple[bytes, ...] = ()) -> bytes:
        """The payload of a transaction that nobody signed."""
        fields = self.fields(kind, hashes)
        if kind == LEGACY:
            v = 2 * self.uint(40) + self.random.choice((35, 36))
        else:
            fields.insert(0, self.item(self.uint(60)))
            v = self.random.randint(0, 1)
        return write_list([*fields, *map(write_uint, (v, self.word(), self.word()))])

    def access_entry(self) -> bytes:
        """An address and storage keys."""
        return self.list(self.random.randbytes(20), encoded(write_list(map(write_bytes, self.hashes()))))

    def authorization(self) -> bytes:
        """An authorization (EIP-7702)."""
        words = (self.word(), self.word())
        return self.list(self.uint(60), self.random.randbytes(20), self.uint(), self.random.randint(0, 1), *words)

    def pooled(self, version: int) -> bytes:
        """A transaction of the pool; now and then one with a sidecar, without blobs in 72 as in all small examples."""
        if version < 72 or self.random.random() < 0.5:
            return self.transaction()
        count = self.random.randint(1, 2)
        commitments = [self.random.randbytes(COMMITMENT_SIZE) for _ in range(count)]
        hashes = tuple(b"\x01" + sha256(each).digest()[1:] for each in commitments)
        proofs = [self.random.randbytes(PROOF_SIZE) for _ in range(128 * count)]
        lists = [encoded(write_list(map(write_bytes, each))) for each in ([], commitments, proofs)]
        return wrap(3, self.list(encoded(self.payload(3, hashes)), 1, *lists))

    def header(self) -> bytes:
        """A header of any fork: 15, 16, 17, 20, 21, 22 or 23 fields."""
        roots = [self.hash() for _ in range(6)]
        fields: tuple[int | bytes, ...] = (
            roots[0], roots[1], self.random.randbytes(20), *roots[2:5], self.random.randbytes(256), self.uint(256),
            self.uint(), self.uint(), self.uint(), self.uint(), self.some_bytes(32), roots[5], self.random.randbytes(8),
        )  # fmt: skip
        shanghai = (self.uint(256), self.hash(), self.uint(), self.uint(), self.hash())
        later = (*shanghai, self.hash(), self.hash(), self.uint())
        return self.list(*fields, *later[: self.random.choice((0, 1, 2, 5, 6, 7, 8))])

    def body(self) -> bytes:
        """A body, with or without withdrawals."""
        parts = [write_list(self.several(self.transaction)), write_list(self.several(self.header, 1))]
        if self.random.random() < 0.7:
            parts.append(write_list(self.several(self.withdrawal)))
        return write_list(parts)

    def withdrawal(self) -> bytes:
        """A withdrawal (EIP-4895)."""
        return self.list(self.uint(), self.uint(), self.random.randbytes(20), self.uint())

    def receipt(self) -> Receipt:
        """A receipt, of a failed or a good transaction, or of one before Byzantium."""
        outcome = self.random.choice((b"", b"\x01", self.hash()))
        return Receipt(self.random.randint(0, 4), outcome, self.uint(), write_list(self.several(self.log)))

    def log(self) -> bytes:
        """A log."""
        topics = encoded(write_list(map(write_bytes, self.hashes(4))))
        return self.list(self.random.randbytes(20), topics, self.some_bytes(200))

    def mask(self) -> bytes:
        """A mask with a cell or more."""
        return make_mask(self.random.sample(range(128), self.random.randint(1, 6)))

    # Messages.

    def message(self, version: int, code: Code) -> Message:
        """Any message of a code."""
        makers: dict[Code, Any] = {
            Code.STATUS: lambda: self.status(version),
            Code.TRANSACTIONS: lambda: Transactions(self.several(self.transaction, least=1)),
            Code.GET_BLOCK_HEADERS: self.get_headers,
            Code.BLOCK_HEADERS: lambda: BlockHeaders(self.uint(), self.several(self.header)),
            Code.GET_BLOCK_BODIES: lambda: GetBlockBodies(self.uint(), self.hashes()),
            Code.BLOCK_BODIES: lambda: BlockBodies(self.uint(), self.several(self.body)),
            Code.NEW_POOLED_TRANSACTION_HASHES: lambda: self.announcement(version),
            Code.GET_POOLED_TRANSACTIONS: lambda: GetPooledTransactions(self.uint(), self.hashes()),
            Code.POOLED_TRANSACTIONS: lambda: PooledTransactions(
                self.uint(), self.several(lambda: self.pooled(version), 2)
            ),
            Code.GET_RECEIPTS: lambda: GetReceipts(self.uint(), self.hashes(), self.uint() if version >= 70 else 0),
            Code.RECEIPTS: lambda: self.receipts(version),
            Code.BLOCK_RANGE_UPDATE: self.block_range,
            Code.GET_BLOCK_ACCESS_LISTS: lambda: GetBlockAccessLists(self.uint(), self.hashes()),
            Code.BLOCK_ACCESS_LISTS: lambda: BlockAccessLists(self.uint(), self.several(self.block_access_list)),
            Code.GET_CELLS: lambda: GetCells(self.uint(), self.hashes(), self.mask()),
            Code.CELLS: self.cells,
        }
        made: Message = makers[code]()
        return made

    def block_range(self) -> BlockRange:
        """A range of blocks."""
        first, last = sorted((self.uint(), self.uint()))
        return BlockRange(first, last, self.hash())

    def status(self, version: int) -> Status:
        """A Status."""
        fork_id = ForkID(self.random.randbytes(4), self.uint())
        blocks, difficulty = self.block_range(), 0
        if version == 68:
            blocks, difficulty = BlockRange(0, 0, blocks.latest_hash), self.uint(160)
        return Status(version, self.uint(), self.hash(), fork_id, blocks, difficulty)

    def get_headers(self) -> GetBlockHeaders:
        """A request for headers, by hash or by number."""
        start = self.hash() if self.random.random() < 0.5 else self.uint()
        return GetBlockHeaders(self.uint(), start, self.uint(), self.uint(), self.random.random() < 0.5)

    def announcement(self, version: int) -> Announcement:
        """An announcement."""
        types = bytes(self.random.choice((0, 1, 2, 3, 4, 0x7E)) for _ in range(self.random.randint(1, 5)))
        mask = self.mask() if version >= 72 and 3 in types else NO_CELLS
        return Announcement(types, [self.uint(32) or 1 for _ in types], Hashes.of([self.hash() for _ in types]), mask)

    def receipts(self, version: int) -> Receipts:
        """Receipts of a few blocks."""
        blocks = tuple(write_block(list(self.several(self.receipt)), version) for _ in range(self.random.randint(0, 3)))
        has_any = any(each != b"\xc0" for each in blocks)
        return Receipts(self.uint(), blocks, version >= 70 and has_any and self.random.random() < 0.5)

    def block_access_list(self) -> bytes:
        """An access list of a block, or that there is none; the receiver does not look into it here."""
        return self.random.choice((b"\x80", b"\xc0", write_list(self.several(self.access_entry, least=1))))

    def cells(self) -> Cells:
        """Cells of one or two transactions with one or two blobs each."""
        mask = make_mask(self.random.sample(range(128), self.random.randint(1, 2)))
        names = [self.hash() for _ in range(self.random.randint(0, 2))]
        count = len(cells_of(mask)) * self.random.randint(1, 2)
        cells = tuple(tuple(self.random.randbytes(CELL_SIZE) for _ in range(count)) for _ in names)
        return Cells(self.uint(), Hashes.of(names), cells, mask)


class _Encoded(bytes):
    """RLP of a list."""


def encoded(item: bytes) -> bytes:
    """Mark what is RLP already."""
    return _Encoded(item)


def wrap(kind: int, payload: bytes) -> bytes:
    """A transaction as it stands in a message."""
    return payload if kind == LEGACY else write_bytes(bytes((kind,)) + payload)


def codes(version: int) -> list[Code]:
    """The messages of a version, in order."""
    return sorted(defined(version))


def described(message: Message) -> dict[str, Any]:
    """A message as JSON: bytes in hex, integers as decimal text, since they have 64 bits."""
    return {field.name: _plain(getattr(message, field.name)) for field in dataclasses.fields(message)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if dataclasses.is_dataclass(value):
        return described(value)  # type: ignore[arg-type]
    return [_plain(each) for each in value]
