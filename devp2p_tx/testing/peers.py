"""
Two peers that speak a capability, in memory.

::

    class TestGreeting(SynchronousTestCase):
        def test_greets(self):
            pair = connectedPair(Capability("greet", 1, 1, GreetingProtocol))
            pair.protocolA.greet("hello")
            pair.settle()
            self.assertEqual(pair.protocolB.heard, ["hello"])
            pair.close()
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from twisted.python.failure import Failure

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.p2p.capabilities import Match
from devp2p_tx.core.p2p.messages import Hello
from devp2p_tx.errors import DisconnectReason
from devp2p_tx.interfaces import ICapability, IPeer
from devp2p_tx.net.rlpx.factory import RLPxFactory
from devp2p_tx.net.rlpx.protocol import DISCONNECT_TIMEOUT, RLPxProtocol
from devp2p_tx.testing._clock import VirtualClock
from devp2p_tx.testing.network import MemoryNetwork

#: Where the two are.
ADDRESS_A, ADDRESS_B = "192.0.2.1", "192.0.2.2"
#: The port on which B listens.
PORT = 30303


class Pair:
    """
    Two ends of one connection, C{a} having called C{b}.

    @ivar a: one end.
    @ivar b: the other.
    @ivar network: what lies between them, which can be slowed, silenced and cut.
    @ivar peerA: A, as B's capabilities see it (L{IPeer}).
    @ivar peerB: B, as A's capabilities see it.
    @ivar protocolA: what A's first capability built for B.
    @ivar protocolB: what B's first capability built for A.
    """

    def __init__(self, network: MemoryNetwork, a: _End, b: _End) -> None:
        self.network = network
        self.a, self.peerB, self.protocolA = a.connection, a.peer, a.protocol
        self.b, self.peerA, self.protocolB = b.connection, b.peer, b.protocol

    @property
    def clock(self) -> VirtualClock:
        """The time of both."""
        return self.network.clock

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        self.network.advance(seconds)

    def settle(self) -> None:
        """Let all messages come through that can."""
        self.network.advance(2 * self.network.latency)

    def close(self, reason: int = DisconnectReason.REQUESTED) -> None:
        """
        Let A disconnect, and wait for the end, so that nothing is left for a test runner to complain about.

        @param reason: what B is told.
        """
        self.a.disconnect(reason)
        self.b.disconnect(reason)
        self.advance(DISCONNECT_TIMEOUT + 4 * self.network.latency)


class _End(NamedTuple):
    """One end: its connection, the peer that its capabilities see, and what the first of them built for that peer."""

    connection: RLPxProtocol
    peer: IPeer
    protocol: Any


class _Keeping(RLPxFactory):
    """Keeps its end of a connection that speaks something."""

    ends: tuple[_End, ...] = ()

    def buildPeer(self, protocol: RLPxProtocol, hello: Hello, matches: Sequence[Match[ICapability]]) -> IPeer:
        self._peer = super().buildPeer(protocol, hello, matches)
        return self._peer

    def settled(self, protocol: RLPxProtocol, failure: Failure | None) -> None:
        if protocol.channels:
            self.ends = (_End(protocol, self._peer, protocol.channels[0].protocol),)

    def take(self) -> _End:
        """Return the end, and keep it no longer."""
        [end], self.ends = self.ends, ()
        del self._peer
        return end


def connectedPair(
    capabilityA: ICapability | Sequence[ICapability],
    capabilityB: ICapability | Sequence[ICapability] | None = None,
    network: MemoryNetwork | None = None,
) -> Pair:
    """
    Connect two peers, which have exchanged their Hellos and speak what they share.

    @param capabilityA: what A offers: one, or several.
    @param capabilityB: what B offers; by default the same, which then builds a protocol for each side.
    @param network: where; by default a new one, without latency.
    @raise ValueError: they share nothing, or a capability failed at once.
    """
    from twisted.internet.endpoints import TCP4ClientEndpoint  # takes over LISTEN_FDS, so not before it is wanted

    network = network or MemoryNetwork()
    capabilityB = capabilityA if capabilityB is None else capabilityB
    keyA, keyB = (PrivateKey.generate(network.random.randbytes) for _ in range(2))
    hostA, hostB = network.host(ADDRESS_A), network.host(ADDRESS_B)
    draw = network.random.randbytes
    caller = _Keeping(keyA, _several(capabilityA), "peer A", keyB.public_key, hostA, draw)
    called = _Keeping(keyB, _several(capabilityB), "peer B", None, hostB, draw)
    listening = hostB.listenTCP(PORT, called)
    TCP4ClientEndpoint(hostA, ADDRESS_B, PORT).connect(caller)
    network.advance(8 * network.latency)
    listening.stopListening()
    network.settle()
    if not caller.ends or not called.ends:
        raise ValueError("the two peers share no capability")
    return Pair(network, caller.take(), called.take())


def _several(capabilities: ICapability | Sequence[ICapability]) -> list[ICapability]:
    return list(capabilities) if isinstance(capabilities, Sequence) else [capabilities]
