"""
Decide which node to dial next: the half of the dialer without I/O.

I{Static} nodes, given by the user, are dialed for ever; I{candidates}, found by discovery, fill the dialed places that
are free. Which peer takes which place is in L{devp2p_tx.core.dialing.places}. A node is not dialed again within
L{HISTORY_EXPIRATION} of the last dial, since it would refuse us (the usual inbound throttle is 5 seconds shorter). The
pause doubles with each failed dial of a static node, up to L{MAX_BACKOFF}. A node without any peer falls back to the
bootnodes after L{FALLBACK_DELAY}: not sooner, since bootnodes are the first peers of many nodes.

Dials under way are bounded by C{max_active}. Static nodes take at most half of that while a candidate or a bootnode
waits for its turn.

The owner reports what happens, and asks L{DialPlan.next_dials} after every report and when L{DialPlan.get_timer} says.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Container, Iterable
from enum import Enum
from math import inf
from random import Random  # noqa: TID251 - as a type: our owner makes it

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.policy import AddressFault, AddressPolicy
from devp2p_tx.core.dialing.places import Places
from devp2p_tx.core.dialing.statics import StaticNode
from devp2p_tx.core.enr.node import Node

#: From the start of one dial of a node to the next (seconds).
HISTORY_EXPIRATION = 35.0
#: The most that the pause before a static node's next dial grows to (seconds).
MAX_BACKOFF = 120.0

#: How long a node is without peers before it dials a bootnode (seconds).
FALLBACK_DELAY = 20.0


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
    NOWHERE = "has an unspecified or multicast address"
    RECENTLY_DIALED = "was dialled recently"


_REFUSALS = {
    AddressFault.NETRESTRICT: Refusal.RESTRICTED,
    AddressFault.NETDENY: Refusal.DENIED,
    AddressFault.UNREACHABLE: Refusal.UNREACHABLE,
    AddressFault.NOWHERE: Refusal.NOWHERE,
}


class DialPlan:
    """
    @ivar places: which peers there are, and which places they take.
    @ivar max_active: how many dials may be under way; with 0 no node is dialed.
    @ivar arriving: the ids of nodes that are connecting to us, as they are at any time.
    """

    def __init__(
        self,
        self_id: bytes,
        places: Places,
        max_active: int,
        policy: AddressPolicy,
        random: Random,
        bootnodes: Iterable[Node] = (),
        arriving: Container[bytes] = (),
    ) -> None:
        """
        @param self_id: our node id.
        @param policy: which addresses may be contacted.
        @param random: for the order in which static nodes take their turns.
        @param bootnodes: the nodes to dial, in turn, when there are no peers.
        @param arriving: the ids of nodes that are connecting to us: dialing one of them would make two connections.
        """
        self.places = places
        self.max_active = max_active
        self._self_id = self_id
        self._policy = policy
        self._random = random
        self._static: dict[bytes, StaticNode] = {}
        self._dialing: Counter[bytes] = Counter()
        self._last_was_static = False
        self.arriving = arriving
        self._history: dict[bytes, float] = {}
        self._forget_at = inf  # when the first of the history is over
        self._bootnodes = deque(bootnodes)
        self._fallback_at: float | None = None

    # What the user wants.

    def add_static(self, node: Node) -> None:
        """
        Dial a node for ever. If it is static already its failures are forgotten, and all its addresses are tried, this
        one first: at once if it is a new one.
        """
        known = self._static.get(node.node_id)
        if known is None:
            self._static[node.node_id] = StaticNode(node)
            self.places.set_static(node.node_id, True)
        elif known.give(node):
            self._history.pop(node.node_id, None)

    def remove_static(self, node_id: bytes) -> None:
        """Dial a node no more; a dial that is under way goes on."""
        self._static.pop(node_id, None)
        self.places.set_static(node_id, False)

    def set_bootnodes(self, nodes: Iterable[Node]) -> None:
        """Dial these, in turn, when there are no peers."""
        self._bootnodes = deque(nodes)

    @property
    def static_nodes(self) -> list[Node]:
        """The static nodes, each at all its addresses."""
        return [node for static in self._static.values() for node in static.nodes]

    def is_static(self, node_id: bytes) -> bool:
        """Whether a node is dialed for ever."""
        return node_id in self._static

    def failures_of(self, node_id: bytes) -> int:
        """How many dials of a static node failed in a row."""
        static = self._static.get(node_id)
        return 0 if static is None else static.failures

    @property
    def static_places(self) -> int:
        """How many places there would have to be for all static nodes to be peers."""
        return sum(not self.places.is_trusted(node_id) for node_id in self._static)

    def addresses_of(self, node_id: bytes) -> list[Node]:
        """A static node at each of its addresses that may be contacted, in the order in which they are to be tried."""
        static = self._static.get(node_id)
        return [] if static is None else [node for node in static.nodes if self._fault(node, True) is None]

    # What happens.

    def peer_added(self, node_id: bytes, dialed: bool) -> None:
        """A peer was added, dialed by us or not."""
        self.places.add(node_id, dialed)
        if node_id in self._static:
            self._static[node_id].failures = 0

    def peer_removed(self, node_id: bytes) -> None:
        """A peer was dropped."""
        self.places.remove(node_id)

    def dial_started(self, node_id: bytes, now: float) -> None:
        """A dial begins that L{next_dials} did not ask for."""
        static = self._static.get(node_id)
        self._dialing[node_id] += 1
        self._last_was_static = static is not None
        self._history[node_id] = expiry = now + _pause(static.failures if static else 0)
        self._forget_at = min(self._forget_at, expiry)

    def dial_done(self, node_id: bytes) -> None:
        """A dial ended; if it made a peer, L{peer_added} came before."""
        self._dialing[node_id] -= 1
        if self._dialing[node_id] <= 0:
            del self._dialing[node_id]
        if node_id in self._static and node_id not in self.places:
            self._static[node_id].failures += 1

    def should_resolve(self, node_id: bytes, now: float) -> bool:
        """Return whether to search for the address of a node: only of a static one, and not too often."""
        static = self._static.get(node_id)
        return static is not None and static.should_resolve(now)

    def resolved(self, node_id: bytes, node: Node | None, now: float) -> None:
        """The search ended, with where the static node is, or without."""
        if (static := self._static.get(node_id)) is not None:
            static.resolved(node, now)

    # What follows.

    @property
    def free_slots(self) -> int:
        """How many candidates may be dialed: twice what is missing, since many dials fail, as far as there is room."""
        return max(0, min(self._wanted, self._room))

    @property
    def wants_candidates(self) -> bool:
        """Whether there are dialed places for candidates, and no lack but of room for another dial."""
        return self._wanted > 0 and self.max_active > 0

    @property
    def _wanted(self) -> int:
        return 2 * self.places.free_dialed - self._active(static=False)

    @property
    def _room(self) -> int:
        """How many dials may begin."""
        return self.max_active - self._dialing.total()

    def _active(self, static: bool) -> int:
        """How many dials of static nodes, or of others, are under way."""
        return sum(count for node_id, count in self._dialing.items() if (node_id in self._static) == static)

    def next_dials(self, now: float, candidate_waits: bool = False) -> list[Node]:
        """
        Return the static nodes to dial now, in random order; they count as started.

        @param candidate_waits: whether there is a candidate that could be dialed if there were room.
        """
        self._expire(now)
        bootnode_waits = self._waiting_bootnode(now) is not None
        others_wait = self.wants_candidates and (candidate_waits or bootnode_waits)
        room, free = self._static_room(others_wait), self._free_static
        ready = [node_id for node_id in self._static if self.check_static(node_id) is None]
        self._random.shuffle(ready)
        chosen: list[Node] = []
        for node_id in ready:
            takes_place = not self.places.is_trusted(node_id)
            if len(chosen) < room and (free > 0 or not takes_place):
                chosen.append(self.addresses_of(node_id)[0])
                self.dial_started(node_id, now)
                free -= takes_place
        return chosen

    def _static_room(self, others_wait: bool) -> int:
        """How many dials of static nodes may begin."""
        if not others_wait:
            return self._room
        half = self.max_active // 2 or int(not self._last_was_static)  # of a single one they take turns
        return min(self._room, half - self._active(static=True))

    @property
    def _free_static(self) -> int:
        """How many places there will be for static nodes if the dials that are under way succeed."""
        rivals = [each for each in self._dialing if each in self._static and not self.places.is_trusted(each)]
        return self.places.free_static - len(rivals)

    @property
    def waiting(self) -> list[Node]:
        """The static nodes that wait for a place, since static peers and dials take all of C{max_peers}."""
        if self._free_static > 0 or not self.max_active:
            return []
        idle = [each for each in self._static if not self.places.is_trusted(each)]
        passing = None, Refusal.RECENTLY_DIALED
        return [self._static[each].nodes[0] for each in idle if self.check_static(each) in passing]

    def next_fallback(self, now: float) -> Node | None:
        """The bootnode to dial now, if it has come to that; it counts as started."""
        self._expire(now)
        bootnode = self._waiting_bootnode(now)
        if bootnode is None or not self.free_slots:
            return None
        self._bootnodes.rotate(-1 - self._bootnodes.index(bootnode))
        self.dial_started(bootnode.node_id, now)
        return bootnode

    def _waiting_bootnode(self, now: float) -> Node | None:
        """The bootnode whose turn it is, if there was no peer for so long, and no other bootnode is being dialed."""
        if len(self.places):
            self._fallback_at = None
        elif self._fallback_at is None:
            self._fallback_at = now + FALLBACK_DELAY
        if self._fallback_at is None or now < self._fallback_at or self._asks_bootnode():
            return None
        return next((node for node in self._bootnodes if self.check(node, by_user=True) is None), None)

    def check_static(self, node_id: bytes) -> Refusal | None:
        """Why a static node should not be dialed now, if it should not."""
        nodes = self._static[node_id].nodes
        return self._check_id(node_id) or self._first_fault(nodes, by_user=True) or self._check_history(node_id)

    def check(self, node: Node, by_user: bool = False) -> Refusal | None:
        """
        Why a node should not be dialed now, if it should not.

        @param by_user: whether it is our user that says where it is, and not another node.
        """
        node_id = node.node_id
        return self._check_id(node_id) or self._first_fault([node], by_user) or self._check_history(node_id)

    def _check_id(self, node_id: bytes) -> Refusal | None:
        if node_id == self._self_id:
            return Refusal.SELF
        if node_id in self._dialing:
            return Refusal.DIALING
        if node_id in self.places:
            return Refusal.CONNECTED
        if node_id in self.arriving:
            return Refusal.PENDING_INBOUND
        return None

    def _check_history(self, node_id: bytes) -> Refusal | None:
        return Refusal.RECENTLY_DIALED if node_id in self._history else None

    def _first_fault(self, nodes: Iterable[Node], by_user: bool) -> Refusal | None:
        """Why none of the places where a node may be can be dialed: the reason of the first, if all have one."""
        faults = [self._fault(node, by_user) for node in nodes]
        return faults[0] if all(faults) else None

    def static_faults(self) -> Counter[Refusal]:
        """How many static nodes are never dialed, by why not."""
        faults = (self._first_fault(static.nodes, by_user=True) for static in self._static.values())
        return Counter(fault for fault in faults if fault is not None)

    def fault(self, node: Node) -> Refusal | None:
        """Why a static node will never be dialed where the user says that it is."""
        return Refusal.SELF if node.node_id == self._self_id else self._fault(node, by_user=True)

    def _fault(self, node: Node, by_user: bool) -> Refusal | None:
        """Why a node cannot be dialed where it is said to be; a static one without an address is searched for."""
        if node.host is None:
            return None if by_user and node.node_id in self._static else Refusal.NO_ADDRESS
        if not node.tcp:
            return Refusal.NO_PORT
        fault = self._address_fault(node, by_user)
        return None if fault is None else _REFUSALS[fault]

    def _address_fault(self, node: Node, by_user: bool) -> AddressFault | None:
        """Why none of a node's addresses may be contacted, if none may; of one without any there is nothing to say."""
        ask = self._policy.user_fault if by_user else self._policy.fault
        known: list[IPAddress | None] = [ip for ip, _ in node.tcp_addresses()]
        faults = [ask(ip) for ip in known or [node.ip] if ip is not None]
        return faults[0] if faults and all(faults) else None

    def get_timer(self) -> float | None:
        """When a static node may be dialled again, or a bootnode; C{None} if only a report can change anything."""
        if self._room <= 0:
            return None
        waiting = [at for each, at in self._history.items() if each in self._static and each not in self.places]
        if self._fallback_at is not None and not len(self.places) and self.free_slots and not self._asks_bootnode():
            waiting += [max(self._fallback_at, at) for at in self._bootnode_times()]
        return min(waiting, default=None)

    def _asks_bootnode(self) -> bool:
        """Whether one of them is being dialled: they take turns."""
        return any(node.node_id in self._dialing for node in self._bootnodes)

    def _bootnode_times(self) -> list[float]:
        """When each bootnode that nothing else speaks against was not dialled lately any more."""
        fit = [node for node in self._bootnodes if self.check(node, by_user=True) in (None, Refusal.RECENTLY_DIALED)]
        return [self._history.get(node.node_id, 0.0) for node in fit]

    def _expire(self, now: float) -> None:
        if now >= self._forget_at:
            self._history = {node_id: expiry for node_id, expiry in self._history.items() if expiry > now}
            self._forget_at = min(self._history.values(), default=inf)


def _pause(failures: int) -> float:
    return min(HISTORY_EXPIRATION * 2.0 ** min(failures, 8), MAX_BACKOFF)
