"""
Receipts, in the three forms that they have: in C{eth/68}, since C{eth/69} (EIP-7642), and in a block's receipts trie.
"""

from __future__ import annotations

from typing import NamedTuple, Self

from devp2p_tx.core.codec.rlpfields import (
    Field,
    read_bytes,
    read_exact_list,
    read_uint,
    write_bytes,
    write_list,
    write_uint,
)
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.eth.items import HASH_SIZE, read_only, read_raw
from devp2p_tx.errors import InvalidRLP

#: The version since which receipts are sent without their bloom filter.
_WITHOUT_BLOOM = 69
#: The shortest receipt, and how many a message of 10 MiB can have (see L{devp2p_tx.core.eth.codes.MAX_MESSAGE_SIZE}).
LEAST_RECEIPT = 5
BLOOM_SIZE = 256
_ADDRESS_SIZE = 20
#: How many topics a log has at most.
_MAX_TOPICS = 4
_MAX_TYPE = 0x7F


class Receipt(NamedTuple):
    """
    The receipt of one transaction.

    @ivar type: that of the transaction's envelope, 0 for a legacy one.
    @ivar outcome: the status, C{b"\\x01"} or empty; or the state root of 32 bytes, before Byzantium.
    @ivar gas: the gas that the block had used after it.
    @ivar logs: the RLP of the list of logs.
    """

    type: int
    outcome: bytes
    gas: int
    logs: bytes

    @classmethod
    def read(cls, raw: bytes, version: int) -> Self:
        """
        Read one as C{version} has it. A bloom filter is left out, whatever it says: it follows from the logs, and a
        receipts root that is compared shows whether these are right. (The example of EIP-2481 has an empty one.)

        @raise InvalidRLP: another shape.
        """
        return cls._read_with_bloom(raw) if version < _WITHOUT_BLOOM else cls._read_slim(raw)

    @classmethod
    def _read_slim(cls, raw: bytes) -> Self:
        kind, outcome, gas, logs = read_exact_list(raw, read_only(raw), 4, 4)
        value = 0 if raw[kind[1] : kind[3]] == b"\0" else read_uint(raw, kind, 1)  # 0x00: a habit of besu's
        return cls._of(raw, value, outcome, gas, logs)

    @classmethod
    def _read_with_bloom(cls, raw: bytes) -> Self:
        field, kind = read_only(raw), 0
        if not field[0]:
            envelope = read_bytes(raw, field)
            if not envelope:
                raise InvalidRLP("an empty receipt")
            kind, raw = envelope[0], envelope[1:]
        outcome, gas, bloom, logs = read_exact_list(raw, read_only(raw), 4, 4)
        read_bytes(raw, bloom, BLOOM_SIZE)
        return cls._of(raw, kind, outcome, gas, logs)

    @classmethod
    def _of(cls, raw: bytes, kind: int, outcome: Field, gas: Field, logs: Field) -> Self:
        stated = read_bytes(raw, outcome)
        if stated not in (b"", b"\x01") and len(stated) != HASH_SIZE:
            raise InvalidRLP("a receipt has a status or a state root")
        if kind > _MAX_TYPE or not logs[0]:
            raise InvalidRLP("a receipt has a type and a list of logs")
        return cls(kind, stated, read_uint(raw, gas), raw[logs[1] : logs[3]])

    def encode(self, version: int) -> bytes:
        """It as an item of C{Receipts} in C{version}."""
        if version < _WITHOUT_BLOOM:
            return write_bytes(self.consensus()) if self.type else self.consensus()
        return write_list((write_uint(self.type), write_bytes(self.outcome), write_uint(self.gas), self.logs))

    def consensus(self) -> bytes:
        """It as a value of the receipts trie."""
        fields = (write_bytes(self.outcome), write_uint(self.gas), write_bytes(self.bloom()), self.logs)
        return (bytes((self.type,)) if self.type else b"") + write_list(fields)

    def bloom(self) -> bytes:
        """
        The bloom filter of its logs, 256 bytes (Yellow Paper, 4.3.1).

        @raise InvalidRLP: its logs have another shape.
        """
        bits = 0
        for log in read_raw(self.logs, read_only(self.logs)):
            address, topics, _ = read_exact_list(log, read_only(log), 3, 3)
            for each in (read_bytes(log, address, _ADDRESS_SIZE), *_topics(log, topics)):
                digest = keccak256(each)
                for position in (0, 2, 4):
                    bits |= 1 << (int.from_bytes(digest[position : position + 2], "big") & 0x7FF)
        return bits.to_bytes(BLOOM_SIZE, "big")


def _topics(log: bytes, field: Field) -> list[bytes]:
    return [read_bytes(log, each, HASH_SIZE) for each in read_exact_list(log, field, 0, _MAX_TOPICS)]


def read_block(raw: bytes, version: int) -> list[Receipt]:
    """
    The receipts of one block, an item of L{Receipts<devp2p_tx.core.eth.messages.Receipts>}.

    @raise InvalidRLP: another shape.
    """
    return [Receipt.read(each, version) for each in read_raw(raw, read_only(raw), LEAST_RECEIPT)]


def write_block(receipts: list[Receipt], version: int) -> bytes:
    """The receipts of one block, as an item of C{Receipts}."""
    return write_list(each.encode(version) for each in receipts)
