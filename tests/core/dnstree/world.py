"""
A walker, and a zone of names that it walks.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.dnstree.building import make_tree
from devp2p_tx.core.dnstree.walker import (
    Failed,
    Found,
    Query,
    TreeWalker,
)
from devp2p_tx.core.enr.record import Record

EMPTY: Mapping[str, str] = {}
#: The root of a tree that another key signed.
FOREIGN = make_tree(1, []).sign(PrivateKey(bytes(31) + b"\1")).to_txt("n")["n"]


class World:
    """
    A walker, a zone of names that answers its queries, and a clock.

    @ivar zone: the TXT record of each name.
    @ivar queries: the names asked for, in order.
    @ivar failures: what failed, in order.
    """

    def __init__(self, *urls: str, zone: Mapping[str, str] = EMPTY, rate: float = 1e6, cache_size: int = 1000) -> None:
        self.zone = dict(zone)
        self.now = 0.0
        self.queries: list[str] = []
        self.failures: list[Failed] = []
        self.walker = TreeWalker(urls, Random(1), rate=rate, cache_size=cache_size)

    def step(self) -> Record | None:
        """Take one step; the record if it found one."""
        step = self.walker.next(self.now)
        if isinstance(step, Found):
            return step.record
        if isinstance(step, Failed):
            self.failures.append(step)
        elif isinstance(step, Query):
            self.queries.append(step.name)
            if step.name in self.zone:
                self.walker.on_answer(step.name, ["other", self.zone[step.name]], self.now)
            else:
                self.walker.on_failure(step.name, self.now)
        else:
            assert step.time is not None and step.time > self.now, "stuck"
            self.now = step.time
        return None

    def find(self, count: int, steps: int = 2000) -> list[Record]:
        """The next records, within a number of steps."""
        found: list[Record] = []
        for _ in range(steps):
            record = self.step()
            if record is not None:
                found.append(record)
                if len(found) == count:
                    break
        return found

    def wait(self, steps: int = 2000) -> float:
        """Step until there is nothing to do for a while; for how long."""
        for _ in range(steps):
            before = self.now
            self.step()
            if self.now - before > 1:
                return self.now - before
        raise AssertionError("always something to do")
