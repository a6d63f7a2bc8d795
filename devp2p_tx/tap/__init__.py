"""
C{twistd devp2p}: a node from the command line.

twistd looks here for L{Options} and L{makeService}. What they need is imported when they are called, so that signals
are attended to before: importing takes most of the time of a start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devp2p_tx.tap.signals import SIGNALS

if TYPE_CHECKING:
    from devp2p_tx.tap.options import Options as _Options
    from devp2p_tx.tap.service import NodeService


def Options() -> _Options:
    """Return the options, not yet parsed. From now on no signal ends this process out of order."""
    SIGNALS.hold()
    from devp2p_tx.tap.options import Options

    return Options()


def makeService(options: _Options) -> NodeService:
    """See C{IServiceMaker}."""
    from devp2p_tx.tap.allocator import keepFreedMemory
    from devp2p_tx.tap.service import NodeService

    keepFreedMemory()
    return NodeService(options, SIGNALS)
