"""
Whom to dial next: the deciding half of the dialer.

Connections are dialled for two reasons: I{static} nodes, given by the user, are dialled for ever; I{candidates}, found
by discovery, fill what slots are left. Either way a node is not dialled again within L{HISTORY_EXPIRATION} of the last
dial, since it would refuse us (the inbound throttle of the field is 5 seconds shorter), and a static node that keeps
failing is dialled ever more rarely, up to L{MAX_BACKOFF}. A node without any peer falls back to the bootnodes after
L{FALLBACK_DELAY}, which, being many people's first peers, should not be bothered sooner.

The owner reports what happens, and asks L{DialPlan.next_dials} after every report and when L{DialPlan.get_timer} says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from math import inf
from random import Random  # noqa: TID251 - as a type: our owner makes it

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.policy import AddressFault, AddressPolicy
from devp2p_tx.core.enr.node import Node

#: From the start of one dial of a node to the next (seconds).
HISTORY_EXPIRATION = 35.0
#: The most that the pause before a static node's next dial grows to (seconds).
MAX_BACKOFF = 120.0

#: How long a node is without peers before it dials a bootnode (seconds).
FALLBACK_DELAY = 20.0
#: The pause between two searches for the address of a static node: the first, and the most that it grows to (seconds).
RESOLVE_DELAY, MAX_RESOLVE_DELAY = 60.0, 3600.0


class Refusal(Enum):
    """Why a node is not dialled now."""

    SELF = "is self"
    NO_PORT = "has no TCP port"
    NO_ADDRESS = "has no address"
    DIALING = "is being dialled"
    CONNECTED = "is connected"
    PENDING_INBOUND = "is connecting to us"
    RESTRICTED = "is not in the netrestrict list"
    DENIED = "is in the netdeny list"
    UNREACHABLE = "is not globally reachable"
    RECENTLY_DIALED = "was dialled recently"


_REFUSALS = {
    AddressFault.NETRESTRICT: Refusal.RESTRICTED,
    AddressFault.NETDENY: Refusal.DENIED,
    AddressFault.UNREACHABLE: Refusal.UNREACHABLE,
}


@dataclass(slots=True)
class _Static:
    node: Node
    failures: int = 0
    resolve_delay: float = RESOLVE_DELAY
    resolve_at: float = 0.0


class DialPlan:
    """
    @ivar max_dialed: how many peers may be dialled ones.
    @ivar max_active: how many dials may be under way.
    """

    def __init__(
        self,
        self_id: bytes,
        max_dialed: int,
        max_active: int,
        policy: AddressPolicy,
        random: Random,
        bootnodes: Iterable[Node] = (),
    ) -> None:
        """
        @param self_id: our node id.
        @param policy: which addresses may be contacted.
        @param random: for the order in which static nodes take their turns.
        @param bootnodes: whom to dial, in turn, when there are no peers.
        """
        self.max_dialed = max_dialed
        self.max_active = max_active
        self._self_id = self_id
        self._policy = policy
        self._random = random
        self._static: dict[bytes, _Static] = {}
        self._dialing: set[bytes] = set()
        self._peers: dict[bytes, bool] = {}
        self._dialed = 0  # of the peers
        self._pending_inbound: set[bytes] = set()
        self._history: dict[bytes, float] = {}
        self._forget_at = inf  # when the first of the history is over
        self._bootnodes = deque(bootnodes)
        self._fallback_at: float | None = None

    # What the user wants.

    def add_static(self, node: Node) -> None:
        """Dial this node for ever. If it is known already nothing changes but that its failures are forgotten."""
        known = self._static.setdefault(node.node_id, _Static(node))
        known.failures = 0

    def remove_static(self, node_id: bytes) -> None:
        """Dial it no more; a dial that is under way goes on."""
        self._static.pop(node_id, None)

    def is_static(self, node_id: bytes) -> bool:
        """Whether it is dialled for ever."""
        return node_id in self._static

    # What happens.

    def peer_added(self, node_id: bytes, dialed: bool) -> None:
        """A peer is there, dialled by us or not."""
        self.peer_removed(node_id)
        self._peers[node_id] = dialed
        self._dialed += dialed
        if node_id in self._static:
            self._static[node_id].failures = 0

    def peer_removed(self, node_id: bytes) -> None:
        """It is gone."""
        self._dialed -= self._peers.pop(node_id, False)

    def inbound_pending(self, node_id: bytes) -> None:
        """A node that dialled us is between the two checkpoints: dialling it would make two connections."""
        self._pending_inbound.add(node_id)

    def inbound_settled(self, node_id: bytes) -> None:
        """It has become a peer, or not."""
        self._pending_inbound.discard(node_id)

    def dial_started(self, node_id: bytes, now: float) -> None:
        """A dial begins that L{next_dials} did not ask for."""
        static = self._static.get(node_id)
        self._dialing.add(node_id)
        self._history[node_id] = expiry = now + _pause(static.failures if static else 0)
        self._forget_at = min(self._forget_at, expiry)

    def dial_done(self, node_id: bytes) -> None:
        """A dial ended; if it made a peer, L{peer_added} came before."""
        self._dialing.discard(node_id)
        if node_id in self._static and node_id not in self._peers:
            self._static[node_id].failures += 1

    def should_resolve(self, node_id: bytes, now: float) -> bool:
        """Whether to search for a static node's address: not too often, since that asks many others."""
        static = self._static.get(node_id)
        return static is not None and now >= static.resolve_at

    def resolved(self, node_id: bytes, node: Node | None, now: float) -> None:
        """The search ended, with where the static node is, or without."""
        if (static := self._static.get(node_id)) is None:
            return
        if node is None:
            static.resolve_at = now + static.resolve_delay
            static.resolve_delay = min(2 * static.resolve_delay, MAX_RESOLVE_DELAY)
        else:
            static.node, static.resolve_delay, static.resolve_at = node, RESOLVE_DELAY, 0.0

    # What follows.

    @property
    def free_slots(self) -> int:
        """How many dials may begin: twice what is missing, since many fail, within the bound on dials under way."""
        return max(0, min(2 * (self.max_dialed - self._dialed), self.max_active) - len(self._dialing))

    def next_dials(self, now: float) -> list[Node]:
        """The static nodes to dial now, in random order, as many as there are slots; they count as started."""
        self._expire(now)
        ready = [each.node for each in self._static.values() if self.check(each.node, by_user=True) is None]
        self._random.shuffle(ready)
        chosen = ready[: self.free_slots]
        for node in chosen:
            self.dial_started(node.node_id, now)
        return chosen

    def next_fallback(self, now: float) -> Node | None:
        """The bootnode to dial now, if it has come to that; it counts as started."""
        self._expire(now)
        if self._peers:
            self._fallback_at = None
        elif self._fallback_at is None:
            self._fallback_at = now + FALLBACK_DELAY
        if self._fallback_at is None or now < self._fallback_at or not self.free_slots or self._asks_bootnode():
            return None
        for _ in range(len(self._bootnodes)):
            self._bootnodes.rotate(-1)
            if self.check(self._bootnodes[-1], by_user=True) is None:
                self.dial_started(self._bootnodes[-1].node_id, now)
                return self._bootnodes[-1]
        return None

    def check(self, node: Node, by_user: bool = False) -> Refusal | None:
        """
        Why a node should not be dialled now, if it should not. The address of a static one can be searched for.

        @param by_user: whether it is our user who says where it is, and not somebody else.
        """
        node_id = node.node_id
        if node_id == self._self_id:
            return Refusal.SELF
        if node_id not in self._static or node.host is not None:
            if node.host is None:
                return Refusal.NO_ADDRESS
            if not node.tcp:
                return Refusal.NO_PORT
        if node_id in self._dialing:
            return Refusal.DIALING
        if node_id in self._peers:
            return Refusal.CONNECTED
        if node_id in self._pending_inbound:
            return Refusal.PENDING_INBOUND
        if (fault := self._address_fault(node, by_user)) is not None:
            return _REFUSALS[fault]
        if node_id in self._history:
            return Refusal.RECENTLY_DIALED
        return None

    def _address_fault(self, node: Node, by_user: bool) -> AddressFault | None:
        """Why none of a node's addresses may be contacted, if none may; of one without any there is nothing to say."""
        ask = self._policy.listed_fault if by_user else self._policy.fault
        known: list[IPAddress | None] = [ip for ip, _ in node.tcp_addresses()]
        faults = [ask(ip) for ip in known or [node.ip] if ip is not None]
        return faults[0] if faults and all(faults) else None

    def get_timer(self) -> float | None:
        """When a static node may be dialled again, or a bootnode; C{None} if only a report can change anything."""
        if not self.free_slots:
            return None
        waiting = [self._history[node_id] for node_id in self._static if node_id in self._history]
        if self._fallback_at is not None and not self._peers and not self._asks_bootnode():
            waiting += [max(self._fallback_at, at) for at in self._bootnode_times()]
        return min(waiting, default=None)

    def _asks_bootnode(self) -> bool:
        """Whether one of them is being dialled: they take turns."""
        return any(node.node_id in self._dialing for node in self._bootnodes)

    def _bootnode_times(self) -> list[float]:
        """When each bootnode that nothing else speaks against was not dialled lately any more."""
        passing = None, Refusal.RECENTLY_DIALED
        fit = [node for node in self._bootnodes if self.check(node, by_user=True) in passing]
        return [self._history.get(node.node_id, 0.0) for node in fit]

    def _expire(self, now: float) -> None:
        if now >= self._forget_at:
            self._history = {node_id: expiry for node_id, expiry in self._history.items() if expiry > now}
            self._forget_at = min(self._history.values(), default=inf)


def _pause(failures: int) -> float:
    return min(HISTORY_EXPIRATION * 2.0 ** min(failures, 8), MAX_BACKOFF)
