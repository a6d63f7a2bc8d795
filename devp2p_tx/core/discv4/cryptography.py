"""
What costs the most in discv4, in one place, so that it can be shared.

A process that holds many nodes, as a simulation does, sees each signature on both of its ends.
"""

from __future__ import annotations

from typing import Protocol

from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.enr.record import Record


class Cryptography(Protocol):
    """What one node calculates with curves."""

    def sign(self, digest: bytes) -> bytes:
        """Sign a packet, as L{PrivateKey.sign} does."""

    def recover(self, signature: bytes, digest: bytes) -> PublicKey:
        """The signer of a packet, as L{PublicKey.recover} finds it."""

    def key(self, data: bytes) -> PublicKey:
        """A key, as L{PublicKey.from_bytes} reads it."""

    def record(self, data: bytes) -> Record:
        """A record, as L{Record.decode} reads it."""


class OwnCryptography:
    """The real thing."""

    def __init__(self, key: PrivateKey) -> None:
        self.sign = key.sign
        self.recover = PublicKey.recover
        self.key = PublicKey.from_bytes
        self.record = Record.decode
