from __future__ import annotations

from typing import Any

from twisted.internet import endpoints
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import (
    CannotListenError,
    ConnectBindError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IReactorPluggableNameResolver, IReactorTCP, IReactorTime, IReactorUDP
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from devp2p_tx.testing import MemoryNetwork
from tests.testing.support import Client, Datagrams, Noting, Service


class HostsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.alice, self.bob = self.network.host("192.0.2.1"), self.network.host("192.0.2.2")

    def tryConnecting(self, address: str, port: int = 30303, **keywords: Any) -> Client:
        client = Client(Noting())
        self.alice.connectTCP(address, port, client, **keywords)
        self.network.settle()
        return client


class TestHosts(HostsCase):
    def test_interfaces(self) -> None:
        for interface in (IReactorTime, IReactorTCP, IReactorUDP, IReactorPluggableNameResolver):
            verifyObject(interface, self.alice)

    def test_sameHostAgain(self) -> None:
        self.assertIs(self.network.host("192.0.2.1"), self.alice)

    def test_addressesOfTwo(self) -> None:
        for addresses in (("192.0.2.1", "192.0.2.2"), ("192.0.2.1", "192.0.2.3"), (), ("localhost",)):
            self.assertRaises(ValueError, self.network.host, *addresses)

    def test_delayedCallsAreItsOwn(self) -> None:
        call = self.alice.callLater(1, print)
        self.bob.callLater(1, print)
        self.assertEqual(self.alice.getDelayedCalls(), [call])

    def test_callFromThread(self) -> None:
        called: list[int] = []
        self.alice.callFromThread(called.append, 1)
        self.assertEqual(called, [])
        self.network.settle()
        self.assertEqual(called, [1])

    def test_otherNameResolver(self) -> None:
        usual, other = self.alice.nameResolver, self.bob.nameResolver
        self.assertIs(self.alice.installNameResolver(other), usual)
        self.assertIs(self.alice.nameResolver, other)


class TestConnecting(HostsCase):
    def test_addresses(self) -> None:
        server = Noting()
        service = Service(server)
        self.bob.listenTCP(30303, service)
        client = self.tryConnecting("192.0.2.2").made
        assert client is not None and client.transport is not None
        self.assertEqual(client.transport.getPeer(), IPv4Address("TCP", "192.0.2.2", 30303))
        self.assertEqual(service.addresses, [client.transport.getHost()])
        self.assertEqual(client.transport.getHost(), IPv4Address("TCP", "192.0.2.1", 49152))
        self.assertEqual(server.transport.getHost(), client.transport.getPeer())
        self.assertEqual(server.transport.getPeer(), client.transport.getHost())

    def test_refused(self) -> None:
        self.assertEqual(self.tryConnecting("192.0.2.2").failed, [ConnectionRefusedError])

    def test_refusedOnceStopped(self) -> None:
        port = self.bob.listenTCP(30303, Service())
        stopped = port.stopListening()
        self.network.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.tryConnecting("192.0.2.2").failed, [ConnectionRefusedError])

    def test_silentHost(self) -> None:
        self.bob.listenTCP(30303, Service())
        self.network.silence(self.bob)
        client = self.tryConnecting("192.0.2.2", timeout=15)
        self.network.advance(14)
        self.assertEqual(client.failed, [])
        self.network.advance(1)
        self.assertEqual(client.failed, [TimeoutError])
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_noSuchHost(self) -> None:
        client = self.tryConnecting("203.0.113.1", timeout=15)
        self.network.advance(15)
        self.assertEqual(client.failed, [TimeoutError])

    def test_noWay(self) -> None:
        self.assertEqual(self.tryConnecting("2001:db8::1").failed, [NoRouteError])

    def test_stopConnecting(self) -> None:
        client = Client(Noting())
        connector = self.alice.connectTCP("203.0.113.1", 30303, client)
        connector.stopConnecting()
        self.network.settle()
        self.assertEqual(client.failed, [UserError])
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_takesTime(self) -> None:
        self.network.latency = 0.05
        server = Noting()
        self.bob.listenTCP(30303, Service(server))
        self.tryConnecting("192.0.2.2")
        self.network.advance(0.09)
        self.assertIsNone(server.transport)
        self.network.advance(0.01)
        self.assertIsNotNone(server.transport)

    def test_bindAddress(self) -> None:
        server = Noting()
        self.bob.listenTCP(30303, Service(server))
        self.tryConnecting("192.0.2.2", bindAddress=("192.0.2.1", 4000))
        self.assertEqual(server.transport.getPeer(), IPv4Address("TCP", "192.0.2.1", 4000))
        self.assertEqual(self.tryConnecting("192.0.2.2", bindAddress=("", 4000)).failed, [ConnectBindError])
        self.assertEqual(self.tryConnecting("192.0.2.2", bindAddress=("192.0.2.9", 0)).failed, [ConnectBindError])

    def test_loopback(self) -> None:
        server = Noting()
        self.alice.listenTCP(30303, Service(server))
        self.tryConnecting("127.0.0.1")
        self.assertEqual(server.transport.getPeer().host, "127.0.0.1")

    def test_factoryWithoutProtocol(self) -> None:
        self.bob.listenTCP(30303, Service(None))
        client = self.tryConnecting("192.0.2.2").made
        assert isinstance(client, Noting)
        self.assertEqual(len(client.ends), 1)

    def test_factoryThatRaises(self) -> None:
        self.bob.listenTCP(30303, Service())
        client = self.tryConnecting("192.0.2.2").made
        assert isinstance(client, Noting)
        self.assertEqual((len(self.flushLoggedErrors(IndexError)), len(client.ends)), (1, 1))


class TestPorts(HostsCase):
    def test_taken(self) -> None:
        self.bob.listenTCP(30303, Service())
        for interface in ("", "192.0.2.2", "127.0.0.1"):
            self.assertRaises(CannotListenError, self.bob.listenTCP, 30303, Service(), interface=interface)

    def test_bothFamiliesAtOnce(self) -> None:
        """A socket on :: is in the way of those of IPv4 if it takes IPv4 as well, as on Linux by default."""
        self.bob.listenTCP(30303, Service())
        self.bob.listenTCP(30303, Service(), interface="::")
        self.assertRaises(CannotListenError, self.bob.listenTCP, 30303, Service(), interface="::")
        self.network.v6Only = False
        self.bob.listenTCP(30304, Service(), interface="::")
        for interface in ("", "192.0.2.2", "127.0.0.1", "::"):
            self.assertRaises(CannotListenError, self.bob.listenTCP, 30304, Service(), interface=interface)

    def test_free(self) -> None:
        first = self.bob.listenTCP(30303, Service(), interface="192.0.2.2")
        self.bob.listenTCP(30303, Service(), interface="127.0.0.1")
        self.alice.listenTCP(30303, Service())
        self.bob.listenUDP(30303, self.mktempProtocol())
        first.stopListening()
        self.network.settle()
        self.bob.listenTCP(30303, Service(), interface="192.0.2.2")

    def mktempProtocol(self) -> Any:
        from tests.testing.support import Datagrams

        return Datagrams()

    def test_allocated(self) -> None:
        numbers = [self.bob.listenTCP(0, Service()).getHost().port for _ in range(3)]
        self.assertEqual(len({*numbers} - {0}), 3)

    def test_noNumber(self) -> None:
        for number in (-1, 65536):
            self.assertRaises(CannotListenError, self.bob.listenTCP, number, Service())

    def test_families(self) -> None:
        both = self.network.host("192.0.2.3", "2001:db8::3")
        both.listenTCP(30303, Service(), interface="2001:db8::3")
        both.listenTCP(30303, Service(), interface="192.0.2.3")
        both.listenTCP(30304, Service(), interface="2001:db8::3")
        both.listenTCP(30304, Service())
        self.assertRaises(CannotListenError, both.listenTCP, 30304, Service(), interface="::")

    def test_othersAddress(self) -> None:
        self.assertRaises(CannotListenError, self.bob.listenTCP, 30303, Service(), interface="192.0.2.1")


class TestEndpoints(HostsCase):
    def test_fromString(self) -> None:
        port = self.successResultOf(endpoints.serverFromString(self.bob, "tcp:30303").listen(Service(Noting())))
        self.assertEqual(port.getHost(), IPv4Address("TCP", "0.0.0.0", 30303))
        connected = endpoints.TCP4ClientEndpoint(self.alice, "192.0.2.2", 30303).connect(Client(Noting()))
        self.network.settle()
        self.successResultOf(connected)

    def test_name(self) -> None:
        self.network.names["bob.example"] = ["192.0.2.2"]
        endpoints.TCP4ServerEndpoint(self.bob, 30303).listen(Service(Noting()))
        connected = endpoints.connectProtocol(endpoints.HostnameEndpoint(self.alice, "bob.example", 30303), Noting())
        self.network.settle()
        self.assertEqual(self.successResultOf(connected).transport.getPeer().host, "192.0.2.2")

    def test_secondAddressOfAName(self) -> None:
        self.network.names["bob.example"] = ["203.0.113.1", "192.0.2.2"]
        endpoints.TCP4ServerEndpoint(self.bob, 30303).listen(Service(Noting()))
        connected = endpoints.connectProtocol(endpoints.HostnameEndpoint(self.alice, "bob.example", 30303), Noting())
        self.network.advance(1)
        self.successResultOf(connected)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_noSuchName(self) -> None:
        connected = endpoints.connectProtocol(endpoints.HostnameEndpoint(self.alice, "carol.example", 30303), Noting())
        self.network.settle()
        self.failureResultOf(connected, DNSLookupError)
        self.assertEqual(self.tryConnecting("carol.example").failed, [DNSLookupError])

    def test_cancelled(self) -> None:
        connecting = endpoints.connectProtocol(endpoints.TCP4ClientEndpoint(self.alice, "203.0.113.1", 30303), Noting())
        connecting.addErrback(lambda failure: None)
        connecting.cancel()
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_ipv6(self) -> None:
        carol, dave = self.network.host("2001:db8::1"), self.network.host("2001:db8::2")
        server = Noting()
        endpoints.serverFromString(dave, r"tcp:30303:interface=\:\:").listen(Service(server))
        connected = endpoints.connectProtocol(endpoints.TCP6ClientEndpoint(carol, "2001:db8:0::2", 30303), Noting())
        self.network.settle()
        self.assertEqual(self.successResultOf(connected).transport.getPeer(), IPv6Address("TCP", "2001:db8::2", 30303))
        self.assertEqual(server.transport.getPeer().host, "2001:db8::1")

    def test_ipv4AtAnIPv6Port(self) -> None:
        both = self.network.host("192.0.2.3", "2001:db8::3")
        service = Service(Noting())
        both.listenTCP(30303, service, interface="::")
        self.assertEqual(self.tryConnecting("192.0.2.3").failed, [ConnectionRefusedError])
        self.network.v6Only = False
        self.tryConnecting("192.0.2.3")
        self.assertEqual(service.addresses, [IPv6Address("TCP", "::ffff:192.0.2.1", 49153)])


class TestMoving(HostsCase):
    """A host whose addresses change."""

    def setUp(self) -> None:
        super().setUp()
        self.near, self.far = Noting(), Noting()
        self.service = Service(self.far)
        self.bob.listenTCP(30303, self.service)

    def join(self, address: str) -> None:
        client = Client(self.near)
        self.alice.connectTCP(address, 30303, client)
        self.network.settle()

    def test_newAddress(self) -> None:
        """It is found there, by TCP and UDP, and the old one is nobody's."""
        self.network.move(self.bob, "192.0.2.9")
        self.assertEqual((self.bob.addresses, str(self.bob.interfaces()[-1])), (("192.0.2.9",), "192.0.2.9/24"))
        self.bob.listenUDP(30303, datagrams := Datagrams())
        self.alice.listenUDP(4000, sender := Datagrams())
        sender.transport.write(b"lost", ("192.0.2.2", 30303))
        sender.transport.write(b"found", ("192.0.2.9", 30303))
        self.join("192.0.2.9")
        self.assertEqual(len(self.service.addresses), 1)
        self.assertEqual(datagrams.received, [(b"found", ("192.0.2.1", 4000))])
        self.assertEqual(self.network.host("192.0.2.2").addresses, ("192.0.2.2",))

    def test_connectionsOfTheOldOne(self) -> None:
        """They fall silent, and neither end is told."""
        self.join("192.0.2.2")
        self.network.move(self.bob, "192.0.2.9")
        self.near.transport.write(b"lost")
        self.far.transport.write(b"lost")
        self.network.advance(3600)
        self.assertEqual((self.near.data, self.far.data, self.near.ends, self.far.ends), (b"", b"", [], []))
        self.far.transport.loseConnection()
        self.near.transport.abortConnection()
        self.network.settle()
        self.assertEqual((len(self.near.ends), len(self.far.ends)), (1, 1))

    def test_connectionsOfAnAddressThatStays(self) -> None:
        """They go on."""
        self.join("192.0.2.2")
        self.network.move(self.bob, "192.0.2.2", "192.0.2.9")
        self.near.transport.write(b"still there")
        self.network.settle()
        self.assertEqual(self.far.data, b"still there")

    def test_refused(self) -> None:
        """Nowhere, and where another one is."""
        for addresses in ((), ("192.0.2.1",), ("192.0.2.9", "192.0.2.1"), ("nowhere",)):
            self.assertRaises(ValueError, self.network.move, self.bob, *addresses)
        self.assertIs(self.network.host("192.0.2.2"), self.bob)
