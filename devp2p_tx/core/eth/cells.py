"""
Cells of blobs, asked for and given (EIP-8070; devp2p C{caps/eth.md}, "GetCells" and "Cells"; since 72).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from devp2p_tx.core.codec.rlpfields import read_exact_list, read_uint, write_bytes, write_list, write_uint
from devp2p_tx.core.eth.codes import Code
from devp2p_tx.core.eth.items import (
    check_size,
    check_uint,
    read_fixed,
    read_hashes,
    read_message,
    read_only,
    read_raw,
    write_hashes,
)
from devp2p_tx.core.eth.masks import MASK_SIZE, cells_of, read_mask
from devp2p_tx.errors import InvalidRLP, LocalProtocolError

#: The size of a cell (bytes).
CELL_SIZE = 2048
#: The most transactions that we ask the cells of at once.
MAX_ASKED = 64
_NESTED = 2


@dataclass(frozen=True, slots=True)
class GetCells:
    """
    Asks for the same cells of several transactions.

    @ivar request_id: 64 bits.
    @ivar hashes: those of the transactions.
    @ivar mask: which cells (see L{devp2p_tx.core.eth.masks}).
    """

    request_id: int
    hashes: Sequence[bytes]
    mask: bytes

    code: ClassVar[Code] = Code.GET_CELLS

    def payload(self, version: int) -> bytes:
        """
        The message, in the flat form of the specification.

        @raise LocalProtocolError: more than L{MAX_ASKED} hashes, or values of other sizes.
        """
        if len(self.hashes) > MAX_ASKED:
            raise LocalProtocolError(f"{len(self.hashes)} hashes, the limit is {MAX_ASKED}")
        return write_list(
            (
                write_uint(check_uint(self.request_id, "a request id")),
                write_hashes(self.hashes),
                write_bytes(check_size(self.mask, "a mask", MASK_SIZE)),
            )
        )

    @classmethod
    def read(cls, data: bytes, version: int) -> Self:
        """
        Read it, C{[id, hashes, mask]}, or with the last two in a list of their own, as some clients have it.

        @raise InvalidRLP: another shape.
        """
        request_id, *rest = read_message(data, 2, 3)
        hashes, mask = rest if len(rest) == _NESTED else read_exact_list(data, rest[0], 2, 2)
        return cls(read_uint(data, request_id), read_hashes(data, hashes), read_mask(data, mask))


@dataclass(frozen=True, slots=True)
class Cells:
    """
    Cells, in answer to L{GetCells}.

    @ivar request_id: that of the request.
    @ivar hashes: the transactions, some of those that were asked for, in their order.
    @ivar cells: for each of these its cells, 2048 bytes each: those of the first cell of the mask of each blob, then
        those of the next (index-major); see L{columns}.
    @ivar mask: which cells, some of those that were asked for.
    """

    request_id: int
    hashes: Sequence[bytes]
    cells: Sequence[Sequence[bytes]]
    mask: bytes

    code: ClassVar[Code] = Code.CELLS

    def payload(self, version: int) -> bytes:
        """
        The message.

        @raise LocalProtocolError: lists of unequal number, or cells that do not fill the mask for a number of blobs.
        """
        if len(self.hashes) != len(self.cells):
            raise LocalProtocolError("hashes and lists of cells differ in number")
        for each in self.cells:
            columns(each, self.mask)
        lists = (write_list(write_bytes(check_size(cell, "a cell", CELL_SIZE)) for cell in each) for each in self.cells)
        return write_list(
            (
                write_uint(check_uint(self.request_id, "a request id")),
                write_hashes(self.hashes),
                write_list(lists),
                write_bytes(check_size(self.mask, "a mask", MASK_SIZE)),
            )
        )

    @classmethod
    def read(cls, data: bytes, version: int) -> Self:
        """
        Read it.

        @raise InvalidRLP: another shape, or cells that do not fill the mask for a number of blobs.
        """
        request_id, hashes, lists, mask = read_message(data, 4, 4)
        names = read_hashes(data, hashes)
        which = read_mask(data, mask)
        lists_of_cells = read_raw(data, lists, most=len(names))
        cells = tuple(read_fixed(each, read_only(each), CELL_SIZE) for each in lists_of_cells)
        if len(cells) != len(names):
            raise InvalidRLP("hashes and lists of cells differ in number")
        try:
            for each in cells:
                columns(each, which)
        except LocalProtocolError as error:
            raise InvalidRLP(str(error)) from None
        return cls(read_uint(data, request_id), names, cells, which)


def columns(cells: Sequence[bytes], mask: bytes) -> dict[int, Sequence[bytes]]:
    """
    The cells of one transaction by the number of the cell: for each of the mask one cell of each blob.

    @raise LocalProtocolError: their count is no multiple of that of the mask.
    """
    numbers = cells_of(mask)
    blobs, rest = divmod(len(cells), len(numbers)) if numbers else (0, len(cells))
    if rest:
        raise LocalProtocolError(f"{len(cells)} cells for a mask of {len(numbers)}")
    return {number: cells[index * blobs : (index + 1) * blobs] for index, number in enumerate(numbers)}
