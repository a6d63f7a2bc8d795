"""
Ethereum's peer-to-peer stack for Twisted.

The names below are what most users need; each is imported when it is first used, so that the parts can be used alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from devp2p_tx._native import native
from devp2p_tx._version import __version__

if TYPE_CHECKING:
    from devp2p_tx.core.addressing.addresses import Netlist as Netlist
    from devp2p_tx.core.crypto.secp256k1 import PrivateKey as PrivateKey
    from devp2p_tx.core.crypto.secp256k1 import PublicKey as PublicKey
    from devp2p_tx.core.enr.node import Node as Node
    from devp2p_tx.core.enr.url import parse_node as parse_node
    from devp2p_tx.errors import DisconnectReason as DisconnectReason
    from devp2p_tx.net.rlpx.capability import Capability as Capability
    from devp2p_tx.net.rlpx.capability import CapabilityProtocol as CapabilityProtocol
    from devp2p_tx.net.rlpx.capability import CoroutineCapability as CoroutineCapability
    from devp2p_tx.net.rlpx.factory import RLPxFactory as RLPxFactory
    from devp2p_tx.node.config import ServerConfig as ServerConfig
    from devp2p_tx.node.peer import Peer as Peer
    from devp2p_tx.node.server import Server as Server
    from devp2p_tx.storage.keyfile import load_or_create_key as load_or_create_key

_HOMES = {
    "Capability": "devp2p_tx.net.rlpx.capability",
    "CapabilityProtocol": "devp2p_tx.net.rlpx.capability",
    "CoroutineCapability": "devp2p_tx.net.rlpx.capability",
    "DisconnectReason": "devp2p_tx.errors",
    "Netlist": "devp2p_tx.core.addressing.addresses",
    "Node": "devp2p_tx.core.enr.node",
    "Peer": "devp2p_tx.node.peer",
    "PrivateKey": "devp2p_tx.core.crypto.secp256k1",
    "PublicKey": "devp2p_tx.core.crypto.secp256k1",
    "RLPxFactory": "devp2p_tx.net.rlpx.factory",
    "Server": "devp2p_tx.node.server",
    "ServerConfig": "devp2p_tx.node.config",
    "load_or_create_key": "devp2p_tx.storage.keyfile",
    "parse_node": "devp2p_tx.core.enr.url",
}

__all__ = [
    "Capability",
    "CapabilityProtocol",
    "CoroutineCapability",
    "DisconnectReason",
    "Netlist",
    "Node",
    "Peer",
    "PrivateKey",
    "PublicKey",
    "RLPxFactory",
    "Server",
    "ServerConfig",
    "__version__",
    "load_or_create_key",
    "native",
    "parse_node",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
