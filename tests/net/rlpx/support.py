"""
What the tests of one connection share: a listening L{RLPxFactory} in a memory network, and scripted peers that call it.
"""

from __future__ import annotations

from gc import disable, enable
from typing import Any
from weakref import ref

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.interfaces import ICapability
from devp2p_tx.net.rlpx.capability import Capability, CapabilityProtocol
from devp2p_tx.net.rlpx.factory import RLPxFactory
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.testing import MemoryNetwork, ScriptedPeer, Stage

OUR_ADDRESS, THEIR_ADDRESS = "192.0.2.1", "192.0.2.66"
OUR_PORT = 30303
#: The first code of the first capability.
FIRST = 16


class Recorder(CapabilityProtocol):
    """Notes all that it is told, with the time."""

    def __init__(self, seconds: Any) -> None:
        self.messages: list[tuple[int, bytes]] = []
        self.made = 0
        self.reasons: list[BaseException | None] = []
        self.lostAt: float | None = None
        self._seconds = seconds

    def connectionMade(self) -> None:
        self.made += 1

    def messageReceived(self, code: int, payload: bytes) -> None:
        self.messages.append((code, payload))

    def connectionLost(self, reason: Failure) -> None:
        self.reasons.append(reason.value)
        self.lostAt = self._seconds()


class Recording(Capability):
    """Makes L{Recorder}s, or what else is given."""

    def __init__(self, clock: Any, name: str = "echo", version: int = 1, length: int = 2, make: Any = Recorder) -> None:
        super().__init__(name, version, length)
        self.protocols: list[Any] = []
        self._clock, self._make = clock, make

    def buildProtocol(self, peer: object) -> Any:
        protocol = self._make(self._clock.seconds)
        protocol.peer = peer
        self.protocols.append(protocol)
        return protocol


class NotingFactory(RLPxFactory):
    """Notes the protocols that it built."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.built: list[RLPxProtocol] = []

    def buildProtocol(self, addr: IAddress | None) -> RLPxProtocol:
        protocol = super().buildProtocol(addr)
        self.built.append(protocol)
        return protocol


class _Calling(ClientFactory):
    """Makes a call with another factory's protocols."""

    noisy = False

    def __init__(self, factory: NotingFactory) -> None:
        self.factory = factory

    def buildProtocol(self, addr: IAddress | None) -> RLPxProtocol:
        return self.factory.buildProtocol(addr)


class ConnectionCase(SynchronousTestCase):
    """Has us listen with one capability, C{echo/1} with two codes."""

    def setUp(self) -> None:
        disable()
        self.addCleanup(enable)
        self.network = MemoryNetwork()
        self.clock = self.network.clock
        self.us, self.them = self.network.host(OUR_ADDRESS), self.network.host(THEIR_ADDRESS)
        self.key = PrivateKey.generate(self.network.random.randbytes)
        self.capability = Recording(self.clock)
        self.factory = self.makeFactory([self.capability])
        self.port = self.us.listenTCP(OUR_PORT, self.factory)
        self.logged: list[LogEvent] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def makeFactory(self, capabilities: list[ICapability], remote: PublicKey | None = None) -> NotingFactory:
        random = self.network.random.randbytes
        return NotingFactory(self.key, capabilities, "us", remote, self.us, random)

    def call(self, peer: ScriptedPeer) -> RLPxProtocol:
        """Call a scripted peer that waits for it; our end."""
        port = peer.listen(self.them)
        calling = _Calling(self.makeFactory([self.capability], peer.key.public_key))
        self.us.connectTCP(THEIR_ADDRESS, port.getHost().port, calling)
        self.network.settle()
        port.stopListening()
        self.network.settle()
        self.factory.built += calling.factory.built
        calling.factory.built.clear()
        return self.ours

    def speak(self, *capabilities: ICapability) -> None:
        """Offer others than the usual capability, from now on."""
        self.port.stopListening()
        self.network.settle()
        built = self.factory.built
        self.factory = self.makeFactory(list(capabilities))
        self.factory.built = built
        self.port = self.us.listenTCP(OUR_PORT, self.factory)

    def scripted(self, does: Stage = Stage.HELLO, **keywords: Any) -> ScriptedPeer:
        """A peer that called us and got as far as C{does}."""
        keywords.setdefault("remote", self.key.public_key)
        keywords.setdefault("randomBytes", self.network.random.randbytes)
        peer = ScriptedPeer(does=does, **keywords)
        peer.connect(self.them, OUR_ADDRESS, OUR_PORT)
        self.network.settle()
        return peer

    def scriptedFor(self, *capabilities: Capability) -> ScriptedPeer:
        """A peer with which we speak these."""
        self.speak(*capabilities)
        return self.scripted(caps=tuple(Cap(each.name, each.version) for each in capabilities))

    @property
    def ours(self) -> RLPxProtocol:
        """Our end of the last connection."""
        return self.factory.built[-1]

    @property
    def recorder(self) -> Any:
        """What the usual capability built for the last connection."""
        return self.capability.protocols[-1]

    @property
    def reason(self) -> BaseException | None:
        """Why our capability's last connection ended."""
        return self.recorder.reasons[-1] if self.recorder.reasons else None

    def assertQuiet(self) -> None:
        """Nothing was logged above debug level."""
        loud = [event for event in self.logged if event["log_level"] > LogLevel.debug]
        self.assertEqual(loud, [])

    def assertNothingLeft(self) -> None:
        """Of the connections that ended: no delayed call, no transport, and at once no memory."""
        self.network.settle()
        self.assertEqual(list(self.us.getDelayedCalls()), [])
        self.assertEqual(list(self.network.connections), [])
        kept = [ref(protocol) for protocol in self.factory.built]
        self.factory.built.clear()
        self.capability.protocols.clear()
        self.logged.clear()  # a real log keeps no errors, whose tracebacks know the connection
        self.assertEqual([each() for each in kept if each() is not None], [])
