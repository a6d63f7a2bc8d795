"""
Tests for L{devp2p_tx.node.forks}.
"""

from __future__ import annotations

from ipaddress import ip_address
from zlib import crc32

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.forkid import CHAINS, MAINNET, ForkFilter, ForkID, LocalIncompatible
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import CapabilityFailed, Timeout
from devp2p_tx.node.forks import MAX_IDS, MAX_NETWORKS, MIN_NETWORKS, ForkTally, checksums

OURS = MAINNET.fork_id(30_000_000, 2_000_000_000)
#: What mainnet's next fork, of which we know nothing, would make of it.
NEXT = ForkID(crc32((1_900_000_000).to_bytes(8, "big"), int.from_bytes(OURS.checksum, "big")).to_bytes(4, "big"), 0)


class TallyTests(SynchronousTestCase):
    """L{ForkTally}."""

    def setUp(self) -> None:
        self.metrics = Metrics()
        self.tally = ForkTally(MAINNET, self.metrics)

    def note(self, fork: ForkID, *addresses: str) -> None:
        """Nodes at these addresses were found."""
        for address in addresses:
            if fork == OURS:
                self.tally.fits(ip_address(address), fork)
            else:
                self.tally.refused(ip_address(address), fork, "candidate")

    def test_checksums(self) -> None:
        """Of all chains those that the filters know."""
        for chain in CHAINS.values():
            self.assertEqual(checksums(chain), set(ForkFilter(chain)._checksums), chain.name)

    def test_outdated(self) -> None:
        """If most networks are at a fork id that we do not know, it says so, and which."""
        self.note(NEXT, *(f"34.1.{number}.1" for number in range(6)))
        self.note(OURS, *(f"34.2.{number}.1" for number in range(2)))
        self.assertEqual(
            self.tally.trouble,
            f"most nodes found are at fork id {NEXT.checksum.hex()}, which this version does not know: upgrade",
        )

    def test_not_most(self) -> None:
        """Half of them is not most, and seven networks are too few."""
        self.note(NEXT, *(f"34.1.{number}.1" for number in range(7)))
        self.assertIsNone(self.tally.trouble)
        self.note(OURS, *(f"34.2.{number}.1" for number in range(7)))
        self.assertIsNone(self.tally.trouble)
        self.note(NEXT, "34.1.7.1")
        self.assertIsNotNone(self.tally.trouble)
        self.assertEqual(MIN_NETWORKS, 8)

    def test_known(self) -> None:
        """An id that we know, of another chain of ours or an old one of our own, is no reason to upgrade."""
        for fork in (CHAINS["sepolia"].fork_id(0, 0), MAINNET.fork_id(0, 0)):
            tally = ForkTally(MAINNET, self.metrics)
            for number in range(20):
                tally.refused(ip_address(f"34.1.{number}.1"), fork, "candidate")
            self.assertIsNone(tally.trouble)

    def test_one_network_counts_once(self) -> None:
        """However many keys a stranger has there, and with what it said last; in both families."""
        self.note(NEXT, *(f"34.1.1.{number}" for number in range(200)))
        self.note(NEXT, *(f"2a00:1:1:{number}::1" for number in range(200)))
        self.assertIsNone(self.tally.trouble)
        self.note(NEXT, *(f"2a00:1:{number}::1" for number in range(2, 9)))
        self.assertIsNotNone(self.tally.trouble)
        self.note(OURS, *(f"2a00:1:{number}::5" for number in range(2, 9)))
        self.assertIsNone(self.tally.trouble)

    def test_counted_by_id(self) -> None:
        """Each id has its counter, up to 32 of them; then they are counted together."""
        for number in range(100):
            fork = ForkID(number.to_bytes(4, "big"), 0)
            for _ in range(2):
                self.tally.refused(None, fork, "candidate")
        counts = {dict(labels)["id"]: value for name, labels, value in self.metrics if name == "fork_refused"}
        self.assertEqual((len(counts), MAX_IDS), (33, 32))
        self.assertEqual((counts["00000000"], counts["0000001f"], counts["other"]), (2, 2, 136))

    def test_bound(self) -> None:
        """No more than 1,024 networks are remembered; the oldest are forgotten."""
        for number in range(3000):
            self.note(OURS, f"34.{number // 256}.{number % 256}.1")
        self.assertEqual((len(self.tally._byNetwork), MAX_NETWORKS), (1024, 1024))

    def test_peers(self) -> None:
        """Peers that are dropped for their fork id are counted, also where a capability found that out; others not."""
        error = LocalIncompatible("local incompatible or needs update", NEXT)
        for reason in (error, CapabilityFailed("eth/69", error), Timeout("x"), LocalIncompatible("x")):
            self.tally.dropped(ip_address("34.1.1.1"), reason)
        self.assertEqual(self.metrics.value("fork_refused", id=NEXT.checksum.hex(), where="peer"), 2)
        with self.assertRaises(LocalIncompatible) as raised:
            ForkFilter(MAINNET).check(NEXT, 0, 0)
        self.assertEqual(raised.exception.remote, NEXT)
