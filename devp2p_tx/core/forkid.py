"""
Fork identifiers: telling a node of our chain from all others before we connect.

A fork id is a checksum over the genesis hash and the forks that have passed, and the next fork that is known.
(EIP-2124; EIP-6122 for forks by time.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from devp2p_tx.core.codec import rlp
from devp2p_tx.errors import DisconnectReason, InvalidRLP, RemoteProtocolError

#: The time of mainnet's genesis. A number of a fork that lies above it is a time in unix seconds, not a block number.
TIME_THRESHOLD = 1438269973


class ForkMismatch(RemoteProtocolError):
    """
    The remote node follows another chain, or one of us has an outdated program.

    @ivar remote: the fork id of the remote node; C{None} if it is not known.
    """

    reason = DisconnectReason.SUBPROTOCOL_ERROR

    def __init__(self, text: str, remote: ForkID | None = None) -> None:
        super().__init__(text)
        self.remote = remote


class RemoteStale(ForkMismatch):
    """The remote node does not know of a fork that we have passed."""


class LocalIncompatible(ForkMismatch):
    """The remote node is of another chain, or has passed a fork that we do not know of."""


class ForkID(NamedTuple):
    """
    A fork identifier; a record's L{ETH<devp2p_tx.core.enr.entries.ETH>} entry has the same two fields.

    C{checksum} is 4 bytes; C{next} the block number or unix time of the next known fork, 0 if none is known.
    """

    checksum: bytes
    next: int

    @classmethod
    def from_item(cls, item: rlp.Item) -> ForkID:
        """
        Read C{[checksum, next]}.

        @raise InvalidRLP: another shape.
        """
        if not isinstance(item, list) or len(item) != 2:
            raise InvalidRLP("a fork id has two items")
        return cls(rlp.decode_bytes(item[0], 4), rlp.decode_uint(item[1]))

    def to_item(self) -> list[bytes]:
        """C{[checksum, next]}, to be encoded."""
        return [self.checksum, rlp.encode_uint(self.next)]


@dataclass(frozen=True)
class Chain:
    """
    What of a chain makes its fork ids. Forks come in any order; repeated ones count once, those at genesis not at all.

    @ivar genesis_hash: 32 bytes.
    @ivar genesis_time: unix seconds.
    @ivar block_forks: block numbers.
    @ivar time_forks: unix seconds.
    """

    name: str
    genesis_hash: bytes
    genesis_time: int
    block_forks: tuple[int, ...]
    time_forks: tuple[int, ...]

    def forks(self) -> tuple[list[int], list[int]]:
        """The forks that count, ascending: by block, and by time, which all come after those."""
        return _above(0, self.block_forks), _above(self.genesis_time, self.time_forks)

    def fork_id(self, head: int, time: int) -> ForkID:
        """
        The fork id to announce.

        @param head: the number of the newest block.
        @param time: its unix time.
        """
        block_forks, time_forks = self.forks()
        checksum = crc32(self.genesis_hash)
        for reached, forks in ((head, block_forks), (time, time_forks)):
            for fork in forks:
                if fork > reached:
                    return ForkID(_to_bytes(checksum), fork)
                checksum = _extend(checksum, fork)
        return ForkID(_to_bytes(checksum), 0)


def _above(genesis: int, forks: Iterable[int]) -> list[int]:
    return sorted({fork for fork in forks if fork > genesis})


def _extend(checksum: int, fork: int) -> int:
    return crc32(fork.to_bytes(8, "big"), checksum)


def _to_bytes(checksum: int) -> bytes:
    return checksum.to_bytes(4, "big")


class ForkFilter:
    """Decides by fork id whether a node may be of our chain."""

    def __init__(self, chain: Chain) -> None:
        self._block_forks, self._time_forks = chain.forks()
        self._forks = self._block_forks + self._time_forks
        checksum = crc32(chain.genesis_hash)
        self._checksums = [_to_bytes(checksum)]
        for fork in self._forks:
            checksum = _extend(checksum, fork)
            self._checksums.append(_to_bytes(checksum))

    def check(self, remote: ForkID, head: int, time: int) -> None:
        """
        Apply the rules of EIP-2124, "Validation rules".

        A node whose chain's state is not known, as one that only discovers, asks with C{head} and C{time} 0, which lets
        all of the same chain pass.

        @param head: the number of our newest block.
        @param time: its unix time.
        @raise RemoteStale: the remote node needs an update.
        @raise LocalIncompatible: another chain, or we need an update.
        """
        passed = self._passed(head, time)
        if remote.checksum == self._checksums[passed]:
            self._check_same(remote, passed, head, time)
        elif remote.checksum in self._checksums[:passed]:  # rule 2: it is syncing, if it knows what comes next
            if self._forks[self._checksums.index(remote.checksum)] != remote.next:
                raise RemoteStale("remote needs update", remote)
        elif remote.checksum not in self._checksums[passed:]:  # rule 3: we are syncing; rule 4: different chains
            raise LocalIncompatible("local incompatible or needs update", remote)

    def _passed(self, head: int, time: int) -> int:
        """How many forks are behind us. As soon as one is not, no later one counts: a time says nothing before."""
        for index, fork in enumerate(self._forks):
            if (head if index < len(self._block_forks) else time) < fork:
                return index
        return len(self._forks)

    def _check_same(self, remote: ForkID, passed: int, head: int, time: int) -> None:
        """
        Rules 1a and 1b: both are between the same forks, and what it announces must not be one we have passed unaware.

        Its number is a time if our own next fork would be one, or if it is too large for a block number.
        """
        by_time = passed >= len(self._block_forks) and bool(self._time_forks)
        reached, following = time if by_time else head, remote.next
        if following > 0 and (reached >= following or (following > TIME_THRESHOLD and time >= following)):
            raise LocalIncompatible("local incompatible or needs update", remote)


# Figures from go-ethereum 1.17.10 (2026-10-23); tests.interop.interop_networks compares them.

MAINNET = Chain(
    "mainnet",
    bytes.fromhex("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"),
    0,
    (
        1_150_000,  # Homestead
        1_920_000,  # DAO
        2_463_000,  # Tangerine Whistle
        2_675_000,  # Spurious Dragon
        4_370_000,  # Byzantium
        7_280_000,  # Constantinople, Petersburg
        9_069_000,  # Istanbul
        9_200_000,  # Muir Glacier
        12_244_000,  # Berlin
        12_965_000,  # London
        13_773_000,  # Arrow Glacier
        15_050_000,  # Gray Glacier
    ),
    (
        1681338455,  # Shanghai
        1710338135,  # Cancun
        1746612311,  # Prague
        1764798551,  # Osaka
        1765290071,  # BPO1
        1767747671,  # BPO2
    ),
)
SEPOLIA = Chain(
    "sepolia",
    bytes.fromhex("25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9"),
    1633267481,
    (1735371,),  # the network split at the merge
    (1677557088, 1706655072, 1741159776, 1760427360, 1761017184, 1761607008, 1791294816),  # Shanghai to Amsterdam
)
HOODI = Chain(
    "hoodi",
    bytes.fromhex("bbe312868b376a3001692a646dd2d7d1e4406380dfd86b98aa8a34d1557c971b"),
    1742212800,
    (),
    (1742999832, 1761677592, 1762365720, 1762955544),  # Prague to BPO2
)

#: The public chains, by name.
CHAINS = {chain.name: chain for chain in (MAINNET, SEPOLIA, HOODI)}
