"""
Messages that cannot be read, or are too many.
"""

from __future__ import annotations

from twisted.internet.task import LoopingCall

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.p2p.messages import PING
from devp2p_tx.core.rlpx.connection import MAX_PENDING_PONGS
from devp2p_tx.errors import (
    DisconnectReason,
    InvalidSnappy,
    MessageError,
    Timeout,
)
from devp2p_tx.net.rlpx.protocol import WRITE_TIMEOUT
from devp2p_tx.testing import snappyBomb
from devp2p_tx.testing._tcp import WINDOW
from tests.net.rlpx.badinput import BadInputCase
from tests.net.rlpx.support import FIRST


class TestMessages(BadInputCase):
    def test_declaredBomb(self) -> None:
        peer = self.scripted()
        peer.send(FIRST, snappyBomb(), compress=False)
        self.assertRegex(str(self.end(peer)), "declared 4294967295 bytes, over the limit")

    def test_expandingBomb(self) -> None:
        peer = self.scripted()
        peer.send(FIRST, snappyBomb(declared=100, expanded=1 << 24), compress=False)
        self.assertIsInstance(self.end(peer), InvalidSnappy)

    def test_bombJustOverTheLimit(self) -> None:
        peer = self.scripted()
        peer.send(FIRST, snappyBomb(1 << 24, 1 << 24), compress=False)
        self.assertIsInstance(self.end(peer), InvalidSnappy)

    def test_bombInAPing(self) -> None:
        peer = self.scripted()
        peer.send(PING, snappyBomb(), compress=False)
        self.assertIsInstance(self.end(peer), InvalidSnappy)

    def test_bombInADisconnect(self) -> None:
        peer = self.scripted()
        peer.send(1, snappyBomb(), compress=False)
        self.assertEqual(getattr(self.end(peer), "reason", None), DisconnectReason.INVALID)

    def test_notSnappy(self) -> None:
        for payload in (b"", b"\xff" * 20, b"\x05\x00"):
            peer = self.scripted()
            peer.send(FIRST, payload, compress=False)
            self.network.settle()
            self.assertTrue(peer.ended, payload)
        self.assertIsInstance(self.end(peer), InvalidSnappy)

    def test_codeOutOfRange(self) -> None:
        for code in (FIRST + 2, 255, 1 << 32, (1 << 64) - 1):
            peer = self.scripted()
            peer.send(code, b"?")
            self.network.settle()
            self.assertEqual(peer.disconnectReason, DisconnectReason.BREACH_OF_PROTOCOL)
        self.assertIsInstance(self.end(peer), MessageError)

    def test_reservedCodes(self) -> None:
        peer = self.scripted()
        for code in range(3, FIRST):
            peer.send(code, b"?")
        self.network.settle()
        self.assertFalse(peer.ended)
        self.assertEqual(self.recorder.messages, [])

    def test_pingsWithContents(self) -> None:
        peer = self.scripted()
        for payload in (b"", b"\x80", b"anything", bytes(100_000)):
            peer.send(PING, payload)
        self.network.settle()
        self.assertEqual((peer.pongs, peer.ended), (4, False))


class TestFloods(BadInputCase):
    def test_pingsOfAReader(self) -> None:
        peer = self.scripted()
        peer.pingForEver(self.them, 0.1, batch=1000)
        self.network.advance(2)
        self.assertFalse(peer.ended)
        # 16 for each read of the socket, of which a batch takes one or two
        self.assertLessEqual(peer.pongs, 42 * MAX_PENDING_PONGS)
        self.assertGreater(peer.pongs, 20 * MAX_PENDING_PONGS)
        peer.transport.loseConnection()
        self.end(peer)

    def test_pingsOfOneWhoDoesNotRead(self) -> None:
        peer = self.scripted()
        peer.stopReading()
        flood = LoopingCall(lambda: peer.write(b"".join(peer.frame(PING, rlp.EMPTY_LIST) for _ in range(100))))
        flood.clock = self.them
        flood.start(0.01)
        self.network.advance(1.5)
        flood.stop()
        peer.readAgain()
        self.network.settle()
        # what fills the socket, and what waits for room in it; of 15,000
        frame = 64
        self.assertLessEqual(peer.pongs, WINDOW // frame + 2 * MAX_PENDING_PONGS)
        self.assertGreater(peer.pongs, WINDOW // frame)
        peer.transport.loseConnection()
        self.end(peer)

    def test_pingsOfOneWhoNeverReads(self) -> None:
        self.ping()
        peer = self.scripted()
        peer.stopReading()
        peer.pingForEver(self.them, 0.1, batch=1000)
        self.network.advance(30)
        self.assertTrue(self.ours.closed)
        peer.readAgain()
        self.assertIsInstance(self.end(peer), Timeout)

    def test_neverReads(self) -> None:
        peer = self.scripted()
        self.ping()
        peer.stopReading()
        self.recorder.transport.sendMessage(0, self.network.random.randbytes(1 << 20))
        self.network.advance(WRITE_TIMEOUT - 0.01)
        self.assertFalse(self.ours.closed)
        self.network.advance(0.01)
        peer.readAgain()
        self.assertIsInstance(self.end(peer), Timeout)
