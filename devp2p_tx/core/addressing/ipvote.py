"""
What other hosts say our external endpoint is.

Behind a NAT a node learns its own address only from nodes that receive its packets, each of which may lie, and may have
many addresses. So these rules hold:

  - A network has one statement, its newest: a /24 of IPv4, a /64 of IPv6. A block that registries give out (L{SHARES})
    has at most two if it is a /16 of IPv4, one if it is a /32 of IPv6. So the L{MIN_STATEMENTS} that must agree come
    from at least five /16s, or ten /32s.
  - The address is voted on by itself; then the port is, among those who state that address.
  - What leads goes on leading until something else has L{MARGIN} times as many statements, for L{SETTLING} seconds on
    end. So a NAT that shows two ports in turn does not make the record change with each packet.
  - The port that this node listens at takes precedence: it leads until another does so by that margin, and returns once
    it has as many statements as the other, for the same time.

There should be one L{EndpointVotes} for each address family. Time is C{now} in seconds of any monotonic clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

from devp2p_tx.core.addressing.addresses import IPAddress

#: Seconds that a statement counts.
WINDOW = 5 * 60.0
#: A host that repeats itself within so many seconds says nothing new.
RESOLUTION = 1.0
#: Seconds that a contact is remembered.
CONTACT_WINDOW = 10 * 60.0
#: How many networks must agree.
MIN_STATEMENTS = 10
#: Something else leads once it has this many times the statements of what leads now...
MARGIN = 2
#: ...and has had them for so many seconds.
SETTLING = 60.0
#: How many statements are remembered, and how many contacts; beyond it the oldest goes.
MAX_HOSTS = 256


class Share(NamedTuple):
    """
    What one owner of addresses may state.

    @ivar network: the bits of a network that has one statement.
    @ivar block: the bits of the larger network, which registries give to one owner.
    @ivar statements: how many statements such a larger network has.
    """

    network: int
    block: int
    statements: int


#: By address family. An owner of a /29 of IPv6, the least that providers are given in Europe, has eight /32s.
SHARES = {4: Share(24, 16, 2), 6: Share(64, 32, 1)}
#: Where each host counts for itself.
HOST_SHARES = {4: Share(32, 32, 1), 6: Share(128, 128, 1)}


class ExternalEndpoint(NamedTuple):
    """An address and UDP port of ours, as seen from outside."""

    ip: IPAddress
    port: int


class Prediction(NamedTuple):
    """The address that enough networks agree on; the UDP port there, or C{None} while they do not agree on it."""

    ip: IPAddress
    port: int | None


class _Statement(NamedTuple):
    host: IPAddress
    endpoint: ExternalEndpoint
    stated: float


T = TypeVar("T")


class _Ballot(Generic[T]):
    """Votes for values, and which of them leads."""

    __slots__ = ("_challenger", "_counted_for", "_is_counted", "counts", "leader")

    def __init__(self) -> None:
        self.counts: dict[T, int] = {}
        self.leader: T | None = None
        self._challenger: tuple[T, float] | None = None  # who would lead, and since when
        self._is_counted = True
        self._counted_for: T | None = None

    def add(self, value: T, votes: int) -> None:
        """Count votes for a value, or take them back where C{votes} is negative."""
        count = self.counts.get(value, 0) + votes
        self.counts[value] = count
        if not count:
            del self.counts[value]
        self._is_counted = False

    def elect(self, minimum: int, now: float, preferred: T | None = None) -> T | None:
        """
        Return the value that leads, if it has at least C{minimum} votes.

        @param preferred: the value that stands where none led before, and returns with as many votes as another.
        """
        if not self._is_counted or self._counted_for != preferred or self._challenger is not None:
            self._count(minimum, now, preferred)
        return self.leader if self._votes(self.leader) >= minimum else None

    def _count(self, minimum: int, now: float, preferred: T | None) -> None:
        self._is_counted, self._counted_for = True, preferred
        if not self._votes(self.leader):
            self.leader = preferred
        best = self._best(minimum, preferred)
        if best is None or best == self.leader:
            self._challenger = None
        elif not self._votes(self.leader):
            self.leader, self._challenger = best, None
        elif self._challenger is None or self._challenger[0] != best:
            self._challenger = best, now
        elif now - self._challenger[1] >= SETTLING:
            self.leader, self._challenger = best, None

    def _best(self, minimum: int, preferred: T | None) -> T | None:
        """Who has enough votes to lead."""
        if preferred != self.leader and self._votes(preferred) >= max(minimum, self._votes(self.leader)):
            return preferred
        best = max(self.counts, key=self.counts.__getitem__, default=None)
        return best if self._votes(best) >= max(minimum, MARGIN * self._votes(self.leader)) else self.leader

    def _votes(self, value: T | None) -> int:
        return 0 if value is None else self.counts.get(value, 0)


def _prefix(ip: IPAddress, bits: int) -> int:
    return int(ip) >> (ip.max_prefixlen - bits)


class EndpointVotes:
    """
    The statements of other hosts within a window of time.

    @ivar max_hosts: the bound on statements, and on contacts.
    @ivar shares: what one owner of addresses may state, by address family.
    """

    __slots__ = (
        "_addresses",
        "_blocks",
        "_contacts",
        "_ports",
        "_quiet_until",
        "_statements",
        "contact_window",
        "max_hosts",
        "minimum",
        "shares",
        "window",
    )

    def __init__(
        self,
        window: float = WINDOW,
        contact_window: float = CONTACT_WINDOW,
        minimum: int = MIN_STATEMENTS,
        max_hosts: int = MAX_HOSTS,
        shares: Mapping[int, Share] = SHARES,
    ) -> None:
        self.window = window
        self.contact_window = contact_window
        self.minimum = minimum
        self.max_hosts = max_hosts
        self.shares = shares
        # All hold the newest last: a network or host that speaks again moves there.
        self._statements: OrderedDict[int, _Statement] = OrderedDict()
        self._blocks: dict[int, dict[int, None]] = {}
        self._contacts: OrderedDict[IPAddress, float] = OrderedDict()
        self._addresses: _Ballot[IPAddress] = _Ballot()
        self._ports: dict[IPAddress, _Ballot[int]] = {}
        self._quiet_until = float("-inf")  # no statement is too old before

    def add_statement(self, host: IPAddress, endpoint: ExternalEndpoint, now: float) -> bool:
        """
        The host says that we are at C{endpoint}; that replaces what its network said before.

        @return: whether that is news, and not what its network said just before.
        """
        network = _prefix(host, self.shares[host.version].network)
        previous = self._statements.get(network)
        if previous is not None and previous.endpoint == endpoint and 0 <= now - previous.stated < RESOLUTION:
            return False
        self._withdraw(network)
        self._put(network, _Statement(host, endpoint, now))
        self._expire_statements(now)
        return True

    def add_contact(self, host: IPAddress, now: float) -> None:
        """We sent the host a packet that it may answer from anywhere."""
        self._contacts[host] = now
        self._contacts.move_to_end(host)
        self._expire_contacts(now)

    def prediction(self, now: float, preferred_port: int | None = None) -> Prediction | None:
        """
        Return the address that leads, if at least C{minimum} networks state it, and the port that leads there, if at
        least as many state that.

        @param preferred_port: the UDP port that we listen at.
        """
        self._expire_statements(now)
        ip = self._addresses.elect(self.minimum, now)
        return None if ip is None else Prediction(ip, self._ports[ip].elect(self.minimum, now, preferred_port))

    def is_full_cone(self, now: float) -> bool:
        """Whether a host that we had not contacted before could reach us, as behind a full cone NAT."""
        self._expire_statements(now)
        self._expire_contacts(now)
        return any(self._contacts.get(each.host, each.stated + 1) > each.stated for each in self._statements.values())

    def _put(self, network: int, statement: _Statement) -> None:
        """Remember a statement, in place of the oldest of its block if that is full."""
        share = self.shares[statement.host.version]
        block = self._blocks.setdefault(_prefix(statement.host, share.block), {})
        if len(block) >= share.statements:
            self._withdraw(next(iter(block)))
            block = self._blocks.setdefault(_prefix(statement.host, share.block), {})
        block[network] = None
        self._statements[network] = statement
        ip, port = statement.endpoint
        self._addresses.add(ip, 1)
        self._ports.setdefault(ip, _Ballot()).add(port, 1)

    def _withdraw(self, network: int) -> None:
        statement = self._statements.pop(network, None)
        if statement is None:
            return
        key = _prefix(statement.host, self.shares[statement.host.version].block)
        del self._blocks[key][network]
        if not self._blocks[key]:
            del self._blocks[key]
        ip, port = statement.endpoint
        self._addresses.add(ip, -1)
        self._ports[ip].add(port, -1)
        if not self._ports[ip].counts:
            del self._ports[ip]

    def _expire_statements(self, now: float) -> None:
        if now <= self._quiet_until and len(self._statements) <= self.max_hosts:
            return
        while self._statements:
            network, statement = next(iter(self._statements.items()))
            if statement.stated >= now - self.window and len(self._statements) <= self.max_hosts:
                self._quiet_until = statement.stated + self.window
                break
            self._withdraw(network)

    def _expire_contacts(self, now: float) -> None:
        while self._contacts:
            host, contacted = next(iter(self._contacts.items()))
            if contacted >= now - self.contact_window and len(self._contacts) <= self.max_hosts:
                break
            del self._contacts[host]
