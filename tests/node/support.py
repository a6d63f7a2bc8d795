"""
What the tests of the Server share: nodes on a network in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.interfaces import ICapability
from devp2p_tx.net.rlpx.protocol import DISCONNECT_TIMEOUT
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.events import PeerEvent
from devp2p_tx.node.nat import PortMapping
from devp2p_tx.node.server import Server
from devp2p_tx.testing import EchoCapability, MemoryHost, MemoryNetwork, ScriptedPeer, Stage

PORT = 30303
#: What the servers' clocks show at the start of a test (unix time).
START = 1_800_000_000
#: Long enough for everything but timeouts.
MOMENT = 0.5


def keyOf(number: int) -> PrivateKey:
    """The key of node C{number}."""
    return PrivateKey(number.to_bytes(32, "big"))


def addressOf(number: int) -> str:
    """Where node C{number} is, in a local network, whose addresses are not throttled."""
    return f"10.0.0.{number}"


def node(number: int, **changes: Any) -> Node:
    """How node C{number} is reached."""
    fields = {"ip": ip_address(addressOf(number)), "tcp": PORT, "udp": PORT, **changes}
    return Node(keyOf(number).public_key, **fields)


class ServerTestCase(SynchronousTestCase):
    """
    A network of nodes, which are known by number. When a test is over all its servers are stopped, and nothing may be
    left of them.

    @ivar network: the network.
    @ivar servers: the servers, by number.
    @ivar events: what each told its subscribers.
    """

    #: The delay between any two nodes, one way (seconds).
    latency = 0.0

    def setUp(self) -> None:
        self.network = MemoryNetwork(latency=self.latency)
        self.servers: dict[int, Server] = {}
        self.events: dict[int, list[PeerEvent]] = {}
        self.addCleanup(self._stopAll)

    def _stopAll(self) -> None:
        stopping = [server.stopService() for server in self.servers.values()]
        self.network.advance(DISCONNECT_TIMEOUT + 4 * self.latency)
        for each in stopping:
            self.successResultOf(each)
        for number in self.servers:
            self.assertEqual(self.host(number).getDelayedCalls(), [], f"node {number} left something behind")
        servers = {self.host(number) for number in self.servers}
        self.assertEqual([each for each in self.network.connections if each.reactor in servers], [])

    def host(self, number: int) -> MemoryHost:
        """The host of a node."""
        return self.network.host(addressOf(number))

    def make(self, number: int, mapping: Callable[..., Any] = PortMapping, **config: Any) -> Server:
        """
        A server that is not started.

        @param mapping: makes its way through a NAT.
        @param config: of L{ServerConfig}; by default it listens on L{PORT} and speaks C{echo/1}.
        """
        config = {"capabilities": [EchoCapability()], "listen": PORT, "name": f"node {number}", **config}
        server = Server(
            ServerConfig(keyOf(number), **config),
            reactor=self.host(number),
            randomBytes=self.network.random.randbytes,
            random=Random(number),
            unixTime=lambda: START + self.network.clock.seconds(),
            nat=mapping,
        )
        self.servers[number] = server
        self.events[number] = []
        server.subscribeEvents(self.events[number].append)
        return server

    def start(self, number: int, **config: Any) -> Server:
        """A server that runs; see L{make}."""
        server = self.make(number, **config)
        self.successResultOf(server.startService())
        self.moment()
        return server

    def moment(self, seconds: float = MOMENT) -> None:
        """Let all happen that needs no patience."""
        self.network.advance(seconds)

    def call(
        self, number: int, server: int, does: Stage = Stage.HELLO, caps: Sequence[Cap] = (Cap("echo", 1),)
    ) -> ScriptedPeer:
        """Node C{number}, which obeys the test, calls a server."""
        peer = self.scripted(number, does, caps, keyOf(server))
        peer.connect(self.host(number), addressOf(server), PORT)
        self.moment()
        return peer

    def scripted(
        self,
        number: int,
        does: Stage = Stage.HELLO,
        caps: Sequence[Cap] = (Cap("echo", 1),),
        remote: PrivateKey | None = None,
    ) -> ScriptedPeer:
        """Node C{number}, which obeys the test."""
        return ScriptedPeer(
            None if remote is None else remote.public_key, does, tuple(caps), keyOf(number), Random(number).randbytes
        )

    def answer(self, number: int, does: Stage = Stage.HELLO, caps: Sequence[Cap] = (Cap("echo", 1),)) -> ScriptedPeer:
        """Node C{number}, which obeys the test, waits for one call."""
        peer = self.scripted(number, does, caps)
        peer.listen(self.host(number), PORT)
        return peer

    def numbers(self, server: int) -> list[int]:
        """Who its peers are."""
        byId = {node(number).node_id.hex(): number for number in range(1, 100)}
        return sorted(byId[peer.id] for peer in self.servers[server].peers())

    def kinds(self, server: int) -> list[str]:
        """What happened to its peers, in order."""
        return [event.type.value for event in self.events[server]]

    def echo(self, server: int) -> EchoCapability:
        """Its first capability."""
        capability: ICapability = self.servers[server].config.capabilities[0]
        assert isinstance(capability, EchoCapability)
        return capability
