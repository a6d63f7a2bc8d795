"""
go-ethereum's conformance suites, run by its C{devp2p} tool against a node with default options: on loopback, and over
two bridges as hive does it, with the tester at an address of each. And nodes of one host that find each other.

All of it is in network namespaces without a way out. Wants root and iproute2.
"""

from __future__ import annotations

import re
import sys

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.interop.familynode import keyOf
from tests.interop.foreign import devp2p
from tests.interop.journal import PATIENCE
from tests.interop.namespaces import Host, Network
from tests.interop.programs import OURS, Program

PORT = 30303
#: How many tests each suite of the pinned version has.
TESTS = {"discv4": 15, "discv5": 10}
#: As many connections as a test of the eth suite makes within the interval of the throttle, and more.
CONNECTIONS = 12


def enode(number: int, host: str, port: int = PORT) -> str:
    """The URL of a node."""
    return f"enode://{keyOf(number).public_key.to_bytes().hex()}@{host}:{port}"


class ConformanceCase(TestCase):
    """Hosts, nodes of ours, and the tool."""

    timeout = 6 * PATIENCE

    def setUp(self) -> None:
        """Build the tool, which blocks, so that no test's time is spent on it."""
        self.tool = devp2p()
        self.network = Network()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.network.close()))

    async def node(self, host: Host, number: int = 1, *options: str) -> Program:
        """A node with default options, but for those given, and no public network."""
        every = ("--network", "none", "--data-dir", self.mktemp(), *options)
        program = host.spawn(sys.executable, "-m", "tests.interop.familynode", str(number), *every, **OURS)
        await program.says("^started")
        return program

    async def ended(self, host: Host, *words: str) -> Program:
        """Run the tool to its end."""
        program = host.spawn(*self.tool, *words, HOME=self.mktemp())
        await program.whenEnded()
        return program

    async def conforms(self, host: Host, version: str, remote: str, *listen: str) -> None:
        """Run a suite; every test of it has to pass."""
        options = ["--tap", *(word for pair in zip(("--listen1", "--listen2"), listen, strict=False) for word in pair)]
        asked = ["--remote", remote] if version == "discv4" else [remote]
        program = await self.ended(host, version, "test", *options, *asked)
        results = [match for line in program.lines if (match := re.match(r"(not ok|ok) \d+ (.*)", line))]
        failed = [match[0] for match in results if match[1] != "ok"]
        self.assertEqual((failed, len(results)), ([], TESTS[version]), program.report())


class LoopbackTests(ConformanceCase):
    """All on one host that has nothing but loopback."""

    def setUp(self) -> None:
        super().setUp()
        self.host = self.network.host("alone")

    async def test_discv4(self) -> None:
        """Discovery v4."""
        await self.node(self.host)
        await self.conforms(self.host, "discv4", enode(1, "127.0.0.1"))

    async def test_discv5(self) -> None:
        """Discovery v5."""
        await self.node(self.host)
        await self.conforms(self.host, "discv5", enode(1, "127.0.0.1"))

    async def test_three(self) -> None:
        """
        Three nodes of one host, of which each but the first knows the first, find each other; each is asked for its
        record at the URL that it logs.
        """
        boot = enode(1, "127.0.0.1")
        for number, node in (await self.three()).items():
            logged = next(line.removeprefix("started ") for line in node.lines if line.startswith("started "))
            self.assertEqual(logged, enode(number, "127.0.0.1", PORT + number if number > 1 else PORT))
            asked = await self.ended(self.host, "discv4", "requestenr", "--bootnodes", boot, logged)
            self.assertTrue(any(line.startswith("enr:") for line in asked.lines), asked.report())

    async def test_threeOfDiscv5(self) -> None:
        """The same without discovery v4, in which records carry the addresses."""
        await self.three("--discovery", "v5")

    async def three(self, *options: str) -> dict[int, Program]:
        """Start three nodes, and wait until each has the others for peers."""
        nodes = {1: await self.node(self.host, 1, "--listen", str(PORT), *options)}
        for number in (2, 3):
            listen = ("--listen", str(PORT + number), "--bootnodes", enode(1, "127.0.0.1"))
            nodes[number] = await self.node(self.host, number, *listen, *options)
        for number, node in nodes.items():
            one, other = (other for other in nodes if other != number)
            await node.says(rf"^peers {one}/IPv4 {other}/IPv4$")
        return nodes

    async def test_connections(self) -> None:
        """
        RLPx connections from loopback, one right after the other as the eth suite makes them, are not throttled: each
        gets our Hello.
        """
        await self.node(self.host)
        for _ in range(CONNECTIONS):
            program = await self.ended(self.host, "rlpx", "ping", enode(1, "127.0.0.1"))
            self.assertIn("devp2p-tx", program.report())


class BridgeTests(ConformanceCase):
    """A node and a tester at two bridges each; the second address of the tester is at the other one."""

    def setUp(self) -> None:
        super().setUp()
        bridges = [self.network.switch(name) for name in ("bridge", "network1")]
        self.hosts = [self.network.host(name) for name in ("node", "tester")]
        for number, host in enumerate(self.hosts, 2):
            for subnet, bridge in enumerate(bridges, 17):
                host.attach(bridge, f"172.{subnet}.0.{number}/16")

    async def conformsThere(self, version: str) -> None:
        node, tester = self.hosts
        await self.node(node)
        await self.conforms(tester, version, enode(1, "172.18.0.2"), "172.17.0.3", "172.18.0.3")

    async def test_discv4(self) -> None:
        """Discovery v4."""
        await self.conformsThere("discv4")

    async def test_discv5(self) -> None:
        """Discovery v5."""
        await self.conformsThere("discv5")
