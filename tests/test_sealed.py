"""
Tests for L{devp2p_tx._sealed}: native code and the source do the same.

They run with either; where native code runs, the source is asked as well, in a process of its own, and the two are
compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from enum import Enum
from ipaddress import ip_address
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx._native import PURE, is_installed
from devp2p_tx._sealed import Sealed
from devp2p_tx.core.discv5 import packets, protocol
from devp2p_tx.core.discv5.events import TalkAnswered
from devp2p_tx.core.p2p.messages import HELLO
from devp2p_tx.core.rlpx import connection, frames
from devp2p_tx.core.rlpx.connection import RLPxConnection
from devp2p_tx.core.rlpx.events import HandshakeCompleted, HelloReceived, MessagesReceived
from devp2p_tx.core.rlpx.frames import FrameWriter
from tests import forms
from tests.core.discv5.playing import ProtocolTestCase
from tests.core.rlpx.pairs import OURS, THEIRS, Talk, our_hello, randomness, their_hello, writer_and_reader

#: What is octets.
TYPES = (bytes, bytearray, memoryview)


def asked(**environment: str) -> dict[str, object]:
    """What L{forms} finds out in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.forms"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


class FormTests(SynchronousTestCase):
    """Each class that can be compiled, and each name of its module."""

    def test_both_forms_behave_alike(self) -> None:
        """Whatever is tried on a class, an instance or a module ends in the same way in either form."""
        here, source = asked(**{PURE: "0"}), asked(**{PURE: "1"})
        self.assertEqual((here["native"], source["native"]), (is_installed(), False))
        self.maxDiff = None
        self.assertEqual(here["behaviors"], source["behaviors"])

    def test_what_is_refused(self) -> None:
        """Subclasses and patches are, attributes of others, copies and deletions; weak references are not."""
        kinds = {
            "subclass": "TypeError",
            "subclass of a mixture": "TypeError",
            "new class attribute": "TypeError",
            "weakref": "ok",
            "own attribute": "AttributeError",
            "__dict__": "AttributeError",
            "copy": "TypeError",
            "deepcopy": "TypeError",
            "dumps": "TypeError",
        }
        seen = set()
        for what, came in forms.behaviors().items():
            about, _, kind = what.partition(": ")
            if kind in kinds:
                seen.add((about, kind))
                self.assertEqual(came, kinds[kind], what)
            elif kind.startswith("class."):
                self.assertEqual(came, "TypeError", what)
            elif kind.endswith(" deleted"):
                self.assertEqual(came, "AttributeError", what)
        self.assertEqual(len(seen), len(kinds) * len({about for about, _ in seen}))
        self.assertIn(("devp2p_tx.core.rlpx.connection.RLPxConnection", "subclass"), seen)

    def test_every_class_is_sealed(self) -> None:
        """Of a module that can be compiled; but tuples, enumerations and errors, which mypyc leaves as they are."""
        for module in forms.sealed_modules():
            for cls in forms.classes_of(module):
                self.assertTrue(issubclass(cls, Sealed | tuple | Enum | BaseException), cls)
        sealed = {
            cls for module in forms.sealed_modules() for cls in forms.classes_of(module) if issubclass(cls, Sealed)
        }
        self.assertEqual(sealed, set(forms.instances()))

    def test_sentences(self) -> None:
        """A refusal says what, and why."""
        refused = self.assertRaises(TypeError, type, "Mine", (RLPxConnection,), {})
        self.assertEqual(str(refused), "RLPxConnection cannot be subclassed: wrap it instead")
        with self.assertRaisesRegex(TypeError, "FrameWriter.write cannot be set: native code would not see it"):
            self.patch(FrameWriter, "write", None)
        with self.assertRaisesRegex(TypeError, "frames._read_code cannot be replaced: native code would not see it"):
            self.patch(frames, "_read_code", None)
        with self.assertRaisesRegex(TypeError, "frames.compress_buffer cannot be replaced"):
            self.patch(frames, "compress_buffer", None)
        with self.assertRaisesRegex(TypeError, "frames.FrameReader cannot be replaced"):
            del frames.FrameReader

    def test_what_is_looked_up_can_be_replaced(self) -> None:
        """Constants, what other modules have, and what is decorated: both forms look these up."""
        self.patch(connection, "READ_TIMEOUT", 1.0)
        talk = Talk().exchange_hellos()
        self.assertEqual(talk.connection.get_timer(), talk.now + 1.0)
        called = []
        self.patch(connection, "block_masker", lambda key: called.append(key) or frames.block_masker(key))
        Talk()
        self.assertEqual(len(called), 1)
        with patch.object(packets, "mask_of", side_effect=packets.mask_of) as mask:
            packets.PacketReader(bytes(32))
        self.assertEqual(mask.call_count, 1)


class OctetTests(ProtocolTestCase):
    """Where bytes come in, any type that has them is taken, in either form."""

    def test_connection(self) -> None:
        """A connection, from the handshake on."""
        for kind in TYPES:
            for dialled in (True, False):
                talk = Talk(dialled=dialled)
                talk.connection.send_hello(our_hello())
                hello = talk.writer.message(HELLO, their_hello(4).encode())
                [event] = talk.connection.receive_data(kind(hello), talk.now)
                self.assertIsInstance(event, HelloReceived)
                message = talk.writer.message(16, b"abc")
                self.assertEqual(talk.connection.receive_data(kind(message[:40]), talk.now), [])
                [event] = talk.connection.receive_data(kind(message[40:]), talk.now)
                assert isinstance(event, MessagesReceived)
                self.assertEqual([(code, payload) for code, payload, _ in event.messages], [(16, b"abc")])
                talk.connection.send(16, kind(b"abc"))

    def test_handshake(self) -> None:
        """The packets of the handshake, in two pieces."""
        for kind in TYPES:
            caller = RLPxConnection(OURS, 0.0, randomness(1), THEIRS.public_key)
            callee = RLPxConnection(THEIRS, 0.0, randomness(2))
            for sender, receiver, remote in ((caller, callee, OURS), (callee, caller, THEIRS)):
                packet = sender.data_to_send()
                self.assertEqual(receiver.receive_data(kind(packet[:50]), 0.0), [])
                self.assertEqual(receiver.receive_data(kind(packet[50:]), 0.0), [HandshakeCompleted(remote.public_key)])

    def test_frames(self) -> None:
        """A frame that comes in pieces."""
        for kind in TYPES:
            writer, reader = writer_and_reader()
            frame = writer.write(5, kind(b"payload"))
            self.assertEqual(reader.read(kind(frame[:33])), [])
            self.assertEqual(reader.read(kind(frame[33:])), [(5, b"payload", len(frame))])

    def test_discovery(self) -> None:
        """Datagrams, and requests of other protocols with their answers."""
        for number, kind in enumerate(TYPES):
            self.setUp()
            self.bob.node.register_talk(kind(b"echo"), lambda request, kind=kind: kind(request.message))
            call = self.alice.node.talk(self.bob.contact, kind(b"echo"), kind(b"hello"), self.now)
            while carried := [(player, sent) for player in self.players for sent in player.sent()]:
                for player, (data, ip, _) in carried:
                    to = self.bob if ip == self.bob.ip else self.alice
                    refusal = to.node.receive_datagram(kind(data), player.ip, player.port, self.now, self.unix_time)
                    self.assertIsNone(refusal, number)
            answered = self.event(self.alice)
            assert isinstance(answered, TalkAnswered)
            self.assertEqual((answered.call, answered.message), (call, b"hello"))
            self.bob.node.unregister_talk(kind(b"echo"))
            self.assertEqual(self.bob.node._talk, {})

    def test_neither(self) -> None:
        """A number or a text is no bytes."""
        talk = Talk().exchange_hellos()
        for wrong in (5, "text", None):
            self.assertRaises(TypeError, talk.connection.receive_data, wrong, talk.now)
            self.assertRaises(TypeError, self.alice.node.register_talk, wrong, print)
            self.assertRaises(
                TypeError, self.alice.node.receive_datagram, wrong, ip_address("9.9.9.9"), 1, self.now, self.unix_time
            )
        self.assertIs(protocol.Discv5, type(self.alice.node))
