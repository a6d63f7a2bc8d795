"""
Lookups and random walks under way: the core says whom to ask next, and is told what came of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.kademlia.lookup import Ask, Finished, Found, Lookup, RandomWalk, WaitUntil
from devp2p_tx.errors import DevP2PError, ServerStopped


class Network(Protocol):
    """What a course wants of the protocol that it runs on."""

    def seconds(self) -> float:
        """A monotonic clock."""

    def query(self, node: Node, target: bytes) -> Deferred[list[Node]]:
        """Ask a node for nodes, and have the table learn from it."""

    def started(self, course: Course) -> None:
        """The course wants to be told with L{Course.end} that there is no more network."""

    def ended(self, course: Course) -> None:
        """It does no longer."""

    def wakeAt(self, course: RandomNodes, time: float | None) -> None:
        """Call C{run} at C{time}, or when the table gets its first node; C{None} for never."""


class Course:
    """Steps of a lookup or a walk, taken as far as they go each time that something happens."""

    def __init__(self, network: Network, steps: Lookup[Node] | RandomWalk[Node]) -> None:
        self._network = network
        self._steps = steps
        self._running = False
        self._over = False
        network.started(self)

    def run(self) -> None:
        """Go on."""
        if self._running:  # one of the steps below has ended at once
            return
        self._running = True
        try:
            while not self._over and self._wanted():
                step = self._steps.next(self._network.seconds())
                if isinstance(step, Ask):
                    self._ask(step)
                elif not self._take(step):
                    break
        finally:
            self._running = False

    def end(self, reason: Failure) -> None:
        """There is nobody to ask any more."""
        self._over = True
        self._network.ended(self)

    def _wanted(self) -> bool:
        """Whether to take a step."""
        return True

    def _take(self, step: Any) -> bool:
        """Deal with a step other than to ask; whether to take the next one now."""
        raise NotImplementedError

    def _ask(self, step: Ask[Node]) -> None:
        asked = self._network.query(step.node, step.wire_target)
        asked.addCallbacks(self._answered, self._failed, callbackArgs=(step.node,), errbackArgs=(step.node,))

    def _answered(self, nodes: list[Node], node: Node) -> None:
        self._steps.on_reply(node, nodes)
        self.run()

    def _failed(self, failure: Failure, node: Node) -> Failure | None:
        if not isinstance(failure.value, DevP2PError):
            return failure  # a mistake of ours, to be logged
        self._steps.on_failure(node)
        self.run()
        return None


class LookupCourse(Course):
    """
    One lookup.

    @ivar done: fires with the nodes closest to the target, closest first; cancelling it ends the lookup.
    """

    def __init__(self, network: Network, lookup: Lookup[Node]) -> None:
        self.done: Deferred[list[Node]] = Deferred(self._cancelled)
        super().__init__(network, lookup)

    def _take(self, step: object) -> bool:
        if isinstance(step, Finished):
            self._over = True
            self._network.ended(self)
            self.done.callback(step.nodes)
        return False

    def end(self, reason: Failure) -> None:
        """There is nobody to ask any more."""
        super().end(reason)
        self.done.errback(reason)

    def _cancelled(self, done: Deferred[list[Node]]) -> None:
        super().end(Failure(ServerStopped("cancelled")))


class RandomNodes(Course):
    """
    An endless line of nodes from lookups of random targets. Nothing is looked up unless somebody waits for a node;
    two lookups start at least a second apart; nodes repeat.
    """

    def __init__(self, network: Network, newWalk: Callable[[], RandomWalk[Node]]) -> None:
        """Made by C{DiscoveryV4.randomNodes}."""
        self._waiting: deque[Deferred[Node]] = deque()
        self._reason: Failure | None = None
        super().__init__(network, newWalk())

    def next(self) -> Deferred[Node]:
        """
        The next node.

        @return: fires with it; fails with L{ServerStopped} when there will be none. Cancelling it does no more than no
            longer to wait.
        """
        if self._reason is not None:
            return fail(self._reason.value)
        waiting: Deferred[Node] = Deferred(self._forget)
        self._waiting.append(waiting)
        self.run()
        return waiting

    def close(self) -> None:
        """No more nodes are wanted."""
        self.end(Failure(ServerStopped("the random walk was closed")))

    def end(self, reason: Failure) -> None:
        """There will be no more nodes."""
        if self._over:
            return
        super().end(reason)
        self._network.wakeAt(self, None)
        self._reason = reason
        waiting, self._waiting = self._waiting, deque()
        for each in waiting:
            each.errback(reason.value)

    def _forget(self, cancelled: Deferred[Node]) -> None:
        self._waiting.remove(cancelled)

    def _wanted(self) -> bool:
        return bool(self._waiting)

    def _take(self, step: object) -> bool:
        self._network.wakeAt(self, step.time if isinstance(step, WaitUntil) else None)
        if isinstance(step, Found):
            self._waiting.popleft().callback(step.node)
            return True
        return False
