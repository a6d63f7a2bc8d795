"""
Tests for L{devp2p_tx.net.discovery.discv5}, on a network in memory.
"""

from __future__ import annotations

from ipaddress import ip_address
from random import Random
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.outgoing import OutgoingBudget
from devp2p_tx.core.discv5 import protocol
from devp2p_tx.core.discv5.events import IncomingTalk
from devp2p_tx.core.enr.local import LocalRecord, Source
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.kademlia.distance import as_number
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import LocalProtocolError, OverBudget, ServerStopped, Timeout
from devp2p_tx.net.discovery import talk as talks
from devp2p_tx.net.discovery.discv4 import DiscoveryV4
from devp2p_tx.net.discovery.discv5 import DiscoveryV5
from devp2p_tx.net.discovery.udp import DatagramEdge
from devp2p_tx.storage.memory import MemoryNodeStore
from devp2p_tx.testing import MemoryNetwork
from tests.net.discovery.support import PORT, START, addressOf, keyOf


class Member:
    """A node that runs discovery v5."""

    def __init__(self, network: MemoryNetwork, number: int, bootnodes: tuple[Node, ...] = (), **options: Any) -> None:
        self.network, self.number = network, number
        self.key, self.ip = keyOf(number), addressOf(number)
        self.host = network.host(self.ip)
        self.metrics = Metrics()
        self.local = LocalRecord(self.key, int(START * 1000))
        self.local.offer(Source.FLAG, 4, ip_address(self.ip))
        self.local.offer(Source.MAPPING, 4, tcp=PORT)
        self.shared = {"seconds": self.host.seconds, "unixTime": self.unixTime, "metrics": self.metrics}
        self.discovery = DiscoveryV5(
            self.local,
            self.host,
            MemoryNodeStore(),
            bootnodes=bootnodes,
            random=Random(number),
            randomBytes=Random(-number).randbytes,
            **self.shared,
            **options,
        )

    def unixTime(self) -> float:
        return START + self.network.clock.seconds()

    def start(self) -> Member:
        self.discovery.start(PORT)
        return self

    @property
    def node(self) -> Node:
        return Node(self.key.public_key, ip_address(self.ip), PORT, PORT)


class DiscoveryV5TestCase(SynchronousTestCase):
    """
    Two nodes, and others if there must be.

    @cvar bobsOptions: what Bob is made with.
    """

    bobsOptions: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.members: list[Member] = []
        self.bob = self.member(2, **self.bobsOptions).start()
        self.alice = self.member(1).start()
        self.advance()
        self.addCleanup(self.stopAll)

    def member(self, number: int, *bootnodes: Node, **options: Any) -> Member:
        member = Member(self.network, number, bootnodes, **options)
        self.members.append(member)
        return member

    def stopAll(self) -> None:
        for member in self.members:
            member.discovery.stop()

    def advance(self, seconds: float = 0.5) -> None:
        self.network.advance(seconds)

    def result(self, deferred: Deferred[Any], seconds: float = 0.5) -> Any:
        self.advance(seconds)
        return self.successResultOf(deferred)


class CallTests(DiscoveryV5TestCase):
    """Requests and their answers."""

    def test_ping(self) -> None:
        """By way of a handshake."""
        pong = self.result(self.alice.discovery.ping(self.bob.node))
        self.assertEqual((str(pong.ip), pong.port), (self.alice.ip, PORT))
        self.assertEqual((self.alice.discovery.sessions, self.bob.discovery.sessions), (1, 1))

    def test_silence(self) -> None:
        pinging = self.alice.discovery.ping(self.member(3).node)
        self.advance(0.6)
        self.assertNoResult(pinging)
        self.advance(0.2)
        self.failureResultOf(pinging, Timeout)

    def test_record(self) -> None:
        node = self.result(self.alice.discovery.requestENR(self.bob.node))
        self.assertEqual((node.node_id, str(node.ip), node.udp), (self.bob.node.node_id, self.bob.ip, PORT))
        self.assertIsNotNone(node.record)

    def test_cancel(self) -> None:
        """The next request to the node has its turn."""
        silent = self.member(3).node
        first, second = self.alice.discovery.ping(silent), self.alice.discovery.ping(silent)
        self.advance(0.5)
        first.addErrback(lambda _: None)
        first.cancel()
        self.advance(0.5)
        self.assertNoResult(second)
        self.advance(0.3)
        self.failureResultOf(second, Timeout)

    def test_stop(self) -> None:
        """What is under way fails, and so does what is asked for later."""
        pinging = self.alice.discovery.ping(self.bob.node)
        self.result(self.alice.discovery.stop())
        self.failureResultOf(pinging, ServerStopped)
        self.failureResultOf(self.alice.discovery.ping(self.bob.node), ServerStopped)
        self.failureResultOf(self.alice.discovery.lookup(bytes(32)), ServerStopped)
        self.successResultOf(self.alice.discovery.stop())

    def test_targets(self) -> None:
        """A target is a node id."""
        self.failureResultOf(self.alice.discovery.findNode(self.bob.node, bytes(64)), LocalProtocolError)
        self.failureResultOf(self.alice.discovery.lookup(bytes(64)), LocalProtocolError)

    def test_inbound(self) -> None:
        """Who made a session enters the table, is checked, and then told to others."""
        self.advance(60)  # the first refresh is over
        self.result(self.alice.discovery.ping(self.bob.node))
        self.assertIn(self.alice.node.node_id, self.bob.discovery.table)
        self.advance(20)
        distance = (as_number(self.alice.node.node_id) ^ as_number(self.bob.node.node_id)).bit_length()
        carol = self.member(3).start()
        (found,) = self.result(carol.discovery.findDistances(self.bob.node, [distance]))
        self.assertEqual(found.node_id, self.alice.node.node_id)


class TalkTests(DiscoveryV5TestCase):
    """Requests of other protocols."""

    def setUp(self) -> None:
        super().setUp()
        self.requests: list[IncomingTalk] = []
        self.answer: Deferred[bytes] = Deferred()

    def later(self, request: IncomingTalk) -> Deferred[bytes]:
        self.requests.append(request)
        return self.answer

    def talk(self, message: bytes = b"hello") -> Deferred[bytes]:
        return self.alice.discovery.talk(self.bob.node, b"echo", message)

    def test_both_ways(self) -> None:
        """One session serves both."""
        for member in (self.alice, self.bob):
            member.discovery.registerTalk(b"echo", lambda request: request.message[::-1])
        self.assertEqual(self.result(self.talk()), b"olleh")
        self.assertEqual(self.result(self.bob.discovery.talk(self.alice.node, b"echo", b"abc")), b"cba")
        self.assertEqual(self.bob.discovery.sessions, 1)
        self.bob.discovery.unregisterTalk(b"echo")
        self.assertEqual(self.result(self.talk()), b"")

    def test_later(self) -> None:
        self.bob.discovery.registerTalk(b"echo", self.later)
        talking = self.talk()
        self.advance(0.3)
        self.assertEqual([request.node_id for request in self.requests], [self.alice.node.node_id])
        self.answer.callback(b"done")
        self.assertEqual(self.result(talking), b"done")

    def test_failures(self) -> None:
        """Errors, failures, and answers that are too long or no bytes are logged; the answer is empty."""
        for callback in (lambda request: 1 / 0, self.later, lambda request: bytes(1200), lambda request: None):
            self.bob.discovery.registerTalk(b"echo", callback)  # type: ignore[arg-type]
            talking = self.talk()
            self.advance(0.3)
            if callback == self.later:
                self.answer.errback(ValueError("no"))
            self.assertEqual(self.result(talking), b"")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError, ValueError, LocalProtocolError, TypeError)), 4)

    def test_wrong_types(self) -> None:
        """Of those who register what could never answer, the first registration stays."""
        register: Any = self.bob.discovery.registerTalk
        register(b"echo", lambda request: b"old")
        self.assertRaises(TypeError, register, "echo", lambda request: b"new")
        self.assertRaises(TypeError, register, b"echo", None)
        self.assertEqual(self.result(self.talk()), b"old")
        register(b"echo", lambda request: b"new")
        self.assertEqual(self.result(self.talk()), b"new")

    def test_wait_for_place(self) -> None:
        """A request that has to wait for another's answer has its own in time."""
        self.patch(talks, "MAX_ANSWERING", 1)
        self.bob.discovery.registerTalk(b"echo", self.later)
        carol = self.member(3).start()
        first, second = self.talk(), carol.discovery.talk(self.bob.node, b"echo", b"hello")
        self.advance(0.3)
        self.assertEqual(len(self.requests), 1)
        waiting, self.answer = self.answer, succeed(b"second")
        waiting.callback(b"first")
        answers = {self.result(first), self.successResultOf(second)}
        self.assertEqual(answers, {b"first", b"second"})

    def test_stop(self) -> None:
        """Answers that are awaited are cancelled, and the askers told at once."""
        cancelled: list[object] = []
        self.answer = Deferred(cancelled.append)
        self.bob.discovery.registerTalk(b"echo", self.later)
        talking = self.talk()
        self.advance(0.3)
        self.result(self.bob.discovery.stop())
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.result(talking), b"")


class NetworkTests(DiscoveryV5TestCase):
    """Many nodes."""

    def test_lookup(self) -> None:
        """Nodes that know a bootnode alone find each other; those far from the target need not be heard of."""
        others = [self.member(number, self.bob.node).start() for number in range(10, 22)]
        self.advance(60)
        target = bytes(range(32))
        found = self.result(others[0].discovery.lookup(target), 5)
        known = [self.bob, *others[1:]]
        expected = sorted((as_number(member.node.node_id) ^ as_number(target), member.number) for member in known)
        ids = [keyOf(number).public_key.node_id for _, number in expected]
        self.assertEqual([node.node_id for node in found[:4]], ids[:4])
        self.assertLessEqual({node.node_id for node in found}, set(ids))
        walk = others[1].discovery.randomNodes()
        self.assertIsNotNone(self.result(walk.next(), 5).record)

    def test_shared_socket(self) -> None:
        """Both versions at one port: each hears its own."""
        hosts = [self.member(number) for number in (30, 31)]
        both = []
        for member in hosts:
            edge = DatagramEdge(member.host, member.host.seconds, member.unixTime, member.metrics)
            edge.listen(PORT)
            version4 = DiscoveryV4(member.local, member.host, MemoryNodeStore(), **member.shared)
            member.discovery.start(edge=edge)
            version4.start(edge=edge)
            self.assertEqual(edge.handlers, [version4, member.discovery])
            both.append(version4)
            self.addCleanup(edge.close)
            self.addCleanup(version4.stop)
        self.result(both[0].ping(hosts[1].node))
        self.result(hosts[0].discovery.ping(hosts[1].node))
        self.result(hosts[1].discovery.ping(hosts[0].node))
        self.assertEqual(hosts[1].metrics.value("udp_dropped", reason="refused"), 0)


class BudgetTests(DiscoveryV5TestCase):
    """Lookups that meet the budget of packets to strangers."""

    def test_not_the_nodes_fault(self) -> None:
        """Nodes that could not be asked, as too much was sent, have not failed, however often: they stay."""
        member = self.member(3, outgoing=OutgoingBudget(1e-9, 1, 1e-9, 1)).start()
        self.advance()
        nodes = [self.member(number).node for number in range(10, 40)]
        for each in nodes:
            member.discovery.table.add_found(each, self.network.clock.seconds())
        count = len(member.discovery.table)
        for _ in range(10):
            self.result(member.discovery.lookup(bytes(32)), 0.8)
        self.assertGreater(member.metrics.value("addresses_refused", protocol="discv5", reason="budget"), 100)
        self.assertGreaterEqual(len(member.discovery.table), count - 1)

    def test_not_the_nodes_fault_either(self) -> None:
        """Nor have those that could not be asked since a user asks so much that there is no room for calls."""
        for number in range(10, 20):
            self.alice.discovery.table.add_found(self.member(number).node, self.network.clock.seconds())
        count = len(self.alice.discovery.table)
        self.patch(protocol, "MAX_CALLS", 0)
        self.failureResultOf(self.alice.discovery.talk(self.bob.node, b"echo", b""), OverBudget)
        self.advance(60)
        self.result(self.alice.discovery.lookup(bytes(32)))
        self.assertEqual(len(self.alice.discovery.table), count)
