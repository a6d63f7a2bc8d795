"""
Whom to dial next: the deciding half of the dialer.

Connections are dialled for two reasons: I{static} nodes, given by the user, are dialled for ever; I{candidates}, found
by discovery, fill what slots are left. Either way a node is not dialled again within L{HISTORY_EXPIRATION} of the last
dial, since it would refuse us (the inbound throttle of the field is 5 seconds shorter), and a static node that keeps
failing is dialled ever more rarely, up to L{MAX_BACKOFF}.

The owner reports what happens, and asks L{DialPlan.next_dials} after every report and when L{DialPlan.get_timer} says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random  # noqa: TID251 - as a type: our owner makes it

from devp2p_tx.core.addresses import Netlist
from devp2p_tx.core.enr.node import Node

#: From the start of one dial of a node to the next (seconds).
HISTORY_EXPIRATION = 35.0
#: The most that the pause before a static node's next dial grows to (seconds).
MAX_BACKOFF = 120.0


class Refusal(Enum):
    """Why a node is not dialled now."""

    SELF = "is self"
    NO_PORT = "has no TCP port"
    NO_ADDRESS = "has no address"
    DIALING = "is being dialled"
    CONNECTED = "is connected"
    PENDING_INBOUND = "is connecting to us"
    RESTRICTED = "is not in the netrestrict list"
    RECENTLY_DIALED = "was dialled recently"


@dataclass(slots=True)
class _Static:
    node: Node
    failures: int = 0


class DialPlan:
    """
    @ivar max_dialed: how many peers may be dialled ones.
    @ivar max_active: how many dials may be under way.
    @ivar pending_inbound: the node ids of those who dialled us and are between the two checkpoints.
    """

    def __init__(
        self, self_id: bytes, max_dialed: int, max_active: int, netrestrict: Netlist | None, random: Random
    ) -> None:
        """
        @param self_id: our node id.
        @param random: for the order in which static nodes take their turns.
        """
        self.max_dialed = max_dialed
        self.max_active = max_active
        self._self_id = self_id
        self._netrestrict = netrestrict
        self._random = random
        self._static: dict[bytes, _Static] = {}
        self._dialing: set[bytes] = set()
        self._peers: dict[bytes, bool] = {}
        self.pending_inbound: set[bytes] = set()
        self._history: dict[bytes, float] = {}

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
        self._peers[node_id] = dialed
        if node_id in self._static:
            self._static[node_id].failures = 0

    def peer_removed(self, node_id: bytes) -> None:
        """It is gone."""
        self._peers.pop(node_id, None)

    def inbound_pending(self, node_id: bytes) -> None:
        """A node that dialled us is between the two checkpoints: dialling it would make two connections."""
        self.pending_inbound.add(node_id)

    def inbound_settled(self, node_id: bytes) -> None:
        """It has become a peer, or not."""
        self.pending_inbound.discard(node_id)

    def dial_started(self, node_id: bytes, now: float) -> None:
        """A dial begins that L{next_dials} did not ask for."""
        static = self._static.get(node_id)
        self._dialing.add(node_id)
        self._history[node_id] = now + _pause(static.failures if static else 0)

    def dial_done(self, node_id: bytes) -> None:
        """A dial ended; if it made a peer, L{peer_added} came before."""
        self._dialing.discard(node_id)
        if node_id in self._static and node_id not in self._peers:
            self._static[node_id].failures += 1

    # What follows.

    @property
    def free_slots(self) -> int:
        """How many dials may begin: twice what is missing, since many fail, within the bound on dials under way."""
        dialed = sum(self._peers.values())
        return max(0, min(2 * (self.max_dialed - dialed), self.max_active) - len(self._dialing))

    def next_dials(self, now: float) -> list[Node]:
        """The static nodes to dial now, in random order, as many as there are slots; they count as started."""
        self._expire(now)
        ready = [each.node for each in self._static.values() if self.check(each.node) is None]
        self._random.shuffle(ready)
        chosen = ready[: self.free_slots]
        for node in chosen:
            self.dial_started(node.node_id, now)
        return chosen

    def check(self, node: Node) -> Refusal | None:
        """Why a node should not be dialled now, if it should not."""
        node_id = node.node_id
        if node_id == self._self_id:
            return Refusal.SELF
        if node.host is None:
            return Refusal.NO_ADDRESS
        if not node.tcp:
            return Refusal.NO_PORT
        if node_id in self._dialing:
            return Refusal.DIALING
        if node_id in self._peers:
            return Refusal.CONNECTED
        if node_id in self.pending_inbound:
            return Refusal.PENDING_INBOUND
        if self._netrestrict is not None and node.ip is not None and node.ip not in self._netrestrict:
            return Refusal.RESTRICTED
        if node_id in self._history:
            return Refusal.RECENTLY_DIALED
        return None

    def get_timer(self) -> float | None:
        """When a static node may be dialled again; C{None} if only a report can change anything."""
        waiting = [self._history[node_id] for node_id in self._static if node_id in self._history]
        return min(waiting, default=None) if self.free_slots else None

    def _expire(self, now: float) -> None:
        for node_id in [node_id for node_id, expiry in self._history.items() if expiry <= now]:
            del self._history[node_id]


def _pause(failures: int) -> float:
    return min(HISTORY_EXPIRATION * 2.0 ** min(failures, 8), MAX_BACKOFF)
