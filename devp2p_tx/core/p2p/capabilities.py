"""
Which capabilities two nodes share, and which message codes each gets (devp2p C{rlpx.md}, "Message ID-based
Multiplexing").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from devp2p_tx.core.p2p.messages import BASE_LENGTH, Cap


class Capability(Protocol):
    """What matching asks of a capability; C{length} is the number of its message codes."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def length(self) -> int: ...


C = TypeVar("C", bound=Capability)


@dataclass(frozen=True, slots=True)
class Match(Generic[C]):
    """
    A capability that both sides speak.

    @ivar offset: the code on the wire of its message 0.
    """

    capability: C
    offset: int


def match(ours: Iterable[C], theirs: Iterable[Cap]) -> list[Match[C]]:
    """
    The shared capabilities: of each name the highest common version, in the alphabetical order in which both sides
    hand out codes, from 16 on. What is not shared takes no codes.
    """
    wanted = set(theirs)
    best: dict[str, C] = {}
    for capability in ours:
        shared = (capability.name, capability.version) in wanted
        if shared and (capability.name not in best or capability.version > best[capability.name].version):
            best[capability.name] = capability
    matches, offset = [], BASE_LENGTH
    for _, capability in sorted(best.items()):
        matches.append(Match(capability, offset))
        offset += capability.length
    return matches
