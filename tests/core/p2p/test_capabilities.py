"""
Tests for L{devp2p_tx.core.p2p.capabilities}.

The first eight tables are the cases of go-ethereum C{p2p/peer_test.go}, C{TestMatchProtocols}, with lengths added.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.p2p.capabilities import match
from devp2p_tx.core.p2p.messages import Cap


@dataclass(frozen=True)
class Ours:
    """What we can speak."""

    name: str
    version: int
    length: int


def matched(ours: str, theirs: str) -> str:
    """
    Who gets which code, in words.

    @param ours: as C{name/version:length}, among white space.
    @param theirs: as C{name/version}, likewise.
    @return: as C{name/version@offset}, likewise.
    """
    local = []
    for word in ours.split():
        cap, length = word.split(":")
        name, version = cap.split("/")
        local.append(Ours(name, int(version), int(length)))
    remote = [Cap(name, int(version)) for name, version in (word.split("/") for word in theirs.split())]
    matches = match(local, remote)
    return " ".join(f"{found.capability.name}/{found.capability.version}@{found.offset}" for found in matches)


class MatchTests(SynchronousTestCase):
    """Tables of what both sides offer."""

    def test_nothing_shared(self) -> None:
        """No offers on either side, other names, other versions."""
        for ours, theirs in [("", ""), ("a/0:1", ""), ("", "a/0"), ("b/0:1", "a/0"), ("a/2:1", "a/1 a/3")]:
            self.assertEqual(matched(ours, theirs), "")

    def test_unmatched_take_no_codes(self) -> None:
        """Names that only one side knows leave no gap."""
        ours = "match1/0:3 match2/0:4 remote/0:5 aaa/0:9"
        self.assertEqual(matched(ours, "local/0 match1/0 match2/0"), "match1/0@16 match2/0@19")

    def test_alphabetical(self) -> None:
        """Codes are handed out by name, whatever the order of the offers."""
        for theirs in ("aa/0 ab/0 bb/0 ba/0", "bb/0 ba/0 aa/0 ab/0"):
            self.assertEqual(matched("ba/0:1 bb/0:1 ab/0:1 aa/0:1", theirs), "aa/0@16 ab/0@17 ba/0@18 bb/0@19")

    def test_case_and_prefixes(self) -> None:
        """Names are compared as they are: capitals first, short ones before those they begin."""
        self.assertEqual(matched("eth/1:1 ETH/1:1 et/1:1 Eth/1:1", "eth/1 ETH/1 et/1"), "ETH/1@16 et/1@17 eth/1@18")

    def test_highest_common_version(self) -> None:
        """Of several versions the highest that both have, in whatever order they are named."""
        self.assertEqual(matched("a/2:1 a/3:1", "a/1 a/2"), "a/2@16")
        self.assertEqual(matched("a/2:1 a/3:1", "a/1 a/2 a/3 a/4"), "a/3@16")
        self.assertEqual(matched("a/2:1 a/3:1 a/1:1", "a/4 a/1 a/3 a/2"), "a/3@16")
        self.assertEqual(matched("a/10:1 a/9:1", "a/9 a/10"), "a/10@16")

    def test_lengths_of_losers(self) -> None:
        """A version that lost takes no codes, be it longer or shorter than the one that won."""
        self.assertEqual(matched("a/1:1 a/2:2 a/3:3 b/0:1", "a/1 a/2 a/3 b/0"), "a/3@16 b/0@19")
        self.assertEqual(matched("a/1:9 a/2:5 b/0:1", "a/1 a/2 b/0"), "a/2@16 b/0@21")
        self.assertEqual(matched("a/1:9 a/2:5 b/0:1", "a/1 b/0"), "a/1@16 b/0@25")

    def test_duplicates(self) -> None:
        """What a peer says twice counts once."""
        self.assertEqual(matched("a/1:3 b/1:1", "a/1 b/1 a/1 b/1 a/1"), "a/1@16 b/1@19")

    def test_as_in_the_field(self) -> None:
        """An Ethereum node of today meets one of yesterday."""
        ours = "eth/68:17 eth/69:18 snap/1:8 les/4:23"
        self.assertEqual(matched(ours, "eth/66 eth/67 eth/68 snap/1"), "eth/68@16 snap/1@33")
        self.assertEqual(matched(ours, "eth/68 eth/69 eth/70 snap/1"), "eth/69@16 snap/1@34")

    @given(
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=9),
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), unique=True, max_size=9),
    )
    def test_both_sides_agree(self, first: list[tuple[str, int]], second: list[tuple[str, int]]) -> None:
        """Whoever of the two does the sum, and in which order, the codes are the same."""

        def length(cap: tuple[str, int]) -> int:
            return 1 + cap[1] + ord(cap[0]) % 7

        ours = [Ours(*cap, length(cap)) for cap in first]
        theirs = [Ours(*cap, length(cap)) for cap in reversed(second)]
        one = match(ours, [Cap(*cap) for cap in second])
        other = match(theirs, [Cap(*cap) for cap in first])
        self.assertEqual(one, other)
        ends = [16] + [found.offset + found.capability.length for found in one]
        self.assertEqual([found.offset for found in one], ends[:-1])
