"""
Nodes on hosts with IPv4, IPv6 or both, in network namespaces: the system's own sockets, routes and settings.

Wants root and iproute2.
"""

from __future__ import annotations

import re
import sys

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from devp2p_tx.core.addressing.addresses import parse_address
from devp2p_tx.core.enr.local import LocalRecord, Source
from tests.interop.familynode import keyOf
from tests.interop.journal import PATIENCE
from tests.interop.namespaces import Host, Network, Switch
from tests.interop.programs import OURS, Program

PORT = 30303
FOUR, SIX, BOTH = (4,), (6,), (4, 6)
#: What takes a port.
HOLDER = "import socket, sys; s = socket.socket(socket.{family}, socket.{kind}); s.bind(('{address}', {port})); {then}"
SERVE = "s.type == socket.SOCK_STREAM and s.listen(); print('held', flush=True); sys.stdin.read()"


def address(number: int, version: int) -> str:
    """The address of a host: public ones, since others would not be told."""
    return f"11.0.0.{number}" if version == 4 else f"2600:1::{number:x}"


def enode(number: int, version: int) -> str:
    """The URL of the node there."""
    host = address(number, version)
    key = keyOf(number).public_key.to_bytes().hex()
    return f"enode://{key}@{host if version == 4 else f'[{host}]'}:{PORT}"


class FamiliesCase(TestCase):
    """Hosts at one switch."""

    timeout = 4 * PATIENCE

    def setUp(self) -> None:
        self.network = Network()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.network.close()))
        self.lan: Switch = self.network.switch("lan")
        self.versions: dict[int, tuple[int, ...]] = {}

    def host(self, number: int, versions: tuple[int, ...] = BOTH) -> Host:
        """A host with addresses of some families."""
        self.versions[number] = versions
        prefixes = {4: 24, 6: 64}
        there = [f"{address(number, version)}/{prefixes[version]}" for version in versions]
        return self.network.host(f"h{number}").attach(self.lan, *there)

    def node(self, host: Host, number: int, *options: str) -> Program:
        """A node on a host, with places for all others."""
        every = ("--network", "none", "--max-peers", "40", "--dial-ratio", "2", "--listen", str(PORT))
        words = (sys.executable, "-m", "tests.interop.familynode", str(number), *every, *options)
        return host.spawn(*words, **OURS)

    def common(self, one: int, other: int) -> set[int]:
        """The families that two hosts have in common."""
        return set(self.versions[one]) & set(self.versions[other])


class PairTests(FamiliesCase):
    """Who can talk with whom."""

    async def test_everyPair(self) -> None:
        """
        Six hosts, two of each kind, whose nodes know one node with both families, and find each other: every pair that
        can talk, does, and nobody tries to do more.
        """
        kinds = {1: BOTH, 2: BOTH, 3: FOUR, 4: FOUR, 5: SIX, 6: SIX}
        hosts = {number: self.host(number, versions) for number, versions in kinds.items()}
        nodes = {1: self.node(hosts[1], 1)}
        await nodes[1].says("^started")
        for number in range(2, 7):
            version = max(self.common(1, number))
            nodes[number] = self.node(hosts[number], number, "--bootnodes", enode(1, version))
        for number in nodes:
            others = [other for other in nodes if other != number and self.common(number, other)]
            families = ["".join(map(str, sorted(self.common(number, other)))) for other in others]
            pattern = " ".join(f"{other}/IPv[{digits}]" for other, digits in zip(others, families, strict=True))
            await nodes[number].says(f"^peers {pattern}$")

    async def test_byRecord(self) -> None:
        """A static node that is known by a record with both addresses is dialled at the one that works."""
        called = self.node(self.host(1), 1, "--discovery", "none")
        await called.says("^started")
        for number, versions in ((3, FOUR), (5, SIX)):
            caller = self.node(self.host(number, versions), number, "--discovery", "none", "--static", self.record())
            await caller.says(rf"^peers 1/IPv{versions[0]}$")

    def record(self) -> str:
        """The record of node 1, as its host makes it."""
        local = LocalRecord(keyOf(1), 1)
        for version in BOTH:
            local.offer(Source.FLAG, version, parse_address(address(1, version)), PORT, PORT)
        return local.record(2).to_text()

    async def test_oneFamilyBreaks(self) -> None:
        """When IPv6 fails under a running node, its peers over IPv4 stay, and new ones come."""
        one = self.host(1)
        node = self.node(one, 1, "--discovery", "none")
        await node.says("^started")
        four = self.node(self.host(3, FOUR), 3, "--discovery", "none", "--static", enode(1, 4))
        six = self.node(self.host(5, SIX), 5, "--discovery", "none", "--static", enode(1, 6))
        await node.says("^peers 3/IPv4 5/IPv6$")
        one.run("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1")
        await node.says("^peers 3/IPv4$")
        late = self.node(self.host(4, FOUR), 4, "--discovery", "none", "--static", enode(1, 4))
        await late.says("^peers 1/IPv4$")
        await six.says("^peers$")
        self.assertEqual([line for line in four.lines if line.startswith("peers")], ["peers 1/IPv4"])


class SystemTests(FamiliesCase):
    """What the system allows."""

    async def test_withoutIPv6(self) -> None:
        """A host on which IPv6 is off does without it; the node says so in a line, and works."""
        one = self.host(1, FOUR)
        one.run("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.lo.disable_ipv6=1")
        node = self.node(one, 1)
        await node.says("this host has no IPv6: the node does without")
        await node.says("^started")
        other = self.node(self.host(2), 2, "--bootnodes", enode(1, 4))
        await other.says("^peers 1/IPv4$")

    async def test_bindv6only(self) -> None:
        """Whatever the system's default for sockets on :: is, both families are opened, at one number."""
        for number, default in ((1, "0"), (2, "1")):
            host = self.host(number)
            host.run("sysctl", "-q", "-w", f"net.ipv6.bindv6only={default}")
            await self.node(host, number).says("^started")
            listing = host.run("cat", "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6")
            bound = re.findall(rf"^ *\d+: (0+):{PORT:04X} ", listing, re.MULTILINE)
            self.assertEqual([len(each) for each in bound], [8, 32, 8, 32])

    async def test_taken(self) -> None:
        """A family in which the port is taken fails the start, and says which one it is."""
        for number, family, kind, any_, where in [
            (1, "AF_INET6", "SOCK_STREAM", "::", "IPv6 TCP [::]"),
            (2, "AF_INET6", "SOCK_DGRAM", "::", "IPv6 UDP [::]"),
            (3, "AF_INET", "SOCK_DGRAM", "0.0.0.0", "IPv4 UDP 0.0.0.0"),
        ]:
            host = self.host(number)
            # of IPv6 alone, so that it is in nobody else's way
            host.run("sysctl", "-q", "-w", "net.ipv6.bindv6only=1")
            taking = HOLDER.format(family=family, kind=kind, address=any_, port=PORT, then=SERVE)
            await host.spawn(sys.executable, "-c", taking).says("held")
            sentence = f"failed cannot listen on {where}:{PORT}: Address already in use (errno 98); "
            await self.node(host, number).says("^" + re.escape(sentence))


class ChangeTests(FamiliesCase):
    """An address that changes."""

    async def test_newAddress(self) -> None:
        """The record is signed anew, once, with all else as it was; peers over the other family notice nothing."""
        one = self.host(1)
        node = self.node(one, 1)
        ports = f"tcp={PORT}(interface) udp={PORT}(interface)"
        ports6 = f"tcp6={PORT}(interface) udp6={PORT}(interface)"
        six = f"ip6={address(1, 6)}(interface) {ports6}"
        await node.says("^record " + re.escape(f"ip={address(1, 4)}(interface) {ports} {six}") + "$")
        other = self.node(self.host(5, SIX), 5, "--discovery", "none", "--static", enode(1, 6))
        await other.says("^peers 1/IPv6$")
        one.readdress(self.lan, f"{address(1, 4)}/24", "11.0.0.77/24")
        await node.says("^record " + re.escape(f"ip=11.0.0.77(interface) {ports} {six}") + "$")
        late = self.node(
            self.host(3, FOUR), 3, "--discovery", "none", "--static", enode(1, 4).replace("0.0.1:", "0.0.77:")
        )
        await late.says("^peers 1/IPv4$")
        records = [line for line in node.lines if line.startswith("record") and "11.0.0.77" in line]
        self.assertEqual(len(records), 1)
        self.assertEqual([line for line in other.lines if line.startswith("peers")], ["peers 1/IPv6"])
