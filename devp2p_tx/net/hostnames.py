"""
Host names: their addresses, by the resolver that the reactor has; and as addresses where nobody resolves them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from devp2p_tx.core.addresses import IPAddress, parse_address

#: How long a name may take (seconds).
RESOLVE_TIMEOUT = 5.0


@implementer(IAddress)
@dataclass(frozen=True)
class NamedAddress:
    """
    Where a proxy connects to for us, or lets others connect to us.

    @ivar host: a host name, such as that of an onion service.
    @ivar port: the port there.
    """

    host: str
    port: int


@implementer(IResolutionReceiver)
class _Collecting:
    def __init__(self, complete: Deferred[list[IPAddress]]) -> None:
        self._complete = complete
        self._found: list[IPAddress] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        pass

    def addressResolved(self, address: IAddress) -> None:
        found: Any = address
        self._found.append(parse_address(found.host))

    def resolutionComplete(self) -> None:
        self._complete.callback(self._found)


def resolveHost(reactor: Any, name: str) -> Deferred[list[IPAddress]]:
    """
    Look a name up.

    @param reactor: C{IReactorPluggableNameResolver} and C{IReactorTime}.
    @return: fires with the addresses, each family in the order in which they were found, IPv4 first; with none if the
        name has none, or after L{RESOLVE_TIMEOUT}. Cancelling it does no more than no longer to wait.
    """
    complete: Deferred[list[IPAddress]] = Deferred()
    complete.addTimeout(RESOLVE_TIMEOUT, reactor)
    complete.addCallbacks(_sorted, _none)
    reactor.nameResolver.resolveHostName(_Collecting(complete), name)
    return complete


def _sorted(found: list[IPAddress]) -> list[IPAddress]:
    return sorted(found, key=lambda ip: ip.version)


def _none(failure: Failure) -> list[IPAddress]:
    failure.trap(TimeoutError)
    return []
