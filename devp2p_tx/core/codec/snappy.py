"""
Snappy in its block form, with the declared length checked before anything is allocated.

(EIP-706; C{format_description.txt} of snappy for the preamble: the plain length as a little-endian base-128 number.)
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import TypeAlias

from cramjam import Buffer, DecompressionError
from cramjam import snappy as _snappy

from devp2p_tx._sealed import seal
from devp2p_tx.errors import InvalidSnappy

_decompress = _snappy.decompress_raw
_decompress_into = _snappy.decompress_raw_into
_declared_length = _snappy.decompress_raw_len
_compress = _snappy.compress_raw
_compress_into = _snappy.compress_raw_into

#: What a block begins with that is one short literal of that many bytes: its plain length, and the literal's tag. The
#: longest has 60 bytes: beyond, the tag has another form. (A block of nothing has no literal.)
_LITERAL_HEADS = (b"\0", *(bytes((size, (size - 1) << 2)) for size in range(1, 61)))
_LITERALS = len(_LITERAL_HEADS)
_HEAD = 2

#: From here on what is saved by not copying is more than what it takes to avoid it (bytes).
_LARGE = 64 * 1024

#: What is compressed in one go (bytes), so that input and output stay in the processor's cache. The library begins anew
#: every 64 KiB in any case, so nothing grows by that.
PIECE = 128 * 1024

#: A part of a block: something that has a length, and can be read as bytes.
Piece: TypeAlias = bytes | bytearray | memoryview | Buffer


def compress(data: bytes) -> bytes:
    """Compress C{data} into one block."""
    return b"".join(map(bytes, compress_pieces(data)))


def compress_pieces(data: bytes | bytearray | memoryview) -> Iterator[Piece]:
    """
    As L{compress}, in pieces: what they are, one after the other, is the block. Each stands where the next one will, so
    it is to be used before that is asked for. No more than a piece takes memory.

    A block is the plain length, and then elements that refer back, and no further than the block's own beginning: so
    the elements of several blocks make one.
    """
    if len(data) <= PIECE:
        yield compress_buffer(data)
        return
    yield _preamble(len(data))
    plain, output = memoryview(data), bytearray(max_compressed_size(PIECE))
    compressed = memoryview(output)
    for start in range(0, len(data), PIECE):
        piece = plain[start : start + PIECE]
        end = _compress_into(piece, output)
        yield compressed[len(_preamble(len(piece))) : end]


def max_compressed_size(size: int) -> int:
    """The most that C{size} bytes can become, as snappy's own C{MaxCompressedLength} has it."""
    return 32 + size + size // 6


def compress_buffer(data: bytes | bytearray | memoryview) -> bytes | Buffer:
    """
    As L{compress}, for up to L{PIECE} bytes, and maybe in the library's own buffer: it has a length and can be joined
    with bytes, and saves a copy.

    What fits into one short literal is left as it is: two calls of the library would take more time than the few bytes
    are worth, most of which a frame fills up again.
    """
    size = len(data)
    return _LITERAL_HEADS[size] + data if size < _LITERALS else _compress(data)


def _preamble(length: int) -> bytes:
    """What a block begins with: how many plain bytes it has, seven bits at a time, the lowest first."""
    encoded = bytearray()
    while length > 0x7F:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)


def decompress(block: bytes | bytearray | memoryview, limit: int) -> bytes:
    """
    Expand a block of which at most C{limit} plain bytes are wanted.

    @raise InvalidSnappy: malformed, declared longer than C{limit}, or expanding to another length than declared.
    """
    size = len(block) - _HEAD
    if 0 < size < _LITERALS and size <= limit and block[:_HEAD] == _LITERAL_HEADS[size]:
        return bytes(block[_HEAD:])
    try:
        if (length := _declared_length(block)) > limit:
            raise InvalidSnappy(f"declared {length} bytes, over the limit of {limit}")
        return bytes(_decompress(block)) if length < _LARGE else _decompress_large(block, length)
    except DecompressionError as error:
        raise InvalidSnappy(str(error)) from None


def _decompress_large(block: bytes | bytearray | memoryview, length: int) -> bytes:
    """
    Expand a block straight into the bytes that are returned.

    A C{BytesIO} is the one place where bytes can be made and filled later, and gives them away without a copy. For a
    mebibyte that takes 70 microseconds, where the library's own buffer and a copy of it take 220.
    """
    output = BytesIO()
    output.seek(length - 1)
    output.write(b"\0")
    with output.getbuffer() as view:
        written = _decompress_into(block, view)
    if written != length:
        raise InvalidSnappy(f"expanded to {written} bytes, declared {length}")
    return output.getvalue()


seal(__name__)
