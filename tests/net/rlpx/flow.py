"""
What the tests of back-pressure share.
"""

from __future__ import annotations

from typing import Any

from devp2p_tx.net.rlpx.protocol import BURST
from devp2p_tx.testing._tcp import WINDOW
from tests.net.rlpx.support import ConnectionCase

KIB = 1024


class FlowCase(ConnectionCase):
    def setUp(self) -> None:
        super().setUp()
        self.peer = self.scripted()
        self.channel = self.recorder.transport

    def data(self, size: int) -> bytes:
        """Bytes that snappy cannot shrink."""
        return self.network.random.randbytes(size)

    def congest(self) -> None:
        """Let the peer cease to read, and fill its socket and the burst that waits for it."""
        self.peer.stopReading()
        self.peer.pingForEver(self.them, 10, batch=1)
        self.channel.sendMessage(0, self.data(WINDOW + BURST))
        self.network.settle()
        self.assertTrue(self.ours.congested)


class PushProducer:
    """Sends 1 KiB at a time, for as long as it may."""

    def __init__(self, channel: Any, data: bytes, most: int = 1 << 30) -> None:
        self.calls: list[str] = []
        self.sent = 0
        self.paused = False
        self._channel, self._data, self._most = channel, data, most
        channel.registerProducer(self, True)

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        self.paused = False
        while not self.paused and self.sent < self._most:
            self.sent += 1
            self._channel.sendMessage(0, self._data)

    def pauseProducing(self) -> None:
        self.calls.append("pause")
        self.paused = True

    def stopProducing(self) -> None:
        self.calls.append("stop")


class PullProducer:
    """Sends one message each time that it is asked; then leaves, if it should."""

    def __init__(self, channel: Any, data: bytes, most: int = 1 << 30, leaves: bool = True) -> None:
        self.sent = self.asked = 0
        self.stopped = False
        self._channel, self._data, self._most, self._leaves = channel, data, most, leaves
        channel.registerProducer(self, False)

    def resumeProducing(self) -> None:
        self.asked += 1
        if self.sent < self._most:
            self.sent += 1
            self._channel.sendMessage(0, self._data)
        elif self._leaves:
            self._channel.unregisterProducer()

    def stopProducing(self) -> None:
        self.stopped = True
