"""
What both versions of node discovery have in common for whoever owns the socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.datagram import Datagram


class Answer(Protocol):
    """What a PING is answered with."""

    @property
    def enr_seq(self) -> int: ...


class Changing(Protocol):
    """Knows whether the table was changed since C{changed} was last set to false."""

    changed: bool


class DiscoveryCore(Protocol):
    """One side of a version of the protocol; see L{devp2p_tx.core.discv4.protocol.Discv4}."""

    def receive_datagram(self, data: bytes, ip: IPAddress, port: int, now: float, unix_time: float) -> Any: ...

    def datagrams_to_send(self) -> Sequence[Datagram]: ...

    def next_events(self) -> list[Any]: ...

    def get_timer(self) -> float | None: ...

    def close(self) -> None: ...
