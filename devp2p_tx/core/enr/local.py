"""
Our own node record: entries that change, signed anew when someone asks.

Rules:

  - A change only makes the record stale; the next L{LocalRecord.record} raises the sequence number by one and signs, so
    that several changes cost one number.
  - The number starts as unix time in milliseconds, so that it still grows when the stored one is lost. Therefore there
    is at most one signing in a millisecond: the number must not outrun the clock.
  - In each address family the IP is the static one, else the predicted one, else the fallback. The UDP port is the
    predicted one where the IP is, else the fallback. C{udp6} is written only where it differs from C{udp}.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from devp2p_tx.core import rlp
from devp2p_tx.core.addresses import IPAddress, unwrap
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.entries import IP, IP6, UDP, UDP6, Entry
from devp2p_tx.core.enr.record import Record
from devp2p_tx.core.ipvote import EndpointVotes, ExternalEndpoint

T = TypeVar("T")

_MAX_SEQ = (1 << 64) - 1
_BIGGEST_ENDPOINTS = {IP.key: bytes(4), IP6.key: bytes(16), UDP.key: b"\xff\xff", UDP6.key: b"\xff\xff"}


class _FamilyEndpoint:
    """What is known of our endpoint in one address family."""

    __slots__ = ("fallback_ip", "fallback_udp", "predicted", "static_ip", "votes")

    def __init__(self) -> None:
        self.votes = EndpointVotes()
        self.predicted: ExternalEndpoint | None = None
        self.static_ip: IPAddress | None = None
        self.fallback_ip: IPAddress | None = None
        self.fallback_udp = 0

    def choose(self) -> tuple[IPAddress | None, int]:
        """The address and UDP port to announce; a port that was predicted never goes with another address."""
        if self.static_ip is not None:
            return self.static_ip, self.fallback_udp
        if self.predicted is not None:
            return self.predicted
        return self.fallback_ip, self.fallback_udp


class LocalRecord:
    """
    The record of the node that we are.

    @ivar key: our key.
    @ivar seq: the number of the record signed last.
    """

    def __init__(
        self,
        key: PrivateKey,
        unix_ms: int,
        stored_seq: int | None = None,
        store_seq: Callable[[int], None] | None = None,
    ) -> None:
        """
        @param unix_ms: unix time in milliseconds.
        @param stored_seq: the number that C{store_seq} was given last for this key, if ever.
        @param store_seq: called with each new number before the record that has it is shown to anyone.
        """
        self.key = key
        self.seq = unix_ms if stored_seq is None else stored_seq
        self._store_seq = store_seq
        self._items: dict[bytes, rlp.Encodable] = {}
        self._record: Record | None = None
        self._stale = True
        self._signed_at: int | None = None
        self._of4 = _FamilyEndpoint()
        self._of6 = _FamilyEndpoint()

    @property
    def node_id(self) -> bytes:
        """Our node id (32 bytes)."""
        return self.key.public_key.node_id

    def record(self, unix_ms: int) -> Record:
        """
        The record as it is now. A change in the very millisecond of the last signing shows in the next one.

        @param unix_ms: unix time in milliseconds.
        """
        if self._record is None or (self._stale and unix_ms != self._signed_at):
            self._record = Record.sign(self.key, self.seq + 1, self._items)
            self._stale = False
            self._signed_at = unix_ms
            self.seq += 1
            if self._store_seq is not None:
                self._store_seq(self.seq)
        return self._record

    def set(self, entry: Entry[T], value: T) -> None:
        """
        Set an entry; an equal value changes nothing.

        Use the methods below for C{ip}, C{ip6}, C{udp} and C{udp6}: what is set here for them is overwritten.

        @raise LocalProtocolError: the value is out of range, or too big for a record that has endpoints, too.
        """
        item = entry.encode(value)
        Record.sign(self.key, _MAX_SEQ, {**self._items, **_BIGGEST_ENDPOINTS, entry.key: item})
        self._put_item(entry.key, item)

    def _put_item(self, key: bytes, item: rlp.Encodable) -> None:
        if key not in self._items or self._items[key] != item:
            self._items[key] = item
            self._stale = True

    def delete(self, entry: Entry[T]) -> None:
        """Remove an entry, if it is there."""
        if self._items.pop(entry.key, None) is not None:
            self._stale = True

    def set_static_ip(self, ip: IPAddress) -> None:
        """Announce this address in its family, whatever others say."""
        self._family(ip).static_ip = unwrap(ip)
        self._update_endpoints()

    def clear_static_ip(self, version: int) -> None:
        """
        Announce what is predicted, or the fallback.

        @param version: the family, 4 or 6.
        """
        (self._of4 if version == 4 else self._of6).static_ip = None
        self._update_endpoints()

    def set_fallback_ip(self, ip: IPAddress) -> None:
        """Announce this address in its family while nothing better is known."""
        self._family(ip).fallback_ip = unwrap(ip)
        self._update_endpoints()

    def set_fallback_udp(self, port: int) -> None:
        """Announce this port in both families while nothing better is known; 0 for none."""
        self._of4.fallback_udp = self._of6.fallback_udp = port
        self._update_endpoints()

    def add_statement(self, host: IPAddress, endpoint: ExternalEndpoint, now: float) -> None:
        """
        A host says that our UDP endpoint is C{endpoint}.

        @param now: seconds of any monotonic clock.
        """
        family = self._family(endpoint.ip)
        if family.votes.add_statement(host, endpoint, now):
            self._predict(family, now)

    def add_contact(self, host: IPAddress, now: float) -> None:
        """We announced ourselves to a host by UDP; C{now} as in L{add_statement}."""
        family = self._family(host)
        family.votes.add_contact(host, now)
        self._predict(family, now)

    def is_full_cone(self, version: int, now: float) -> bool:
        """Whether we seem to be behind a full cone NAT in the family 4 or 6; C{now} as in L{add_statement}."""
        return (self._of4 if version == 4 else self._of6).votes.is_full_cone(now)

    def _family(self, ip: IPAddress) -> _FamilyEndpoint:
        return self._of4 if unwrap(ip).version == 4 else self._of6

    def _predict(self, family: _FamilyEndpoint, now: float) -> None:
        predicted = family.votes.prediction(now)
        if predicted != family.predicted:
            family.predicted = predicted
            self._update_endpoints()

    def _update_endpoints(self) -> None:
        ip4, udp4 = self._of4.choose()
        ip6, udp6 = self._of6.choose()
        self._put(IP, ip4 if isinstance(ip4, IPv4Address) and not ip4.is_unspecified else None)
        self._put(IP6, ip6 if isinstance(ip6, IPv6Address) and not ip6.is_unspecified else None)
        self._put(UDP, udp4 or None)
        self._put(UDP6, udp6 if udp6 not in (0, udp4) else None)

    def _put(self, entry: Entry[T], value: T | None) -> None:
        if value is None:
            self.delete(entry)
        else:
            self._put_item(entry.key, entry.encode(value))
