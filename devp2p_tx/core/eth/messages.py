"""
The messages of C{eth}, but for Status, announcements, and the answers that carry cells: what they hold.

Blocks, headers, transactions, receipts and access lists stay as they came, as RLP: what reads them is in modules of
their own, and what only passes them on reads nothing. (devp2p C{caps/eth.md}.)

Each class has C{payload(version)}, the bytes to send, and C{read(data, version)}. The first raises
L{LocalProtocolError} for what the specification does not allow, the second L{InvalidRLP} for what has another shape;
C{version} is one of those of L{devp2p_tx.core.eth.codes} that has the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

from devp2p_tx.core.codec.rlpfields import read_exact_list, read_uint, write_bytes, write_list, write_uint
from devp2p_tx.core.eth.codes import Code
from devp2p_tx.core.eth.items import (
    HASH_SIZE,
    check_size,
    check_uint,
    read_flag,
    read_hashes,
    read_message,
    read_raw,
    write_hashes,
)
from devp2p_tx.errors import InvalidRLP, LocalProtocolError

#: The most items that an answer may have: what the largest clients serve of headers, bodies, receipts and access lists.
MAX_ANSWERS = 1024
#: The most transactions of one message: go-ethereum ends a session over more.
MAX_TRANSACTIONS = 5000
#: The least sizes of encoded items (bytes): a header of 15 fields, a body of two empty lists, a transaction.
LEAST_HEADER, LEAST_BODY, LEAST_TRANSACTION = 496, 3, 10
#: How transactions of EIP-4844 begin. They are announced, and never sent unasked.
_BLOB_TYPE = 3
_MAX_NUMBER_SIZE = 8


class Message(Protocol):
    """What is common to all messages."""

    code: ClassVar[Code]

    def payload(self, version: int) -> bytes: ...

    @classmethod
    def read(cls, data: bytes, version: int) -> Self: ...


def _write_id(request_id: int) -> bytes:
    return write_uint(check_uint(request_id, "a request id"))


def _write_raw(items: Sequence[bytes], most: int) -> bytes:
    if len(items) > most:
        raise LocalProtocolError(f"{len(items)} items, the limit is {most}")
    return write_list(items)


@dataclass(frozen=True, slots=True)
class _RequestOfHashes:
    """
    A request for what some hashes name.

    @ivar request_id: 64 bits; the answer repeats it.
    @ivar hashes: 32 bytes each.
    """

    request_id: int
    hashes: Sequence[bytes]

    def payload(self, version: int) -> bytes:
        """The message."""
        return write_list((_write_id(self.request_id), write_hashes(self.hashes)))

    @classmethod
    def read(cls, data: bytes, version: int) -> Self:
        """Read it."""
        request_id, hashes = read_message(data, 2, 2)
        return cls(read_uint(data, request_id), read_hashes(data, hashes))


class GetBlockBodies(_RequestOfHashes):
    """Asks for the bodies of blocks, by the hashes of their headers."""

    __slots__ = ()
    code: ClassVar[Code] = Code.GET_BLOCK_BODIES


class GetPooledTransactions(_RequestOfHashes):
    """Asks for transactions of the pool."""

    __slots__ = ()
    code: ClassVar[Code] = Code.GET_POOLED_TRANSACTIONS


class GetBlockAccessLists(_RequestOfHashes):
    """Asks for the access lists of blocks (EIP-8159)."""

    __slots__ = ()
    code: ClassVar[Code] = Code.GET_BLOCK_ACCESS_LISTS


@dataclass(frozen=True, slots=True)
class _AnswerOfItems:
    """
    An answer with items as they are encoded.

    @cvar least: the size of the shortest item (bytes).
    @cvar most: how many there may be.
    @ivar request_id: that of the request.
    @ivar items: RLP, one each, in the order of the request; fewer than were asked for, maybe.
    """

    request_id: int
    items: Sequence[bytes]

    least: ClassVar[int] = 1
    most: ClassVar[int] = MAX_ANSWERS

    def payload(self, version: int) -> bytes:
        """The message."""
        return write_list((_write_id(self.request_id), _write_raw(self.items, self.most)))

    @classmethod
    def read(cls, data: bytes, version: int) -> Self:
        """Read it."""
        request_id, items = read_message(data, 2, 2)
        return cls(read_uint(data, request_id), read_raw(data, items, cls.least, cls.most))


class BlockHeaders(_AnswerOfItems):
    """Headers; L{devp2p_tx.core.eth.headers} reads them."""

    __slots__ = ()
    code: ClassVar[Code] = Code.BLOCK_HEADERS
    least: ClassVar[int] = LEAST_HEADER


class BlockBodies(_AnswerOfItems):
    """Bodies: C{[transactions, ommers, withdrawals]}, the last since Shanghai."""

    __slots__ = ()
    code: ClassVar[Code] = Code.BLOCK_BODIES
    least: ClassVar[int] = LEAST_BODY


class PooledTransactions(_AnswerOfItems):
    """Transactions, those with blobs with their sidecars; L{devp2p_tx.core.eth.transactions} reads them."""

    __slots__ = ()
    code: ClassVar[Code] = Code.POOLED_TRANSACTIONS
    least: ClassVar[int] = LEAST_TRANSACTION
    most: ClassVar[int] = MAX_TRANSACTIONS


class BlockAccessLists(_AnswerOfItems):
    """Access lists, one for each hash of the request; the empty string (L{NOT_AVAILABLE}) for one that is not there."""

    __slots__ = ()
    code: ClassVar[Code] = Code.BLOCK_ACCESS_LISTS


#: In place of an access list. An empty list is a valid access list.
NOT_AVAILABLE = b"\x80"


@dataclass(frozen=True, slots=True)
class Transactions:
    """
    Transactions that nobody asked for.

    @ivar items: RLP, one each: a list for a legacy transaction, a byte string for a typed one. None with blobs.
    """

    items: Sequence[bytes]

    code: ClassVar[Code] = Code.TRANSACTIONS

    def payload(self, version: int) -> bytes:
        """The message."""
        if not self.items:
            raise LocalProtocolError("a Transactions message has at least one transaction")
        if any(is_blob_transaction(each) for each in self.items):
            raise LocalProtocolError("a transaction with blobs is announced, never sent unasked")
        return _write_raw(self.items, MAX_TRANSACTIONS)

    @classmethod
    def read(cls, data: bytes, version: int) -> Self:
        """Read it. An empty list is tolerated, as clients do."""
        whole = read_message(data, 0, MAX_TRANSACTIONS)
        items = tuple(data[begin:stop] for _, begin, _, stop in whole)
        if any(len(each) < LEAST_TRANSACTION for each in items):
            raise InvalidRLP(f"a transaction has {LEAST_TRANSACTION} bytes or more")
        if any(is_blob_transaction(each) for each in items):
            raise InvalidRLP("a transaction with blobs, which nobody asked for")
        return cls(items)


def is_blob_transaction(item: bytes) -> bool:
    """Whether a transaction, as it stands in a message, is one of EIP-4844."""
    header = item[0]
    if not 0x80 < header < 0xC0:
        return False
    start = 1 if header < 0xB8 else 1 + header - 0xB7
    return item[start] == _BLOB_TYPE


@dataclass(frozen=True, slots=True)
class GetBlockHeaders:
    """
    Asks for headers.

    @ivar request_id: 64 bits.
    @ivar start: the first block: its hash (32 bytes) or its number (64 bits).
    @ivar limit: how many, at most.
    @ivar skip: how many blocks lie between two of them.
    @ivar reverse: whether they go towards genesis.
    """

    request_id: int
    start: bytes | int
    limit: int
    skip: int = 0
    reverse: bool = False

    code: ClassVar[Code] = Code.GET_BLOCK_HEADERS

    def payload(self, version: int) -> bytes:
        """The message."""
        start = self.start
        query = (
            write_uint(check_uint(start, "a block number"))
            if isinstance(start, int)
            else write_bytes(check_size(start, "a block hash")),
            write_uint(check_uint(self.limit, "a limit")),
            write_uint(check_uint(self.skip, "a skip")),
            write_uint(bool(self.reverse)),
        )
        return write_list((_write_id(self.request_id), write_list(query)))

    @classmethod
    def read(cls, data: bytes, version: int) -> Self:
        """Read it. A start of 32 bytes is a hash, one of up to 8 a number."""
        request_id, query = read_message(data, 2, 2)
        start, limit, skip, reverse = read_exact_list(data, query, 4, 4)
        is_list, _, begin, end = start
        if not is_list and end - begin == HASH_SIZE:
            first: bytes | int = data[begin:end]
        else:
            first = read_uint(data, start, _MAX_NUMBER_SIZE)
        return cls(
            read_uint(data, request_id),
            first,
            read_uint(data, limit),
            read_uint(data, skip),
            read_flag(data, reverse),
        )


@dataclass(frozen=True, slots=True)
class GetReceipts:
    """
    Asks for the receipts of blocks.

    @ivar request_id: 64 bits.
    @ivar hashes: those of the blocks.
    @ivar first: how many receipts of the first block to leave out; since 70 (EIP-7975).
    """

    request_id: int
    hashes: Sequence[bytes]
    first: int = 0

    code: ClassVar[Code] = Code.GET_RECEIPTS

    def payload(self, version: int) -> bytes:
        """The message."""
        if version < _PARTIAL:
            if self.first:
                raise LocalProtocolError(f"eth/{version} has no part of a block's receipts")
            return write_list((_write_id(self.request_id), write_hashes(self.hashes)))
        first = write_uint(check_uint(self.first, "an index"))
        return write_list((_write_id(self.request_id), first, write_hashes(self.hashes)))

    @classmethod
    def read(cls, data: bytes, version: int) -> Self:
        """Read it."""
        if version < _PARTIAL:
            request_id, hashes = read_message(data, 2, 2)
            return cls(read_uint(data, request_id), read_hashes(data, hashes))
        request_id, first, hashes = read_message(data, 3, 3)
        return cls(read_uint(data, request_id), read_hashes(data, hashes), read_uint(data, first))


#: The version since which a block's receipts may come in several answers (EIP-7975).
_PARTIAL = 70
_EMPTY_LIST = b"\xc0"


@dataclass(frozen=True, slots=True)
class Receipts:
    """
    The receipts of blocks.

    @ivar request_id: that of the request.
    @ivar blocks: RLP, a list of receipts for each block; L{devp2p_tx.core.eth.receipts} reads them.
    @ivar incomplete: whether receipts of the last block are missing; since 70.
    """

    request_id: int
    blocks: Sequence[bytes]
    incomplete: bool = False

    code: ClassVar[Code] = Code.RECEIPTS

    def payload(self, version: int) -> bytes:
        """The message."""
        blocks = _write_raw(self.blocks, MAX_ANSWERS)
        if version < _PARTIAL:
            if self.incomplete:
                raise LocalProtocolError(f"eth/{version} has no part of a block's receipts")
            return write_list((_write_id(self.request_id), blocks))
        if self.incomplete and not self._has_receipts():
            raise LocalProtocolError("an incomplete answer has at least one receipt")
        return write_list((_write_id(self.request_id), write_uint(bool(self.incomplete)), blocks))

    def _has_receipts(self) -> bool:
        return any(each != _EMPTY_LIST for each in self.blocks)

    @classmethod
    def read(cls, data: bytes, version: int) -> Self:
        """Read it."""
        if version < _PARTIAL:
            request_id, blocks = read_message(data, 2, 2)
            return cls(read_uint(data, request_id), read_raw(data, blocks, most=MAX_ANSWERS))
        request_id, incomplete, blocks = read_message(data, 3, 3)
        items = read_raw(data, blocks, most=MAX_ANSWERS)
        message = cls(read_uint(data, request_id), items, read_flag(data, incomplete))
        if message.incomplete and not message._has_receipts():
            raise InvalidRLP("an incomplete answer without a receipt")
        return message
