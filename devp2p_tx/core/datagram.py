"""
What every protocol over UDP hands out.
"""

from __future__ import annotations

from typing import NamedTuple

from devp2p_tx.core.addresses import IPAddress


class Datagram(NamedTuple):
    """Something to send; C{ip} is never an IPv4 address in IPv6 clothes."""

    data: bytes
    ip: IPAddress
    port: int


#: A datagram without names for its parts, since those take as long to make as a header takes to unmask.
Outgoing = tuple[bytes, IPAddress, int]
