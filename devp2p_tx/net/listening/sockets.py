"""
What a user writes after C{--listen}, as something to listen with.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from twisted.internet.interfaces import IReactorCore, IStreamServerEndpoint

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.proxy.onion import onion_key
from devp2p_tx.errors import InvalidAddress
from devp2p_tx.net.listening.adopted import checkAdopted
from devp2p_tx.net.listening.families import separateFamilies
from devp2p_tx.net.listening.inherited import inheritedEndpoint
from devp2p_tx.net.proxy.proxyheader import ProxyHeaderEndpoint
from devp2p_tx.net.proxy.tor import ControlPort, OnionEndpoint, requireTor

#: A place to listen at: a port, the description of an endpoint, or an endpoint.
Listen = int | str | IStreamServerEndpoint

_PROXIED = "haproxy:"
_ONION = re.compile(r"onion:([0-9]{1,5})(?::(.+))?", re.DOTALL)


def checkListen(listen: object) -> None:
    """
    Check what can be checked of a place to listen at before it is opened.

    @raise TypeError: it is neither a port, nor a text, nor an endpoint.
    @raise InvalidAddress: it is a number, and no port.
    """
    if isinstance(listen, (int, str)) and not isinstance(listen, bool):
        portNumber(listen)
    elif not IStreamServerEndpoint.providedBy(listen):
        raise TypeError(f"listen takes ports, descriptions of endpoints, and endpoints, not {listen!r}")


def portNumber(listen: int | str) -> int | None:
    """
    The port, if C{listen} is a number alone.

    @raise InvalidAddress: it is a number, and no port.
    """
    text = str(listen).strip()
    if not re.fullmatch(r"[-+]?\d+", text, re.ASCII):
        return None
    if not 0 <= int(text) <= 0xFFFF:
        raise InvalidAddress(f"{text} is no port: want a number from 0 to 65535")
    return int(text)


def listenDescription(listen: int | str) -> str:
    """
    The Twisted endpoint description for a port number, C{"30303"}, or a description as it is.

    @raise InvalidAddress: a number that is no port.
    """
    number = portNumber(listen)
    return str(listen).strip() if number is None else f"tcp:{number}"


def isProxied(listen: int | str) -> bool:
    """Whether it is for a proxy, which says where its clients are."""
    return listenDescription(listen).startswith(_PROXIED)


def serverEndpoint(
    reactor: IReactorCore, listen: int | str, key: PrivateKey | None = None, refused: Callable[[], object] | None = None
) -> IStreamServerEndpoint:
    """
    An endpoint to listen with: one that Twisted knows, which on an IPv6 address is for IPv6 alone; C{haproxy:} and such
    a one, behind a proxy that says where its clients are; or C{onion:PORT}, with a colon and what
    L{ControlPort.parse} takes behind it.

    @param key: what the address of an onion service is made of.
    @param refused: is called for each connection that is closed since the proxy did not say.
    @raise InvalidAddress: neither a port nor an endpoint description that is known.
    """
    description = listenDescription(listen)
    if isProxied(description):
        inner = serverEndpoint(reactor, description.removeprefix(_PROXIED), key)
        return ProxyHeaderEndpoint(reactor, inner, refused or _nobody)
    if description.startswith("onion:"):
        return _onion(reactor, description, key)
    return _twisted(reactor, description)


def _nobody() -> None:
    """Whom refusals are told to when nobody asked for it."""


def _onion(reactor: IReactorCore, description: str, key: PrivateKey | None) -> IStreamServerEndpoint:
    requireTor()
    found = _ONION.fullmatch(description)
    if found is None or not 0 < int(found[1]) <= 0xFFFF or key is None:
        raise InvalidAddress(
            f"cannot listen on {description.partition(':password=')[0]!r}: want onion:PORT, or"
            " onion:PORT:control=PORT-OR-PATH of Tor's control port, and :password=PASSWORD if that wants one"
        )
    return OnionEndpoint(reactor, int(found[1]), ControlPort.parse(found[2] or ""), onion_key(key))


def _twisted(reactor: IReactorCore, description: str) -> IStreamServerEndpoint:
    from twisted.internet.endpoints import serverFromString  # takes over LISTEN_FDS, so not before it is wanted

    try:
        endpoint = inheritedEndpoint(reactor, description)
        if endpoint is None:
            endpoint = serverFromString(separateFamilies(reactor), description)
        checkAdopted(endpoint)
    except (ValueError, TypeError, LookupError, OSError, AttributeError) as error:  # each kind of endpoint has its own
        raise InvalidAddress(
            f"cannot listen on {description!r}: {error}; want a port, such as 30303, or an endpoint, such as"
            " tcp:30303:interface=127.0.0.1"
        ) from None
    return endpoint
