"""
Status, the first message of both sides, and BlockRangeUpdate (devp2p C{caps/eth.md}; EIP-2124, EIP-7642).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from devp2p_tx.core.codec.rlpfields import (
    Field,
    read_bytes,
    read_exact_list,
    read_uint,
    write_bytes,
    write_list,
    write_uint,
)
from devp2p_tx.core.eth.codes import Code
from devp2p_tx.core.eth.items import HASH_SIZE, check_size, check_uint, read_message
from devp2p_tx.core.forkid import ForkFilter, ForkID
from devp2p_tx.errors import DisconnectReason, LocalProtocolError, RemoteProtocolError

#: The total difficulty of mainnet's last block before the merge, which C{eth/68} states ever since.
MAINNET_DIFFICULTY = 58750003716598352816469
#: The most bits of a total difficulty: clients end the session over more.
DIFFICULTY_BITS = 160
_RANGED = 69
_NO_HASH = bytes(HASH_SIZE)


class StatusMismatch(RemoteProtocolError):
    """The peer's Status does not go with ours; the sentence says in what."""

    reason = DisconnectReason.SUBPROTOCOL_ERROR


class NetworkMismatch(StatusMismatch):
    """Another network id."""


class VersionMismatch(StatusMismatch):
    """A Status of another version than was agreed."""


class GenesisMismatch(StatusMismatch):
    """Another genesis block."""


class RangeMismatch(StatusMismatch):
    """A range of blocks that ends before it begins, or that names no block."""


@dataclass(frozen=True, slots=True)
class BlockRange:
    """
    The blocks that a node has; as a message C{BlockRangeUpdate}, since 69.

    @ivar earliest: the number of the first block whose body and receipts it has, 0 for all.
    @ivar latest: the number of the newest.
    @ivar latest_hash: its hash, 32 bytes.
    """

    earliest: int
    latest: int
    latest_hash: bytes

    code: ClassVar[Code] = Code.BLOCK_RANGE_UPDATE

    def check(self) -> None:
        """
        Look whether it can be.

        @raise RangeMismatch: it ends before it begins, or its newest block has the hash zero.
        """
        if self.earliest > self.latest:
            raise RangeMismatch(f"blocks from {self.earliest} to {self.latest}")
        if self.latest_hash == _NO_HASH:
            raise RangeMismatch("the newest block has no hash")

    def fields(self) -> tuple[bytes, bytes, bytes]:
        """
        The encoded fields.

        @raise LocalProtocolError: values out of range, or a range that cannot be.
        """
        try:
            self.check()
        except RangeMismatch as error:
            raise LocalProtocolError(str(error)) from None
        return (
            write_uint(check_uint(self.earliest, "a block number")),
            write_uint(check_uint(self.latest, "a block number")),
            write_bytes(check_size(self.latest_hash, "a block hash")),
        )

    def payload(self, version: int) -> bytes:
        """The message."""
        return write_list(self.fields())

    @classmethod
    def read(cls, data: bytes, version: int) -> Self:
        """
        Read it.

        @raise InvalidRLP: another shape.
        @raise RangeMismatch: see L{check}.
        """
        blocks = cls.of(data, read_message(data, 3, 3))
        blocks.check()
        return blocks

    @classmethod
    def of(cls, data: bytes, fields: list[Field]) -> Self:
        """Read its three fields, without a look at what they say."""
        earliest, latest, latest_hash = fields
        return cls(read_uint(data, earliest), read_uint(data, latest), read_bytes(data, latest_hash, HASH_SIZE))


@dataclass(frozen=True, slots=True)
class Status:
    """
    What a node says of itself and its chain.

    @ivar version: the version that was agreed.
    @ivar network: the network id.
    @ivar genesis: the hash of the genesis block.
    @ivar fork_id: see L{devp2p_tx.core.forkid}.
    @ivar blocks: which blocks it has. In 68 only the hash of the newest is stated; the numbers are 0.
    @ivar difficulty: in 68 the total difficulty of the newest block, else 0.
    """

    version: int
    network: int
    genesis: bytes
    fork_id: ForkID
    blocks: BlockRange
    difficulty: int = 0

    code: ClassVar[Code] = Code.STATUS

    def payload(self, version: int) -> bytes:
        """
        The message.

        @raise LocalProtocolError: another version, values out of range, or a range that cannot be.
        """
        if version != self.version:
            raise LocalProtocolError(f"a Status of eth/{self.version} in eth/{version}")
        head = (write_uint(version), write_uint(check_uint(self.network, "a network id")))
        genesis = write_bytes(check_size(self.genesis, "a genesis hash"))
        checksum, following = self.fork_id
        fork_id = write_list(
            (write_bytes(check_size(checksum, "a fork checksum", 4)), write_uint(check_uint(following, "a fork")))
        )
        blocks = self.blocks.fields()
        if version >= _RANGED:
            return write_list((*head, genesis, fork_id, *blocks))
        difficulty = write_uint(check_uint(self.difficulty, "a total difficulty", DIFFICULTY_BITS))
        return write_list((*head, difficulty, blocks[2], genesis, fork_id))

    @classmethod
    def read(cls, data: bytes, version: int) -> Self:
        """
        Read it; L{StatusCheck} looks at what it says.

        @raise InvalidRLP: another shape than that of C{version}.
        """
        if version >= _RANGED:
            stated, network, genesis, fork_id, *blocks = read_message(data, 7, 7)
            known, difficulty = BlockRange.of(data, blocks), 0
        else:
            stated, network, total, head, genesis, fork_id = read_message(data, 6, 6)
            known = BlockRange(0, 0, read_bytes(data, head, HASH_SIZE))
            difficulty = read_uint(data, total, DIFFICULTY_BITS // 8)
        checksum, following = read_exact_list(data, fork_id, 2, 2)
        return cls(
            read_uint(data, stated, 4),
            read_uint(data, network),
            read_bytes(data, genesis, HASH_SIZE),
            ForkID(read_bytes(data, checksum, 4), read_uint(data, following)),
            known,
            difficulty,
        )


@dataclass(frozen=True, slots=True)
class StatusCheck:
    """
    What a peer's Status must say.

    @ivar network: our network id.
    @ivar genesis: the hash of our genesis block.
    @ivar forks: our chain's forks.
    """

    network: int
    genesis: bytes
    forks: ForkFilter

    def check(self, status: Status, version: int, head: int, time: int) -> None:
        """
        Compare a Status with ours, in the order of other clients: network, version, genesis, fork id, range.

        @param version: the version that was agreed.
        @param head: the number of our newest block.
        @param time: its unix time.
        @raise StatusMismatch: it does not.
        @raise devp2p_tx.core.forkid.ForkMismatch: its fork id does not.
        """
        if status.network != self.network:
            raise NetworkMismatch(f"network {status.network}, ours is {self.network}")
        if status.version != version:
            raise VersionMismatch(f"a Status of eth/{status.version} in eth/{version}")
        if status.genesis != self.genesis:
            raise GenesisMismatch(f"genesis {status.genesis.hex()}, ours is {self.genesis.hex()}")
        self.forks.check(status.fork_id, head, time)
        status.blocks.check()
