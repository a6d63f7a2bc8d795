"""
From what a user wants to somebody who does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList

from devp2p_tx.core.addressing.addresses import is_global
from devp2p_tx.core.crypto.secp256k1 import RandomBytes
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.core.nat.routes import Gateway
from devp2p_tx.core.text.nat import Mechanism, NATSpecification
from devp2p_tx.errors import NoRouter, PortMappingError
from devp2p_tx.interfaces import IPortMapper
from devp2p_tx.net.log import Logger
from devp2p_tx.net.nat.asking import Asker
from devp2p_tx.net.nat.fixed import FixedAddress
from devp2p_tx.net.nat.gateway import findGateway, localAddress
from devp2p_tx.net.nat.natpmp import NATPMPRouter
from devp2p_tx.net.nat.pcp import PCPRouter
from devp2p_tx.net.nat.stun import STUNClient
from devp2p_tx.net.nat.upnp import findUPnP

T = TypeVar("T")

_log = Logger()


async def attempt(metrics: Metrics, mechanism: str, action: str, doing: Deferred[T]) -> T:
    """
    Wait for something, and count it: C{nat_attempts}, and C{nat_failures} with the reason.

    @raise PortMappingError: as C{doing} fails.
    """
    metrics.count("nat_attempts", mechanism=mechanism, action=action)
    try:
        return await doing
    except PortMappingError as error:
        metrics.count("nat_failures", mechanism=mechanism, action=action, reason=error.kind)
        raise


@dataclass
class MapperFinder:
    """
    Finds whom to ask.

    @ivar wanted: what the user wants.
    @ivar reactor: C{IReactorUDP}, C{IReactorTCP}, C{IReactorTime}, and C{IReactorPluggableNameResolver}.
    @ivar seconds: a monotonic clock.
    @ivar random: randomness for choices.
    @ivar randomBytes: randomness against forgery.
    @ivar secret: known to us only, and the same after a restart.
    @ivar metrics: where attempts are counted.
    @ivar gateway: the default gateway, as it is now.
    @ivar local: our address as another sees it; raises C{OSError}.
    """

    wanted: NATSpecification
    reactor: Any
    seconds: Callable[[], float]
    random: Random
    randomBytes: RandomBytes
    secret: bytes
    metrics: Metrics
    gateway: Callable[[], Gateway | None] = findGateway
    local: Callable[[IPv4Address], IPv4Address] = localAddress

    def __post_init__(self) -> None:
        self._asker = Asker(self.reactor)

    def close(self) -> Deferred[Any]:
        """Nothing will be asked any more; fires when all sockets are closed."""
        return self._asker.close()

    def find(self) -> Deferred[IPortMapper]:
        """
        Search for whom the user wants; with C{any} for all at once, and the first that answers is it.

        @return: fails with L{PortMappingError}; cancelling it ends the search.
        """
        return Deferred.fromCoroutine(self._find())

    async def _find(self) -> IPortMapper:
        mechanism, ip = self.wanted.mechanism, self.wanted.ip
        if mechanism is Mechanism.STUN:
            return STUNClient(self.reactor, self._asker, self.wanted.server, self.random, self.randomBytes)
        if mechanism is Mechanism.FIXED:
            assert ip is not None
            return FixedAddress(ip)
        if isinstance(ip, IPv4Address):
            return await self._search(mechanism, self._given(ip))
        gateway = self.gateway()
        if gateway is None:
            raise NoRouter(f"no {mechanism.value} router discovered: there is no default gateway")
        if mechanism is not Mechanism.ANY:
            return await self._search(mechanism, gateway)
        if is_global(gateway.local):
            raise NoRouter(f"no {mechanism.value} router discovered: our address {gateway.local} is a public one")
        return await self._first(gateway)

    def _given(self, ip: IPv4Address) -> Gateway:
        try:
            return Gateway(ip, IPv4Network(ip), self.local(ip))
        except OSError as error:
            raise NoRouter(f"there is no way to {ip}: {error.strerror}") from None

    async def _first(self, gateway: Gateway) -> IPortMapper:
        """The first to answer of all routers; RFC 6887 (section 9) would have PCP asked before NAT-PMP."""
        searching = [
            Deferred.fromCoroutine(self._search(each, gateway))
            for each in (Mechanism.PCP, Mechanism.NAT_PMP, Mechanism.UPNP)
        ]
        first = DeferredList(searching, fireOnOneCallback=True, consumeErrors=True)
        try:
            result: Any = await first
        finally:
            for each in searching:
                each.cancel()
        if isinstance(result, list):  # of failures
            if any(failure.check(CancelledError) for _, failure in result):
                raise CancelledError
            raise NoRouter("no any router discovered: " + "; ".join(str(failure.value) for _, failure in result))
        router: IPortMapper = result[0]
        return router

    async def _search(self, mechanism: Mechanism, gateway: Gateway) -> IPortMapper:
        searching = Deferred.fromCoroutine(self._router(mechanism, gateway))
        try:
            return await attempt(self.metrics, mechanism.value, "search", searching)
        except PortMappingError as error:
            _log.debug("no {mechanism} router: {error}", mechanism=mechanism.value, error=error)
            raise NoRouter(f"no {mechanism.value} router discovered: {error}") from None

    async def _router(self, mechanism: Mechanism, gateway: Gateway) -> IPortMapper:
        if mechanism is Mechanism.UPNP:
            return await findUPnP(self.reactor, self._asker, gateway, self.seconds, self.random)
        router: NATPMPRouter | PCPRouter = NATPMPRouter(self._asker, gateway.ip, self.seconds)
        if mechanism is Mechanism.PCP:
            router = PCPRouter(self._asker, gateway.ip, gateway.local, self.seconds, self.secret)
        await router.find()
        return router
