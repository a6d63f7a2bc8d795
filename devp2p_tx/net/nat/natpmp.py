"""
A router that speaks NAT-PMP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.nat import natpmp
from devp2p_tx.core.nat.epoch import RouterEpoch
from devp2p_tx.core.nat.ports import Mapping, Transport
from devp2p_tx.interfaces import IPortMapper
from devp2p_tx.net.nat.asking import Asker

#: How long each try may take when a router is asked, and when one is searched for (seconds).
PATIENCE = (0.25, 0.5, 1.0, 2.0)
SEARCH_PATIENCE = (0.25, 0.25, 0.5)

_Answer = TypeVar("_Answer", natpmp.AddressAnswer, natpmp.MapAnswer)


@implementer(IPortMapper)
class NATPMPRouter:
    """
    See L{IPortMapper}.

    @ivar ip: the router's inner address.
    """

    mechanism = "natpmp"
    mapsPorts = True

    def __init__(self, asker: Asker, ip: IPAddress, seconds: Callable[[], float]) -> None:
        """
        @param seconds: a monotonic clock.
        """
        self.ip = ip
        self.name = f"NAT-PMP at {ip}"
        self._asker, self._seconds = asker, seconds
        self._epoch = RouterEpoch()
        self._generations: dict[Transport, int] = {}

    async def find(self) -> None:
        """
        Make sure that it is there.

        @raise devp2p_tx.errors.PortMappingError: it is not.
        """
        await self._ask(natpmp.ADDRESS_REQUEST, natpmp.read_address, SEARCH_PATIENCE)

    def externalIP(self) -> Deferred[IPAddress]:
        """See L{IPortMapper}."""
        return Deferred.fromCoroutine(self._externalIP())

    async def _externalIP(self) -> IPAddress:
        return (await self._ask(natpmp.ADDRESS_REQUEST, natpmp.read_address)).ip

    def addMapping(self, wanted: Mapping) -> Deferred[Mapping]:
        """See L{IPortMapper}; without a wish for an external port, that of our own number."""
        return Deferred.fromCoroutine(self._map(replace(wanted, external=wanted.external or wanted.internal)))

    async def _map(self, wanted: Mapping) -> Mapping:
        answer = await self._ask(natpmp.map_request(wanted), lambda datagram: natpmp.read_mapped(datagram, wanted))
        self._generations[wanted.transport] = self._epoch.generation
        return answer.mapping

    def deleteMapping(self, mapping: Mapping) -> Deferred[None]:
        """See L{IPortMapper}; the router knows the mapping by our own port (RFC 6886, section 3.4)."""
        return Deferred.fromCoroutine(self._delete(mapping))

    async def _delete(self, mapping: Mapping) -> None:
        await self._map(replace(mapping, external=0, lifetime=0))

    def hasMapping(self, mapping: Mapping) -> Deferred[bool]:
        """See L{IPortMapper}: by the clock of its last answer."""
        return succeed(self._generations.get(mapping.transport) == self._epoch.generation)

    async def _ask(
        self, request: bytes, read: Callable[[bytes], _Answer | None], patience: Sequence[float] = PATIENCE
    ) -> _Answer:
        answer = await self._asker.ask((str(self.ip), natpmp.PORT), request, read, patience)
        self._epoch.observe(answer.epoch, self._seconds())
        return answer
