"""
Tests for L{devp2p_tx.net.names.hostnames}, with a resolver that the test plays and a clock that it moves.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.names import dns
from twisted.names.error import DNSQueryTimeoutError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from devp2p_tx.net.names import nameservers
from devp2p_tx.net.names.hostnames import (
    DEFAULT_TTL,
    MAX_ADDRESSES,
    MAX_NAMES,
    MAX_RETRY,
    MAX_TTL,
    RESOLVE_TIMEOUT,
    RETRY,
    HostNames,
    SystemTTLs,
    isReal,
    resolveHost,
)
from devp2p_tx.testing import MemoryNetwork

NAME = "boot.example"


class PlayedReactor(Clock):
    """
    A clock with the system's resolver, played by the test.

    @ivar names: addresses by name.
    @ivar asked: what it was asked for, and when.
    @ivar hanging: whether it never answers.
    @ivar broken: what it raises, if anything.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, list[str]] = {}
        self.asked: list[tuple[float, str]] = []
        self.hanging = False
        self.broken: Exception | None = None

    @property
    def nameResolver(self) -> PlayedReactor:
        return self

    def resolveHostName(self, receiver: Any, hostName: str, *_: object) -> None:
        self.asked.append((self.seconds(), hostName))
        if self.broken is not None:
            raise self.broken
        receiver.resolutionBegan(self)
        if not self.hanging:
            self.callLater(0, self._answer, receiver, hostName)

    def _answer(self, receiver: Any, name: str) -> None:
        for address in self.names.get(name, ()):
            receiver.addressResolved((IPv6Address if ":" in address else IPv4Address)("TCP", address, 0))
        receiver.resolutionComplete()


class PlayedServers:
    """
    Name servers.

    @ivar ttls: by family, in seconds; an answer has a record for each. A family that is not there is not answered.
    @ivar asked: the families that were asked for.
    """

    def __init__(self, **ttls: list[int]) -> None:
        self.ttls = ttls
        self.asked: list[str] = []
        self.made = 0

    def __call__(self) -> PlayedServers:
        """Make it."""
        self.made += 1
        return self

    def lookupAddress(self, name: str) -> Deferred[Any]:
        return self._answer("v4", name, dns.A)

    def lookupIPV6Address(self, name: str) -> Deferred[Any]:
        return self._answer("v6", name, dns.AAAA)

    def _answer(self, family: str, name: str, kind: int) -> Deferred[Any]:
        self.asked.append(family)
        if family not in self.ttls:
            return fail(DNSQueryTimeoutError(name))
        return succeed(([dns.RRHeader(name, kind, ttl=ttl) for ttl in self.ttls[family]], [], []))


class HostNamesTestCase(SynchronousTestCase):
    """The names of one node."""

    def setUp(self) -> None:
        self.reactor = PlayedReactor()
        self.names = HostNames(self.reactor, self.reactor.seconds)
        self.logged: list[LogEvent] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def use(self, servers: PlayedServers) -> None:
        self.names = HostNames(self.reactor, self.reactor.seconds, servers)

    def resolve(self, name: str = NAME) -> list[str]:
        """What a name means now."""
        resolving = self.names.resolve(name)
        self.reactor.advance(0)
        return [str(ip) for ip in self.successResultOf(resolving)]

    def lines(self, level: LogLevel) -> list[str]:
        return [formatEvent(event) for event in self.logged if event["log_level"] is level]

    def askedAt(self) -> list[float]:
        return [time for time, _ in self.reactor.asked]

    def askEvery(self, pause: float, until: float) -> list[float]:
        """When the system was asked, if somebody wants the name again and again."""
        while self.reactor.seconds() < until:
            self.resolve()
            self.reactor.advance(pause)
        return self.askedAt()


class AnswerTests(HostNamesTestCase):
    """What is answered."""

    def test_order(self) -> None:
        """All addresses of both families, in the system's order, each of them once, IPv4 without IPv6 clothes."""
        self.reactor.names[NAME] = ["2a00::1", "34.1.1.1", "34.1.1.1", "::ffff:34.1.1.2", "fe80::1%eth0"]
        self.assertEqual(self.resolve(), ["2a00::1", "34.1.1.1", "34.1.1.2", "fe80::1"])

    def test_bounded(self) -> None:
        """Not more than can be tried."""
        self.reactor.names[NAME] = [f"34.1.1.{number}" for number in range(200)]
        self.assertEqual(len(self.resolve()), MAX_ADDRESSES)

    def test_in_any_case(self) -> None:
        """Names are the same in capitals."""
        self.reactor.names[NAME] = ["34.1.1.1"]
        self.assertEqual(self.resolve("Boot.Example"), self.resolve())
        self.assertEqual(len(self.reactor.asked), 1)

    def test_one_question_for_many(self) -> None:
        """Who asks while it is being asked gets the same answer, of his own; one who leaves takes nobody along."""
        self.reactor.names[NAME] = ["34.1.1.1"]
        leaving, staying = self.names.resolve(NAME), self.names.resolve(NAME)
        leaving.cancel()
        self.failureResultOf(leaving)
        self.reactor.advance(0)
        self.successResultOf(staying).clear()
        self.assertEqual((self.resolve(), len(self.reactor.asked)), (["34.1.1.1"], 1))

    def test_nobody_answers(self) -> None:
        """It is given up, as no address."""
        self.reactor.hanging = True
        resolving = self.names.resolve(NAME)
        self.reactor.advance(RESOLVE_TIMEOUT - 0.1)
        self.assertNoResult(resolving)
        self.reactor.advance(0.1)
        self.assertEqual(self.successResultOf(resolving), [])
        self.assertEqual(self.names.failing(), [NAME])

    def test_broken_resolver(self) -> None:
        """What is not to be expected of it is logged, and nobody waits for ever."""
        self.reactor.broken = RuntimeError("no threads left")
        self.assertEqual(self.resolve(), [])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_bound_of_names(self) -> None:
        """However many there are, the last ones are remembered."""
        for number in range(MAX_NAMES + 10):
            self.reactor.names[f"{number}.example"] = ["34.1.1.1"]
            self.resolve(f"{number}.example")
        count = len(self.reactor.asked)
        self.resolve(f"{MAX_NAMES}.example")
        self.assertEqual(len(self.reactor.asked), count)
        self.resolve("0.example")
        self.assertEqual(len(self.reactor.asked), count + 1)


class TimeTests(HostNamesTestCase):
    """For how long an answer holds."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor.names[NAME] = ["34.1.1.1"]

    def test_nobody_says(self) -> None:
        """Half a minute; then the name may mean another host."""
        self.resolve()
        self.reactor.names[NAME] = ["34.1.1.9"]
        self.reactor.advance(DEFAULT_TTL - 1)
        self.assertEqual(self.resolve(), ["34.1.1.1"])
        self.reactor.advance(1)
        self.assertEqual((self.resolve(), self.askedAt()), (["34.1.1.9"], [0, DEFAULT_TTL]))

    def test_ttl(self) -> None:
        """As long as the name servers say, be it longer or shorter."""
        for ttl in (300, 5):
            self.use(PlayedServers(v4=[ttl]))
            self.reactor.asked.clear()
            begun = self.reactor.seconds()
            self.resolve()
            self.reactor.advance(ttl - 1)
            self.resolve()
            self.assertEqual(self.askedAt(), [begun])
            self.reactor.advance(1)
            self.resolve()
            self.assertEqual(self.askedAt(), [begun, begun + ttl])

    def test_shortest(self) -> None:
        """Of several records, of aliases and of both families, the one that ends first counts."""
        self.reactor.names[NAME] = ["2a00::1", "34.1.1.1"]
        self.use(servers := PlayedServers(v4=[900, 60], v6=[400]))
        self.assertEqual(self.askEvery(10, 100), [0, 60])
        self.assertEqual((sorted(servers.asked[:2]), servers.made), (["v4", "v6"], 2))

    def test_longest(self) -> None:
        """An hour, whatever they say."""
        self.use(PlayedServers(v4=[10_000_000]))
        self.assertEqual(self.askEvery(MAX_TTL / 4, 1.5 * MAX_TTL), [0, MAX_TTL])

    def test_no_record(self) -> None:
        """An answer without any record says nothing."""
        self.use(PlayedServers(v4=[]))
        self.assertEqual(self.askEvery(10, 50), [0, DEFAULT_TTL])

    def test_only_families_that_there_are(self) -> None:
        """What is in a local file alone is nobody else's business."""
        self.use(servers := PlayedServers(v4=[60]))
        self.resolve()
        self.assertEqual(servers.asked, ["v4"])

    def test_name_servers_that_do_not_know(self) -> None:
        """The system does: its answer is taken, without waiting, for the usual time, and without a word."""
        self.use(PlayedServers())
        self.assertEqual(self.resolve(), ["34.1.1.1"])
        self.assertEqual(self.askEvery(DEFAULT_TTL / 2, DEFAULT_TTL * 1.5), [0, DEFAULT_TTL])
        self.assertEqual(self.lines(LogLevel.warn) + self.lines(LogLevel.info), [])


class FailureTests(HostNamesTestCase):
    """Names without an address."""

    def test_backoff(self) -> None:
        """It is asked for ever more rarely; whoever wants it in between is told at once that there is none."""
        asked = self.askEvery(1, 1000)
        pauses = [later - earlier for earlier, later in pairwise(asked)]
        self.assertEqual(pauses[:6], [RETRY, 2 * RETRY, 4 * RETRY, 8 * RETRY, 16 * RETRY, MAX_RETRY])

    def test_said_once(self) -> None:
        """And once more when there is one again; then the pauses begin anew."""
        self.askEvery(1, 500)
        self.assertEqual(len(self.lines(LogLevel.warn)), 1)
        self.assertIn(f"host name {NAME} has no address;", self.lines(LogLevel.warn)[0])
        self.reactor.names[NAME] = ["34.1.1.1"]
        self.reactor.advance(MAX_RETRY)
        self.assertEqual((self.resolve(), self.names.failing()), (["34.1.1.1"], []))
        self.assertEqual(self.lines(LogLevel.info), [f"host name {NAME} has an address again"])
        del self.reactor.names[NAME]
        self.reactor.advance(DEFAULT_TTL)
        self.reactor.asked.clear()
        self.askEvery(1, self.reactor.seconds() + RETRY + 1)
        self.assertEqual((len(self.reactor.asked), len(self.lines(LogLevel.warn))), (2, 2))

    def test_what_was_known(self) -> None:
        """An answer is kept as long as there is no other: it is mostly the name server that is away."""
        self.reactor.names[NAME] = ["34.1.1.1"]
        self.resolve()
        self.reactor.hanging = True
        self.reactor.advance(DEFAULT_TTL)
        resolving = self.names.resolve(NAME)
        self.reactor.advance(RESOLVE_TIMEOUT)
        self.assertEqual([str(ip) for ip in self.successResultOf(resolving)], ["34.1.1.1"])
        self.assertIn("the one it had is used", self.lines(LogLevel.warn)[0])
        self.reactor.hanging = False
        self.reactor.names[NAME] = ["34.1.1.2"]
        self.reactor.advance(RETRY)
        self.assertEqual(self.resolve(), ["34.1.1.2"])


class NoNameTests(HostNamesTestCase):
    """Texts that are no names."""

    def test_not_asked_for(self) -> None:
        """They have no address, at once; the system, which would break, is not asked, and one line says it."""
        for name in ("a" * 64 + ".example", "a..b", "", "a\0b", "x" * 300):
            self.assertEqual(self.successResultOf(self.names.resolve(name)), [])
        self.assertEqual(self.reactor.asked, [])
        self.assertEqual(len(self.lines(LogLevel.warn)), 5)

    def test_asked_for(self) -> None:
        """What can be a name is asked for, in other scripts as well, and with a dot at its end."""
        for name in ("b\u00fccher.example", "boot.example.", "a_b.example", "a" * 63):
            self.names.resolve(name)
        self.assertEqual(len(self.reactor.asked), 4)


class StopTests(HostNamesTestCase):
    """The end."""

    def test_stop(self) -> None:
        """Who waits is told what was known, and nothing is left."""
        self.reactor.hanging = True
        resolving = self.names.resolve(NAME)
        self.names.stop()
        self.assertEqual(self.successResultOf(resolving), [])
        self.assertEqual((self.reactor.getDelayedCalls(), self.lines(LogLevel.warn)), ([], []))

    def test_name_servers_that_hang(self) -> None:
        """They are not waited for."""
        self.reactor.names[NAME] = ["34.1.1.1"]
        servers = PlayedServers()
        hanging: Deferred[Any] = Deferred()
        self.patch(servers, "lookupAddress", lambda *_, **__: hanging)
        self.use(servers)
        self.assertEqual(self.resolve(), ["34.1.1.1"])
        self.names.stop()
        self.assertTrue(hanging.called)


class LocalDNS(dns.DNSDatagramProtocol):
    """A name server that knows one name, on a port of this host."""

    def __init__(self) -> None:
        super().__init__(self)
        self.queries: list[bytes] = []

    def messageReceived(self, message: dns.Message, proto: Any, address: Any = None) -> None:
        self.queries += [query.name.name for query in message.queries]
        message.answer, message.recDes = True, False
        message.answers = [dns.RRHeader(NAME, dns.A, ttl=77, payload=dns.Record_A("34.1.1.1", 77))]
        self.writeMessage(message, address)


class SystemTests(TestCase):
    """For how long, as this system's files and name servers say; the latter on real sockets of this host."""

    timeout = 20

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.server = LocalDNS()
        port: Any = reactor.listenUDP(0, self.server, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.patch(nameservers, "DNS_PORT", port.getHost().port)
        self.hosts, self.configuration = Path(self.mktemp()), Path(self.mktemp())
        self.hosts.write_text("34.1.1.9 near.example\n2a00::9 near.example\n")
        self.configuration.write_text("# made up\nsearch example\nnameserver\nnameserver 127.0.0.1\n")

    async def ttls(self, name: str, version: int) -> list[int]:
        from twisted.internet import reactor

        resolver = SystemTTLs(reactor, str(self.hosts), str(self.configuration))
        lookUp = resolver.lookupAddress if version == 4 else resolver.lookupIPV6Address
        answers, _, _ = await lookUp(name)
        return [answer.ttl for answer in answers]

    async def test_hosts_file(self) -> None:
        """What stands there is asked of nobody else."""
        for version in (4, 6):
            self.assertEqual(await self.ttls("near.example", version), [DEFAULT_TTL])
        self.assertEqual(self.server.queries, [])

    async def test_name_server(self) -> None:
        """The others are, and nothing is left behind."""
        self.assertEqual(await self.ttls(NAME, 4), [77])
        self.assertEqual(self.server.queries, [NAME.encode()])

    async def test_unreachable_server(self) -> None:
        """The next one is asked, as for lists in DNS."""
        self.configuration.write_text("nameserver fe80::1%nosuch\nnameserver 127.0.0.2\nnameserver 127.0.0.1\n")
        self.assertEqual(await self.ttls(NAME, 4), [77])

    async def test_no_configuration(self) -> None:
        """Without name servers that of this host is asked, as glibc does."""
        self.configuration.unlink()
        self.assertEqual(await self.ttls(NAME, 4), [77])

    async def test_bad_hosts_file(self) -> None:
        """Lines that cannot be read cost only themselves; a file that is none, too."""
        self.hosts.write_bytes(
            b"\xff\xfe near.example\n# 34.1.1.8 near.example\nnear.example\nx near.example\n34.1.1.9 near.example\r\n"
        )
        self.assertEqual(await self.ttls("near.example", 4), [DEFAULT_TTL])
        self.hosts.unlink()
        self.hosts.mkdir()
        self.assertEqual(await self.ttls(NAME, 4), [77])


class FunctionTests(SynchronousTestCase):
    """What is there beside."""

    def test_resolveHost(self) -> None:
        """IPv4 first, for those who have a socket of one family."""
        reactor = PlayedReactor()
        reactor.names[NAME] = ["2a00::1", "34.1.1.1"]
        resolving = resolveHost(reactor, NAME)
        reactor.advance(0)
        self.assertEqual([str(ip) for ip in self.successResultOf(resolving)], ["34.1.1.1", "2a00::1"])

    def test_pretended_network(self) -> None:
        """It has no name servers that could be asked, and the system's are none of its."""
        from twisted.internet import reactor

        self.assertFalse(isReal(MemoryNetwork().host("34.1.1.1")))
        self.assertTrue(isReal(reactor))
