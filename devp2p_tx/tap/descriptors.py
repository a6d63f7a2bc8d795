"""
The limit on open files, which the command-line node raises for itself.
"""

from __future__ import annotations

import resource

from devp2p_tx.net.log import Logger
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.descriptors import neededDescriptors, suffices

_log = Logger()


def raiseLimit(config: ServerConfig) -> None:
    """Raise it to what the system allows if it does not suffice. The server warns if that does not either."""
    needed = neededDescriptors(config)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if suffices(soft, needed) or soft == hard:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _log.info("limit on open files raised: from={soft} to={hard} needed={needed}", soft=soft, hard=hard, needed=needed)
