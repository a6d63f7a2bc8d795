"""
A router that speaks UPnP: searched for by SSDP, asked over HTTP.

Anybody in the local network can say to be the router. Only the network of the default gateway is listened to; a device
is asked at its own address and nowhere else; and of what says to be one, a few are tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.nat import igd, ssdp
from devp2p_tx.core.nat.ports import Mapping, Transport, outer_address
from devp2p_tx.core.nat.routes import Gateway
from devp2p_tx.errors import InvalidRouterAnswer, PortMappingError, RouterRefused
from devp2p_tx.interfaces import IPortMapper
from devp2p_tx.net.nat.asking import Asker
from devp2p_tx.net.nat.http import RouterHTTP

#: When a search is repeated, and how long it takes from then on (seconds).
SEARCH_PATIENCE = (1.0, 4.0)
#: How many devices that answer are looked at.
MAX_DEVICES = 8
#: From the end of a request to the next (seconds): some routers fall over otherwise.
PAUSE = 0.2
#: How often a port is asked for again, and how many others are tried if somebody else has it.
RETRIES, RANDOM_PORTS = 3, 3
#: The others are from here up to 65534.
FIRST_RANDOM_PORT, LAST_RANDOM_PORT = 10_000, 65_534

_DESCRIPTIONS = {Transport.TCP: "ethereum p2p", Transport.UDP: "ethereum peer discovery"}
#: What asking again does not change.
_FINAL = {igd.CONFLICT, igd.ONLY_PERMANENT_LEASES, igd.ONLY_SAME_PORTS, 401, 402, 606}

_log = Logger()


async def findUPnP(
    reactor: Any, asker: Asker, gateway: Gateway, seconds: Callable[[], float], random: Random
) -> UPnPRouter:
    """
    Search for a router; of several the first that turns out to be one.

    @param reactor: C{IReactorTCP} and C{IReactorTime}.
    @param seconds: a monotonic clock.
    @param random: chooses ports.
    @raise RouterSilent: there is none that answers in time.
    """
    found: Deferred[UPnPRouter] = Deferred()
    trying: dict[str, Deferred[None]] = {}

    def received(datagram: bytes, source: tuple[str, int]) -> None:
        url = ssdp.read_answer(datagram, IPv4Address(source[0]), gateway.network)
        if url is not None and url not in trying and len(trying) < MAX_DEVICES:
            trying[url] = Deferred.fromCoroutine(_tryDevice(reactor, url, gateway, seconds, random, found))

    requests = [ssdp.search_request(target) for target in ssdp.TARGETS]
    try:
        return await asker.broadcast((ssdp.ADDRESS, ssdp.PORT), requests, received, found, SEARCH_PATIENCE)
    finally:
        for each in trying.values():
            each.addErrback(lambda failure: failure.trap(CancelledError)).cancel()


def _withPort(mapping: Mapping) -> Mapping:
    """One that wishes for no port in particular wishes for that of our own number."""
    return replace(mapping, external=mapping.external or mapping.internal)


async def _tryDevice(
    reactor: Any,
    url: str,
    gateway: Gateway,
    seconds: Callable[[], float],
    random: Random,
    found: Deferred[UPnPRouter],
) -> None:
    """If the device has a service that maps ports, fire C{found} with it."""
    try:
        document = await RouterHTTP(reactor).get(url)
        for service in igd.read_description(document, url, gateway.network):
            router = UPnPRouter(reactor, service, gateway.local, seconds, random)
            if await router.isEnabled() and not found.called:
                found.callback(router)
                return
    except PortMappingError as error:
        _log.debug("no router at {url}: {error}", url=url, error=error)


@implementer(IPortMapper)
class UPnPRouter:
    """
    See L{IPortMapper}.

    @ivar service: what is asked.
    """

    mechanism = "upnp"
    mapsPorts = True

    def __init__(
        self, reactor: Any, service: igd.Service, local: IPv4Address, seconds: Callable[[], float], random: Random
    ) -> None:
        """
        @param reactor: C{IReactorTCP} and C{IReactorTime}.
        @param local: our own address, as the router sees it.
        @param seconds: a monotonic clock.
        @param random: chooses ports.
        """
        self.service = service
        self.name = f"UPnP ({service.name}) at {service.host}"
        self._reactor, self._local, self._seconds, self._random = reactor, local, seconds, random
        self._http = RouterHTTP(reactor)
        self._notBefore = seconds()
        self._turns, self._deletions = DeferredLock(), DeferredLock()
        self._permanent = False

    async def isEnabled(self) -> bool:
        """Whether the router does NAT at all; no if it does not say."""
        try:
            status = await self._call("GetNATRSIPStatus")
        except PortMappingError as error:
            _log.debug("{router}: {error}", router=self.name, error=error)
            return False
        return status.get("NewNATEnabled", "").lower() in ("1", "true", "yes")

    def externalIP(self) -> Deferred[IPAddress]:
        """See L{IPortMapper}."""
        return Deferred.fromCoroutine(self._externalIP())

    async def _externalIP(self) -> IPAddress:
        text = (await self._call("GetExternalIPAddress")).get("NewExternalIPAddress", "")
        try:
            return outer_address(ip_address(text))
        except ValueError:
            raise InvalidRouterAnswer(f"says that our outer address is {text!r}") from None

    def addMapping(self, wanted: Mapping) -> Deferred[Mapping]:
        """
        See L{IPortMapper}: the port that is wished for, else that of our own number; else, if somebody has it, one that
        the router chooses, or one by chance.
        """
        return Deferred.fromCoroutine(self._add(_withPort(wanted)))

    async def _add(self, wanted: Mapping) -> Mapping:
        try:
            return await self._addPatiently(wanted)
        except RouterRefused as error:
            if error.code != igd.CONFLICT:
                raise
        if self.service.type == igd.CHOOSES_PORTS:
            return await self._addAny(wanted)
        for _ in range(RANDOM_PORTS):
            port = self._random.randint(FIRST_RANDOM_PORT, LAST_RANDOM_PORT)
            try:
                return await self._addAt(replace(wanted, external=port))
            except RouterRefused as error:
                refused = error
        raise refused

    async def _addPatiently(self, wanted: Mapping) -> Mapping:
        for _ in range(RETRIES):
            try:
                return await self._addAt(wanted)
            except PortMappingError as error:
                _log.debug("{router}: no port {port}: {error}", router=self.name, port=wanted.external, error=error)
                if isinstance(error, RouterRefused) and error.code in _FINAL:
                    await self._makeRoom(wanted, error)
        return await self._addAt(wanted)

    async def _makeRoom(self, wanted: Mapping, refused: RouterRefused) -> None:
        """
        Do something about a refusal.

        @raise RouterRefused: nothing can be done.
        """
        if refused.code == igd.ONLY_PERMANENT_LEASES and not self._permanent:
            self._permanent = True
        elif refused.code == igd.CONFLICT and await self._isOurs(wanted):  # left from before, with another life
            await self._deleteAt(wanted)
        else:
            raise refused

    async def _addAt(self, wanted: Mapping) -> Mapping:
        await self._call("AddPortMapping", self._arguments(wanted))
        return wanted

    async def _addAny(self, wanted: Mapping) -> Mapping:
        answer = await self._call("AddAnyPortMapping", self._arguments(wanted))
        port = answer.get("NewReservedPort", "")
        if not (port.isascii() and port.isdigit() and 0 < int(port) <= 0xFFFF):
            raise InvalidRouterAnswer(f"mapped a port to port {port!r}")
        return replace(wanted, external=int(port))

    def _arguments(self, wanted: Mapping) -> dict[str, object]:
        return {
            **self._place(wanted),
            "NewInternalPort": wanted.internal,
            "NewInternalClient": self._local,
            "NewEnabled": 1,
            "NewPortMappingDescription": _DESCRIPTIONS[wanted.transport],
            "NewLeaseDuration": 0 if self._permanent else int(wanted.lifetime),
        }

    @staticmethod
    def _place(mapping: Mapping) -> dict[str, object]:
        """How a router knows a mapping."""
        return {"NewRemoteHost": "", "NewExternalPort": mapping.external, "NewProtocol": mapping.transport.name}

    def deleteMapping(self, mapping: Mapping) -> Deferred[None]:
        """
        See L{IPortMapper}; of one that was only asked for, the port that was. Of several, one is deleted before another
        is looked at, so that of a router too slow for all of them some are gone in time.
        """
        return self._deletions.run(self._delete, _withPort(mapping))

    async def _delete(self, mapping: Mapping) -> None:
        if await self._isOurs(mapping) is not False:
            await self._deleteAt(mapping)

    async def _deleteAt(self, mapping: Mapping) -> None:
        await self._call("DeletePortMapping", self._place(mapping))

    def hasMapping(self, mapping: Mapping) -> Deferred[bool]:
        """See L{IPortMapper}."""
        return Deferred.fromCoroutine(self._has(mapping))

    async def _has(self, mapping: Mapping) -> bool:
        return await self._isOurs(mapping) is not False

    async def _isOurs(self, mapping: Mapping) -> bool | None:
        """Whether a port is mapped to us; C{None} if the router does not say."""
        try:
            entry = await self._call("GetSpecificPortMappingEntry", self._place(mapping))
        except RouterRefused as error:
            return False if error.code == igd.NO_SUCH_ENTRY else None
        except PortMappingError:
            return None
        known = entry.get("NewInternalClient"), entry.get("NewInternalPort")
        return known == (str(self._local), str(mapping.internal))

    async def _call(self, action: str, arguments: dict[str, object] | None = None) -> dict[str, str]:
        """Ask the router; one thing after the other, however many are to be asked."""
        return await self._turns.run(self._callInTurn, action, arguments or {})

    async def _callInTurn(self, action: str, arguments: dict[str, object]) -> dict[str, str]:
        if (pause := self._notBefore - self._seconds()) > 0:
            await deferLater(self._reactor, pause)
        headers = {
            "Content-Type": 'text/xml; charset="utf-8"',
            "SOAPAction": igd.soap_action(self.service.type, action),
        }
        body = igd.soap_request(self.service.type, action, arguments)
        try:
            return igd.read_soap(await self._http.post(self.service.url, headers, body), action)
        finally:
            self._notBefore = self._seconds() + PAUSE
