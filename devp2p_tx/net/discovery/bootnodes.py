"""
The bootnodes of one version of discovery: where each of them is, and which of them do not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.python.failure import Failure

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.policy import AddressFault, AddressPolicy
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.metrics import SOURCE_FAILURES, Metrics
from devp2p_tx.errors import ServerStopped, Timeout
from devp2p_tx.net.log import Logger
from devp2p_tx.net.names.hostnames import HostNames

_log = Logger()


class Bootnodes:
    """
    The same bootnode may be given at several places, by its key: all of them are asked at once, and the first that
    answers is taken; if none does, the one that was given last.

    @ivar nodes: the bootnodes, as the user gave them.
    """

    def __init__(
        self,
        protocol: str,
        nodes: Sequence[Node],
        local: LocalRecord,
        policy: AddressPolicy,
        names: HostNames,
        metrics: Metrics,
    ) -> None:
        """
        @param protocol: C{discv4} or C{discv5}.
        @param local: our record, which knows the address families that we have.
        @param policy: which addresses may be contacted.
        @param names: what looks up host names.
        """
        self.nodes = nodes
        self._protocol, self._local = protocol, local
        self._policy, self._names, self._metrics = policy, names, metrics
        self._errors: dict[bytes, str] = {}

    async def resolve(self, ping: Callable[[Node], Deferred[Any]]) -> list[Node]:
        """
        Find out where the bootnodes are; those that are nowhere, or where our user's lists forbid it, are left out.

        @param ping: asks a node whether it is alive.
        """
        byKey: dict[bytes, list[Node]] = {}
        for node in self.nodes:
            byKey.setdefault(node.node_id, []).insert(0, node)
        lookups = [Deferred.fromCoroutine(self._locate(nodes, ping)) for nodes in byKey.values()]
        return [there for lookup in lookups if (there := await lookup) is not None]

    async def _locate(self, nodes: list[Node], ping: Callable[[Node], Deferred[Any]]) -> Node | None:
        known, there = list[IPAddress](), list[Node]()
        for node in nodes:
            node, found = await self._addressesOf(node)
            known += found
            usable = (ip for ip in found if ip.version in self._local.versions)
            there += [replace(node, ip=ip, hostname=None) for ip in usable if self._policy.permits(ip, self._protocol)]
        if not there:
            self._unusable(nodes[0].node_id, known)
        if len(there) < 2:
            return there[0] if there else None
        pings = [ping(each) for each in there]  # all at once: the table has room for one address of a node
        answers = await DeferredList(pings, consumeErrors=True)
        return next((each for each, (answered, _) in zip(there, answers, strict=True) if answered), there[0])

    async def _addressesOf(self, node: Node) -> tuple[Node, list[IPAddress]]:
        """The node, with the endpoint of its record that we can reach, and its addresses."""
        if node.hostname is not None:
            return node, await self._names.resolve(node.hostname)
        if node.record is not None:
            node = Node.from_record(node.record, self._local.versions)
        return node, [] if node.ip is None else [node.ip]

    # Which of them answer.

    def answered(self, nodeId: bytes) -> None:
        """A node answered; it may be none of the bootnodes."""
        self._errors.pop(nodeId, None)

    def failed(self, nodeId: bytes, failure: Failure) -> None:
        """A node did not answer; it may be none of the bootnodes."""
        if nodeId in self._ids and not failure.check(ServerStopped, CancelledError):
            why = "no answer over UDP" if failure.check(Timeout) else failure.getErrorMessage()
            self._note(nodeId, type(failure.value).__name__, why)

    @property
    def trouble(self) -> str | None:
        """Why no bootnode answers: the last reason; C{None} if one does, or has still to be asked."""
        ids = self._ids
        errors = [why for nodeId, why in self._errors.items() if nodeId in ids]
        if not ids or len(errors) < len(ids):
            return None
        return f"none of {len(ids)} answers ({errors[-1]})"

    @property
    def _ids(self) -> set[bytes]:
        return {node.node_id for node in self.nodes}

    def _unusable(self, nodeId: bytes, known: Sequence[IPAddress]) -> None:
        """A bootnode with these addresses cannot be asked."""
        if not known:
            self._note(nodeId, "NoAddress", "it has no address")
        elif not {ip.version for ip in known} & set(self._local.versions):
            self._note(nodeId, "NoFamily", "it has no address of a family that this node has")
        elif all(self._policy.user_fault(ip) is AddressFault.NOWHERE for ip in known):
            self._noteNowhere(nodeId, known)
        else:
            self._note(nodeId, "AddressRefused", "--netrestrict or --netdeny shuts it out")

    def _noteNowhere(self, nodeId: bytes, known: Sequence[IPAddress]) -> None:
        """Say once of a bootnode that its address is no node's."""
        why = "no node has an unspecified or multicast address; give the one at which it is reached"
        if self._errors.get(nodeId) != why:
            _log.warn(
                "{protocol} bootnode id={id} addr={addresses} is not asked: {why}",
                protocol=self._protocol,
                id=nodeId.hex()[:16],
                addresses=",".join(map(str, known)),
                why=why,
            )
        self._note(nodeId, "AddressRefused", why)

    def _note(self, nodeId: bytes, kind: str, why: str) -> None:
        self._metrics.count(SOURCE_FAILURES, source=f"{self._protocol} bootnodes", reason=kind)
        self._errors.pop(nodeId, None)
        self._errors[nodeId] = why
