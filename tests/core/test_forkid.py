"""
Tests for L{devp2p_tx.core.forkid}.

C{vectors/forkid.json} names its origin. Its rows: [chain, head, time, checksum, next] for what is announced, the same
and the error for what is accepted.
"""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.enr.entries import ETH
from devp2p_tx.core.forkid import (
    CHAINS,
    HOODI,
    MAINNET,
    SEPOLIA,
    TIME_THRESHOLD,
    Chain,
    ForkFilter,
    ForkID,
    ForkMismatch,
    LocalIncompatible,
    RemoteStale,
)
from devp2p_tx.errors import InvalidRLP
from tests.vectors import load

VECTORS = load("forkid")
ALL_CHAINS = {**CHAINS, "mainnet without time forks": replace(MAINNET, time_forks=())}


def verdict(chain: Chain, remote: ForkID, head: int, time: int) -> str | None:
    """The name of the error, C{None} if the remote is accepted."""
    try:
        ForkFilter(chain).check(remote, head, time)
    except ForkMismatch as error:
        return type(error).__name__
    return None


class VectorTests(SynchronousTestCase):
    """The published vectors."""

    def test_creation(self) -> None:
        """What each public chain announces at and around each of its forks."""
        self.assertEqual(len(VECTORS["creation"]), 66)
        for chain, head, time, checksum, following in VECTORS["creation"]:
            expected = ForkID(bytes.fromhex(checksum), following)
            self.assertEqual(CHAINS[chain].fork_id(head, time), expected, (chain, head, time))

    def test_validation(self) -> None:
        """Whom mainnet accepts."""
        self.assertEqual(len(VECTORS["validation"]), 45)
        for row in VECTORS["validation"]:
            chain, head, time, checksum, following, error = row
            remote = ForkID(bytes.fromhex(checksum), following)
            self.assertEqual(verdict(ALL_CHAINS[chain], remote, head, time), error, row)

    def test_encoding(self) -> None:
        """The bytes of fork ids."""
        for checksum, following, encoded in VECTORS["encoding"]:
            fork_id = ForkID(bytes.fromhex(checksum), following)
            self.assertEqual(rlp.encode(fork_id.to_item()).hex(), encoded)
            self.assertEqual(ForkID.from_item(rlp.decode(bytes.fromhex(encoded))), fork_id)


class ChainTests(SynchronousTestCase):
    """Which forks count."""

    def test_timeForkInGenesis(self) -> None:
        """Time forks before or at genesis count for nothing (go-ethereum: TestTimeBasedForkInGenesis)."""
        genesis_time, genesis_hash = 1690475657, bytes(range(32))
        checksum = crc32(genesis_hash).to_bytes(4, "big")
        for shift in (-1, 0, 1):
            chain = Chain("test", genesis_hash, genesis_time, (0, 0), (genesis_time + shift, genesis_time + 1))
            self.assertEqual(chain.fork_id(0, genesis_time), ForkID(checksum, genesis_time + 1))

    def test_amsterdam(self) -> None:
        """Sepolia since 2026-10-06, whose nodes one accepts that has synced, and one that only discovers."""
        now = ForkID(bytes.fromhex("6c1d9423"), 0)
        self.assertEqual(SEPOLIA.fork_id(10_000_000, 1791294816), now)
        self.assertIsNone(verdict(SEPOLIA, now, 10_000_000, 1791294816))
        self.assertIsNone(verdict(SEPOLIA, now, 0, 0))

    def test_repeatedForks(self) -> None:
        """Forks in any order, and several at one block, make the same id."""
        messy = replace(MAINNET, block_forks=MAINNET.block_forks[::-1] * 2 + (0,), time_forks=MAINNET.time_forks * 2)
        self.assertEqual(messy.fork_id(20_000_000, 1700000000), MAINNET.fork_id(20_000_000, 1700000000))

    def test_timeBeforeLastBlockFork(self) -> None:
        """A time fork does not pass while a block fork is ahead, whatever the time."""
        self.assertEqual(MAINNET.fork_id(0, 2000000000).next, 1_150_000)


class FilterTests(SynchronousTestCase):
    """Whom we accept, beyond the vectors."""

    def test_withoutState(self) -> None:
        """One that only discovers accepts each state of its chain, and no other chain."""
        for chain in CHAINS.values():
            for other, head, time, checksum, following in VECTORS["creation"]:
                remote = ForkID(bytes.fromhex(checksum), following)
                expected = None if other == chain.name else "LocalIncompatible"
                self.assertEqual(verdict(chain, remote, 0, 0), expected, (chain.name, other, head, time))

    def test_allForksPassed(self) -> None:
        """With no fork ahead, one that the remote announces in our past is one we missed, one in the future is not."""
        ours = HOODI.fork_id(10**9, 2 * 10**9)
        self.assertIsNone(verdict(HOODI, ours._replace(next=3 * 10**9), 10**9, 2 * 10**9))
        self.assertEqual(verdict(HOODI, ours._replace(next=2 * 10**9), 10**9, 2 * 10**9), "LocalIncompatible")

    def test_block_or_time(self) -> None:
        """
        The two halves of rule 1a: the next fork that is announced has passed by its block, or, if its number can only
        be a time, by its time. A number that may be a block's is not compared with the time.
        """
        head, time = 14_000_000, 1660000000
        ours = MAINNET.fork_id(head, time)
        for following, expected in (
            (head, "LocalIncompatible"),
            (head + 1, None),
            (TIME_THRESHOLD, None),
            (TIME_THRESHOLD + 1, "LocalIncompatible"),
            (time, "LocalIncompatible"),
            (time + 1, None),
        ):
            self.assertEqual(verdict(MAINNET, ours._replace(next=following), head, time), expected, following)

    @given(st.sampled_from(sorted(CHAINS)), st.integers(0, 2**26), st.integers(0, 2**32), st.integers(0, 2**32))
    def test_sameProgram(self, name: str, head: int, time: int, other_time: int) -> None:
        """Two nodes that know the same forks accept each other, however far either has synced."""
        chain = CHAINS[name]
        self.assertIsNone(verdict(chain, chain.fork_id(head, other_time), 2**27, time))
        self.assertIsNone(verdict(chain, chain.fork_id(2**27, time), head, other_time))

    def test_errors(self) -> None:
        """Both kinds of mismatch can be caught as one."""
        self.assertTrue(issubclass(RemoteStale, ForkMismatch) and issubclass(LocalIncompatible, ForkMismatch))


class EntryTests(SynchronousTestCase):
    """The C{eth} entry of a node record."""

    def test_roundTrip(self) -> None:
        """What we announce is read back as a fork id."""
        fork_id = ForkID(b"\xdc\xe9\x6c\x2d", 1710338135)
        self.assertEqual(ETH.decode(rlp.decode(rlp.encode(ETH.encode(fork_id)))), fork_id)

    def test_more(self) -> None:
        """Further elements are ignored."""
        self.assertEqual(ETH.decode([[b"abcd", b""], b"more", [b""]]), ForkID(b"abcd", 0))

    def test_malformed(self) -> None:
        """Anything else is no entry, nor is a fork id of another shape."""
        for item in (b"", [], [b"abcd"], [b"abc", b""], [b"abcd", b"\0"], [b"abcd", b"", b""]):
            self.assertRaises(InvalidRLP, ForkID.from_item, item)
        malformed: list[rlp.Item] = [b"", [], [b"abcd"], [[]], [[b"abcd"]], [[b"abc", b""]], [[b"abcd", b"\0\1"]]]
        malformed += [[[b"abcd", []]], [[b"abcd", b"\1" * 9]], [[b"abcd", b"", b""]]]
        for value in malformed:
            self.assertRaises(InvalidRLP, ETH.decode, value)
