"""
Tests for L{devp2p_tx.core.addressing.ipvote}; the scripts are go-ethereum's, C{p2p/netutil/iptrack_test.go}, in
seconds.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing import ipvote
from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.ipvote import SHARES, EndpointVotes, ExternalEndpoint

US = ExternalEndpoint(ip_address("1.2.3.4"), 8000)
OTHER = ExternalEndpoint(ip_address("1.2.3.4"), 8001)
ELSEWHERE = ExternalEndpoint(ip_address("9.9.9.9"), 8000)


def host(number: int) -> IPv4Address:
    """A host that has an opinion, alone in its /16."""
    return IPv4Address(0x05000001 + (number << 16))


def host6(number: int) -> IPv6Address:
    """A host with IPv6, alone in its /32."""
    return IPv6Address((0x2A000000 + number << 96) + 1)


class VoteTests(SynchronousTestCase):
    """Predictions."""

    def setUp(self) -> None:
        """Three votes within ten seconds."""
        self.votes = EndpointVotes(window=10, contact_window=10, minimum=3)

    def test_another_challenger(self) -> None:
        """Each that would lead has to settle by itself, whatever would have led before it."""
        votes = EndpointVotes()
        places = [ExternalEndpoint(ip_address(f"34.0.0.{number}"), 30303) for number in (1, 2, 3)]
        for place, first, count, now in zip(places, (1, 11, 31), (10, 20, 21), (0.0, 10.0, 50.0), strict=True):
            for number in range(first, first + count):
                votes.add_statement(ip_address(f"50.{number}.0.1"), place, now)
            self.assertEqual(votes.prediction(now), (places[0].ip, 30303))
        self.assertEqual(votes.prediction(109.0), (places[0].ip, 30303))
        self.assertEqual(votes.prediction(110.0), (places[2].ip, 30303))

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
        self.votes.add_statement(host(2), ELSEWHERE, 5)
        self.assertIsNone(self.votes.prediction(5))

    def test_repetition_renews(self) -> None:
        """Who repeats a statement is heard for another ten seconds."""
        for number in (2, 3, 4):
            self.votes.add_statement(host(number), US, 0)
        for number in (2, 3, 4):
            self.votes.add_statement(host(number), US, 8)
        self.assertEqual(self.votes.prediction(18), US)

    def test_majority(self) -> None:
        """The endpoint that leads goes on leading until another has had twice as many statements for a minute."""
        self.votes.window = 1000
        for number in (1, 2, 3):
            self.votes.add_statement(host(number), US, 0)
        self.assertEqual(self.votes.prediction(0), US)
        for number in (4, 5, 6, 7, 8):
            self.votes.add_statement(host(number), ELSEWHERE, 1)
        self.assertEqual([self.votes.prediction(now) for now in (1, 100)], [US] * 2)
        self.votes.add_statement(host(9), ELSEWHERE, 100)
        self.assertEqual([self.votes.prediction(now) for now in (100, 159.9)], [US] * 2)
        self.votes.add_statement(host(9), US, 159.9)  # and begins again
        self.assertEqual(self.votes.prediction(160), US)
        self.votes.add_statement(host(9), ELSEWHERE, 200)
        self.assertEqual([self.votes.prediction(now) for now in (200, 259.9)], [US] * 2)
        self.assertEqual(self.votes.prediction(260), ELSEWHERE)
        self.votes.add_statement(host(9), US, 260)
        self.assertEqual([self.votes.prediction(now) for now in (260, 400)], [ELSEWHERE] * 2)

    def test_majority_at_once(self) -> None:
        """Who leads first is who had enough statements first; a leader that has lost all is no leader."""
        for number in (1, 2):
            self.votes.add_statement(host(number), ELSEWHERE, 0)
        for number in (4, 5, 6):
            self.votes.add_statement(host(number), US, 0)
        self.assertEqual(self.votes.prediction(0), US)

    def test_second_follows(self) -> None:
        """When the leader's votes expire the next one leads."""
        for number in (1, 2, 3, 4):
            self.votes.add_statement(host(number), US, 0)
        for number in (5, 6, 7):
            self.votes.add_statement(host(number), ELSEWHERE, 5)
        self.assertEqual(self.votes.prediction(5), US)
        self.assertEqual(self.votes.prediction(11), ELSEWHERE)
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
        self.assertEqual((len(votes._addresses.counts), len(votes._ports), len(votes._blocks)), (201, 201, 201))

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
        self.assertEqual((len(votes._statements), len(votes._contacts), len(votes._ports)), (5, 5, 5))


class ConstantTests(SynchronousTestCase):
    """What others can observe, against literals."""

    def test_constants(self) -> None:
        """As the documentation has them."""
        self.assertEqual(
            (ipvote.WINDOW, ipvote.CONTACT_WINDOW, ipvote.RESOLUTION, ipvote.MIN_STATEMENTS), (300.0, 600.0, 1.0, 10)
        )
        self.assertEqual((ipvote.MARGIN, ipvote.SETTLING, ipvote.MAX_HOSTS), (2, 60.0, 256))
        self.assertEqual(SHARES, {4: (24, 16, 2), 6: (64, 32, 1)})

    def test_defaults(self) -> None:
        """Ten agree at least, and nine do not do; for five minutes."""
        votes = EndpointVotes()
        for number in range(9):
            votes.add_statement(host(number), US, 0)
        self.assertIsNone(votes.prediction(0))
        votes.add_statement(host(9), US, 0)
        self.assertEqual((votes.prediction(0), votes.prediction(300)), (US, US))
        self.assertIsNone(votes.prediction(300.001))


class NetworkTests(SynchronousTestCase):
    """Owners of many addresses."""

    def setUp(self) -> None:
        self.votes = EndpointVotes()

    def state(self, hosts: list[IPAddress], endpoint: ExternalEndpoint, now: float = 0.0) -> None:
        """Statements."""
        for each in hosts:
            self.votes.add_statement(each, endpoint, now)

    def attacks(self) -> dict[str, list[IPAddress]]:
        """Addresses of one owner, by what it owns; always as many as would suffice if each counted."""
        v4, v6 = IPv4Address("66.8.0.1"), IPv6Address("2a0e:1000::1")
        return {
            "one /24": [v4 + number for number in range(200)],
            "one /16": [v4 + (number << 8) for number in range(256)],
            "one /14": [v4 + (number << 8) for number in range(1024)],
            "one /64": [v6 + number for number in range(2000)],
            "one /32": [v6 + (number << 64) for number in range(2000)],
            "one /29": [v6 + (number << 85) for number in range(4096)],
        }

    def test_nobody_else(self) -> None:
        """Where nobody else says anything none of them decides."""
        for name, hosts in self.attacks().items():
            self.votes = EndpointVotes()
            self.state(hosts, US)
            self.assertIsNone(self.votes.prediction(0), name)

    def test_against_many(self) -> None:
        """Two hundred networks that agree are neither outvoted nor pushed out."""
        for name, attackers in self.attacks().items():
            self.votes = EndpointVotes()
            honest: list[IPAddress] = [(host6 if attackers[0].version == 6 else host)(each) for each in range(200)]
            self.state(honest, US)
            self.state(attackers, ELSEWHERE)
            self.assertEqual(self.votes.prediction(0), US, name)
            self.assertEqual(self.votes._addresses.counts[US.ip], 200, name)

    def test_least_spread(self) -> None:
        """Ten networks in five /16s, or in ten /32s, decide; in fewer they do not."""
        for endpoint, spread, per_block, first, step in (
            (US, 5, 2, IPv4Address("66.8.0.1"), 8),
            (ExternalEndpoint(ip_address("2a00::9"), 1), 10, 1, IPv6Address("2a0e:1000::1"), 64),
        ):
            block = 32 - 16 if first.version == 4 else 128 - 32
            hosts: list[IPAddress] = [
                first + (number << block) + (each << step) for number in range(spread) for each in range(per_block)
            ]
            self.votes = EndpointVotes()
            self.state(hosts[:-1], endpoint)
            self.assertIsNone(self.votes.prediction(0))
            self.state(hosts[-1:], endpoint)
            self.assertEqual(self.votes.prediction(0), endpoint)

    def test_newest_of_a_block(self) -> None:
        """In a full block the newest statement replaces the oldest."""
        hosts: list[IPAddress] = [IPv4Address(f"66.8.{number}.1") for number in range(3)]
        self.state(hosts, US)
        self.assertEqual([each.host for each in self.votes._statements.values()], hosts[1:])
        self.state(hosts[1:2], US, 2)
        self.state(hosts[:1], US, 3)
        self.assertEqual([each.host for each in self.votes._statements.values()], [hosts[1], hosts[0]])


class PortTests(SynchronousTestCase):
    """The address is voted on by itself."""

    def setUp(self) -> None:
        self.votes = EndpointVotes()

    def state(self, ports: list[int], now: float = 0.0, first: int = 0) -> None:
        """Each host sees us at another port, maybe."""
        for number, port in enumerate(ports, first):
            self.votes.add_statement(host(number), ExternalEndpoint(US.ip, port), now)

    def test_each_another(self) -> None:
        """They agree on the address alone."""
        self.state(list(range(40000, 40120)))
        self.assertEqual(self.votes.prediction(0, 30303), (US.ip, None))

    def test_enough(self) -> None:
        """Of many at least ten must agree on the port, too."""
        self.state([*range(40000, 40100), *[50000] * 9])
        self.assertEqual(self.votes.prediction(0, 30303), (US.ip, None))
        self.state([50000], first=150)
        self.assertEqual(self.votes.prediction(0, 30303), (US.ip, 50000))

    def port(self, now: float) -> int | None:
        """The port that is predicted."""
        predicted = self.votes.prediction(now, 30303)
        return None if predicted is None else predicted.port

    def test_listened_at(self) -> None:
        """Our own port stands until another has twice as many, and returns once it has as many as the other."""
        self.state([30303] * 20 + [50000] * 39)
        self.assertEqual([self.port(now) for now in (0, 100)], [30303] * 2)
        self.state([50000], 100, first=59)
        self.assertEqual([self.port(now) for now in (100, 159, 160)], [30303, 30303, 50000])
        self.state([30303] * 19, 160, first=60)
        self.assertEqual([self.port(now) for now in (160, 220)], [50000] * 2)
        self.state([30303], 220, first=79)
        self.assertEqual([self.port(now) for now in (220, 279, 280)], [50000, 50000, 30303])

    def test_too_few_see_our_own(self) -> None:
        """Nothing is predicted where few see our port, and not enough more another one."""
        self.state([30303] * 9 + [50000] * 12)
        self.assertEqual(self.votes.prediction(0, 30303), (US.ip, None))

    def test_another_listened_at(self) -> None:
        """To listen at another port is news by itself."""
        self.state([30303] * 20 + [50000] * 20)
        self.assertEqual(self.votes.prediction(0, 30303), (US.ip, 30303))
        self.assertEqual(self.votes.prediction(1, 50000), (US.ip, 30303))
        self.assertEqual(self.votes.prediction(61, 50000), (US.ip, 50000))

    def changes(self, preferred: int | None, hosts: int) -> int:
        """How often the prediction changes in an hour of a NAT that shows two ports, half and half."""
        random, before, changes = Random(1), None, -1
        for second in range(3600):
            self.state([random.choice((40000, 50000))], second, random.randrange(hosts))
            predicted = self.votes.prediction(second, preferred)
            if predicted is not None and predicted.port is not None:
                changes += predicted != before
                before = predicted
        return changes

    def test_no_flapping(self) -> None:
        """Few changes, whichever ports they are and however many say so."""
        for hosts in (16, 24, 60, 200):
            for preferred in (None, 50000):
                self.votes = EndpointVotes()
                self.assertLessEqual(self.changes(preferred, hosts), 2, (preferred, hosts))
