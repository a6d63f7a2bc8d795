"""
Tests of how whole nodes find each other, on a network in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.enr.entries import ETH, Entry
from devp2p_tx.core.enr.local import Source
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import parse_node
from devp2p_tx.core.forkid import HOODI, MAINNET, Chain
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.dialer import USEFUL_AFTER
from devp2p_tx.node.nopeers import NO_PEERS_AFTER, NO_PEERS_INTERVAL
from devp2p_tx.node.server import Server
from devp2p_tx.testing import EchoCapability
from tests.net.discovery.test_dnstree import TreeResolver, url
from tests.node.support import PORT, ServerTestCase, addressOf, keyOf, node

START = 1_700_000_000.25
BOOT = 1


class OnChain(EchoCapability):
    """A capability of a chain, which the record tells of."""

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self._entry = chain.fork_id(1, 1_790_000_000)

    def recordEntries(self) -> Sequence[tuple[Entry[Any], Any]]:
        return [(ETH, self._entry)]


class DiscoveryTestCase(ServerTestCase):
    """Nodes that run discovery."""

    def setUp(self) -> None:
        super().setUp()
        self.resolver = TreeResolver()
        self.sent: list[tuple[str, str]] = []
        carry = self.network.carry
        self.patch(self.network, "carry", lambda *sending: (self.note(*sending), carry(*sending)))
        self.logged: list[LogEvent] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def note(self, sender: Any, datagram: bytes, address: str, port: int) -> None:
        """Note who sends a datagram to whom."""
        self.sent.append((sender.reactor.addresses[0], address))

    def make(self, number: int, **config: Any) -> Server:
        """A server that is not started; by default with discovery, and two slots for those it dials."""
        config = {
            "capabilities": [EchoCapability()],
            "listen": PORT,
            "discovery": True,
            "maxPeers": 6,
            "bootnodes": [node(BOOT)] if number != BOOT else (),
            **config,
        }
        server = Server(
            ServerConfig(keyOf(number), **config),
            reactor=self.host(number),
            randomBytes=self.network.random.randbytes,
            random=Random(number),
            unixTime=lambda: START + self.network.clock.seconds(),
            resolver=self.resolver,
        )
        self.servers[number] = server
        self.events[number] = []
        server.subscribeEvents(self.events[number].append)
        return server

    def crowd(self, count: int, seconds: float = 30.0) -> None:
        """A bootnode, which dials nobody, and others that know it and are left to themselves for a while."""
        self.start(BOOT, noDial=True, maxPeers=0)
        for number in range(2, count + 1):
            self.start(number)
        self.moment(seconds)

    def dialed(self, number: int) -> int:
        """How many peers a node has dialled."""
        return sum(not peer.inbound for peer in self.servers[number].peers())

    def count(self, number: int, name: str, **labels: str) -> int:
        return self.servers[number].metrics.value(name, **labels)

    def warnings(self) -> list[str]:
        """What was warned of."""
        return [formatEvent(event) for event in self.logged if event["log_level"] == LogLevel.warn]


class FindingTests(DiscoveryTestCase):
    """Nodes find each other."""

    def test_slots_are_filled(self) -> None:
        """Given nothing but a bootnode, which is nobody's peer, every node fills its dialled slots."""
        self.crowd(10)
        for number in range(2, 11):
            self.assertGreaterEqual(self.dialed(number), 2, number)
            self.assertGreater(self.count(number, "candidates_connected", source="discv4"), 0)
        self.assertEqual(self.numbers(BOOT), [])

    def test_nothing_more_is_sought(self) -> None:
        """With all slots filled nobody is looked up: what goes on is checking the table, now and then."""
        self.crowd(10)
        before = len(self.sent)
        self.moment(60)
        self.assertLess(len(self.sent) - before, 10 * 120)

    def test_static_node_without_address(self) -> None:
        """Of a static node the key is enough; here no candidate is wanted."""
        self.crowd(5)
        server = self.start(20, listen=None, chain=MAINNET, staticNodes=[Node(keyOf(4).public_key)])
        self.moment(120)
        self.assertEqual([str(peer.flags) for peer in server.peers()], ["staticdial"])
        self.assertEqual(self.numbers(20), [4])

    def test_static_node_without_address_at_once(self) -> None:
        """It is searched for as soon as there is somebody to ask, not a minute after the start."""
        self.crowd(5)
        self.start(20, listen=None, chain=MAINNET, staticNodes=[Node(keyOf(4).public_key)], discoveryVersions=["v4"])
        self.moment(10)
        self.assertEqual(self.numbers(20), [4])

    def test_bootnode_that_we_are(self) -> None:
        """To have itself among the bootnodes does not disturb a node."""
        self.start(BOOT, bootnodes=[node(BOOT), node(2)])
        self.start(2)
        self.moment(30)
        self.assertEqual(self.numbers(BOOT), [2])

    def test_netrestrict(self) -> None:
        """Nodes elsewhere are not dialled, nor asked."""
        self.crowd(6)  # so few that all have room for one more peer
        self.start(20, listen=None, maxPeers=3, netrestrict=Netlist.parse("10.0.0.0/30"))
        self.moment(60)
        self.assertIn(self.numbers(20), ([2], [3], [2, 3]))  # two are dialled for each free slot
        asked = {address for sender, address in self.sent if sender == addressOf(20)}
        self.assertLessEqual(asked, {addressOf(number) for number in (1, 2, 3)})

    def test_fork_id(self) -> None:
        """Only nodes of our chain are dialled; in the table are others as well, since finding is everybody's task."""
        self.start(BOOT, noDial=True, maxPeers=0)
        for number in range(2, 10):
            self.start(number, noDial=True, capabilities=[OnChain(MAINNET if number % 2 else HOODI)])
            self.reachable(number)
        server = self.start(20, chain=MAINNET, maxPeers=12, capabilities=[OnChain(MAINNET)])
        self.moment(90)
        self.assertEqual(self.numbers(20), [3, 5, 7, 9])
        assert server.discv4 is not None
        known = {each.node_id for each in server.discv4.table}
        self.assertGreater(len(known & {node(number).node_id for number in (2, 4, 6, 8)}), 0)

    def test_dns(self) -> None:
        """A list in DNS is enough, without any bootnode."""
        for number in (2, 3):
            self.start(number, noDial=True)
        records = [self.reachable(number).record for number in (2, 3)]
        self.resolver.publish(*[record for record in records if record is not None])
        self.start(20, bootnodes=[], dnsTrees=[url()])
        self.moment(5)
        self.assertEqual((self.numbers(20), self.count(20, "candidates_connected", source="dns")), ([2, 3], 2))

    def reachable(self, number: int) -> Node:
        """A node with a record that says where it is, as one that has been told by enough others."""
        server = self.servers[number]
        server._discovery.local.offer(Source.FLAG, 4, ip_address(addressOf(number)))
        self.moment(0.1)
        return server.self()


class RecordTests(DiscoveryTestCase):
    """What a node says of itself."""

    def test_node_info(self) -> None:
        """It has a record, which says the same, and the UDP port."""
        info = self.start(2).nodeInfo()
        node = parse_node(info["enr"])
        self.assertEqual((node.public_key, node.tcp, node.udp), (keyOf(2).public_key, PORT, PORT))
        self.assertEqual(info["ports"], {"discovery": PORT, "listener": PORT})
        self.assertEqual(info["id"], node.node_id.hex())

    def test_discovery_port(self) -> None:
        """The UDP port can be another than the TCP port."""
        server = self.start(2, discoveryPort=40404)
        self.assertEqual(server.nodeInfo()["ports"], {"discovery": 40404, "listener": PORT})
        self.assertTrue(server.nodeInfo()["enode"].endswith(f":{PORT}?discport=40404"))
        self.assertEqual((server.self().tcp, server.self().udp), (PORT, 40404))

    def test_capabilities(self) -> None:
        """The record has what the capabilities put into it."""
        server = self.start(2, capabilities=[OnChain(HOODI)])
        record = server.self().record
        assert record is not None
        self.assertEqual(record.get(ETH), HOODI.fork_id(1, 1_790_000_000))

    def test_external_address(self) -> None:
        """When enough others have said where we are, our record says so, once; those who want to know are told."""
        server = self.make(2)
        told: list[Node] = []
        server.subscribeRecords(told.append)
        self.successResultOf(server.startService())
        self.moment()
        self.assertEqual([str(each.ip) for each in told], ["127.0.0.1"])
        first = server.self()
        self.start(BOOT, noDial=True, maxPeers=0)
        for number in range(3, 16):
            self.start(number, noDial=True)
        self.moment(90)
        self.assertEqual([str(each.ip) for each in told], ["127.0.0.1", addressOf(2)])
        self.assertEqual((told[1].seq, told[1].udp, told[1].tcp), (first.seq + 1, PORT, PORT))
        self.assertEqual((server.self(), str(server.nodeInfo()["ip"])), (told[1], addressOf(2)))

    def test_unsubscribed(self) -> None:
        """Who does not want to be told any more is not."""
        server = self.make(2)
        told: list[Node] = []
        server.subscribeRecords(told.append).unsubscribe()
        self.successResultOf(server.startService())
        self.moment(5)
        self.assertEqual(told, [])


class PortTests(DiscoveryTestCase):
    """Which UDP port it is, and what if that is taken."""

    def test_taken(self) -> None:
        """The start fails with a sentence that says which port, and is undone."""
        taken = self.host(2).listenUDP(PORT, DatagramProtocol())
        server = self.make(2)
        starting = server.startService()
        self.moment(2)
        error = self.failureResultOf(starting, CannotListenError).value
        self.assertIn(f"IPv4 UDP 0.0.0.0:{PORT}", str(error))
        self.assertIn("already in use", str(error))
        self.assertFalse(server.isRunning)
        self.host(2).listenTCP(PORT, Factory.forProtocol(Protocol)).stopListening()
        taken.stopListening()

    def test_discovery_port_taken(self) -> None:
        """So it is with a port that the user chose for discovery alone, even if any TCP port would do."""
        taken = self.host(2).listenUDP(40404, DatagramProtocol())
        starting = self.make(2, listen=0, discoveryPort=40404).startService()
        self.moment(2)
        self.failureResultOf(starting, CannotListenError)
        taken.stopListening()

    def test_any_port(self) -> None:
        """If any TCP port would do, so does any UDP port, though the same number is preferred."""
        server = self.start(2, listen=0)
        info = server.nodeInfo()["ports"]
        self.assertEqual(info["discovery"], info["listener"])
        self.host(3).listenUDP(info["listener"], DatagramProtocol())
        ports = self.start(3, listen="tcp:0:interface=10.0.0.3").nodeInfo()["ports"]
        self.assertNotEqual(ports["discovery"], ports["listener"])

    def test_without_listener(self) -> None:
        """A node that does not listen finds others all the same."""
        self.start(BOOT)
        server = self.start(2, listen=None)
        self.moment(30)
        self.assertEqual(self.numbers(2), [BOOT])
        self.assertEqual(server.self().tcp, 0)

    def test_closed(self) -> None:
        """When the server has stopped, the port is free, and neither version is to be had; it is who it was."""
        server = self.start(2)
        self.moment(3)
        self.assertNotIn(None, (server.discv4, server.discv5))
        before = server.self()
        stopping = server.stopService()
        self.moment(2)
        self.successResultOf(stopping)
        self.assertEqual((server.discv4, server.discv5), (None, None))
        self.assertEqual(server.self(), before)
        self.host(2).listenUDP(PORT, DatagramProtocol())


class OffTests(DiscoveryTestCase):
    """Without discovery."""

    def test_nothing_is_sent(self) -> None:
        """Not a datagram, nor a question to DNS, whatever bootnodes and lists there are; none is received either."""
        self.start(BOOT)
        server = self.start(2, discovery=False, dnsTrees=[url()], database=self.mktemp())
        self.moment(300)
        self.assertEqual([sending for sending in self.sent if sending[0] == addressOf(2)], [])
        self.assertEqual((self.resolver.asked, server.discv4), ([], None))
        self.assertEqual(server.nodeInfo()["ports"]["discovery"], 0)
        self.host(2).listenUDP(PORT, DatagramProtocol()).stopListening()
        self.moment()


class DatabaseTests(DiscoveryTestCase):
    """What is remembered over a restart."""

    def restart(self, number: int, **config: Any) -> Server:
        """Stop a node, and start it with the same key."""
        stopping = self.servers[number].stopService()
        self.moment(2)
        self.successResultOf(stopping)
        return self.start(number, **config)

    def test_anchors(self) -> None:
        """Peers that were good are dialled first, before anybody has been looked up."""
        path = self.mktemp()
        self.crowd(5)
        self.start(20, database=path)
        self.moment(USEFUL_AFTER + 10)
        good = {peer.node.node_id for peer in self.servers[20].peers() if not peer.inbound}
        server = self.restart(20, database=path)
        self.assertEqual(self.count(20, "candidates_dialed", source="anchors"), 2)
        first = {event.peer for event in self.events[20][:2]}
        self.assertLessEqual(first, {node_id.hex() for node_id in good})
        self.assertEqual(server.metrics.value("candidates_connected", source="anchors"), 2)

    def test_sequence(self) -> None:
        """The number of the record grows, also if the clock went back."""
        path = self.mktemp()
        first = self.start(2, database=path).self()
        self.patch(self, "make", lambda number, **config: self.past(number, path))
        second = self.restart(2).self()
        self.assertEqual(second.seq, first.seq + 1)

    def past(self, number: int, path: str) -> Server:
        """A node that believes in 2001."""
        server = DiscoveryTestCase.make(self, number, database=path)
        server._discovery._unixTime = lambda: 1e9
        return server

    def test_seeds(self) -> None:
        """Nodes that lived are known again, so that no bootnode is needed any more."""
        self.check_seeds()

    def test_seeds_of_v5_alone(self) -> None:
        """Those that answered over v5, where there is no v4, and that know where they are."""
        self.patch(self, "make", self.bound)
        self.check_seeds(discoveryVersions=("v5",))

    def bound(self, number: int, **config: Any) -> Server:
        """A node that listens at its address, and not at any, so that its record says where it is."""
        return DiscoveryTestCase.make(self, number, listen=f"tcp:{PORT}:interface={addressOf(number)}", **config)

    def check_seeds(self, **config: Any) -> None:
        path = self.mktemp()
        self.crowd(5)
        self.start(20, database=path, noDial=True, **config)
        self.moment(600)
        self.restart(20, database=path, bootnodes=[], **config)
        self.moment(30)
        self.assertGreater(self.count(20, "candidates_found", source="seeds"), 0)
        self.assertGreaterEqual(self.dialed(20), 2)  # two are dialled for each free slot

    def test_not_opened_before_the_start(self) -> None:
        """A server that is made, and becomes a daemon, opens the file only after that."""
        path = Path(self.mktemp())
        server = self.make(2, database=str(path))
        self.assertFalse(path.exists())
        self.successResultOf(server.startService())
        self.assertTrue(path.exists())

    def test_never_started(self) -> None:
        """One that never starts makes no file."""
        path = Path(self.mktemp())
        self.successResultOf(self.make(2, database=str(path)).stopService())
        self.assertFalse(path.exists())

    def test_unusable(self) -> None:
        """A file that cannot be used is warned of, and does not keep the node from running."""
        path = Path(self.mktemp())
        path.mkdir()
        self.assertTrue(self.start(2, database=str(path)).isRunning)
        self.assertIn("nothing will be remembered", self.warnings()[0])


class LonelyTests(DiscoveryTestCase):
    """A node that finds nobody."""

    def lines(self) -> list[str]:
        """What it said of having no peer."""
        return [line for line in self.warnings() if "no peer" in line]

    def test_says_what_was_tried(self) -> None:
        """After half a minute it says so, and why, and then every five minutes."""
        self.host(7)
        self.start(2, bootnodes=[node(BOOT), node(7)], dnsTrees=[url()], staticNodes=[node(7)])
        self.moment(NO_PEERS_AFTER - 1)
        self.assertEqual(self.lines(), [])
        self.moment(1)
        [line] = self.lines()
        self.assertIn("no peer for 30 s", line)
        for part in (
            "bootnodes: 2",
            "dials: 2",
            "ConnectionRefusedError 1",
            "candidates found: discv4 ",
            "answer over UDP: 0",
        ):
            self.assertIn(part, line)
        self.moment(2 * NO_PEERS_INTERVAL)
        self.assertEqual(len(self.lines()), 3)
        self.assertIn("no peer for 630 s", self.lines()[2])
        self.assertIn("TimeoutError", self.lines()[2])

    def test_unsent(self) -> None:
        """Packets that the system refuses to send, as without any network, are told of."""
        self.patch(self.network, "carry", self.unreachable)
        self.start(2)
        self.moment(NO_PEERS_AFTER)
        self.assertRegex(self.lines()[0], r"UDP packets that could not be sent: [1-9]")

    def unreachable(self, *sending: object) -> None:
        raise OSError(101, "Network is unreachable")

    def test_not_with_a_peer(self) -> None:
        """A node that has a peer says nothing; when the last has left, half a minute after that."""
        self.start(BOOT)
        server = self.start(2)
        self.moment(400)
        self.assertEqual((self.numbers(2), self.lines()), ([BOOT], []))
        self.servers[BOOT].stopService()
        self.moment(NO_PEERS_AFTER - 1)
        self.assertEqual((server.peerCount, self.lines()), (0, []))
        self.moment(2)
        self.assertEqual(len(self.lines()), 1)

    def test_who_dials_nobody(self) -> None:
        """A node that only waits for others finds nothing strange in being alone, nor one without anybody to dial."""
        self.start(2, noDial=True)
        self.start(3, discovery=False, bootnodes=[])
        self.moment(1000)
        self.assertEqual(self.lines(), [])

    def test_little_is_done(self) -> None:
        """Without a network an hour costs few turns of the reactor, and few packets."""
        turns = []
        host = self.host(2)
        later = host.callLater
        self.patch(host, "callLater", lambda *call, **more: (turns.append(call), later(*call, **more))[1])
        self.start(2, bootnodes=[node(BOOT), node(7)], dnsTrees=[url()])
        self.moment(3600)
        self.assertLess(len(turns), 6 * 3600)
        self.assertLess(len(self.sent), 6 * 3600)
        self.assertLess(len(host.getDelayedCalls()), 20)


class StopTests(DiscoveryTestCase):
    """Stopping, at any time, leaves nothing; the fixture looks."""

    def test_at_any_time(self) -> None:
        """While it begins, while it searches, and while it dials."""
        self.start(BOOT)
        self.start(3)
        for number, seconds in enumerate((0.0, 0.01, 0.3, 0.51, 1.0, 5.0, 15.0), 20):
            server = self.make(number, dnsTrees=[url()], staticNodes=[Node(keyOf(90).public_key), node(91)])
            starting = server.startService()
            self.network.advance(seconds)
            stopping = server.stopService()
            self.moment(2)
            self.successResultOf(starting)
            self.successResultOf(stopping)
            self.assertEqual(self.host(number).getDelayedCalls(), [])


class VersionTests(DiscoveryTestCase):
    """Discovery v4 and v5, which share a socket."""

    def make(self, number: int, **config: Any) -> Server:
        """Nodes with an address to tell, without which nobody is told of them by v5."""
        return super().make(number, listen=f"tcp:{PORT}:interface={addressOf(number)}", **config)

    def test_time_server(self) -> None:
        """It is asked once, whichever versions run."""
        for number, versions in enumerate((["v4"], ["v5"], ["v4", "v5"]), 50):
            server = self.start(number, discoveryVersions=versions, ntpServer="time.example")
            watches = [each._clock._server for each in (server.discv4, server.discv5) if each is not None]
            self.assertEqual(watches.count("time.example"), 1, versions)

    def test_v5_alone_finds_peers(self) -> None:
        self.start(BOOT, noDial=True, maxPeers=0, discoveryVersions=["v5"])
        for number in range(2, 9):
            self.start(number, discoveryVersions=["v5"])
        self.moment(60)
        for number in range(2, 9):
            self.assertGreaterEqual(len(self.numbers(number)), 2, number)  # of whom others may have dialled
            self.assertIsNone(self.servers[number].discv4)
        self.assertGreater(self.count(2, "candidates_found", source="discv5"), 0)

    def test_both_find_candidates(self) -> None:
        self.crowd(8, 60)
        info = self.servers[2].nodeInfo()["discovery"]
        self.assertGreater(info["discv4"]["nodes"], 0)
        self.assertGreater(info["discv5"]["nodes"], 0)
        self.assertGreater(info["discv5"]["sessions"], 0)
        found = [self.count(2, "candidates_found", source=source) for source in ("discv4", "discv5")]
        self.assertTrue(all(found), found)

    def test_static_node_without_address(self) -> None:
        """As soon as v5 knows somebody to ask, too."""
        for number in range(1, 6):
            self.start(number, discoveryVersions=["v5"])
        self.moment(60)
        static = [Node(keyOf(4).public_key)]
        self.start(20, chain=MAINNET, staticNodes=static, discoveryVersions=["v5"])
        self.moment(5)
        self.assertIn(4, self.numbers(20))

    def test_bootnodes_of_v5(self) -> None:
        """It begins with some of its own, too, which v4 does not ask."""
        self.start(BOOT, noDial=True, maxPeers=0, discoveryVersions=["v5"])
        for number, version in ((2, "v5"), (3, "v5"), (4, "v4")):
            self.start(number, discoveryVersions=[version], bootnodes=[], bootnodesV5=[node(BOOT)])
        self.moment(30)
        self.assertEqual((self.numbers(2), self.numbers(3), self.numbers(4)), ([3], [2], []))
        asking = {sender for sender, address in self.sent if address == addressOf(BOOT)}
        self.assertEqual(asking, {addressOf(2), addressOf(3)})
        self.assertIn("bootnodes: 0", self.warnings()[0])

    def test_v4_alone_speaks_no_v5(self) -> None:
        self.start(BOOT, noDial=True, maxPeers=0, discoveryVersions=["v4"])
        self.start(2, discoveryVersions=["v4"])
        self.moment(30)
        self.assertIsNone(self.servers[2].discv5)
        self.assertEqual(set(self.servers[2].nodeInfo()["discovery"]), {"discv4"})
        self.assertEqual(self.dialed(2), 0)
        self.assertEqual(self.count(2, "candidates_found", source="discv5"), 0)

    def test_record_over_v5(self) -> None:
        """Where there is no v4, v5 asks a candidate for the record that says of which chain it is."""
        for number in (2, 3):
            self.start(number, discoveryVersions=["v5"])
        fetched = self.servers[2]._discovery._fetch(node(3))
        self.moment()
        self.assertEqual(self.successResultOf(fetched).record, self.servers[3].self().record)

    def test_talk(self) -> None:
        self.crowd(3, 60)
        answering, asking = self.servers[2], self.servers[3]
        assert answering.discv5 is not None
        assert asking.discv5 is not None
        answering.discv5.registerTalk(b"shout", lambda request: request.message.upper())
        told = asking.discv5.talk(node(2), b"shout", b"hello")
        self.moment(3)
        self.assertEqual(self.successResultOf(told), b"HELLO")

    def test_unknown_version(self) -> None:
        self.assertRaises(ValueError, self.make, 2, discoveryVersions=["v3"])

    def test_no_version(self) -> None:
        """A socket would be opened, and used by nobody; where discovery is off, none is."""
        error = self.assertRaises(ValueError, self.make, 2, discoveryVersions=[])
        self.assertEqual(str(error), "discoveryVersions: discovery is on, so one version at least is wanted: v4, v5")
        self.make(2, discovery=False, discoveryVersions=[])
