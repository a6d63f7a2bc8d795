"""
The keys of a node record whose values have a known type (EIP-778, "Record Structure").

An L{Entry} names a key and translates between its value's RLP item and a Python value. What does not have the right
shape raises on decoding; a record treats such an entry as absent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Generic, Protocol, TypeVar

from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.errors import InvalidRLP, LocalProtocolError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class ReadableEntry(Protocol[T_co]):
    """What reading needs of an L{Entry}; other than that, it may be taken for one of a wider type."""

    @property
    def key(self) -> bytes: ...

    @property
    def decode(self) -> Callable[[rlp.Item], T_co]: ...


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """
    A key of node records.

    @ivar key: the key, as it stands in the record.
    @ivar encode: value to RLP item; raises L{LocalProtocolError} for a value out of range.
    @ivar decode: RLP item to value; raises a L{RemoteProtocolError<devp2p_tx.errors.RemoteProtocolError>} for an item
        of another shape.
    """

    key: bytes
    encode: Callable[[T], rlp.Encodable]
    decode: Callable[[rlp.Item], T]


def raw(key: bytes) -> Entry[rlp.Item]:
    """An entry whose value is any RLP item, as it is."""
    return Entry(key, lambda item: item, lambda item: item)


def _encode_port(port: int) -> bytes:
    if not 0 <= port <= 0xFFFF:
        raise LocalProtocolError(f"not a port: {port}")
    return rlp.encode_uint(port)


def port(key: bytes) -> Entry[int]:
    """An entry that holds a port, 0..65535."""
    return Entry(key, _encode_port, lambda item: rlp.decode_uint(item, 16))


def _decode_list(item: rlp.Item) -> list[rlp.Item]:
    if not isinstance(item, list):
        raise InvalidRLP("expected a list")
    return item


def _decode_flag(item: rlp.Item) -> bool:
    _decode_list(item)
    return True


def flag(key: bytes) -> Entry[bool]:
    """An entry that says something by being there: an empty list, to which later versions may add."""
    return Entry(key, lambda present: [], _decode_flag)


def _decode_fork_id(item: rlp.Item) -> tuple[bytes, int]:
    fields = _decode_list(item)
    fork_id = _decode_list(fields[0]) if fields else []
    if len(fork_id) != 2:
        raise InvalidRLP("expected a fork id")
    return rlp.decode_bytes(fork_id[0], 4), rlp.decode_uint(fork_id[1])


def _encode_fork_id(value: tuple[bytes, int]) -> rlp.Encodable:
    fork_hash, fork_next = value
    return [[fork_hash, rlp.encode_uint(fork_next)]]


#: The name of the identity scheme.
ID: Entry[bytes] = Entry(b"id", lambda name: name, rlp.decode_bytes)
#: The public key, in its compressed form on the wire.
SECP256K1: Entry[PublicKey] = Entry(
    b"secp256k1", PublicKey.to_compressed, lambda item: PublicKey.from_compressed(rlp.decode_bytes(item))
)
IP: Entry[IPv4Address] = Entry(b"ip", lambda ip: ip.packed, lambda item: IPv4Address(rlp.decode_bytes(item, 4)))
IP6: Entry[IPv6Address] = Entry(b"ip6", lambda ip: ip.packed, lambda item: IPv6Address(rlp.decode_bytes(item, 16)))
TCP = port(b"tcp")
UDP = port(b"udp")
TCP6 = port(b"tcp6")
UDP6 = port(b"udp6")
QUIC = port(b"quic")
QUIC6 = port(b"quic6")
#: The fork id as (hash of 4 bytes, number or time of the next fork or 0); more items may follow (EIP-2124).
ETH: Entry[tuple[bytes, int]] = Entry(b"eth", _encode_fork_id, _decode_fork_id)
SNAP = flag(b"snap")
