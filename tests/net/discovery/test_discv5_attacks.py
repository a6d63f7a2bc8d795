"""
Tests for L{devp2p_tx.net.discovery.discv5}: what strangers try, on a network in memory.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from random import Random

from twisted.logger import LogEvent, globalLogPublisher

from devp2p_tx.core.addressing.addresses import PARSED_ADDRESSES, parse_address
from devp2p_tx.core.addressing.packetlimit import PacketRateLimiter
from devp2p_tx.core.addressing.sourcebudget import BURST, Allowance
from devp2p_tx.core.discv5 import packets
from devp2p_tx.core.discv5.packets import PacketWriter
from devp2p_tx.core.discv5.session import MAX_CHALLENGES
from devp2p_tx.errors import Timeout
from devp2p_tx.net.timing.lateness import INTERVAL
from tests.net.discovery.support import PORT
from tests.net.discovery.test_discv5 import DiscoveryV5TestCase

#: A budget that is never used up.
ENDLESS = Allowance(1e9, 10**9)


class FloodTestCase(DiscoveryV5TestCase):
    """Bob is flooded; Alice has a session with him."""

    def setUp(self) -> None:
        super().setUp()
        self.random = Random(3)
        self.mask = packets.mask_of(self.bob.key.public_key.node_id)
        self.result(self.alice.discovery.ping(self.bob.node))
        self.logged: list[LogEvent] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)
        self.calls = len(self.bob.host.getDelayedCalls())
        self.known = len(self.bob.discovery.table)

    def firstPacket(self) -> bytes:
        """A packet of somebody that nobody can read."""
        writer = PacketWriter(self.random.randbytes(32))
        head = writer.ordinary(self.random.randbytes(packets.IV_SIZE), self.random.randbytes(packets.NONCE_SIZE))
        return packets.masked(head, self.mask) + bytes(packets.RANDOM_MESSAGE_SIZE)

    def receive(self, datagram: bytes, source: str, port: int = PORT) -> None:
        """A datagram comes to Bob."""
        assert self.bob.discovery.edge is not None
        self.bob.discovery.edge.sockets[4].datagramReceived(datagram, (source, port))

    def refused(self, reason: str) -> int:
        """How many datagrams Bob refused, and why."""
        return self.bob.metrics.value("discv5_refused", reason=reason)

    def assertUnmoved(self) -> None:
        """There are no more sessions, nodes and delayed calls than before; nothing was logged; Alice is answered."""
        self.assertEqual((self.bob.discovery.sessions, len(self.bob.discovery.table)), (1, self.known))
        self.advance(INTERVAL)  # for one call at a time it is looked how late that comes
        self.assertEqual(len(self.bob.host.getDelayedCalls()), self.calls)
        self.assertEqual(self.logged, [])
        pong = self.result(self.alice.discovery.ping(self.bob.node))
        self.assertEqual(str(pong.ip), self.alice.ip)


class BudgetTests(FloodTestCase):
    """Bob has the budgets that nodes have."""

    def test_budget(self) -> None:
        """One host is challenged as often as its budget allows, and it is counted what is not."""
        for port in range(1, BURST + 101):
            self.receive(self.firstPacket(), "97.1.1.1", port)
        self.assertEqual(self.bob.metrics.value("udp_dropped", reason="over budget"), 100)
        self.assertEqual(self.bob.discovery.challenges, BURST)
        self.assertUnmoved()

    def test_noise(self) -> None:
        """What is of no protocol counts like any other packet, so that it is soon not even looked at."""
        for _ in range(BURST + 100):
            self.receive(self.random.randbytes(100), "97.1.1.1")
        self.assertEqual(self.refused("no discv5 packet"), BURST)
        self.assertEqual(self.bob.metrics.value("udp_dropped", reason="over budget"), 100)
        self.assertUnmoved()

    def test_ban(self) -> None:
        """Who is banned is not heard until the ban is over, not even in a session."""
        now = self.bob.discovery.seconds()
        self.bob.discovery.filter.ban_host(ip_address(self.alice.ip), now + 10)
        unheard = self.alice.discovery.ping(self.bob.node)
        self.advance(5)
        self.failureResultOf(unheard, Timeout)
        self.assertGreater(self.refused("banned"), 0)
        self.advance(5)
        self.result(self.alice.discovery.ping(self.bob.node))


class EndlessFloodTests(FloodTestCase):
    """Floods of which everything is looked at."""

    def setUp(self) -> None:
        limiter = PacketRateLimiter(strangers=ENDLESS, known=ENDLESS, source=ENDLESS, network=ENDLESS)
        self.bobsOptions = {"limiter": limiter}  # type: ignore[misc]
        super().setUp()

    def test_noise(self) -> None:
        """Random datagrams of all sizes are counted, and that is all."""
        for size in range(1400):
            self.receive(self.random.randbytes(size), "97.1.1.1")
        self.assertEqual(self.refused("no discv5 packet"), packets.MAX_SIZE + 1)
        self.assertEqual(self.bob.metrics.value("udp_dropped", reason="oversized"), 1400 - packets.MAX_SIZE - 1)
        self.assertEqual(self.bob.discovery.challenges, 0)
        self.assertUnmoved()

    def test_challenges(self) -> None:
        """10,000 endpoints of as many networks are challenged; no table grows beyond its bound."""
        for number in range(10_000):
            self.receive(self.firstPacket(), str(IPv4Address(0x61000000 + 256 * number)))
        self.assertEqual(self.bob.discovery.challenges, MAX_CHALLENGES)
        self.assertLessEqual(parse_address.cache_info().currsize, PARSED_ADDRESSES)
        self.assertUnmoved()
