"""
A router that speaks the Port Control Protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TypeVar

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.nat import pcp
from devp2p_tx.core.nat.epoch import RouterEpoch
from devp2p_tx.core.nat.ports import Mapping, Transport
from devp2p_tx.errors import InvalidRouterAnswer
from devp2p_tx.interfaces import IPortMapper
from devp2p_tx.net.nat.asking import Asker
from devp2p_tx.net.nat.natpmp import PATIENCE, SEARCH_PATIENCE

_T = TypeVar("_T")


@implementer(IPortMapper)
class PCPRouter:
    """
    See L{IPortMapper}.

    @ivar ip: the router's inner address.
    """

    mechanism = "pcp"
    mapsPorts = True

    def __init__(
        self, asker: Asker, ip: IPv4Address, local: IPv4Address, seconds: Callable[[], float], secret: bytes
    ) -> None:
        """
        @param local: our own address, as the router sees it.
        @param seconds: a monotonic clock.
        @param secret: see L{pcp.nonce}.
        """
        self.ip = ip
        self.name = f"PCP at {ip}"
        self._asker, self._local, self._seconds, self._secret = asker, local, seconds, secret
        self._epoch = RouterEpoch()
        self._generations: dict[Transport, int] = {}
        self._made: dict[Transport, Mapping] = {}
        self._outer: IPAddress | None = None

    async def find(self) -> None:
        """
        Make sure that it is there.

        @raise devp2p_tx.errors.PortMappingError: it is not.
        """
        await self._announce(SEARCH_PATIENCE)

    async def _announce(self, patience: Sequence[float]) -> None:
        request = pcp.announce_request(self._local)
        self._epoch.observe(await self._ask(request, pcp.read_announced, patience), self._seconds())

    def externalIP(self) -> Deferred[IPAddress]:
        """See L{IPortMapper}: it comes with a mapping, so one that we have is renewed (RFC 6887, 11.6)."""
        return Deferred.fromCoroutine(self._externalIP())

    async def _externalIP(self) -> IPAddress:
        made = next(iter(self._made.values()), None)
        if made is None:
            await self._announce(PATIENCE)
        elif (await self._map(made)).mapping.external != made.external:
            self._generations.pop(made.transport, None)
        if made is None:
            raise InvalidRouterAnswer("tells our outer address only when it maps a port")
        if self._outer is None:
            raise InvalidRouterAnswer("tells no outer address that can be ours")
        return self._outer

    def addMapping(self, wanted: Mapping) -> Deferred[Mapping]:
        """See L{IPortMapper}; without a wish for an external port, that of our own number."""
        return Deferred.fromCoroutine(self._add(replace(wanted, external=wanted.external or wanted.internal)))

    async def _add(self, wanted: Mapping) -> Mapping:
        answer = await self._map(wanted)
        self._made[wanted.transport] = replace(wanted, external=answer.mapping.external)
        self._generations[wanted.transport] = self._epoch.generation
        return answer.mapping

    async def _map(self, wanted: Mapping) -> pcp.MapAnswer:
        request = pcp.map_request(wanted, self._local, self._secret, self._outer)
        answer = await self._ask(request, lambda datagram: pcp.read_mapped(datagram, wanted, self._secret), PATIENCE)
        self._epoch.observe(answer.epoch, self._seconds())
        if wanted.lifetime:
            self._outer = answer.ip
        return answer

    def deleteMapping(self, mapping: Mapping) -> Deferred[None]:
        """See L{IPortMapper}."""
        return Deferred.fromCoroutine(self._delete(mapping))

    async def _delete(self, mapping: Mapping) -> None:
        self._made.pop(mapping.transport, None)
        await self._map(replace(mapping, lifetime=0))

    def hasMapping(self, mapping: Mapping) -> Deferred[bool]:
        """See L{IPortMapper}: by the clock of its last answer; no if that said another port."""
        return succeed(self._generations.get(mapping.transport) == self._epoch.generation)

    async def _ask(self, request: bytes, read: Callable[[bytes], _T | None], patience: Sequence[float]) -> _T:
        return await self._asker.ask((str(self.ip), pcp.PORT), request, read, patience)
