"""
Tests for capabilities written as coroutines.
"""

from __future__ import annotations

from typing import Any

from devp2p_tx.errors import DisconnectReason, LocalProtocolError
from devp2p_tx.interfaces import IPeer
from tests.net.rlpx.coroutines import CoroutineCase
from tests.net.rlpx.support import FIRST


class TestCoroutines(CoroutineCase):
    def test_readsAndWrites(self) -> None:
        async def run(peer: Any, rw: Any) -> None:
            await rw.writeMessage(0, b"welcome")
            while True:
                code, payload = await rw.readMessage()
                await rw.writeMessage(code, payload[::-1])

        peer = self.run_(run)
        for payload in (b"abc", b"def"):
            peer.send(FIRST + 1, payload)
        self.network.settle()
        self.assertEqual((peer.payloads(FIRST), peer.payloads(FIRST + 1)), ([b"welcome"], [b"cba", b"fed"]))
        peer.sendDisconnect(0)
        self.network.settle()
        self.assertQuiet()
        self.assertNothingLeft()

    def test_peer(self) -> None:
        """It is given what a Server would give it."""
        peers: list[Any] = []

        async def run(peer: Any, rw: Any) -> None:
            peers.append(peer)

        self.run_(run)
        [peer] = peers
        self.assertTrue(IPeer.providedBy(peer))
        self.assertEqual((peer.node.public_key, peer.inbound), (self.ours.remoteKey, True))

    def test_returns(self) -> None:
        async def run(peer: Any, rw: Any) -> None:
            await rw.readMessage()
            await rw.writeMessage(0, b"goodbye")

        peer = self.run_(run)
        peer.send(FIRST, b"that is all")
        self.network.settle()
        self.assertEqual(
            (peer.payloads(FIRST), peer.disconnectReason), ([b"goodbye"], DisconnectReason.CLIENT_QUITTING)
        )
        self.assertTrue(peer.ended)
        self.assertQuiet()
        self.assertNothingLeft()

    def test_returnsAtOnce(self) -> None:
        async def run(peer: Any, rw: Any) -> None:
            pass

        self.assertEqual(self.run_(run).disconnectReason, DisconnectReason.CLIENT_QUITTING)

    def test_raises(self) -> None:
        async def run(peer: Any, rw: Any) -> None:
            await rw.readMessage()
            raise ZeroDivisionError

        peer = self.run_(run)
        peer.send(FIRST, b"hello")
        self.network.settle()
        self.assertEqual((peer.disconnectReason, peer.ended), (DisconnectReason.SUBPROTOCOL_ERROR, True))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_raisesAtOnce(self) -> None:
        async def run(peer: Any, rw: Any) -> None:
            raise ZeroDivisionError

        self.assertEqual(self.run_(run).disconnectReason, DisconnectReason.SUBPROTOCOL_ERROR)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_badCode(self) -> None:
        async def run(peer: Any, rw: Any) -> None:
            await rw.writeMessage(2, b"")

        self.assertEqual(self.run_(run).disconnectReason, DisconnectReason.SUBPROTOCOL_ERROR)
        self.assertEqual(len(self.flushLoggedErrors(LocalProtocolError)), 1)

    def test_twoReaders(self) -> None:
        errors: list[Exception] = []

        async def run(peer: Any, rw: Any) -> None:
            first = rw.readMessage()
            try:
                rw.readMessage()
            except RuntimeError as error:
                errors.append(error)
            await first

        self.run_(run)
        self.assertEqual(len(errors), 1)
