"""
Tests of where whole nodes send, on a network in memory: which addresses, and how often; and of host names.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.logger import LogLevel, formatEvent

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.addressing.outgoing import OutgoingBudget
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.dialing.dialplan import DialPlan
from devp2p_tx.core.dialing.places import Places
from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import AddressRefused
from devp2p_tx.node.discovery import HOME_INTERVAL
from devp2p_tx.node.nopeers import NO_PEERS_AFTER
from devp2p_tx.node.server import Server
from devp2p_tx.node.sources import Candidates, ListSource
from devp2p_tx.testing import MemoryHost, Stage
from tests.net.discovery.test_dnstree import record, url
from tests.net.names.test_hostnames import PlayedServers
from tests.net.proxy.torcontrol import TorControlPort
from tests.node.support import PORT, ServerTestCase, addressOf, keyOf, node
from tests.node.test_discovery import BOOT, DiscoveryTestCase

PUBLIC = "34.1.1.1"
LOCAL = ["10.1.2.3", "192.168.7.7", "100.64.0.1", "198.18.0.1", "169.254.1.1", "240.0.0.1", "192.0.2.1"]


class SentTestCase(DiscoveryTestCase):
    """Nodes of which it is noted whom they send anything, over TCP too."""

    def setUp(self) -> None:
        super().setUp()
        self.dials: list[str] = []
        connect = MemoryHost.connectTCP

        def noting(host: MemoryHost, address: str, *rest: Any, **more: Any) -> Any:
            self.dials.append(address)
            return connect(host, address, *rest, **more)

        self.patch(MemoryHost, "connectTCP", noting)

    def refused(self, server: Server, reason: str, protocol: str = "rlpx") -> int:
        return server.metrics.value("addresses_refused", protocol=protocol, reason=reason)

    def lonely(self) -> str:
        """What the log says of having no peer."""
        return next(line for line in self.warnings() if "no peer" in line)


class SourceTests(SentTestCase):
    """Every source of candidates is filtered."""

    def publish(self, *addresses: str) -> None:
        """A list in DNS with nodes at these addresses."""
        from devp2p_tx.core.enr.entries import IP, TCP

        items = [((IP, ip_address(address)), (TCP, 30303)) for address in addresses]
        self.resolver.publish(*[record(number, *each) for number, each in enumerate(items, 50)])

    def test_dns(self) -> None:
        """From a list in DNS only what everybody can reach is dialled; the rest is counted, and told of."""
        self.publish(PUBLIC, "127.1.1.1", *LOCAL)
        server = self.start(2, listen="tcp:30303:interface=10.0.0.2", bootnodes=[], dnsTrees=[url()])
        self.moment(NO_PEERS_AFTER)
        self.assertEqual(set(self.dials), {PUBLIC})
        self.assertGreaterEqual(self.refused(server, "unreachable"), len(LOCAL) + 1)
        self.assertGreaterEqual(
            server.metrics.value("candidates_refused", source="dns", reason="unreachable"), len(LOCAL) + 1
        )
        self.assertRegex(self.lonely(), r"addresses refused: unreachable \d+ \(--lan allows")

    def test_own_networks(self) -> None:
        """Those of the networks that the host is in are dialled, and with C{lan} those of others that are in use."""
        self.publish(*LOCAL)
        self.host(2).prefixes[4] = 7  # 10.0.0.0/7
        self.start(2, bootnodes=[], dnsTrees=[url()])
        self.moment(10)
        self.assertEqual(set(self.dials), {"10.1.2.3"})
        self.start(3, bootnodes=[], dnsTrees=[url()], lan=True)
        self.moment(60)
        self.assertEqual(set(self.dials), set(LOCAL[:5]))

    def test_loopback(self) -> None:
        """
        Nobody else makes a node knock at doors of its own host, unless it is itself for that host alone, which it is
        not behind a proxy or Tor.
        """
        self.publish("127.1.1.1")
        wild = {"listen": PORT}, {"listen": None}, {"listen": f"haproxy:tcp:{PORT}:interface=127.0.0.1"}
        both = {"listen": [f"tcp:{PORT}:interface=127.0.0.1", f"tcp:4000:interface={addressOf(5)}"]}
        tor = self.host(6).listenTCP(9051, TorControlPort(), interface="127.0.0.1")
        onion = {"listen": [f"tcp:{PORT}:interface=127.0.0.1", f"onion:{PORT}:control=9051"]}
        for number, config in enumerate((*wild, both, onion), 2):
            starting = self.make(number, bootnodes=[], dnsTrees=[url()], **config).startService()
            self.moment(10)
            self.successResultOf(starting)
            self.assertGreater(self.refused(self.servers[number], "unreachable"), 0)
            self.assertNotIn("127.1.1.1", self.dials, config)
        tor.stopListening()
        for number, config in ((8, {"listen": f"tcp:{PORT}:interface=127.0.0.1"}), (9, {"lan": True})):
            self.dials.clear()
            self.start(number, bootnodes=[], dnsTrees=[url()], **config)
            self.moment(10)
            self.assertEqual(set(self.dials), {"127.1.1.1"}, config)

    def test_who_is_carried_elsewhere(self) -> None:
        """It is looked again, now and then, which networks the host is in."""
        self.publish("192.168.7.7")
        self.start(2, bootnodes=[], dnsTrees=[url()])
        self.moment(10)
        self.assertEqual(self.dials, [])
        self.host(2).addresses = ("192.168.7.1",)
        self.moment(HOME_INTERVAL + 10)
        self.assertEqual(set(self.dials), {"192.168.7.7"})

    def test_lists(self) -> None:
        """The user's lists hold for candidates."""
        self.publish(PUBLIC, "34.1.2.1", "34.2.1.1", "35.1.1.1")
        netrestrict, netdeny = Netlist.parse("34.0.0.0/8"), Netlist.parse("34.1.2.0/24,34.2.0.0/16")
        server = self.start(2, bootnodes=[], dnsTrees=[url()], netrestrict=netrestrict, netdeny=netdeny)
        self.moment(NO_PEERS_AFTER)
        self.assertEqual(set(self.dials), {PUBLIC})
        self.assertGreater(self.refused(server, "netdeny"), 1)
        self.assertGreater(self.refused(server, "netrestrict"), 0)
        self.assertNotIn("--lan", self.lonely())

    def test_discovery(self) -> None:
        """Nodes of other networks that are met by discovery are not told of, nor sent anything, whoever they are."""
        self.start(BOOT, noDial=True, maxPeers=0, lan=True)
        for number in (3, 4, 5):
            self.network.host(f"10.7.0.{number}")
        for number in (6, 7):
            self.start(number)
        far = [Node(keyOf(number).public_key, ip_address(f"10.7.0.{number}"), PORT, PORT) for number in (3, 4, 5)]
        boot = self.servers[BOOT]
        assert boot.discv4 is not None
        boot.discv4.table._admits = None
        for each in far:
            boot.discv4.table.add_found(each, self.network.clock.seconds())
        server = self.start(2)
        self.moment(20)
        self.assertEqual(self.numbers(2), [6, 7])
        asked = {address for sender, address in self.sent if sender == addressOf(2)}
        self.assertEqual({address for address in asked if address.startswith("10.7.")}, set())
        self.assertGreater(self.refused(server, "unreachable", "discv4"), 0)

    def test_seeds(self) -> None:
        """What was remembered of another place is not asked any more."""
        path = self.mktemp()
        self.crowd(4, 5)
        self.start(20, database=path, noDial=True)
        self.moment(600)
        stopping = self.servers[20].stopService()
        self.moment(2)
        self.successResultOf(stopping)
        self.sent.clear()
        self.host(20).addresses = ("192.168.7.1",)
        server = self.start(20, database=path, listen=None, bootnodes=[])
        self.moment(20)
        self.assertEqual([each for each in self.sent if each[0] == "192.168.7.1"], [])
        self.assertGreater(server.metrics.value("candidates_refused", source="seeds", reason="unreachable"), 0)


class UserTests(SentTestCase):
    """What the user names himself."""

    far = "10.7.7.7"

    def other(self, number: int = 3, **changes: Any) -> Node:
        return node(number, **{"ip": ip_address(self.far), **changes})

    def test_allowed(self) -> None:
        """Static nodes, bootnodes and dials may be anywhere."""
        self.network.host(self.far)
        server = self.start(2, staticNodes=[self.other()], bootnodes=[self.other(4)])
        connecting = server.connect(self.other(5))
        self.moment(25)
        self.failureResultOf(connecting)
        self.assertGreaterEqual(self.dials.count(self.far), 3)
        self.assertIn((addressOf(2), self.far), self.sent)
        self.assertEqual(self.refused(server, "unreachable"), 0)

    def test_denied(self) -> None:
        """But not where he denied it himself: nothing is sent there, and C{connect} says why."""
        netdeny = Netlist.parse("10.7.0.0/16")
        server = self.start(2, staticNodes=[self.other()], bootnodes=[self.other(4)], netdeny=netdeny)
        connecting = server.connect(self.other(5))
        self.moment(60)
        self.assertIn("10.7.7.7 may not be contacted", str(self.failureResultOf(connecting, AddressRefused).value))
        self.assertEqual((self.dials, [each for each in self.sent if each[1] == self.far]), ([], []))

    def test_inbound(self) -> None:
        """Who is denied is not let in, and not answered."""
        server = self.start(1, netdeny=Netlist.parse("10.0.0.3/32"))
        self.start(2, staticNodes=[node(1)])
        self.start(3, staticNodes=[node(1)], bootnodes=[node(1)])
        self.moment(10)
        self.assertEqual(self.numbers(1), [2])
        self.assertEqual(server.metrics.value("accepts_refused", reason="netdeny"), 1)
        self.assertNotIn((addressOf(1), addressOf(3)), self.sent)

    def test_static_not_dialed_by_what_others_say(self) -> None:
        """Where a static node is, is searched for only among addresses that may be dialled on the word of others."""
        self.host(3)
        server = self.start(2, staticNodes=[node(3)])
        assert server.discv4 is not None
        found: Deferred[Node] = Deferred()
        server._dialer._connector.resolve = lambda asked: found
        self.moment(36)
        found.callback(self.other())
        self.moment(80)
        self.assertEqual(self.refused(server, "unreachable"), 1)
        self.assertNotIn(self.far, self.dials)


class NamedCandidateTests(SentTestCase):
    """Candidates that a source of somebody else's knows by name only."""

    def offer(self, **config: Any) -> Server:
        """A server that is offered one."""
        self.network.names["found.example"] = ["10.7.7.7", "34.1.1.1", "127.0.0.5"]
        config = {"listen": "tcp:30303:interface=10.0.0.2", **config}
        server = self.start(2, discovery=False, **config)
        found = [node(30, ip=None, hostname="found.example")]
        line = Candidates([], [ListSource("list", found)], self.host(2), self.network.clock.seconds, server.metrics, 50)
        server._dialer.start(line)
        self.moment(5)
        return server

    def test_filtered(self) -> None:
        """What the name means is filtered as any other candidate's address."""
        server = self.offer()
        self.assertEqual(self.dials, ["34.1.1.1"])
        self.assertEqual(self.refused(server, "unreachable"), 2)

    def test_through_a_proxy(self) -> None:
        """Where nobody tells us what it means, it is not dialled."""
        server = self.offer(dialVia="socks5:10.0.0.98:1080")
        self.assertEqual((self.dials, server.metrics.value("dial_errors", kind="AddressRefused")), ([], 1))


class BudgetTests(SentTestCase):
    """How many connections are begun."""

    def serve(self, server: Server, addresses: Iterable[str], budget: OutgoingBudget) -> None:
        """Give a server these candidates, at each of which nobody listens."""
        dialer = server._dialer
        dialer._connector._budget = budget
        nodes = [node(number, ip=ip_address(address)) for number, address in enumerate(addresses, 30)]
        for each in nodes:
            self.network.host(str(each.ip))
        line = Candidates([], [ListSource("list", nodes)], self.host(2), self.network.clock.seconds, server.metrics, 50)
        dialer.start(line)
        self.moment(5)

    def test_one_network(self) -> None:
        """Candidates of one network beyond its budget are passed over; those of others are not."""
        server = self.start(2, discovery=False, maxPeers=150)
        addresses = [f"34.1.1.{number}" for number in range(1, 21)] + ["34.1.2.1"]
        self.serve(server, addresses, OutgoingBudget(100, 100, 1e-9, 4))
        self.assertEqual(sorted(self.dials), [*addresses[:4], "34.1.2.1"])
        self.assertEqual(self.refused(server, "budget"), 16)
        self.assertEqual(server.metrics.value("candidates_refused", source="list", reason="over_budget"), 16)

    def test_all_networks(self) -> None:
        """Nor are more begun in all; what the user names is, and counts."""
        server = self.start(2, discovery=False, maxPeers=150)
        server._dialer._connector._budget = budget = OutgoingBudget(1e-9, 4, 100, 100)
        self.network.host("34.9.9.9")
        connecting = server.connect(node(29, ip=ip_address("34.9.9.9")))
        self.moment()
        self.failureResultOf(connecting)
        self.serve(server, [f"34.1.{number}.1" for number in range(1, 21)], budget)
        self.assertEqual(len(self.dials), 4)
        for _ in range(3):
            connecting = server.connect(node(29, ip=ip_address("34.9.9.9")))
            self.moment()
            self.failureResultOf(connecting)
        self.assertEqual((len(self.dials), self.refused(server, "budget")), (7, 17))


class HostNameTests(ServerTestCase):
    """Nodes that are known by name."""

    named = node(2, ip=None, hostname="boot.example")

    def test_trusted(self) -> None:
        """A trusted node is known by its id: its name changes nothing, and nobody asks what it means."""
        asked: list[str] = []
        server = self.start(1, maxPeers=0, trustedNodes=[self.named])
        self.patch(server._names, "resolve", asked.append)
        self.call(2, 1)
        self.assertEqual((self.numbers(1), asked), ([2], []))

    def test_all_addresses_are_tried(self) -> None:
        """One after the other, until one is a peer."""
        self.network.names["boot.example"] = ["10.0.0.90", "2600::1", "10.0.0.91", addressOf(2)]
        self.start(2)
        self.start(1, staticNodes=[self.named])
        self.moment(2)
        self.assertEqual(self.numbers(1), [2])

    def test_denied_addresses_get_nothing(self) -> None:
        """Not even the beginning of a connection."""
        self.network.names["boot.example"] = [addressOf(7), addressOf(2)]
        denied = self.answer(7, Stage.CONNECTED)
        self.start(2)
        self.start(1, staticNodes=[self.named], netdeny=Netlist.parse(f"{addressOf(7)}/32"))
        self.moment(10)
        self.assertEqual(self.numbers(1), [2])
        self.assertIsNone(denied.transport)

    def test_all_denied(self) -> None:
        """The error says so, and it is counted."""
        self.network.names["boot.example"] = [addressOf(7), addressOf(8)]
        server = self.start(1, netrestrict=Netlist.parse("10.0.0.2/32"))
        connecting = server.connect(self.named)
        self.moment()
        error = self.failureResultOf(connecting, AddressRefused).value
        self.assertEqual(str(error), "10.0.0.7, 10.0.0.8 may not be contacted; see --netrestrict and --netdeny")
        self.assertEqual(server.metrics.value("dial_errors", kind="AddressRefused"), 1)
        self.assertEqual(server.metrics.value("addresses_refused", protocol="rlpx", reason="netrestrict"), 2)

    def test_without_an_address(self) -> None:
        """The dial fails with a sentence."""
        connecting = self.start(1).connect(self.named)
        self.moment()
        self.assertIn(
            "host name boot.example has no address", str(self.failureResultOf(connecting, DNSLookupError).value)
        )

    def test_bootnode_as_last_resort(self) -> None:
        """A bootnode that is dialled when there is no peer may have a name, too."""
        self.network.names["boot.example"] = [addressOf(2)]
        self.start(2)
        self.start(1, bootnodes=[self.named])
        self.moment(19)
        self.assertEqual(self.numbers(1), [])
        self.moment(2)
        self.assertEqual(self.numbers(1), [2])

    def test_time(self) -> None:
        """The name is looked up again when its time is over, and not before."""
        servers = PlayedServers(v4=[100])
        self.network.names["boot.example"] = [addressOf(9)]
        self.host(9)
        self.start(2)
        server = self.make(1, staticNodes=[self.named])
        server._names._makeResolver = lambda: servers
        server.startService()
        self.moment(1)
        self.network.names["boot.example"] = [addressOf(2)]
        self.moment(98)
        self.assertEqual((self.numbers(1), server.metrics.value("dials")), ([], 2))
        self.moment(7)
        self.assertEqual(self.numbers(1), [2])


class LonelyNameTests(DiscoveryTestCase):
    """A node that finds nobody since names mean nothing."""

    def test_named(self) -> None:
        """It says which, in the line that says why there is no peer; the names themselves are logged once each."""
        bootnodes = [node(3, ip=None, hostname="boot.example")]
        self.start(2, bootnodes=bootnodes, staticNodes=[node(4, ip=None, hostname="friend.example")])
        self.moment(NO_PEERS_AFTER * 10)
        lonely = [line for line in self.warnings() if "no peer" in line]
        self.assertIn("host names without an address: friend.example, boot.example", lonely[0])
        said = [line for line in self.warnings() if line.startswith("host name ")]
        self.assertEqual(len(said), 2)

    def test_comes_later(self) -> None:
        """A bootnode's name that means something only later is found without a restart, by both versions."""
        self.start(BOOT)
        server = self.start(2, bootnodes=[node(BOOT, ip=None, hostname="boot.example")])
        self.moment(100)
        self.assertEqual(self.numbers(2), [])
        self.network.names["boot.example"] = [addressOf(BOOT)]
        self.moment(300)
        self.assertEqual(self.numbers(2), [BOOT])
        self.assertEqual([len(each.table) for each in server._discovery.protocols], [1, 1])
        again = [formatEvent(event) for event in self.logged if event["log_level"] == LogLevel.info]
        self.assertIn("host name boot.example has an address again", again)


class PlanTests(ServerTestCase):
    """The plan's two questions."""

    def test_by_whom(self) -> None:
        """The same node, on the user's word and on that of others."""
        from random import Random

        plan = DialPlan(
            keyOf(1).public_key.node_id, Places(15, 5), 5, AddressPolicy(home=[ip_network("10.0.0.0/8")]), Random(1)
        )
        far = node(2, ip=ip_address("192.168.1.1"))
        self.assertIsNone(plan.check(far, by_user=True))
        refusal = plan.check(far)
        assert refusal is not None
        self.assertEqual(refusal.value, "is not globally reachable")
