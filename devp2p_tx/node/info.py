"""
What a node tells of itself: how it is reached, and what C{admin_nodeInfo} shows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node, node_text
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.discovery import Discovery
from devp2p_tx.node.listeners import Listeners
from devp2p_tx.node.nat import PortMapping


class NodeInfo:
    """Reads the parts of one node, after its start."""

    def __init__(self, config: ServerConfig, discovery: Discovery, listeners: Listeners, nat: PortMapping) -> None:
        self._config = config
        self._discovery, self._listeners, self._nat = discovery, listeners, nat

    def self(self) -> Node:
        """Return the node as others can reach it, as far as that is known."""
        node = self._discovery.self()
        if self._config.discovery:
            return node
        if (named := self._listeners.named) is not None:
            return Node(node.public_key, None, named.port, 0, named.host)
        return replace(node, udp=node.tcp, record=None)

    def info(self, node: Node) -> dict[str, Any]:
        """
        Return what go-ethereum's C{admin_nodeInfo} shows of a node, and more.

        @param node: the node, as others can reach it.
        """
        addresses = self._listeners.addresses
        return {
            "id": node.node_id.hex(),
            "name": self._config.name,
            "enode": format_node(node),
            "enr": node_text(self._discovery.self()),
            "ip": node.host,
            "ports": {"discovery": node.udp if self._discovery.protocols else 0, "listener": node.tcp},
            "discovery": self._discovery.info(),
            "advertised": self._discovery.record.advertised(),
            "nat": self._nat.info(),
            "listenAddr": addresses[0] if addresses else "",
            "listenAddrs": addresses,
            "protocols": {each.name: _orUnknown(each.nodeInfo()) for each in self._config.capabilities},
        }


def _orUnknown(info: object) -> object:
    return "unknown" if info is None else info
