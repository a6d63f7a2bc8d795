"""
Tests for L{devp2p_tx.net.rlpx.faults}: capabilities that raise for what peers send.
"""

from __future__ import annotations

from typing import Any

from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.errors import (
    CapabilityFailed,
    DisconnectReason,
    InvalidRLP,
    MessageError,
    ProxyHeaderError,
    RemoteProtocolError,
)
from devp2p_tx.net.rlpx.capability import CoroutineCapability, MessageStream
from devp2p_tx.net.rlpx.faults import LOG_INTERVAL
from devp2p_tx.testing import ScriptedPeer
from tests.net.rlpx.support import FIRST, ConnectionCase, Recorder, Recording


class Failing(Recorder):
    """Raises for each message: what the test has it raise."""

    error: Exception = ZeroDivisionError("ours")

    def messageReceived(self, code: int, payload: bytes) -> None:
        raise self.error


class FaultCase(ConnectionCase):
    def strikeWith(self, error: Exception) -> ScriptedPeer:
        """Let the capability raise for the message of another peer."""
        Failing.error = error
        self.capability = Recording(self.clock, make=Failing)
        peer = self.scriptedFor(self.capability)
        peer.send(FIRST, b"a message of a stranger")
        self.network.settle()
        self.assertTrue(peer.ended)
        return peer


class TestOwnFaults(FaultCase):
    """What is the fault of our code."""

    def setUp(self) -> None:
        super().setUp()
        Failing.error = ZeroDivisionError("ours")
        self.capability = Recording(self.clock, make=Failing)
        self.speak(self.capability)

    def strike(self, times: int) -> None:
        for _ in range(times):
            peer = self.scripted()
            peer.send(FIRST, b"a message of a stranger")
            self.network.settle()
            self.assertEqual(peer.disconnectReason, DisconnectReason.SUBPROTOCOL_ERROR)
            self.assertIsInstance(self.reason, CapabilityFailed)

    def test_onceAMinute(self) -> None:
        """Twenty messages of strangers are one traceback; the next, a minute later, tells how many were not logged."""
        self.strike(20)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.network.advance(LOG_INTERVAL - 1)
        self.strike(1)
        self.assertEqual(self.flushLoggedErrors(ZeroDivisionError), [])
        self.logged.clear()
        self.network.advance(1)
        self.strike(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn(20, [event.get("silent") for event in self.logged])
        self.assertEqual(self.factory.metrics.value("capability_failures", capability="echo/1"), 22)

    def test_eachCapability(self) -> None:
        """Another capability has a minute of its own."""
        other = Recording(self.clock, "other", make=Failing)
        self.speak(self.capability, other)
        self.strike(1)
        peer = self.scripted(caps=(Cap("other", 1),))
        peer.send(FIRST, b"")
        self.network.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class TestRemoteFaults(FaultCase):
    """What the capability says is the fault of the peer."""

    def test_itsOwnReason(self) -> None:
        """The peer is told what the class of the error says; nothing is logged above debug, however often."""
        for error in (MessageError("no such block"), InvalidRLP("no list"), MessageError("\x1b[31m")):
            peer = self.strikeWith(error)
            self.assertEqual(peer.disconnectReason, DisconnectReason.BREACH_OF_PROTOCOL)
            self.assertIs(self.reason, error)
        self.assertQuiet()

    def test_withoutAReason(self) -> None:
        """An error that names none is a subprotocol error."""
        for error in (ProxyHeaderError("?"), RemoteProtocolError("?")):
            self.assertEqual(self.strikeWith(error).disconnectReason, DisconnectReason.SUBPROTOCOL_ERROR)
        self.assertQuiet()

    def test_ofACoroutine(self) -> None:
        """Likewise if a coroutine raises it."""

        async def run(peer: Any, rw: MessageStream) -> None:
            await rw.readMessage()
            raise MessageError("bad")

        capability = CoroutineCapability("echo", 1, 2, run)
        peer = self.scriptedFor(capability)
        peer.send(FIRST, b"")
        self.network.settle()
        self.assertEqual(peer.disconnectReason, DisconnectReason.BREACH_OF_PROTOCOL)
        self.assertQuiet()
