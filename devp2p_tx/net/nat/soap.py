"""
Calls of UPnP to one device, one after the other (UPnP Device Architecture 1.1, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import DeferredLock
from twisted.internet.task import deferLater

from devp2p_tx.core.nat import igd
from devp2p_tx.net.nat.http import RouterHTTP

#: From the end of a request to the next (seconds): some routers fall over otherwise.
PAUSE = 0.2


class SOAPDevice:
    """A device, all of whose services are asked in turn."""

    def __init__(self, reactor: Any, seconds: Callable[[], float]) -> None:
        """
        @param reactor: C{IReactorTCP} and C{IReactorTime}.
        @param seconds: a monotonic clock.
        """
        self._reactor, self._seconds = reactor, seconds
        self._http = RouterHTTP(reactor)
        self._notBefore = seconds()
        self._turns = DeferredLock()

    async def call(
        self, service: igd.Service, action: str, arguments: Mapping[str, object] | None = None
    ) -> igd.Arguments:
        """
        Ask one thing after the other, however many are to be asked.

        @raise devp2p_tx.errors.PortMappingError: it is refused, or there is no answer that can be read.
        """
        return await self._turns.run(self._callInTurn, service, action, arguments or {})

    async def _callInTurn(self, service: igd.Service, action: str, arguments: Mapping[str, object]) -> igd.Arguments:
        if (pause := self._notBefore - self._seconds()) > 0:
            await deferLater(self._reactor, pause)
        headers = {
            "User-Agent": "POSIX UPnP/1.1 devp2p-tx",
            "Content-Type": 'text/xml; charset="utf-8"',
            "SOAPAction": igd.soap_action(service.type, action),  # small routers know it letter by letter
        }
        body = igd.soap_request(service.type, action, arguments)
        try:
            answer = await self._http.post(service.url, headers, body)
            return igd.read_soap(answer.body, action, answer.status)
        finally:
            self._notBefore = self._seconds() + PAUSE
