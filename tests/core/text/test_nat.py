"""
Tests for L{devp2p_tx.core.text.nat}.
"""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.text.nat import Mechanism, NATSpecification
from devp2p_tx.errors import InvalidNAT

parse = NATSpecification.parse


class ParseTests(SynchronousTestCase):
    """L{NATSpecification.parse}, and its inverse."""

    def test_words(self) -> None:
        """Every word that go-ethereum knows, and C{pcp}; case does not matter."""
        words = {
            Mechanism.NONE: ("", "none", "off", "NONE", "Off"),
            Mechanism.ANY: ("any", "auto", "on", "ANY"),
            Mechanism.UPNP: ("upnp", "UPnP"),
            Mechanism.NAT_PMP: ("pmp", "natpmp", "nat-pmp", "NAT-PMP"),
            Mechanism.PCP: ("pcp", "PCP"),
            Mechanism.STUN: ("stun", "STUN", "stun:"),
        }
        for mechanism, texts in words.items():
            for text in texts:
                self.assertEqual(parse(text), NATSpecification(mechanism), text)

    def test_addresses(self) -> None:
        """The address of extip is ours, in either family; that of NAT-PMP and PCP is the router's."""
        ours, router = ip_address("77.12.33.4"), ip_address("192.168.0.1")
        self.assertEqual(parse("extip:77.12.33.4"), NATSpecification(Mechanism.FIXED, ours))
        self.assertEqual(parse("ip:77.12.33.4"), NATSpecification(Mechanism.FIXED, ours))
        self.assertEqual(parse("ExtIP:::ffff:77.12.33.4"), NATSpecification(Mechanism.FIXED, ours))
        self.assertEqual(parse("extip:2a00::1"), NATSpecification(Mechanism.FIXED, ip_address("2a00::1")))
        self.assertEqual(parse("pmp:192.168.0.1"), NATSpecification(Mechanism.NAT_PMP, router))
        self.assertEqual(parse("pcp:192.168.0.1"), NATSpecification(Mechanism.PCP, router))

    def test_addresses_of_no_use(self) -> None:
        """As in go-ethereum, an address where none is wanted is read, and means nothing."""
        self.assertEqual(parse("any:1.2.3.4"), NATSpecification(Mechanism.ANY))
        self.assertEqual(parse("none:1.2.3.4"), NATSpecification(Mechanism.NONE))

    def test_stun_servers(self) -> None:
        """Names, and addresses of both families, with a port or that of STUN."""
        servers = {
            "stun:1.2.3.4:1234": ("1.2.3.4", 1234),
            "stun:1.2.3.4": ("1.2.3.4", 3478),
            "stun:stun.example.org:19302": ("stun.example.org", 19302),
            "stun:[2001:db8::1]:3478": ("2001:db8::1", 3478),
            "stun:[2001:db8::1]": ("2001:db8::1", 3478),
        }
        for text, server in servers.items():
            self.assertEqual(parse(text), NATSpecification(Mechanism.STUN, server=server), text)

    def test_what_is_wrong(self) -> None:
        """The errors of go-ethereum, and one for addresses that lead nowhere."""
        errors = {
            "invalid IP address": ("none:x", "any:", "extip:", "extip:1.2.3", "pmp:router", "foo:x", "pcp:2001:db8::1"),
            "missing IP address": ("extip", "ip"),
            "nobody can reach it": ("extip:0.0.0.0", "ip:::", "extip:224.0.0.1"),
            'unknown mechanism "foo"': ("foo", "foo:1.2.3.4"),
            "invalid STUN server": (
                "stun::3478",
                "stun:a:0",
                "stun:a:70000",
                "stun:a:b",
                "stun:2001:db8::1",
                "stun:a:",
            ),
        }
        for sentence, texts in errors.items():
            for text in texts:
                error = self.assertRaises(InvalidNAT, parse, text)
                self.assertIn(sentence, str(error))

    def test_round_trip(self) -> None:
        """What it says of itself is read as itself."""
        texts = ("none", "any", "extip:1.2.3.4", "extip:2a00::1", "upnp", "natpmp", "natpmp:192.168.0.1", "pcp", "stun")
        for text in (*texts, "stun:1.2.3.4:1234", "stun:[2001:db8::1]:3478", "stun:example.org:3478"):
            self.assertEqual(str(parse(text)), text)

    @given(st.text(max_size=40))
    def test_any_text(self, text: str) -> None:
        """Any text is one thing or the other, and round-trips."""
        for each in (text, f"stun:{text}", f"extip:{text}"):
            try:
                read = parse(each)
            except InvalidNAT:
                continue
            self.assertEqual(parse(str(read)), read)
