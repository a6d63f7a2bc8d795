"""
Announcements of transactions (devp2p C{caps/eth.md}, "NewPooledTransactionHashes"; EIP-5793; since 72 EIP-8070).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from devp2p_tx.core.codec.rlpfields import Field, read_bytes, write_bytes, write_list, write_uint
from devp2p_tx.core.eth.codes import Code
from devp2p_tx.core.eth.items import check_uint, read_hashes, read_message, write_hashes
from devp2p_tx.core.eth.masks import MASK_SIZE, NO_CELLS, read_mask
from devp2p_tx.errors import InvalidRLP, LocalProtocolError

#: The most hashes that we announce at once.
MAX_ANNOUNCED = 4096
#: The version since which an announcement has a mask.
_MASKED = 72
_BLOB_TYPE = 3
_SIZE_BITS = 32


@dataclass(frozen=True, slots=True)
class Announcement:
    """
    Transactions that the sender has, and serves. The three sequences have one length.

    @ivar types: a byte for each: the type of the envelope, 0 for a legacy transaction.
    @ivar sizes: the length of each (bytes): C{type || payload} with its sidecar, but in 72 without the blobs.
    @ivar hashes: 32 bytes each.
    @ivar mask: the cells that the sender has of each transaction with blobs; C{NO_CELLS} before 72.
    """

    types: bytes
    sizes: Sequence[int]
    hashes: Sequence[bytes]
    mask: bytes = NO_CELLS

    code: ClassVar[Code] = Code.NEW_POOLED_TRANSACTION_HASHES

    def payload(self, version: int) -> bytes:
        """
        The message.

        @raise LocalProtocolError: unequal lengths, none or more than L{MAX_ANNOUNCED}, a size of 0 or over 32 bits, a
            mask that does not go with the types, or a mask before 72.
        """
        self._check(version)
        fields = [
            write_bytes(self.types),
            write_list(write_uint(check_uint(each, "a size", _SIZE_BITS)) for each in self.sizes),
            write_hashes(self.hashes),
        ]
        if version >= _MASKED:
            fields.append(write_bytes(self.mask))
        return write_list(fields)

    def _check(self, version: int) -> None:
        if not len(self.types) == len(self.sizes) == len(self.hashes):
            raise LocalProtocolError("types, sizes and hashes differ in number")
        if not 0 < len(self.types) <= MAX_ANNOUNCED:
            raise LocalProtocolError(f"{len(self.types)} announcements: want 1 to {MAX_ANNOUNCED}")
        if 0 in self.sizes:
            raise LocalProtocolError("no transaction has the size 0")
        if len(self.mask) != MASK_SIZE or (version < _MASKED and self.mask != NO_CELLS):
            raise LocalProtocolError(f"not a mask of eth/{version}")
        if version >= _MASKED and (self.mask != NO_CELLS) != (_BLOB_TYPE in self.types):
            raise LocalProtocolError("a mask names cells where transactions with blobs are announced, and only there")

    @classmethod
    def read(cls, data: bytes, version: int) -> Self:
        """
        Read it. Unknown types, a size of 0, a hash that stands there twice, and an empty announcement are tolerated.

        @raise InvalidRLP: another shape, or unequal lengths.
        """
        count = 4 if version >= _MASKED else 3
        types, sizes, hashes, *mask = read_message(data, count, count)
        kinds = read_bytes(data, types)
        message = cls(
            kinds,
            _read_sizes(data, sizes, len(kinds)),
            read_hashes(data, hashes),
            read_mask(data, mask[0]) if mask else NO_CELLS,
        )
        if len(kinds) != len(message.hashes):
            raise InvalidRLP("types and hashes differ in number")
        return message


def _read_sizes(data: bytes, field: Field, count: int) -> list[int]:
    """Exactly C{count} integers of up to 4 bytes, in one pass."""
    is_list, _, position, stop = field
    if not is_list or not count <= stop - position <= 5 * count:
        raise InvalidRLP("types and sizes differ in number")
    sizes = []
    while position < stop:
        first = data[position]
        if first < 0x80:  # the byte itself
            if not first:
                raise InvalidRLP("a size with a leading zero")
            sizes.append(first)
            position += 1
            continue
        end = position + first - 0x7F
        if first > 0x84 or end > stop or (first > 0x80 and not data[position + 1]):
            raise InvalidRLP(f"not a size of {_SIZE_BITS} bits")
        size = int.from_bytes(data[position + 1 : end], "big")
        if first == 0x81 and size < 0x80:
            raise InvalidRLP("a small byte with a header")
        sizes.append(size)
        position = end
    if len(sizes) != count:
        raise InvalidRLP("types and sizes differ in number")
    return sizes
