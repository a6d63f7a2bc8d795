"""
Masks of cells (EIP-8070): which of the 128 cells of each extended blob a message is about.

Cell C{i} is bit C{i % 8} of byte C{i // 8}, the least significant bit first.
"""

from __future__ import annotations

from collections.abc import Iterable

from devp2p_tx.core.codec.rlpfields import Field, read_bytes
from devp2p_tx.errors import InvalidRLP, LocalProtocolError

#: The cells of an extended blob, and the bytes of a mask.
CELLS = 128
MASK_SIZE = CELLS // 8
#: The masks with no cell, and with each.
NO_CELLS = bytes(MASK_SIZE)
ALL_CELLS = b"\xff" * MASK_SIZE


def make_mask(cells: Iterable[int]) -> bytes:
    """
    The mask of some cells, 16 bytes.

    @raise LocalProtocolError: not a number of a cell, 0 to 127.
    """
    bits = 0
    for cell in cells:
        if not 0 <= cell < CELLS:
            raise LocalProtocolError(f"there is no cell {cell}")
        bits |= 1 << cell
    return bits.to_bytes(MASK_SIZE, "little")


def cells_of(mask: bytes) -> list[int]:
    """The cells of a mask, ascending."""
    bits = int.from_bytes(mask, "little")
    return [cell for cell in range(CELLS) if bits >> cell & 1]


def read_mask(data: bytes, field: Field) -> bytes:
    """
    A mask, 16 bytes. The empty string, which the text of the EIP has where no cell is meant, is L{NO_CELLS}.

    @raise InvalidRLP: of another size.
    """
    mask = read_bytes(data, field)
    if len(mask) not in (0, MASK_SIZE):
        raise InvalidRLP(f"a mask has {MASK_SIZE} bytes, not {len(mask)}")
    return mask or NO_CELLS
