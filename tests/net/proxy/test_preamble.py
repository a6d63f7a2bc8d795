"""
Tests for L{devp2p_tx.net.proxy.preamble} and L{devp2p_tx.net.proxy.proxyheader}: a listener behind a proxy.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.net.listening.sockets import serverEndpoint
from devp2p_tx.net.proxy import proxyheader
from devp2p_tx.net.proxy.proxyheader import HEADER_TIMEOUT, MAX_AWAITING
from devp2p_tx.testing import MemoryNetwork
from tests.core.proxy.test_proxyheader import BAD, addresses, block

PROXY, SERVER, CLIENT = "10.0.0.1", "10.0.0.2", "203.0.113.7"
HEADER = b"PROXY TCP4 203.0.113.7 198.51.100.1 4000 30303\r\n"


class Noting(Protocol):
    """Notes all that it is told."""

    def __init__(self) -> None:
        self.data = b""
        self.reason: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason


class NotingFactory(Factory):
    """Makes them for all but some hosts."""

    noisy = False

    def __init__(self) -> None:
        self.built: list[Noting] = []
        self.seen: list[Any] = []
        self.unwanted: set[str] = set()
        self.running = 0

    def doStart(self) -> None:
        self.running += 1

    def doStop(self) -> None:
        self.running -= 1

    def buildProtocol(self, addr: Any) -> Noting | None:
        self.seen.append(addr)
        if addr.host in self.unwanted:
            return None
        self.built.append(Noting())
        return self.built[-1]


class ProxiedTests(SynchronousTestCase):
    """C{haproxy:}."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.here, self.proxy = self.network.host(SERVER), self.network.host(PROXY)
        self.factory = NotingFactory()
        self.refused = 0
        endpoint = serverEndpoint(self.here, "haproxy:tcp:30303", None, self._refuse)
        self.port = self.successResultOf(endpoint.listen(self.factory))

    def _refuse(self) -> None:
        self.refused += 1

    def call(self, data: bytes = b"") -> Noting:
        """The proxy connects, and sends something."""
        client = Noting()
        factory = Factory.forProtocol(lambda: client)  # type: ignore[arg-type]
        from twisted.internet.endpoints import TCP4ClientEndpoint

        TCP4ClientEndpoint(self.proxy, SERVER, 30303).connect(factory)
        self.network.settle()
        if data:
            assert client.transport is not None
            client.transport.write(data)
            self.network.settle()
        return client

    def test_the_address_is_the_clients(self) -> None:
        """The protocol is built for it when the header is complete, and not before; its transport says the same."""
        client = self.call(HEADER[:20])
        self.assertEqual(self.factory.seen, [])
        client.transport.write(HEADER[20:] + b"hello")  # type: ignore[union-attr]
        self.network.settle()
        [protocol] = self.factory.built
        transport: Any = protocol.transport
        peer, host = transport.getPeer(), transport.getHost()
        self.assertEqual((peer.host, peer.port, host.host, host.port), (CLIENT, 4000, "198.51.100.1", 30303))
        self.assertEqual(self.factory.seen, [peer])
        self.assertEqual(protocol.data, b"hello")

    def test_version_2(self) -> None:
        """Likewise."""
        self.call(block(0x11, addresses()) + b"hello")
        self.assertEqual((self.factory.seen[0].host, self.factory.built[0].data), (CLIENT, b"hello"))

    def test_the_proxy_itself(self) -> None:
        """A connection of which no client is known is the proxy's."""
        for data in (b"PROXY UNKNOWN\r\n", block(0x11, addresses(), command=0x20), block(0, b"")):
            self.call(data)
        self.assertEqual([address.host for address in self.factory.seen], [PROXY] * 3)
        transport: Any = self.factory.built[0].transport
        self.assertEqual((transport.getPeer().host, transport.getHost().host), (PROXY, SERVER))

    def test_it_is_a_whole_transport(self) -> None:
        """In both directions, and at either end."""
        client = self.call(HEADER)
        [protocol] = self.factory.built
        transport: Any = protocol.transport
        self.assertTrue(ITCPTransport.providedBy(transport))
        self.assertTrue(transport.getTcpNoDelay())
        client.transport.write(b"ping")  # type: ignore[union-attr]
        self.network.settle()
        transport.write(b"pong")
        self.network.settle()
        self.assertEqual((protocol.data, client.data), (b"ping", b"pong"))
        transport.loseConnection()
        self.network.settle()
        self.assertIsNotNone(client.reason)
        self.assertIsNotNone(protocol.reason)

    def test_the_client_goes(self) -> None:
        """The protocol is told."""
        client = self.call(HEADER)
        client.transport.loseConnection()  # type: ignore[union-attr]
        self.network.settle()
        self.assertIsNotNone(self.factory.built[0].reason)

    def test_unwanted(self) -> None:
        """Whom the listener does not want is closed on, and no error of its own."""
        self.factory.unwanted.add(CLIENT)
        client = self.call(HEADER + b"hello")
        self.assertIsNotNone(client.reason)
        self.assertEqual((client.data, self.factory.built, self.refused), (b"", [], 0))

    def test_garbage(self) -> None:
        """What is no header is a quiet end: nothing is sent, nothing is logged, nothing is left."""
        for number, data in enumerate(BAD, 1):
            client = self.call(data)
            self.assertIsNotNone(client.reason, data)
            self.assertEqual((client.data, self.refused), (b"", number))
        self.assertEqual(self.factory.seen, [])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.here.getDelayedCalls(), [])

    def test_no_header(self) -> None:
        """A header has 5 seconds, however much of it is there."""
        silent, slow = self.call(), self.call(HEADER[:-1])
        self.network.advance(HEADER_TIMEOUT - 0.1)
        self.assertEqual((silent.reason, slow.reason), (None, None))
        self.network.advance(0.1)
        self.assertIsNotNone(silent.reason)
        self.assertIsNotNone(slow.reason)
        self.assertEqual((self.refused, HEADER_TIMEOUT), (2, 5))

    def test_a_header_ends_the_wait(self) -> None:
        """Its connection is not closed later."""
        client = self.call(HEADER)
        self.network.advance(10 * HEADER_TIMEOUT)
        self.assertIsNone(client.reason)

    def test_it_goes_before_its_header(self) -> None:
        """Whoever leaves too early is refused as well, and nothing is left."""
        self.call(HEADER[:9]).transport.loseConnection()  # type: ignore[union-attr]
        self.network.settle()
        self.assertEqual((self.refused, self.here.getDelayedCalls()), (1, []))

    def test_bound(self) -> None:
        """Only so many wait for their header; for one more the one gives way that has waited longest."""
        self.patch(proxyheader, "MAX_AWAITING", 3)
        waiting = [self.call() for _ in range(3)]
        self.assertIsNone(self.call(HEADER).reason)
        self.assertEqual((self.refused, len(self.factory.built)), (1, 1))
        self.assertEqual([each.reason is None for each in waiting], [False, True, True])
        waiting[1].transport.write(HEADER)  # type: ignore[union-attr]
        self.network.settle()
        self.assertEqual(len(self.factory.built), 2)
        waiting += [self.call() for _ in range(3)]
        self.assertEqual([each.reason is None for each in waiting], [False, True, False, True, True, True])
        self.assertGreaterEqual(MAX_AWAITING, 50)

    def test_stop(self) -> None:
        """A port that closes waits for no header; those whose header came stay. The listener is told of both."""
        self.assertEqual(self.factory.running, 1)
        waiting, client = self.call(HEADER[:9]), self.call(HEADER)
        stopping: Deferred[Any] = self.port.stopListening()
        self.network.settle()
        self.successResultOf(stopping)
        self.assertEqual(self.factory.running, 0)
        self.assertIsNotNone(waiting.reason)
        self.assertIsNone(client.reason)
        self.assertEqual(self.here.getDelayedCalls(), [])

    def test_a_port_number_will_do(self) -> None:
        """As elsewhere."""
        port = self.successResultOf(serverEndpoint(self.here, "haproxy:30304").listen(self.factory))
        self.assertEqual(port.getHost().port, 30304)
