"""
Tests for L{devp2p_tx.net.nat.stun} and L{devp2p_tx.net.nat.fixed}.
"""

from __future__ import annotations

from ipaddress import ip_address
from struct import pack

from devp2p_tx.core.nat.stunservers import SERVERS
from devp2p_tx.errors import RouterSilent
from devp2p_tx.interfaces import IPortMapper
from devp2p_tx.net.nat.fixed import FixedAddress
from devp2p_tx.net.nat.stun import MAX_SERVERS, PATIENCE, STUNClient
from tests.net.nat.support import OURS, TCP, NATTestCase, Scripted


def answer(question: bytes) -> bytes:
    """The answer of a server that sees us at 11.0.0.1."""
    mapped = pack(">HHBBHI", 0x20, 8, 0, 1, 0, 0x0B000001 ^ 0x2112A442)
    return pack(">HH", 0x0101, len(mapped)) + question[4:20] + mapped


class STUNTests(NATTestCase):
    """L{STUNClient}."""

    def make(self, server: tuple[str, int] | None = ("stun.example.org", 1234)) -> STUNClient:
        """A client."""
        return STUNClient(self.ours, self.asker, server, self.random, self.random.randbytes)

    def server(self, address: str, port: int = 1234) -> Scripted:
        """A server that answers."""
        return self.scripted(port, answer, self.network.host(address))

    def test_address(self) -> None:
        """A server, by its name, tells it; each question has a number of its own."""
        self.network.names["stun.example.org"] = ["198.51.100.7"]
        server, client = self.server("198.51.100.7"), self.make()
        self.assertTrue(IPortMapper.providedBy(client))
        self.assertEqual(client.name, "STUN by stun.example.org:1234")
        for _ in range(2):
            self.assertEqual(self.result(client.externalIP()), ip_address("11.0.0.1"))
        first, second = server.asked
        self.assertNotEqual(first[8:], second[8:])

    def test_other_family(self) -> None:
        """Of a server's addresses the first two of each family are asked, each once, IPv4 before IPv6."""
        v4 = [f"198.51.100.{last}" for last in (7, 8, 9)]
        self.network.names["stun.example.org"] = ["2600::7", v4[0], *v4]
        self.network.move(self.ours, OURS, "2600::2")
        silent = [self.scripted(1234, lambda _: None, self.network.host(each)) for each in v4]
        self.network.host("2600::7").listenUDP(1234, Scripted(answer), interface="::")
        self.assertEqual(self.result(self.make().externalIP()), ip_address("11.0.0.1"))
        self.assertEqual([len(each.asked) for each in silent], [len(PATIENCE), len(PATIENCE), 0])

    def test_first_address_is_dead(self) -> None:
        """A name whose first address does not answer, or cannot be reached at all."""
        self.network.names["stun.example.org"] = ["198.51.100.7", "198.51.100.8"]
        self.server("198.51.100.8")
        self.assertEqual(self.result(self.make().externalIP()), ip_address("11.0.0.1"))

    def test_no_name(self) -> None:
        """A name that has no address."""
        self.assertEqual(
            str(self.failure(self.make().externalIP(), RouterSilent)),
            "STUN requests failed: stun.example.org:1234: it has no address",
        )

    def test_known_servers(self) -> None:
        """Of those that are known some are tried, each once, until one answers."""
        asked: list[str] = []
        hosts = [host for host, _ in SERVERS if ":" not in host]

        def note(host: str) -> None:
            for port in (443, 3478):
                self.scripted(port, lambda _: asked.append(host), self.network.host(host))

        for host in dict.fromkeys(hosts):
            note(host)
        client = self.make(None)
        self.random.seed(5)
        why = str(self.failure(client.externalIP(), RouterSilent))
        self.assertEqual(why.count(": no answer from ") + why.count("cannot be asked"), MAX_SERVERS)
        tried = dict.fromkeys(asked)
        self.assertLessEqual(len(tried), MAX_SERVERS)
        self.assertEqual(len(asked), len(tried) * len(PATIENCE))

    def test_nothing_is_mapped(self) -> None:
        """What it maps stays as it is."""
        client = self.make()
        self.assertFalse(client.mapsPorts)
        self.assertEqual(self.result(client.addMapping(TCP)), TCP)
        self.assertTrue(self.result(client.hasMapping(TCP)))
        self.assertIsNone(self.result(client.deleteMapping(TCP)))


class FixedAddressTests(NATTestCase):
    """L{FixedAddress}."""

    def test_as_given(self) -> None:
        """The address is the user's word, and nothing is mapped."""
        fixed = FixedAddress(ip_address("11.0.0.9"))
        self.assertTrue(IPortMapper.providedBy(fixed))
        self.assertFalse(fixed.mapsPorts)
        self.assertEqual(self.successResultOf(fixed.externalIP()), ip_address("11.0.0.9"))
        self.assertEqual(self.result(fixed.addMapping(TCP)), TCP)
        self.assertTrue(self.result(fixed.hasMapping(TCP)))
        self.assertIsNone(self.result(fixed.deleteMapping(TCP)))
