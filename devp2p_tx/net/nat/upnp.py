"""
A router that speaks UPnP: searched for by SSDP, asked over HTTP.

Anybody in the local network can say to be the router. Only the network of the default gateway is listened to; a device
is asked at its own address and nowhere else; and of what says to be one, a few are tried. Of several services the best
is taken (L{Quality}).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import IntEnum
from ipaddress import IPv4Address, ip_address
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from devp2p_tx.core.addressing.addresses import IPAddress, is_global
from devp2p_tx.core.nat import igd, ssdp
from devp2p_tx.core.nat.ports import Mapping, Transport, outer_address
from devp2p_tx.core.nat.routes import Gateway
from devp2p_tx.errors import InvalidRouterAnswer, PortMappingError, RouterRefused, RouterSilent
from devp2p_tx.interfaces import IPortMapper
from devp2p_tx.net.log import Logger
from devp2p_tx.net.nat.asking import Asker
from devp2p_tx.net.nat.http import RouterHTTP
from devp2p_tx.net.nat.soap import SOAPDevice

#: When a search is repeated, and how long it takes from then on (seconds).
SEARCH_PATIENCE = (1.0, 7.0)
#: How long a better service is waited for when one is found whose connection has no public address (seconds).
BETTER_WAIT = 2.0
#: How many devices that answer are looked at.
MAX_DEVICES = 8
#: How often a port is asked for again, and how many others are tried if somebody else has it.
RETRIES, RANDOM_PORTS = 3, 3
#: The others are from here up to 65534.
FIRST_RANDOM_PORT, LAST_RANDOM_PORT = 10_000, 65_534

_DESCRIPTIONS = {Transport.TCP: "ethereum p2p", Transport.UDP: "ethereum peer discovery"}
#: After these another port may do; and after any error that nobody knows.
_CONFLICTS = {igd.CONFLICT, igd.OTHER_CONFLICT}
#: What asking again does not change.
_FINAL = {
    igd.INVALID_ACTION,
    igd.INVALID_ARGUMENTS,
    igd.NOT_IMPLEMENTED,
    igd.NOT_AUTHORIZED,
    igd.WILDCARD_SOURCE,
    igd.WILDCARD_PORT,
    igd.CONFLICT,
    igd.ONLY_SAME_PORTS,
    igd.ONLY_PERMANENT_LEASES,
    igd.ONLY_ANY_REMOTE_HOST,
    igd.ONLY_ANY_EXTERNAL_PORT,
    igd.NO_MAPS_AVAILABLE,
    igd.OTHER_CONFLICT,
    igd.READ_ONLY,
    igd.WILDCARD_INTERNAL,
    igd.INCONSISTENT,
}

_log = Logger()


async def findUPnP(
    reactor: Any, asker: Asker, gateway: Gateway, seconds: Callable[[], float], random: Random
) -> UPnPRouter:
    """
    Search for a router: the first with a public address; or if none has one, the best.

    @param reactor: C{IReactorTCP} and C{IReactorTime}.
    @param seconds: a monotonic clock.
    @param random: chooses ports.
    @raise RouterSilent: there is none that answers in time.
    """
    search = _Search(reactor, gateway, seconds, random)
    requests = [ssdp.search_request(target) for target in ssdp.TARGETS]
    try:
        return await asker.broadcast(
            (ssdp.ADDRESS, ssdp.PORT), requests, search.received, search.found, SEARCH_PATIENCE
        )
    except RouterSilent:
        if search.best is None:
            raise
        return search.best
    finally:
        search.end()


class Quality(IntEnum):
    """How good a service is."""

    #: Its NAT is off, or nothing that it answers can be read.
    USELESS = 0
    #: Its connection is down.
    DISCONNECTED = 1
    #: Its connection is up, or it does not say; its address is not public, or not known.
    CONNECTED = 2
    #: Its connection is up and has a public address.
    PUBLIC = 3


class _Search:
    """
    The devices that answer a search.

    @ivar found: fires with a router.
    @ivar best: the best so far.
    """

    def __init__(self, reactor: Any, gateway: Gateway, seconds: Callable[[], float], random: Random) -> None:
        self.found: Deferred[UPnPRouter] = Deferred()
        self.best: UPnPRouter | None = None
        self._reactor, self._gateway, self._seconds, self._random = reactor, gateway, seconds, random
        self._trying: dict[str, Deferred[None]] = {}
        self._alarm: IDelayedCall | None = None

    def received(self, datagram: bytes, source: tuple[str, int]) -> None:
        """An answer came."""
        url = ssdp.read_answer(datagram, IPv4Address(source[0]), self._gateway.network)
        if url is not None and url not in self._trying and len(self._trying) < MAX_DEVICES:
            self._trying[url] = Deferred.fromCoroutine(self._try(url))

    async def _try(self, url: str) -> None:
        try:
            document = await RouterHTTP(self._reactor).get(url)
            services = igd.read_description(document, url, self._gateway.network)
            device = SOAPDevice(self._reactor, self._seconds)
            router = UPnPRouter(device, services, self._gateway.local, self._random)
            await router.choose()
        except PortMappingError as error:
            _log.debug("no router at {url}: {error}", url=url, error=error)
        else:
            self._candidate(router)

    def _candidate(self, router: UPnPRouter) -> None:
        if self.best is None or router.quality > self.best.quality:
            self.best = router
        if self.best.quality is Quality.PUBLIC:
            self._take()
        elif self._alarm is None:
            self._alarm = self._reactor.callLater(BETTER_WAIT, self._take)

    def _take(self) -> None:
        if not self.found.called and self.best is not None:
            self.found.callback(self.best)

    def end(self) -> None:
        """Nobody waits any more."""
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        for each in self._trying.values():
            each.addErrback(lambda failure: failure.trap(CancelledError)).cancel()


def _withPort(mapping: Mapping) -> Mapping:
    """One that wishes for no port in particular wishes for that of our own number."""
    return replace(mapping, external=mapping.external or mapping.internal)


@implementer(IPortMapper)
class UPnPRouter:
    """
    See L{IPortMapper}.

    @ivar service: what is asked.
    @ivar quality: how good it was when it was chosen.
    """

    mechanism = "upnp"
    mapsPorts = True

    def __init__(self, device: SOAPDevice, services: Sequence[igd.Service], local: IPv4Address, random: Random) -> None:
        """
        @param services: those of the device, the best first by their kind.
        @param local: our own address, as the router sees it.
        @param random: chooses ports.
        @raise InvalidRouterAnswer: there are none.
        """
        if not services:
            raise InvalidRouterAnswer("no service that maps ports")
        self.service = services[0]
        self.quality = Quality.CONNECTED
        self._device, self._services = device, services
        self._local, self._random = local, random
        self._deletions = DeferredLock()
        self._permanent = False

    @property
    def name(self) -> str:
        """See L{IPortMapper}."""
        return f"UPnP ({self.service.name}) at {self.service.host}"

    async def choose(self) -> None:
        """
        Choose the best of its services: the first that has a public address; or if none has one, the first of the best.

        @raise InvalidRouterAnswer: none is of any use.
        """
        qualities: dict[igd.Service, Quality] = {}
        for service in self._services:
            qualities[service] = await self._judge(service)
            if qualities[service] is Quality.PUBLIC:
                break
        best = max(qualities, key=lambda service: qualities[service])
        if qualities[best] is Quality.USELESS:
            raise InvalidRouterAnswer("its NAT is off, or it does not answer")
        self.service, self.quality = best, qualities[best]

    async def _judge(self, service: igd.Service) -> Quality:
        """
        Many routers lack one or the other of these actions, which says nothing of them. But they have to answer in
        terms of UPnP once: there are services that are described and not there.
        """
        try:
            nat, isThere = await self._inquire(service, "GetNATRSIPStatus")
            status, isThereToo = await self._inquire(service, "GetStatusInfo")
        except PortMappingError as error:
            _log.debug("{service}: {error}", service=service.name, error=error)
            return Quality.USELESS
        state = status["NewConnectionStatus"].lower()
        if nat["NewNATEnabled"].lower() in igd.OFF:
            return Quality.USELESS
        if state not in ("", igd.CONNECTED):
            return Quality.DISCONNECTED
        try:
            return Quality.PUBLIC if is_global(await self._addressOf(service)) else Quality.CONNECTED
        except PortMappingError:
            if state:
                return Quality.CONNECTED
            return Quality.DISCONNECTED if isThere or isThereToo else Quality.USELESS

    async def _inquire(self, service: igd.Service, action: str) -> tuple[igd.Arguments, bool]:
        """
        The answer, an empty one if it is refused; and whether it is one of UPnP.

        @raise PortMappingError: there is none that can be read.
        """
        try:
            return await self._device.call(service, action), True
        except RouterRefused as error:
            _log.debug("{service}: {action}: {error}", service=service.name, action=action, error=error)
            return igd.Arguments(), error.code != 0

    def externalIP(self) -> Deferred[IPAddress]:
        """See L{IPortMapper}; if the service does not say, the connection may be that of another one by now."""
        return Deferred.fromCoroutine(self._externalIP())

    async def _externalIP(self) -> IPAddress:
        try:
            return await self._addressOf(self.service)
        except PortMappingError:
            if len(self._services) == 1:
                raise
        await self.choose()
        return await self._addressOf(self.service)

    async def _addressOf(self, service: igd.Service) -> IPAddress:
        text = (await self._device.call(service, "GetExternalIPAddress"))["NewExternalIPAddress"]
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
        knew = self._permanent
        try:
            return await self._addSomewhere(wanted)
        except PortMappingError:
            self._permanent = knew
            raise

    async def _addSomewhere(self, wanted: Mapping) -> Mapping:
        try:
            return await self._addPatiently(wanted)
        except RouterRefused as error:
            if error.code == igd.ONLY_SAME_PORTS and wanted.external != wanted.internal:
                return await self._addPatiently(replace(wanted, external=wanted.internal))
            if error.code in _FINAL - _CONFLICTS:
                raise
            return await self._addElsewhere(wanted, error)

    async def _addElsewhere(self, wanted: Mapping, refused: RouterRefused) -> Mapping:
        """Another port: one that the router chooses, or if it cannot, one by chance."""
        if self.service.chooses_ports:
            try:
                return await self._addAny(wanted)
            except RouterRefused as error:
                refused = error
        for _ in range(RANDOM_PORTS):
            port = self._random.randint(FIRST_RANDOM_PORT, LAST_RANDOM_PORT)
            try:
                return await self._addAt(replace(wanted, external=port))
            except RouterRefused as error:
                refused = error
        raise refused

    async def _addPatiently(self, wanted: Mapping) -> Mapping:
        for tried in range(RETRIES):
            try:
                return await self._addAt(wanted)
            except PortMappingError as error:
                _log.debug("{router}: no port {port}: {error}", router=self.name, port=wanted.external, error=error)
                if isinstance(error, RouterRefused):
                    await self._makeRoom(wanted, error, isLast=tried == RETRIES - 1)
        return await self._addAt(wanted)

    async def _makeRoom(self, wanted: Mapping, refused: RouterRefused, isLast: bool) -> None:
        """
        Do something about a refusal. A router that knows no leases may say so, or that the arguments are not valid, or
        no more than that it failed.

        @raise RouterRefused: nothing can be done.
        """
        mayBeTheLease = refused.code in (igd.ONLY_PERMANENT_LEASES, igd.INVALID_ARGUMENTS) or (
            isLast and refused.code not in _FINAL
        )
        if mayBeTheLease and not self._permanent:
            self._permanent = True
        elif refused.code == igd.CONFLICT and await self._isOurs(wanted):  # left from before, with another life
            await self._deleteAt(wanted)
        elif refused.code in _FINAL:
            raise refused

    async def _addAt(self, wanted: Mapping) -> Mapping:
        await self._call("AddPortMapping", self._arguments(wanted))
        return wanted

    async def _addAny(self, wanted: Mapping) -> Mapping:
        port = (await self._call("AddAnyPortMapping", self._arguments(wanted)))["NewReservedPort"]
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
            return False if error.code in (igd.NO_SUCH_ENTRY, igd.NO_MAPPING_FOUND) else None
        except PortMappingError:
            return None
        return self._isTo(entry, mapping)

    def _isTo(self, entry: igd.Arguments, mapping: Mapping) -> bool | None:
        """Whether an entry of the router's table is ours; C{None} if it names no address, but a host maybe."""
        if entry["NewEnabled"].lower() in igd.OFF or entry["NewInternalPort"].strip() != str(mapping.internal):
            return False
        try:
            return ip_address(entry["NewInternalClient"]) == self._local
        except ValueError:
            return None

    async def _call(self, action: str, arguments: dict[str, object]) -> igd.Arguments:
        return await self._device.call(self.service, action, arguments)
