"""
What C{sendMessage} takes: any bytes, in any clothes, up to what a frame can carry, congested or not.
"""

from __future__ import annotations

import ctypes
from array import array
from random import Random
from typing import Any

from devp2p_tx.core.rlpx.frames import MAX_INCOMPRESSIBLE, MAX_SIZE
from devp2p_tx.errors import LocalProtocolError
from tests.net.rlpx.flow import FlowCase
from tests.net.rlpx.support import FIRST

#: The largest payload that cannot be compressed and fits into a frame: of each 64 KiB snappy makes one literal, whose
#: tag has 3 bytes; the length before them has 4, the message code 1.
LARGEST = MAX_SIZE - 256 * 3 - 4 - 1


class Structure(ctypes.Structure):
    """Something whose buffer has a format that no memoryview casts."""

    _fields_ = (("one", ctypes.c_uint16), ("other", ctypes.c_uint32))


def same(data: bytes) -> list[Any]:
    """These bytes, of which there are a multiple of 8, in all kinds of clothes."""
    view = memoryview(data)
    structures = (Structure * (len(data) // 8)).from_buffer_copy(data)
    kinds = [bytearray(data), view, memoryview(bytearray(data)), array("B", data), array("H", data), array("Q", data)]
    shapes = [view.cast("B", (len(data) // 8, 8)), view.cast("B", (len(data) // 4, 4)).cast("B").cast("I")]
    casts = [view.cast(form) for form in ("c", "b", "H", "I", "Q", "d")]
    return [*kinds, *shapes, *casts, memoryview(b"ab" + data)[2:], structures, memoryview(structures)]


class TestBuffers(FlowCase):
    def sizes(self) -> list[bytes]:
        return [Random(size).randbytes(size) for size in (8, 56, 64, 4088, 4096, 8192, 262_144)]

    def test_rightBytes(self) -> None:
        """What has a buffer in one piece is sent as its bytes, whatever the size of its items."""
        for data in self.sizes():
            for payload in same(data):
                self.channel.sendMessage(0, payload)
                self.network.settle()
                self.assertTrue(self.peer.payloads(FIRST)[-1] == data, (type(payload), len(data)))
        for nothing in (b"", bytearray(), memoryview(b""), array("Q"), memoryview(b"").cast("I")):
            self.channel.sendMessage(0, nothing)
            self.network.settle()
            self.assertEqual(self.peer.payloads(FIRST)[-1], b"")

    def test_whileCongested(self) -> None:
        """Likewise if it waits; and it is what it was when it was given."""
        self.congest()
        data = bytes(range(64))
        given = [*same(data), changed := bytearray(data)]
        for payload in given:
            self.channel.sendMessage(0, payload)
        changed[:] = b"changed!" * 8
        self.peer.readAgain()
        self.network.settle()
        self.assertEqual(self.peer.payloads(FIRST)[1:], [data] * len(given))

    def test_observedSize(self) -> None:
        """Observers and queues count bytes, not items."""
        self.congest()
        before = self.channel.queued
        self.channel.sendMessage(0, array("Q", bytes(80)))
        from devp2p_tx.net.rlpx.channels import MESSAGE_COST

        self.assertEqual(self.channel.queued - before, 80 + MESSAGE_COST)

    def test_noBytes(self) -> None:
        """What has none, or not in one piece, is refused at the call; the stream goes on."""
        for congested in (False, True):
            if congested:
                self.congest()
            for size in (8, 5000, 300_000):
                for payload in ("x" * size, [0] * size, size, None, memoryview(bytes(2 * size))[::2]):
                    self.assertRaises(TypeError, self.channel.sendMessage, 0, payload)
                    self.assertRaises(TypeError, self.channel.sendMessage, 0, memoryview(bytes(size))[::-1])
            self.channel.sendMessage(0, b"goes on")
        self.peer.readAgain()
        self.network.settle()
        received = self.peer.payloads(FIRST)
        self.assertEqual((received[0], received[-1], len(received)), (b"goes on", b"goes on", 3))


class TestLargest(FlowCase):
    def refused(self, payload: bytes) -> bool:
        """Whether a message is refused at the call; the connection goes on in any case."""
        try:
            self.channel.sendMessage(0, payload)
        except LocalProtocolError:
            return True
        finally:
            self.assertFalse(self.ours.closed)
        return False

    def test_atTheBound(self) -> None:
        """What does not fit into a frame is refused when it is given, and nothing else is, congested or not."""
        data = Random(1).randbytes(MAX_SIZE + 1)
        for congested in (False, True):
            if congested:
                self.congest()
            else:
                self.assertFalse(self.ours.congested)
            for size, refuses in ((LARGEST + 1, True), (MAX_SIZE, True), (MAX_SIZE + 1, True), (LARGEST, False)):
                self.assertEqual(self.refused(data[:size]), refuses, (congested, size))
            self.peer.readAgain()
            self.network.advance(1)
            self.assertFalse(self.ours.closed)
            self.assertTrue(self.peer.payloads(FIRST)[-1] == data[:LARGEST])

    def test_compressible(self) -> None:
        """Of what shrinks 2^24 - 1 bytes are taken, and not one more."""
        self.congest()
        self.assertFalse(self.refused(bytes(MAX_SIZE)))
        self.assertTrue(self.refused(bytes(MAX_SIZE + 1)))
        self.peer.readAgain()
        self.network.advance(1)
        self.assertTrue(self.peer.payloads(FIRST)[-1] == bytes(MAX_SIZE))

    def test_whateverItIs(self) -> None:
        """What the documentation calls the most of anything is taken without a try."""
        self.assertEqual(MAX_INCOMPRESSIBLE, 14_380_434)
        self.assertLess(MAX_INCOMPRESSIBLE, LARGEST)
        self.assertFalse(self.refused(Random(1).randbytes(MAX_INCOMPRESSIBLE)))
