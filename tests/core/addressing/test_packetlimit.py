"""
Tests for L{devp2p_tx.core.addressing.packetlimit} and L{devp2p_tx.core.addressing.lateness}.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import cycle

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing import packetlimit
from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.lateness import MIN_SHARE, Lateness
from devp2p_tx.core.addressing.packetlimit import PacketRateLimiter, canonical
from devp2p_tx.core.addressing.sourcebudget import Allowance

HONEST, FRIEND = ip_address("34.1.1.1"), ip_address("2a00:5::1")
ENDLESS = Allowance(1e9, 10**9)
#: Packets a second of a flood, and how long it lasts (seconds).
FLOOD, SECONDS = 20_000, 3


def addresses(*texts: str) -> list[IPAddress]:
    return [ip_address(text) for text in texts]


class LimiterCase(SynchronousTestCase):
    """A limiter, and packets at a time."""

    def setUp(self) -> None:
        self.limiter = PacketRateLimiter()

    def taken(self, source: str, now: float = 0.0, most: int = 5000) -> int:
        """How many packets of one address get through at one time."""
        ip = ip_address(source)
        count = 0
        while count < most and self.limiter.take(ip, now):
            count += 1
        return count


class StrangerTests(LimiterCase):
    """Packets of addresses that nobody knows."""

    def test_source(self) -> None:
        """200 at once, 25 a second; an IPv6 /64 is one source, as is an address however it is written."""
        self.assertEqual(self.taken("34.1.1.1"), 200)
        self.assertEqual(self.taken("34.1.1.1", 0.9), 22)
        self.assertEqual(self.taken("::ffff:34.1.1.1", 0.9), 0)
        self.assertEqual(self.taken("64:ff9b::34.1.1.1", 0.9), 0)
        self.assertEqual(self.taken("2a00::1", 10.0), 200)
        self.assertEqual(self.taken("2a00::ffff:1", 10.0), 0)

    def test_network(self) -> None:
        """300 at once and 100 a second of a /24, and of a /48; the next network has its own."""
        for one, other in (("34.1.1.{}", "34.1.2.1"), ("2a00:1:1:{}::1", "2a00:1:2::1")):
            self.limiter = PacketRateLimiter()
            self.assertEqual(sum(self.taken(one.format(number)) for number in range(1, 9)), 300)
            self.assertEqual(self.taken(other, most=50), 50)
            self.assertEqual(sum(self.taken(one.format(number), 1.0) for number in range(1, 9)), 100)

    def test_all(self) -> None:
        """600 at once and 500 a second, of however many networks."""
        self.assertEqual(sum(self.taken(f"34.{number}.1.1", most=1) for number in range(256) for _ in range(8)), 600)
        self.assertEqual(sum(self.taken(f"35.{number}.1.1", 1.0, 1) for number in range(256) for _ in range(8)), 500)

    def test_lan(self) -> None:
        """More than others, but not everything: hosts of the LAN, of loopback, and those that NAT64 leads to."""
        for one in ("10.1.1.1", "127.0.0.1", "192.168.1.1", "fd00::1", "fe80::1", "::1", "64:ff9b::10.1.1.1"):
            self.limiter = PacketRateLimiter()
            at_once = self.taken(one)
            self.assertTrue(300 < at_once < 600, (one, at_once))
            count = sum(self.taken(one, step / 500, 1) for step in range(60 * 500))
            self.assertTrue(60 * 240 < count < 60 * 260, (one, count))

    def test_nothing_is_counted_by_asking(self) -> None:
        """However often it is asked whether a packet would be refused, and what is refused is not counted, either."""
        packed = canonical(HONEST.packed)
        for _ in range(1000):
            self.assertFalse(self.limiter.refuses(packed, 0.0))
        self.assertEqual(self.limiter.sources, 0)
        self.assertEqual(self.taken(str(HONEST)), 200)
        for _ in range(1000):
            self.assertTrue(self.limiter.refuses(packed, 0.0))
            self.assertFalse(self.limiter.take(HONEST, 0.0))
        self.assertEqual(self.taken(str(HONEST), 1.0), 25)

    def test_bounds(self) -> None:
        """Of however many sources packets come, a bounded number is remembered, those that go on among them."""
        self.limiter = PacketRateLimiter(strangers=ENDLESS, max_sources=4)
        self.assertEqual(self.taken(str(HONEST)), 200)
        for number in range(100):
            self.limiter.take(IPv4Address(0x63000000 + (number << 8)), 0.0)
            self.assertFalse(self.limiter.take(HONEST, 0.0))
            self.assertLessEqual(self.limiter.sources, 2 * 2 * 4)

    def test_clock_set_back(self) -> None:
        """Nobody waits for longer than after a full burst."""
        while self.limiter.take(HONEST, 1e6):
            pass
        self.assertTrue(self.limiter.take(HONEST, 0.0))
        self.assertFalse(self.limiter.refuses(canonical(HONEST.packed), 9.0))


class LatenessTests(LimiterCase):
    """What a reactor that is late leaves."""

    def test_share(self) -> None:
        """All while calls are less than 10 ms late, then ever less; on time, it soon is all again."""
        lateness = Lateness()
        for late, share in ((0.0, 1.0), (0.010, 1.0), (0.020, 0.5), (0.1, 0.1), (5.0, MIN_SHARE)):
            lateness.note(late)
            self.assertAlmostEqual(lateness.share, share)
        for _ in range(9):
            lateness.note(-1.0)
        self.assertEqual(lateness.share, 1.0)

    def test_budgets(self) -> None:
        """Strangers and known nodes get a share of what they had."""
        self.limiter.lateness.note(0.040)
        many = [ip_address(f"34.{number}.1.1") for number in range(256)] * 8
        self.assertEqual(sum(self.limiter.take(ip, 0.0) for ip in many), 150)
        for ip in many[:256]:
            self.limiter.note_known(ip, 0.0)
        self.assertLess(sum(self.limiter.take(ip, 0.0) for ip in many), 501)


class KnownTests(LimiterCase):
    """Addresses that were proved."""

    def test_apart(self) -> None:
        """What strangers use up is not theirs, and each has a share of its own, capped."""
        while any(self.limiter.take(ip_address(f"34.{number}.1.1"), 0.0) for number in range(256)):
            pass
        self.assertEqual(self.taken("34.9.9.9"), 0)
        self.limiter.note_known(ip_address("34.9.9.9"), 0.0)
        self.assertTrue(self.limiter.is_known(ip_address("64:ff9b::34.9.9.9"), 0.0))
        self.assertEqual(self.taken("34.9.9.9"), 200)
        self.assertEqual(self.taken("34.9.9.8"), 0)

    def test_lifetime(self) -> None:
        """An address is a stranger's again a day after its last proof."""
        self.limiter.note_known(HONEST, 0.0)
        self.limiter.note_known(HONEST, 3600.0)
        self.assertTrue(self.limiter.is_known(HONEST, 25 * 3600.0 - 1))
        self.assertFalse(self.limiter.is_known(HONEST, 25 * 3600.0))
        self.limiter.note_known(FRIEND, 25 * 3600.0)
        self.assertEqual(self.limiter.known, 1)

    def test_bound(self) -> None:
        """Not more than 8,192 are remembered, nor more than 256 of a /16 or a /32, for as long as these are known."""
        for number in range(300):
            self.limiter.note_known(IPv4Address(0x22010000 + number), 0.0)
            self.limiter.note_known(IPv6Address((0x2A000001 << 96) + (number << 64)), 0.0)
        self.assertEqual(self.limiter.known, 512)
        self.limiter.note_known(HONEST, 0.0)
        for number in range(10_000):
            self.limiter.note_known(IPv4Address(0x30000000 + (number << 10)), 1.0)
            self.limiter.note_known(ip_address("34.1.0.5"), 1.0)
        self.assertEqual(self.limiter.known, packetlimit.MAX_KNOWN)
        self.assertFalse(self.limiter.is_known(HONEST, 1.0))
        self.assertTrue(self.limiter.is_known(ip_address("34.1.0.5"), 1.0))
        self.limiter.note_known(HONEST, 1.0)
        self.assertTrue(self.limiter.is_known(HONEST, 1.0))

    def test_forged(self) -> None:
        """A flood in the name of a known node delays that one alone, not even its neighbour."""
        neighbour = ip_address("34.1.1.2")
        for ip in (HONEST, neighbour, FRIEND):
            self.limiter.note_known(ip, 0.0)
        forged = 0
        for step in range(FLOOD * SECONDS):
            forged += self.limiter.take(HONEST, step / FLOOD)
            if step % (FLOOD // 10) == 0:
                self.assertTrue(self.limiter.take(neighbour, step / FLOOD))
                self.assertTrue(self.limiter.take(FRIEND, step / FLOOD))
        self.assertLessEqual(forged, 200 + 25 * SECONDS)


class FloodTests(LimiterCase):
    """20,000 packets a second; beside them a known node that sends ten a second, and a stranger that sends one."""

    def flood(self, sources: Iterator[IPAddress]) -> tuple[float, float]:
        """The shares of the packets of the known node and of the stranger that got through in the midst of it."""
        self.limiter.note_known(FRIEND, 0.0)
        passed = {FRIEND: 0, HONEST: 0}
        admitted = 0
        for step in range(FLOOD * SECONDS):
            now = step / FLOOD
            admitted += self.limiter.take(next(sources), now)
            for ip, rate in ((FRIEND, 10), (HONEST, 1)):
                if step % (FLOOD // rate) == FLOOD // rate // 2:
                    passed[ip] += self.limiter.take(ip, now)
        self.assertLessEqual(admitted, 600 + 500 * SECONDS)
        return passed[FRIEND] / SECONDS / 10, passed[HONEST] / SECONDS

    def test_eighty_addresses(self) -> None:
        """Both are heard, whether the addresses are of one network, of many, or of loopback."""
        for pattern in ("35.1.1.{}", "35.{}.1.1", "127.0.0.{}", "10.{}.1.1", "2a00:1:{}::1"):
            self.limiter = PacketRateLimiter()
            shares = self.flood(cycle(ip_address(pattern.format(number)) for number in range(80)))
            self.assertEqual(shares, (1.0, 1.0), pattern)

    def test_each_16(self) -> None:
        """With one source in each /16 the known node is heard, and so is the stranger while these are few."""
        few = cycle([IPv4Address(0x23000001 + (number << 16)) for number in range(250)])
        self.assertEqual(self.flood(few), (1.0, 1.0))
        self.limiter = PacketRateLimiter()
        all_of_them = cycle([IPv4Address((number << 16) + 1) for number in range(0x0B00, 0xDF00) if number >> 8 != 127])
        self.assertEqual(self.flood(all_of_them)[0], 1.0)

    def test_each_48(self) -> None:
        """With a new /48 of IPv6 in each packet the known node is heard."""
        each = (IPv6Address((0x2A00 << 112) + (number << 80)) for number in range(FLOOD * SECONDS))
        self.assertEqual(self.flood(each)[0], 1.0)
