"""
Tests for L{devp2p_tx.net.hostaddresses}.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from types import SimpleNamespace

import ifaddr
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.net.hostaddresses import interfacesOf, networksOf
from devp2p_tx.testing import MemoryNetwork


class NetworkTests(SynchronousTestCase):
    """The networks that a host is in."""

    def setUp(self) -> None:
        self.host = MemoryNetwork().host("192.168.1.7", "34.1.1.1", "fd00::7")

    def networks(self, address: str) -> list[str]:
        return sorted(map(str, networksOf(self.host, address)))

    def test_all(self) -> None:
        """Who listens everywhere, or nowhere, is in all of them but those of this host alone."""
        everywhere = sorted(["192.168.1.0/24", "34.1.1.0/24", "fd00::/64"])
        for address in ("", "0.0.0.0", "::"):
            self.assertEqual(self.networks(address), everywhere)

    def test_one(self) -> None:
        """Who listens at one address is in its network."""
        for address, network in [
            ("192.168.1.7", "192.168.1.0/24"),
            ("fd00::7", "fd00::/64"),
            ("127.0.0.9", "127.0.0.0/8"),
        ]:
            self.assertEqual(self.networks(address), [network])
        self.assertEqual(self.networks("10.0.0.1"), [])

    def test_prefixes(self) -> None:
        """A host of a pretended network says how large its networks are."""
        self.host.prefixes = {4: 16, 6: 48}
        self.assertEqual(self.networks("192.168.1.7"), ["192.168.0.0/16"])
        self.assertEqual(self.networks("fd00::7"), ["fd00::/48"])


class SystemTests(SynchronousTestCase):
    """The interfaces of this system."""

    def test_loopback(self) -> None:
        """Every system has it."""
        own = [each.ip for each in interfacesOf(object())]
        self.assertIn(ip_address("127.0.0.1"), own)
        self.assertEqual(networksOf(object(), "127.0.0.1"), [ip_network("127.0.0.0/8")])

    def test_both_families(self) -> None:
        """As the library tells them."""
        ips = [
            SimpleNamespace(ip="10.1.2.3", is_IPv4=True, network_prefix=16),
            SimpleNamespace(ip=("fe80::1", 0, 2), is_IPv4=False, network_prefix=64),
        ]
        self.patch(ifaddr, "get_adapters", lambda: [SimpleNamespace(ips=ips)])
        self.assertEqual(networksOf(object(), ""), [ip_network("10.1.0.0/16"), ip_network("fe80::/64")])

    def test_bad_entries(self) -> None:
        """What cannot be read costs only itself; what is there twice counts once."""
        ips = [
            SimpleNamespace(ip="10.1.2.3", is_IPv4=True, network_prefix=16),
            SimpleNamespace(ip="10.1.2.3", is_IPv4=True, network_prefix=99),
            SimpleNamespace(ip="", is_IPv4=True, network_prefix=16),
            SimpleNamespace(ip=("fe80::1%", 0, 2), is_IPv4=False, network_prefix=64),
            SimpleNamespace(ip="10.1.2.3", is_IPv4=True, network_prefix=16),
            SimpleNamespace(ip="10.7.2.3", is_IPv4=True, network_prefix=16),
        ]
        self.patch(ifaddr, "get_adapters", lambda: [SimpleNamespace(ips=ips)])
        self.assertEqual(list(map(str, interfacesOf(object()))), ["10.1.2.3/16", "10.7.2.3/16"])

    def test_refused(self) -> None:
        """Where the system does not tell, there are none."""

        def refuse() -> None:
            raise OSError(13, "Permission denied")

        self.patch(ifaddr, "get_adapters", refuse)
        self.assertEqual(networksOf(object(), ""), [])
