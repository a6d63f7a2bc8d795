"""
Frames: messages, encrypted and authenticated (devp2p C{rlpx.md}, "Framing" and "MAC")::

    header (16) || header MAC (16) || body, padded to 16 || body MAC (16)

    header = body size (3, big endian) || C2 80 80 || zeros        body = RLP(code) || payload

Both parts are encrypted by one running AES-CTR stream a direction. Each MAC is the state of one running Keccak a
direction, into which go a block cipher's output and the ciphertext, so a frame verifies only at its place in the
stream.

This is the path that every byte takes. What it costs is not arithmetic but calls, so there is one call of each library
a step, the digest that ends a frame is kept as the one that begins the next, and many frames are made or read in a
pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from devp2p_tx._sealed import Sealed, seal
from devp2p_tx.core.codec.rlp import decode_prefix, decode_uint, encode, encode_uint
from devp2p_tx.core.codec.snappy import PIECE, Piece, compress_buffer, compress_pieces, decompress
from devp2p_tx.core.crypto.ciphers import Stream, block_masker, ctr_stream
from devp2p_tx.core.p2p.messages import DISCONNECT
from devp2p_tx.core.rlpx.handshake import Secrets
from devp2p_tx.errors import FrameError, InvalidRLP, LocalProtocolError, MACError, RemoteProtocolError

#: The most that a frame's body may have, and a message's payload once expanded (bytes).
MAX_SIZE = (1 << 24) - 1

_BLOCK = 16
_HEAD = 2 * _BLOCK
#: The header's capability id and context id, both zero and unused, and its filling.
_HEADER_TAIL = b"\xc2\x80\x80" + bytes(10)
_HEADER_TAIL_SIZE = len(_HEADER_TAIL)
_PADDING = tuple(bytes(size) for size in range(_BLOCK))

#: What a frame has beside its padded body (bytes).
OVERHEAD = _HEAD + _BLOCK

#: A received message: its code, its payload, and how many bytes its frame had.
Message = tuple[int, bytes, int]

#: What can be hashed, joined and sent.
Bytes = bytes | bytearray | memoryview

#: The most that a payload may have that can be sent whatever it contains: one that cannot be compressed grows, by as
#: much as snappy's documentation allows, and its frame has the message code beside it (bytes). Up to L{MAX_SIZE},
#: what fits into a frame can be sent.
MAX_INCOMPRESSIBLE = (MAX_SIZE - 9 - 32) * 6 // 7

#: From here on no part of a body is copied that need not be; below, copying takes less time than avoiding it (bytes).
_COPY_LIMIT = 4096

#: A message code of 64 bits, with the byte that tells its length.
_MAX_CODE_SIZE = 9

_int = int.from_bytes


def flat(payload: Bytes) -> bytes | memoryview:
    """
    The bytes of anything that has a buffer, copied only where its elements are no bytes.

    @raise TypeError: it has no buffer, or is not in one piece.
    """
    view = memoryview(payload)
    if not view.c_contiguous:
        raise TypeError("a payload that is not in one piece (not C-contiguous): bytes() of it is")
    return view if view.format == "B" and view.ndim == 1 else view.tobytes()


def _prefix(code: int) -> bytes:
    """What stands between the size and the payload: the rest of the header, and the message code."""
    return _HEADER_TAIL + encode(encode_uint(code))


_PREFIXES = tuple(_prefix(code) for code in range(256))


@final
class FrameWriter(Sealed):
    """
    Makes one direction's frames.

    @ivar snappy: whether payloads are compressed from now on (EIP-706).
    """

    __slots__ = (
        "_digest",
        "_encrypt",
        "_mask",
        "_seed",
        "_update",
        "snappy",
    )

    def __init__(self, secrets: Secrets, mask: Stream | None = None) -> None:
        """
        @param mask: L{block_masker} of the MAC key, if there is one already: both directions can share it.
        """
        self.snappy = False
        self._encrypt = ctr_stream(secrets.aes)
        self._mask = mask or block_masker(secrets.mac)
        mac = secrets.egress_mac
        self._update, self._digest = mac.update, mac.digest
        self._seed = mac.digest()[:_BLOCK]

    def write(self, code: int, payload: Bytes) -> bytes:
        """
        The frame for one message.

        @raise LocalProtocolError: the payload is over L{MAX_SIZE}, as it is or once compressed.
        """
        pieces: list[Bytes] = []
        self.write_to(pieces, code, payload)
        return b"".join(pieces)

    def write_to(self, out: list[Bytes], code: int, payload: Bytes) -> int:
        """
        Append the frame for one message to C{out}, in pieces: what is joined at all is joined once.

        @return: the size of the frame (bytes).
        @raise LocalProtocolError: as L{write}.
        """
        update, digest, mask, encrypt = self._update, self._digest, self._mask, self._encrypt
        prefix = _PREFIXES[code] if 0 <= code < 256 else _prefix(code)
        if not isinstance(payload, bytes):
            payload = flat(payload)  # what is no bytes is found out before anything is encrypted
        if len(payload) > PIECE:
            size, head, body = self._seal_large(prefix[_HEADER_TAIL_SIZE:], payload)
        else:
            packed = compress_buffer(payload) if self.snappy else payload
            size = len(prefix) - _HEADER_TAIL_SIZE + len(packed)
            start, padding = size.to_bytes(3, "big") + prefix, _PADDING[-size % _BLOCK]
            if size < _COPY_LIMIT:
                sealed = encrypt(b"".join((start, packed, padding)))
                body = [sealed[_BLOCK:]]
            else:
                sealed = encrypt(start)
                body = [sealed[_BLOCK:], encrypt(packed), encrypt(padding)]
            head = sealed[:_BLOCK]
        update(mask(self._seed + head)[_BLOCK:])
        head_mac = digest()[:_BLOCK]
        for piece in body:
            update(piece)
        seed = digest()[:_BLOCK]
        update(mask(seed + seed)[_BLOCK:])
        self._seed = body_mac = digest()[:_BLOCK]
        out += (head, head_mac, *body, body_mac)
        return size + -size % _BLOCK + OVERHEAD

    def _seal_large(self, code: bytes, payload: Bytes) -> tuple[int, bytes, list[bytes]]:
        """
        Encrypt a frame while it is compressed, piece by piece. Its size is known only then: so its header is what is
        encrypted last, with the key stream that was taken first.

        @param code: the message code, encoded.
        @return: the size of the body, the header, and the padded body.
        @raise LocalProtocolError: as L{write}; nothing was encrypted then.
        """
        self._check(len(code), payload)
        encrypt = self._encrypt
        key_stream = encrypt(bytes(_BLOCK))
        body = [encrypt(code), *map(encrypt, self._pieces(payload))]
        size = sum(map(len, body))
        body.append(encrypt(_PADDING[-size % _BLOCK]))
        header = size.to_bytes(3, "big") + _HEADER_TAIL
        return size, (_int(header, "big") ^ _int(key_stream, "big")).to_bytes(_BLOCK, "big"), body

    def check(self, code: int, payload: bytes) -> None:
        """
        Find out now whether a message can be sent later.

        @raise LocalProtocolError: as L{write}.
        """
        self._check(len(encode(encode_uint(code))), payload)

    def _check(self, code_size: int, payload: Bytes) -> None:
        if len(payload) <= MAX_INCOMPRESSIBLE:
            return
        if len(payload) > MAX_SIZE:
            raise LocalProtocolError(f"message of {len(payload)} bytes, over the limit of {MAX_SIZE}")
        size = code_size + sum(map(len, self._pieces(payload)))  # which of the largest payloads fit: try
        if size > MAX_SIZE:
            raise LocalProtocolError(f"frame of {size} bytes, over the limit of {MAX_SIZE}")

    def _pieces(self, payload: Bytes) -> Iterable[Piece]:
        return compress_pieces(payload) if self.snappy else (payload,)


@final
class FrameReader(Sealed):
    """
    Reads one direction's frames, in whatever pieces they come.

    A body is hashed and decrypted as it arrives, so memory follows what was received, not what a header declares; and
    nothing of it is given away before its MAC was verified.

    @ivar snappy: whether payloads are compressed from now on (EIP-706).
    @ivar limit: the most that a frame's body may declare (bytes).
    """

    __slots__ = (
        "_body",
        "_decrypt",
        "_digest",
        "_failure",
        "_mask",
        "_rest",
        "_seed",
        "_update",
        "limit",
        "snappy",
    )

    def __init__(self, secrets: Secrets, mask: Stream | None = None) -> None:
        """
        @param mask: as for L{FrameWriter}.
        """
        self.snappy = False
        self.limit = MAX_SIZE
        self._decrypt = ctr_stream(secrets.aes)
        self._mask = mask or block_masker(secrets.mac)
        mac = secrets.ingress_mac
        self._update, self._digest = mac.update, mac.digest
        self._seed = mac.digest()[:_BLOCK]
        self._rest = b""
        self._body: _Body | None = None
        self._failure: RemoteProtocolError | None = None

    def read(self, data: Bytes, most: int = MAX_SIZE) -> list[Message]:
        """
        Take in bytes; give the messages that they complete, but at most C{most}: the rest of the bytes then waits for
        the next call. Messages that stand before a bad one are given first; the next call then fails.

        @raise FrameError: a MAC is wrong, or a body is over L{limit}.
        @raise InvalidRLP: a message code is not canonical.
        @raise InvalidSnappy: a payload does not expand, or to more than L{MAX_SIZE}.
        """
        if self._failure is not None:
            raise self._failure
        if not isinstance(data, bytes):
            data = memoryview(data).tobytes()
        messages: list[Message] = []
        try:
            self._read(self._rest + data if self._rest else data, messages, most)
        except RemoteProtocolError as error:
            if not messages:
                raise
            self._failure = error
        return messages

    def check(self) -> None:
        """
        Learn at once what the next L{read} would fail with: whether something bad stood after the last messages.

        @raise RemoteProtocolError: as L{read}.
        """
        if self._failure is not None:
            raise self._failure

    def _read(self, data: bytes, messages: list[Message], most: int) -> None:
        update, digest, mask, decrypt = self._update, self._digest, self._mask, self._decrypt
        position, end = 0, len(data)
        while len(messages) < most:
            if self._body is None:
                if end - position < _HEAD:
                    break
                head = data[position : position + _BLOCK]
                update(mask(self._seed + head)[_BLOCK:])
                if digest()[:_BLOCK] != data[position + _BLOCK : position + _HEAD]:
                    raise MACError("bad header MAC")
                position += _HEAD
                size = _int(decrypt(head)[:3], "big")
                if size > self.limit:
                    raise FrameError(f"frame of {size} bytes, over the limit of {self.limit}")
                padded = size + -size % _BLOCK
                if end - position >= padded + _BLOCK:
                    sealed: bytes | memoryview = data if size < _COPY_LIMIT else memoryview(data)
                    sealed = sealed[position : position + padded]
                    update(sealed)
                    plain: bytes | bytearray = decrypt(sealed)
                    position += padded
                else:
                    self._body = _Body(size, padded)
            if (body := self._body) is not None:
                position += self._grow(body, data[position : position + body.missing])
                if body.missing or end - position < _BLOCK:
                    break
                size, plain, self._body = body.size, body.plain, None
            seed = digest()[:_BLOCK]
            update(mask(seed + seed)[_BLOCK:])
            self._seed = seed = digest()[:_BLOCK]
            if seed != data[position : position + _BLOCK]:
                raise MACError("bad frame MAC")
            position += _BLOCK
            messages.append(self._message(plain, size))
        self._rest = data[position:]

    def _grow(self, body: _Body, sealed: bytes) -> int:
        """Take in a part of a body that comes in several; its size."""
        self._update(sealed)
        body.plain += self._decrypt(sealed)
        body.missing -= len(sealed)
        return len(sealed)

    def _message(self, plain: bytes | bytearray, size: int) -> Message:
        """What a body says: its code in one byte as a rule, then the payload, then the padding."""
        if not size:
            raise InvalidRLP("empty frame: it has no message code")
        code, start = plain[0], 1
        if not 0 < code < 0x80:
            code, start = _read_code(bytes(plain[: min(size, _MAX_CODE_SIZE)]))
        packed = plain[start:size] if size < _COPY_LIMIT else memoryview(plain)[start:size]
        compressed = self.snappy and code != DISCONNECT  # which clients send in either form, at any time
        return code, decompress(packed, MAX_SIZE) if compressed else bytes(packed), len(plain) + OVERHEAD


@final
class _Body(Sealed):
    """A body of which not all has arrived: its size, how many padded bytes are missing, and the plain ones so far."""

    __slots__ = ("missing", "plain", "size")

    def __init__(self, size: int, missing: int) -> None:
        self.size = size
        self.missing = missing
        self.plain = bytearray()


def _read_code(head: bytes) -> tuple[int, int]:
    """A message code that is not the usual single byte, from the head of a body, and where the payload begins."""
    item, end = decode_prefix(head)
    return decode_uint(item), end


seal(__name__)
