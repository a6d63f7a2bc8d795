"""
The doing half of the dialer: connects to whom L{devp2p_tx.core.dialplan} says, and reports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.logger import Logger

from devp2p_tx.core.addresses import Netlist
from devp2p_tx.core.dialplan import DialPlan
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.net.connecting import connect
from devp2p_tx.net.rlpx import RLPxProtocol
from devp2p_tx.node.peer import ConnectionFlags, addressIP

_log = Logger()

#: Takes a connection that was dialled through both handshakes; fires when it is a peer, fails when it will not be.
SetUp = Callable[[RLPxProtocol, ConnectionFlags, Node], Deferred[Any]]


class Dialer:
    """
    Fills the dialled slots.

    @ivar plan: who is dialled, and why not; tell it what happens through the methods here.
    """

    def __init__(
        self,
        reactor: Any,
        seconds: Callable[[], float],
        plan: DialPlan,
        build: Callable[[Node], RLPxProtocol],
        setUp: SetUp,
        metrics: Metrics,
        netrestrict: Netlist | None,
    ) -> None:
        """
        @param build: makes the protocol for a dialled node.
        @param setUp: see L{SetUp}.
        """
        self.plan = plan
        self._reactor, self._seconds = reactor, seconds
        self._build, self._setUp = build, setUp
        self._metrics = metrics
        self._netrestrict = netrestrict
        self._dials: set[Deferred[Any]] = set()
        self._alarm: IDelayedCall | None = None
        self._running = False

    def start(self) -> None:
        """Begin to dial."""
        self._running = True
        self.evaluate()

    def stop(self) -> Deferred[Any]:
        """Give up what is under way; fires when all of it has ended."""
        self._running = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        dials = list(self._dials)
        for dial in dials:
            dial.cancel()
        return DeferredList(dials)

    def evaluate(self) -> None:
        """Something changed: dial whoever can be dialled now."""
        if not self._running:
            return
        now = self._seconds()
        for node in self.plan.next_dials(now):
            self._hold(self._dial(node, ConnectionFlags.STATIC_DIALED))
        self._rearm(now)

    def _rearm(self, now: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        due = self.plan.get_timer()
        if due is not None:
            self._alarm = self._reactor.callLater(max(0.0, due - now), self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self.evaluate()

    def dialOnce(self, node: Node) -> Deferred[Any]:
        """
        Dial a node now, whatever the history says.

        @return: fires when it is a peer; fails with why it is not.
        """
        self.plan.dial_started(node.node_id, self._seconds())
        return self._hold(self._dial(node, ConnectionFlags.DYNAMIC_DIALED), quiet=False)

    def _hold(self, dial: Any, quiet: bool = True) -> Deferred[Any]:
        """Keep a dial that is under way, so that it can be cancelled; quietly, since its failure was told already."""
        running = Deferred.fromCoroutine(dial)
        self._dials.add(running)

        def ended(result: Any) -> Any:
            self._dials.discard(running)
            self.evaluate()
            return None if quiet else result

        return running.addBoth(ended)

    async def _dial(self, node: Node, flags: ConnectionFlags) -> Any:
        self._metrics.count("dials")
        try:
            try:
                transport = await connect(self._reactor, node, lambda address: self._reached(node, address))
            except Exception as error:
                self._metrics.count("dial_errors", kind=_kind(error))
                _log.debug("cannot connect to {node}: {error}", node=format_node(node), error=error)
                raise
            peer = await self._setUp(transport, flags, node)
            self._metrics.count("dials_succeeded")
            return peer
        finally:
            self.plan.dial_done(node.node_id)

    def _reached(self, node: Node, address: IAddress) -> RLPxProtocol | None:
        """A host name may lead anywhere, so the address is compared once more."""
        ip = addressIP(address)
        if self._netrestrict is not None and ip is not None and ip not in self._netrestrict:
            return None
        return self._build(node)


def _kind(error: Exception) -> str:
    if isinstance(error, ConnectingCancelledError):
        return "cancelled"
    return type(error).__name__ if isinstance(error, ConnectError) else "other"
