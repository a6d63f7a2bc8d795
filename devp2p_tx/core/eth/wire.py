"""
All messages of C{eth} by version and code.
"""

from __future__ import annotations

from devp2p_tx.core.eth.announcements import Announcement
from devp2p_tx.core.eth.cells import Cells, GetCells
from devp2p_tx.core.eth.codes import MAX_MESSAGE_SIZE, Code, defined
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
from devp2p_tx.core.eth.status import BlockRange, Status
from devp2p_tx.errors import LocalProtocolError, MessageError

_CLASSES: dict[Code, type[Message]] = {
    each.code: each
    for each in (
        Status, Transactions, GetBlockHeaders, BlockHeaders, GetBlockBodies, BlockBodies, Announcement,
        GetPooledTransactions, PooledTransactions, GetReceipts, Receipts, BlockRange, GetBlockAccessLists,
        BlockAccessLists, GetCells, Cells,
    )
}  # fmt: skip


def encode(version: int, message: Message) -> tuple[int, bytes]:
    """
    The code of a message, and its payload, to be given to a capability's transport.

    @raise LocalProtocolError: the version has no such message, it has more than L{MAX_MESSAGE_SIZE} bytes, or it holds
        what the specification does not allow.
    """
    if message.code not in defined(version):
        raise LocalProtocolError(f"eth/{version} has no {message.code.name}")
    payload = message.payload(version)
    if len(payload) > MAX_MESSAGE_SIZE:
        raise LocalProtocolError(f"a message of {len(payload)} bytes, the limit is {MAX_MESSAGE_SIZE}")
    return message.code, payload


def decode(version: int, code: int, payload: bytes) -> Message:
    """
    Read a message.

    @return: an object of the class of the code.
    @raise devp2p_tx.errors.InvalidRLP: another shape than the message has.
    @raise MessageError: a code that the version has not, or more than L{MAX_MESSAGE_SIZE} bytes.
    @raise devp2p_tx.core.eth.status.RangeMismatch: a C{BlockRangeUpdate} that cannot be.
    """
    if code not in defined(version):
        raise MessageError(f"eth/{version} has no message {code:#x}")
    if len(payload) > MAX_MESSAGE_SIZE:
        raise MessageError(f"a message of {len(payload)} bytes, the limit is {MAX_MESSAGE_SIZE}")
    return _CLASSES[Code(code)].read(payload, version)
