"""
Frames: messages, encrypted and authenticated (devp2p C{rlpx.md}, "Framing" and "MAC")::

    header (16) || header MAC (16) || body, padded to 16 || body MAC (16)

    header = body size (3, big endian) || C2 80 80 || zeros        body = RLP(code) || payload

Both parts are encrypted by one running AES-CTR stream a direction. Each MAC is the state of one running Keccak a
direction, into which go a block cipher's output and the ciphertext, so a frame verifies only at its place in the stream.

This is the path that every byte takes. What it costs is not arithmetic but calls, so there is one call of each library
a step, the digest that ends a frame is kept as the one that begins the next, and many frames are made or read in a pass.
"""

from __future__ import annotations

from devp2p_tx.core.crypto.ciphers import block_encryptor, ctr_stream
from devp2p_tx.core.p2p.messages import DISCONNECT
from devp2p_tx.core.rlp import decode_prefix, decode_uint, encode, encode_uint
from devp2p_tx.core.rlpx.handshake import Secrets
from devp2p_tx.core.snappy import compress, decompress
from devp2p_tx.errors import FrameError, LocalProtocolError, RemoteProtocolError

#: The most that a frame's body may have, and a message's payload once expanded (bytes).
MAX_SIZE = (1 << 24) - 1

_BLOCK = 16
_HEAD = 2 * _BLOCK
#: The header's capability id and context id, both zero and unused, and its filling.
_HEADER_TAIL = b"\xc2\x80\x80" + bytes(10)
_PADDING = tuple(bytes(size) for size in range(_BLOCK))

#: What a frame has beside its padded body (bytes).
OVERHEAD = _HEAD + _BLOCK

#: A received message: its code, its payload, and how many bytes its frame had.
Message = tuple[int, bytes, int]

_int = int.from_bytes
_CODES = tuple(encode(encode_uint(code)) for code in range(256))


def _code(code: int) -> bytes:
    return _CODES[code] if 0 <= code < 256 else encode(encode_uint(code))


class FrameWriter:
    """
    Makes one direction's frames.

    @ivar snappy: whether payloads are compressed from now on (EIP-706).
    """

    def __init__(self, secrets: Secrets) -> None:
        self.snappy = False
        self._encrypt = ctr_stream(secrets.aes)
        self._block = block_encryptor(secrets.mac)
        mac = secrets.egress_mac
        self._update, self._digest = mac.update, mac.digest
        self._seed = mac.digest()[:_BLOCK]

    def write(self, code: int, payload: bytes) -> bytes:
        """
        The frame for one message.

        @raise LocalProtocolError: the payload is over L{MAX_SIZE}, as it is or once compressed.
        """
        if len(payload) > MAX_SIZE:
            raise LocalProtocolError(f"message of {len(payload)} bytes, over the limit of {MAX_SIZE}")
        body = _code(code) + (compress(payload) if self.snappy else payload)
        size = len(body)
        if size > MAX_SIZE:
            raise LocalProtocolError(f"frame of {size} bytes, over the limit of {MAX_SIZE}")
        update, digest, block = self._update, self._digest, self._block
        sealed = self._encrypt(size.to_bytes(3, "big") + _HEADER_TAIL + body + _PADDING[-size % _BLOCK])
        head, tail = sealed[:_BLOCK], sealed[_BLOCK:]
        update((_int(block(self._seed), "big") ^ _int(head, "big")).to_bytes(_BLOCK, "big"))
        head_mac = digest()[:_BLOCK]
        update(tail)
        seed = digest()[:_BLOCK]
        update((_int(block(seed), "big") ^ _int(seed, "big")).to_bytes(_BLOCK, "big"))
        self._seed = body_mac = digest()[:_BLOCK]
        return b"%b%b%b%b" % (head, head_mac, tail, body_mac)


class FrameReader:
    """
    Reads one direction's frames, in whatever pieces they come.

    A body is hashed and decrypted as it arrives, so memory follows what was received, not what a header declares; and
    nothing of it is given away before its MAC was verified.

    @ivar snappy: whether payloads are compressed from now on (EIP-706).
    @ivar limit: the most that a frame's body may declare (bytes).
    """

    def __init__(self, secrets: Secrets) -> None:
        self.snappy = False
        self.limit = MAX_SIZE
        self._decrypt = ctr_stream(secrets.aes)
        self._block = block_encryptor(secrets.mac)
        mac = secrets.ingress_mac
        self._update, self._digest = mac.update, mac.digest
        self._seed = mac.digest()[:_BLOCK]
        self._rest = b""
        self._body: _Body | None = None
        self._failure: RemoteProtocolError | None = None

    def read(self, data: bytes, most: int = MAX_SIZE) -> list[Message]:
        """
        Take in bytes; give the messages that they complete, but at most C{most}: the rest of the bytes then waits for
        the next call. Messages that stand before a bad one are given first; the next call then fails.

        @raise FrameError: a MAC is wrong, or a body is over L{limit}.
        @raise InvalidRLP: a message code is not canonical.
        @raise InvalidSnappy: a payload does not expand, or to more than L{MAX_SIZE}.
        """
        if self._failure is not None:
            raise self._failure
        messages: list[Message] = []
        try:
            self._read(self._rest + data if self._rest else data, messages, most)
        except RemoteProtocolError as error:
            if not messages:
                raise
            self._failure = error
        return messages

    def _read(self, data: bytes, messages: list[Message], most: int) -> None:
        position, end = 0, len(data)
        while len(messages) < most:
            if (body := self._body) is not None:
                position += self._grow(body, data[position : position + body.missing])
                if body.missing or end - position < _BLOCK:
                    break
                size, plain, self._body = body.size, b"".join(body.parts), None
            elif end - position < _HEAD:
                break
            else:
                size = self._read_head(data[position : position + _BLOCK], data[position + _BLOCK : position + _HEAD])
                position += _HEAD
                padded = size + -size % _BLOCK
                if end - position < padded + _BLOCK:
                    self._body = _Body(size, padded)
                    continue
                sealed = data[position : position + padded]
                self._update(sealed)
                plain = self._decrypt(sealed)
                position += padded
            self._check_body(data[position : position + _BLOCK])
            position += _BLOCK
            messages.append(self._message(plain, size))
        self._rest = data[position:]

    def _read_head(self, head: bytes, mac: bytes) -> int:
        """Verify a header; the size of the body that follows."""
        self._update((_int(self._block(self._seed), "big") ^ _int(head, "big")).to_bytes(_BLOCK, "big"))
        if self._digest()[:_BLOCK] != mac:
            raise FrameError("bad header MAC")
        size = _int(self._decrypt(head)[:3], "big")
        if size > self.limit:
            raise FrameError(f"frame of {size} bytes, over the limit of {self.limit}")
        return size

    def _grow(self, body: _Body, sealed: bytes) -> int:
        """Take in a part of a body that comes in several."""
        self._update(sealed)
        body.parts.append(self._decrypt(sealed))
        body.missing -= len(sealed)
        return len(sealed)

    def _check_body(self, mac: bytes) -> None:
        seed = self._digest()[:_BLOCK]
        self._update((_int(self._block(seed), "big") ^ _int(seed, "big")).to_bytes(_BLOCK, "big"))
        self._seed = self._digest()[:_BLOCK]
        if self._seed != mac:
            raise FrameError("bad frame MAC")

    def _message(self, plain: bytes, size: int) -> Message:
        code = plain[0] if size else 0
        if 0 < code < 0x80:
            payload = plain[1:size]
        else:
            code, start = _read_code(plain[:size])
            payload = plain[start:size]
        if self.snappy and code != DISCONNECT:  # which clients send in either form, at any time
            payload = decompress(payload, MAX_SIZE)
        return code, payload, len(plain) + OVERHEAD


class _Body:
    """A body of which not all has arrived: its size, how many padded bytes are missing, and the plain parts."""

    __slots__ = ("missing", "parts", "size")

    def __init__(self, size: int, missing: int) -> None:
        self.size = size
        self.missing = missing
        self.parts: list[bytes] = []


def _read_code(body: bytes) -> tuple[int, int]:
    """A message code that is not the usual single byte, and where the payload begins."""
    item, end = decode_prefix(body)
    return decode_uint(item), end
