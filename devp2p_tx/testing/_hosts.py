"""
What connections and ports in memory ask of their host and its network; L{devp2p_tx.testing.network} provides both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from devp2p_tx.testing._clock import VirtualClock


class Network(Protocol):
    """
    Hosts, and the ways between them; see L{devp2p_tx.testing.MemoryNetwork}.

    @ivar clock: the time of all hosts.
    @ivar latency: how long every byte and datagram takes, one way (seconds).
    @ivar hosts: hosts by address.
    @ivar connections: each end of each connection that is there.
    """

    clock: VirtualClock
    latency: float
    hosts: dict[str, Any]
    connections: dict[Any, None]

    def isCut(self, one: Any, other: Any) -> bool: ...

    def wake(self, connection: Any) -> None: ...

    def carry(self, sender: Any, datagram: bytes, address: str, port: int) -> None: ...

    def normalize(self, address: str) -> str: ...

    def version(self, address: str) -> int: ...


class Host(Protocol):
    """
    One host, as a reactor; see L{devp2p_tx.testing.MemoryHost}.

    @ivar loopbacks: the addresses by which it means itself.
    @ivar connectedPorts: the address and port of each outbound connection.
    """

    loopbacks: frozenset[str]
    connectedPorts: set[tuple[str, int]]

    @property
    def network(self) -> Network: ...

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> object: ...

    def bind(self, kind: str, interface: str, port: int, listening: Any) -> int: ...

    def unbind(self, kind: str, port: int, listening: Any) -> None: ...

    def bindClient(self, address: str, bindAddress: Any) -> tuple[str, int] | None: ...

    def listenerAt(self, kind: str, address: str, port: int) -> Any: ...

    def sourceFor(self, address: str, interface: str = "") -> str | None: ...

    def resolve(self, name: str) -> Awaitable[str]: ...


def later(host: Host, delay: float, callable: Callable[[], object] | None = None) -> Deferred[Any]:
    """C{deferLater} on the clock of a host."""
    return deferLater(cast(IReactorTime, host), delay, callable)
