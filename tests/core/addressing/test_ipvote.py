"""
Tests for L{devp2p_tx.core.addressing.ipvote}; the scripts are go-ethereum's, C{p2p/netutil/iptrack_test.go}, in
seconds.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.ipvote import EndpointVotes, ExternalEndpoint

US = ExternalEndpoint(ip_address("127.0.0.1"), 8000)
OTHER = ExternalEndpoint(ip_address("127.0.0.1"), 8001)


def host(number: int) -> IPv4Address:
    """A host that has an opinion."""
    return IPv4Address(0x7F000000 + number)


class VoteTests(SynchronousTestCase):
    """Predictions."""

    def setUp(self) -> None:
        """Three votes within ten seconds."""
        self.votes = EndpointVotes(window=10, contact_window=10, minimum=3)

    def test_minimum(self) -> None:
        """Three hosts must agree."""
        self.assertIsNone(self.votes.prediction(0))
        self.votes.add_statement(host(2), US, 0)
        self.assertIsNone(self.votes.prediction(1))
        self.votes.add_statement(host(3), US, 1)
        self.assertIsNone(self.votes.prediction(1))
        self.votes.add_statement(host(4), US, 1)
        self.assertEqual(self.votes.prediction(1), US)

    def test_window(self) -> None:
        """A statement counts for ten seconds, and no longer."""
        for number, now in ((2, 0), (3, 2), (4, 3)):
            self.votes.add_statement(host(number), US, now)
        self.assertEqual(self.votes.prediction(10), US)
        self.assertIsNone(self.votes.prediction(10.001))
        self.votes.add_statement(host(2), US, 10.1)
        self.assertEqual(self.votes.prediction(10.2), US)

    def test_one_host_one_vote(self) -> None:
        """Whatever a host says and how often, it is counted once, and lastly."""
        for now in range(5):
            self.votes.add_statement(host(2), US, now)
        self.assertIsNone(self.votes.prediction(5))
        for number in (3, 4):
            self.votes.add_statement(host(number), US, 5)
        self.assertEqual(self.votes.prediction(5), US)
        self.votes.add_statement(host(2), OTHER, 5)
        self.assertIsNone(self.votes.prediction(5))

    def test_repetition_renews(self) -> None:
        """Who repeats a statement is heard for another ten seconds."""
        for number in (2, 3, 4):
            self.votes.add_statement(host(number), US, 0)
        for number in (2, 3, 4):
            self.votes.add_statement(host(number), US, 8)
        self.assertEqual(self.votes.prediction(18), US)

    def test_majority(self) -> None:
        """The endpoint with more votes leads; of equals the one that led."""
        for number in (1, 2, 3):
            self.votes.add_statement(host(number), US, 0)
        for number in (4, 5, 6):
            self.votes.add_statement(host(number), OTHER, 1)
        self.assertEqual(self.votes.prediction(1), US)
        self.votes.add_statement(host(7), OTHER, 1)
        self.assertEqual(self.votes.prediction(1), OTHER)
        self.votes.add_statement(host(7), US, 1)
        self.assertEqual(self.votes.prediction(1), US)

    def test_equals_after_a_loss(self) -> None:
        """A leader that falls back to a tie goes on leading: the prediction does not flap."""
        for number in (1, 2, 3):
            self.votes.add_statement(host(number), OTHER, 0)
        for number in (4, 5, 6, 7):
            self.votes.add_statement(host(number), US, 0)
        self.votes.add_statement(host(7), ExternalEndpoint(US.ip, 1), 0)
        self.assertEqual(self.votes.prediction(0), US)

    def test_second_follows(self) -> None:
        """When the leader's votes expire the next one leads."""
        for number in (1, 2, 3, 4):
            self.votes.add_statement(host(number), US, 0)
        for number in (5, 6, 7):
            self.votes.add_statement(host(number), OTHER, 5)
        self.assertEqual(self.votes.prediction(5), US)
        self.assertEqual(self.votes.prediction(11), OTHER)
        self.assertIsNone(self.votes.prediction(16))

    def test_full_cone(self) -> None:
        """Only hosts that we had contacted before know us."""
        for number, now in ((2, 0), (3, 2), (4, 3)):
            self.votes.add_contact(host(number), now)
            self.votes.add_statement(host(number), US, now + 0.01)
        self.assertFalse(self.votes.is_full_cone(3.5))

    def test_full_cone_2(self) -> None:
        """A host reached us before we contacted it."""
        for number, now in ((2, 0), (3, 2)):
            self.votes.add_contact(host(number), now)
            self.votes.add_statement(host(number), US, now + 0.01)
        self.votes.add_statement(host(4), US, 3)
        self.votes.add_contact(host(4), 3.01)
        self.assertTrue(self.votes.is_full_cone(3.5))

    def test_contacts_expire(self) -> None:
        """A contact is forgotten after its own window."""
        votes = EndpointVotes(window=100, contact_window=10)
        votes.add_contact(host(2), 0)
        votes.add_statement(host(2), US, 5)
        self.assertFalse(votes.is_full_cone(10))
        self.assertTrue(votes.is_full_cone(10.001))

    def test_forced_collection(self) -> None:
        """Nobody asks for a prediction, yet the past is forgotten (TestIPTrackerForceGC)."""
        votes = EndpointVotes(window=10, contact_window=10, max_hosts=10**6)
        for number in range(1000):
            votes.add_statement(host(number), ExternalEndpoint(host(number), 9000), number * 0.05)
            votes.add_contact(host(number), number * 0.05)
        self.assertEqual(len(votes._statements), 201)
        self.assertEqual(len(votes._contacts), 201)
        self.assertEqual(len(votes._votes), 201)

    def test_bound(self) -> None:
        """Strangers cannot make it grow: the oldest statement goes."""
        votes = EndpointVotes(minimum=1, max_hosts=5)
        votes.add_statement(host(0), US, 0)
        for number in range(1, 6):
            self.assertEqual(votes.prediction(0), US)
            votes.add_statement(host(number), ExternalEndpoint(host(number), 1), 0)
            votes.add_contact(host(number), 0)
        votes.add_contact(host(9), 0)
        self.assertNotEqual(votes.prediction(0), US)
        self.assertEqual((len(votes._statements), len(votes._contacts), len(votes._votes)), (5, 5, 5))
