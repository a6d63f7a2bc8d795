"""
Connect to a node: at which of its addresses, if the user's lists and the budget of connections allow them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import DNSLookupError

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.outgoing import OutgoingBudget
from devp2p_tx.core.addressing.policy import BUDGET, AddressFault, AddressPolicy
from devp2p_tx.core.dialing.dialplan import DialPlan
from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import AddressRefused, OverBudget
from devp2p_tx.net.connecting.dialvia import Via
from devp2p_tx.net.connecting.nodes import connect
from devp2p_tx.net.log import Logger
from devp2p_tx.net.names.hostnames import HostNames
from devp2p_tx.net.rlpx.protocol import RLPxProtocol

#: What is counted as refused by us.
PROTOCOL = "rlpx"

#: Searches for where a node is; gives the node as it was if nothing better is known.
Resolve = Callable[[Node], Deferred[Node]]

_log = Logger()


class Connector:
    """
    Makes connections, and asks for each address whether it may be contacted.

    A connection that the user asks for is counted in the budget, and not refused if that is used up.

    @ivar resolve: see L{Resolve}; C{None} if no node can be asked.
    """

    def __init__(
        self,
        reactor: Any,
        build: Callable[[Node], RLPxProtocol],
        policy: AddressPolicy,
        names: HostNames,
        seconds: Callable[[], float],
        budget: OutgoingBudget | None = None,
        via: Via | None = None,
    ) -> None:
        """
        @param build: makes the protocol for a dialed node.
        @param policy: which addresses may be contacted.
        @param names: what looks up host names.
        @param budget: how many connections may be begun; by default
            L{OutgoingBudget.tcp<devp2p_tx.core.addressing.outgoing.OutgoingBudget.tcp>}.
        @param via: the proxy to dial through.
        """
        self.resolve: Resolve | None = None
        self._reactor, self._build = reactor, build
        self._policy, self._names = policy, names
        self._seconds = seconds
        self._budget = OutgoingBudget.tcp() if budget is None else budget
        self._via = via

    async def connect(self, node: Node, byUser: bool) -> RLPxProtocol:
        """
        Connect to where a node is; its host name is looked up at each dial, and all that it means is tried.

        @param byUser: whether it is our user that says where it is, and not another node.
        @raise AddressRefused: no address of it may be contacted.
        @raise OverBudget: there were too many connections of late.
        """
        if node.hostname is not None:
            addresses = [(ip, node.tcp) for ip in await self._addressesOf(node.hostname, byUser)]
        else:
            addresses = self._admittedOf(node, byUser)
        connecting = connect(self._reactor, node, lambda _: self._build(node), self._via, addresses)
        reached: RLPxProtocol = await connecting
        return reached

    def affords(self, ip: IPAddress, byUser: bool) -> bool:
        """Count a connection that is about to begin; return whether it may."""
        if self._budget.take(ip, self._seconds()) or byUser:
            return True
        self._policy.count(PROTOCOL, BUDGET)
        return False

    async def search(self, node: Node, plan: DialPlan) -> Node | None:
        """Ask discovery where a static node is; C{None} if nobody knows better, or it was asked too recently."""
        if self.resolve is None or not plan.should_resolve(node.node_id, self._seconds()):
            return None
        try:
            found = await self.resolve(node)
        except CancelledError:
            raise
        except Exception:
            found = node
        isBetter = found != node and found.ip is not None and bool(found.tcp)
        better = found if isBetter and found.ip is not None and self._policy.admits(found.ip, PROTOCOL) else None
        plan.resolved(node.node_id, better, self._seconds())
        return better

    def _admittedOf(self, node: Node, byUser: bool) -> list[tuple[IPAddress, int]]:
        """Where a node says that it is, as far as it may be dialed; a proxy is given the first address alone."""
        there = node.tcp_addresses()
        wanted = [ip for ip, _ in (there if self._via is None else there[:1])]
        if byUser:
            admitted = self._admitted(wanted, byUser) if wanted else []
        else:  # a candidate's own was counted before it became a dial
            counted = [ip for ip in wanted if ip == node.ip and self._policy.fault(ip) is None]
            admitted = counted + [ip for ip in wanted if ip != node.ip and self._isAdmitted(ip)]
            if wanted and not admitted:
                raise AddressRefused(f"{', '.join(map(str, wanted))} may not be contacted")
        return [each for each in there if each[0] in admitted]

    def _isAdmitted(self, ip: IPAddress) -> bool:
        return self._policy.admits(ip, PROTOCOL) and self.affords(ip, byUser=False)

    async def _addressesOf(self, name: str, byUser: bool) -> list[IPAddress]:
        """What a host name means, as far as it may be dialed; nothing where a proxy looks it up in our place."""
        if self._via is not None:
            if self._policy.lists or not byUser:
                raise AddressRefused(f"{name} may not be contacted through a proxy, which does not tell its address")
            return []
        found = await self._names.resolve(name)
        if not found:
            raise DNSLookupError(f"host name {name} has no address")
        return self._admitted(found, byUser)

    def _admitted(self, found: Sequence[IPAddress], byUser: bool) -> list[IPAddress]:
        """
        Those of some addresses that may be connected to, now.

        @raise AddressRefused: none of them may.
        @raise OverBudget: there were too many of late.
        """
        admits = self._policy.permits if byUser else self._policy.admits_named
        admitted = [ip for ip in found if admits(ip, PROTOCOL)]
        if not admitted:
            cure = f"; {self._cure(found)}" if byUser else ""
            raise AddressRefused(f"{', '.join(map(str, found))} may not be contacted{cure}")
        affordable = [ip for ip in admitted if self.affords(ip, byUser)]
        if not affordable:
            raise OverBudget("too many connections to strangers")
        return affordable

    def _cure(self, found: Sequence[IPAddress]) -> str:
        """What the user can do where none of the addresses that he named may be contacted."""
        if all(self._policy.user_fault(ip) is AddressFault.NOWHERE for ip in found):
            return "no node has an unspecified or multicast address, so give the one at which it is reached"
        return "see --netrestrict and --netdeny"
