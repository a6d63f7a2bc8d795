"""
The published vectors; their origins are in C{tests/vectors/discv5.json}.
"""

from __future__ import annotations

from typing import Any

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from tests.vectors import load

VECTORS: dict[str, Any] = load("discv5")

KEY_A = PrivateKey(bytes.fromhex(VECTORS["keys"]["a"]))
KEY_B = PrivateKey(bytes.fromhex(VECTORS["keys"]["b"]))
ID_A, ID_B = KEY_A.public_key.node_id, KEY_B.public_key.node_id


def unhex(group: str, name: str) -> dict[str, bytes]:
    """The texts of a vector, as bytes."""
    return {key: bytes.fromhex(value) for key, value in VECTORS[group][name].items() if isinstance(value, str)}
