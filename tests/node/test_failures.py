"""
Tests of capabilities whose code fails: that is the end of the peer, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.errors import DisconnectReason
from devp2p_tx.net.rlpx.capability import Capability, CapabilityProtocol, CoroutineCapability
from devp2p_tx.testing import EchoCapability, ScriptedPeer
from tests.node.support import ServerTestCase


class BrokenError(Exception):
    """What the user's code raises."""


class Broken(CapabilityProtocol):
    """Fails where it is told to."""

    def __init__(self, where: str) -> None:
        self.where = where

    def fail(self, here: str) -> None:
        """Fail, if this is the place."""
        if here == self.where:
            raise BrokenError(here)

    def connectionMade(self) -> None:
        self.fail("made")

    def messageReceived(self, code: int, payload: bytes) -> None:
        self.fail("message")

    def connectionLost(self, reason: Failure) -> None:
        self.fail("lost")


class FailureTests(ServerTestCase):
    """One peer speaks C{bad} and C{echo}, another C{echo} only."""

    def serve(self, bad: Capability) -> tuple[ScriptedPeer, ScriptedPeer]:
        """Start a server, and connect both."""
        self.good = EchoCapability("echo")
        self.start(1, capabilities=[bad, self.good])
        healthy = self.call(2, 1, caps=[Cap("echo", 1)])
        return self.call(3, 1, caps=[Cap("bad", 1), Cap("echo", 1)]), healthy

    def serveBroken(self, where: str) -> tuple[ScriptedPeer, ScriptedPeer]:
        """The same, with a capability that fails somewhere."""
        return self.serve(Capability("bad", 1, 1, lambda: Broken(where)))

    def assertOnlyThat(self, broken: ScriptedPeer, healthy: ScriptedPeer, error: str | None) -> None:
        """The one is gone, for that reason, and the other is served as before, as is the next."""
        self.assertTrue(broken.ended)
        self.assertEqual(broken.disconnectReason, DisconnectReason.SUBPROTOCOL_ERROR)
        self.assertEqual(self.kinds(1), ["add", "add", "drop"])
        self.assertEqual(self.events[1][-1].error, error)
        self.assertServes(healthy)

    def assertServes(self, healthy: ScriptedPeer) -> None:
        """A peer that speaks C{echo} gets its echo, and another may come."""
        healthy.send(16, b"hello")
        self.moment()
        self.assertEqual(healthy.payloads(17), [b"hello"])
        self.call(4, 1)
        self.assertEqual(self.numbers(1), [2, 4])
        self.assertTrue(self.servers[1].isRunning)

    def logged(self) -> int:
        """How often the user's error was logged."""
        return len(self.flushLoggedErrors(BrokenError))

    def test_build(self) -> None:
        """In C{buildProtocol}."""

        def build() -> Any:
            raise BrokenError("build")

        broken, healthy = self.serve(Capability("bad", 1, 1, build))
        self.assertOnlyThat(broken, healthy, "<Capability bad/1>: BrokenError: build")
        self.assertEqual(self.logged(), 1)

    def test_no_protocol(self) -> None:
        """C{buildProtocol} returns what is no protocol: the sentence says so, once a minute, and the peer is told."""
        for number, wrong in enumerate((None, object(), {})):
            broken = self.call(3, self.startBad(number, lambda wrong=wrong: wrong), caps=[Cap("bad", 1)])
            self.assertEqual(broken.disconnectReason, DisconnectReason.SUBPROTOCOL_ERROR)
            for _ in range(3):
                self.call(3, 10 + number, caps=[Cap("bad", 1)])
            [failure] = self.flushLoggedErrors(TypeError)
            self.assertIn(f"buildProtocol returned {wrong!r}, which is no ICapabilityProtocol", str(failure.value))

    def startBad(self, number: int, build: Callable[[], Any]) -> int:
        """A node with a bad capability; its number."""
        self.start(10 + number, capabilities=[Capability("bad", 1, 1, build)])
        return 10 + number

    def test_connection_made(self) -> None:
        """In C{connectionMade}; the peer's other capability is told of the end."""
        broken, healthy = self.serveBroken("made")
        self.assertOnlyThat(broken, healthy, "<Channel bad/1>: BrokenError: made")
        self.assertFalse(self.good.protocols[1].connected)
        self.assertEqual(self.logged(), 1)

    def test_message_received(self) -> None:
        """In C{messageReceived}; what came with it is not delivered any more."""
        broken, healthy = self.serveBroken("message")
        self.assertEqual(self.numbers(1), [2, 3])
        broken.write(broken.frame(16, b"") + broken.frame(17, b"after"))
        self.moment()
        self.assertOnlyThat(broken, healthy, "<Channel bad/1>: BrokenError: message")
        self.assertEqual(self.good.protocols[1].requests, [])
        self.assertEqual(self.logged(), 1)

    def test_connection_lost(self) -> None:
        """In C{connectionLost}: the peer is gone all the same, and its other capabilities are told."""
        broken, healthy = self.serveBroken("lost")
        broken.sendDisconnect(DisconnectReason.REQUESTED)
        self.moment()
        self.assertEqual(self.events[1][-1].error, "disconnect requested")
        self.assertFalse(self.good.protocols[1].connected)
        self.assertServes(healthy)
        self.assertEqual(self.logged(), 1)

    def test_coroutine(self) -> None:
        """In a coroutine, later."""
        waiting: Deferred[None] = Deferred()

        async def run(peer: Any, rw: Any) -> None:
            await waiting
            raise BrokenError("run")

        broken, healthy = self.serve(CoroutineCapability("bad", 1, 1, run))
        waiting.callback(None)
        self.moment()
        self.assertOnlyThat(broken, healthy, "<Channel bad/1>: BrokenError: run")
        self.assertEqual(self.logged(), 1)

    def test_coroutine_returns(self) -> None:
        """A coroutine that returns has had enough of the peer."""

        async def run(peer: Any, rw: Any) -> None:
            await rw.readMessage()

        broken, healthy = self.serve(CoroutineCapability("bad", 1, 1, run))
        broken.send(16, b"")
        self.moment()
        self.assertEqual(broken.disconnectReason, DisconnectReason.CLIENT_QUITTING)
        self.assertServes(healthy)

    def test_while_stopping(self) -> None:
        """The server stops, whatever fails meanwhile."""
        self.serveBroken("lost")
        stopping = self.servers[1].stopService()
        self.moment(2)
        self.successResultOf(stopping)
        self.assertEqual(self.logged(), 1)
