"""
Sockets that somebody else, such as systemd, opened for us.
"""

from __future__ import annotations

import os
import re
from socket import SOCK_DGRAM, SOCK_STREAM, AddressFamily
from socket import socket as Socket
from typing import Any

from devp2p_tx.errors import InvalidAddress

_DESCRIPTOR = re.compile(r"fd:([0-9]{1,9})")


def checkAdopted(endpoint: Any) -> None:
    """
    Compare a socket that was opened for us with what the user says of it: Twisted would fail at the first connection.

    @raise ValueError: they differ.
    """
    from twisted.internet.endpoints import AdoptedStreamServerEndpoint

    if isinstance(endpoint, AdoptedStreamServerEndpoint):
        family, kind, _ = _describe(endpoint.fileno)
        if kind != SOCK_STREAM:
            raise ValueError("that socket is none for TCP")
        if family != endpoint.addressFamily:
            raise ValueError(f"that socket is of the domain {family.name.removeprefix('AF_')}")


def _describe(descriptor: int) -> tuple[AddressFamily, int, Any]:
    """
    The family, the kind and the address of an open socket.

    @raise OSError: it is none.
    """
    with Socket(fileno=os.dup(descriptor)) as opened:
        return AddressFamily(opened.family), opened.type, opened.getsockname()


def datagramDescriptor(text: str) -> int:
    """
    The file descriptor of C{fd:4}.

    @raise InvalidAddress: that is not what is written.
    """
    found = _DESCRIPTOR.fullmatch(text)
    if found is None:
        raise InvalidAddress(f"the discovery port is a number from 0 to 65535, or fd:NUMBER, not {text!r}")
    return int(found[1])


def datagramSocket(descriptor: int) -> tuple[AddressFamily, str]:
    """
    The family and the local address of a UDP socket that was opened for us.

    @raise InvalidAddress: there is none.
    """
    try:
        family, kind, address = _describe(descriptor)
    except OSError as error:
        raise InvalidAddress(f"fd:{descriptor} is no socket: {error.strerror}") from None
    if kind != SOCK_DGRAM or family not in (AddressFamily.AF_INET, AddressFamily.AF_INET6):
        raise InvalidAddress(f"fd:{descriptor} is no UDP socket")
    return family, address[0]
