"""
Test your capability, or your node, without a port and without waiting: peers in memory, and a clock that you move.

L{connectedPair} joins two peers by a capability; L{MemoryNetwork} is a whole network, on which a L{devp2p_tx.Server}
runs as it does on a reactor; L{ScriptedPeer} is a peer that misbehaves as you tell it.
"""

from devp2p_tx.testing.capabilities import EchoCapability, EchoProtocol
from devp2p_tx.testing.fakes import ScriptedPeer, Stage, snappyBomb
from devp2p_tx.testing.network import MemoryHost, MemoryNetwork
from devp2p_tx.testing.peers import Pair, connectedPair

__all__ = [
    "EchoCapability",
    "EchoProtocol",
    "MemoryHost",
    "MemoryNetwork",
    "Pair",
    "ScriptedPeer",
    "Stage",
    "connectedPair",
    "snappyBomb",
]
