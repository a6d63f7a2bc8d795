"""
Snappy in its block form, with the declared length checked before anything is allocated.

(EIP-706; C{format_description.txt} of snappy for the preamble: the plain length as a little-endian base-128 number.)
"""

from __future__ import annotations

from io import BytesIO

from cramjam import Buffer, DecompressionError
from cramjam import snappy as _snappy

from devp2p_tx.errors import InvalidSnappy

_decompress = _snappy.decompress_raw
_decompress_into = _snappy.decompress_raw_into
_declared_length = _snappy.decompress_raw_len
_compress = _snappy.compress_raw

#: What a block begins with that is one short literal of that many bytes: its plain length, and the literal's tag. The
#: longest has 60 bytes: beyond, the tag has another form. (A block of nothing has no literal.)
_LITERAL_HEADS = (b"\0", *(bytes((size, (size - 1) << 2)) for size in range(1, 61)))
_LITERALS = len(_LITERAL_HEADS)
_HEAD = 2

#: From here on what is saved by not copying is more than what it takes to avoid it (bytes).
_LARGE = 64 * 1024


def compress(data: bytes) -> bytes:
    """Compress C{data} into one block."""
    return bytes(compress_buffer(data))


def compress_buffer(data: bytes | bytearray | memoryview) -> bytes | Buffer:
    """
    As L{compress}, maybe in the library's own buffer: it has a length and can be joined with bytes, and saves a copy.

    What fits into one short literal is left as it is: two calls of the library would take more time than the few bytes
    are worth, most of which a frame fills up again.
    """
    size = len(data)
    return _LITERAL_HEADS[size] + data if size < _LITERALS else _compress(data)


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
