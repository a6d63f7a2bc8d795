"""
The public networks: where to begin, and which chain their nodes are of.

The figures are those that go-ethereum publishes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from devp2p_tx.core.enr.url import parse_node
from devp2p_tx.core.forkid import CHAINS, Chain
from devp2p_tx.node import bootnodes

_TREE_KEY = "AKA3AM6LPBYEUDMVNU3BSVQJ5AD45Y7YPOHJLEF6W26QOE4VTUDPE"


@dataclass(frozen=True)
class Network:
    """
    @ivar name: what users call it.
    @ivar bootnodes: URLs of nodes that everybody begins with.
    @ivar bootnodesV5: likewise of discovery v5 alone.
    @ivar trees: URLs of its lists in DNS.
    @ivar chain: what its nodes' fork ids are made of; C{None} if candidates are not filtered.
    """

    name: str
    bootnodes: tuple[str, ...] = ()
    bootnodesV5: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()
    chain: Chain | None = None

    def settings(self) -> dict[str, Any]:
        """The fields of a L{devp2p_tx.node.config.ServerConfig} with which a node joins this network."""
        return {
            "discovery": True,
            "bootnodes": tuple(parse_node(url) for url in self.bootnodes),
            "bootnodesV5": tuple(parse_node(url) for url in self.bootnodesV5),
            "dnsTrees": self.trees,
            "chain": self.chain,
            "ntpServer": "pool.ntp.org" if self.chain else None,
        }


def _public(name: str, nodes: tuple[str, ...]) -> Network:
    nodesV5 = tuple(url for url in bootnodes.V5 if url not in nodes)
    return Network(name, nodes, nodesV5, (f"enrtree://{_TREE_KEY}@all.{name}.ethdisco.net",), CHAINS[name])


#: No network but that which the user gives by bootnodes and trees.
NONE = Network("none")

NETWORKS = {
    network.name: network
    for network in (
        NONE,
        _public("mainnet", bootnodes.MAINNET),
        _public("sepolia", bootnodes.SEPOLIA),
        _public("hoodi", bootnodes.HOODI),
    )
}

#: Public networks that have ended, and their successors.
ENDED = {"holesky": "hoodi"}


def unknownNetwork(name: str) -> str:
    """Return why a name is refused that is not in L{NETWORKS}."""
    if name in ENDED:
        return f"the network {name} has ended and no client joins it; use --network {ENDED[name]}"
    return f"want one of {', '.join(NETWORKS)}, not {name!r}"
