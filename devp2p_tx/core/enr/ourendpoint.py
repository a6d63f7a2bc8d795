"""
Where we are in one address family: what each source says, which of it is announced, and what speaks for that.

The rules are those of L{devp2p_tx.core.enr.local}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar

from devp2p_tx.core.addressing.addresses import IPAddress, is_global
from devp2p_tx.core.addressing.ipvote import HOST_SHARES, EndpointVotes, Prediction
from devp2p_tx.core.enr.entries import Entry
from devp2p_tx.core.enr.nodeendpoint import locality

T = TypeVar("T")

#: How long what others agreed on stays when no endpoint has enough votes any more (seconds).
HOLD = 5 * 60.0


class Source(Enum):
    """Who says where we are; those that come first take precedence."""

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


#: The order where the address of this host is globally reachable: no other node knows better.
_OWN_ADDRESS_FIRST = (Source.FLAG, Source.MAPPING, Source.INTERFACE, Source.VOTES, Source.STUN)


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


class Offer(NamedTuple):
    """What one source says of our endpoint in one family; C{None} for what it does not know."""

    ip: IPAddress | None = None
    tcp: int | None = None
    udp: int | None = None


Choice = tuple[Any, Source]


class _Held(Generic[T]):
    """What was known last; it stays for L{HOLD} seconds after it is not known any more."""

    __slots__ = ("_until", "value")

    def __init__(self) -> None:
        self.value: T | None = None
        self._until: float | None = None

    def update(self, found: T | None, now: float) -> None:
        if found is not None:
            self.value, self._until = found, None
        elif self._until is None:
            self._until = now + HOLD
        elif now >= self._until:
            self.value = None


class FamilyEndpoint:
    """What is known of our endpoint in one address family."""

    __slots__ = ("_ip", "_port", "_reached", "_stated", "choices", "entries", "neighbors", "offers", "votes")

    def __init__(self, **entries: Entry[Any]) -> None:
        """
        @param entries: the entries for C{ip}, C{tcp} and C{udp}.
        """
        self.entries = entries
        self.votes = EndpointVotes()
        self.neighbors = EndpointVotes(shares=HOST_SHARES)
        self.offers: dict[Source, Offer] = {}
        self.choices: dict[str, Choice] = {}
        self._ip: _Held[IPAddress] = _Held()
        self._port: _Held[int] = _Held()
        self._stated = Offer()
        self._reached: tuple[Any, Any] | None = None

    def choose(self) -> None:
        """Take each field from the first source that knows it."""
        choices: dict[str, Choice] = {}
        for source in self._sources():
            for field, value in zip(Offer._fields, self.offers.get(source, ()), strict=False):
                is_theirs = field == "udp" and source is Source.VOTES
                is_of_another_address = is_theirs and choices.get("ip", (None, None))[1] is not source
                if value is not None and field not in choices and not is_of_another_address:
                    choices[field] = value, source
        if "ip" in choices and choices["ip"][0].is_unspecified:
            del choices["ip"]
        self.choices = choices

    @property
    def listening(self) -> Offer:
        """What our sockets and interfaces say."""
        return self.offers.get(Source.INTERFACE, Offer())

    def _sources(self) -> Iterable[Source]:
        own = self.listening.ip
        return Source if own is None or not is_global(own) else _OWN_ADDRESS_FIRST

    def predict(self, now: float) -> bool:
        """Count the statements; return whether another endpoint is offered than before."""
        port = self.listening.udp
        self._hold(self.votes.prediction(now, port), now)
        predicted = self._ip.value, self._port.value
        if self._ip.value is None:
            predicted = self.neighbors.prediction(now, port) or predicted
        before, self._stated = self._stated, Offer(predicted[0], None, predicted[1])
        self.offers[Source.VOTES] = self._stated
        return self._stated != before

    def _hold(self, predicted: Prediction | None, now: float) -> None:
        before = self._ip.value
        self._ip.update(None if predicted is None else predicted.ip, now)
        if self._ip.value != before:
            self._port = _Held()
        self._port.update(None if predicted is None else predicted.port, now)

    @property
    def is_port_disputed(self) -> bool:
        """Whether the address is what others agree on, and the port is ours because they do not agree on that."""
        sources = {field: source for field, (_, source) in self.choices.items()}
        return (sources.get("ip"), sources.get("udp")) == (Source.VOTES, Source.INTERFACE)

    def note_reached(self, host: IPAddress) -> None:
        """A node has dialed us from C{host}: at what we announce, unless it is nearer than that."""
        ip, tcp = self._announced("ip"), self._announced("tcp")
        if ip is not None and tcp and _sees(host, ip):
            self._reached = ip, tcp

    def without_defaults(self, other: FamilyEndpoint) -> dict[str, Choice]:
        """What is to be said: without an address no ports that equal the other's, for whoever learns it takes these."""
        if "ip" in self.choices:
            return self.choices
        ports = {field: value for field, (value, _) in other.choices.items()}
        return {field: choice for field, choice in self.choices.items() if ports.get(field) != choice[0]}

    def advertised(self, said: dict[str, Choice]) -> Iterator[tuple[str, Advertised]]:
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
        stated = self._stated.ip if field == "ip" else self._stated.udp
        if stated is None:
            return Verdict.UNSEEN
        return Verdict.SEEN if value == stated else Verdict.CONTRADICTED


def _sees(host: IPAddress, ip: IPAddress) -> bool:
    """Whether a connection from C{host} shows that those for whom C{ip} is meant reach it."""
    return host != ip and is_global(host) if is_global(ip) else locality(host) >= locality(ip)
