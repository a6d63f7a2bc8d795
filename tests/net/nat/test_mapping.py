"""
Tests for L{devp2p_tx.net.nat.mapping}: hours of the loop, with a router that does as it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.core.nat.ports import Mapping, Transport
from devp2p_tx.errors import NoRouter, PortMappingError, RouterRefused, RouterSilent
from devp2p_tx.interfaces import IPortMapper
from devp2p_tx.net.nat.mapping import (
    CALL_TIMEOUT,
    END_TIMEOUT,
    MAX_FAILURES,
    MAX_LIFE,
    MIN_REFRESH,
    STOP_TIMEOUT,
    TIMING,
    MappedPort,
    MappingLoop,
)
from devp2p_tx.testing._clock import VirtualClock

IP, OTHER_IP = ip_address("11.0.0.1"), ip_address("11.0.0.2")
MINUTE = 60.0


@implementer(IPortMapper)
class FakeMapper:
    """
    A router.

    @ivar log: what it was asked, with the minute.
    @ivar ip: its outer address; an error to fail with.
    @ivar grant: what becomes of a request: a mapping, an error, or nothing for ever.
    @ivar lost: the transports that it has forgotten.
    """

    mechanism, name = "fake", "a fake"

    def __init__(self, clock: VirtualClock, mapsPorts: bool = True) -> None:
        self.log: list[tuple[float, str]] = []
        self.mapsPorts = mapsPorts
        self.ip: IPAddress | PortMappingError = IP
        self.grant: Callable[[Mapping], Any] = lambda wanted: replace(
            wanted, external=wanted.external or wanted.internal
        )
        self.lost: set[Transport] = set()
        self.delete: Callable[[], Deferred[None]] = lambda: succeed(None)
        self._clock = clock

    def _note(self, what: str) -> None:
        self.log.append((round(self._clock.seconds() / MINUTE, 2), what))

    @staticmethod
    def _result(value: Any) -> Deferred[Any]:
        if value is None:
            return Deferred()
        return fail(value) if isinstance(value, Exception) else succeed(value)

    def externalIP(self) -> Deferred[IPAddress]:
        self._note("address")
        return self._result(self.ip)

    def addMapping(self, wanted: Mapping) -> Deferred[Mapping]:
        self._note(f"map {wanted.transport.name} {wanted.internal} to {wanted.external} for {wanted.lifetime:g}")
        return self._result(self.grant(wanted))

    def deleteMapping(self, mapping: Mapping) -> Deferred[None]:
        self._note(f"delete {mapping.transport.name} {mapping.external}")
        return self.delete()

    def hasMapping(self, mapping: Mapping) -> Deferred[bool]:
        return succeed(mapping.transport not in self.lost)

    def minutes(self, what: str) -> list[float]:
        """When it was asked for something."""
        return [minute for minute, each in self.log if what in each]


class LoopTestCase(SynchronousTestCase):
    """
    @ivar told: what the loop told, with the minute.
    """

    mapsPorts = True

    def setUp(self) -> None:
        self.clock, self.metrics = VirtualClock(), Metrics()
        self.told: list[tuple[float, str]] = []
        self.errors: list[str] = []
        self.mapper = FakeMapper(self.clock, self.mapsPorts)
        self.searches: list[Any] = []
        self.found: Callable[[], Any] = lambda: self.mapper
        self.loop: MappingLoop

    def find(self) -> Deferred[IPortMapper]:
        """A search."""
        self.searches.append(round(self.clock.seconds() / MINUTE, 2))
        found = self.found()
        return fail(found) if isinstance(found, Exception) else succeed(found)

    def start(self, *transports: Transport) -> None:
        """Begin."""
        ports = [MappedPort(each, 30303) for each in transports or (Transport.TCP,)]
        self.loop = MappingLoop(self.find, ports, self, self.clock, self.clock.seconds, self.metrics)
        self.addCleanup(self._nothingIsLeft)
        self.loop.start()

    def _nothingIsLeft(self) -> None:
        stopped = self.loop.stop()
        self.clock.advance(STOP_TIMEOUT)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def advance(self, minutes: float) -> None:
        """Let time go by."""
        self.clock.advance(minutes * MINUTE)

    def _tell(self, what: str) -> None:
        self.told.append((round(self.clock.seconds() / MINUTE, 2), what))

    def addressIs(self, ip: IPAddress | None) -> None:
        self._tell(f"at {ip}")

    def mapped(self, mapping: Mapping) -> None:
        self._tell(f"mapped {mapping.transport.name} to {mapping.external}")

    def lost(self, mapping: Mapping, why: str) -> None:
        self._tell(f"lost {mapping.transport.name} {mapping.external}: {why}")

    def changed(self) -> None:
        self.errors.append(self.loop.error or next((port.error for port in self.loop.ports if port.error), ""))

    def failing(self, kind: str = "no answer") -> None:
        """From now on nothing is mapped."""
        self.mapper.grant = lambda wanted: {"no answer": RouterSilent("silence"), "refused": RouterRefused(2, "no")}[
            kind
        ]


class LifeTests(LoopTestCase):
    """A loop whose router is well."""

    def test_times(self) -> None:
        """A lease of 20 minutes is asked for, renewed each 8 minutes; the address is asked for each 2."""
        self.assertEqual(TIMING, (20 * MINUTE, 8 * MINUTE, 5 * MINUTE, 2 * MINUTE))
        self.start()
        self.advance(25)
        maps = [(minute, what) for minute, what in self.mapper.log if "map" in what]
        first, again = "map TCP 30303 to 0 for 1200", "map TCP 30303 to 30303 for 1200"
        self.assertEqual(maps, [(0, first), (8, again), (16, again), (24, again)])
        self.assertEqual(self.mapper.minutes("address"), [2.0 * each for each in range(13)])
        self.assertEqual(self.told, [(0, "mapped TCP to 30303"), (0, "at 11.0.0.1")])
        self.assertEqual(self.searches, [0])

    def test_is_what_it_should_be(self) -> None:
        """The fake is as the interface says."""
        verifyObject(IPortMapper, self.mapper)
        self.start()

    def test_both_transports(self) -> None:
        """Each has a mapping of its own."""
        self.start(Transport.TCP, Transport.UDP)
        self.advance(9)
        self.assertEqual(self.mapper.minutes("map TCP"), [0, 8])
        self.assertEqual(self.mapper.minutes("map UDP"), [0, 8])

    def test_counters(self) -> None:
        """Every attempt is counted, every failure with its reason."""
        self.start()
        self.advance(8)
        value = self.metrics.value
        self.assertEqual(value("nat_attempts", mechanism="fake", action="map"), 2)
        self.assertEqual(value("nat_attempts", mechanism="fake", action="address"), 5)
        self.failing()
        self.advance(8)
        self.assertEqual(value("nat_failures", mechanism="fake", action="map", reason="no answer"), 1)

    def test_short_life(self) -> None:
        """A shorter life than was asked for is renewed at its half; however short it is, not without end."""
        self.mapper.grant = lambda wanted: replace(wanted, external=30303, lifetime=60)
        self.start()
        self.advance(2)
        self.assertEqual(self.mapper.minutes("map"), [0, 0.5, 1, 1.5, 2])
        self.mapper.grant = lambda wanted: replace(wanted, external=30303, lifetime=0.001)
        self.advance(1)
        self.assertLessEqual(len(self.mapper.minutes("map")), 5 + 60 / MIN_REFRESH)

    def test_other_port(self) -> None:
        """Another port than was wished for is told, and asked for from then on; and so is the next."""
        self.mapper.grant = lambda wanted: replace(wanted, external=wanted.external or 41000)
        self.start()
        self.advance(9)
        self.assertEqual(self.mapper.minutes("to 41000"), [8])
        self.mapper.grant = lambda wanted: replace(wanted, external=42000)
        self.advance(8)
        self.assertEqual(self.told, [(0, "mapped TCP to 41000"), (0, "at 11.0.0.1"), (16, "mapped TCP to 42000")])

    def test_stop(self) -> None:
        """At the end all is deleted, and nothing goes on."""
        self.start(Transport.TCP, Transport.UDP)
        self.advance(3)
        self.successResultOf(self.loop.stop())
        self.assertEqual(self.mapper.log[-2:], [(3, "delete TCP 30303"), (3, "delete UDP 30303")])
        count = len(self.mapper.log)
        self.advance(60)
        self.assertEqual(len(self.mapper.log), count)

    def test_stop_is_bounded(self) -> None:
        """A router that does not answer holds up the end for a moment only; one that refuses, not at all."""
        self.start(Transport.TCP, Transport.UDP)
        self.mapper.delete = lambda: fail(RouterRefused(2, "no"))
        self.successResultOf(self.loop.stop())
        self.assertEqual(self.mapper.minutes("delete UDP"), [0])
        self.mapper.delete = Deferred
        stopped = self.loop.stop()
        self.clock.advance(STOP_TIMEOUT - 0.1)
        self.assertNoResult(stopped)
        self.clock.advance(0.1)
        self.successResultOf(stopped)

    def test_stop_side_by_side(self) -> None:
        """A deletion that nobody answers does not keep back the next one; both together are bounded."""
        self.start(Transport.TCP, Transport.UDP)
        self.advance(3)
        self.mapper.delete = Deferred
        stopped = self.loop.stop()
        self.assertEqual(self.mapper.log[-2:], [(3, "delete TCP 30303"), (3, "delete UDP 30303")])
        self.clock.advance(STOP_TIMEOUT)
        self.successResultOf(stopped)

    def test_stop_with_a_mistake(self) -> None:
        """A mapper that raises something else than it may is told of, and the other deletion is waited for."""
        self.start(Transport.TCP, Transport.UDP)
        self.advance(3)
        answers: list[Deferred[None]] = [fail(ZeroDivisionError()), Deferred()]
        waiting = answers[1]
        self.mapper.delete = lambda: answers.pop(0) if answers else succeed(None)
        stopped = self.loop.stop()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertNoResult(stopped)
        waiting.callback(None)
        self.successResultOf(stopped)

    def test_stop_while_asking(self) -> None:
        """What was just being asked for is deleted, too: it may have been mapped."""
        self.mapper.grant = lambda wanted: None
        self.start()
        self.successResultOf(self.loop.stop())
        self.assertEqual([what for _, what in self.mapper.log], ["map TCP 30303 to 0 for 1200", "delete TCP 0"])

    def test_stop_while_searching(self) -> None:
        """The search ends."""
        searching: list[Deferred[Any]] = []
        self.find = lambda: searching.append(Deferred()) or searching[0]  # type: ignore[method-assign]
        self.start()
        self.successResultOf(self.loop.stop())
        self.assertTrue(searching[0].called)

    def test_who_makes_another_failure_of_it(self) -> None:
        """Being cancelled is the end, also where it comes out as a failure like others."""

        def stubborn(wanted: Mapping) -> Deferred[Mapping]:
            asked: Deferred[Mapping] = Deferred()
            asked.addErrback(lambda failure: fail(RouterSilent("cancelled")))
            return asked

        self.mapper.addMapping = stubborn  # type: ignore[method-assign]
        self.start()
        self.successResultOf(self.loop.stop())
        self.advance(60)
        self.assertEqual(self.mapper.minutes("address"), [])

    def test_mistakes_of_a_mapper(self) -> None:
        """One that raises, fails, or returns nonsense is logged, and asked again later like one that refuses."""

        def broken(*_: object) -> Any:
            raise ValueError("a mistake")

        for mistake in (broken, lambda *_: fail(ValueError("a mistake")), lambda *_: 7 // 0):
            self.setUp()
            real = self.mapper.addMapping
            self.mapper.addMapping = mistake  # type: ignore[method-assign]
            self.start()
            self.assertEqual(len(self.flushLoggedErrors(ValueError, ZeroDivisionError)), 1)
            self.assertIn("unexpected ", self.loop.ports[0].error)
            self.mapper.addMapping = real  # type: ignore[method-assign]
            self.advance(6)
            self.assertEqual(self.told[-2:], [(5, "mapped TCP to 30303"), (5, "at 11.0.0.1")])
            self.successResultOf(self.loop.stop())

    def test_nonsense_of_a_mapper(self) -> None:
        """What cannot have been mapped is a failure; a life without end is a long one."""
        for made in (
            Mapping(Transport.TCP, 30303, 0, 1200),
            Mapping(Transport.TCP, 30303, 65536, 1200),
            Mapping(Transport.TCP, 30303, 30303, 0),
            "mapped",
        ):
            self.setUp()
            self.mapper.grant = lambda wanted, made=made: made  # type: ignore[misc]
            self.start()
            self.assertIn("says that it mapped", self.loop.ports[0].error)
            self.successResultOf(self.loop.stop())
        self.setUp()
        self.mapper.grant = lambda wanted: replace(wanted, external=30303, lifetime=float("inf"))
        self.start()
        self.assertEqual((self.loop.ports[0].expires, self.loop.ports[0].due), (MAX_LIFE, TIMING.refresh))

    def test_mapper_that_hangs(self) -> None:
        """It is not waited for, for ever."""
        self.mapper.grant = lambda wanted: None
        self.start()
        self.clock.advance(CALL_TIMEOUT)
        self.assertEqual(self.loop.ports[0].error, f"no answer within {CALL_TIMEOUT:g} s")

    def test_stop_of_a_mapper_that_goes_on(self) -> None:
        """A mapper, or a search, that is not to be cancelled does not keep the loop from its end."""

        async def stubborn() -> Any:
            while True:
                try:
                    await Deferred()
                except CancelledError:
                    continue

        self.find = lambda: Deferred.fromCoroutine(stubborn())  # type: ignore[method-assign]
        self.start()
        stopped = self.loop.stop()
        self.assertNoResult(stopped)
        self.clock.advance(END_TIMEOUT)
        self.successResultOf(stopped)
        self.loop._running = None

    def test_stop_of_a_mapper_that_cannot_be_cancelled(self) -> None:
        """What raises when it is cancelled is logged; what is mapped is deleted all the same."""
        self.start()

        def cancel(_: object) -> None:
            raise ValueError("a mistake")

        self.mapper.externalIP = lambda: Deferred(cancel)  # type: ignore[method-assign]
        self.advance(2)
        self.successResultOf(self.loop.stop())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.mapper.minutes("delete TCP 30303"), [2])
        [alarm] = self.clock.getDelayedCalls()  # of what could not be cancelled
        alarm.cancel()

    def test_stop_of_a_mapper_whose_deleting_raises(self) -> None:
        """The other mapping is deleted all the same."""
        self.start(Transport.TCP, Transport.UDP)

        def delete() -> Any:
            raise ValueError("a mistake")

        self.mapper.delete = delete
        self.successResultOf(self.loop.stop())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        self.assertEqual([what for _, what in self.mapper.log[-2:]], ["delete TCP 30303", "delete UDP 30303"])
        self.mapper.delete = lambda: succeed(None)


class TroubleTests(LoopTestCase):
    """A loop whose router is not well."""

    def test_nobody_is_found(self) -> None:
        """It searches again each 5 minutes, and maps when somebody is found."""
        self.found = lambda: NoRouter("no router")
        self.start()
        self.advance(12)
        self.assertEqual(self.searches, [0, 5, 10])
        self.assertEqual((self.loop.mapper, self.loop.error), (None, "no router"))
        self.found = lambda: self.mapper
        self.advance(5)
        self.assertEqual(self.told, [(15, "mapped TCP to 30303"), (15, "at 11.0.0.1")])
        self.assertEqual(self.loop.error, "")

    def test_router_that_maps_nothing(self) -> None:
        """One that refuses is left again; what it said of our address is worth nothing. It is searched for anew."""
        self.failing("refused")
        self.start(Transport.TCP, Transport.UDP)
        self.advance(6)
        self.assertEqual(self.searches, [0, 5])
        self.assertEqual([what for _, what in self.told[:2]], ["at 11.0.0.1", "at None"])
        self.assertEqual([port.error for port in self.loop.ports], ["refused with 2 (no)"] * 2)
        self.assertIsNone(self.loop.mapper)

    def test_one_is_mapped(self) -> None:
        """If one of two is mapped the router is kept, and asked for the other one again after 5 minutes."""
        grant = self.mapper.grant
        self.mapper.grant = lambda wanted: (
            grant(wanted) if wanted.transport is Transport.TCP else RouterRefused(2, "no")
        )
        self.start(Transport.TCP, Transport.UDP)
        self.advance(11)
        self.assertEqual(self.searches, [0])
        self.assertEqual(self.mapper.minutes("map UDP"), [0, 5, 10])

    def test_renewal_fails(self) -> None:
        """A renewal that fails is tried again in 5 minutes, inside of the lease; meanwhile all stays as it is."""
        self.start()
        self.advance(1)
        self.failing()
        self.advance(13)
        self.assertEqual(self.mapper.minutes("map"), [0, 8, 13])
        self.assertEqual(len(self.told), 2)
        self.assertEqual(self.loop.ports[0].error, "silence")
        del self.mapper.grant
        self.mapper.grant = lambda wanted: wanted
        self.advance(5)
        self.assertEqual((self.loop.ports[0].error, self.loop.ports[0].failures), ("", 0))
        self.assertEqual(len(self.told), 2)

    def test_given_up(self) -> None:
        """Past 5 failures in a row the mapping is deleted and its port forgotten; it begins with a search."""
        self.assertEqual(MAX_FAILURES, 5)
        self.start()
        self.advance(1)
        self.failing()
        self.advance(31.5)  # 8, 13, 18, 23, 28: five
        self.assertEqual(self.mapper.minutes("delete"), [])
        self.advance(1.5)
        self.assertEqual(self.mapper.minutes("delete TCP 30303"), [33])
        self.assertEqual(self.told[2:], [(33, "lost TCP 30303: silence"), (33, "at None")])
        self.mapper.grant = lambda wanted: replace(wanted, external=40000)
        self.advance(5)
        self.assertEqual(self.searches, [0, 38])
        self.assertEqual(self.mapper.minutes("to 0 "), [0, 38])
        self.assertEqual(self.told[4], (38, "mapped TCP to 40000"))

    def test_short_lease_is_retried_sooner(self) -> None:
        """So that it is not over before the second try."""
        self.mapper.grant = lambda wanted: replace(wanted, external=30303, lifetime=60)
        self.start()
        self.failing()
        self.advance(1)
        self.assertEqual(self.mapper.minutes("map"), [0, 0.5, 0.75, 1])

    def test_address_changes(self) -> None:
        """Another address is told, and all is renewed: we may be in another network."""
        self.start()
        self.advance(1)
        self.mapper.ip = OTHER_IP
        self.advance(1.5)
        self.assertEqual(self.told[2:], [(2, "at 11.0.0.2")])
        self.assertEqual(self.mapper.minutes("map"), [0, 2])

    def test_address_that_cannot_be(self) -> None:
        """What a mapper says is checked, whosever it is; an IPv4-mapped address is the IPv4 address."""
        self.start()
        for nonsense in ("11.0.0.1", ip_address("127.0.0.1"), ip_address("::"), ip_address("::ffff:0.0.0.0"), 7):
            self.mapper.ip = nonsense  # type: ignore[assignment]
            self.advance(2)
            self.assertIn("says that our outer address is", self.loop.error)
            self.assertIsNone(self.loop.ip)
        self.mapper.ip = ip_address("::ffff:11.0.0.1")
        self.advance(2)
        self.assertEqual((self.loop.ip, self.loop.error), (IP, ""))

    def test_address_is_not_told(self) -> None:
        """Without an answer no address is announced, and all is renewed; with one, that is told."""
        self.start()
        self.advance(1)
        self.mapper.ip = RouterSilent("silence")
        self.advance(1.5)
        self.assertEqual(self.told[2:], [(2, "at None")])
        self.assertEqual((self.mapper.minutes("map"), self.loop.error), ([0, 2], "silence"))
        self.mapper.ip = IP
        self.advance(2)
        self.assertEqual(self.told[3:], [(4, "at 11.0.0.1")])
        self.assertEqual((self.mapper.minutes("map"), self.loop.error), ([0, 2], ""))

    def test_router_forgets(self) -> None:
        """A router that was restarted is asked for the same port, at once; where it has it nothing is told."""
        self.mapper.grant = lambda wanted: replace(wanted, external=wanted.external or 41000)
        self.start(Transport.TCP, Transport.UDP)
        self.advance(1)
        self.mapper.lost = {Transport.TCP}
        self.advance(1.5)
        self.assertEqual(self.told[3:], [])
        self.assertEqual(self.mapper.log[-1], (2, "map TCP 30303 to 41000 for 1200"))

    def test_router_forgets_for_good(self) -> None:
        """If it does not map the port again that is told; if it maps another one, that."""
        self.start(Transport.TCP, Transport.UDP)
        self.advance(1)
        self.mapper.lost = {Transport.TCP, Transport.UDP}
        self.mapper.grant = lambda wanted: (
            RouterRefused(2, "no") if wanted.transport is Transport.TCP else replace(wanted, external=41000)
        )
        self.advance(1.5)
        self.assertEqual(
            self.told[3:],
            [
                (2, "lost TCP 30303: the router forgot it, and does not map it again: refused with 2 (no)"),
                (2, "mapped UDP to 41000"),
            ],
        )

    def test_router_without_a_memory(self) -> None:
        """A router that always says that it has forgotten, or whose clock stands still, does not make us change."""
        self.mapper.lost = {Transport.TCP}
        self.start()
        self.advance(60)
        self.assertEqual(len(self.told), 2)
        self.assertEqual(len(self.mapper.minutes("map TCP")), 32)

    def test_router_does_not_say(self) -> None:
        """A router that does not say whether it has a mapping has it."""
        self.mapper.hasMapping = lambda mapping: fail(RouterSilent("silence"))  # type: ignore[method-assign]
        self.start()
        self.advance(5)
        self.assertEqual(self.mapper.minutes("map"), [0])


class AddressOnlyTests(LoopTestCase):
    """What maps nothing, such as STUN."""

    mapsPorts = False

    def test_only_the_address(self) -> None:
        """Nothing is mapped or deleted; the address is asked for again and again, whatever comes."""
        self.start()
        self.advance(3)
        self.mapper.ip = RouterSilent("silence")
        self.advance(2)
        self.mapper.ip = OTHER_IP
        self.advance(2)
        self.assertEqual(self.told, [(0, "at 11.0.0.1"), (4, "at None"), (6, "at 11.0.0.2")])
        self.assertEqual(self.mapper.minutes("map"), [])
        self.assertEqual(self.searches, [0])
        self.successResultOf(self.loop.stop())
        self.assertEqual(self.mapper.minutes("delete"), [])
