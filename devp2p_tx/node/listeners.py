"""
Where a node listens for connections.

A port alone means both address families, each with a socket of its own, so that nothing that happens to one touches the
other. A family that this host does not have is left out; one that it has, and cannot listen in, fails the start.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, NamedTuple

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.nodeendpoint import VERSIONS
from devp2p_tx.errors import ServerStopped
from devp2p_tx.net.hostaddresses import addressesOf
from devp2p_tx.net.listening.families import familyName
from devp2p_tx.net.listening.sockets import Listen, isProxied, portNumber, serverEndpoint
from devp2p_tx.net.log import Logger
from devp2p_tx.net.names.hostnames import NamedAddress
from devp2p_tx.net.proxy.proxyheader import ProxyHeaderEndpoint
from devp2p_tx.node.inbound import InboundFactory
from devp2p_tx.node.opening import CannotOpen, Opening
from devp2p_tx.node.peer import addressIP, addressText
from devp2p_tx.node.stopping import Part

_ANY_PORT = re.compile(r"(tcp6?:)?0(:|$)")
_KINDS = {4: "tcp", 6: "tcp6"}
_log = Logger()


class Listening(NamedTuple):
    """
    A TCP socket.

    @ivar ip: what it is bound to; unspecified for any address of its family.
    @ivar port: its number.
    @ivar isAnyPort: whether another number would have done.
    @ivar isProxied: whether only a proxy can connect to it.
    """

    ip: IPAddress
    port: int
    isAnyPort: bool
    isProxied: bool = False


class _Place(NamedTuple):
    """
    A place to listen at.

    @ivar isAnyPort: whether another number would do.
    @ivar isProxied: whether only a proxy can connect to it.
    """

    endpoint: IStreamServerEndpoint
    isAnyPort: bool
    isProxied: bool


class Listeners:
    """
    The listening ports of a node, from L{listen} to L{close}.

    @ivar ports: those that are open.
    @ivar listening: what is known of those that are TCP ports.
    @ivar named: where others find us by a name, such as that of an onion service; the first of them.
    """

    def __init__(self, reactor: Any, key: PrivateKey, factory: InboundFactory) -> None:
        """
        @param key: what the address of an onion service is made of.
        @param factory: makes the protocols of those who connect.
        """
        self._key = key
        self.ports: list[IListeningPort] = []
        self._reactor, self._factory = reactor, factory
        self.listening: list[Listening] = []
        self.named: NamedAddress | None = None
        self._isClosed = self._isForwarded = False
        self._opening: Opening | None = None

    @property
    def isLocal(self) -> bool:
        """Whether only this host can connect, and nobody on behalf of others."""
        loopback = bool(self.listening) and all(each.ip.is_loopback for each in self.listening)
        return loopback and not self._isForwarded

    @cached_property
    def versions(self) -> tuple[int, ...]:
        """The address families that this host has; both, if it has no address at all."""
        found: set[int] = {ip.version for ip in addressesOf(self._reactor)} or set(VERSIONS)
        for version in set(VERSIONS) - found:
            _log.info("this host has no {family}: the node does without", family=familyName(version))
        return tuple(sorted(found))

    @property
    def addresses(self) -> list[str]:
        """Where they listen, as texts."""
        return [addressText(port.getHost()) for port in self.ports]

    async def listen(self, listen: Listen) -> None:
        """
        Listen at one more place.

        @param listen: a port, the description of a Twisted endpoint, or an endpoint.
        @raise CannotOpen: it is taken, or not ours; the sentence says where, and what to do.
        @raise devp2p_tx.errors.InvalidAddress: C{listen} cannot be read.
        @raise ServerStopped: L{close} was called meanwhile.
        """
        if not isinstance(listen, (int, str)):
            await self._open(_Place(listen, False, isinstance(listen, ProxyHeaderEndpoint)))
            return
        number = portNumber(listen)
        if number is None:
            await self._open(self._described(str(listen).strip()))
            return
        isAnyPort = not number
        for version in self.versions:
            number = await self._openFamily(version, number, isAnyPort)

    def _described(self, description: str) -> _Place:
        endpoint = serverEndpoint(self._reactor, description, self._key, self._factory.headless)
        return _Place(endpoint, bool(_ANY_PORT.match(description)), isProxied(description))

    async def _openFamily(self, version: int, number: int, isAnyPort: bool) -> int:
        """Open a port at any address of a family; its number, which if any will do is preferably C{number}."""
        try:
            place = self._described(f"{_KINDS[version]}:{number}")
            return await self._open(place._replace(isAnyPort=isAnyPort))
        except CannotListenError:
            if number and isAnyPort:
                return await self._openFamily(version, 0, isAnyPort)
            raise

    async def _open(self, place: _Place) -> int:
        if self._isClosed:
            raise ServerStopped("the server was stopped while it started")
        opening = self._opening = Opening(place.endpoint, self._factory)
        try:
            port: Any = await opening.port
        except CannotListenError as error:
            raise CannotOpen(error, "TCP") from None
        finally:
            self._opening = None
        if not hasattr(port, "stopListening"):
            raise TypeError(f"the endpoint {place.endpoint!r} gave {port!r}, which is no listening port")
        self.ports.append(port)
        host = port.getHost()
        self._isForwarded = self._isForwarded or place.isProxied or isinstance(host, NamedAddress)
        if isinstance(host, NamedAddress) and self.named is None:
            self.named = host
        if (ip := addressIP(host)) is None:
            return 0
        self.listening.append(Listening(ip, host.port, place.isAnyPort, place.isProxied))
        return int(host.port)

    def close(self) -> list[Part]:
        """Return what closes each of them, and gives up the one that is being opened; from now on none is opened."""
        self._isClosed = True
        ports, self.ports = self.ports, []
        self.listening, self.named = [], None
        closing: list[Part] = [("a listening port", port.stopListening) for port in ports]
        if self._opening is not None:
            closing.append(("a port that is being opened", self._opening.giveUp))
        return closing
