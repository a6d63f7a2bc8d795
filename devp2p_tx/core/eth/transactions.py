"""
Transactions: envelopes 0 to 4, with and without the blobs that travel beside them.

The fields of each type::

    0  EIP-155   nonce, gas price, gas, to, value, data, v, r, s
    1  EIP-2930  chain, nonce, gas price, gas, to, value, data, access list, parity, r, s
    2  EIP-1559  chain, nonce, tip, fee cap, gas, to, value, data, access list, parity, r, s
    3  EIP-4844  as 2, with blob fee cap and versioned hashes before parity
    4  EIP-7702  as 2, with authorizations before parity
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from devp2p_tx.core.codec.rlpfields import (
    Field,
    read_bytes,
    read_exact_list,
    read_list,
    read_uint,
    write_list,
    write_uint,
)
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.eth.items import HASH_SIZE, read_fixed, read_only, read_raw
from devp2p_tx.errors import InvalidRLP, InvalidSignature

LEGACY, ACCESS_LIST, DYNAMIC_FEE, BLOB, SET_CODE = range(5)
#: The sizes of a blob, of a commitment, and of a proof (bytes), and the proofs of a blob in version 1 (EIP-7594).
BLOB_SIZE, COMMITMENT_SIZE, PROOF_SIZE = 131072, 48, 48
CELL_PROOFS = 128
#: How many blobs a transaction may have (EIP-7594).
MAX_BLOBS = 6
#: The version since which the size of a transaction is announced without its blobs.
_WITHOUT_BLOBS = 72
#: What a blob adds to a size that is announced since L{_WITHOUT_BLOBS}: itself and its header; and the list's header.
_BLOB_ITEM, _BLOBS_HEADER = BLOB_SIZE + 4, 4
_VERSIONED_HASH = b"\x01"
_ADDRESS_SIZE, _WORD = 20, 32
#: Half of the order of secp256k1: a signature with a greater s is invalid (EIP-2).
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
#: Up to here v tells no chain (EIP-155): 27 or 28.
_UNPROTECTED, _PROTECTED = 27, 35


class Sidecar(NamedTuple):
    """
    The blobs of a transaction, which are no part of its hash.

    @ivar version: 0, one proof for each blob; or 1, L{CELL_PROOFS} for each.
    @ivar blobs: 131,072 bytes each; none in C{eth/72}.
    @ivar commitments: 48 bytes, one for each blob.
    @ivar proofs: 48 bytes each.
    """

    version: int
    blobs: tuple[bytes, ...]
    commitments: tuple[bytes, ...]
    proofs: tuple[bytes, ...]


class _Layout(NamedTuple):
    """Where the fields of a type stand; -1 for one that it has not."""

    fields: int
    chain: int
    nonce: int
    tip: int
    fee_cap: int
    gas: int
    access_list: int
    blob_fee_cap: int = -1
    blob_hashes: int = -1
    authorizations: int = -1


_LAYOUTS = {
    LEGACY: _Layout(9, -1, 0, 1, 1, 2, -1),
    ACCESS_LIST: _Layout(11, 0, 1, 2, 2, 3, 7),
    DYNAMIC_FEE: _Layout(12, 0, 1, 2, 3, 4, 8),
    BLOB: _Layout(14, 0, 1, 2, 3, 4, 8, 9, 10),
    SET_CODE: _Layout(13, 0, 1, 2, 3, 4, 8, authorizations=9),
}


@dataclass(frozen=True, slots=True)
class Transaction:
    """
    One transaction.

    @ivar type: 0 to 4.
    @ivar hash: 32 bytes.
    @ivar raw: the envelope as a block has it: C{type || payload}, or the list of a legacy transaction.
    @ivar size: the length as it came, with its sidecar (bytes); see L{announced_size}.
    @ivar chain: the chain id; C{None} for a legacy transaction that is valid on all.
    @ivar tip: what the producer of the block gets at most for each gas (wei); of types 0 and 1 the gas price.
    @ivar fee_cap: what is paid at most for each gas (wei); of types 0 and 1 the gas price.
    @ivar to: 20 bytes; C{None} where a contract is made.
    @ivar value: wei.
    @ivar access_list: its RLP, empty for a legacy transaction.
    @ivar blob_fee_cap: what is paid at most for each blob gas (wei), 0 without blobs.
    @ivar blob_hashes: versioned hashes.
    @ivar authorizations: the RLP of each (EIP-7702).
    @ivar sidecar: what travels beside it, if it does.
    """

    type: int
    hash: bytes
    raw: bytes
    size: int
    chain: int | None
    nonce: int
    tip: int
    fee_cap: int
    gas: int
    to: bytes | None
    value: int
    data: bytes
    access_list: bytes
    blob_fee_cap: int
    blob_hashes: tuple[bytes, ...]
    authorizations: tuple[bytes, ...]
    v: int
    r: int
    s: int
    sidecar: Sidecar | None

    def announced_size(self, version: int) -> int:
        """The size that an announcement in C{version} has of it (bytes): since 72 it does not count blobs."""
        if version < _WITHOUT_BLOBS or self.sidecar is None or not self.sidecar.blobs:
            return self.size
        return self.size - len(self.sidecar.blobs) * _BLOB_ITEM - _BLOBS_HEADER

    def sender(self) -> bytes:
        """
        Recover the address that signed it, 20 bytes. It costs a curve operation.

        @raise InvalidSignature: nobody can have signed it.
        """
        parity = self._parity()
        if not 0 < self.r < 1 << 256 or not 0 < self.s <= _HALF_ORDER:
            raise InvalidSignature("a transaction's signature is out of range")
        signature = self.r.to_bytes(_WORD, "big") + self.s.to_bytes(_WORD, "big") + bytes((parity,))
        return PublicKey.recover(signature, self._signed()).node_id[-_ADDRESS_SIZE:]

    def _parity(self) -> int:
        if self.type == LEGACY:
            parity = self.v - _UNPROTECTED if self.chain is None else (self.v - _PROTECTED) % 2
        else:
            parity = self.v
        if parity not in (0, 1):
            raise InvalidSignature(f"a transaction's signature has the parity {parity}")
        return parity

    def _signed(self) -> bytes:
        """The hash that is signed: of the envelope without the signature; in type 0 with the chain in its place."""
        if self.type == LEGACY:
            unsigned = _unsigned(self.raw)
            if self.chain is not None:
                unsigned += write_uint(self.chain) + write_uint(0) + write_uint(0)
            return keccak256(write_list((unsigned,)))
        return keccak256(self.raw[:1] + write_list((_unsigned(self.raw[1:]),)))


def _unsigned(payload: bytes) -> bytes:
    """The encoded fields of a list but for the last three."""
    fields = read_list(payload, read_only(payload), 9, 14)
    return payload[fields[0][1] : fields[-3][1]]


def read_transaction(item: bytes) -> Transaction:
    """
    Read a transaction as it stands in a message: a list, or a byte string with C{type || payload} in it.

    @raise InvalidRLP: another shape, or a type that is not known.
    """
    field = read_only(item)
    return read_envelope(item if field[0] else read_bytes(item, field))


def read_envelope(envelope: bytes) -> Transaction:
    """
    Read a transaction as a block has it, or with its sidecar as a pool has it.

    @raise InvalidRLP: another shape, a type that is not known, or a sidecar that is not that of the transaction.
    """
    if not envelope:
        raise InvalidRLP("an empty transaction")
    if envelope[0] >= 0xC0:
        return _read(LEGACY, envelope, envelope, len(envelope), None)
    kind, payload = envelope[0], envelope[1:]
    if kind not in _LAYOUTS or kind == LEGACY:
        raise InvalidRLP(f"a transaction of type {kind}")
    if kind != BLOB:
        return _read(kind, envelope, payload, len(envelope), None)
    bare, sidecar = _split(payload)
    transaction = _read(kind, bytes((kind,)) + bare, bare, len(envelope), sidecar)
    if sidecar is not None:
        _check_commitments(transaction.blob_hashes, sidecar)
    return transaction


def _split(payload: bytes) -> tuple[bytes, Sidecar | None]:
    """The payload of a blob transaction, apart from its sidecar if it has one (then its first field is a list)."""
    whole = read_only(payload)
    first = read_list(payload, whole, 1, 1)[0]
    if not first[0]:
        return payload, None
    fields = read_exact_list(payload, whole, 4, 5)
    bare = payload[fields[0][1] : fields[0][3]]
    version = 0 if len(fields) == 4 else read_uint(payload, fields[1], 1)
    if version != len(fields) - 4:
        raise InvalidRLP(f"a sidecar of version {version}")
    return bare, _read_sidecar(payload, version, fields[-3:])


def _read_sidecar(payload: bytes, version: int, fields: list[Field]) -> Sidecar:
    blobs, commitments, proofs = fields
    sidecar = Sidecar(
        version,
        read_fixed(payload, blobs, BLOB_SIZE, MAX_BLOBS),
        read_fixed(payload, commitments, COMMITMENT_SIZE, MAX_BLOBS),
        read_fixed(payload, proofs, PROOF_SIZE, MAX_BLOBS * CELL_PROOFS),
    )
    count = len(sidecar.commitments)
    if len(sidecar.blobs) not in (0, count) or len(sidecar.proofs) != count * (CELL_PROOFS if version else 1):
        raise InvalidRLP("blobs, commitments and proofs differ in number")
    return sidecar


def _check_commitments(hashes: tuple[bytes, ...], sidecar: Sidecar) -> None:
    made = tuple(_VERSIONED_HASH + sha256(each).digest()[1:] for each in sidecar.commitments)
    if made != hashes:
        raise InvalidRLP("a sidecar of another transaction: its commitments do not give the versioned hashes")


def _read(kind: int, raw: bytes, payload: bytes, size: int, sidecar: Sidecar | None) -> Transaction:
    layout = _LAYOUTS[kind]
    fields = read_exact_list(payload, read_only(payload), layout.fields, layout.fields)

    def word(index: int) -> int:
        return read_uint(payload, fields[index], _WORD)

    def raws(index: int) -> tuple[bytes, ...]:
        return read_raw(payload, fields[index]) if index >= 0 else ()

    v = word(-3)
    chain = word(layout.chain) if layout.chain >= 0 else _legacy_chain(v)
    return Transaction(
        kind,
        keccak256(raw),
        raw,
        size,
        chain,
        read_uint(payload, fields[layout.nonce]),
        word(layout.tip),
        word(layout.fee_cap),
        read_uint(payload, fields[layout.gas]),
        _recipient(payload, fields[layout.gas + 1], kind),
        word(layout.gas + 2),
        read_bytes(payload, fields[layout.gas + 3]),
        _list(payload, fields[layout.access_list]) if layout.access_list >= 0 else b"",
        word(layout.blob_fee_cap) if layout.blob_fee_cap >= 0 else 0,
        read_fixed(payload, fields[layout.blob_hashes], HASH_SIZE) if layout.blob_hashes >= 0 else (),
        raws(layout.authorizations),
        v,
        word(-2),
        word(-1),
        sidecar,
    )


def _legacy_chain(v: int) -> int | None:
    return (v - _PROTECTED) // 2 if v >= _PROTECTED else None


def _recipient(payload: bytes, field: Field, kind: int) -> bytes | None:
    to = read_bytes(payload, field)
    if len(to) not in (0, _ADDRESS_SIZE) or (not to and kind in (BLOB, SET_CODE)):
        raise InvalidRLP(f"a recipient has {_ADDRESS_SIZE} bytes")
    return to or None


def _list(payload: bytes, field: Field) -> bytes:
    if not field[0]:
        raise InvalidRLP("expected a list")
    return payload[field[1] : field[3]]
