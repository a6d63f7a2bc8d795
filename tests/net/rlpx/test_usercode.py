"""
What a capability's own code raises ends that peer, and only that.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.logger import LogLevel

from devp2p_tx.errors import CapabilityFailed, DisconnectReason, PeerRejected
from devp2p_tx.testing import ScriptedPeer, Stage
from tests.net.rlpx.support import FIRST, ConnectionCase, Recording


class BadCapability(Recording):
    """Its code raises, in one place or another."""

    def __init__(self, clock: Any, where: str, name: str = "echo") -> None:
        super().__init__(clock, name, 1, 2)
        self._where = where

    def buildProtocol(self, peer: object) -> Any:
        if self._where == "buildProtocol":
            raise ZeroDivisionError
        protocol = super().buildProtocol(peer)
        setattr(protocol, self._where, self._raise)
        return protocol

    @staticmethod
    def _raise(*arguments: object) -> None:
        raise ZeroDivisionError


class TestUserCodeThatRaises(ConnectionCase):
    def raises(self, where: str) -> ScriptedPeer:
        self.speak(BadCapability(self.clock, where))
        self.friend = self.scripted()
        peer = self.scripted()
        if where == "messageReceived":
            peer.send(FIRST, b"hello")
            self.network.settle()
        return peer

    def assertOnlyThatPeer(self, peer: ScriptedPeer) -> None:
        self.network.settle()
        self.assertEqual((peer.disconnectReason, peer.ended), (DisconnectReason.SUBPROTOCOL_ERROR, True))
        self.assertEqual(len(self.network.connections) % 2, 0)
        self.factory.built.clear()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), self.expected)

    expected = 1  # of two peers, within a minute

    def test_buildProtocol(self) -> None:
        self.assertOnlyThatPeer(self.raises("buildProtocol"))

    def test_makeConnection(self) -> None:
        self.assertOnlyThatPeer(self.raises("makeConnection"))

    def test_connectionMade(self) -> None:
        self.assertOnlyThatPeer(self.raises("connectionMade"))

    def test_messageReceived(self) -> None:
        peer = self.raises("messageReceived")
        self.assertFalse(self.friend.ended)
        self.assertOnlyThatPeer(peer)

    def test_reason(self) -> None:
        peer = self.raises("messageReceived")
        ended: list[Any] = []
        self.ours.whenEnded().addCallback(ended.append)
        self.network.settle()
        self.assertIsInstance(ended[0], CapabilityFailed)
        self.assertIsInstance(ended[0].__cause__, ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        del peer

    def test_connectionLost(self) -> None:
        peer = self.raises("connectionLost")
        peer.sendDisconnect(DisconnectReason.REQUESTED)
        self.network.settle()
        self.assertTrue(peer.ended)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertFalse(self.friend.ended)

    def test_connectionLostTellsTheOthers(self) -> None:
        good = Recording(self.clock, "good")
        peer = self.scriptedFor(BadCapability(self.clock, "connectionLost", "bad"), good)
        peer.sendDisconnect(DisconnectReason.REQUESTED)
        self.network.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(good.protocols[0].reasons), 1)

    def test_othersWereNeverThere(self) -> None:
        """A protocol that was not made learns of no end."""
        for where in ("buildProtocol", "connectionMade"):
            for name in ("a", "z"):
                good = Recording(self.clock, "good")
                self.scriptedFor(BadCapability(self.clock, where, name), good)
                self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
                for protocol in good.protocols:
                    self.assertEqual(protocol.made, len(protocol.reasons))

    def test_producer(self) -> None:
        """One that raises when it is stopped keeps nobody from being told."""
        peer = self.scripted()
        bad: Any = type("Bad", (), {"stopProducing": lambda self: 1 / 0})()
        self.recorder.transport.registerProducer(bad, True)
        peer.transport.abortConnection()
        self.network.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIsInstance(self.reason, ConnectionLost)

    def test_resumedProducer(self) -> None:
        peer = self.scripted()
        bad: Any = type("Bad", (), {"resumeProducing": lambda self: 1 / 0, "stopProducing": lambda self: None})()
        self.recorder.transport.registerProducer(bad, False)
        self.network.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(peer.disconnectReason, DisconnectReason.SUBPROTOCOL_ERROR)


class TestFactory(ConnectionCase):
    """What a subclass of the factory overrides."""

    def admit(self, error: Exception) -> ScriptedPeer:
        def admit(remote: object) -> None:
            raise error

        self.factory.admit = admit  # type: ignore[method-assign]
        peer = self.scripted()
        self.network.settle()
        self.assertTrue(peer.ended)
        return peer

    def test_mistake(self) -> None:
        """It ends the connection, and is logged: nobody else would hear of it."""
        self.admit(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_refusal(self) -> None:
        """It is told to the peer, and not logged as an error; nor is a peer that goes away."""
        peer = self.admit(PeerRejected(DisconnectReason.TOO_MANY_PEERS))
        self.assertEqual(peer.disconnectReason, DisconnectReason.TOO_MANY_PEERS)
        self.scripted(Stage.CONNECTED).transport.abortConnection()
        self.network.settle()
        self.assertEqual([event for event in self.logged if event["log_level"] >= LogLevel.warn], [])
