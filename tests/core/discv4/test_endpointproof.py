"""
Tests for L{devp2p_tx.core.discv4.endpointproof}.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.discv4.endpointproof import LIFETIME, MAX_FAILURES, EndpointProofs

NODE, OTHER = b"\1" * 32, b"\2" * 32
IP, ELSEWHERE = ip_address("99.1.1.1"), ip_address("99.1.1.2")
NOW = 1_700_000_000.0


class ProofTests(SynchronousTestCase):
    """Both directions."""

    def setUp(self) -> None:
        """Nobody has proved anything."""
        self.proofs = EndpointProofs()

    def test_theirs(self) -> None:
        """A PONG proves a node at an address, for a day."""
        self.assertFalse(self.proofs.is_proved(NODE, IP, NOW))
        self.proofs.pong_received(NODE, IP, NOW)
        self.assertTrue(self.proofs.is_proved(NODE, IP, NOW + LIFETIME - 1))
        self.assertFalse(self.proofs.is_proved(NODE, IP, NOW + LIFETIME))
        self.assertEqual(self.proofs.last_pong(NODE, IP), NOW)

    def test_node_and_address(self) -> None:
        """Another node there, or that node elsewhere, is not proved."""
        self.proofs.pong_received(NODE, IP, NOW)
        self.assertFalse(self.proofs.is_proved(OTHER, IP, NOW))
        self.assertFalse(self.proofs.is_proved(NODE, ELSEWHERE, NOW))

    def test_ours(self) -> None:
        """A PING lets us suppose that we are proved, for a day."""
        self.assertTrue(self.proofs.should_prove(NODE, IP, NOW))
        self.proofs.ping_received(NODE, IP, NOW)
        self.assertFalse(self.proofs.should_prove(NODE, IP, NOW + LIFETIME))
        self.assertTrue(self.proofs.should_prove(NODE, IP, NOW + LIFETIME + 1))
        self.assertTrue(self.proofs.should_prove(NODE, ELSEWHERE, NOW))
        self.assertEqual(self.proofs.last_ping(NODE, IP), NOW)

    def test_directions_apart(self) -> None:
        """One is no proof of the other."""
        self.proofs.ping_received(NODE, IP, NOW)
        self.proofs.pong_received(OTHER, IP, NOW)
        self.assertFalse(self.proofs.is_proved(NODE, IP, NOW))
        self.assertTrue(self.proofs.should_prove(OTHER, IP, NOW))

    def test_failures(self) -> None:
        """Too many failures in a row mean that our proof was lost."""
        self.proofs.ping_received(NODE, IP, NOW)
        for _ in range(MAX_FAILURES):
            self.proofs.count_failure(NODE, IP)
        self.assertFalse(self.proofs.should_prove(NODE, IP, NOW))
        self.proofs.count_failure(NODE, IP)
        self.assertEqual(self.proofs.failures(NODE, IP), MAX_FAILURES + 1)
        self.assertTrue(self.proofs.should_prove(NODE, IP, NOW))
        self.proofs.clear_failures(NODE, IP)
        self.assertFalse(self.proofs.should_prove(NODE, IP, NOW))
        self.proofs.clear_failures(NODE, IP)

    def test_bound(self) -> None:
        """A flood of PINGs pushes out no proof; of proofs the stalest goes."""
        proofs = EndpointProofs(max_nodes=3)
        for number in range(3):
            proofs.pong_received(bytes([number]), IP, NOW)
        for number in range(100):
            proofs.ping_received(bytes([number]), IP, NOW)
            proofs.count_failure(bytes([number]), IP)
        self.assertTrue(all(proofs.is_proved(bytes([number]), IP, NOW) for number in range(3)))
        proofs.pong_received(b"\0", IP, NOW)
        proofs.pong_received(b"\7", IP, NOW)
        self.assertTrue(proofs.is_proved(b"\0", IP, NOW))
        self.assertFalse(proofs.is_proved(b"\1", IP, NOW))
        self.assertEqual([len(proofs._pings), len(proofs._pongs), len(proofs._failures)], [3, 3, 3])

    def test_clock_that_was_wrong(self) -> None:
        """A proof of a time to come proves nothing, however far it is ahead; nor does none, by a clock of 1970."""
        for ahead in (61, 86400, 365 * 86400):
            self.proofs.pong_received(NODE, IP, NOW + ahead)
            self.proofs.ping_received(NODE, IP, NOW + ahead)
            self.assertFalse(self.proofs.is_proved(NODE, IP, NOW))
            self.assertTrue(self.proofs.should_prove(NODE, IP, NOW))
            self.proofs.pong_received(NODE, IP, NOW)
            self.proofs.ping_received(NODE, IP, NOW)
            self.assertTrue(self.proofs.is_proved(NODE, IP, NOW))
            self.assertFalse(self.proofs.should_prove(NODE, IP, NOW))
        self.assertFalse(self.proofs.is_proved(b"\7" * 32, IP, 5.0))
        self.assertTrue(self.proofs.should_prove(b"\7" * 32, IP, 5.0))

    def test_constants(self) -> None:
        """As the documentation has them."""
        self.assertEqual((LIFETIME, MAX_FAILURES), (86400.0, 5))
