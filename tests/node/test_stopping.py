"""
Tests of a stop in which something goes wrong: it comes to its end all the same, and says what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.errors import LocalProtocolError, ServerStopped
from devp2p_tx.net.rlpx.protocol import DISCONNECT_TIMEOUT
from devp2p_tx.node import nopeers as nopeersModule
from devp2p_tx.node import stopping as stoppingModule
from devp2p_tx.node.discovery import CLOSE_TIMEOUT
from devp2p_tx.node.stopping import STOP_TIMEOUT, Part, stopParts
from tests.node.slow import SlowEndpoint
from tests.node.support import PORT, ServerTestCase, addressOf, node


class PartError(Exception):
    """What a part raises."""


def failing() -> None:
    """Stop a part that cannot be stopped."""
    raise PartError("no")


class PartsTests(SynchronousTestCase):
    """L{stopParts}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.said: list[dict[str, Any]] = []
        self.patch(stoppingModule._log, "observer", self.said.append)

    def stop(self, *parts: Part) -> Deferred[Any]:
        """Stop some parts."""
        return stopParts(self.clock, parts)

    def names(self) -> list[str]:
        """The parts that the log names."""
        return [event["part"] for event in self.said]

    def test_nothing(self) -> None:
        self.successResultOf(self.stop())

    def test_all_are_stopped(self) -> None:
        """What one raises, or fails with, is logged, and keeps no other part from being stopped."""
        stopped: list[str] = []
        ending: Deferred[None] = Deferred()
        over = self.stop(
            ("a", failing),
            ("b", lambda: stopped.append("b")),
            ("c", lambda: fail(PartError("no"))),
            ("d", lambda: stopped.append("d") or ending),  # type: ignore[func-returns-value]
        )
        self.assertEqual((stopped, self.names()), (["b", "d"], ["a", "c"]))
        self.assertNoResult(over)
        ending.callback(None)
        self.successResultOf(over)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_deadline(self) -> None:
        """A part that does not end is named, cancelled, and not waited for; what it says later is of no interest."""
        cancelled: list[Deferred[Any]] = []
        endless: Deferred[None] = Deferred(cancelled.append)
        over = self.stop(("endless", lambda: endless))
        self.clock.advance(STOP_TIMEOUT - 0.1)
        self.assertNoResult(over)
        self.assertEqual((self.said, cancelled), ([], []))
        self.clock.advance(0.1)
        self.successResultOf(over)
        self.assertEqual((self.names(), cancelled), (["endless"], [endless]))
        self.assertEqual(self.said[0]["timeout"], STOP_TIMEOUT)
        self.assertIsNone(self.successResultOf(endless))

    def test_a_canceller_that_raises(self) -> None:
        """Nor does a mistake in a canceller keep anybody waiting."""
        endless: Deferred[None] = Deferred(lambda _: failing())
        over = self.stop(("endless", lambda: endless))
        self.clock.advance(STOP_TIMEOUT)
        self.successResultOf(over)
        self.assertEqual(self.names(), ["endless", "endless"])

    def test_cancelled_by_others(self) -> None:
        """A part that was cancelled meanwhile has not stopped in order: that is logged."""
        self.successResultOf(self.stop(("a", lambda: fail(CancelledError()))))
        self.assertEqual(self.names(), ["a"])


class FaultyMapping:
    """A way through a NAT whose start or stop is what a test wants."""

    def __init__(self, start: Callable[[], object], stop: Callable[[], object]) -> None:
        self._start, self._stop = start, stop

    def __call__(self, *arguments: object) -> FaultyMapping:
        return self

    def start(self, *sockets: object) -> None:
        """See C{PortMapping}."""
        self._start()

    def stop(self) -> object:
        """See C{PortMapping}."""
        return self._stop()

    def info(self) -> None:
        """See C{PortMapping}."""


def nothing() -> None:
    """Do nothing."""


class ServerStopTests(ServerTestCase):
    """L{Server.stopService}."""

    def setUp(self) -> None:
        super().setUp()
        self.said: list[dict[str, Any]] = []
        self.patch(stoppingModule._log, "observer", self.said.append)

    def named(self) -> list[str]:
        """The parts that the log names."""
        return [event["part"] for event in self.said]

    def assertClosed(self, number: int = 1) -> None:
        """Nothing is left of a server."""
        host, server = self.host(number), self.servers[number]
        self.assertEqual((host.getDelayedCalls(), host._ports), ([], {}))
        self.assertEqual((server.peers(), server.isRunning), ([], False))

    def test_a_mapping_that_raises(self) -> None:
        """Peers are told, ports closed, and the database is written, whatever a plugged-in part does."""
        server = self.make(1, mapping=FaultyMapping(nothing, failing))
        self.successResultOf(server.startService())
        peer = self.call(2, 1)
        stopping = server.stopService()
        self.moment(DISCONNECT_TIMEOUT)
        self.successResultOf(stopping)
        self.assertTrue(peer.ended)
        self.assertEqual(self.kinds(1), ["add", "drop"])
        self.assertEqual(self.named(), ["the port mapping (nat)"])
        self.assertClosed()

    def test_a_mapping_that_never_ends(self) -> None:
        """It is waited for until the deadline."""
        server = self.make(1, mapping=FaultyMapping(nothing, Deferred))
        self.successResultOf(server.startService())
        stopping = [server.stopService(), server.stopService()]
        self.moment(STOP_TIMEOUT - 0.1)
        for each in stopping:
            self.assertNoResult(each)
        self.moment(0.2)
        for each in stopping:
            self.successResultOf(each)
        self.assertEqual(self.named(), ["the port mapping (nat)"])
        self.assertClosed()

    def test_a_start_that_fails_half_way(self) -> None:
        """What was open by then is closed, also if what failed cannot be stopped."""
        for number, stop in ((1, failing), (2, nothing)):
            server = self.make(number, mapping=FaultyMapping(failing, stop), discovery=True)
            starting = server.startService()
            self.moment()
            self.failureResultOf(starting, PartError)
            self.successResultOf(server.stopService())
            self.assertClosed(number)
        self.assertEqual(self.named(), ["the port mapping (nat)"])

    def test_every_part(self) -> None:
        """Whichever part fails to stop, the stop ends, and the log names the part."""
        for number, (holder, method, name) in enumerate(
            [
                ("_noPeers", "stop", "the warning about no peers"),
                ("_accepting", "close", "taking connections"),
                ("_dialer", "stop", "the dialer"),
                ("_names", "stop", "the lookups of host names"),
                ("_discovery._advertising", "stop", "the addresses in our record"),
                ("_discovery.discv4", "stop", "discv4"),
                ("_discovery._edge", "close", "the UDP sockets"),
                ("_discovery._store", "close", "the node database"),
            ],
            1,
        ):
            server = self.start(number, discovery=True)
            part: Any = server
            for attribute in holder.split("."):
                part = getattr(part, attribute)
            really = getattr(part, method)

            def fails(really: Callable[[], object] = really) -> None:
                really()
                failing()

            setattr(part, method, fails)
            stopping = server.stopService()
            self.moment()
            self.successResultOf(stopping)
            self.assertIn(name, self.named())
            setattr(part, method, really)
            self.assertClosed(number)

    def test_bounded(self) -> None:
        """All rounds together stay under what supervisors of containers wait before they kill."""
        self.assertLess(STOP_TIMEOUT + 2 * CLOSE_TIMEOUT + DISCONNECT_TIMEOUT, 10)

    def test_an_endpoint_that_never_opens(self) -> None:
        """The start is given up at once; a port that comes afterwards is closed."""
        endpoint = SlowEndpoint()
        server = self.make(1, listen=[PORT, endpoint])
        starting = server.startService()
        self.moment()
        self.assertNoResult(starting)
        stopping = server.stopService()
        self.moment()
        self.successResultOf(stopping)
        self.failureResultOf(starting, ServerStopped)
        endpoint.asked.callback(self.host(1).listenTCP(PORT + 1, endpoint.factory))
        self.moment()
        self.assertClosed()
        self.failureResultOf(server.startService(), LocalProtocolError)

    def test_an_endpoint_that_gives_no_port(self) -> None:
        """The sentence names the endpoint, and what was open before is closed."""
        endpoint = SlowEndpoint()
        endpoint.asked.callback(None)  # type: ignore[arg-type]
        server = self.make(1, listen=[PORT, endpoint])
        starting = server.startService()
        self.moment()
        error = self.failureResultOf(starting, TypeError).value
        self.assertIn("gave None, which is no listening port", str(error))
        self.assertClosed()

    def test_an_endpoint_that_fails_too_late(self) -> None:
        """What the endpoint fails with after the stop is logged, since nobody waits for it."""
        endpoint = SlowEndpoint()
        server = self.make(1, listen=endpoint)
        starting = server.startService()
        server.stopService()
        self.moment()
        self.failureResultOf(starting, ServerStopped)
        endpoint.asked.errback(PartError("late"))
        self.assertEqual(len(self.flushLoggedErrors(PartError)), 1)

    def test_a_cancelled_start(self) -> None:
        """A start that takes long may be given up by stopping, not by cancelling what was returned."""
        endpoint = SlowEndpoint()
        server = self.make(1, listen=endpoint)
        starting = server.startService()
        starting.cancel()
        self.failureResultOf(starting, CancelledError)
        endpoint.asked.callback(self.host(1).listenTCP(PORT, endpoint.factory))
        self.moment()
        self.assertTrue(server.isRunning)
        self.successResultOf(server.whenStarted())


class SlowListenerTests(ServerTestCase):
    """A second place to listen at that opens slowly, such as an onion service."""

    def test_peers_meanwhile(self) -> None:
        """A peer comes by the first one: nothing is said of having none, and no timer survives the stop."""
        endpoint = SlowEndpoint()
        said: list[str] = []
        self.patch(nopeersModule._log, "observer", lambda event: said.append(event["log_format"]))
        server = self.make(1, listen=[PORT, endpoint])
        starting = server.startService()
        self.start(3, staticNodes=[node(1)])
        self.moment(400)
        self.assertNoResult(starting)
        endpoint.asked.callback(self.host(1).listenTCP(PORT + 1, endpoint.factory, interface=addressOf(1)))
        self.successResultOf(starting)
        self.moment(40)
        self.assertEqual((self.numbers(1), said), ([3], []))
        stopping = server.stopService()
        self.moment(2)
        self.successResultOf(stopping)
        self.assertEqual(self.host(1).getDelayedCalls(), [])

    def test_peers_meanwhile_and_the_stop(self) -> None:
        """The same, stopped before the second one is open."""
        server = self.make(1, listen=[PORT, SlowEndpoint()], staticNodes=[node(3)])
        server.startService().addErrback(lambda failure: failure.trap(ServerStopped))
        peer = self.call(2, 1)
        stopping = server.stopService()
        self.moment(2)
        self.successResultOf(stopping)
        self.assertTrue(peer.ended)
        self.assertEqual(self.host(1).getDelayedCalls(), [])
