"""
SIGHUP: the lists of nodes are read again, and the running server is told what changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from devp2p_tx.core.enr.node import Node
from devp2p_tx.net.log import Logger
from devp2p_tx.node.server import Server
from devp2p_tx.tap.nodelists import Change, NodeList
from devp2p_tx.tap.values import WrongValue

_log = Logger()


def readAgain(lists: Mapping[str, NodeList], server: Server) -> None:
    """
    Read the files of all options again, and log what changed. Where a file is wrong, the nodes of its option stay.

    @param lists: the nodes, by the names of the options that name them.
    """
    named = {name: nodes for name, nodes in lists.items() if nodes.hasFiles}
    if not named:
        options = ", ".join(f"--{name}" for name in lists)
        _log.info("SIGHUP has lists of nodes read again, but no file is named by {options}", options=options)
    for name, nodes in named.items():
        try:
            change = nodes.readAgain()
        except WrongValue as error:
            _log.error("{error}; the nodes of --{name} stay as they were", error=str(error), name=name)
            continue
        _log.info("SIGHUP: --{name} was read again: {change}", name=name, change=str(change))
        if change.added or change.removed:
            _APPLY[name](server, change)


def _applyStatic(server: Server, change: Change) -> None:
    _replace(change, server.stopDialing, server.addPeer)


def _applyTrusted(server: Server, change: Change) -> None:
    _replace(change, server.removeTrustedPeer, server.addTrustedPeer)


def _replace(change: Change, end: Callable[[Node], object], begin: Callable[[Node], object]) -> None:
    """End it for what is gone, begin with what is new. Other addresses of a node that lost one are given again."""
    gone = {node.node_id: node for node in change.removed}
    for node in gone.values():
        end(node)
    for node in change.kept:
        if node.node_id in gone:
            begin(node)
    for node in change.added:
        begin(node)


def _applyBootnodes(server: Server, change: Change) -> None:
    server.setBootnodes([*change.kept, *change.added])


_APPLY: Mapping[str, Callable[[Server, Change], None]] = {
    "static": _applyStatic,
    "trusted": _applyTrusted,
    "bootnodes": _applyBootnodes,
}
