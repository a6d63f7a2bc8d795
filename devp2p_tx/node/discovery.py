"""
All by which a node finds others, and is found: its database, its record, discovery v4 and v5, lists in DNS, and the
line of candidates that comes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from os import urandom
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from devp2p_tx.core.addressing.addresses import IPAddress, parse_address
from devp2p_tx.core.addressing.outgoing import OutgoingBudget
from devp2p_tx.core.addressing.packetlimit import PacketRateLimiter
from devp2p_tx.core.addressing.policy import LOOPBACK_NETWORKS, AddressPolicy
from devp2p_tx.core.crypto.secp256k1 import RandomBytes
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.nodeendpoint import endpoint4, endpoint6
from devp2p_tx.core.enr.url import node_text, parse_node
from devp2p_tx.core.forkid import ForkFilter
from devp2p_tx.core.kademlia.table import SEED_COUNT, SEED_MAX_AGE
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import InvalidNode
from devp2p_tx.interfaces import INodeSource
from devp2p_tx.net.discovery.discv4 import DiscoveryV4
from devp2p_tx.net.discovery.discv5 import DiscoveryV5
from devp2p_tx.net.discovery.dnstree import DNSTrees, TextResolver
from devp2p_tx.net.discovery.kademlia import KademliaNode
from devp2p_tx.net.discovery.udp import DatagramEdge
from devp2p_tx.net.hostaddresses import networksOf
from devp2p_tx.net.listening.adopted import datagramDescriptor
from devp2p_tx.net.listening.families import ANYWHERE
from devp2p_tx.net.log import Logger
from devp2p_tx.net.names.hostnames import HostNames
from devp2p_tx.node.advertising import Advertising, Bound
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.connector import PROTOCOL
from devp2p_tx.node.forks import ForkTally
from devp2p_tx.node.listeners import Listening
from devp2p_tx.node.opening import CannotOpen
from devp2p_tx.node.record import OurRecord
from devp2p_tx.node.sources import Candidates, FilteredSource, ListSource, PluggedSource, forkFilter
from devp2p_tx.node.stopping import Part, stopParts
from devp2p_tx.storage.memory import EXPIRATION_INTERVAL, MemoryNodeStore
from devp2p_tx.storage.sqlite import open_node_store

#: How often changes of the database are written, and how soon the rest of a long list of them (seconds).
FLUSH_INTERVAL, FLUSH_REST_INTERVAL = 5.0, 0.1
#: How often it is looked which networks we are in (seconds).
HOME_INTERVAL = 60.0
#: How long discovery may take to stop, and its sockets to be closed (seconds).
CLOSE_TIMEOUT = 1.0
#: How many peers that were good before a restart are tried first.
MAX_ANCHORS = 8

_LOOPBACK: dict[int, IPAddress] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}
_ANY_IPV4 = parse_address(ANYWHERE[4])

_log = Logger()


@implementer(INodeSource)
class RandomWalkSource:
    """The random walk of discovery v4 or v5 as a source."""

    def __init__(self, discovery: KademliaNode) -> None:
        self.name: str = discovery.name
        self._walk = discovery.randomNodes()

    def next(self) -> Deferred[Node]:
        """See L{INodeSource}."""
        return self._walk.next()

    def stop(self) -> None:
        """See L{INodeSource}; it ends when discovery does."""


class Discovery:
    """
    From L{start} to L{stop}, once.

    @ivar discv4: discovery v4, if it is on, while it runs.
    @ivar discv5: discovery v5, likewise.
    @ivar forks: the fork ids of the nodes that were found.
    @ivar record: our record.
    """

    def __init__(
        self,
        config: ServerConfig,
        reactor: Any,
        seconds: Callable[[], float],
        unixTime: Callable[[], float],
        random: Random,
        metrics: Metrics,
        resolver: Callable[[], TextResolver],
        recordChanged: Callable[[], object],
        policy: AddressPolicy,
        names: HostNames,
        randomBytes: RandomBytes = urandom,
    ) -> None:
        """
        @param resolver: makes what looks up lists in DNS.
        @param recordChanged: is called when our record is signed anew.
        @param policy: which addresses may be contacted; it is told which networks we are in.
        @param names: what looks up host names.
        """
        self.discv4: DiscoveryV4 | None = None
        self.discv5: DiscoveryV5 | None = None
        self._edge: DatagramEdge | None = None
        self._limiter = PacketRateLimiter()
        self._randomBytes = randomBytes
        self._config = config
        self._reactor = reactor
        self._seconds, self._unixTime = seconds, unixTime
        self._random = random
        self._metrics = metrics
        self._policy, self._names = policy, names
        self.forks = ForkTally(config.chain, metrics)
        self._resolver = resolver
        self._trees: DNSTrees | None = None
        self._candidates: Candidates | None = None
        self._alarms: list[IDelayedCall] = []
        self._bound: dict[int, Bound] = {}
        self._isLocal = False  # only other programs of this host can reach us, so nobody else tells us of them
        self.record = OurRecord(config.key, config.capabilities, unixTime, lambda: self._store, policy, recordChanged)
        self._advertising = Advertising(config.advertise, reactor, names, policy, self.self)

    @cached_property
    def _store(self) -> MemoryNodeStore:
        """The database, opened when it is first needed: a lock that we had would not survive becoming a daemon."""
        return open_node_store(self._config.database, lambda: int(self._unixTime()), self._warn)

    @property
    def local(self) -> LocalRecord:
        """The entries of our record."""
        return self.record.local

    def mapped(self, source: str, ip: IPAddress | None, tcp: int | None, udp: int | None) -> str:
        """See L{Advertising.mapped}."""
        return self._advertising.mapped(source, ip, tcp, udp)

    def _warn(self, sentence: str) -> None:
        _log.warn("{sentence}", sentence=sentence)

    def self(self) -> Node:
        """Ourselves, with our record; if that has no address, at the one by which this host means itself."""
        record = self.record.current()
        node = Node.from_record(record)
        if node.ip is not None:
            return node
        version = min(self._bound, default=4)
        ports = endpoint4(record) if version == 4 else endpoint6(record)
        return replace(node, ip=_LOOPBACK[version], tcp=ports.tcp, udp=ports.udp)

    # Start and stop.

    @property
    def sockets(self) -> tuple[tuple[IPAddress, int] | None, tuple[IPAddress, int] | None]:
        """Where RLPx and discovery listen over IPv4, which is where a NAT is; each C{None} if it does not."""
        bound = self._bound.get(4)
        if bound is None:
            return None, None
        return (bound.ip, bound.tcp) if bound.tcp else None, (bound.ip, bound.udp) if bound.udp else None

    def open(
        self, listening: Iterable[Listening], versions: Callable[[], Iterable[int]], isLocal: bool = False
    ) -> None:
        """
        Open the UDP sockets, if discovery is on.

        @param listening: where RLPx listens: discovery does there, too, and at the same ports unless the configuration
            says another; of each address family at the first that is not for a proxy, if there is one.
        @param versions: the address families that this host has, for a node that does not listen.
        @param isLocal: whether nobody outside of this host can connect to RLPx.
        @raise CannotListenError: a port is taken.
        @raise InvalidAddress: the socket that the configuration says was opened for us is none.
        """
        places: dict[int, Listening] = {}
        for each in sorted(listening, key=lambda each: each.isProxied):
            places.setdefault(each.ip.version, each)
        self._isLocal = isLocal
        self._bound = {version: Bound(each.ip, _dialled(each), 0) for version, each in places.items()}
        self._lookAround()
        if self._config.discovery:
            anywhere = (_anywhere(version) for version in (() if places else versions()))
            self._open(places or {each.ip.version: each for each in anywhere})

    def start(self) -> None:
        """Begin, with the sockets that L{open} opened."""
        self._later(FLUSH_INTERVAL, self._flush)
        self._later(EXPIRATION_INTERVAL, self._expire)
        local = self.local  # whose entries say when they change
        self._later(self.record.untilNext, self._refreshRecord)
        self._advertising.start(local, self._bound)
        if not self._config.discovery:
            return
        if self._config.dialVia is not None:
            self._warn(
                "dials go through a proxy, but discovery does not, and shows others our address: --discovery none"
            )
        shared: dict[str, Any] = {
            "policy": self._policy,
            "outgoing": OutgoingBudget.udp(),
            "limiter": self._limiter,
            "names": self._names,
            "seconds": self._seconds,
            "unixTime": self._unixTime,
            "random": self._random,
            "metrics": self._metrics,
        }
        if "v4" in self._config.discoveryVersions:
            shared4 = {**shared, "bootnodes": self._bootnodes("v4"), "ntpServer": self._config.ntpServer}
            self.discv4 = DiscoveryV4(self.local, self._reactor, self._store, **shared4)
        if "v5" in self._config.discoveryVersions:
            ntpServer = self._config.ntpServer if self.discv4 is None else None
            shared5 = {**shared, "bootnodes": self._bootnodes("v5"), "randomBytes": self._randomBytes}
            shared5["ntpServer"] = ntpServer
            self.discv5 = DiscoveryV5(self.local, self._reactor, self._store, **shared5)
        for protocol in self.protocols:
            protocol.start(edge=self._edge)

    def setBootnodes(self, nodes: Sequence[Node]) -> None:
        """Begin with these nodes from now on, and ask those that are new at once."""
        self._config = replace(self._config, bootnodes=nodes, bootnodesV5=())
        for protocol in self.protocols:
            protocol.setBootnodes(nodes)

    def _bootnodes(self, version: str) -> list[Node]:
        """Whom a version of discovery begins with."""
        return [*self._config.bootnodes, *(self._config.bootnodesV5 if version == "v5" else ())]

    @property
    def protocols(self) -> list[KademliaNode]:
        """The versions of discovery that run."""
        return [each for each in (self.discv4, self.discv5) if each is not None]

    def _open(self, places: Mapping[int, Listening]) -> None:
        edge = self._edge = DatagramEdge(self._reactor, self._seconds, self._unixTime, self._metrics, self._limiter)
        if isinstance(self._config.discoveryPort, str):
            edge.adopt(datagramDescriptor(self._config.discoveryPort))
        else:
            for _, place in sorted(places.items()):
                self._openFamily(edge, place, self._config.discoveryPort)
        for version in edge.versions:
            bound = edge.socketOf(version)
            place = places.get(version, _anywhere(version))
            assert bound is not None
            self._bound[version] = Bound(place.ip, _dialled(place), bound.number)

    def _openFamily(self, edge: DatagramEdge, place: Listening, wanted: int | None) -> None:
        interface = "" if place.ip == _ANY_IPV4 else str(place.ip)
        number = (place.port if wanted is None else wanted) or edge.port
        isAnyPort = place.isAnyPort if wanted is None else not wanted
        try:
            edge.listen(number, interface)
        except CannotListenError as error:
            if not (number and isAnyPort):
                raise CannotOpen(error, "UDP") from None
            edge.listen(0, interface)  # the TCP port was any that is free, so the UDP port need not be the same

    async def stop(self) -> None:
        """Close the sockets, and write the database; what fails is logged, and keeps nothing else from being closed."""
        for alarm in self._alarms:
            if alarm.active():
                alarm.cancel()
        running, self.discv4, self.discv5 = self.protocols, None, None
        parts: list[Part] = [(protocol.name, protocol.stop) for protocol in running]
        await stopParts(self._reactor, [("the addresses in our record", self._advertising.stop), *parts], CLOSE_TIMEOUT)
        sockets: list[Part] = [] if self._edge is None else [("the UDP sockets", self._edge.close)]
        await stopParts(self._reactor, [*sockets, ("the node database", self._closeStore)], CLOSE_TIMEOUT)

    def _closeStore(self) -> None:
        self._store.close()

    def _lookAround(self) -> None:
        """Where we are, which changes when somebody carries us elsewhere."""
        places = [str(bound.ip) for bound in self._bound.values()] or [""]
        networks = [network for place in places for network in networksOf(self._reactor, place)]
        self._policy.set_home(each for each in networks if self._isLocal or not each.is_loopback)
        self._later(HOME_INTERVAL, self._lookAround)

    def _refreshRecord(self) -> None:
        self.record.refreshByItself()
        self._later(self.record.untilNext, self._refreshRecord)

    # The database.

    def _later(self, delay: float, task: Callable[[], None]) -> None:
        self._alarms = [alarm for alarm in self._alarms if alarm.active()]
        self._alarms.append(self._reactor.callLater(delay, task))

    def _flush(self) -> None:
        left = self._store.flush()
        self._later(FLUSH_REST_INTERVAL if left else FLUSH_INTERVAL, self._flush)

    def _expire(self) -> None:
        self._store.expire(int(self._unixTime()))
        self._later(EXPIRATION_INTERVAL, self._expire)

    @property
    def bootnodes(self) -> list[Node]:
        """The nodes that discovery begins with, in all versions that are on."""
        return self._bootnodes("v4" if self.discv5 is None else "v5")

    @property
    def answering(self) -> int:
        """How many nodes in the tables answer over UDP."""
        buckets = [bucket for protocol in self.protocols for bucket in protocol.table.view()]
        return sum(entry.live for bucket in buckets for entry in bucket.entries)

    # What the dialer wants.

    def candidates(self, slots: int) -> Candidates | None:
        """
        The line of candidates; C{None} if there is no source of them.

        @param slots: how many dialled peers there may be.
        """
        if not self._config.discovery and not self._config.nodeSources:
            return None
        anchors = self._nodes(self._store.good_peers(min(MAX_ANCHORS, slots)))
        sources = self._sources()
        self._candidates = Candidates(anchors, sources, self._reactor, self._seconds, self._metrics, slots)
        return self._candidates

    def failing(self) -> dict[str, str]:
        """The sources of nodes that fail wholly, each with the last reason."""
        found = {f"{each.name} bootnodes": each.bootnodes.trouble for each in self.protocols}
        if self._trees is not None:
            found[self._trees.name] = self._trees.trouble
        found |= {} if self._candidates is None else self._candidates.ended
        return {source: trouble for source, trouble in found.items() if trouble is not None}

    def _sources(self) -> list[INodeSource]:
        own = self._ownSources() if self._config.discovery else []
        others = [PluggedSource(each, self._reactor) for each in self._config.nodeSources]
        return [self._filtered(each) for each in [*own, *others]]

    def _ownSources(self) -> list[INodeSource]:
        sources: list[INodeSource] = []
        seeds = self._store.seeds(SEED_COUNT, SEED_MAX_AGE, int(self._unixTime()), self._random)
        if seeds:
            sources.append(ListSource("seeds", self._nodes(seeds)))
        sources += [RandomWalkSource(protocol) for protocol in self.protocols]
        if self._config.dnsTrees:
            self._trees = DNSTrees(
                self._config.dnsTrees,
                self._reactor,
                self._seconds,
                self._random,
                self._resolver,
                self._mayBeListed,
                self._metrics,
            )
            sources.append(self._trees)
        return sources

    def _mayBeListed(self, ip: IPAddress) -> bool:
        """Whether a list may name an address; what else speaks against it is found when it is to be dialed."""
        return ip not in LOOPBACK_NETWORKS or self._policy.admits_named(ip, PROTOCOL)

    def _filtered(self, source: INodeSource) -> INodeSource:
        """Only nodes of our chain, if there is one; to dial only: routing is everybody's."""
        if self._config.chain is None:
            return source
        return FilteredSource(source, self._fetch, forkFilter(ForkFilter(self._config.chain), self.forks))

    def _fetch(self, node: Node) -> Deferred[Node]:
        if node.record is not None or not self.protocols:
            return succeed(node)
        return self.protocols[0].requestENR(node)

    def _nodes(self, texts: Iterable[str]) -> list[Node]:
        """Nodes as the database has them; what cannot be read any more is left out."""
        nodes = []
        for text in texts:
            try:
                nodes.append(parse_node(text))
            except InvalidNode:
                continue
        return nodes

    @property
    def resolve(self) -> Callable[[Node], Deferred[Node]] | None:
        """Searches for where a node is; C{None} if nobody can be asked."""
        return self.protocols[0].resolve if self.protocols else None

    def info(self) -> dict[str, Any]:
        """What each version that runs knows, for C{nodeInfo()}."""
        tables = {protocol.name: {"nodes": len(protocol.table)} for protocol in self.protocols}
        if self.discv5 is not None:
            tables[self.discv5.name]["sessions"] = self.discv5.sessions
        return tables

    def succeeded(self, node: Node) -> None:
        """See L{devp2p_tx.node.dialer.DialMemory}."""
        self._store.dial_succeeded(node.node_id, node_text(node), int(self._unixTime()))

    def failed(self, node: Node) -> None:
        """See L{devp2p_tx.node.dialer.DialMemory}."""
        self._store.dial_failed(node.node_id, int(self._unixTime()))


def _anywhere(version: int) -> Listening:
    """Where a node that does not listen opens its UDP sockets."""
    return Listening(parse_address(ANYWHERE[version]), 0, True)


def _dialled(place: Listening) -> int:
    """The port that others can dial: none where a proxy is awaited, whose own port is not known."""
    return 0 if place.isProxied else place.port
