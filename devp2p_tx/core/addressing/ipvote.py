"""
What other hosts say our external endpoint is.

Behind a NAT a node learns its own address only from those who receive its packets. Each stating host has one vote, its
newest statement; the endpoint with the most votes wins, if there are enough of them. There should be one
L{EndpointVotes} for each address family.

Time is C{now} in seconds of any monotonic clock.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from devp2p_tx.core.addressing.addresses import IPAddress

#: Seconds that a statement counts.
WINDOW = 5 * 60.0
#: Who repeats itself within so many seconds says nothing new.
RESOLUTION = 1.0
#: Seconds that a contact is remembered.
CONTACT_WINDOW = 10 * 60.0
#: How many hosts must agree.
MIN_STATEMENTS = 10
#: How many hosts are remembered; beyond it the oldest statement (or contact) goes.
MAX_HOSTS = 256


class ExternalEndpoint(NamedTuple):
    """An address and UDP port of ours, as seen from outside."""

    ip: IPAddress
    port: int


class EndpointVotes:
    """
    The statements of other hosts within a window of time.

    @ivar max_hosts: the bound on statements, and on contacts.
    """

    __slots__ = (
        "_contacts",
        "_leader",
        "_leader_lost_votes",
        "_quiet_until",
        "_statements",
        "_votes",
        "contact_window",
        "max_hosts",
        "minimum",
        "window",
    )

    def __init__(
        self,
        window: float = WINDOW,
        contact_window: float = CONTACT_WINDOW,
        minimum: int = MIN_STATEMENTS,
        max_hosts: int = MAX_HOSTS,
    ) -> None:
        self.window = window
        self.contact_window = contact_window
        self.minimum = minimum
        self.max_hosts = max_hosts
        # Both hold the newest last: a host that speaks again moves there.
        self._statements: OrderedDict[IPAddress, tuple[ExternalEndpoint, float]] = OrderedDict()
        self._contacts: OrderedDict[IPAddress, float] = OrderedDict()
        self._votes: dict[ExternalEndpoint, int] = {}
        self._leader: ExternalEndpoint | None = None
        self._leader_lost_votes = False
        self._quiet_until = float("-inf")  # no statement is too old before

    def add_statement(self, host: IPAddress, endpoint: ExternalEndpoint, now: float) -> bool:
        """
        The host says that we are at C{endpoint}; that replaces what it said before.

        @return: whether that is news, and not what it said just before.
        """
        previous = self._statements.get(host)
        if previous is not None and previous[0] == endpoint:
            if 0 <= now - previous[1] < RESOLUTION:
                return False
        else:
            self._withdraw(host)
            self._vote(endpoint)
        self._statements[host] = (endpoint, now)
        self._statements.move_to_end(host)
        self._expire_statements(now)
        return True

    def add_contact(self, host: IPAddress, now: float) -> None:
        """We sent the host a packet that it may answer from anywhere."""
        self._contacts[host] = now
        self._contacts.move_to_end(host)
        self._expire_contacts(now)

    def prediction(self, now: float) -> ExternalEndpoint | None:
        """The endpoint that most hosts state, if at least C{minimum} do; of equals the one that led before."""
        self._expire_statements(now)
        if self._leader_lost_votes:
            self._elect()
        votes = self._votes.get(self._leader, 0) if self._leader else 0
        return self._leader if votes >= self.minimum else None

    def is_full_cone(self, now: float) -> bool:
        """Whether a host that we had not contacted before could reach us, as behind a full cone NAT."""
        self._expire_statements(now)
        self._expire_contacts(now)
        return any(self._contacts.get(host, stated + 1) > stated for host, (_, stated) in self._statements.items())

    def _vote(self, endpoint: ExternalEndpoint) -> None:
        votes = self._votes[endpoint] = self._votes.get(endpoint, 0) + 1
        if votes > (self._votes.get(self._leader, 0) if self._leader else 0):
            self._leader = endpoint

    def _withdraw(self, host: IPAddress) -> None:
        statement = self._statements.pop(host, None)
        if statement is None:
            return
        endpoint, _ = statement
        self._votes[endpoint] -= 1
        if not self._votes[endpoint]:
            del self._votes[endpoint]
        if endpoint == self._leader:
            self._leader_lost_votes = True  # another may lead now; counted when next asked

    def _elect(self) -> None:
        self._leader_lost_votes = False
        best = max(self._votes, key=self._votes.__getitem__, default=None)
        if best is None or self._votes[best] > (self._votes.get(self._leader, 0) if self._leader else 0):
            self._leader = best

    def _expire_statements(self, now: float) -> None:
        if now <= self._quiet_until and len(self._statements) <= self.max_hosts:
            return
        while self._statements:
            host, (_, stated) = next(iter(self._statements.items()))
            if stated >= now - self.window and len(self._statements) <= self.max_hosts:
                self._quiet_until = stated + self.window
                break
            self._withdraw(host)

    def _expire_contacts(self, now: float) -> None:
        while self._contacts:
            host, contacted = next(iter(self._contacts.items()))
            if contacted >= now - self.contact_window and len(self._contacts) <= self.max_hosts:
                break
            del self._contacts[host]
