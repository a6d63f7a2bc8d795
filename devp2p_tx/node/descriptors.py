"""
The limit on files that a process may have open, against what a node needs: every connection is one.

A Server compares and warns; it changes nothing of its process.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from errno import EMFILE, ENFILE

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from devp2p_tx.net.log import Logger
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.inbound import MAX_SILENT, MAX_TRUSTED_PENDING

#: Files that every node has open: standard streams, log, database, reactor, listening sockets, lookups of names, NAT.
BASE = 64
#: Sockets of one dial: two addresses of a node are tried beside each other.
SOCKETS_OF_DIAL = 2
#: How often it is looked whether files can be opened (seconds).
INTERVAL = 5.0
#: So many files must be free before it is said that they can be opened again; that they run out is said at none.
ENOUGH = 8

_CURE = "raise the limit (ulimit -n, LimitNOFILE= of systemd), or lower --max-peers and --max-pending-peers"

_log = Logger()


def neededDescriptors(config: ServerConfig) -> int:
    """Return how many open files a node needs that has all peers, inbound handshakes and dials that it may have."""
    dials = 0 if config.noDial else SOCKETS_OF_DIAL * config.maxPendingPeers
    return BASE + config.maxPeers + config.maxPendingPeers + MAX_SILENT + MAX_TRUSTED_PENDING + dials


def suffices(limit: int, needed: int) -> bool:
    """Return whether a limit allows so many open files."""
    return limit == resource.RLIM_INFINITY or limit >= needed


def checkLimit(config: ServerConfig) -> None:
    """Warn if the limit of this process is lower than what the node may need."""
    needed = neededDescriptors(config)
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not suffices(limit, needed):
        _log.warn(
            "the limit on open files is too low for this node: limit={limit} needed={needed}: {cure}",
            limit=limit,
            needed=needed,
            cure=_CURE,
        )


def canOpen(count: int) -> bool:
    """Return whether this process can open so many files more."""
    opened: list[int] = []
    try:
        opened += os.pipe()  # needs no file system, and is two
        opened += (os.dup(opened[0]) for _ in range(count - len(opened)))
    except OSError as error:
        if error.errno not in (EMFILE, ENFILE):
            raise
    for descriptor in opened:
        os.close(descriptor)
    return len(opened) >= count


class DescriptorWatch:
    """Says once when files run out, and once when that is over."""

    def __init__(self, clock: IReactorTime, canOpen: Callable[[int], bool] = canOpen) -> None:
        self._clock, self._canOpen = clock, canOpen
        self._isOut = False
        self._alarm: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to look."""
        self._alarm = self._clock.callLater(INTERVAL, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _look(self) -> None:
        self.start()
        if not self._isOut and not self._canOpen(1):
            self._isOut = True
            _log.warn("no more files can be opened, so connections are refused and dials fail: {cure}", cure=_CURE)
        elif self._isOut and self._canOpen(ENOUGH):
            self._isOut = False
            _log.warn("files can be opened again")
