"""
Where a node in a home network sends packets when others tell of nodes in networks that are none of its business, as the
firewall of its own host sees it, with hosts in network namespaces.

Wants root, iproute2 and nftables.
"""

from __future__ import annotations

import re
import sys
from ipaddress import ip_address, ip_network

from twisted.internet.task import deferLater

from devp2p_tx.core.addressing.outgoing import (
    TCP_NETWORK_BURST,
    TCP_NETWORK_RATE,
    UDP_NETWORK_BURST,
    UDP_NETWORK_RATE,
)
from tests.interop.familynode import keyOf
from tests.interop.liar import treeURL
from tests.interop.namespaces import Host
from tests.interop.programs import OURS, Program
from tests.interop.routers import RouterTestCase

LIAR, NAMES = 3, 4
_TABLE = ("inet", "watch")
#: Networks that a node at 192.168.1.2 has no business in, unless its user says so...
CLOSED = ["100.64.0.0/10", "198.18.0.0/15", "10.0.0.0/8", "172.16.0.0/12", "192.168.7.0/24", "127.9.0.0/16"]
#: ...those where nobody ever has any...
NOBODYS = ["192.0.2.0/24", "240.0.0.0/4"]
#: ...and those in which it believes anybody.
HOME, WORLD = "192.168.1.128/25", "12.0.0.0/8"

#: Notes whom anything is sent to, and, of one network, which connections are begun, however often the system repeats
#: that, and how many datagrams go there.
_WATCH = """
table inet watch {
    set asked { type ipv4_addr . inet_proto; size 65535; flags dynamic; }
    set begun { type ipv4_addr . inet_service; size 65535; flags dynamic; }
    counter datagrams { }
    chain output {
        type filter hook output priority 0; policy accept;
        add @asked { ip daddr . meta l4proto }
        ip daddr 12.7.7.0/24 tcp flags & (syn | ack) == syn add @begun { ip daddr . tcp sport }
        ip daddr 12.7.7.0/24 udp dport 4000 counter name "datagrams"
    }
}
"""


class AddressTestCase(RouterTestCase):
    """A home network, and liars in the world outside."""

    def setUp(self) -> None:
        super().setUp()
        self.host = self.inside(2).nft(_WATCH).nameserver(f"11.0.0.{NAMES}")

    async def lie(self, *networks: str) -> None:
        """Start a node and a list that tell of nodes there."""
        told = ",".join(networks)
        liar = self.python(self.outside(LIAR), "liar", "node", told, str(LIAR), "--network=none", "--no-dial")
        names = self.python(self.outside(NAMES), "liar", "list", told, f"11.0.0.{NAMES}")
        for program in (liar, names):
            await program.says("^started")

    def python(self, host: Host, module: str, *arguments: str) -> Program:
        """Run one of our own programs."""
        return host.spawn(sys.executable, "-m", f"tests.interop.{module}", *arguments, **OURS)

    async def node(self, *options: str) -> Program:  # type: ignore[override]
        """A node that believes in both."""
        boot = f"enode://{keyOf(LIAR).public_key.to_bytes().hex()}@11.0.0.{LIAR}:30303"
        believing = ("--network=none", "--bootnodes", boot, "--dns-tree", treeURL(), "--max-peers=100")
        program = self.python(self.host, "familynode", "1", *believing, *options)
        await program.says("^started")
        return program

    def asked(self) -> dict[str, set[str]]:
        """The networks of the liars that anything was sent to, by C{udp} and C{tcp}."""
        found: dict[str, set[str]] = {"udp": set(), "tcp": set()}
        networks = [*map(ip_network, [*CLOSED, *NOBODYS, HOME, WORLD])]
        for address, kind in re.findall(
            r"([\d.]+) \. (udp|tcp)", self.host.run("nft", "list", "set", *_TABLE, "asked")
        ):
            found[kind].update(str(each) for each in networks if ip_address(address) in each)
        return found

    async def pause(self, seconds: float) -> None:
        from twisted.internet import reactor

        await deferLater(reactor, seconds)  # type: ignore[arg-type]

    def begun(self) -> int:
        """How many connections were."""
        return len(re.findall(r"[\d.]+ \. \d+", self.host.run("nft", "list", "set", *_TABLE, "begun")))

    def datagrams(self) -> int:
        """How many were sent."""
        found = re.search(r"packets (\d+)", self.host.run("nft", "list", "counter", *_TABLE, "datagrams"))
        assert found is not None
        return int(found[1])


class FilterTests(AddressTestCase):
    """Which networks are sent anything."""

    async def test_byDefault(self) -> None:
        """None that is not the node's own, or everybody's."""
        await self.lie(*CLOSED, *NOBODYS, HOME, WORLD)
        await self.node()
        await self.untilAsked(tcp={HOME, WORLD}, udp={WORLD})
        await self.pause(10)
        self.assertEqual(self.asked(), {"tcp": {HOME, WORLD}, "udp": {WORLD}})

    async def test_lan(self) -> None:
        """With C{--lan} those of private networks are, if the list names them; the world's nodes still may not."""
        await self.lie(*CLOSED, *NOBODYS, HOME, WORLD)
        await self.node("--lan")
        everywhere = {*CLOSED, HOME, WORLD}
        await self.untilAsked(tcp=everywhere, udp={WORLD, CLOSED[0]})
        self.assertEqual(self.asked(), {"tcp": everywhere, "udp": {WORLD, CLOSED[0]}})

    async def untilAsked(self, **wanted: set[str]) -> None:
        for _ in range(60):
            if all(self.asked()[kind] >= networks for kind, networks in wanted.items()):
                return
            await self.pause(0.5)
        self.fail(f"{wanted} were not all asked: {self.asked()}")


class BudgetTests(AddressTestCase):
    """How much is sent."""

    SECONDS = 20

    async def test_one_network(self) -> None:
        """However many nodes are told of in somebody's network, no more than the budget leaves the host for it."""
        await self.lie("12.7.7.0/24")
        await self.node()
        await self.pause(self.SECONDS)
        begun, datagrams = self.begun(), self.datagrams()
        late = self.SECONDS + 5
        self.assertTrue(TCP_NETWORK_BURST <= begun <= TCP_NETWORK_BURST + TCP_NETWORK_RATE * late, begun)
        self.assertTrue(UDP_NETWORK_BURST <= datagrams <= UDP_NETWORK_BURST + UDP_NETWORK_RATE * late, datagrams)
