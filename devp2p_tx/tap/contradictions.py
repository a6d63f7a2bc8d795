"""
What a user asks for in one option and rules out in another. The node starts, and says so once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from devp2p_tx.tap.nodelists import NodeList
from devp2p_tx.tap.parsers import NONE
from devp2p_tx.tap.values import Values


class _Rule(NamedTuple):
    """Where C{holds}, the option C{name}, if it was given, has no effect: C{why}."""

    name: str
    holds: Callable[[Values], bool]
    why: str


def _isSilent(values: Values) -> bool:
    return bool(values.one("no-discovery")) or values.one("discovery") == []


def _isDeaf(values: Values) -> bool:
    return values.all("listen") == [NONE]


def _hasNoPlaces(values: Values) -> bool:
    return not values.one("max-peers")


def _isWithoutDials(values: Values) -> bool:
    return bool(values.one("no-dial"))


_NO_DIAL = "--no-dial is set, so this node makes no outbound connection"
_NO_PEERS = "--max-peers is 0, so this node dials no node and lets in trusted nodes only"
_NO_DISCOVERY = "discovery is off (--no-discovery or --discovery none)"

_RULES = (
    _Rule("static", _isWithoutDials, _NO_DIAL),
    _Rule("static", _hasNoPlaces, _NO_PEERS),
    _Rule("dial-via", _isWithoutDials, _NO_DIAL),
    _Rule("dial-via", _hasNoPlaces, _NO_PEERS),
    _Rule("dial-ratio", _isWithoutDials, _NO_DIAL),
    _Rule("dial-ratio", _hasNoPlaces, _NO_PEERS),
    _Rule("trusted", _isDeaf, "trusted nodes are let in but not dialed, and --listen none lets none in: add --static"),
    _Rule("discovery", lambda values: bool(values.one("no-discovery")) and values.one("discovery") != [],
          "--no-discovery is set"),
    _Rule("discovery-port", _isSilent, _NO_DISCOVERY),
    _Rule("dns-tree", lambda values: _isSilent(values) and values.all("dns-tree") != [NONE], _NO_DISCOVERY),
    _Rule("bootnodes", _isSilent, f"{_NO_DISCOVERY}: only when there is no peer is a bootnode dialed"),
    _Rule("advertise", lambda values: _isDeaf(values) and _isSilent(values),
          "this node neither listens nor takes part in discovery, so nobody asks where it is"),
    _Rule("nat", lambda values: _isDeaf(values) and _isSilent(values) and values.one("nat") != NONE,
          "this node neither listens nor takes part in discovery, so there is no port to map"),
)  # fmt: skip


def contradictions(values: Values, lists: Mapping[str, NodeList], twistd: Mapping[str, Any]) -> Iterator[str]:
    """
    The sentences for the log.

    @param lists: the nodes that options name.
    @param twistd: the options before the word C{devp2p}.
    """
    for rule in _RULES:
        if values.isGiven(rule.name) and rule.holds(values):
            yield f"{values.source(rule.name)} has no effect: {rule.why}"
    for name, nodes in lists.items():
        if values.isGiven(name) and not nodes.nodes:
            yield f"{values.source(name)}: there is no node in it"
    for value, level in zip(values.given["log-level"], values.all("log-level"), strict=True):
        if not level.isKnown:
            yield f"{value.source} {value.text} has no effect: there is no module {level.namespace}"
    yield from _logging(values, twistd)


def _logging(values: Values, twistd: Mapping[str, Any]) -> Iterator[str]:
    """What twistd's own options rule out."""
    ruler = "--logger" if twistd.get("logger") else "--syslog" if twistd.get("syslog") else ""
    for name in ("log-format", "log-level"):
        if values.isGiven(name) and ruler and (ruler == "--logger" or name == "log-format"):
            yield f"{values.source(name)} has no effect: twistd's {ruler} decides how to log"
