"""
Tests for L{devp2p_tx.core.enr.nodeendpoint}.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.nodeendpoint import NodeEndpoint, endpoint4, endpoint6, locality, preferred_endpoint
from devp2p_tx.core.enr.record import Record

KEY = PrivateKey(b"\1" * 32)
V6 = "2001::ff00:0042:8329"


def record(**pairs: Any) -> Record:
    """A record with addresses as text and ports as numbers."""
    values = {
        name.encode(): ip_address(value).packed if isinstance(value, str) else value.to_bytes(2, "big").lstrip(b"\0")
        for name, value in pairs.items()
    }
    return Record.sign(KEY, 1, values)


# go-ethereum p2p/enode/node_test.go, TestNodeEndpoints: entries -> ip, udp, tcp, port of the QUIC endpoint.
# Its last case, a DNS name, is the business of whoever adds the name.
CASES: list[tuple[str, dict[str, Any], str | None, int, int, int]] = [
    ("no-addr", {}, None, 0, 0, 0),
    ("udp-only", {"udp": 9000}, None, 9000, 0, 0),
    ("tcp-only", {"tcp": 9000}, None, 0, 9000, 0),
    ("quic-only", {"quic": 9000}, None, 0, 0, 0),
    ("quic6-only", {"quic6": 9000}, None, 0, 0, 0),
    ("ipv4-only-loopback", {"ip": "127.0.0.1"}, "127.0.0.1", 0, 0, 0),
    ("ipv4-only-unspecified", {"ip": "0.0.0.0"}, "0.0.0.0", 0, 0, 0),
    ("ipv4-only", {"ip": "99.22.33.1"}, "99.22.33.1", 0, 0, 0),
    ("ipv6-only", {"ip6": V6}, V6, 0, 0, 0),
    ("loopback and global", {"ip": "127.0.0.1", "udp": 30304, "ip6": V6, "udp6": 30306}, V6, 30306, 0, 0),
    ("unspecified and loopback", {"ip": "0.0.0.0", "ip6": "::1"}, "::1", 0, 0, 0),
    ("private and global", {"ip": "192.168.2.2", "udp": 30304, "ip6": V6, "udp6": 30306}, V6, 30306, 0, 0),
    ("local and global", {"ip": "169.254.2.6", "udp": 30304, "ip6": V6, "udp6": 30306}, V6, 30306, 0, 0),
    (
        "private and private",
        {"ip": "192.168.2.2", "udp": 30304, "ip6": "fd00::abcd:1", "udp6": 30306},
        "192.168.2.2",
        30304,
        0,
        0,
    ),
    (
        "private and link-local",
        {"ip": "192.168.2.2", "udp": 30304, "ip6": "fe80::1", "udp6": 30306},
        "192.168.2.2",
        30304,
        0,
        0,
    ),
    ("ipv4-quic", {"ip": "99.22.33.1", "quic": 9001}, "99.22.33.1", 0, 0, 9001),
    ("ipv4-quic6", {"ip": "99.22.33.1", "quic6": 9001}, "99.22.33.1", 0, 0, 0),
    ("ipv6-quic", {"ip6": V6, "quic": 9001}, V6, 0, 0, 0),
    ("ipv6-quic6", {"ip6": V6, "quic6": 9001}, V6, 0, 0, 9001),
    ("dns-only", {"udp": 30303, "tcp": 30303}, None, 30303, 30303, 0),
    # ours
    ("multicast", {"ip": "224.0.0.1", "udp": 1}, None, 1, 0, 0),
    ("multicast and loopback", {"ip": "224.0.0.1", "udp": 1, "ip6": "::1"}, "::1", 1, 0, 0),
    ("shared ports", {"ip": "10.0.0.1", "udp": 1, "tcp": 2, "ip6": V6}, V6, 1, 2, 0),
    ("own ports", {"ip6": V6, "udp": 1, "tcp": 2, "tcp6": 4}, V6, 1, 4, 0),
    (
        "IPv4 in IPv6 clothes",
        {"ip6": "::ffff:99.22.33.1", "udp": 1, "tcp": 2, "udp6": 3, "tcp6": 4, "quic": 5},
        "99.22.33.1",
        1,
        2,
        5,
    ),
]


class EndpointTests(SynchronousTestCase):
    """The endpoints that a record announces."""

    def test_preferred(self) -> None:
        """The more global address wins, IPv4 if equal."""
        for name, pairs, ip, udp, tcp, quic in CASES:
            endpoint = preferred_endpoint(record(**pairs))
            self.assertEqual(endpoint.ip, None if ip is None else ip_address(ip), name)
            self.assertEqual((endpoint.udp, endpoint.tcp), (udp, tcp), name)
            address = endpoint.quic_address()
            self.assertEqual(address[1] if address else 0, quic, name)

    def test_families(self) -> None:
        """Each family's own."""
        both = record(ip="10.0.0.1", udp=1, tcp=2, quic=3, ip6="2a00::1", udp6=4, tcp6=5, quic6=6)
        self.assertEqual(endpoint4(both), NodeEndpoint(ip_address("10.0.0.1"), 1, 2, 3))
        self.assertEqual(endpoint6(both), NodeEndpoint(ip_address("2a00::1"), 4, 5, 6))
        self.assertIsNone(endpoint6(record(ip="10.0.0.1")).ip)

    def test_wanted_families(self) -> None:
        """Who has one family takes the endpoint in it, however far it reaches; without one there is none."""
        both = record(ip="99.1.1.1", udp=1, tcp=2, ip6="fd00::1", udp6=4, tcp6=5)
        for versions, ip, udp in [((4, 6), "99.1.1.1", 1), ((4,), "99.1.1.1", 1), ((6,), "fd00::1", 4), ((), None, 1)]:
            endpoint = preferred_endpoint(both, versions)
            self.assertEqual((endpoint.ip, endpoint.udp), (None if ip is None else ip_address(ip), udp), versions)
        self.assertIsNone(preferred_endpoint(record(ip="99.1.1.1", udp=1), (6,)).ip)
        mapped = record(ip6="::ffff:99.1.1.1", udp=1)
        self.assertEqual(preferred_endpoint(mapped, (4,)).ip, ip_address("99.1.1.1"))
        self.assertIsNone(preferred_endpoint(mapped, (6,)).ip)

    def test_both_readings(self) -> None:
        """Without ports of its own the IPv6 endpoint has those of IPv4; who writes them means the same."""
        short, long = record(ip6=V6, udp=1, tcp=2), record(ip6=V6, udp=1, tcp=2, udp6=1, tcp6=2)
        self.assertEqual(preferred_endpoint(short), preferred_endpoint(long))
        alone = record(ip6=V6, udp6=1, tcp6=2)
        self.assertEqual(preferred_endpoint(alone), preferred_endpoint(long))

    def test_usable(self) -> None:
        """There is nothing to send to without an address or without a port."""
        ip = ip_address("10.0.0.1")
        endpoint = NodeEndpoint(ip, 1, 2, 3)
        self.assertEqual(endpoint.udp_address(), (ip, 1))
        self.assertEqual(endpoint.tcp_address(), (ip, 2))
        self.assertEqual(endpoint.quic_address(), (ip, 3))
        self.assertIsNone(NodeEndpoint(ip, 0, 2, 3).udp_address())
        self.assertIsNone(NodeEndpoint(ip, 1, 0, 3).tcp_address())
        self.assertIsNone(NodeEndpoint(ip_address("::"), 1, 2, 3).udp_address())
        self.assertIsNone(NodeEndpoint(None, 1, 2, 3).tcp_address())

    def test_locality(self) -> None:
        """From nothing to everywhere."""
        ranks = ["224.0.0.1", "0.0.0.0", "127.0.0.1", "169.254.0.1", "10.0.0.1", "99.1.1.1"]
        self.assertEqual([locality(ip_address(text)) for text in ranks], [-1, 0, 1, 2, 3, 4])
        ranks = ["ff02::1", "::", "::1", "fe80::1", "fd00::1", "2a00::1"]
        self.assertEqual([locality(ip_address(text)) for text in ranks], [-1, 0, 1, 2, 3, 4])
        self.assertEqual(locality(None), -1)
