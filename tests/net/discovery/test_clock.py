"""
Tests for L{devp2p_tx.net.discovery.clock}, and of what nodes show each other of their clocks.
"""

from __future__ import annotations

from struct import pack
from typing import Any

from twisted.internet.protocol import DatagramProtocol
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.errors import InvalidAddress
from devp2p_tx.net.discovery import clock
from devp2p_tx.net.discovery.clock import checkTimeServer
from devp2p_tx.net.discovery.discv5 import DiscoveryV5
from devp2p_tx.storage.memory import MemoryNodeStore
from tests.net.discovery.support import PORT, START, DiscoveryCase, Member, Puppet, keyOf

SERVER = "34.99.9.9"
DAY, YEAR = 86400.0, 365 * 86400.0


class TimeServer(DatagramProtocol):
    """Tells the time, as long as it wants to."""

    def __init__(self, case: ClockCase) -> None:
        self._case = case
        self.isSilent = False
        self.asked = 0

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        if not self.isSilent:
            stamp = int((self._case.trueTime() + 2_208_988_800) * (1 << 32)) & ((1 << 64) - 1)
            assert self.transport is not None
            self.transport.write(b"\x1c" + bytes(23) + datagram[40:] + bytes(8) + pack(">Q", stamp), addr)


class ClockCase(DiscoveryCase):
    """A node whose clock can be set, among others whose clocks are right."""

    latency = 0.02

    def setUp(self) -> None:
        super().setUp()
        self.ahead, self.othersAhead, self.start = 0.0, 0.0, START
        self.logged: list[LogEvent] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)
        self.network.names["time.example"] = [SERVER]
        self.server = TimeServer(self)
        self.network.host(SERVER).listenUDP(123, self.server)

    def trueTime(self) -> float:
        return self.start + self.network.clock.seconds()

    def add(self, number: int, *bootnodes: Any, **options: Any) -> Member:
        """The node with the clock is number 1."""
        if number != 1:
            ip = f"34.{number}.0.1"
            member = Member(self.network, number, bootnodes, ip=ip, **options)
        else:
            self.patch(
                Member,
                "unixTime",
                lambda member: self.trueTime() + (self.ahead if member is self.me else self.othersAhead),
            )
            member = self.me = Member.__new__(Member)
            member.__init__(self.network, number, bootnodes, **options)  # type: ignore[misc]
        self.members.append(member)
        return member.start()

    def lines(self) -> list[str]:
        """What was said of the clock since this was asked last."""
        logged, self.logged[:] = list(self.logged), []
        return [text for event in logged if "system clock" in (text := formatEvent(event))]


class NodeTests(ClockCase):
    """What nodes show."""

    def gather(self, count: int = 11) -> None:
        """The node, and so many others, that know each other."""
        me = self.add(1)
        for number in range(2, 2 + count):
            self.add(number, me.node)
        self.network.advance(120)
        self.assertEqual(self.lines(), [])

    def test_ahead(self) -> None:
        """A clock that goes wrong is said once, with what fails because of it, and once when it is right again."""
        self.gather()
        for ahead, word in ((15.0, "ahead"), (-15.0, "behind"), (3600.0, "ahead"), (YEAR, "ahead")):
            self.ahead = ahead
            self.network.advance(300)
            [line] = self.lines()
            self.assertRegex(
                line, rf"^the system clock is {abs(ahead):.0f}?\d*\.\d s {word}, by the packets of \d+ nodes: .*Set"
            )
            self.assertIn("count as expired here" if ahead > 0 else "for expired", line)
            self.network.advance(300)
            self.assertEqual(self.lines(), [])
            self.ahead = 0.0
            self.network.advance(600)
            [line] = self.lines()
            self.assertRegex(line, r"^the system clock is right again: [0-2]\.\d s ahead, by the packets of \d+ nodes$")

    def test_far_behind(self) -> None:
        """Nobody answers then, and requests of nodes that had answered show it."""
        self.gather()
        for behind in (3600.0, YEAR):
            self.ahead = -behind
            self.network.advance(600)
            [line] = self.lines()
            self.assertRegex(line, r"^the system clock is \d+\.\d s behind, by the packets of \d+ nodes: ")
            self.ahead = 0.0
            self.network.advance(900)
            self.assertEqual(len(self.lines()), 1)

    def test_too_few(self) -> None:
        """Seven others show nothing."""
        self.gather(7)
        self.ahead = 15.0
        self.network.advance(600)
        self.assertEqual(self.lines(), [])

    def test_checks_stay(self) -> None:
        """What is expired is not accepted, however wrong our clock is."""
        self.gather()
        self.ahead = 3600.0
        self.network.advance(300)
        refused = self.me.metrics.value("discv4_refused", reason="expired")
        puppet = Puppet(self.network, 60, "34.60.0.1")
        puppet.send(puppet.makePing(), self.me)
        self.assertEqual(puppet.received, [])
        self.assertGreater(self.me.metrics.value("discv4_refused", reason="expired"), refused)


class ServerTests(ClockCase):
    """What a time server says."""

    def test_at_the_start(self) -> None:
        """It is asked by itself, at the start and later; nodes are not needed."""
        for ahead in (11.0, -11.0, DAY, -DAY, YEAR, -YEAR, -50 * YEAR):
            self.ahead = ahead
            self.add(1, ntpServer="time.example")
            self.network.advance(5)
            [line] = self.lines()
            word = "ahead" if ahead > 0 else "behind"
            self.assertIn(f"the system clock is {abs(ahead):.1f} s {word}, by time.example: ", line)
            self.ahead = 4.0
            self.network.advance(300)
            self.assertEqual(self.lines(), ["the system clock is right again: 4.0 s ahead, by time.example"])
            self.ahead = 0.0
            self.tearDown()
            self.members.clear()

    def test_intervals(self) -> None:
        """Every hour; every five minutes while the clock is wrong."""
        self.add(1, ntpServer="time.example")
        self.network.advance(2)
        self.assertEqual(self.server.asked, 5)
        self.network.advance(3600)
        self.assertEqual(self.server.asked, 10)
        self.ahead = 30.0
        self.network.advance(3600 + 300 + 300)
        self.assertEqual(self.server.asked, 25)
        self.assertEqual((clock.FIRST_INTERVAL, clock.INTERVAL, clock.WRONG_INTERVAL), (1.0, 3600.0, 300.0))
        self.assertEqual((clock.CHECK_INTERVAL, clock.ANSWER_TIMEOUT, clock.MEASUREMENTS), (60.0, 5.0, 5))

    def test_v5_alone(self) -> None:
        """Discovery v5 asks it, too; with neither packet of v4 the line says what else fails."""
        self.ahead = 11.0
        host = self.network.host("34.1.0.1")
        discovery = DiscoveryV5(
            LocalRecord(keyOf(1), int(START * 1000)),
            host,
            MemoryNodeStore(),
            seconds=host.seconds,
            unixTime=lambda: self.trueTime() + self.ahead,
            ntpServer="time.example",
        )
        discovery.start(PORT)
        self.network.advance(5)
        [line] = self.lines()
        self.assertIn("the system clock is 11.0 s ahead, by time.example: a fork enters the local record", line)
        self.assertNotIn("discovery v4", line)
        self.ahead = 0.0
        self.network.advance(300)
        self.assertEqual(self.lines(), ["the system clock is right again: 0.0 s behind, by time.example"])
        stopping = discovery.stop()
        self.network.advance(1)
        self.successResultOf(stopping)
        asked = self.server.asked
        self.network.advance(2 * clock.INTERVAL)
        self.assertEqual((asked, self.server.asked), (10, 10))

    def test_before_nodes(self) -> None:
        """It is asked when nodes show something else, and believed; while it does not answer, they are."""
        me = self.add(1, ntpServer="time.example")
        for number in range(2, 13):
            self.add(number, me.node)
        self.network.advance(120)
        self.assertEqual(self.server.asked, 5)
        self.othersAhead = -15.0
        self.network.advance(900)
        self.assertEqual((self.lines(), self.server.asked > 5), ([], True))
        self.server.isSilent = True
        self.network.advance(900)
        first, second = self.lines()
        self.assertIn(
            "cannot be compared with time.example: time server time.example does not answer (--ntp HOST|none)", first
        )
        self.assertRegex(second, r"the system clock is 1\d\.\d s ahead, by the packets of 11 nodes: ")

    def test_next_address(self) -> None:
        """Where one of its addresses does not answer the next is asked."""
        self.network.names["time.example"] = ["34.99.9.8", SERVER]
        self.ahead = 11.0
        self.add(1, ntpServer="time.example")
        self.network.advance(10)
        self.assertEqual(len(self.lines()), 1)

    def test_silence_is_said_once(self) -> None:
        """And its end."""
        self.server.isSilent = True
        self.add(1, ntpServer="time.example")
        self.network.advance(3 * 3600)
        self.assertEqual(len(self.lines()), 1)
        self.server.isSilent = False
        self.network.advance(3600)
        self.assertIn("time server time.example answers", [formatEvent(event) for event in self.logged])

    def test_next_era(self) -> None:
        """In 2036 the seconds of time stamps begin at 0 again."""
        self.start = 2_085_978_496 - 10.0
        self.ahead = 11.0
        self.add(1, ntpServer="time.example")
        self.network.advance(5)
        self.assertIn("11.0 s ahead", self.lines()[0])
        self.ahead = 0.0
        self.network.advance(300)
        self.assertIn("right again", self.lines()[0])

    def test_stopped_while_it_is_asked(self) -> None:
        """Nothing is left of it."""
        self.server.isSilent = True
        self.add(1, ntpServer="time.example")
        self.network.advance(2)


class HostTests(ClockCase):
    """What can be a time server."""

    def test_hosts(self) -> None:
        """A host name or an address, without a port."""
        for good in ("pool.ntp.org", "localhost", "10.0.0.1", "::1"):
            checkTimeServer(good)
        for bad in ("", "a b", "1.2.3", "[::1]", "time.example:123", "http://time.example"):
            self.assertRaises(InvalidAddress, checkTimeServer, bad)
