"""
What a user writes after C{--listen}, as something to listen with.
"""

from __future__ import annotations

import re

from twisted.internet.interfaces import IReactorCore, IStreamServerEndpoint

from devp2p_tx.errors import InvalidAddress
from devp2p_tx.net.families import separateFamilies


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


def serverEndpoint(reactor: IReactorCore, listen: int | str) -> IStreamServerEndpoint:
    """
    An endpoint to listen with; on an IPv6 address it is for IPv6 alone.

    @raise InvalidAddress: neither a port nor an endpoint description that Twisted knows.
    """
    from twisted.internet.endpoints import serverFromString  # takes over LISTEN_FDS, so not before it is wanted

    description = listenDescription(listen)
    try:
        endpoint: IStreamServerEndpoint = serverFromString(separateFamilies(reactor), description)
    except (ValueError, TypeError, LookupError, OSError) as error:  # each kind of endpoint has its own
        raise InvalidAddress(
            f"cannot listen on {description!r}: {error}; want a port, such as 30303, or an endpoint, such as"
            " tcp:30303:interface=127.0.0.1"
        ) from None
    return endpoint
