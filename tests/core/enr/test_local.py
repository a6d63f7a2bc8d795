"""
Tests for L{devp2p_tx.core.enr.local}.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr import entries
from devp2p_tx.core.enr.endpoints import preferred_endpoint
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.record import Record
from devp2p_tx.core.ipvote import MIN_STATEMENTS, WINDOW, ExternalEndpoint
from devp2p_tx.errors import LocalProtocolError

KEY = PrivateKey(b"\1" * 32)
START = 1_700_000_000_000
X = entries.port(b"x")
FALLBACK = ip_address("127.0.0.1")
PREDICTED = ExternalEndpoint(ip_address("127.0.1.2"), 81)


class SeqTests(SynchronousTestCase):
    """The sequence number."""

    def setUp(self) -> None:
        """A node's first start."""
        self.stored: list[int] = []
        self.local = LocalRecord(KEY, START, None, self.stored.append)

    def test_first(self) -> None:
        """Unix milliseconds, and one for the signing."""
        record = self.local.record(START)
        self.assertEqual(record.seq, START + 1)
        self.assertEqual(Record.decode(record.encoded).node_id, self.local.node_id)
        self.assertEqual(self.stored, [START + 1])

    def test_unchanged(self) -> None:
        """Asking costs nothing."""
        record = self.local.record(START)
        self.assertIs(self.local.record(START + 1000), record)
        self.assertEqual(self.stored, [START + 1])

    def test_equal_value(self) -> None:
        """Setting what is there already changes nothing."""
        self.local.set(X, 3)
        record = self.local.record(START)
        self.local.set(X, 3)
        self.local.delete(entries.SNAP)
        self.assertIs(self.local.record(START + 1), record)

    def test_change(self) -> None:
        """Several changes cost one number, and only when someone asks."""
        first = self.local.record(START)
        self.local.set(X, 3)
        self.local.set(X, 4)
        self.local.set(entries.SNAP, True)
        self.assertEqual(self.local.seq, first.seq)
        second = self.local.record(START + 1)
        self.assertEqual(second.seq, first.seq + 1)
        self.assertEqual((second.get(X), second.get(entries.SNAP)), (4, True))
        self.local.delete(X)
        third = self.local.record(START + 2)
        self.assertEqual((third.seq, third.get(X)), (first.seq + 2, None))
        self.assertEqual(self.stored, [START + 1, START + 2, START + 3])

    def test_zero_is_a_value(self) -> None:
        """A zero can be set, replaced and deleted."""
        self.local.set(X, 0)
        self.assertEqual(self.local.record(START).get(X), 0)
        self.local.delete(X)
        self.assertIsNone(self.local.record(START + 1).get(X))

    def test_not_faster_than_the_clock(self) -> None:
        """A change in the millisecond of a signing has to wait; a clock that goes backwards is no reason to."""
        first = self.local.record(START)
        self.local.set(X, 1)
        self.assertIs(self.local.record(START), first)
        self.assertEqual(self.local.record(START + 1).seq, first.seq + 1)
        self.local.set(X, 2)
        self.assertEqual(self.local.record(START - 5000).get(X), 2)

    def test_restart(self) -> None:
        """The stored number goes on, since the new start's entries may be others."""
        seq = self.local.record(START).seq
        again = LocalRecord(KEY, START + 99999, self.stored[-1], self.stored.append)
        self.assertEqual(again.record(START + 99999).seq, seq + 1)

    def test_too_big(self) -> None:
        """What does not fit is refused at once, leaving room for endpoints not yet known."""
        blob = entries.raw(b"blob")
        self.assertRaises(LocalProtocolError, self.local.set, blob, bytes(140))
        self.assertRaises(LocalProtocolError, self.local.set, X, 65536)
        self.local.set(blob, bytes(110))
        self.local.set_static_ip(ip_address("1.2.3.4"))
        self.local.set_static_ip(ip_address("2a00::1"))
        self.local.set_fallback_udp(65535)
        self.assertLessEqual(len(self.local.record(START).encoded), 300)


class EndpointTests(SynchronousTestCase):
    """What the record says of where we are."""

    def setUp(self) -> None:
        """A node that knows nothing of where it is."""
        self.local = LocalRecord(KEY, START)
        self.ms = START

    def read(self) -> Record:
        """The record of a later millisecond."""
        self.ms += 1
        return self.local.record(self.ms)

    def endpoint(self) -> tuple[str | None, int]:
        """Preferred address and UDP port."""
        endpoint = preferred_endpoint(self.read())
        return None if endpoint.ip is None else str(endpoint.ip), endpoint.udp

    def state(self, endpoint: ExternalEndpoint, hosts: int, now: float = 0.0, first: int = 1) -> None:
        """Statements by different hosts."""
        for number in range(first, first + hosts):
            self.local.add_statement(ip_address(f"5.5.5.{number}"), endpoint, now)

    def test_precedence(self) -> None:
        """go-ethereum p2p/enode/localnode_test.go, TestLocalNodeEndpoint: fallback, then prediction, then static."""
        self.assertEqual(self.endpoint(), (None, 0))
        seq = self.local.seq
        self.local.set_fallback_ip(FALLBACK)
        self.local.set_fallback_udp(80)
        self.assertEqual(self.endpoint(), ("127.0.0.1", 80))
        self.assertEqual(self.local.seq, seq + 1)
        for number in range(MIN_STATEMENTS):
            self.assertEqual(self.endpoint(), ("127.0.0.1", 80))
            self.state(PREDICTED, 1, first=number)
        self.assertEqual(self.endpoint(), ("127.0.1.2", 81))
        self.assertEqual(self.local.seq, seq + 2)
        self.local.set_static_ip(ip_address("127.0.1.2"))
        self.assertEqual(self.endpoint(), ("127.0.1.2", 80))
        self.assertEqual(self.local.seq, seq + 3)
        self.local.clear_static_ip(4)
        self.assertEqual(self.endpoint(), ("127.0.1.2", 81))

    def test_prediction_ends(self) -> None:
        """Old statements do not count; this is seen with the next one."""
        self.local.set_fallback_ip(FALLBACK)
        self.local.set_fallback_udp(80)
        self.state(PREDICTED, MIN_STATEMENTS)
        self.state(PREDICTED, 1, now=WINDOW + 1)
        self.assertEqual(self.endpoint(), ("127.0.0.1", 80))

    def test_contact_updates_too(self) -> None:
        """Packets that we send let time pass as well."""
        self.local.set_fallback_ip(FALLBACK)
        self.state(PREDICTED, MIN_STATEMENTS)
        self.local.add_contact(ip_address("6.6.6.6"), WINDOW + 1)
        self.assertEqual(self.endpoint(), ("127.0.0.1", 0))

    def test_families(self) -> None:
        """IPv6 is predicted apart, and has a port entry of its own only where it differs."""
        v6 = ip_address("2a00::1")
        self.local.set_fallback_ip(FALLBACK)
        self.local.set_fallback_udp(80)
        self.state(ExternalEndpoint(v6, 80), MIN_STATEMENTS)
        record = self.read()
        self.assertEqual((record.get(entries.IP), record.get(entries.UDP)), (FALLBACK, 80))
        self.assertEqual((record.get(entries.IP6), record.get(entries.UDP6)), (v6, None))
        self.state(ExternalEndpoint(v6, 90), MIN_STATEMENTS)
        record = self.read()
        self.assertEqual((record.get(entries.UDP), record.get(entries.UDP6)), (80, 90))

    def test_unspecified(self) -> None:
        """An unspecified address is none."""
        self.local.set_static_ip(ip_address("1.2.3.4"))
        self.local.set_static_ip(ip_address("0.0.0.0"))
        self.local.set_static_ip(ip_address("::"))
        self.assertIsNone(self.read().get(entries.IP))
        self.assertIsNone(self.read().get(entries.IP6))

    def test_unwrapped(self) -> None:
        """IPv4 in IPv6 clothes is IPv4."""
        self.local.set_static_ip(ip_address("::ffff:1.2.3.4"))
        self.assertEqual(self.read().get(entries.IP), ip_address("1.2.3.4"))
        self.assertIsNone(self.read().get(entries.IP6))

    def test_full_cone(self) -> None:
        """The guess is made, and changes nothing."""
        self.state(PREDICTED, 1)
        self.assertTrue(self.local.is_full_cone(4, 0.0))
        self.assertFalse(self.local.is_full_cone(6, 0.0))
        record = self.read()
        self.local.add_contact(ip_address("5.5.5.1"), 0.0)
        self.assertFalse(self.local.is_full_cone(4, 0.0))
        self.assertIs(self.read(), record)
