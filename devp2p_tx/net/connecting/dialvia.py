"""
What a user writes after C{--dial-via}, as something that reaches others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from twisted.internet.interfaces import IStreamClientEndpoint

from devp2p_tx.errors import InvalidAddress
from devp2p_tx.net.proxy.socks5 import Socks5Endpoint
from devp2p_tx.net.proxy.tor import ControlPort, TorEndpoint, requireTor

#: Makes an endpoint that reaches a host, an address or a name, and a port, for a reactor.
Via = Callable[[Any, str, int], IStreamClientEndpoint]

#: How long a TCP connection may take, to a node or to the proxy (seconds).
CONNECT_TIMEOUT = 15

_WANTED = "want socks5:host:port, socks5:user:password@host:port, tor:control=PORT-OR-PATH or tor:"


def parseVia(text: str) -> Via:
    """
    A proxy from what a user wrote: C{socks5:host:port}, with C{user:password@} before the host if it wants them, in
    which C{%3A} and the like stand for what has a meaning; C{tor:}, with what L{ControlPort.parse} takes behind it.

    @raise InvalidAddress: it is none of these, or txtorcon is needed and not there. The sentence repeats no password.
    """
    kind, colon, rest = text.partition(":")
    if kind == "socks5" and colon:
        return _socks5(rest)
    if kind == "tor" and colon:
        return _tor(rest)
    raise InvalidAddress(f"no way to dial by {kind!r}: {_WANTED}")


def _socks5(rest: str) -> Via:
    try:
        url = urlsplit(f"//{rest}")
        host, port = url.hostname, url.port
    except ValueError:
        host = port = None
    if not host or not port or url.path or url.query or url.fragment:
        raise InvalidAddress(f"that is no SOCKS5 proxy: {_WANTED}")
    username, password = unquote(url.username or ""), unquote(url.password or "")
    if bool(username) != bool(password):
        raise InvalidAddress(f"a SOCKS5 proxy has a user name and a password, or neither: {_WANTED}")
    name, number = host, port

    def via(reactor: Any, host: str, port: int) -> IStreamClientEndpoint:
        from twisted.internet.endpoints import HostnameEndpoint  # takes over LISTEN_FDS, so not before it is wanted

        proxy = HostnameEndpoint(reactor, name, number, timeout=CONNECT_TIMEOUT)
        return Socks5Endpoint(reactor, proxy, host, port, username, password)

    return via


def _tor(control: str) -> Via:
    requireTor()
    parsed = ControlPort.parse(control)
    return lambda reactor, host, port: TorEndpoint(reactor, parsed, host, port)
