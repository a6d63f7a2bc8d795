"""
Our own node record: entries that change, signed anew when someone asks.

Rules:

  - A change only makes the record stale; the next L{LocalRecord.record} raises the sequence number by one and signs, so
    that several changes cost one number.
  - The number starts as unix time in milliseconds, so that it still grows when the stored one is lost. Therefore there
    is at most one signing in a millisecond: the number must not outrun the clock.
  - Where we are is told by several L{Source}s. In each address family the address, the TCP port and the UDP port are
    taken from the first source that knows them; what none knows is left out. An address of our user's choice that is
    not known yet is left out, too, whatever others say. The port that others see belongs to the address that they see,
    and goes with no other. A globally reachable address of this host takes precedence over what others see.
  - A host states only what it can see: an address of its own family, which a node at the host's address may also relay
    to us (L{AddressPolicy.relay_fault}), and at which all nodes that we speak with reach the same host.
  - Hosts of local networks often are in one network, where each may have any address. So each counts for itself, but
    only where it confirms what we know: an address of this host, with the port that it listens at.
  - When our address changes, the votes of others move one by one. Meanwhile what they agreed on last stays, the port
    likewise. While they agree on the address and not on the port, the port is taken from the next source.
  - With an IPv6 address, C{tcp6} and C{udp6} are written also where they equal C{tcp} and C{udp}. EIP-778 would do
    without, but there are readers who take an IPv6 address without ports of its own for none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from devp2p_tx.core.addressing.addresses import IPAddress, is_lan, unwrap
from devp2p_tx.core.addressing.ipvote import ExternalEndpoint
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.entries import IP, IP6, TCP, TCP6, UDP, UDP6, Entry
from devp2p_tx.core.enr.ourendpoint import HOLD, Advertised, Choice, FamilyEndpoint, Offer, Source, Verdict
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import LocalProtocolError

__all__ = ["HOLD", "Advertised", "LocalRecord", "Source", "Verdict"]

T = TypeVar("T")

_MAX_SEQ = (1 << 64) - 1
_BIGGEST_PORT = b"\xff\xff"
_BIGGEST_ENDPOINTS = {
    IP.key: bytes(4),
    IP6.key: bytes(16),
    **dict.fromkeys((TCP.key, UDP.key, TCP6.key, UDP6.key), _BIGGEST_PORT),
}


class LocalRecord:
    """
    The record of the node that we are.

    @ivar key: our key.
    @ivar seq: the number of the record signed last.
    @ivar versions: the address families in which we can reach others, of 4 and 6: where another node has several
        endpoints, one of these is used.
    @ivar addresses: the addresses of this host, as far as they are known.
    """

    def __init__(
        self,
        key: PrivateKey,
        unix_ms: int,
        stored_seq: int | None = None,
        store_seq: Callable[[int], None] | None = None,
        policy: AddressPolicy | None = None,
    ) -> None:
        """
        @param unix_ms: unix time in milliseconds.
        @param stored_seq: the number that C{store_seq} was given last for this key, if ever.
        @param store_seq: called with each new number before the record that has it is shown to anyone.
        @param policy: which addresses others may state; by default all in use, private ones too.
        """
        self.key = key
        self.seq = unix_ms if stored_seq is None or stored_seq >= _MAX_SEQ else stored_seq
        self.versions: tuple[int, ...] = (4, 6)
        self.addresses: Collection[IPAddress] = ()
        self._store_seq = store_seq
        self._policy = AddressPolicy(lan=True) if policy is None else policy
        self._items: dict[bytes, rlp.Encodable] = {}
        self._record: Record | None = None
        self._stale = True
        self._signed_at: int | None = None
        self._families = {4: FamilyEndpoint(ip=IP, tcp=TCP, udp=UDP), 6: FamilyEndpoint(ip=IP6, tcp=TCP6, udp=UDP6)}

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
        Set an entry that says something else than where we are; an equal value changes nothing.

        @raise LocalProtocolError: the entry is for L{offer}; the value is out of range, or too big for a record that
            has endpoints, too.
        """
        items = self._checked([(entry, value)], self._items)
        self._put_item(entry.key, items[entry.key])

    def announce(self, entries: Iterable[tuple[Entry[Any], Any]]) -> None:
        """
        Set these entries, and delete all others, but for those that say where we are. Equal values change nothing.

        @raise LocalProtocolError: as for L{set}; then nothing is changed.
        """
        items = self._checked(entries, {})
        for key in self._items.keys() - items.keys() - _BIGGEST_ENDPOINTS.keys():
            self._delete_item(key)
        for key, item in items.items():
            self._put_item(key, item)

    def _checked(
        self, entries: Iterable[tuple[Entry[Any], Any]], others: Mapping[bytes, rlp.Encodable]
    ) -> dict[bytes, rlp.Encodable]:
        """The entries as they are encoded, if there is room for them beside others and endpoints."""
        items: dict[bytes, rlp.Encodable] = {}
        for entry, value in entries:
            if entry.key in _BIGGEST_ENDPOINTS:
                raise LocalProtocolError(f"the entry {entry.key.decode()!r} is offered, not set")
            items[entry.key] = entry.encode(value)
        Record.sign(self.key, _MAX_SEQ, {**others, **_BIGGEST_ENDPOINTS, **items})
        return items

    def _put_item(self, key: bytes, item: rlp.Encodable) -> None:
        if key not in self._items or self._items[key] != item:
            self._items[key] = item
            self._stale = True

    def delete(self, entry: Entry[T]) -> None:
        """Remove an entry, if it is there."""
        self._delete_item(entry.key)

    def _delete_item(self, key: bytes) -> None:
        if self._items.pop(key, None) is not None:
            self._stale = True

    # -- where we are -------------------------------------------------------------------------------------------------

    def offer(
        self,
        source: Source,
        version: int,
        ip: IPAddress | None = None,
        tcp: int | None = None,
        udp: int | None = None,
    ) -> None:
        """
        What a source says now of where we are, in place of all that it said before in this family.

        @param version: the address family, 4 or 6.
        @param ip: C{None} if it does not know; an unspecified address if no other source should be believed either.
        @param tcp: 1..65535, or C{None} or 0 if it does not know; C{udp} likewise.
        @raise LocalProtocolError: the address is of the other family, or a port out of range.
        """
        bare = None if ip is None else unwrap(ip)
        if bare is not None and bare.version != version:
            raise LocalProtocolError(f"{ip} is no IPv{version} address")
        for port in (tcp, udp):
            TCP.encode(port or 0)
        family = self._families[version]
        family.offers[source] = Offer(bare, tcp or None, udp or None)
        self._write(family)

    def add_statement(self, host: IPAddress, endpoint: ExternalEndpoint, now: float) -> None:
        """
        A host says that our UDP endpoint is C{endpoint}. What it cannot know is ignored.

        @param now: seconds of any monotonic clock.
        """
        host, stated = unwrap(host), ExternalEndpoint(unwrap(endpoint.ip), endpoint.port)
        if not self._may_state(host, stated):
            return
        family = self._family(host)
        is_neighbor = is_lan(host) and stated.ip in self.addresses and stated.port == family.listening.udp
        votes = family.neighbors if is_neighbor else family.votes
        if votes.add_statement(host, stated, now) and family.predict(now):
            self._write(family)

    def _may_state(self, host: IPAddress, stated: ExternalEndpoint) -> bool:
        return (
            stated.port > 0
            and host.version == stated.ip.version
            and self._policy.relay_fault(host, stated.ip) is None
            and self._policy.may_announce(stated.ip)
        )

    def add_contact(self, host: IPAddress, now: float) -> None:
        """We announced ourselves to a host by UDP; C{now} as in L{add_statement}."""
        family = self._family(host)
        family.votes.add_contact(unwrap(host), now)
        if family.predict(now):
            self._write(family)

    def note_reached(self, host: IPAddress) -> None:
        """A node has dialled us from C{host}."""
        self._family(host).note_reached(unwrap(host))

    def is_full_cone(self, version: int, now: float) -> bool:
        """Whether we seem to be behind a full cone NAT in the family 4 or 6; C{now} as in L{add_statement}."""
        return self._families[version].votes.is_full_cone(now)

    def advertised(self) -> dict[str, Advertised]:
        """What the record says, or will say when it is signed next, of where we are, by key: C{ip}, C{tcp}..."""
        return {key: each for family, said in self._said() for key, each in family.advertised(said)}

    @property
    def disputed_ports(self) -> list[IPAddress]:
        """Our addresses by what others see, where these do not agree on our UDP port: the record has ours."""
        return [each.choices["ip"][0] for each in self._families.values() if each.is_port_disputed]

    def _said(self) -> list[tuple[FamilyEndpoint, dict[str, Choice]]]:
        four, six = self._families[4], self._families[6]
        return [(four, four.choices), (six, six.without_defaults(four))]

    def _family(self, ip: IPAddress) -> FamilyEndpoint:
        return self._families[unwrap(ip).version]

    def _write(self, family: FamilyEndpoint) -> None:
        family.choose()
        for each, said in self._said():
            for field, entry in each.entries.items():
                if field in said:
                    self._put_item(entry.key, entry.encode(said[field][0]))
                else:
                    self.delete(entry)
