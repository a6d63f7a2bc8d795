"""
What a node is to everyone else: a key, and where it can be reached.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from devp2p_tx.core.addresses import IPAddress
from devp2p_tx.core.crypto.secp256k1 import PublicKey


@dataclass(frozen=True, slots=True)
class Node:
    """
    @ivar public_key: its static key.
    @ivar ip: its address, C{None} where only the key or a host name is known.
    @ivar tcp: its RLPx port, 0 where it has none.
    @ivar udp: its discovery port, 0 where it has none.
    @ivar hostname: a DNS name in place of an address, kept as written and looked up at each dial.
    @ivar node_id: Keccak-256 of the key, 32 bytes.
    """

    public_key: PublicKey
    ip: IPAddress | None = None
    tcp: int = 0
    udp: int = 0
    hostname: str | None = None
    node_id: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "node_id", self.public_key.node_id)

    @property
    def host(self) -> str | None:
        """The address or the host name, as text."""
        return self.hostname or (None if self.ip is None else str(self.ip))
