"""
The other side of a connection, as capabilities are given it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from zope.interface import implementer

from devp2p_tx.core.addressing.addresses import IPAddress, parse_address, unwrap
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.p2p.capabilities import Match
from devp2p_tx.core.p2p.messages import Cap, Hello
from devp2p_tx.core.text.printable import escaped
from devp2p_tx.errors import DisconnectReason, InvalidAddress
from devp2p_tx.interfaces import ICapability, IPeer
from devp2p_tx.net.rlpx.protocol import RLPxProtocol

_SHORT_NAME = 20


def addressText(address: IAddress) -> str:
    """C{host:port} of an address with these, C{unix:path} of a UNIX socket, or what Twisted calls it."""
    if isinstance(address, UNIXAddress):
        return f"unix:{os.fsdecode(address.name or b'')}"
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None or port is None:
        return str(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def addressIP(address: IAddress) -> IPAddress | None:
    """The IP address of an address that has one, an IPv4 address in IPv6 clothes unwrapped."""
    try:
        return unwrap(parse_address(getattr(address, "host", "").partition("%")[0]))
    except InvalidAddress:
        return None


def nodeAt(key: PublicKey, address: IAddress) -> Node:
    """
    Return a node at the other end of a connection.

    @param address: the other end. Of a node that dialed us its port is that of the connection, good for display only.
    """
    ip, port = addressIP(address), getattr(address, "port", 0)
    return Node(key, ip, port if ip else 0, port if ip else 0)


@implementer(IPeer)
class RLPxPeer:
    """See L{IPeer}."""

    def __init__(
        self, transport: RLPxProtocol, node: Node, hello: Hello, matches: Sequence[Match[ICapability]], inbound: bool
    ) -> None:
        """
        @param hello: what the other side's Hello says.
        @param matches: what both sides offer.
        @param inbound: whether the other side dialed us.
        """
        self._transport = transport
        self.node = node
        self.inbound = inbound
        self.fullname = hello.client_name
        self.caps: tuple[Cap, ...] = hello.caps
        self.running = [match.capability for match in matches]
        self.localAddress = transport.localAddress
        self.remoteAddress = transport.remoteAddress

    @property
    def id(self) -> str:
        """See L{IPeer}."""
        return self.node.node_id.hex()

    @property
    def name(self) -> str:
        """See L{IPeer}."""
        return escaped(self.fullname, _SHORT_NAME)

    def runningCap(self, name: str, versions: Sequence[int]) -> bool:
        """See L{IPeer}."""
        return any(each.name == name and each.version in versions for each in self.running)

    def disconnect(self, reason: int = DisconnectReason.REQUESTED) -> None:
        """See L{IPeer}."""
        self._transport.disconnect(reason)

    def whenEnded(self) -> Deferred[BaseException]:
        """See L{IPeer}."""
        return self._transport.whenEnded()

    def __repr__(self) -> str:
        return f"<Peer {self.id[:16]} {addressText(self.remoteAddress)}>"
