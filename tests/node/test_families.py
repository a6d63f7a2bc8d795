"""
Tests of nodes with IPv4, IPv6, or both.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.node.server import Server
from tests.node.families import BOTH, FOUR, SIX, FamiliesCase, publicAddress
from tests.node.support import PORT
from tests.node.test_discovery import BOOT


class ListeningTests(FamiliesCase):
    """Where a node listens."""

    def addresses(self, number: int) -> tuple[list[str], dict[int, int]]:
        """Where it listens, and its UDP ports by family."""
        server = self.servers[number]
        assert server.discv4 is not None
        assert server.discv4.edge is not None
        sockets = server.discv4.edge.sockets
        return server.nodeInfo()["listenAddrs"], {version: each.number for version, each in sockets.items()}

    def failed(self, server: Server) -> str:
        """Why a server does not start."""
        starting = server.startService()
        self.moment(2)
        return str(self.failureResultOf(starting, CannotListenError).value)

    def test_both(self) -> None:
        """A port alone is four sockets with one number."""
        server = self.start(2)
        self.assertEqual(self.addresses(2), ([f"0.0.0.0:{PORT}", f"[::]:{PORT}"], {4: PORT, 6: PORT}))
        self.assertEqual(server.nodeInfo()["listenAddr"], f"0.0.0.0:{PORT}")

    def test_family_that_is_not_there(self) -> None:
        """It is left out, and that is said once."""
        self.families.update({2: FOUR, 3: SIX})
        self.start(2)
        self.start(3)
        self.assertEqual(self.addresses(2), ([f"0.0.0.0:{PORT}"], {4: PORT}))
        self.assertEqual(self.addresses(3), ([f"[::]:{PORT}"], {6: PORT}))
        lines = [line for line in self.said() if "does without" in line]
        self.assertEqual(lines, [f"this host has no IPv{version}: the node does without" for version in (6, 4)])

    def test_taken(self) -> None:
        """A family whose port is taken fails the start, with a sentence that names it, and leaves nothing open."""
        for kind, interface, where in [
            ("TCP", "::", f"IPv6 TCP [::]:{PORT}"),
            ("TCP", "", f"IPv4 TCP 0.0.0.0:{PORT}"),
            ("UDP", "::", f"IPv6 UDP [::]:{PORT}"),
            ("UDP", "", f"IPv4 UDP 0.0.0.0:{PORT}"),
        ]:
            host = self.host(2)
            taken: Any = (
                host.listenTCP(PORT, Factory.forProtocol(Protocol), interface=interface)
                if kind == "TCP"
                else host.listenUDP(PORT, DatagramProtocol(), interface)
            )
            sentence = f"cannot listen on {where}: Address already in use (errno 98); another program"
            self.assertIn(sentence, self.failed(self.make(2)))
            taken.stopListening()
            self.moment()
        self.start(2)

    def test_any_port(self) -> None:
        """Any port is one number for all, if that can be."""
        self.start(2, listen=0)
        addresses, udp = self.addresses(2)
        number = udp[4]
        self.assertEqual((addresses, udp), ([f"0.0.0.0:{number}", f"[::]:{number}"], {4: number, 6: number}))

    def test_any_port_that_is_taken(self) -> None:
        """Otherwise the families have different numbers."""
        host = self.host(2)
        numbers = iter([50000, 50001, 50002])
        self.patch(host, "_allocate", lambda kind: next(numbers))
        host.listenTCP(50000, Factory.forProtocol(Protocol), interface="::")
        host.listenUDP(50001, DatagramProtocol(), interface="::")
        self.start(2, listen="0")
        self.assertEqual(self.addresses(2), (["0.0.0.0:50000", "[::]:50001"], {4: 50000, 6: 50002}))

    def test_several(self) -> None:
        """Several places; of each family the first is the one that is told, where discovery is, too."""
        here = publicAddress(2, 6)
        escaped = here.replace(":", r"\:")
        self.start(2, listen=[f"tcp:30304:interface={publicAddress(2, 4)}", 30305, f"tcp6:30306:interface={escaped}"])
        shown = [f"{publicAddress(2, 4)}:30304", "0.0.0.0:30305", "[::]:30305", f"[{here}]:30306"]
        self.assertEqual(self.addresses(2), (shown, {4: 30304, 6: 30305}))
        self.assertEqual((self.values(2)["tcp"], self.values(2)["tcp6"]), (30304, 30305))

    def test_one_family_by_choice(self) -> None:
        """An endpoint is what it says, for TCP and UDP, and of an IPv6 node the URL has an IPv6 address."""
        server = self.start(2, listen="tcp6:30303")
        self.assertEqual(self.addresses(2), ([f"[::]:{PORT}"], {6: PORT}))
        self.assertEqual(set(self.values(2)), {"ip6", "tcp6", "udp6"})
        self.assertTrue(server.nodeInfo()["enode"].endswith(f"@[{publicAddress(2, 6)}]:{PORT}"))

    def test_discovery_port(self) -> None:
        """It is that of both families."""
        self.start(2, discoveryPort=40404)
        self.assertEqual(self.addresses(2)[1], {4: 40404, 6: 40404})
        self.assertEqual((self.values(2)["udp"], self.values(2)["udp6"]), (40404, 40404))

    def test_not_listening(self) -> None:
        """Who does not listen looks for others in both families, at one port."""
        self.start(2, listen=None)
        addresses, udp = self.addresses(2)
        self.assertEqual((addresses, set(udp), len(set(udp.values()))), ([], {4, 6}, 1))
        self.assertEqual(set(self.values(2)), {"ip", "udp", "ip6", "udp6"})

    def test_stopped(self) -> None:
        """All of it is closed."""
        stopping = self.start(2).stopService()
        self.moment(2)
        self.successResultOf(stopping)
        for interface in ("", "::"):
            self.host(2).listenTCP(PORT, Factory.forProtocol(Protocol), interface=interface)
            self.host(2).listenUDP(PORT, DatagramProtocol(), interface)


class PairTests(FamiliesCase):
    """Nodes that have a family in common."""

    def test_every_pair_connects(self) -> None:
        """By the record of the other each reaches each, if there is a way at all."""
        kinds = [FOUR, SIX, BOTH]
        pairs = [(one, other) for one in kinds for other in kinds]
        for number, (one, other) in enumerate(pairs):
            caller, called = 10 + 2 * number, 11 + 2 * number
            self.families.update({caller: one, called: other})
            record = self.start(called, bootnodes=[], noDial=True).self()
            self.start(caller, discovery=False, staticNodes=[record])
        self.moment(20)
        for number, (one, other) in enumerate(pairs):
            connected = self.servers[10 + 2 * number].peerCount
            self.assertEqual(connected, 1 if set(one) & set(other) else 0, (one, other))

    def test_allowed_addresses(self) -> None:
        """Of a node's addresses those are dialled that may be; a node of which none may be is not."""
        record = self.start(2, bootnodes=[], noDial=True).self()
        for number, netrestrict, peers in ((3, "2600::/16", 1), (4, "34.0.0.0/8", 1), (5, "10.0.0.0/8", 0)):
            server = self.start(number, discovery=False, staticNodes=[record], netrestrict=Netlist.parse(netrestrict))
            self.moment(5)
            self.assertEqual(server.peerCount, peers, netrestrict)
        over = [peer.info()["network"]["remoteAddress"] for peer in self.servers[2].peers()]
        self.assertEqual(sorted(each[0] for each in over), ["3", "["])

    def test_all_find_each_other(self) -> None:
        """Knowing nothing but a bootnode with both, those who can talk find each other, by both versions."""
        self.families.update({2: FOUR, 3: FOUR, 4: SIX, 5: SIX})
        self.start(BOOT, noDial=True, maxPeers=0)
        for number in range(2, 8):
            bootnode = self.addressed(BOOT, 6 if number in (4, 5) else 4)
            self.start(number, bootnodes=[bootnode], maxPeers=24)
        self.moment(200)
        for one, other in combinations_with_replacement(range(2, 8), 2):
            common = set(self.families.get(one, BOTH)) & set(self.families.get(other, BOTH))
            self.assertEqual(other in self.numbers(one), bool(common) and one != other, (one, other))
        for number in range(2, 8):
            for discovery in (self.servers[number].discv4, self.servers[number].discv5):
                assert discovery is not None
                self.assertGreater(len(discovery.table), 1, (number, discovery.name))

    def test_nothing_is_sent_in_vain(self) -> None:
        """Who has one family sends nothing in the other, though it is told of nodes in both."""
        self.families.update({2: FOUR, 4: SIX})
        self.start(BOOT, noDial=True, maxPeers=0)
        for number in (2, 3, 4, 5):
            self.start(number, bootnodes=[self.addressed(BOOT, 6 if number == 4 else 4)])
        self.moment(60)
        self.assertEqual((self.count(2, "udp_unsent"), self.count(4, "udp_unsent")), (0, 0))
        asked = {address for sender, address in self.sent if sender in (publicAddress(2, 4), publicAddress(4, 6))}
        self.assertFalse({publicAddress(2, 6), publicAddress(4, 4)} & asked)
        self.assertTrue({publicAddress(3, 4), publicAddress(3, 6)} <= asked)

    def test_votes_by_family(self) -> None:
        """Where we are in one family is said by those who see us in it."""
        self.start(BOOT, noDial=True, maxPeers=0)
        for number in range(2, 16):
            self.families[number] = FOUR
            self.start(number, bootnodes=[self.addressed(BOOT, 4)], noDial=True)
        self.moment(120)
        shown = self.advertised(BOOT)
        self.assertEqual(shown["ip"], (publicAddress(BOOT, 4), "interface", "seen from outside"))
        self.assertEqual(shown["ip6"], (publicAddress(BOOT, 6), "interface", "not yet seen"))
