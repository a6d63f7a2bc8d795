"""
How a Server is set up.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from devp2p_tx._version import __version__
from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.dnstree.entries import parse_url
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.forkid import Chain
from devp2p_tx.core.text.advertise import Advertise
from devp2p_tx.core.text.nat import NATSpecification
from devp2p_tx.interfaces import ICapability, INodeSource, IPortMapper
from devp2p_tx.net.connecting.dialvia import parseVia
from devp2p_tx.net.discovery.clock import checkTimeServer
from devp2p_tx.net.listening.adopted import datagramDescriptor
from devp2p_tx.net.listening.sockets import Listen, checkListen

DEFAULT_MAX_PEERS = 50
DEFAULT_MAX_PENDING_PEERS = 50
DEFAULT_DIAL_RATIO = 3
#: The names of the sources of nodes that a node has itself.
OWN_SOURCES = frozenset({"anchors", "seeds", "discv4", "discv5", "dns"})


def clientName(identity: str = "") -> str:
    """What our Hello calls us, as C{devp2p-tx/v0.1.0/linux-x86_64/python3.11}, with an identity in second place."""
    system = f"{platform.system().lower()}-{platform.machine().lower()}"
    python = f"{platform.python_implementation().lower()}{'.'.join(platform.python_version_tuple()[:2])}"
    parts = ["devp2p-tx", identity, f"v{__version__}", system, python.replace("cpython", "python")]
    return "/".join(part for part in parts if part)


@dataclass(frozen=True)
class ServerConfig:
    """
    @ivar key: our static key; the node's identity.
    @ivar capabilities: what we offer. Without any, every peer is kept.
    @ivar listen: where to listen: a port, which is opened in both address families, an endpoint string (see
        L{devp2p_tx.net.listening.sockets.serverEndpoint}), several of these, or C{None}. Of each address family the
        first is where others are told to find us.
    @ivar name: what our Hello calls us.
    @ivar maxPeers: how many peers there may be, trusted ones aside. With 0 nobody is dialled, and only trusted nodes
        are let in.
    @ivar maxPendingPeers: how many inbound handshakes, and how many dials, may be under way.
    @ivar dialRatio: one in so many of C{maxPeers} is a dialled peer, at least one.
    @ivar noDial: dial nobody, static nodes included.
    @ivar dialVia: the proxy to dial through (see L{devp2p_tx.net.connecting.dialvia.parseVia}); C{None} to dial
        directly. Discovery, and listening, do not go through it.
    @ivar staticNodes: dialled for ever.
    @ivar trustedNodes: let in past C{maxPeers}; at an IP address that is given here, or from where they proved their
        identity last, also past rate limits and C{maxPendingPeers}. C{netrestrict} and C{netdeny} hold. Not dialled.
    @ivar netrestrict: the only networks to speak with; C{None} for all, an empty list for none.
    @ivar netdeny: networks never to speak with; C{None} for no such network.
    @ivar lan: whether nodes that others tell of may be in any network that is used privately. By default those must be
        globally reachable, or in a network that this host itself is in.
    @ivar messageEvents: whether events tell of every message sent and received.
    @ivar discovery: whether to find other nodes, and let others find us, over UDP. The settings of a public network
        are in L{devp2p_tx.node.networks}.
    @ivar discoveryVersions: which protocols share its socket: C{v4}, C{v5}.
    @ivar discoveryPort: its UDP port; C{None} for the number of the TCP port; C{"fd:4"} for the socket that was
        opened for us as that file descriptor.
    @ivar bootnodes: nodes to begin with.
    @ivar bootnodesV5: nodes that only discovery v5 begins with, too: they need not speak any other protocol.
    @ivar dnsTrees: C{enrtree://} URLs of lists of nodes.
    @ivar chain: dial only nodes whose record says that they are of this chain; C{None} for all.
    @ivar database: path of the node database; empty to keep it in memory.
    @ivar ntpServer: host name or address of the time server that our clock is compared with, while discovery v4 runs;
        C{None} for none.
    @ivar advertise: where others are told to find us, whatever the node finds out by itself.
    @ivar nat: how other nodes get through a NAT to this one: a text (see L{NATSpecification.parse}), or a port mapper,
        which serves one Server.
    @ivar nodeSources: further sources of nodes to dial, each of which serves one Server; their nodes are chosen from as
        those of discovery are, with or without C{discovery}. A source that raises, or fails, is not asked again.
    """

    key: PrivateKey
    capabilities: Sequence[ICapability] = ()
    listen: Listen | Sequence[Listen] | None = None
    name: str = field(default_factory=clientName)
    maxPeers: int = DEFAULT_MAX_PEERS
    maxPendingPeers: int = DEFAULT_MAX_PENDING_PEERS
    dialRatio: int = DEFAULT_DIAL_RATIO
    noDial: bool = False
    dialVia: str | None = field(default=None, repr=False)  # it may have a password
    staticNodes: Sequence[Node] = ()
    trustedNodes: Sequence[Node] = ()
    netrestrict: Netlist | None = None
    netdeny: Netlist | None = None
    lan: bool = False
    messageEvents: bool = False
    discovery: bool = False
    discoveryVersions: Sequence[str] = ("v4", "v5")
    discoveryPort: int | str | None = None
    bootnodes: Sequence[Node] = ()
    bootnodesV5: Sequence[Node] = ()
    dnsTrees: Sequence[str] = ()
    chain: Chain | None = None
    database: str = ""
    ntpServer: str | None = None
    nat: str | IPortMapper = "none"
    nodeSources: Sequence[INodeSource] = ()
    advertise: Advertise | None = None

    def __post_init__(self) -> None:
        """
        @raise ValueError: a number out of range, discovery without a version, or a capability given twice.
            Or two sources of nodes have one name.
        @raise TypeError: a place to listen at is neither a port, nor a text, nor an endpoint; or C{nat}, or a source of
            nodes, does not provide its interface.
        @raise devp2p_tx.errors.InvalidNode: a tree's URL cannot be read.
        @raise devp2p_tx.errors.InvalidAddress: nor the proxy, the file descriptor, or the time server.
        @raise devp2p_tx.errors.InvalidNAT: nor C{nat}.
        """
        if self.maxPeers < 0:
            raise ValueError(f"the number of peers is 0 or more, not {self.maxPeers}")
        if self.maxPendingPeers < 1:
            raise ValueError(f"the number of pending peers is 1 or more, not {self.maxPendingPeers}")
        if self.dialRatio < 1:
            raise ValueError(f"the dial ratio is 1 or more, not {self.dialRatio}")
        if self.dialVia is not None:
            parseVia(self.dialVia)
        if isinstance(self.discoveryPort, str):
            datagramDescriptor(self.discoveryPort)
        elif self.discoveryPort is not None and not 0 <= self.discoveryPort <= 0xFFFF:
            raise ValueError(f"the discovery port is 0 to 65535, not {self.discoveryPort}")
        self._checkParts()
        self._checkVersions()
        for url in self.dnsTrees:
            parse_url(url)
        checkTimeServer(self.ntpServer)
        caps = [(each.name, each.version) for each in self.capabilities]
        if twice := sorted({cap for cap in caps if caps.count(cap) > 1}):
            raise ValueError(f"capability {twice[0][0]}/{twice[0][1]} is given twice")

    def _checkParts(self) -> None:
        """Check what may be a text or an object of somebody else's."""
        for listen in self.listens:
            checkListen(listen)
        if isinstance(self.nat, str):
            NATSpecification.parse(self.nat)
        elif not IPortMapper.providedBy(self.nat):
            raise TypeError(f"nat takes a text or an IPortMapper, not {self.nat!r}")
        if others := [each for each in self.nodeSources if not INodeSource.providedBy(each)]:
            raise TypeError(f"nodeSources takes INodeSources, not {others[0]!r}")
        names = [each.name for each in self.nodeSources]
        for name in names:
            if name in OWN_SOURCES or names.count(name) > 1:
                raise ValueError(f"nodeSources: the name {name!r} is taken by another source; give this one its own")

    def _checkVersions(self) -> None:
        if unknown := set(self.discoveryVersions) - {"v4", "v5"}:
            raise ValueError(f"discovery has the versions v4 and v5, not {sorted(unknown)[0]!r}")
        if self.discovery and not self.discoveryVersions:
            raise ValueError("discovery is on, but without a version: it has v4 and v5")

    @property
    def listens(self) -> tuple[Listen, ...]:
        """All places to listen at."""
        if self.listen is None:
            return ()
        isSeveral = isinstance(self.listen, Iterable) and not isinstance(self.listen, str)
        return tuple(self.listen) if isSeveral else (self.listen,)  # type: ignore[arg-type,return-value]

    @property
    def maxDialed(self) -> int:
        """How many peers may be dialled ones."""
        return 0 if self.noDial or not self.maxPeers else max(1, self.maxPeers // self.dialRatio)

    @property
    def maxInbound(self) -> int:
        """How many peers may have dialled us."""
        return self.maxPeers - self.maxDialed
