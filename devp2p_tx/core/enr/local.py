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
    and goes with no other.
  - When our address changes, the votes of others move one by one. Meanwhile what they agreed on last stays.
  - With an IPv6 address, C{tcp6} and C{udp6} are written also where they equal C{tcp} and C{udp}. EIP-778 would do
    without, but there are readers who take an IPv6 address without ports of its own for none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from devp2p_tx.core.addressing.addresses import IPAddress, is_lan, unwrap
from devp2p_tx.core.addressing.ipvote import EndpointVotes, ExternalEndpoint
from devp2p_tx.core.codec import rlp
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.entries import IP, IP6, TCP, TCP6, UDP, UDP6, Entry
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import LocalProtocolError

T = TypeVar("T")

#: How long what others agreed on stays when no endpoint has enough votes any more (seconds).
HOLD = 5 * 60.0

_MAX_SEQ = (1 << 64) - 1
_BIGGEST_PORT = b"\xff\xff"
_BIGGEST_ENDPOINTS = {
    IP.key: bytes(4),
    IP6.key: bytes(16),
    **dict.fromkeys((TCP.key, UDP.key, TCP6.key, UDP6.key), _BIGGEST_PORT),
}


class Source(Enum):
    """Who says where we are; those that come first count first."""

    #: Our user.
    FLAG = "flag"
    #: A router that maps ports for us.
    MAPPING = "mapping"
    #: Other nodes, by what they see.
    VOTES = "votes"
    #: A STUN server.
    STUN = "STUN"
    #: The socket, and the interfaces of this host.
    INTERFACE = "interface"


class Verdict(Enum):
    """What is known of an advertised value from outside."""

    #: Enough nodes state it as our UDP endpoint, or a node has dialled us there.
    SEEN = "seen from outside"
    UNSEEN = "not yet seen"
    #: Enough nodes state another.
    CONTRADICTED = "contradicted"


class Advertised(NamedTuple):
    """One entry of the record that says where we are: an address or a port, who says so, and what speaks for it."""

    value: IPAddress | int
    source: Source
    verdict: Verdict


class _Offer(NamedTuple):
    """What one source says of our endpoint in one family; C{None} for what it does not know."""

    ip: IPAddress | None = None
    tcp: int | None = None
    udp: int | None = None


_Choice = tuple[Any, Source]


class _Family:
    """What is known of our endpoint in one address family."""

    __slots__ = ("_hold_until", "_reached", "choices", "entries", "offers", "predicted", "votes")

    def __init__(self, **entries: Entry[Any]) -> None:
        """
        @param entries: the entries for C{ip}, C{tcp} and C{udp}.
        """
        self.entries = entries
        self.votes = EndpointVotes()
        self.predicted: ExternalEndpoint | None = None
        self.offers: dict[Source, _Offer] = {}
        self.choices: dict[str, _Choice] = {}
        self._hold_until = 0.0
        self._reached: tuple[Any, Any] | None = None

    def choose(self) -> None:
        """Take each field from the first source that knows it."""
        choices: dict[str, _Choice] = {}
        for source in Source:
            for field, value in zip(_Offer._fields, self.offers.get(source, ()), strict=False):
                is_of_another_address = field == "udp" and source is Source.VOTES and choices["ip"][1] is not source
                if value is not None and field not in choices and not is_of_another_address:
                    choices[field] = value, source
        if "ip" in choices and choices["ip"][0].is_unspecified:
            del choices["ip"]
        self.choices = choices

    def predict(self, now: float) -> bool:
        """Count the votes; whether another endpoint is offered than before."""
        predicted = self.votes.prediction(now)
        if predicted is None and self.predicted is not None:
            self._hold_until = now + HOLD
        if predicted == self.predicted and (predicted is not None or now < self._hold_until):
            return False
        self.predicted = predicted
        before = self.offers.get(Source.VOTES)
        if predicted is not None:
            self.offers[Source.VOTES] = _Offer(predicted.ip, None, predicted.port)
        elif now >= self._hold_until:
            self.offers.pop(Source.VOTES, None)
        return self.offers.get(Source.VOTES) != before

    def note_reached(self, host: IPAddress) -> None:
        """Someone dialled us: at what we announce, unless he is nearer than that."""
        ip, tcp = self._announced("ip"), self._announced("tcp")
        if ip is not None and tcp and (is_lan(ip) or not is_lan(host)):
            self._reached = ip, tcp

    def without_defaults(self, other: _Family) -> dict[str, _Choice]:
        """What is to be said: without an address no ports that equal the other's, for whoever learns it takes these."""
        if "ip" in self.choices:
            return self.choices
        ports = {field: value for field, (value, _) in other.choices.items()}
        return {field: choice for field, choice in self.choices.items() if ports.get(field) != choice[0]}

    def advertised(self, said: dict[str, _Choice]) -> Iterator[tuple[str, Advertised]]:
        """What is announced, by the key in the record."""
        for field, entry in self.entries.items():
            if field in said:
                value, source = said[field]
                yield entry.key.decode(), Advertised(value, source, self._verdict(field, value))

    def _announced(self, field: str) -> Any:
        return self.choices.get(field, (None,))[0]

    def _verdict(self, field: str, value: Any) -> Verdict:
        if field == "tcp":
            return Verdict.SEEN if self._reached == (self._announced("ip"), value) else Verdict.UNSEEN
        if self.predicted is None:
            return Verdict.UNSEEN
        stated = self.predicted.ip if field == "ip" else self.predicted.port
        return Verdict.SEEN if value == stated else Verdict.CONTRADICTED


class LocalRecord:
    """
    The record of the node that we are.

    @ivar key: our key.
    @ivar seq: the number of the record signed last.
    @ivar versions: the address families in which we can reach others, of 4 and 6: where another node has several
        endpoints, one of these is used.
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
        self.versions: tuple[int, ...] = (4, 6)
        self._store_seq = store_seq
        self._items: dict[bytes, rlp.Encodable] = {}
        self._record: Record | None = None
        self._stale = True
        self._signed_at: int | None = None
        self._families = {4: _Family(ip=IP, tcp=TCP, udp=UDP), 6: _Family(ip=IP6, tcp=TCP6, udp=UDP6)}

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
        if entry.key in _BIGGEST_ENDPOINTS:
            raise LocalProtocolError(f"the entry {entry.key.decode()!r} is offered, not set")
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
        family.offers[source] = _Offer(bare, tcp or None, udp or None)
        self._write(family)

    def add_statement(self, host: IPAddress, endpoint: ExternalEndpoint, now: float) -> None:
        """
        A host says that our UDP endpoint is C{endpoint}.

        @param now: seconds of any monotonic clock.
        """
        family = self._family(endpoint.ip)
        if family.votes.add_statement(host, endpoint, now) and family.predict(now):
            self._write(family)

    def add_contact(self, host: IPAddress, now: float) -> None:
        """We announced ourselves to a host by UDP; C{now} as in L{add_statement}."""
        family = self._family(host)
        family.votes.add_contact(host, now)
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

    def _said(self) -> list[tuple[_Family, dict[str, _Choice]]]:
        four, six = self._families[4], self._families[6]
        return [(four, four.choices), (six, six.without_defaults(four))]

    def _family(self, ip: IPAddress) -> _Family:
        return self._families[unwrap(ip).version]

    def _write(self, family: _Family) -> None:
        family.choose()
        for each, said in self._said():
            for field, entry in each.entries.items():
                if field in said:
                    self._put_item(entry.key, entry.encode(said[field][0]))
                else:
                    self.delete(entry)
