"""
What a node has tried to find peers, and what came of it, as one line for its operator.
"""

from __future__ import annotations

from collections import Counter

from devp2p_tx.core.addressing.policy import REFUSED
from devp2p_tx.core.dialing.dialplan import DialPlan
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.net.names.hostnames import HostNames
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.discovery import Discovery


class Tried:
    """Reads the counters of one node."""

    def __init__(
        self, config: ServerConfig, metrics: Metrics, discovery: Discovery, names: HostNames, plan: DialPlan
    ) -> None:
        """
        @param metrics: the counters of the node.
        @param names: what looks up its host names.
        @param plan: knows which static nodes are never dialed.
        """
        self._config, self._metrics = config, metrics
        self._discovery, self._names, self._plan = discovery, names, plan

    def text(self) -> str | None:
        """Return the line; C{None} if there was nothing to try, as the user wanted it."""
        if not (self._searches or self._metrics.value("dials") or self._plan.static_faults()):
            return None
        return "; ".join([*self._dials(), *self._network(), *self._sources(), *self._found()])

    @property
    def _searches(self) -> bool:
        return self._config.discovery or bool(self._config.nodeSources)

    def _dials(self) -> list[str]:
        bootnodes = self._discovery.bootnodes
        parts = [f"bootnodes: {len(bootnodes)}", f"dials: {self._metrics.value('dials')}"]
        if errors := self._counts("dial_errors", "kind") | self._counts("handshake_failures", "reason", "dialed"):
            parts.append("errors: " + _listed(errors))
        if faults := self._plan.static_faults():
            reasons = {fault.value: count for fault, count in faults.items()}
            parts.append(f"static nodes that are never dialed: {_listed(reasons)}")
        return parts

    def _network(self) -> list[str]:
        parts = []
        if self._discovery.protocols:
            parts.append(f"nodes that answer over UDP: {self._discovery.answering}")
        if unsent := self._metrics.value("udp_unsent"):
            parts.append(f"UDP packets that could not be sent: {unsent}")
        if refused := self._counts(REFUSED, "reason"):
            lan = "" if self._config.lan else " (--lan allows addresses of local networks)"
            parts.append(f"addresses refused: {_listed(refused)}{lan if 'unreachable' in refused else ''}")
        if failing := self._names.failing():
            parts.append("host names without an address: " + ", ".join(failing))
        return parts

    def _sources(self) -> list[str]:
        failing = self._discovery.failing()
        return ["sources that fail: " + ", ".join(f"{name}: {why}" for name, why in failing.items())] if failing else []

    def _found(self) -> list[str]:
        if not self._searches:
            return []
        parts = ["candidates found: " + _listed(self._counts("candidates_found", "source"))]
        if refused := self._counts("candidates_refused", "reason"):
            parts.append("candidates not dialed: " + _listed(refused))
        if forks := self._counts("fork_refused", "id"):
            parts.append(f"nodes of other forks or chains: {sum(forks.values())}")
        if (outdated := self._discovery.forks.trouble) is not None:
            parts.append(outdated)
        return parts

    def _counts(self, name: str, label: str, direction: str | None = None) -> dict[str, int]:
        """Sum the counters of a name by one of their labels."""
        counts: Counter[str] = Counter()
        for each, pairs, value in self._metrics:
            labels = dict(pairs)
            if each == name and labels.get("direction") == direction:
                counts[labels[label]] += value
        return counts


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
