"""
Tests for L{devp2p_tx.core.enr.loopback}.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.entries import IP, IP6, UDP
from devp2p_tx.core.enr.local import LocalRecord, Source
from devp2p_tx.core.enr.loopback import LoopbackRecord
from devp2p_tx.core.enr.record import Record

ELSEWHERE = [ip_address(text) for text in ("34.1.1.1", "10.1.2.3", "2a00::1", "fd00::1", "169.254.1.1")]
HERE = [(ip_address("127.0.0.1"), IP), (ip_address("127.9.9.9"), IP), (ip_address("::1"), IP6)]


class LoopbackRecordTests(SynchronousTestCase):
    """Our record for nodes on loopback and elsewhere."""

    def setUp(self) -> None:
        self.local = LocalRecord(PrivateKey((7).to_bytes(32, "big")), 1000)
        self.local.offer(Source.INTERFACE, 4, None, 30303, 30303)
        self.own = LoopbackRecord(self.local)

    def test_without_address(self) -> None:
        """It has the loopback address of the family on loopback alone, the same number, and all other entries."""
        plain = self.local.record(2000)
        for host in ELSEWHERE:
            self.assertIs(self.own.record_for(host, 2000), plain)
        for host, entry in HERE:
            record = Record.decode(self.own.record_for(host, 2000).encoded)
            self.assertEqual(str(record.get(entry)), "127.0.0.1" if entry is IP else "::1")
            self.assertEqual((record.seq, record.get(UDP)), (plain.seq, 30303))
            self.assertEqual(set(record.values) - set(plain.values), {entry.key})
            self.assertIs(self.own.record_for(host, 2000), self.own.record_for(host, 2000))

    def test_with_address(self) -> None:
        """A record that has an address in any family is the same for everybody."""
        for family, address in ((6, "2a00::5"), (4, "10.0.0.5")):
            self.local.offer(Source.FLAG, family, ip_address(address))
            for host in (*ELSEWHERE, *(each for each, _ in HERE)):
                self.assertIs(self.own.record_for(host, 3000), self.local.record(3000))
            self.local.offer(Source.FLAG, family)

    def test_changed(self) -> None:
        """What changes in the record changes for nodes on loopback, too."""
        (host, _), *_ = HERE
        before = self.own.record_for(host, 2000)
        self.local.offer(Source.INTERFACE, 4, None, 30303, 30304)
        after = self.own.record_for(host, 3000)
        self.assertEqual((after.seq, after.get(UDP)), (before.seq + 1, 30304))
