"""
Which peers count against which limit::

    ========  ============  ======================  =======================
    class     C{max_peers}  dialled, C{max_dialed}  inbound, C{max_inbound}
    ========  ============  ======================  =======================
    trusted   no            no                      no
    static    yes           no                      no
    dialled   yes           yes                     no
    inbound   yes           no                      yes
    ========  ============  ======================  =======================

A peer is of the first class that fits. A static node gets a place as long as there are fewer than C{max_peers} static
peers: where peers of the last two classes hold all places, the youngest of them gives way to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum


class PeerClass(Enum):
    """The classes of peers."""

    TRUSTED = "trusted"
    STATIC = "static"
    DIALED = "dialled"
    INBOUND = "inbound"


class Places:
    """
    The peers, and the places that they take.

    @ivar max_peers: how many peers there may be, trusted ones aside.
    @ivar max_dialed: how many of them may be candidates that we dialled.
    @ivar max_inbound: how many of them may be strangers that dialled us.
    """

    def __init__(self, max_peers: int, max_dialed: int, trusted: Iterable[bytes] = ()) -> None:
        """
        @param trusted: the ids of trusted nodes.
        """
        self.max_peers, self.max_dialed, self.max_inbound = max_peers, max_dialed, max_peers - max_dialed
        self._trusted = set(trusted)
        self._static: set[bytes] = set()
        self._peers: dict[bytes, bool] = {}  # whether we dialled it
        self._leaving: set[bytes] = set()
        self._classes: dict[bytes, PeerClass] = {}  # of the peers that hold a place
        self._counts: Counter[PeerClass] = Counter()

    # What the user says.

    def set_trusted(self, node_id: bytes, trusted: bool) -> None:
        """Trust a node, or no longer."""
        (self._trusted.add if trusted else self._trusted.discard)(node_id)
        self._classify(node_id)

    def set_static(self, node_id: bytes, static: bool) -> None:
        """Make a node static, or no longer."""
        (self._static.add if static else self._static.discard)(node_id)
        self._classify(node_id)

    # What happens.

    def add(self, node_id: bytes, dialed: bool) -> None:
        """A peer was added, dialled by us or not."""
        self._peers[node_id] = dialed
        self._classify(node_id)

    def remove(self, node_id: bytes) -> None:
        """A peer was dropped."""
        self._peers.pop(node_id, None)
        self._leaving.discard(node_id)
        self._classify(node_id)

    def give_way(self, node_id: bytes) -> bytes | None:
        """
        A peer was added: if it is static, and there are too many, take the place of the youngest that the user did not
        name.

        @return: the id of that peer, which is to be disconnected.
        """
        if self._classes.get(node_id) is not PeerClass.STATIC or self.taken <= self.max_peers:
            return None
        strangers = PeerClass.DIALED, PeerClass.INBOUND
        for other in reversed(self._peers):
            if self._classes.get(other) in strangers:
                self._leaving.add(other)
                self._classify(other)
                return other
        return None

    # What follows.

    def __contains__(self, node_id: bytes) -> bool:
        """Whether a node is a peer."""
        return node_id in self._peers

    def __len__(self) -> int:
        """How many peers there are, those that are leaving included."""
        return len(self._peers)

    def is_trusted(self, node_id: bytes) -> bool:
        """Whether a node is trusted."""
        return node_id in self._trusted

    def class_of(self, node_id: bytes, dialed: bool) -> PeerClass:
        """The class of a node that is a peer, or would become one."""
        if node_id in self._trusted:
            return PeerClass.TRUSTED
        if node_id in self._static:
            return PeerClass.STATIC
        return PeerClass.DIALED if dialed else PeerClass.INBOUND

    def count(self, kind: PeerClass) -> int:
        """How many places a class of peers takes."""
        return self._counts[kind]

    @property
    def taken(self) -> int:
        """How many of C{max_peers} places are taken."""
        return self._counts.total() - self._counts[PeerClass.TRUSTED]

    @property
    def free_dialed(self) -> int:
        """How many candidates may still become peers."""
        return min(self.max_dialed - self.count(PeerClass.DIALED), self.max_peers - self.taken)

    @property
    def free_static(self) -> int:
        """How many static nodes that are not trusted may still become peers."""
        return self.max_peers - self.count(PeerClass.STATIC)

    def has_room(self, node_id: bytes, dialed: bool) -> bool:
        """Whether a node may become a peer. A dial of a candidate was asked for before: L{free_dialed}."""
        kind = self.class_of(node_id, dialed)
        if kind is PeerClass.TRUSTED:
            return True
        if kind is PeerClass.STATIC:
            return self.free_static > 0
        is_full = self.taken >= self.max_peers
        return not is_full and (dialed or self.count(PeerClass.INBOUND) < self.max_inbound)

    def _classify(self, node_id: bytes) -> None:
        if (old := self._classes.pop(node_id, None)) is not None:
            self._counts[old] -= 1
        dialed = self._peers.get(node_id)
        if dialed is not None and node_id not in self._leaving:
            new = self._classes[node_id] = self.class_of(node_id, dialed)
            self._counts[new] += 1
