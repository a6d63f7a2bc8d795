"""
Which fork ids others have that are not of our chain (EIP-2124): counted, to find out that this node is outdated.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.forkid import CHAINS, Chain, ForkID, ForkMismatch
from devp2p_tx.core.metrics import Metrics

#: How many networks are remembered, each with what its last node said; the oldest are forgotten first.
MAX_NETWORKS = 1024
#: Of how many networks nodes must be known before it is said that most of them are of another fork.
MIN_NETWORKS = 8
#: How many fork ids are counted apart; further ones are counted as C{other}.
MAX_IDS = 32
#: The bits of an address that make a network, by IP version: the smallest that the internet routes.
PREFIXES = {4: 24, 6: 48}


def checksums(chain: Chain) -> set[bytes]:
    """Return the checksums of all fork ids that a chain has had, or will have."""
    blocks, times = chain.forks()
    last = blocks[-1] if blocks else 0
    moments = [(0, 0), *((block, 0) for block in blocks), *((last, time) for time in times)]
    return {chain.fork_id(head, time).checksum for head, time in moments}


class ForkTally:
    """
    The fork ids of the nodes that were found, one for each network: a stranger with many keys in one network counts
    once.
    """

    def __init__(self, chain: Chain | None, metrics: Metrics) -> None:
        """
        @param chain: our chain.
        """
        self._metrics = metrics
        self._known = set().union(*(checksums(each) for each in (*CHAINS.values(), *([chain] if chain else []))))
        self._byNetwork: OrderedDict[int, bytes] = OrderedDict()
        self._ids: set[bytes] = set()

    def fits(self, ip: IPAddress | None, fork: ForkID) -> None:
        """A node is of our chain."""
        self._note(ip, fork)

    def refused(self, ip: IPAddress | None, fork: ForkID, where: str) -> None:
        """
        A node is not of our chain.

        @param where: what was refused: C{candidate} or C{peer}.
        """
        if fork.checksum in self._ids or len(self._ids) < MAX_IDS:
            self._ids.add(fork.checksum)
            label = fork.checksum.hex()
        else:
            label = "other"
        self._metrics.count("fork_refused", id=label, where=where)
        self._note(ip, fork)

    def dropped(self, ip: IPAddress | None, reason: BaseException | None) -> None:
        """A peer was dropped: if that was for its fork id, count it."""
        for error in (reason, getattr(reason, "__cause__", None)):
            if isinstance(error, ForkMismatch) and error.remote is not None:
                self.refused(ip, error.remote, "peer")
                return

    @property
    def trouble(self) -> str | None:
        """Say that most nodes are at a fork id that this version does not know; C{None} if that is not so."""
        if len(self._byNetwork) < MIN_NETWORKS:
            return None
        checksum, count = Counter(self._byNetwork.values()).most_common(1)[0]
        if checksum in self._known or 2 * count <= len(self._byNetwork):
            return None
        return f"most nodes found are at fork id {checksum.hex()}, which this version does not know: upgrade"

    def _note(self, ip: IPAddress | None, fork: ForkID) -> None:
        if ip is None:
            return
        network = int(ip) >> (ip.max_prefixlen - PREFIXES[ip.version]) | ip.version << 64
        self._byNetwork.pop(network, None)
        self._byNetwork[network] = fork.checksum
        if len(self._byNetwork) > MAX_NETWORKS:
            self._byNetwork.popitem(last=False)
