"""
Tests for L{devp2p_tx.node.tried}: what a node without peers says of why.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.enr.entries import ETH, IP, TCP
from devp2p_tx.core.forkid import MAINNET, ForkID
from devp2p_tx.node.nopeers import NO_PEERS_AFTER, SETTLED
from tests.net.discovery.test_dnstree import record, url
from tests.node.support import node
from tests.node.test_discovery import BOOT, DiscoveryTestCase


class Broken:
    """A resolver that knows nothing."""

    def __init__(self, error: Exception) -> None:
        """
        @param error: what each lookup fails with.
        """
        self.error = error

    def lookupText(self, name: str, timeout: Any = None) -> Deferred[Any]:
        return fail(self.error)


class TriedTestCase(DiscoveryTestCase):
    """Reads the line."""

    def line(self, seconds: float = NO_PEERS_AFTER) -> str:
        """What the log says of having no peer, after so long."""
        self.moment(seconds)
        return next(line for line in self.warnings() if "no peer for" in line)


class SourceTests(TriedTestCase):
    """Sources that fail wholly."""

    def broken(self, error: Exception) -> None:
        """Have DNS fail."""
        self.patch(self, "resolver", lambda: Broken(error))

    def test_dns(self) -> None:
        """If every lookup in DNS fails it is named, with the last reason, and counted."""
        self.broken(OSError(101, "Network is unreachable"))
        server = self.start(2, bootnodes=[], dnsTrees=[url()])
        line = self.line()
        self.assertRegex(line, r"sources that fail: dns: none of 1 lists can be read \(OSError: .*unreachable\)")
        self.assertGreater(server.metrics.value("source_failures", source="dns", reason="OSError"), 1)

    def test_dns_works(self) -> None:
        """Where one is answered it is not named, whatever the others do."""
        self.resolver.publish(record(50))
        server = self.start(2, bootnodes=[], dnsTrees=[url(), url("nowhere.example")])
        self.assertNotIn("dns:", self.line())
        self.patch(self.resolver, "texts", {})
        self.moment(4000)
        self.assertIn("none of 2 lists can be read", server._discovery.failing()["dns"])

    def test_bootnodes(self) -> None:
        """If no bootnode answers that is said, of each version of discovery."""
        server = self.start(2, bootnodes=[node(BOOT), node(7)])
        line = self.line()
        for version in ("discv4", "discv5"):
            self.assertIn(f"{version} bootnodes: none of 2 answers (no answer over UDP)", line)
            self.assertGreater(
                server.metrics.value("source_failures", source=f"{version} bootnodes", reason="Timeout"), 1
            )

    def test_one_bootnode(self) -> None:
        """One that answers is enough, and one that comes back, too."""
        self.start(BOOT, noDial=True, maxPeers=0)
        self.start(2, bootnodes=[node(BOOT), node(7)], maxPeers=1, dialRatio=1)
        self.assertNotIn("bootnodes: none", self.line())
        server = self.start(3, bootnodes=[node(5)], discoveryVersions=["v4"])
        self.moment(60)
        self.assertIn("discv4 bootnodes", server._discovery.failing())
        self.start(5, noDial=True, maxPeers=0)
        self.moment(60)
        self.assertEqual(server._discovery.failing(), {})

    def test_bootnodes_shut_out(self) -> None:
        """It says so if it is our user's own lists that shut them out, or if they have no address."""
        self.start(2, netrestrict=Netlist.parse("10.0.0.2/32"))
        self.assertIn("none of 1 answers (--netrestrict or --netdeny shuts it out)", self.line())

    def test_bootnodes_without_address(self) -> None:
        """Or no family in common."""
        self.start(2, bootnodes=[node(BOOT, ip=None, hostname="boot.example")])
        self.assertIn("none of 1 answers (it has no address)", self.line())

    def test_source_that_ends(self) -> None:
        """A source that fails for good is named with its error."""
        self.start(2, bootnodes=[])
        candidates = self.servers[2]._discovery._candidates
        assert candidates is not None
        candidates._ended(Failure(ValueError("broken")), "discv4")
        self.flushLoggedErrors(ValueError)
        self.assertIn("it failed for good (ValueError: broken)", self.line())


class CandidateTests(TriedTestCase):
    """Candidates that are not dialed."""

    def test_by_reason(self) -> None:
        """They are counted by reason."""
        self.resolver.publish(*[record(number, (IP, node(number).ip), (TCP, 30303)) for number in range(50, 60)])
        self.start(2, bootnodes=[], dnsTrees=[url()], netdeny=Netlist.parse("10.0.0.0/8"))
        self.assertRegex(self.line(), r"candidates found: dns \d+; candidates not dialed: denied \d+")


class StaticTests(TriedTestCase):
    """Static nodes that are never dialed."""

    def test_never_dialed(self) -> None:
        """They are counted by reason, also without discovery."""
        self.start(
            2,
            discovery=False,
            bootnodes=[],
            staticNodes=[node(3), node(4), node(5, tcp=0)],
            netrestrict=Netlist.parse("192.168.0.0/16"),
        )
        self.assertIn(
            "dials: 0; static nodes that are never dialed: is not in the netrestrict list 2, has no TCP port 1",
            self.line(),
        )

    def test_flapping(self) -> None:
        """A node whose peers all leave at once says that it has none."""
        self.start(3, discovery=False, bootnodes=[])
        self.servers[3].subscribeEvents(lambda event: [peer.disconnect(3) for peer in self.servers[3].peers()])
        self.start(2, discovery=False, bootnodes=[], staticNodes=[node(3)])
        self.assertIn("no peer for 30 s", self.line())
        self.moment(SETTLED + 300)
        self.assertGreater(self.kinds(2).count("add"), 5)
        self.assertEqual(len([line for line in self.warnings() if "no peer for" in line]), 2)


class ForkTests(TriedTestCase):
    """Nodes at another fork."""

    upgraded = ForkID(bytes.fromhex("6c1d9424"), 0)

    def publish(self, forks: dict[int, ForkID]) -> None:
        """A list of nodes in as many networks, at these forks."""
        items = {number: [(IP, ip_address(f"34.1.{number}.1")), (TCP, 30303)] for number in forks}
        self.resolver.publish(*[record(number, (ETH, fork), *items[number]) for number, fork in forks.items()])

    def test_upgrade(self) -> None:
        """If most are at one that this version does not know, the line says so; refusals are counted by id."""
        self.publish(dict.fromkeys(range(50, 62), self.upgraded))
        server = self.start(2, bootnodes=[], dnsTrees=[url()], chain=MAINNET)
        line = self.line()
        self.assertIn("most nodes found are at fork id 6c1d9424, which this version does not know: upgrade", line)
        self.assertGreater(server.metrics.value("fork_refused", id="6c1d9424", where="candidate"), 8)

    def test_not_most(self) -> None:
        """If it is half of them, only how many there are."""
        ours = MAINNET.fork_id(0, 0)
        self.publish({number: self.upgraded if number % 2 else ours for number in range(50, 70)})
        self.start(2, bootnodes=[], dnsTrees=[url()], chain=MAINNET)
        line = self.line()
        self.assertRegex(line, r"nodes of other forks or chains: \d+")
        self.assertNotIn("upgrade", line)
