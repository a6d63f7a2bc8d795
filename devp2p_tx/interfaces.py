"""
Where others plug in.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv6Interface
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConsumer
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.enr.entries import Entry
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.nat.ports import Mapping
from devp2p_tx.core.p2p.messages import Cap


class ICapability(Interface):
    """
    A capability that a node offers: the factory of the protocols that speak it, one for each peer.

    L{devp2p_tx.Capability} and L{devp2p_tx.CoroutineCapability} are ready-made providers.
    """

    name: str = Attribute("At most 8 ASCII characters, such as C{eth}.")
    version: int = Attribute("The version, such as 68; several versions of a name are several capabilities.")
    length: int = Attribute("How many message codes it has; both sides must agree.")

    def buildProtocol(peer: IPeer) -> ICapabilityProtocol:
        """
        Make the protocol for one peer.

        @param peer: the other side: of a L{devp2p_tx.Server} a L{devp2p_tx.Peer}, which has more than that.
        """

    def recordEntries() -> Sequence[tuple[Entry[Any], Any]]:
        """
        What our node record announces for this capability, such as C{(devp2p_tx.core.enr.entries.ETH, forkId)}.

        It is asked at the start, every minute, at the time of the next fork that an C{eth} entry names, and by
        C{Server.refreshRecord()}; the record is signed again if the answer has changed.
        """

    def nodeInfo() -> object:
        """What C{Server.nodeInfo()} shows of this capability, as JSON-able data; C{None} for nothing."""

    def peerInfo(peerId: str) -> object:
        """What C{Server.peersInfo()} shows of a peer, as JSON-able data; C{None} while there is nothing to show."""


class IPeer(Interface):
    """
    The other side of a connection, as each capability is given it: by a L{devp2p_tx.Server}, by a
    L{devp2p_tx.RLPxFactory}, and in tests by L{devp2p_tx.testing.connectedPair}.
    """

    node: Node = Attribute("The node. Of one that dialed us the port is that of its connection.")
    id: str = Attribute("The node id, 64 hex digits.")
    fullname: str = Attribute("What the Hello calls the client: text of a stranger.")
    name: str = Attribute("The first 20 characters of C{fullname}, with C{...} where there are more.")
    caps: Sequence[Cap] = Attribute("The capabilities that the Hello offers, in its order.")
    running: Sequence[ICapability] = Attribute("The capabilities that both sides speak.")
    inbound: bool = Attribute("Whether the other side dialed us.")
    localAddress: IAddress = Attribute("Our end of the connection.")
    remoteAddress: IAddress = Attribute("The other end of the connection.")

    def runningCap(name: str, versions: Sequence[int]) -> bool:
        """Return whether one of these versions of a capability is spoken."""

    def disconnect(reason: int = 0) -> None:
        """
        Send what is queued and then a Disconnect, and close; does nothing to a peer that is gone.

        @param reason: one of L{devp2p_tx.DisconnectReason}.
        """

    def whenEnded() -> Deferred[BaseException]:
        """Fires with why the peer is gone (see L{ICapabilityProtocol.connectionLost}); never fails."""


class ICapabilityProtocol(Interface):
    """
    One capability of one peer; it looks like a Twisted protocol.

    An exception from any of these methods ends the peer with "subprotocol error", and nothing else.
    """

    def makeConnection(transport: ICapabilityTransport) -> None:
        """The peer is there; messages can be sent."""

    def messageReceived(code: int, payload: bytes) -> None:
        """
        A message came.

        @param code: in C{range(length)}.
        @param payload: up to 2**24 - 1 bytes, expanded.
        """

    def connectionLost(reason: Failure) -> None:
        """
        The peer is gone: the last call.

        @param reason: L{devp2p_tx.errors.PeerDisconnected}, another L{devp2p_tx.errors.DevP2PError}, or Twisted's
            C{ConnectionDone} and C{ConnectionLost}.
        """


class ICapabilityTransport(IConsumer, Interface):  # the latter for pydoctor, which does not look into Twisted
    """
    What a capability's protocol sends through, and with which it takes part in flow control.

    C{registerProducer} takes push and pull producers as a TCP transport does.
    """

    def sendMessage(code: int, payload: bytes) -> None:
        """
        Send one message; it leaves at the end of this turn of the reactor, or when the peer reads.

        It never waits: while the peer does not read, messages queue. Past 32 MiB the connection ends with
        L{SendBufferFull<devp2p_tx.errors.SendBufferFull>}, and the peer is told "subprotocol error". So a protocol that
        answers a peer, or sends much, heeds back-pressure: it registers a producer, or, where each message received
        makes one to be sent, calls L{pauseProducing} until L{whenWritable} fires.

        @param code: in C{range(length)}.
        @param payload: what has a buffer; its bytes are taken at once. Up to 14,380,434 bytes whatever they are; up to
            16,777,215 bytes (2**24 - 1) if what snappy makes of them fits into a frame of that size.
        @raise LocalProtocolError: another code, or too large. Nothing was sent, and the connection goes on.
        @raise TypeError: C{payload} has no buffer.
        """

    def whenWritable() -> Deferred[None]:
        """Fires when more can be sent without much to wait for; fails with the reason when the peer is gone."""

    def pauseProducing() -> None:
        """Take no more messages: the peer's socket is not read until L{resumeProducing}."""

    def resumeProducing() -> None:
        """Take messages again."""

    def loseConnection(reason: int = 0) -> None:
        """Send what is queued, then a Disconnect with C{reason}, and close."""

    def getPeer() -> IAddress:
        """The peer's address."""

    def getHost() -> IAddress:
        """Our address."""


class IInterfaces(Interface):
    """A reactor that says itself which network interfaces it has, such as one of a pretended network."""

    def interfaces() -> Sequence[IPv4Interface | IPv6Interface]:
        """Its addresses, each with the prefix of the network that it is in."""


class INodeSource(Interface):
    """Where candidates for dialling come from."""

    name: str = Attribute("What its candidates are counted under.")

    def next() -> Deferred[Node]:
        """
        Fires with the next node; fails when there will be none any more. Only one call waits at a time, and there are
        at most 100 calls a second, so a source may repeat its nodes for ever.
        """

    def stop() -> None:
        """The node stops: let go of everything."""


class IPortMapper(Interface):
    """
    A way through a NAT, such as a router that was found; it may be asked several things at once.

    What it returns fails with L{devp2p_tx.errors.PortMappingError}, within a bounded time. Cancelling it lets go of
    everything at once; what was asked of the router may have happened all the same.
    """

    mechanism: str = Attribute("How it is called in counters, such as C{upnp}.")
    name: str = Attribute("How it is called in logs, such as C{UPnP (IGDv2-IP2) at 192.168.1.1}.")
    mapsPorts: bool = Attribute("Whether it maps; if not, it only tells our outer address.")

    def externalIP() -> Deferred[IPAddress]:
        """Our outer address; some know it only once a port is mapped."""

    def addMapping(wanted: Mapping) -> Deferred[Mapping]:
        """
        Map a port, or renew the mapping.

        @return: fires with what was granted: another external port, or a shorter life, than was wished for, maybe.
        """

    def deleteMapping(mapping: Mapping) -> Deferred[None]:
        """Undo it, unless it is somebody else's by now."""

    def hasMapping(mapping: Mapping) -> Deferred[bool]:
        """Whether the router still has it, as far as it tells; asked right after L{externalIP}."""


class NodeStore(Protocol):
    """
    A node database: what both versions of discovery keep of other nodes. L{devp2p_tx.storage.memory.MemoryNodeStore}
    is one. Its names are in snake_case, as those of storage are.

    Times are unix seconds, 0 for never. A node is kept as text, C{enr:} or C{enode://}; an endpoint is a node's id (32
    bytes) and an address. What has C{v5} is kept for discovery v5 apart from v4.
    """

    def put_node(self, node_id: bytes, text: str, ip: IPAddress | None) -> None: ...

    def node(self, node_id: bytes) -> str | None: ...

    def seeds(self, count: int, max_age: int, now: int, rng: Random) -> list[str]: ...

    def last_ping(self, node_id: bytes, ip: IPAddress) -> int: ...

    def last_pong(self, node_id: bytes, ip: IPAddress) -> int: ...

    def ping_received(self, node_id: bytes, ip: IPAddress, now: int) -> None: ...

    def pong_received(self, node_id: bytes, ip: IPAddress, now: int, *, v5: bool = False) -> None: ...

    def findnode_failed(self, node_id: bytes, ip: IPAddress, *, v5: bool = False) -> int: ...

    def findnode_succeeded(self, node_id: bytes, ip: IPAddress, *, v5: bool = False) -> None: ...

    def findnode_failures(self, node_id: bytes, ip: IPAddress) -> int: ...
