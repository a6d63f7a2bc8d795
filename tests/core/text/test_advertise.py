"""
Tests for L{devp2p_tx.core.text.advertise}.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.text.advertise import Advertise, HostPort
from devp2p_tx.errors import InvalidAddress

IP, IP6 = ip_address("1.2.3.4"), ip_address("2a00::1")


class AdvertiseTests(SynchronousTestCase):
    """What our user writes."""

    def test_all(self) -> None:
        """Four fields, in any order, with white space around them."""
        said = Advertise.parse(" udp=1.2.3.4:2, tcp= 1.2.3.4:1,tcp6=[2a00::1]:3 ,udp6=[2A00:0::1]:4")
        self.assertEqual(said.of(4), (HostPort("1.2.3.4", IP, 1), HostPort("1.2.3.4", IP, 2)))
        self.assertEqual(said.of(6), (HostPort("2a00::1", IP6, 3), HostPort("2a00::1", IP6, 4)))

    def test_some(self) -> None:
        """What is not said is not known."""
        self.assertEqual(Advertise.parse("udp6=[2a00::1]:65535"), Advertise(udp6=HostPort("2a00::1", IP6, 65535)))
        self.assertEqual(Advertise().of(4), (None, None))

    def test_names(self) -> None:
        """They are kept, for both families if need be."""
        said = Advertise.parse("tcp=Node.example.org:1,udp=node.Example.org:1,udp6=node.example.org:2")
        self.assertEqual(said.tcp, HostPort("Node.example.org", None, 1))
        self.assertEqual(said.udp6, HostPort("node.example.org", None, 2))

    def test_local(self) -> None:
        """Our user knows which network he is in."""
        for text in ("tcp=127.0.0.1:1", "tcp=192.168.1.1:1", "tcp6=[fd00::1]:1", "tcp6=[::1]:1"):
            Advertise.parse(text)

    def test_refused(self) -> None:
        """Each with a sentence that says why."""
        for text, sentence in [
            ("", "cannot advertise ''"),
            ("1.2.3.4:30303", "cannot advertise '1.2.3.4:30303': want tcp=HOST:PORT"),
            ("quic=1.2.3.4:1", "cannot advertise 'quic=1.2.3.4:1'"),
            ("tcp", "cannot advertise 'tcp'"),
            ("tcp=1.2.3.4:1,", "cannot advertise ''"),
            ("tcp=1.2.3.4", "has no port from 1 to 65535"),
            ("tcp=1.2.3.4:0", "has no port"),
            ("tcp=1.2.3.4:65536", "has no port"),
            ("tcp=1.2.3.4:" + "1" * 5000, "has no port"),
            ("tcp=1.2.3.4:+1", "has no port"),
            ("tcp=:1", "'' is neither an address nor a host name"),
            ("tcp=1.2.3:1", "neither an address"),
            ("tcp=a b:1", "neither an address"),
            ("tcp6=[node.example]:1", "neither an address"),
            ("tcp=[2a00::1]:1", "is an IPv6 address: advertise it as tcp6"),
            ("udp6=1.2.3.4:1", "is an IPv4 address: advertise it as udp"),
            ("udp=0.0.0.0:1", "nobody can reach 0.0.0.0"),
            ("udp6=[ff02::1]:1", "nobody can reach ff02::1"),
            ("tcp=1.2.3.4:1,tcp=1.2.3.4:2", "tcp is advertised twice"),
            ("tcp=1.2.3.4:1,udp=a.example:1", "one address for tcp and udp: not 1.2.3.4 and a.example"),
        ]:
            self.assertIn(sentence, str(self.assertRaises(InvalidAddress, Advertise.parse, text)), text)
