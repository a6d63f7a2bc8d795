"""
Keccak-256 as Ethereum uses it: the submission to the SHA-3 contest, not the later standard.

Two backends, the faster one taken where its wheel is installed: safe-pysha3, and pycryptodome, which always works.
A running state can be read (C{digest}) and then updated further, which the frame MACs need (devp2p C{rlpx.md}, "MAC").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class KeccakState(Protocol):
    """A running hash; C{digest} does not end it."""

    def update(self, data: bytes, /) -> object: ...

    def digest(self) -> bytes: ...


Backend = Callable[[bytes], KeccakState]


def pycryptodome_backend() -> Backend:
    """The backend that is always there."""
    from Crypto.Hash import keccak

    def new(data: bytes = b"") -> KeccakState:
        return keccak.new(data=data, digest_bits=256, update_after_digest=True)

    return new


def pysha3_backend() -> Backend:
    """
    The backend that is three times as fast on short input.

    @raise ImportError: safe-pysha3 is not installed.
    """
    from sha3 import keccak_256

    new: Backend = keccak_256
    return new


def best_backend() -> Backend:
    """The fastest backend that is installed."""
    try:
        return pysha3_backend()
    except ImportError:
        return pycryptodome_backend()


#: Start a running hash over the given bytes.
new_keccak = best_backend()


def keccak256(data: bytes) -> bytes:
    """The 32-byte hash of C{data}."""
    return new_keccak(data).digest()
