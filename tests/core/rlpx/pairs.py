"""
What the tests of RLPx share: keys, secrets, a writer of frames that follows the specification step by step and can lie,
and a connection together with the peer that it talks to.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from random import Random

from Crypto.Cipher import AES

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto.keccak import new_keccak
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, RandomBytes
from devp2p_tx.core.p2p.messages import DISCONNECT, HELLO, Cap, Hello
from devp2p_tx.core.rlpx.connection import RLPxConnection
from devp2p_tx.core.rlpx.events import Event
from devp2p_tx.core.rlpx.frames import FrameReader, FrameWriter
from devp2p_tx.core.rlpx.handshake import Initiator, Recipient, Secrets

OURS = PrivateKey(b"\x01" * 32)
THEIRS = PrivateKey(b"\x02" * 32)


def randomness(seed: object = 0) -> RandomBytes:
    """Random bytes that are the same in every run."""
    return Random(repr(seed)).randbytes


def secrets() -> Secrets:
    """The secrets of one side, whose both directions begin alike: what it writes, another side with them reads."""
    return Secrets(b"a" * 32, b"m" * 32, new_keccak(b"running"), new_keccak(b"running"))


def writer_and_reader(*, snappy: bool = False) -> tuple[FrameWriter, FrameReader]:
    """The two ends of one direction."""
    writer, reader = FrameWriter(secrets()), FrameReader(secrets())
    writer.snappy = reader.snappy = snappy
    return writer, reader


class PlainWriter:
    """Writes frames as C{rlpx.md}, "Framing" and "MAC", has them; also such as no honest side would."""

    def __init__(self, secrets: Secrets) -> None:
        self._aes = AES.new(secrets.aes, AES.MODE_CTR, nonce=b"", initial_value=bytes(16))
        self._block = AES.new(secrets.mac, AES.MODE_ECB)
        self._hash = secrets.egress_mac

    def message(self, code: int, payload: bytes = b"\xc0") -> bytes:
        """The frame of a message."""
        return self.frame(rlp.encode(rlp.encode_uint(code)) + payload)

    def frame(self, body: bytes, header_data: bytes = b"\xc2\x80\x80") -> bytes:
        """The frame of any body."""
        sealed = self.header(len(body), header_data)
        ciphertext = self._aes.encrypt(body + bytes(-len(body) % 16))
        self._hash.update(ciphertext)
        return sealed + ciphertext + self._mac(self._hash.digest()[:16])

    def header(self, size: int, header_data: bytes = b"\xc2\x80\x80") -> bytes:
        """A header and its MAC."""
        ciphertext = self._aes.encrypt((size.to_bytes(3, "big") + header_data).ljust(16, b"\0"))
        return ciphertext + self._mac(ciphertext)

    def _mac(self, data: bytes) -> bytes:
        mask = self._block.encrypt(self._hash.digest()[:16])
        self._hash.update(bytes(a ^ b for a, b in zip(mask, data, strict=True)))
        return self._hash.digest()[:16]


def our_hello() -> Hello:
    """What our side says."""
    return Hello("us", (Cap("eth", 69),), OURS.public_key.to_bytes())


def their_hello(version: int = 5) -> Hello:
    """What the peer says."""
    return Hello("them", (Cap("eth", 69),), THEIRS.public_key.to_bytes(), version)


class Talk:
    """
    A connection after its handshake at second 100, and the peer at its other end.

    @ivar now: the time, which tests turn.
    @ivar began: the events of the handshake.
    @ivar writer: makes the peer's frames.
    """

    def __init__(self, *, dialled: bool = True) -> None:
        """
        @param dialled: whether our side called.
        """
        self.now = 100.0
        random_bytes = randomness(dialled)
        if dialled:
            self.connection = RLPxConnection(OURS, self.now, random_bytes, THEIRS.public_key)
            answered = Recipient(THEIRS, random_bytes).receive_auth(self.connection.data_to_send())
            assert answered is not None
            secrets, ack, _ = answered
            self.began = self.connection.receive_data(ack, self.now)
        else:
            self.connection = RLPxConnection(OURS, self.now, random_bytes)
            caller = Initiator(THEIRS, OURS.public_key, random_bytes)
            self.began = self.connection.receive_data(caller.auth(), self.now)
            acked = caller.receive_ack(self.connection.data_to_send())
            assert acked is not None
            secrets, _ = acked
        self.writer = PlainWriter(secrets)
        self._reader = FrameReader(secrets)

    def receive(self, *frames: bytes) -> list[Event]:
        """What the peer's frames mean to our side, arriving in one piece."""
        return self.connection.receive_data(b"".join(frames), self.now)

    def sent(self) -> list[tuple[int, bytes]]:
        """The messages that our side has to send now, their payloads as on the wire."""
        return [(code, payload) for code, payload, _ in self._reader.read(self.connection.data_to_send())]

    def after(self, seconds: float) -> list[Event]:
        """What our side does by itself some time later."""
        self.now += seconds
        return self.connection.handle_timer(self.now)

    def exchange_hellos(self, version: int = 5) -> Talk:
        """Both sides say Hello, and ours is taken off the wire."""
        self.connection.send_hello(our_hello())
        self.receive(self.writer.message(HELLO, their_hello(version).encode()))
        self.sent()
        return self


def memory_of(action: Callable[..., object], *arguments: object) -> int:
    """The most memory (bytes) that a call held at a time."""
    tracemalloc.start()
    try:
        action(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def flipped(data: bytes, index: int, bit: int = 1) -> bytes:
    """C{data} with one bit turned."""
    return data[:index] + bytes((data[index] ^ bit,)) + data[index:][1:]


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """C{data} cut at the given places, each taken modulo its length."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def disconnect_of(talk: Talk) -> bytes:
    """The payload of the Disconnect that our side sends, it being the last and only thing that it sends."""
    [(code, payload)] = talk.sent()
    assert code == DISCONNECT, code
    return payload
