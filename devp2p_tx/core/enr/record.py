"""
The signed node record (EIP-778; devp2p C{enr.md}).

On the wire it is the RLP list C{[signature, seq, key, value, ...]} of at most 300 bytes, with the keys ascending; as
text, C{enr:} and its URL-safe base64 without padding. Only the identity scheme "v4" exists on the wire: a secp256k1
key, a signature C{r || s} over the Keccak-256 of the list without its first item, and the Keccak-256 of the key as
node id.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.codec.rlpfields import Field, read_bytes, read_exact_list, read_field, read_uint, write_list
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.crypto.signatures import SIZE as SIGNATURE_SIZE
from devp2p_tx.core.crypto.signatures import is_signed_by
from devp2p_tx.core.enr.entries import ID, SECP256K1, ReadableEntry
from devp2p_tx.errors import InvalidNode, InvalidRLP, LocalProtocolError, RemoteProtocolError

T = TypeVar("T")

#: The most bytes that an encoded record has.
MAX_SIZE = 300
#: The prefix of the text form.
TEXT_PREFIX = "enr:"
_SCHEME = b"v4"
_SCHEME_WRITTEN = rlp.encode(_SCHEME)
_TOO_BIG = f"record bigger than {MAX_SIZE} bytes"
_BASE64URL = re.compile("[A-Za-z0-9_-]*")


class InvalidRecord(RemoteProtocolError):
    """A node record that is malformed, too big, or not signed by the key it names."""


class RecordParts(NamedTuple):
    """
    What a record says, before anything of it is believed.

    @ivar signature: as it stands in the record, of any length.
    @ivar seq: the sequence number, 64 bits.
    @ivar values: keys, ascending, and the RLP encodings of their values.
    """

    signature: bytes
    seq: int
    values: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """
    A record whose signature is valid. Two records are equal if their encodings are.

    @ivar seq: the sequence number, which the owner raises with every change; 64 bits.
    @ivar values: keys, ascending, and the RLP encodings of their values.
    @ivar signature: C{r || s}, 64 bytes.
    @ivar public_key: the owner's.
    @ivar encoded: the record as the wire has it.
    """

    seq: int
    values: Mapping[bytes, bytes]
    signature: bytes
    public_key: PublicKey
    encoded: bytes

    @classmethod
    def sign(cls, key: PrivateKey, seq: int, pairs: Mapping[bytes, rlp.Encodable]) -> Record:
        """
        Make a record.

        @param key: the owner's; C{id} and C{secp256k1} are filled in from it.
        @param seq: 64 bits.
        @param pairs: keys and the items that are their values.
        @raise LocalProtocolError: too much for 300 bytes, or C{seq} out of range.
        """
        if not 0 <= seq < 1 << 64:
            raise LocalProtocolError(f"a sequence number has 64 bits: {seq}")
        values = {**pairs, ID.key: _SCHEME, SECP256K1.key: key.public_key.to_compressed()}
        content = _content(seq, sorted(values.items()))
        signature = key.sign(keccak256(rlp.encode(content)))[:SIGNATURE_SIZE]
        encoded = rlp.encode([signature, *content])
        if len(encoded) > MAX_SIZE:
            raise LocalProtocolError(_TOO_BIG)
        raw = {name: rlp.encode(value) for name, value in sorted(values.items())}
        return cls(seq, raw, signature, key.public_key, encoded)

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """
        Read and verify a record.

        @raise InvalidRecord: malformed, bigger than 300 bytes, of an unknown identity scheme, or badly signed.
        """
        parts, content = _parse(data)
        values = parts.values
        if values.get(ID.key) != _SCHEME_WRITTEN:
            raise InvalidRecord("invalid signature on node record")
        public_key = _load(values, SECP256K1)
        if public_key is None:
            raise InvalidRecord("record without a valid secp256k1 key")
        if not is_signed_by(public_key, keccak256(content), parts.signature):
            raise InvalidRecord("invalid signature on node record")
        return cls(parts.seq, values, parts.signature, public_key, bytes(data))

    @classmethod
    def from_text(cls, text: str) -> Record:
        """
        Read and verify the text form.

        @raise InvalidNode: not C{enr:} and base64 without padding, or no valid record.
        """
        if not text.startswith(TEXT_PREFIX):
            raise InvalidNode("missing 'enr:' prefix for base64-encoded record")
        try:
            return cls.decode(_from_base64(text[len(TEXT_PREFIX) :]))
        except (InvalidRecord, ValueError) as error:
            raise InvalidNode(f"invalid node record: {error}") from None

    def to_text(self) -> str:
        """The text form."""
        return TEXT_PREFIX + urlsafe_b64encode(self.encoded).rstrip(b"=").decode("ascii")

    @property
    def node_id(self) -> bytes:
        """Keccak-256 of the public key (32 bytes)."""
        return self.public_key.node_id

    def raw(self, key: bytes) -> bytes | None:
        """The RLP encoding of a key's value; C{None} if the key is absent."""
        return self.values.get(key)

    def get(self, entry: ReadableEntry[T]) -> T | None:
        """
        The value of an L{Entry<devp2p_tx.core.enr.entries.Entry>}; C{None} if it is absent or of another shape.
        """
        return _load(self.values, entry)

    def __eq__(self, other: object) -> bool:
        return self.encoded == other.encoded if isinstance(other, Record) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.encoded)

    def __repr__(self) -> str:
        return f"<Record {self.node_id.hex()[:16]} seq={self.seq}>"


def parse_record(data: bytes) -> RecordParts:
    """
    Read a record without verifying it, for tools that show what others would refuse.

    @raise InvalidRecord: malformed, or bigger than 300 bytes.
    """
    return _parse(data)[0]


def _parse(data: bytes) -> tuple[RecordParts, bytes]:
    """What a record says, and what its signature is of."""
    if len(data) > MAX_SIZE:
        raise InvalidRecord(_TOO_BIG)
    try:
        whole = read_field(data, 0, len(data))
        items = read_exact_list(data, whole, 0, MAX_SIZE) if whole[0] else []
        if whole[3] != len(data):
            raise InvalidRecord("malformed record: data after it")
        if len(items) < 2:
            raise InvalidRecord("record contains less than two list elements")
        if len(items) % 2:
            raise InvalidRecord("record contains incomplete k/v pair")
        keys = [read_bytes(data, key) for key in items[2::2]]
        signature, seq = read_bytes(data, items[0]), read_uint(data, items[1])
        values = [_read_value(data, value) for value in items[3::2]]
    except InvalidRLP as error:
        raise InvalidRecord(f"malformed record: {error}") from None
    _check_order(keys)
    return RecordParts(signature, seq, dict(zip(keys, values, strict=True))), write_list((data[items[1][1] :],))


def _read_value(data: bytes, value: Field) -> bytes:
    """The encoding of a value, which is canonical down to the last item."""
    is_list, begin, _, stop = value
    encoded = data[begin:stop]
    if is_list:
        rlp.decode(encoded)
    return encoded


def _check_order(keys: list[bytes]) -> None:
    for key, following in pairwise(keys):
        if key == following:
            raise InvalidRecord("record contains duplicate key")
        if key > following:
            raise InvalidRecord("record key/value pairs are not sorted by key")


def _content(seq: int, pairs: Iterable[tuple[bytes, rlp.Encodable]]) -> list[rlp.Encodable]:
    """The items that are signed."""
    content: list[rlp.Encodable] = [rlp.encode_uint(seq)]
    for pair in pairs:
        content += pair
    return content


def _load(values: Mapping[bytes, bytes], entry: ReadableEntry[T]) -> T | None:
    encoded = values.get(entry.key)
    if encoded is None:
        return None
    try:
        return entry.decode(rlp.decode(encoded))
    except RemoteProtocolError:
        return None


def _from_base64(text: str) -> bytes:
    """
    Decode URL-safe base64 that has no padding; Python's decoder alone would skip foreign characters.

    @raise ValueError: padding, a foreign character, or an impossible length.
    """
    if not _BASE64URL.fullmatch(text):
        raise ValueError("not URL-safe base64 without padding")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
