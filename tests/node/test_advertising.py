"""
Tests of what a node says of where it is, and of addresses that change while it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_interface
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.ipvote import ExternalEndpoint
from devp2p_tx.core.discv4.packets import WireEndpoint
from devp2p_tx.core.enr.local import HOLD
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.text.advertise import Advertise
from devp2p_tx.node.advertising import REFRESH_INTERVAL
from devp2p_tx.node.server import Server
from tests.net.discovery.support import Puppet
from tests.node.families import BOTH, FOUR, FamiliesCase, publicAddress
from tests.node.support import PORT
from tests.node.test_discovery import BOOT

#: As many as it takes, and some more.
VOTERS = range(20, 34)
#: Addresses at which not everybody reaches the same host, or nobody any.
NOWHERE = (
    *("0.0.0.0", "127.0.0.1", "10.1.1.1", "172.16.1.1", "169.254.1.1", "100.64.0.1", "192.0.2.1", "198.18.0.1"),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1", "::ffff:10.1.1.1"),
    *("::", "::1", "fe80::1", "fd00::1", "2001:db8::1", "2002:808:808::1", "ff02::1", "64:ff9b::a01:101", "3fff::1"),
)
UNSEEN, SEEN, CONTRADICTED = "not yet seen", "seen from outside", "contradicted"


class AdvertisingCase(FamiliesCase):
    """A node that says where it is, and others that say it too."""

    def crowdAround(self, number: int) -> None:
        """Others, who see it."""
        for other in VOTERS:
            self.start(other, bootnodes=[self.addressed(number, 4)], noDial=True)
        self.moment(120)

    def tell(self, server: Server) -> list[Node]:
        """What its subscribers are told of its record, from now on."""
        told: list[Node] = []
        server.subscribeRecords(told.append)
        return told

    def behindNAT(self, number: int) -> None:
        """A host that does not know the address by which others see it."""
        self.patch(
            self.host(number), "interfaces", lambda: [ip_interface("192.168.1.2/24"), ip_interface("fe80::2/64")]
        )


class InterfaceTests(AdvertisingCase):
    """What the host knows by itself."""

    def test_global(self) -> None:
        """Addresses that everybody can reach are said, with the ports, in all six entries."""
        self.start(2)
        four, six = publicAddress(2, 4), publicAddress(2, 6)
        expected = {"ip": four, "tcp": PORT, "udp": PORT, "ip6": six, "tcp6": PORT, "udp6": PORT}
        self.assertEqual(self.advertised(2), {key: (each, "interface", UNSEEN) for key, each in expected.items()})

    def test_others_are_left_out(self) -> None:
        """Those that lead nowhere from elsewhere are not, unless our user bound a socket to one."""
        lists: list[Sequence[str]] = [
            ["192.168.1.2", "10.0.0.2", "127.0.0.1", "169.254.1.2", "100.64.0.2", "198.18.0.2", "203.0.113.2"],
            ["fe80::2", "::1", "fd00::2", "2001:db8::2", "2002::2"],
        ]
        for number, texts in enumerate(lists, 2):
            ours = [ip_interface(text) for text in texts]
            self.patch(self.host(number), "interfaces", lambda ours=ours: ours)
            server = self.start(number)
            self.assertFalse({"ip", "ip6"} & set(self.values(number)))
            record = server.self().record
            assert record is not None
            self.assertEqual(Node.from_record(record).ip, None)
        self.assertIn("@127.0.0.1:", self.servers[2].nodeInfo()["enode"])
        self.assertIn("@[::1]:", self.servers[3].nodeInfo()["enode"])

    def test_private_network(self) -> None:
        """With C{lan} a private address is said, if there is just one; loopback and the like are none."""
        for number, texts in enumerate((["192.168.1.2", "127.0.0.1", "169.254.1.2"], ["192.168.1.2", "172.17.0.1"]), 2):
            ours = [ip_interface(text) for text in texts]
            self.patch(self.host(number), "interfaces", lambda ours=ours: ours)
            self.start(number, lan=True)
        self.assertEqual((self.values(2)["ip"], self.values(3).get("ip")), ("192.168.1.2", None))

    def test_bound(self) -> None:
        """The address that a socket is bound to is where the node is, by our user's own word."""
        self.start(2, listen=f"tcp:{PORT}:interface=127.0.0.1")
        self.assertEqual(self.values(2), {"ip": "127.0.0.1", "tcp": PORT, "udp": PORT})
        self.assertIn("@127.0.0.1:", self.servers[2].nodeInfo()["enode"])

    def test_looked_at_again(self) -> None:
        """A host that gets another address says so, once."""
        server = self.start(2, bootnodes=[])
        told = self.tell(server)
        self.network.move(self.host(2), "34.0.9.9", publicAddress(2, 6))
        self.moment(REFRESH_INTERVAL)
        self.assertEqual([str(each.ip) for each in told], ["34.0.9.9"])
        self.moment(3 * REFRESH_INTERVAL)
        self.assertEqual(len(told), 1)

    def test_system_that_does_not_say(self) -> None:
        """What was known stays."""
        answers = [self.host(2).interfaces()]
        self.patch(self.host(2), "interfaces", lambda: answers[0])
        self.start(2, bootnodes=[], noDial=True)
        before = self.values(2)
        answers[0] = []
        self.moment(REFRESH_INTERVAL)
        self.assertEqual(self.values(2), before)

    def test_without_discovery(self) -> None:
        """A node that is not looked for says where RLPx is."""
        self.start(2, discovery=False)
        self.assertEqual(set(self.values(2)), {"ip", "tcp", "ip6", "tcp6"})
        self.assertTrue(self.servers[2].nodeInfo()["enode"].endswith(f"@{publicAddress(2, 4)}:{PORT}"))


class FlagTests(AdvertisingCase):
    """What our user says."""

    def startSaying(self, number: int, text: str, **config: Any) -> Server:
        """A node that is told where it is."""
        return self.start(number, advertise=Advertise.parse(text), **{"bootnodes": [], "noDial": True, **config})

    def test_said(self) -> None:
        """It counts more than what the host knows; what is not said is found out as ever."""
        self.startSaying(2, "tcp=8.8.8.8:40404,udp6=[2600::8]:50505")
        shown = {key: each[:2] for key, each in self.advertised(2).items()}
        self.assertEqual(shown["ip"], ("8.8.8.8", "flag"))
        self.assertEqual(shown["tcp"], (40404, "flag"))
        self.assertEqual(shown["udp"], (PORT, "interface"))
        self.assertEqual(shown["ip6"], ("2600::8", "flag"))
        self.assertEqual(shown["tcp6"], (PORT, "interface"))
        self.assertEqual(shown["udp6"], (50505, "flag"))
        self.assertIn("@8.8.8.8:40404?discport=30303", self.servers[2].nodeInfo()["enode"])

    def test_never_overruled(self) -> None:
        """Everybody sees the node elsewhere, a router maps something else: that shows in the verdict, nowhere else."""
        self.startSaying(2, "tcp=8.8.8.8:40404,udp=8.8.8.8:40404")
        self.crowdAround(2)
        self.servers[2]._discovery.mapped("upnp", ip_address("9.9.9.9"), 1, 2)
        shown = self.advertised(2)
        self.assertEqual(shown["ip"], ("8.8.8.8", "flag", CONTRADICTED))
        self.assertEqual(shown["udp"], (40404, "flag", CONTRADICTED))
        self.assertEqual(shown["tcp"], (40404, "flag", UNSEEN))

    def test_name(self) -> None:
        """A name is looked up, for the address in its family, and looked up again; a change is signed once."""
        self.network.names["home.example"] = ["2600::8", "8.8.8.8"]
        server = self.startSaying(2, "tcp=Home.example:40404,tcp6=home.example:40406")
        self.assertEqual((self.values(2)["ip"], self.values(2)["ip6"]), ("8.8.8.8", "2600::8"))
        told = self.tell(server)
        self.network.names["home.example"] = ["2600::8", "9.9.9.9"]
        self.moment(REFRESH_INTERVAL + 1)
        self.assertEqual((self.values(2)["ip"], self.values(2)["ip6"]), ("9.9.9.9", "2600::8"))
        self.assertEqual([str(each.ip) for each in told], ["9.9.9.9"])
        self.moment(5 * REFRESH_INTERVAL)
        self.assertEqual(len(told), 1)

    def test_unknown_name(self) -> None:
        """While it has no address there is none in the record, whatever is found out; it is warned of once."""
        self.startSaying(2, "udp=home.example:40404")
        self.crowdAround(2)
        self.moment(3 * REFRESH_INTERVAL)
        self.assertEqual((self.values(2).get("ip"), self.values(2)["udp"]), (None, 40404))
        self.assertEqual(len([line for line in self.warnings() if "home.example" in line]), 1)
        self.network.names["home.example"] = ["8.8.8.8"]
        self.moment(3 * REFRESH_INTERVAL)
        self.assertEqual(self.values(2)["ip"], "8.8.8.8")

    def test_name_of_the_other_family(self) -> None:
        """So it is with a name that has addresses, and none of the family."""
        self.network.names["home.example"] = ["2600::8"]
        self.startSaying(2, "udp=home.example:40404")
        self.moment(3 * REFRESH_INTERVAL)
        self.assertEqual(self.values(2).get("ip"), None)
        self.assertEqual(self.warnings(), ["home.example, to be advertised, has no IPv4 address"])

    def test_name_that_is_lost(self) -> None:
        """What it meant last stays."""
        self.network.names["home.example"] = ["8.8.8.8"]
        self.startSaying(2, "udp=home.example:40404")
        del self.network.names["home.example"]
        self.moment(2 * REFRESH_INTERVAL)
        self.assertEqual((self.values(2)["ip"], len(self.warnings())), ("8.8.8.8", 1))

    def test_stopped_while_it_is_looked_up(self) -> None:
        """Nothing is left of it."""
        server = self.make(2, advertise=Advertise.parse("udp=home.example:40404"))
        self.successResultOf(server.startService())
        stopping = server.stopService()
        self.moment(2)
        self.successResultOf(stopping)
        self.assertEqual(self.host(2).getDelayedCalls(), [])


class MappingTests(AdvertisingCase):
    """What a router or a STUN server says."""

    def test_mapped(self) -> None:
        """All of it comes into the record with one number, and is told; when the address is lost mapped ports stay."""
        self.behindNAT(2)
        server = self.start(2, bootnodes=[])
        told = self.tell(server)
        server._discovery.mapped("upnp", ip_address("9.9.9.9"), 1111, 2222)
        self.moment()
        shown = {key: each[:2] for key, each in self.advertised(2).items() if not key.endswith("6")}
        mapped = {"ip": ("9.9.9.9", "mapping"), "tcp": (1111, "mapping"), "udp": (2222, "mapping")}
        self.assertEqual(shown, mapped)
        self.assertEqual([(str(each.ip), each.tcp, each.udp) for each in told], [("9.9.9.9", 1111, 2222)])
        server._discovery.mapped("upnp", None, 1111, None)
        self.moment(HOLD)
        self.assertEqual((self.values(2).get("ip"), self.values(2)["tcp"], len(told)), (None, 1111, 2))
        server._discovery.mapped("upnp", ip_address("9.9.9.10"), None, 3333)
        self.assertEqual((self.values(2)["ip"], self.values(2)["tcp"], self.values(2)["udp"]), ("9.9.9.10", 1111, 3333))

    def test_router_that_does_not_answer_once(self) -> None:
        """The record stays as it is, for five minutes; a port that is mapped anew meanwhile is taken."""
        self.behindNAT(2)
        server = self.start(2, bootnodes=[])
        server._discovery.mapped("upnp", ip_address("9.9.9.9"), 1111, 2222)
        self.moment()
        told = self.tell(server)
        for _ in range(5):
            for said in ((None, 1111, 2222), (None, None, None), (ip_address("9.9.9.9"), 1111, 2222)):
                self.assertEqual(server._discovery.mapped("upnp", *said), "")
                self.moment(120)
        self.assertEqual((told, self.values(2)["ip"]), ([], "9.9.9.9"))
        server._discovery.mapped("upnp", None, 5555, 2222)
        self.assertEqual((self.values(2)["ip"], self.values(2)["tcp"]), ("9.9.9.9", 5555))
        self.moment(HOLD - 1)
        self.assertEqual(self.values(2)["ip"], "9.9.9.9")
        self.moment(1)
        self.assertIsNone(self.values(2).get("ip"))

    def test_lost(self) -> None:
        """When nothing is mapped any more, and no address known, the rest is forgotten."""
        self.behindNAT(2)
        server = self.start(2, bootnodes=[])
        for said in ((ip_address("9.9.9.9"), 1111, 2222), (None, None, None)):
            server._discovery.mapped("upnp", *said)
        self.moment(HOLD)
        self.assertEqual(self.values(2), {"tcp": PORT, "udp": PORT})

    def test_another_nat(self) -> None:
        """What a router says that is behind another one counts less than what other nodes see, ports included."""
        self.behindNAT(2)
        server = self.start(2, bootnodes=[])
        for source in ("upnp", "stun"):
            said = server._discovery.mapped(source, ip_address("192.168.5.6"), 1111, 2222)
            self.assertIn("192.168.5.6 is not announced", said)
            self.assertEqual(self.values(2), {"tcp": PORT, "udp": PORT})
        self.crowdAround(2)
        shown = {key: each[1] for key, each in self.advertised(2).items()}
        self.assertEqual(shown, {"ip": "votes", "udp": "votes", "tcp": "interface"})
        self.assertEqual(server._discovery.mapped("extip", ip_address("192.168.5.6"), None, None), "")
        self.assertEqual(self.values(2)["ip"], "192.168.5.6")

    def test_addresses_of_no_use(self) -> None:
        """Whatever a router or a STUN server says that is not globally reachable is not announced, in either family."""
        for number, ip in enumerate(NOWHERE, 2):
            self.families[number] = BOTH
            self.behindNAT(number)
            server = self.start(number, bootnodes=[])
            for source in ("upnp", "pcp", "natpmp", "stun"):
                said = server._discovery.mapped(source, ip_address(ip), 1111, 2222)
                self.assertIn("is not announced", said, (ip, source))
                self.assertEqual(self.values(number), {"tcp": PORT, "udp": PORT}, (ip, source))
        server._discovery.mapped("stun", ip_address("::ffff:9.9.9.9"), None, None)
        self.assertEqual(self.values(number)["ip"], "9.9.9.9")

    def test_network_that_is_joined(self) -> None:
        """A network that the node comes to be in is its world from then on."""
        server = self.start(2, bootnodes=[])
        server._discovery.mapped("upnp", ip_address("192.168.5.6"), 1111, 2222)
        self.assertEqual(self.values(2)["ip"], publicAddress(2, 4))
        ours = [ip_interface("192.168.5.9/24")]
        self.patch(self.host(2), "interfaces", lambda: ours)
        self.moment(2 * REFRESH_INTERVAL)
        self.assertEqual((self.values(2)["ip"], self.values(2)["tcp"]), ("192.168.5.6", 1111))

    def test_family_without_a_socket(self) -> None:
        """An address at which nothing listens is not announced."""
        self.families[2] = (6,)
        server = self.start(2, bootnodes=[], listen=f"tcp6:{PORT}")
        self.assertIn("over IPv4", server._discovery.mapped("stun", ip_address("9.9.9.9"), None, None))
        self.assertEqual(set(self.values(2)), {"ip6", "tcp6", "udp6"})

    def test_ipv6(self) -> None:
        """A way through for IPv6 is none for IPv4."""
        self.start(2, bootnodes=[])._discovery.mapped("pcp", ip_address("2600::9"), 1111, 2222)
        shown = {key: each[1] for key, each in self.advertised(2).items()}
        sources = dict.fromkeys(("ip", "tcp", "udp"), "interface") | dict.fromkeys(("ip6", "tcp6", "udp6"), "mapping")
        self.assertEqual(shown, sources)

    def test_stun(self) -> None:
        """A server's word counts less than that of many nodes."""
        self.behindNAT(2)
        server = self.start(2, bootnodes=[])
        server._discovery.mapped("stun", ip_address("9.9.9.9"), None, None)
        self.assertEqual(self.advertised(2)["ip"], ("9.9.9.9", "STUN", UNSEEN))
        self.crowdAround(2)
        self.assertEqual(self.advertised(2)["ip"], (publicAddress(2, 4), "votes", SEEN))


class VerdictTests(AdvertisingCase):
    """What others see."""

    def test_seen(self) -> None:
        """The address and UDP port by votes, the TCP port when a node from outside is let in."""
        self.start(2, bootnodes=[])
        self.crowdAround(2)
        shown = self.advertised(2)
        self.assertEqual([shown[key][2] for key in ("ip", "udp", "tcp")], [SEEN, SEEN, UNSEEN])
        self.families[3] = FOUR
        self.start(3, discovery=False, staticNodes=[self.addressed(2, 4)])
        self.moment(5)
        shown = self.advertised(2)
        self.assertEqual((shown["tcp"][2], shown["tcp6"][2]), (SEEN, UNSEEN))


class ChangeTests(AdvertisingCase):
    """An address that changes while the node runs, which its host knows, too."""

    isBehindNAT = False
    source = "interface"

    def setUp(self) -> None:
        """A node with many others, of which one is its peer over IPv4, and one over IPv6."""
        super().setUp()
        if self.isBehindNAT:
            self.behindNAT(BOOT)
        self.server = self.start(BOOT, bootnodes=[], noDial=True)
        self.crowdAround(BOOT)
        self.peers = {4: self.start(3, bootnodes=[], staticNodes=[self.addressed(BOOT, 4)])}
        self.peers[6] = self.start(4, bootnodes=[], staticNodes=[self.addressed(BOOT, 6)])
        self.moment(5)
        self.assertEqual(self.numbers(BOOT), [3, 4])

    def change(self) -> list[Node]:
        """Another IPv4 address, for some minutes; what its subscribers are told."""
        told = self.tell(self.server)
        self.seq = self.server.self().seq
        self.network.move(self.host(BOOT), "34.0.99.1", publicAddress(BOOT, 6))
        self.moment(8 * 60)
        return told

    def test_signed_once(self) -> None:
        """Votes move one after the other, the record is signed once, and that is told once."""
        self.assertEqual(self.advertised(BOOT)["ip"], (publicAddress(BOOT, 4), self.source, SEEN))
        told = self.change()
        self.assertEqual([(str(each.ip), each.seq) for each in told], [("34.0.99.1", self.seq + 1)])
        self.assertEqual(self.advertised(BOOT)["ip"], ("34.0.99.1", self.source, SEEN))
        self.assertEqual(self.server.self().seq, self.seq + 1)

    def test_others_learn_of_it(self) -> None:
        """Nodes that knew us know the new record, and where we are."""
        self.change()
        known = [self.servers[number].discv4.table.get(self.server.self().node_id) for number in VOTERS]  # type: ignore[union-attr]
        there = [each for each in known if each is not None and str(each.ip) == "34.0.99.1"]
        self.assertGreater(len(there), len(VOTERS) // 2)
        self.assertEqual({each.seq for each in there}, {self.seq + 1})

    def test_peers_that_survive(self) -> None:
        """Who speaks with us over the other family notices nothing; who does over this one loses us, as by silence."""
        self.events[BOOT].clear()
        self.events[4].clear()
        self.network.move(self.host(BOOT), "34.0.99.1", publicAddress(BOOT, 6))
        self.moment(60)
        self.assertEqual(self.numbers(BOOT), [4])
        [drop] = self.events[BOOT]
        self.assertEqual((drop.type.value, drop.error), ("drop", "nothing to read in time (open)"))
        self.assertEqual((self.events[4], self.peers[6].peerCount), ([], 1))

    def test_sessions(self) -> None:
        """Sessions of discovery v5 are made anew, and requests in both directions succeed."""
        before = self.server.discv5.sessions if self.server.discv5 else 0
        self.assertGreater(before, len(VOTERS) // 2)
        self.change()
        other = self.servers[VOTERS[0]]
        assert self.server.discv5 is not None
        assert other.discv5 is not None
        there, back = self.server.discv5.ping(other.self()), other.discv5.ping(self.server.self())
        self.moment(5)
        self.assertEqual(str(self.successResultOf(there).ip), "34.0.99.1")
        self.successResultOf(back)

    def test_log(self) -> None:
        """It is one line."""
        self.change()
        [line] = [each for each in self.said() if "34.0.99.1" in each]
        self.assertRegex(
            line, r"^local record updated: seq=\d+ ip=34.0.99.1 \(from \w+\) tcp=30303 \(from interface\) .* enr=enr:"
        )


class ChangeBehindNATTests(ChangeTests):
    """The same where the host itself does not know its address."""

    isBehindNAT = True
    source = "votes"


class LiarTests(AdvertisingCase):
    """Nodes that have many addresses, and bond with us over the network."""

    #: Where they say that we are, by the family of the address.
    CLAIMS = (ip_address("6.6.6.6"), ip_address("2a00::666"))

    def lie(self, addresses: Sequence[str]) -> None:
        """Each pings, answers, and pings again, and says that we are elsewhere."""
        for number, address in enumerate(addresses, 1000):
            puppet = Puppet(self.network, number, address)
            there = SimpleNamespace(ip=publicAddress(2, ip_address(address).version))
            for claim in self.CLAIMS:
                stated = WireEndpoint(claim.packed, 666, 0)
                puppet.send(puppet.makePing(stated=stated), there)  # type: ignore[arg-type]
                puppet.pong(there, stated)  # type: ignore[arg-type]
                puppet.send(puppet.makePing(stated=stated), there)  # type: ignore[arg-type]

    def check(self, addresses: Sequence[str]) -> None:
        """They change nothing, and are no reason to sign the record again."""
        self.patch(self.host(2), "interfaces", lambda: [ip_interface("192.168.1.2/24"), ip_interface("fd00::2/64")])
        server = self.start(2, bootnodes=[], noDial=True)
        told, before = self.tell(server), self.values(2)
        self.lie(addresses)
        self.moment(1)
        self.assertEqual((self.values(2), told), (before, []))
        assert server.discv4 is not None
        self.assertGreater(sum(len(votes) for votes in self.votes(server)), 0)

    def votes(self, server: Server) -> list[Any]:
        """What is remembered of the statements."""
        families = server._discovery.local._families.values()
        return [list(each.votes._statements.values()) for each in families]

    def test_one_network_of_ipv6(self) -> None:
        """Thirty of one /64 say nothing of our IPv4 address, and one thing of the IPv6 one."""
        self.check([f"2a0e:1000::{number:x}" for number in range(1, 31)])

    def test_one_provider_of_ipv6(self) -> None:
        """Nor do thirty /64s of one /32, or the eight /32s of a /29."""
        addresses = [f"2a0e:1000:{number:x}::1" for number in range(1, 31)]
        self.check([*addresses, *(f"2a0e:100{number}:99::1" for number in range(8))])

    def test_one_provider_of_ipv4(self) -> None:
        """Nor do thirty /24s of one /16, or of four /16s side by side."""
        self.check([f"66.{number % 4}.{number}.1" for number in range(60)])


class PortDisputeTests(AdvertisingCase):
    """A NAT that shows each node another port."""

    def state(self, server: Server, ports: Sequence[int]) -> None:
        """Nodes that are not there state our endpoint, each another one, maybe."""
        for number, port in enumerate(ports):
            endpoint = ExternalEndpoint(ip_address("8.8.8.8"), port)
            server._discovery.local.add_statement(ip_address(f"5.{number}.1.1"), endpoint, self.network.clock.seconds())

    def test_said_once(self) -> None:
        """The address is announced with our own port, and one line says so; another one when it is over."""
        self.behindNAT(2)
        server = self.start(2, bootnodes=[], noDial=True, discoveryPort=40404)
        for _ in range(4):
            self.state(server, range(20000, 20120))
            self.moment(REFRESH_INTERVAL)
        shown = {key: each[:2] for key, each in self.advertised(2).items()}
        expected = {"ip": ("8.8.8.8", "votes"), "tcp": (PORT, "interface"), "udp": (40404, "interface")}
        self.assertEqual(shown, expected)
        [line] = [each for each in self.warnings() if "8.8.8.8" in each]
        for part in ("udp=40404", "--nat", "--advertise udp=HOST:PORT"):
            self.assertIn(part, line)
        for _ in range(3):
            self.state(server, [20000] * 120)
            self.moment(REFRESH_INTERVAL)
        self.assertEqual(self.values(2)["udp"], 20000)
        self.assertEqual(len([each for each in self.said() if "is known again" in each]), 1)
        self.assertEqual(len([each for each in self.warnings() if "8.8.8.8" in each]), 1)

    def test_port_that_is_known(self) -> None:
        """Where a router mapped the port, or our user named it, there is nothing to say."""
        self.behindNAT(2)
        server = self.start(2, bootnodes=[], noDial=True)
        server._discovery.mapped("upnp", None, None, 5555)
        self.state(server, range(20000, 20120))
        self.moment(REFRESH_INTERVAL)
        self.assertEqual((self.values(2)["udp"], self.warnings()), (5555, []))


class SeveralAddressesTests(AdvertisingCase):
    """Where there are several addresses the record does not change from one to another and back."""

    def test_interfaces(self) -> None:
        """The system lists them in another order; the one announced is left only when it is gone."""
        texts = ["34.0.7.1/24", "34.0.8.1/24"]
        self.patch(self.host(2), "interfaces", lambda: [ip_interface(text) for text in texts])
        server = self.start(2, bootnodes=[], noDial=True)
        told = self.tell(server)
        texts.reverse()
        self.moment(3 * REFRESH_INTERVAL)
        self.assertEqual((self.values(2)["ip"], told), ("34.0.7.1", []))
        texts.remove("34.0.7.1/24")
        self.moment(REFRESH_INTERVAL)
        self.assertEqual(self.values(2)["ip"], "34.0.8.1")

    def test_name(self) -> None:
        """Name servers return the addresses of a name in turn."""
        self.network.names["home.example"] = ["8.8.8.8", "9.9.9.9"]
        advertise = Advertise.parse("udp=home.example:40404")
        server = self.start(2, advertise=advertise, bootnodes=[], noDial=True)
        server.self()
        self.moment()
        told, before = self.tell(server), self.values(2)["ip"]
        self.network.names["home.example"] = ["9.9.9.9", "8.8.8.8"]
        self.moment(3 * REFRESH_INTERVAL)
        self.assertEqual((self.values(2)["ip"], told), (before, []))

    def test_name_of_nowhere(self) -> None:
        """What can be no node's is left out, and loopback comes last."""
        self.network.names["home.example"] = ["0.0.0.0", "224.0.0.1", "127.0.1.1", "8.8.8.8"]
        self.start(2, advertise=Advertise.parse("udp=home.example:1"), bootnodes=[], noDial=True)
        self.assertEqual(self.values(2)["ip"], "8.8.8.8")
        self.network.names["nowhere.example"] = ["0.0.0.0", "224.0.0.1"]
        self.start(3, advertise=Advertise.parse("udp=nowhere.example:1"), bootnodes=[], noDial=True)
        self.assertIsNone(self.values(3).get("ip"))
        self.assertIn("nowhere.example, to be advertised, has no IPv4 address", self.warnings())


class ConstantTests(SynchronousTestCase):
    """What others can observe, against literals."""

    def test_interval(self) -> None:
        """As the documentation has it."""
        self.assertEqual(REFRESH_INTERVAL, 120.0)
