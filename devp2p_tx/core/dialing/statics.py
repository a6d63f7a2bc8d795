"""
A static node: the addresses that the user gave it, and how its dials went.
"""

from __future__ import annotations

from devp2p_tx.core.enr.node import Node

#: The pause between two searches for the address of a static node: the first, and the most that it grows to (seconds).
RESOLVE_DELAY, MAX_RESOLVE_DELAY = 60.0, 3600.0
#: How many addresses of one node are kept; those that were given first are forgotten first.
MAX_ADDRESSES = 8


class StaticNode:
    """
    @ivar failures: how many dials in a row failed.
    """

    def __init__(self, node: Node) -> None:
        self.failures = 0
        self._given = [node]  # the newest first
        self._found: Node | None = None
        self._resolve_delay = RESOLVE_DELAY
        self._resolve_at = 0.0

    @property
    def nodes(self) -> list[Node]:
        """The node at each address, in the order in which they are tried; without an address it is searched for."""
        if self._found is None:
            return self._given
        return [self._found, *(node for node in self._given if node.host is not None)]

    def give(self, node: Node) -> bool:
        """
        Put an address that the user gives first, and forget all failures.

        @return: whether the address is a new one.
        """
        self.failures = 0
        if node.host is None:
            return False
        known = [each for each in self._given if each.host is not None and not is_same_place(each, node)]
        is_new = not any(is_same_place(each, node) for each in self._given)
        self._given = [node, *known][:MAX_ADDRESSES]
        if is_new:
            self._found, self._resolve_delay, self._resolve_at = None, RESOLVE_DELAY, 0.0
        return is_new

    def should_resolve(self, now: float) -> bool:
        """Return whether to search for the address: not too often, since that asks many others."""
        return now >= self._resolve_at

    def resolved(self, node: Node | None, now: float) -> None:
        """The search ended, with where the node is, or without."""
        if node is None:
            self._resolve_at = now + self._resolve_delay
            self._resolve_delay = min(2 * self._resolve_delay, MAX_RESOLVE_DELAY)
        else:
            self._found, self._resolve_delay, self._resolve_at = node, RESOLVE_DELAY, 0.0


def is_same_place(one: Node, other: Node) -> bool:
    """Return whether two nodes have the same key and the same places to connect to."""
    return _place(one) == _place(other)


def _place(node: Node) -> object:
    return node.node_id, node.host, node.tcp, node.tcp_addresses()
