"""
The versions of C{eth}, the codes of its messages, and which version has which (devp2p C{caps/eth.md}).
"""

from __future__ import annotations

from enum import IntEnum

#: The name of the capability.
NAME = "eth"
#: How many codes each version takes of a connection, which places the capability that follows it.
LENGTHS = {68: 17, 69: 18, 70: 18, 71: 20, 72: 22}
#: The versions, the oldest first.
VERSIONS = tuple(LENGTHS)
#: The most that a message has (bytes); clients end the session of a peer that sends more.
MAX_MESSAGE_SIZE = 10 * 1024 * 1024


class Code(IntEnum):
    """The code of each message. Codes that the field has given up (1, 7, 13, 14) are not here."""

    STATUS = 0x00
    TRANSACTIONS = 0x02
    GET_BLOCK_HEADERS = 0x03
    BLOCK_HEADERS = 0x04
    GET_BLOCK_BODIES = 0x05
    BLOCK_BODIES = 0x06
    NEW_POOLED_TRANSACTION_HASHES = 0x08
    GET_POOLED_TRANSACTIONS = 0x09
    POOLED_TRANSACTIONS = 0x0A
    GET_RECEIPTS = 0x0F
    RECEIPTS = 0x10
    BLOCK_RANGE_UPDATE = 0x11
    GET_BLOCK_ACCESS_LISTS = 0x12
    BLOCK_ACCESS_LISTS = 0x13
    GET_CELLS = 0x14
    CELLS = 0x15


#: The first version that has a message, where it is not the oldest.
_SINCE = {
    Code.BLOCK_RANGE_UPDATE: 69,
    Code.GET_BLOCK_ACCESS_LISTS: 71,
    Code.BLOCK_ACCESS_LISTS: 71,
    Code.GET_CELLS: 72,
    Code.CELLS: 72,
}


def defined(version: int) -> frozenset[Code]:
    """The messages that C{version} has."""
    return _DEFINED[version]


_DEFINED = {
    version: frozenset(code for code in Code if version >= _SINCE.get(code, VERSIONS[0])) for version in VERSIONS
}
