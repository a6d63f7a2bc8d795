"""
Tests for how capabilities written as coroutines end.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from devp2p_tx.errors import DisconnectReason, PeerDisconnected
from devp2p_tx.testing._tcp import WINDOW
from tests.net.rlpx.coroutines import CoroutineCase
from tests.net.rlpx.support import FIRST


class TestEndsOfCoroutines(CoroutineCase):
    def test_readerLearnsTheReason(self) -> None:
        reasons: list[BaseException] = []

        async def run(peer: Any, rw: Any) -> None:
            try:
                await rw.readMessage()
            except Exception as error:
                reasons.append(error)
                raise

        self.run_(run).sendDisconnect(DisconnectReason.TOO_MANY_PEERS)
        self.network.settle()
        assert isinstance(reasons[0], PeerDisconnected)
        self.assertEqual((reasons[0].reason, reasons[0].remote), (DisconnectReason.TOO_MANY_PEERS, True))
        self.assertQuiet()

    def test_andAllLaterCalls(self) -> None:
        reasons: list[BaseException] = []

        async def run(peer: Any, rw: Any) -> None:
            for call in (rw.readMessage, rw.readMessage, lambda: rw.writeMessage(0, b"")):
                try:
                    await call()
                except PeerDisconnected as error:
                    reasons.append(error)

        self.run_(run).sendDisconnect(DisconnectReason.TOO_MANY_PEERS)
        self.network.settle()
        self.assertEqual(len(reasons), 3)

    def test_otherWaitsAreCancelled(self) -> None:
        cancelled: list[object] = []
        waited: list[Any] = []

        async def run(peer: Any, rw: Any) -> None:
            waited.append(Deferred(cancelled.append))
            try:
                await waited[0]
            except CancelledError:
                cancelled.append("told")
                raise

        self.run_(run).sendDisconnect(0)
        self.network.settle()
        self.assertEqual(cancelled, [waited[0], "told"])
        self.assertQuiet()
        waited.clear()
        cancelled.clear()
        self.assertNothingLeft()

    def test_messagesBeforeTheEndAreRead(self) -> None:
        received: list[bytes] = []
        go: Deferred[None] = Deferred()

        async def run(peer: Any, rw: Any) -> None:
            await go
            try:
                while True:
                    received.append((await rw.readMessage())[1])
            except PeerDisconnected as error:
                received.append(str(error).encode())

        peer = self.run_(run)
        with peer.inOneWrite():
            for payload in (b"one", b"two", b"three"):
                peer.send(FIRST, payload)
            peer.sendDisconnect(DisconnectReason.TOO_MANY_PEERS)
        self.network.advance(3)
        self.assertEqual(received, [])
        go.callback(None)
        self.network.settle()
        self.assertEqual(received, [b"one", b"two", b"three", b"too many peers"])

    def test_nothingIsReadAhead(self) -> None:
        go: Deferred[None] = Deferred()

        async def run(peer: Any, rw: Any) -> None:
            await go
            await rw.readMessage()

        peer = self.run_(run)
        peer.send(FIRST, self.network.random.randbytes(10 * WINDOW))
        peer.send(FIRST, self.network.random.randbytes(10 * WINDOW))
        self.network.settle()
        self.assertGreater(peer.transport._tempDataLen + len(peer.transport.dataBuffer), 8 * WINDOW)
        go.callback(None)

    def test_writerWaits(self) -> None:
        written: list[int] = []

        async def run(peer: Any, rw: Any) -> None:
            for number in range(1000):
                await rw.writeMessage(0, self.network.random.randbytes(10_000))
                written.append(number)

        peer = self.run_(run)
        self.network.settle()
        self.assertEqual((len(peer.payloads(FIRST)), peer.disconnectReason), (1000, DisconnectReason.CLIENT_QUITTING))

    def test_writerToOneWhoDoesNotRead(self) -> None:
        written: list[int] = []
        reasons: list[Exception] = []

        async def run(peer: Any, rw: Any) -> None:
            await rw.readMessage()
            try:
                while True:
                    await rw.writeMessage(0, self.network.random.randbytes(10_000))
                    written.append(1)
            except Exception as error:
                reasons.append(error)

        peer = self.run_(run)
        peer.stopReading()
        peer.send(FIRST, b"go on")
        self.network.settle()
        self.assertLess(len(written), 60)
        self.network.advance(20)
        self.assertEqual(len(reasons), 1)

    def test_writerWhileClosing(self) -> None:
        """It waits, for the end: otherwise it would write into the void for ever."""
        go: Deferred[None] = Deferred()
        written: list[int] = []
        reasons: list[Exception] = []

        async def run(peer: Any, rw: Any) -> None:
            await go
            try:
                while len(written) < 1000:
                    await rw.writeMessage(0, b"x")
                    written.append(1)
            except PeerDisconnected as error:
                reasons.append(error)

        peer = self.run_(run)
        peer.stopReading()
        self.ours.disconnect(DisconnectReason.REQUESTED)
        self.network.settle()
        go.callback(None)
        self.assertEqual((written, reasons), ([], []))
        self.network.advance(1)
        self.assertEqual((written, len(reasons)), ([], 1))

    def test_cancelledReadLosesNothing(self) -> None:
        received: list[bytes] = []
        go: Deferred[None] = Deferred()

        async def run(peer: Any, rw: Any) -> None:
            reading = rw.readMessage()
            await go
            reading.addErrback(lambda failure: failure.trap(CancelledError))
            reading.cancel()
            received.append((await rw.readMessage())[1])

        peer = self.run_(run)
        go.callback(None)
        peer.send(FIRST, b"kept")
        self.network.settle()
        self.assertEqual(received, [b"kept"])

    def test_cancelledWrite(self) -> None:
        go: Deferred[None] = Deferred()
        errors: list[object] = []

        async def run(peer: Any, rw: Any) -> None:
            await go
            writing = rw.writeMessage(0, self.network.random.randbytes(10 * WINDOW))
            writing = rw.writeMessage(0, self.network.random.randbytes(10 * WINDOW))
            writing.addErrback(lambda failure: errors.append(failure.type))
            writing.cancel()
            await rw.readMessage()

        peer = self.run_(run)
        peer.stopReading()
        go.callback(None)
        self.assertEqual(errors, [CancelledError])
        peer.readAgain()
        self.network.settle()
        self.assertEqual(len(peer.payloads(FIRST)), 2)


class TestLateFailures(CoroutineCase):
    """What a coroutine does once its peer has gone."""

    def test_waitsElsewhereWithAMessageUnread(self) -> None:
        cancelled: list[object] = []

        async def run(peer: Any, rw: Any) -> None:
            await Deferred(cancelled.append)  # such as for the next block, which never comes

        peer = self.run_(run)
        peer.send(FIRST, b"unread")
        self.network.settle()
        self.ours.disconnect(DisconnectReason.CLIENT_QUITTING)
        self.network.advance(1)
        self.assertEqual(len(cancelled), 1)

    def test_errorAfterTheEnd(self) -> None:
        async def run(peer: Any, rw: Any) -> None:
            try:
                await rw.readMessage()
            finally:
                _ = 1 / 0

        self.run_(run).sendDisconnect(0)
        self.network.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
