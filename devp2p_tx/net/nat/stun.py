"""
Our outer address by STUN; nothing is mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.crypto.secp256k1 import RandomBytes
from devp2p_tx.core.nat import stun
from devp2p_tx.core.nat.ports import Mapping
from devp2p_tx.core.nat.stunservers import SERVERS
from devp2p_tx.errors import PortMappingError, RouterSilent
from devp2p_tx.interfaces import IPortMapper
from devp2p_tx.net.log import Logger
from devp2p_tx.net.names.hostnames import resolveHost
from devp2p_tx.net.nat.asking import Asker

#: How many servers are asked, at most, before it has failed, and how many addresses of each family of a server.
MAX_SERVERS, MAX_ADDRESSES = 3, 2
#: How long each try may take (seconds).
PATIENCE = (0.5, 1.0, 2.0)

_log = Logger()


@implementer(IPortMapper)
class STUNClient:
    """See L{IPortMapper}."""

    mechanism = "stun"
    mapsPorts = False

    def __init__(
        self,
        reactor: Any,
        asker: Asker,
        server: tuple[str, int] | None,
        random: Random,
        randomBytes: RandomBytes,
    ) -> None:
        """
        @param reactor: C{IReactorTime} and C{IReactorPluggableNameResolver}.
        @param server: host name or address, and port; C{None} for any of L{SERVERS}.
        @param random: chooses among them.
        @param randomBytes: tells answers from forged ones.
        """
        self.name = "STUN" if server is None else f"STUN by {server[0]}:{server[1]}"
        self._servers: Sequence[tuple[str, int]] = SERVERS if server is None else [server]
        self._reactor, self._asker, self._random, self._randomBytes = reactor, asker, random, randomBytes

    def externalIP(self) -> Deferred[IPAddress]:
        """See L{IPortMapper}."""
        return Deferred.fromCoroutine(self._externalIP())

    async def _externalIP(self) -> IPAddress:
        chosen = self._random.sample(self._servers, min(MAX_SERVERS, len(self._servers)))
        why = []
        for host, port in chosen:
            try:
                return await self._ask(host, port)
            except PortMappingError as error:
                _log.debug("STUN server {host}:{port}: {error}", host=host, port=port, error=error)
                why.append(f"{host}:{port}: {error}")
        raise RouterSilent("STUN requests failed: " + "; ".join(why))

    async def _ask(self, host: str, port: int) -> IPAddress:
        addresses = await resolveHost(self._reactor, host)
        failure: PortMappingError = RouterSilent("it has no address")
        families = ([ip for ip in dict.fromkeys(addresses) if ip.version == version] for version in (4, 6))
        for address in (ip for family in families for ip in family[:MAX_ADDRESSES]):
            try:
                return await self._askAt(address, port)
            except PortMappingError as error:
                failure = error
        raise failure

    async def _askAt(self, address: IPAddress, port: int) -> IPAddress:
        transaction = self._randomBytes(stun.TRANSACTION_SIZE)
        return await self._asker.ask(
            (str(address), port),
            stun.binding_request(transaction),
            lambda datagram: stun.read_binding(datagram, transaction),
            PATIENCE,
        )

    def addMapping(self, wanted: Mapping) -> Deferred[Mapping]:
        """See L{IPortMapper}: as if it were mapped."""
        return succeed(wanted)

    def deleteMapping(self, mapping: Mapping) -> Deferred[None]:
        """See L{IPortMapper}: there is nothing to delete."""
        return succeed(None)

    def hasMapping(self, mapping: Mapping) -> Deferred[bool]:
        """See L{IPortMapper}."""
        return succeed(True)
