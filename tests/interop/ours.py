"""
Our own end: a L{Server} that tells what happens to it in the words of the foreign peers, and a bare connection.
"""

from __future__ import annotations

from hashlib import sha256
from os import urandom
from random import Random
from typing import Any
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.enr.url import format_node, parse_node
from devp2p_tx.core.p2p.messages import Cap, Hello
from devp2p_tx.errors import PeerDisconnected
from devp2p_tx.net.connecting.nodes import connect
from devp2p_tx.net.rlpx.capability import Capability, CapabilityProtocol
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.events import PeerEvent, PeerEventType
from devp2p_tx.node.peer import Conn, ConnectionFlags, Peer
from devp2p_tx.node.server import Server, Stage
from devp2p_tx.testing.capabilities import REPLY, REQUEST
from tests.interop.journal import Event, Journal

LOOPBACK = "tcp:0:interface=127.0.0.1"
NAME = "devp2p-tx/interop/1.0"


def randomPayload(size: int, seed: int) -> bytes:
    """Bytes that cannot be compressed."""
    return Random(seed).randbytes(size)


def hexId(key: PublicKey | bytes) -> str:
    """An identity as the foreign peers write it: the public key, 128 hex digits."""
    return (key if isinstance(key, bytes) else key.to_bytes()).hex()


def _end(error: BaseException) -> dict[str, Any]:
    """How a connection ended: the reason that was given, and by whom; C{None} if none was."""
    if isinstance(error, PeerDisconnected):
        return {"reason": int(error.reason), "remote": error.remote}
    return {"reason": None, "error": type(error).__name__}


class _Echo(CapabilityProtocol):
    """Answers requests, and tells of all it receives."""

    def __init__(self, label: str, journal: Journal, peer: Peer, spoken: dict[str, _Echo]) -> None:
        self._label, self._journal, self._spoken = label, journal, spoken
        self._id = hexId(peer.node.public_key)

    def connectionMade(self) -> None:
        self._spoken[self._id] = self

    def connectionLost(self, reason: Failure) -> None:
        del self._spoken[self._id]

    def messageReceived(self, code: int, payload: bytes) -> None:
        event = {REQUEST: "request", REPLY: "reply"}[code]
        self._journal.record(event, id=self._id, cap=self._label, size=len(payload), sha256=sha256(payload).hexdigest())
        if code == REQUEST:
            self.transport.sendMessage(REPLY, payload)


class _EchoCapability(Capability):
    def __init__(self, text: str, journal: Journal) -> None:
        name, version, length = text.split("/")
        super().__init__(name, int(version), int(length))
        self.spoken: dict[str, _Echo] = {}
        self._journal = journal

    def buildProtocol(self, peer: object) -> _Echo:
        assert isinstance(peer, Peer)
        return _Echo(f"{self.name}/{self.version}", self._journal, peer, self.spoken)


class _WatchedServer(Server):
    """
    Tells of what only its connections know.

    @ivar transports: those that are in memory.
    """

    def __init__(self, config: ServerConfig, journal: Journal) -> None:
        super().__init__(config)
        self.transports: WeakSet[RLPxProtocol] = WeakSet()
        self._journal = journal

    def setupConn(self, transport: RLPxProtocol, flags: ConnectionFlags, dialed: Any) -> Deferred[Peer]:
        self.transports.add(transport)
        transport.whenEnded().addCallback(lambda error: self._journal.record("ended", **_end(error)))
        return super().setupConn(transport, flags, dialed)

    def checkpoint(self, conn: Conn, stage: Stage) -> Deferred[None]:
        if stage is Stage.ADD_PEER:
            hello = conn.hello
            self._journal.record(
                "hello",
                id=hexId(hello.node_key),
                name=hello.client_name,
                caps=[str(cap) for cap in hello.caps],
                version=hello.version,
            )
        return super().checkpoint(conn, stage)


class OurPeer:
    """
    A L{Server} of ours.

    Its events are C{hello} (id, name, caps, version), C{add} (id, inbound), C{drop} (id, error), C{request} and
    C{reply} (id, cap, size, sha256), and C{ended} (reason, remote, error) of every connection, peer or not.

    @ivar server: the server itself.
    @ivar key: its key.
    @ivar id: its public key, 128 hex digits.
    """

    def __init__(self, caps: str = "echo/1/2", **config: Any) -> None:
        """
        @param caps: C{name/version/length}, separated by commas.
        @param config: of the L{ServerConfig}.
        """
        self._journal = Journal(type(self).__name__)
        self._capabilities = {cap.rpartition("/")[0]: _EchoCapability(cap, self._journal) for cap in _split(caps)}
        self.key = PrivateKey.generate(urandom)
        self.id = hexId(self.key.public_key)
        capabilities = list(self._capabilities.values())
        self.server = _WatchedServer(ServerConfig(self.key, capabilities, LOOPBACK, NAME, **config), self._journal)
        self.server.subscribeEvents(self._record)
        self._ids: dict[str, str] = {}

    def _record(self, event: PeerEvent) -> None:
        if event.type is PeerEventType.ADD:
            (peer,) = (peer for peer in self.server.peers() if peer.id == event.peer)
            self._ids[event.peer] = hexId(peer.node.public_key)
            self._journal.record("add", id=self._ids[event.peer], inbound=peer.inbound)
        elif event.type is PeerEventType.DROP:
            self._journal.record("drop", id=self._ids.pop(event.peer), error=event.error)

    async def start(self) -> None:
        """Listen."""
        await self.server.startService()

    async def stop(self) -> None:
        """Tell all peers that we quit, and end."""
        await self.server.stopService()

    @property
    def enode(self) -> str:
        """Our node URL."""
        return format_node(self.server.self())

    def expect(self, event: str, **fields: Any) -> Deferred[Event]:
        """See L{Journal.expect}."""
        return self._journal.expect(event, **fields)

    def dial(self, enode: str) -> Deferred[Peer]:
        """Dial once; see L{Server.connect}."""
        return self.server.connect(parse_node(enode))

    def peer(self, id: str) -> Peer:
        """One of our peers."""
        (peer,) = (peer for peer in self.server.peers() if hexId(peer.node.public_key) == id)
        return peer

    def send(self, id: str, cap: str, payload: bytes) -> None:
        """Make a request."""
        self._capabilities[cap].spoken[id].transport.sendMessage(REQUEST, payload)

    def count(self, name: str, **labels: str) -> int:
        """A counter of ours."""
        return self.server.metrics.value(name, **labels)


def _split(caps: str) -> list[str]:
    return [cap for cap in caps.split(",") if cap]


class BarePeer:
    """
    One connection of ours without a server, which says what it is told to.

    @ivar key: its key.
    @ivar id: its public key, 128 hex digits.
    """

    def __init__(self) -> None:
        self.key = PrivateKey.generate(urandom)
        self.id = hexId(self.key.public_key)

    def _build(self, remote: PublicKey | None, nodeKey: bytes) -> RLPxProtocol:
        from twisted.internet import reactor

        transport = RLPxProtocol(self.key, reactor, urandom, remote)
        hello = Hello(NAME, (Cap("echo", 1),), nodeKey)
        transport.whenHandshaken().addCallbacks(lambda _: transport.sendHello(hello), lambda _: None)
        return transport

    async def dial(self, enode: str, nodeKey: bytes) -> RLPxProtocol:
        """Connect, and say Hello as the owner of C{nodeKey} (64 bytes)."""
        from twisted.internet import reactor

        node = parse_node(enode)
        connected: RLPxProtocol = await connect(reactor, node, lambda _: self._build(node.public_key, nodeKey))
        return connected

    def factory(self, nodeKey: bytes, built: Deferred[RLPxProtocol]) -> Factory:
        """For a listener that says Hello as the owner of C{nodeKey}; C{built} fires at its first connection."""
        return _Once(lambda: self._build(None, nodeKey), built)


class _Once(Factory):
    noisy = False

    def __init__(self, build: Any, built: Deferred[RLPxProtocol]) -> None:
        self._build, self._built = build, built

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        transport: RLPxProtocol = self._build()
        self._built.callback(transport)
        return transport
