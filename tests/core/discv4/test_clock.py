"""
Tests for L{devp2p_tx.core.discv4.clock}.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.discv4 import clock
from devp2p_tx.core.discv4.clock import ClockOffset, ClockOffsets, ClockState

START = 1_790_000_000.0
DAY, YEAR = 86400.0, 365 * 86400.0


def host(number: int) -> IPv4Address:
    """A host, alone in its /16."""
    return IPv4Address(0x05000001 + (number << 16))


class OffsetTests(SynchronousTestCase):
    """What packets show."""

    def setUp(self) -> None:
        self.random = Random(5)
        self.now = 100.0
        self.offsets = ClockOffsets()

    def answer(
        self, hosts: Iterable[IPAddress], ahead: float, lifetimes: Iterable[int] = (20,), delay: float = 0.2
    ) -> ClockOffset | None:
        """Answers of nodes whose clocks are right, while ours is ahead; the last estimate."""
        choices, found = list(lifetimes), None
        for number, ip in enumerate(hosts):
            self.now += 10
            true = START + self.now
            expiration = int(true - delay * self.random.random()) + choices[number % len(choices)]
            found = self.offsets.note_answer(b"%d" % number, ip, expiration, self.now, true + ahead)
        return found

    def check(self, found: ClockOffset | None, ahead: float, nodes: int) -> None:
        """An estimate is at most two seconds high."""
        assert found is not None
        self.assertEqual(found.nodes, nodes)
        self.assertTrue(ahead <= found.seconds <= ahead + 2, found)

    def test_offsets(self) -> None:
        """Forwards and backwards, by seconds, a day and a year; behind by 20 s no node answers."""
        for ahead in (0, 9, 12, 19, 25, 40, 60, 3600, DAY, YEAR, 30 * YEAR, -4, -9, -12, -18):
            self.offsets = ClockOffsets()
            self.check(self.answer(map(host, range(12)), ahead), ahead, 12)

    def test_clients(self) -> None:
        """Whatever share of other clients there is, if the usual one is among them."""
        for lifetimes in ((20, 20, 60), (20, 60, 5400), (20, 5400, 5400), (60, 5400), (60,), (5400,)):
            for ahead in (0, -12, 15) if 20 not in lifetimes else (0, -12, 15, 40, 3600):
                self.offsets = ClockOffsets()
                self.check(self.answer(map(host, range(12)), ahead, lifetimes), ahead, 12)

    def test_unknown_clients(self) -> None:
        """Packets with other lifetimes are in the minority, or nothing is shown."""
        self.check(self.answer(map(host, range(15)), 15, (20, 20, 33)), 15, 10)
        self.offsets = ClockOffsets()
        self.assertIsNone(self.answer(map(host, range(20)), 15, (20, 33)))

    def test_at_least_eight(self) -> None:
        """Networks count, not hosts: a /16, or a /32 of IPv6."""
        self.assertIsNone(self.answer(map(host, range(7)), 100))
        self.check(self.answer([host(7)], 100), 100, 8)
        many: list[list[IPAddress]] = [
            [IPv4Address("5.5.0.1") + (number << 8) for number in range(200)],
            [IPv6Address("2a00::1") + (number << 64) for number in range(200)],
        ]
        for hosts in many:
            self.offsets = ClockOffsets()
            self.assertIsNone(self.answer(hosts, 100))
        sixes: list[IPAddress] = [IPv6Address("2a00::1") + (number << 96) for number in range(8)]
        self.check(self.answer(sixes, 100), 100, 8)

    def test_minority_of_liars(self) -> None:
        """It does not move the figure."""
        hosts = [host(number) for number in range(20)]
        self.answer(hosts[:9], 3600)  # by what these say
        self.check(self.answer(hosts[9:], 0), 0, 11)

    def request(self, hosts: Iterable[IPAddress], ahead: float) -> ClockOffset | None:
        """Requests, as L{answer}."""
        found = None
        for number, ip in enumerate(hosts):
            self.now += 10
            expiration = int(START + self.now) + 20
            found = self.offsets.note_request(b"%d" % number, ip, expiration, self.now, START + self.now + ahead)
        return found

    def test_requests(self) -> None:
        """They count from who has answered; our clock may have been set back so far that nobody answers any more."""
        hosts = [host(number) for number in range(10)]
        self.assertIsNone(self.request(hosts, -3600))
        self.check(self.answer(hosts, 0), 0, 10)
        for behind in (12, 25, 40, 60, 3600, DAY, YEAR):
            self.check(self.request(hosts, -behind), -behind, 10)
            self.check(self.answer(hosts, 0), 0, 10)
        self.assertIsNone(self.request([host(number) for number in range(50, 70)], -3600))

    def test_answers_take_precedence(self) -> None:
        """Over requests, which may be old ones that others send again."""
        hosts = [host(number) for number in range(10)]
        self.answer(hosts, 0)
        self.check(self.request(hosts, 0), 0, 10)
        for number, ip in enumerate(hosts):
            self.now += 10
            unix_time = START + self.now
            found = self.offsets.note_request(b"%d" % number, ip, int(unix_time) + 1, self.now, unix_time)
        self.check(found, 0, 10)

    def test_clock_that_is_set(self) -> None:
        """All that was shown before is void, at once."""
        hosts = [host(number) for number in range(10)]
        self.check(self.answer(hosts, 50), 50, 10)
        self.assertIsNone(self.answer(hosts[:7], 0))
        self.check(self.answer(hosts[7:8], 0), 0, 8)

    def test_old_samples(self) -> None:
        """They count for ten minutes."""
        self.check(self.answer(map(host, range(8)), 50), 50, 8)
        self.now += 600
        self.assertIsNone(self.answer(map(host, range(7)), 50))
        self.check(self.answer([host(7)], 50), 50, 8)

    def test_no_clock(self) -> None:
        """An expiration in the next millennium, or as a negative number, shows nothing."""
        for number in range(20):
            self.now += 10
            for expiration in (1 << 40, (1 << 64) - 100, 1 << 63, 0):
                unix_time = START + 100 * YEAR + self.now
                self.assertIsNone(
                    self.offsets.note_answer(b"%d" % number, host(number), expiration, self.now, unix_time)
                )

    def test_bounds(self) -> None:
        """Strangers cannot make it grow."""
        self.check(self.answer(map(host, range(2000)), 50), 50, 60)
        self.assertEqual((len(self.offsets._samples), len(self.offsets._answered)), (64, 1024))

    def test_constants(self) -> None:
        """As the documentation has them."""
        self.assertEqual((clock.LIFETIMES, clock.MIN_NODES, clock.TOLERANCE), ((20, 60, 5400), 8, 3.0))
        self.assertEqual((clock.SAMPLE_LIFE, clock.ESTIMATE_INTERVAL, clock.MAX_STEP), (600.0, 10.0, 2.0))
        self.assertEqual((clock.WRONG_ABOVE, clock.RIGHT_BELOW), (10.0, 5.0))
        self.assertEqual((clock.MAX_SAMPLES, clock.MAX_ANSWERED), (64, 1024))


class StateTests(SynchronousTestCase):
    """What is said."""

    def test_hysteresis(self) -> None:
        """Wrong above ten seconds, and right below five, in both directions."""
        for sign in (1, -1):
            state = ClockState()
            steps = ((10.0, False), (10.1, True), (9.9, False), (5.1, False), (500.0, False), (5.0, True), (9.9, False))
            self.assertEqual([state.judge(sign * offset) for offset, _ in steps], [news for _, news in steps])
            self.assertFalse(state.is_wrong)
            self.assertTrue(state.judge(sign * 11.0))
