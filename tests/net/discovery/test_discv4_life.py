"""
Tests for L{devp2p_tx.net.discovery.discv4}: what a node remembers, says of itself, and how it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from struct import pack

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import LogLevel, globalLogPublisher

from devp2p_tx.core.addressing.ipvote import MIN_STATEMENTS, ExternalEndpoint
from devp2p_tx.core.discv4 import packets
from devp2p_tx.core.enr import entries
from devp2p_tx.core.enr.local import Source
from devp2p_tx.core.enr.url import parse_node
from devp2p_tx.errors import ServerStopped, Timeout
from devp2p_tx.net.discovery import clock as sntp
from devp2p_tx.net.discovery.udp import DatagramEdge
from tests.net.discovery.support import PORT, START, TARGET, DiscoveryCase, Member, Puppet


class RestartTests(DiscoveryCase):
    """What is remembered."""

    def restart(self, member: Member) -> Member:
        """The same node, without bootnodes but with its database."""
        stopping = member.discovery.stop()
        self.network.settle()
        self.successResultOf(stopping)
        self.members.remove(member)
        number = int.from_bytes(member.key.secret, "big")
        again = Member(self.network, number, store=member.store)
        self.members.append(again)
        return again.start()

    def test_from_seeds(self) -> None:
        """A node that was part of a network finds it again without a bootnode."""
        members = self.crowd(10, 600)
        again = self.restart(members[-1])
        self.network.advance(30)
        self.assertEqual(len(again.discovery.table), 9)

    def test_seeds_are_records(self) -> None:
        """What is remembered of a node is its record, and only nodes that passed checks are."""
        members = self.crowd(3, 20)
        self.assertIsNone(members[2].store.node(members[0].nodeId))
        self.network.advance(200)
        text = members[2].store.node(members[0].nodeId)
        assert text is not None
        self.assertEqual(parse_node(text).record, members[0].local.record(0))

    def test_foreign_text_in_the_database(self) -> None:
        """A seed that cannot be read is left out."""
        members = self.crowd(3, 300)
        members[2].store.put_node(members[0].nodeId, "nonsense", ip_address(members[0].ip))
        again = self.restart(members[2])
        self.network.advance(30)
        self.assertEqual(len(again.discovery.table), 2)

    def test_proofs(self) -> None:
        """Proofs outlast a restart: the first FINDNODE needs no PING."""
        one, other = self.crowd(2)
        again = self.restart(one)
        found = again.discovery.findNode(other.node, TARGET)
        self.result(found, 0.55)

    def test_failures(self) -> None:
        """Who repeatedly fails to answer FINDNODE is counted, over a restart too."""
        one, other = self.crowd(2)
        self.network.silence(other.host)
        for _ in range(3):
            self.failure(one.discovery.findNode(other.node, TARGET), Timeout, 1)
        again = self.restart(one)
        self.assertEqual(again.store.findnode_failures(other.nodeId, ip_address(other.ip)), 3)
        self.network.restore(other.host)
        self.network.advance(60)
        self.result(again.discovery.lookup(TARGET), 5)


class ExternalAddressTests(DiscoveryCase):
    """What others say our address is."""

    def test_votes(self) -> None:
        """Enough of them make it into the record, by PONG as well as by PING."""
        member = self.add(1)
        member.local.offer(Source.FLAG, 4)
        self.network.settle()
        stated = packets.WireEndpoint(ip_address("77.1.1.1").packed, 5555, 0)
        for number in range(2, 2 + MIN_STATEMENTS):
            self.assertIsNone(member.local.record(number).get(entries.IP))
            peer = Puppet(self.network, number, f"34.{number}.9.1")
            peer.send(peer.makePing(), member)
            peer.pong(member, stated if number % 2 else packets.NO_ENDPOINT)
            if not number % 2:
                peer.send(peer.makePing(stated=stated), member)
        record = member.local.record(99)
        self.assertEqual((str(record.get(entries.IP)), record.get(entries.UDP)), ("77.1.1.1", 5555))

    def test_one_network(self) -> None:
        """Thirty hosts of one network make no difference, nor do hosts with IPv6 to the IPv4 address."""
        member = self.add(1)
        member.local.offer(Source.FLAG, 4)
        self.network.settle()
        stated = packets.WireEndpoint(ip_address("77.1.1.1").packed, 5555, 0)
        before = member.local.record(1)
        for number in range(2, 32):
            peer = Puppet(self.network, number, f"34.9.9.{number}")
            peer.send(peer.makePing(), member)
            peer.pong(member, stated)
            peer.send(peer.makePing(stated=stated), member)
        for number in range(32, 62):
            member.local.add_statement(
                ip_address(f"2a00:{number}::1"), ExternalEndpoint(ip_address("77.1.1.1"), 5555), 0
            )
        self.assertIs(member.local.record(99), before)


class TimeServer(DatagramProtocol):
    """Tells the time (RFC 1769), after a forged answer that does not repeat the question."""

    def __init__(self, unixTime: Callable[[], float]) -> None:
        self.unixTime = unixTime
        #: What single answers are wrong by.
        self.errors = [1000.0, 0.0, -1000.0]

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        assert len(datagram) == 48 and datagram[0] == 0x1B
        error = self.errors.pop() if self.errors else 0.0
        now = int((self.unixTime() + error + 2_208_988_800) * (1 << 32))
        for origin in (bytes(8), datagram[40:]):
            assert self.transport is not None
            self.transport.write(b"\x1c" + bytes(23) + origin + bytes(8) + pack(">Q", now if origin[0] else 0), addr)


class ClockTests(DiscoveryCase):
    """A clock that seems to be wrong."""

    def suspect(self, drift: float, server: str | None = "time.example") -> Member:
        """A node that nobody answers, with a time server whose clock is behind by C{drift}."""
        timeServer = self.network.host("34.99.9.9")
        self.network.names["time.example"] = ["34.99.9.9"]
        timeServer.listenUDP(123, TimeServer(lambda: START + self.network.clock.seconds() - drift))
        member = self.add(1, ntpServer=server)
        for number in range(2, 40):
            self.failure(member.discovery.ping(Puppet(self.network, number).node), Timeout, 1)
        self.network.advance(10)
        return member

    def warnings(self) -> list[str]:
        return [str(event) for event in self.logged if "system clock" in str(event.get("log_format"))]

    def setUp(self) -> None:
        super().setUp()
        self.logged: list[dict[str, object]] = []
        globalLogPublisher.addObserver(self.logged.append)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)  # type: ignore[arg-type]

    def test_wrong(self) -> None:
        """The user is told how wrong it is."""
        for drift, word in ((30.0, "ahead"), (-3600.0, "behind")):
            self.network = type(self.network)(seed=1, latency=self.latency)
            self.suspect(drift)
            (event,) = [event for event in self.logged if "system clock" in str(event.get("log_format"))]
            self.assertEqual(event["direction"], word)
            self.assertAlmostEqual(event["seconds"], abs(drift), 2)  # type: ignore[arg-type]
            self.logged.clear()
            self.tearDown()
            self.members.clear()

    def test_right(self) -> None:
        """A small difference is none, whatever the latency, and whatever single answers say."""
        member = self.suspect(9.0)
        self.assertEqual((self.warnings(), member.metrics.value("clock_checks")), ([], 1))

    def test_no_server(self) -> None:
        """Without a server nobody is asked."""
        member = self.suspect(3600.0, None)
        self.assertEqual((self.warnings(), member.metrics.value("clock_checks")), ([], 0))

    def test_server_that_does_not_answer(self) -> None:
        """It is given up, which the user is told in a sentence."""
        self.suspect(0, "34.99.9.8")
        self.assertEqual(self.sentences(), ["time server 34.99.9.8 does not answer"])

    def test_server_without_an_address(self) -> None:
        """Likewise."""
        self.suspect(0, "nowhere.example")
        self.assertEqual(self.sentences(), ["time server nowhere.example has no address"])

    def test_server_that_cannot_be_asked(self) -> None:
        """Likewise, here since nothing can be sent to such a port."""
        self.patch(sntp, "PORT", 0)
        self.suspect(0)
        (sentence,) = self.sentences()
        self.assertIn("time server time.example cannot be asked: ", sentence)

    def sentences(self) -> list[str]:
        found = [event for event in self.logged if "cannot be compared" in str(event.get("log_format"))]
        self.assertEqual({event["log_level"] for event in found}, {LogLevel.info})
        return [str(event["error"]) for event in found]


class StopTests(DiscoveryCase):
    """The end."""

    def test_everything_fails(self) -> None:
        """What is under way fails, and so does what is asked for afterwards."""
        members = self.crowd(5)
        for each in members[1:]:
            self.network.silence(each.host)
        discovery, other = members[0].discovery, members[1].node
        nodes = discovery.randomNodes()
        first = nodes.next()
        self.successResultOf(first)
        waiting: list[Deferred[object]] = [nodes.next() for _ in range(8)]
        waiting += [discovery.ping(other), discovery.requestENR(other), discovery.findNode(other, TARGET)]
        waiting += [discovery.lookup(TARGET), discovery.resolve(other)]
        stopping = discovery.stop()
        waiting += [discovery.ping(other), discovery.lookup(TARGET), discovery.resolve(other), nodes.next()]
        self.network.advance(1)
        self.successResultOf(stopping)
        failed = [self.failureResultOf(each) for each in waiting if not self.hasResult(each)]
        self.assertGreaterEqual(len(failed), 10)
        self.assertEqual({failure.type for failure in failed}, {ServerStopped})
        self.assertRaises(ServerStopped, discovery.randomNodes)
        self.assertFalse(discovery.isRunning)

    def hasResult(self, deferred: Deferred[object]) -> bool:
        """Whether it fired, and not with a failure."""
        return deferred.called and not hasattr(deferred.result, "value")

    def test_never_started(self) -> None:
        """It can be stopped, and fails what is asked of it."""
        member = Member(self.network, 1)
        self.failure(member.discovery.ping(member.node), ServerStopped, 0)
        self.failure(member.discovery.lookup(TARGET), ServerStopped, 0)
        self.successResultOf(member.discovery.stop())

    def test_port_is_free(self) -> None:
        """The port can be used again."""
        member = self.add(1)
        stopping = member.discovery.stop()
        self.network.settle()
        self.successResultOf(stopping)
        self.successResultOf(member.discovery.stop())
        Puppet(self.network, 1)

    def test_port_is_taken(self) -> None:
        """It cannot be started, and can be stopped."""
        Puppet(self.network, 1)
        member = Member(self.network, 1)
        self.assertRaises(CannotListenError, member.start)
        self.successResultOf(member.discovery.stop())


class Refusing:
    """A protocol that counts what it is given, and takes nothing."""

    given = 0

    def datagramReceived(self, *datagram: object) -> bool:
        self.given += 1
        return False


class SharedSocketTests(DiscoveryCase):
    """Another protocol on the same port."""

    def test_whatever_is_refused(self) -> None:
        """All that has no effect here is the other's, and nothing else."""
        member = self.add(1)
        self.network.settle()
        others: list[bytes] = []

        class Other:
            def datagramReceived(self, data: bytes, *_: object) -> bool:
                others.append(data)
                return True

        assert member.discovery.edge is not None
        member.discovery.edge.handlers.append(Other())
        peer = Puppet(self.network, 2)
        unknown = peer.makeFindNode()
        expired = peer.makePing(expiration=1)
        for data in (bytes(200), expired, unknown, peer.makeNeighbors(), peer.makePing(), b""):
            peer.send(data, member)
        self.assertEqual(others, [bytes(200), expired, unknown, peer.makeNeighbors(), b""])

    def test_socket_of_somebody_else(self) -> None:
        """It is used, and left open. Whoever was there before comes second, and gets nothing that is taken here."""
        member = Member(self.network, 1)
        edge = DatagramEdge(member.host, member.host.seconds, member.unixTime)
        edge.listen(PORT)
        edge.handlers.append(other := Refusing())
        member.discovery.start(edge=edge)
        peer = Puppet(self.network, 2)
        peer.send(peer.makePing(), member)
        self.assertEqual(len(peer.take(packets.Pong)), 1)
        self.successResultOf(member.discovery.stop())
        self.assertTrue(edge.isListening)
        self.assertEqual((edge.handlers, other.given), ([other], 0))
