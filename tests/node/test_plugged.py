"""
Tests of parts that the user gives to a Server: endpoints, sources of nodes, a port mapper.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.forkid import MAINNET
from devp2p_tx.core.nat.ports import Mapping
from devp2p_tx.errors import InvalidAddress, PortMappingError
from devp2p_tx.interfaces import INodeSource, IPortMapper
from devp2p_tx.net.nat.mapping import STOP_TIMEOUT
from devp2p_tx.net.proxy.proxyheader import ProxyHeaderEndpoint
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.server import Server
from devp2p_tx.node.sources import MAX_AT_ONCE, REST, SourceEnded
from devp2p_tx.testing import Stage
from tests.node.support import PORT, ServerTestCase, addressOf, keyOf, node


class EndpointTests(ServerTestCase):
    """C{listen=}, given endpoints."""

    def endpoint(self, port: int = PORT, number: int = 1, **options: Any) -> TCP4ServerEndpoint:
        """An endpoint of a host."""
        return TCP4ServerEndpoint(self.host(number), port, interface=addressOf(number), **options)

    def test_one(self) -> None:
        """It is listened at, and where it is others are told."""
        server = self.start(1, listen=self.endpoint())
        self.assertEqual((str(server.self().ip), server.self().tcp), (addressOf(1), PORT))
        self.call(2, 1)
        self.assertEqual(self.numbers(1), [2])

    def test_several(self) -> None:
        """Endpoints, descriptions and ports stand side by side, in any sequence."""
        server = self.start(1, listen=(self.endpoint(4001), f"tcp:4002:interface={addressOf(1)}", 4003))
        self.assertEqual(
            server.nodeInfo()["listenAddrs"], [f"{addressOf(1)}:4001", f"{addressOf(1)}:4002", "0.0.0.0:4003"]
        )
        self.assertEqual(server.self().tcp, 4001)

    def test_any_port(self) -> None:
        """Of port 0 the system makes a real one, which discovery takes as well."""
        server = self.start(1, listen=self.endpoint(0), discovery=True)
        us = server.self()
        self.assertGreater(us.tcp, 1024)
        self.assertEqual(us.tcp, us.udp)

    def test_taken(self) -> None:
        """The sentence is that of a port."""
        taken = self.host(1).listenTCP(PORT, Factory.forProtocol(Protocol), interface=addressOf(1))
        starting = self.make(1, listen=self.endpoint()).startService()
        self.moment()
        error = self.failureResultOf(starting, CannotListenError).value
        self.assertIn(f"cannot listen on IPv4 TCP {addressOf(1)}:{PORT}: Address already in use", str(error))
        self.assertIn("ServerConfig(listen=...)", str(error))
        taken.stopListening()

    def test_behind_a_proxy(self) -> None:
        """What a proxy says is asked for, and its port told to nobody."""
        inner = self.endpoint()
        refusals: list[None] = []
        server = self.start(1, listen=ProxyHeaderEndpoint(self.host(1), inner, lambda: refusals.append(None)))
        self.assertEqual(server.self().tcp, 0)
        peer = self.call(2, 1, Stage.CONNECTED)
        self.moment(6)
        self.assertTrue(peer.ended)
        self.assertEqual(len(refusals), 1)

    def test_another_family(self) -> None:
        """An endpoint for IPv6."""
        host = self.network.host("2001:db8::1")
        server = self.make(1, listen=TCP6ServerEndpoint(host, PORT, interface="2001:db8::1"))
        self.successResultOf(server.startService())
        self.moment()
        self.assertEqual(server.nodeInfo()["listenAddr"], f"[2001:db8::1]:{PORT}")

    def test_none(self) -> None:
        """What is none of the three is said before anything is opened."""
        for wrong in (None, 3.5, b"30303", object(), True):
            self.assertRaises(TypeError, ServerConfig, keyOf(1), listen=[wrong])
        for wrong in (70000, -1, "70000"):
            self.assertRaises(InvalidAddress, ServerConfig, keyOf(1), listen=wrong)


@implementer(INodeSource)
class Source:
    """
    A source of nodes, as somebody else may write one.

    @ivar stopped: how often it was stopped.
    """

    def __init__(self, name: str, *gives: Callable[[], Any], onStop: Callable[[], object] = lambda: None) -> None:
        self.name = name
        self._gives, self._onStop = list(gives), onStop
        self.stopped = 0

    def next(self) -> Deferred[Node]:
        """See L{INodeSource}."""
        given: Deferred[Node] = self._gives.pop(0)() if self._gives else Deferred()
        return given

    def stop(self) -> None:
        """See L{INodeSource}."""
        self.stopped += 1
        self._onStop()


class Mistake(Exception):
    """What somebody else's part raises."""


def raising(*arguments: object) -> Any:
    """Make a mistake."""
    raise Mistake("a mistake of a part that was plugged in")


class SourceTests(ServerTestCase):
    """C{nodeSources=}."""

    def giving(self, number: int, **changes: Any) -> Callable[[], Deferred[Node]]:
        """What gives a node."""
        return lambda: succeed(node(number, **changes))

    def test_several(self) -> None:
        """Their nodes are dialed, without discovery, each source counted under its name."""
        for number in (2, 3, 4):
            self.start(number)
        sources = [Source("mine", self.giving(2), self.giving(3)), Source("yours", self.giving(4))]
        server = self.start(1, nodeSources=sources, lan=True)
        self.moment(5)
        self.assertEqual(self.numbers(1), [2, 3, 4])
        self.assertEqual(server.metrics.value("candidates_connected", source="mine"), 2)
        self.assertEqual(server.metrics.value("candidates_connected", source="yours"), 1)
        self.successResultOf(self.stopped(1))
        self.assertEqual([each.stopped for each in sources], [1, 1])

    def stopped(self, number: int, seconds: float = 2.0) -> Deferred[None]:
        """Stop a server."""
        stopping = self.servers[number].stopService()
        self.moment(seconds)
        return stopping

    def test_beside_discovery(self) -> None:
        """They are one of the sources of a node that discovers, too."""
        self.start(2)
        server = self.start(1, nodeSources=[Source("mine", self.giving(2))], discovery=True, lan=True)
        self.moment(5)
        self.assertEqual((self.numbers(1), server.metrics.value("candidates_connected", source="mine")), ([2], 1))

    def test_addresses(self) -> None:
        """Their nodes are candidates, not the user's own: an address that may not be contacted is not."""
        self.start(2)
        server = self.start(1, nodeSources=[Source("mine", self.giving(2, ip=IPv4Address("192.168.7.7")))])
        self.moment(5)
        self.assertEqual(server.metrics.value("dials"), 0)
        self.assertEqual(server.metrics.value("candidates_refused", source="mine", reason="unreachable"), 1)

    def test_mistakes(self) -> None:
        """A source that raises, fails, or gives no node is not asked again; the others are, and the start succeeds."""
        self.start(2)
        wrong = [
            Source("raises", raising),
            Source("fails", lambda: fail(Mistake("later"))),
            Source("gives a text", lambda: succeed("enode://zzz")),
            Source("gives no Deferred", lambda: 42),
            Source("has ended", lambda: fail(SourceEnded("all given"))),
        ]
        server = self.start(1, nodeSources=[*wrong, Source("mine", self.giving(2))], lan=True)
        self.moment(60)
        self.assertEqual(self.numbers(1), [2])
        self.assertEqual(len(self.flushLoggedErrors(Mistake)), 2)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 2)
        for source in ("raises", "fails"):
            self.assertEqual(server.metrics.value("source_failures", source=source, reason="Mistake"), 1)

    def test_the_same_for_ever(self) -> None:
        """A source that has a node at once, always, is asked 100 times a second at most; with or without a chain."""
        for chain in (None, MAINNET):
            self.start(2)
            source = Source("mine")
            asked: list[None] = []

            def again(asked: list[None] = asked) -> Deferred[Node]:
                asked.append(None)
                if len(asked) > 10_000:
                    raise Mistake("asked too often")
                return succeed(node(2))

            source.next = again  # type: ignore[method-assign]
            self.start(1, nodeSources=[source], lan=True, chain=chain)
            self.moment(10)
            self.assertEqual(self.numbers(1), [2] if chain is None else [])
            self.assertLess(abs(len(asked) - 100 * 10.5), 101)
            self.assertEqual((MAX_AT_ONCE, REST), (100, 1.0))
            self.successResultOf(self.stopped(1, REST / 10))
            self.assertEqual((source.stopped, self.host(1).getDelayedCalls()), (1, []))
            self.successResultOf(self.stopped(2))

    def test_stops(self) -> None:
        """One that cannot be stopped keeps nothing from being stopped."""
        sources = [Source("mine", onStop=raising), Source("yours")]
        self.start(1, nodeSources=sources)
        self.successResultOf(self.stopped(1))
        self.assertEqual([each.stopped for each in sources], [1, 1])
        self.assertEqual(len(self.flushLoggedErrors(Mistake)), 1)
        self.assertEqual(self.host(1).getDelayedCalls(), [])

    def test_settings(self) -> None:
        """Objects of another kind, and names that are taken, are refused with a sentence."""
        error = self.assertRaises(TypeError, ServerConfig, keyOf(1), nodeSources=["dns"])
        self.assertIn("nodeSources: want INodeSources, not 'dns'", str(error))
        for names in (["dns"], ["anchors"], ["mine", "mine"]):
            error = self.assertRaises(ValueError, ServerConfig, keyOf(1), nodeSources=[Source(name) for name in names])
            self.assertIn(f"the name {names[0]!r} is taken", str(error))


@implementer(IPortMapper)
class Mapper:
    """A port mapper, as somebody else may write one; what it is asked it notes."""

    mechanism, name = "mine", "a router of mine"

    def __init__(
        self, mapsPorts: bool = True, delete: Callable[[Mapping], Any] = lambda mapping: succeed(None)
    ) -> None:
        self.mapsPorts = mapsPorts
        self._delete = delete
        self.asked: list[tuple[str, Any]] = []
        self.map: Callable[[Mapping], Any] = succeed

    def externalIP(self) -> Deferred[IPAddress]:
        """See L{IPortMapper}."""
        return succeed(IPv4Address("23.55.1.242"))

    def addMapping(self, wanted: Mapping) -> Deferred[Mapping]:
        """See L{IPortMapper}."""
        self.asked.append(("add", wanted.internal))
        granted = Mapping(wanted.transport, wanted.internal, wanted.internal + 1, wanted.lifetime)
        mapped: Deferred[Mapping] = self.map(granted)
        return mapped

    def deleteMapping(self, mapping: Mapping) -> Deferred[None]:
        """See L{IPortMapper}."""
        self.asked.append(("delete", mapping.internal))
        deleted: Deferred[None] = self._delete(mapping)
        return deleted

    def hasMapping(self, mapping: Mapping) -> Deferred[bool]:
        """See L{IPortMapper}."""
        return succeed(True)


class MapperTests(ServerTestCase):
    """C{nat=}, given a port mapper."""

    def stop(self, seconds: float = 2.0) -> None:
        """Stop the server."""
        stopping = self.servers[1].stopService()
        self.moment(seconds)
        self.successResultOf(stopping)

    def advertised(self, server: Server) -> tuple[Any, ...]:
        """What the record will say, also in the millisecond in which it was signed last."""
        entries = server.nodeInfo()["advertised"]
        return tuple(entries[key]["value"] for key in ("ip", "tcp", "udp"))

    def test_maps(self) -> None:
        """It maps both ports, the record says so, and at the end it deletes them."""
        mapper = Mapper()
        server = self.start(1, nat=mapper, discovery=True)
        self.moment()
        self.assertEqual(self.advertised(server), ("23.55.1.242", PORT + 1, PORT + 1))
        info = server.nodeInfo()["nat"]
        self.assertEqual((info["mechanism"], info["state"], info["router"]), ("mine", "mapped", "a router of mine"))
        self.assertEqual(server.nodeInfo()["advertised"]["ip"]["source"], "mapping")
        self.stop()
        self.assertEqual(mapper.asked, [("add", PORT)] * 2 + [("delete", PORT)] * 2)
        self.assertEqual(server.metrics.value("nat_attempts", mechanism="mine", action="map"), 2)

    def test_tells_an_address(self) -> None:
        """One that maps nothing is asked for the address alone."""
        mapper = Mapper(mapsPorts=False)
        server = self.start(1, nat=mapper, discovery=True)
        self.moment()
        self.assertEqual((self.advertised(server)[0], mapper.asked), ("23.55.1.242", []))

    def test_refuses(self) -> None:
        """What it refuses stands in C{nodeInfo()}, and it is asked again."""
        mapper = Mapper()
        mapper.map = lambda mapping: fail(PortMappingError("not today"))
        server = self.start(1, nat=mapper)
        self.moment()
        self.assertEqual(server.nodeInfo()["nat"]["mappings"]["tcp"]["error"], "not today")
        mapper.map = succeed
        self.moment(1000)
        self.assertEqual(server.nodeInfo()["nat"]["state"], "mapped")

    def test_mistakes(self) -> None:
        """What it raises is logged, and the node goes on."""
        mapper = Mapper()
        mapper.map = raising
        self.start(1, nat=mapper)
        self.moment()
        self.call(2, 1)
        self.assertEqual((self.numbers(1), len(self.flushLoggedErrors(Mistake))), ([2], 1))
        self.stop()

    def test_a_stop_that_raises(self) -> None:
        """Nor does a mapper keep the node from stopping."""
        for delete in (raising, lambda mapping: fail(Mistake("later"))):
            self.start(1, nat=Mapper(delete=delete))
            self.stop()
            self.assertEqual(len(self.flushLoggedErrors(Mistake)), 1)

    def test_a_stop_that_never_ends(self) -> None:
        """It is given the time that routers are given."""
        self.start(1, nat=Mapper(delete=lambda mapping: Deferred()))
        stopping = self.servers[1].stopService()
        self.moment(STOP_TIMEOUT - 0.1)
        self.assertNoResult(stopping)
        self.moment(0.5)
        self.successResultOf(stopping)
        self.assertEqual(self.host(1).getDelayedCalls(), [])

    def test_settings(self) -> None:
        """What is neither a text nor a mapper is refused with a sentence."""
        error = self.assertRaises(TypeError, ServerConfig, keyOf(1), nat=42)
        self.assertEqual(str(error), "nat: want a text or an IPortMapper, not 42")
