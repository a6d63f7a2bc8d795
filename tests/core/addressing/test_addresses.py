"""
Tests for L{devp2p_tx.core.addressing.addresses}.

The tables of addresses are facts from go-ethereum C{p2p/netutil/net_test.go}, with additions where a range ends.
"""

from __future__ import annotations

from copy import copy, deepcopy
from ipaddress import IPv4Address, ip_address, ip_network
from pickle import dumps, loads

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import (
    LOOPBACK,
    PRIVATE,
    RESERVED,
    SHARED,
    DistinctNetSet,
    IPAddress,
    Netlist,
    embedded,
    from_packed,
    is_global,
    is_lan,
    is_special,
    kinds,
    parse_address,
    relay_fault,
    same_net,
    unwrap,
)
from devp2p_tx.errors import InvalidAddress


def _addresses(text: str) -> list[IPAddress]:
    """The addresses among white space."""
    return [ip_address(word) for word in text.split()]


LAN = _addresses(
    """
    127.0.0.1 127.255.255.255 10.0.1.1 10.22.0.3 10.255.255.255 172.16.0.0 172.31.252.251 192.168.1.4 169.254.0.1
    ::1 fe80::f4a1:8eff:fec5:9d9d febf::ab32:2233 fc00::4 fdff::1 ::ffff:127.0.0.1 ::ffff:10.10.0.2
    """
)
NOT_LAN = _addresses(
    """
    192.0.2.1 1.0.0.0 9.255.255.255 11.0.0.0 126.255.255.255 128.0.0.0 169.255.0.0 172.15.255.255 172.32.0.1
    192.169.0.0 255.255.255.255 0.0.0.0 :: ::2 fec0::2233 fe00::1 fbff::1 ::ffff:88.99.100.2
    """
)
SPECIAL = _addresses(
    """
    0.0.0.0 0.2.0.8 192.0.0.0 192.0.0.7 192.0.0.9 192.0.0.170 192.0.0.171 192.0.2.1 192.0.2.44 192.31.196.1
    192.52.193.1 192.88.99.1 192.175.48.6 198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.5 255.255.255.255
    224.0.0.22 239.255.255.255 ff05::1:3 100::1 2001::1 2001:1::1 2001:2::1 2001:3:: 2001:4:112::1 2001:5::1
    2001:10::1 2001:20::1 2001:db8:85a3:8d3:1319:8a2e:370:7348 2002:1::1
    ::ffff:255.255.255.255 ::ffff:192.0.2.1
    """
)
NOT_SPECIAL = _addresses(
    """
    192.0.3.1 1.0.0.0 172.32.0.1 192.0.0.8 192.0.0.10 192.0.0.169 192.0.0.172 198.17.255.255 198.20.0.0 223.255.255.255
    240.0.0.1 255.255.255.254 127.0.0.1 10.0.0.1 fec0::2233 :: ::1 100:0:0:1:: 2001:1:: 2001:1::2 2001:2:1:: 2001:4::
    2001:6:: 2001:30:: 2003:: 2a00::1
    """
)
# From the IANA IPv4 and IPv6 special-purpose address registries (RFC 6890), the ends of each range that is not
# "globally reachable", and from the IPv6 address space registry (RFC 4291): nothing but 2000::/3 is given out.
NOT_GLOBAL = _addresses(
    """
    0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.0 127.255.255.255 169.254.0.0
    169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.8 192.0.0.255 192.0.2.0 192.0.2.255 192.88.99.2
    192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255
    224.0.0.1 239.255.255.255 240.0.0.0 255.255.255.255
    :: ::1 ::2 ::ffff:10.0.0.1 ::ffff:100.64.0.1 ::8.8.8.8 64:ff9b::10.0.0.1 64:ff9b::192.0.2.1 64:ff9b:1::1 100::
    100::ffff:ffff:ffff:ffff 100:0:0:1::1 1fff:ffff:: 2001:: 2001::ffff 2001:1::1 2001:2::1 2001:2:0:ffff:: 2001:3::1
    2001:4:112::1 2001:10::1 2001:20::1 2001:30::1 2001:1ff:ffff:: 2001:db8:: 2001:db8:ffff:: 2002:: 2002:808:808::1
    2620:4f:8000::1 3fff:: 3fff:fff:ffff:: 4000:: 5f00::1 8000:: fc00:: fdff:: fe80:: febf:: fec0:: ff02::1
    """
)
GLOBAL = _addresses(
    """
    1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0
    172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
    ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2000:: 2001:200:: 2001:4860:4860::8888 2003:: 2620:4f:8001:: 2a00::1 3ffe::
    3fff:1000::
    """
)
LOOPBACK_ONLY = "loopback address told by another host"
LAN_ONLY = "LAN address told by a host outside of the LAN"
RELAYED = [
    ("127.0.0.1", "0.0.0.0", "unspecified address"),
    ("192.168.0.1", "0.0.0.0", "unspecified address"),
    ("23.55.1.242", "0.0.0.0", "unspecified address"),
    ("23.55.1.242", "::", "unspecified address"),
    ("127.0.0.1", "255.255.255.255", "address of a special network"),
    ("192.168.0.1", "255.255.255.255", "address of a special network"),
    ("23.55.1.242", "255.255.255.255", "address of a special network"),
    ("127.0.0.1", "224.0.0.1", "address of a special network"),
    ("192.168.0.1", "127.0.2.19", LOOPBACK_ONLY),
    ("23.55.1.242", "::ffff:127.0.0.1", LOOPBACK_ONLY),
    ("23.55.1.242", "::1", LOOPBACK_ONLY),
    ("23.55.1.242", "192.168.0.1", LAN_ONLY),
    ("23.55.1.242", "169.254.3.3", LAN_ONLY),
    ("127.0.0.1", "127.0.2.19", None),
    ("::ffff:127.0.0.1", "127.0.2.19", None),
    ("127.0.0.1", "192.168.0.1", None),
    ("127.0.0.1", "23.55.1.242", None),
    ("192.168.0.1", "192.168.0.1", None),
    ("192.168.0.1", "23.55.1.242", None),
    ("23.55.1.242", "23.55.1.242", None),
]
SAME_NET = [
    ("0.0.0.0", "0.0.0.0", 32, True),
    ("0.0.0.0", "0.0.0.1", 0, True),
    ("0.0.0.0", "0.0.0.1", 31, True),
    ("0.0.0.0", "0.0.0.1", 32, False),
    ("0.33.0.1", "0.34.0.2", 8, True),
    ("0.33.0.1", "0.34.0.2", 13, True),
    ("0.33.0.1", "0.34.0.2", 15, False),
    ("127.0.0.1", "127.0.0.3", 24, True),
    ("127.3.0.1", "127.5.0.3", 24, False),
    ("1.2.3.4", "::ffff:1.2.3.5", 24, True),
    ("1.2.3.4", "102::", 0, False),
    ("1.2.3.4", "1.2.3.4", 40, True),
]
addresses = st.ip_addresses()


class PredicateTests(SynchronousTestCase):
    """LAN and special ranges."""

    def test_lan(self) -> None:
        """Loopback, private and link-local addresses are of the LAN, also in IPv6 clothes."""
        for ip in LAN:
            self.assertTrue(is_lan(ip), ip)

    def test_not_lan(self) -> None:
        """The neighbours of those ranges are not."""
        for ip in NOT_LAN:
            self.assertFalse(is_lan(ip), ip)

    def test_special(self) -> None:
        """The registries' special ranges and multicast."""
        for ip in SPECIAL:
            self.assertTrue(is_special(ip), ip)

    def test_not_special(self) -> None:
        """Their neighbours, and addresses that Python's own predicates count as reserved."""
        for ip in NOT_SPECIAL:
            self.assertFalse(is_special(ip), ip)

    @given(addresses)
    def test_same_as_the_networks_themselves(self, ip: IPAddress) -> None:
        """The table of ranges answers as the networks it was made from do."""
        networks = map(ip_network, ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"])
        networks6 = map(ip_network, ["::1/128", "fe80::/10", "fc00::/7"])
        bare = unwrap(ip)
        self.assertEqual(is_lan(ip), any(bare in network for network in (*networks, *networks6)))


class GlobalTests(SynchronousTestCase):
    """What the whole internet can reach."""

    def test_not_global(self) -> None:
        """Both ends of each range of the registries."""
        for ip in NOT_GLOBAL:
            self.assertFalse(is_global(ip), ip)

    def test_global(self) -> None:
        """What lies beside them."""
        for ip in GLOBAL:
            self.assertTrue(is_global(ip), ip)

    def test_local_ones(self) -> None:
        """No address of a LAN, and none that is special, is global."""
        for ip in (*LAN, *SPECIAL):
            self.assertFalse(is_global(ip), ip)

    @given(addresses)
    def test_stricter_than_python(self, ip: IPAddress) -> None:
        """Whatever Python holds for no global address is none here; embedded addresses aside, which it does not see."""
        if not ip.is_global and unwrap(ip) is ip and embedded(ip) is None:
            self.assertFalse(is_global(ip))

    def test_flags(self) -> None:
        """Why an address is not."""
        for text, flag in [
            ("100.64.1.1", SHARED),
            ("240.0.0.1", RESERVED),
            ("64:ff9b::10.0.0.1", PRIVATE),
            ("64:ff9b::127.0.0.1", LOOPBACK),
        ]:
            self.assertEqual(kinds(ip_address(text)), flag, text)

    def test_embedded(self) -> None:
        """Where packets to NAT64 and 6to4 addresses come out."""
        for text, inside in [
            ("64:ff9b::198.18.0.1", "198.18.0.1"),
            ("2002:c612:1::5", "198.18.0.1"),
            ("64:ff9b:1::198.18.0.1", None),
            ("2003:c612:1::5", None),
            ("198.18.0.1", None),
        ]:
            found = embedded(ip_address(text))
            self.assertEqual(None if found is None else str(found), inside, text)


class RelayTests(SynchronousTestCase):
    """Addresses told by others."""

    def test_table(self) -> None:
        """The first rule that fails is named."""
        for sender, address, fault in RELAYED:
            self.assertEqual(relay_fault(ip_address(sender), ip_address(address)), fault, (sender, address))

    def test_no_address(self) -> None:
        """What could not be read as an address cannot be contacted."""
        self.assertEqual(relay_fault(ip_address("127.0.0.1"), None), "no valid IP address")


class ReadingTests(SynchronousTestCase):
    """Addresses from text and bytes."""

    def test_unwrap(self) -> None:
        """Only ::ffff:0:0/96 is IPv4 in disguise."""
        self.assertEqual(unwrap(ip_address("::ffff:1.2.3.4")), ip_address("1.2.3.4"))
        self.assertEqual(unwrap(ip_address("::1.2.3.4")), ip_address("::1.2.3.4"))
        self.assertEqual(unwrap(ip_address("1.2.3.4")), ip_address("1.2.3.4"))

    def test_parse(self) -> None:
        """Text is read and unwrapped."""
        self.assertEqual(parse_address("::ffff:1.2.3.4"), ip_address("1.2.3.4"))
        self.assertEqual(parse_address("fe80::1"), ip_address("fe80::1"))
        for bad in ["", "1.2.3", "example.org", "[::1]", "1.2.3.4/32"]:
            self.assertRaises(InvalidAddress, parse_address, bad)

    def test_interface(self) -> None:
        """A link-local address is good for nothing without the interface that it is of."""
        read = parse_address("fe80::1%eth0")
        self.assertEqual((read, str(read)), (ip_address("fe80::1%eth0"), "fe80::1%eth0"))

    def test_as_others(self) -> None:
        """What was read is as any other address, and so is what is made of it."""
        for read in (parse_address("1.2.3.4"), from_packed(bytes([1, 2, 3, 4]))):
            assert isinstance(read, IPv4Address)
            plain = IPv4Address("1.2.3.4")
            self.assertEqual((repr(read), hash(read), read.packed), (repr(plain), hash(plain), plain.packed))
            for same in (copy(read), deepcopy(read), loads(dumps(read)), read + 1 - 1):
                self.assertEqual((same, hash(same), same.packed), (plain, hash(plain), plain.packed))
            self.assertNotIn(b"devp2p_tx", dumps(read))

    def test_packed(self) -> None:
        """4 or 16 bytes."""
        self.assertEqual(from_packed(bytes([1, 2, 3, 4])), ip_address("1.2.3.4"))
        self.assertEqual(from_packed(ip_address("2a00::1").packed), ip_address("2a00::1"))
        self.assertEqual(from_packed(ip_address("::ffff:1.2.3.4").packed), ip_address("1.2.3.4"))
        for size in (0, 3, 5, 15, 17):
            self.assertIsNone(from_packed(bytes(size)))
        self.assertIsNone(from_packed(bytearray(1200)))  # nor is it remembered, which that could not be


class NetlistTests(SynchronousTestCase):
    """Lists of networks."""

    def test_parse(self) -> None:
        """White space and stray commas do not matter, nor bits beyond the prefix."""
        self.assertEqual(Netlist.parse("").networks, ())
        self.assertEqual(Netlist.parse(" ,\n").networks, ())
        self.assertEqual(
            Netlist.parse("127.0.0.0/16, 23.23.23.23/24,\t2a00::1/16").networks,
            (ip_network("127.0.0.0/16"), ip_network("23.23.23.0/24"), ip_network("2a00::/16")),
        )

    def test_invalid(self) -> None:
        """Anything else is our user's mistake, and is quoted to them."""
        for bad in ["127.0.0.0/44", "127.0.0.1", "1.2.3.0/255.255.255.0", "1.2.3.4/", "x/8", "1.2.3.4/-1", "/8"]:
            error = self.assertRaises(InvalidAddress, Netlist.parse, bad)
            self.assertIn(bad, str(error))

    def test_contains(self) -> None:
        """Families are apart, IPv4 in IPv6 clothes is IPv4."""
        netlist = Netlist.parse("10.0.0.0/8,2a00::/16")
        for text in ["10.0.0.0", "10.255.255.255", "::ffff:10.1.1.1", "2a00::1"]:
            self.assertIn(ip_address(text), netlist)
        for text in ["9.255.255.255", "11.0.0.0", "2a01::", "::a00:1"]:
            self.assertNotIn(ip_address(text), netlist)
        self.assertNotIn("10.0.0.0", netlist)

    def test_place(self) -> None:
        """The first network of the list that has it."""
        netlist = Netlist.parse("10.1.0.0/16,10.0.0.0/8,2a00::/16")
        for text, place in [("10.1.2.3", 0), ("::ffff:10.2.2.3", 1), ("2a00::1", 2), ("11.0.0.0", -1)]:
            self.assertEqual(netlist.place(ip_address(text)), place)

    def test_empty_contains_nothing(self) -> None:
        """An empty list is a restriction to nothing."""
        self.assertNotIn(ip_address("1.2.3.4"), Netlist.parse(""))

    def test_value(self) -> None:
        """Equal lists are equal; the text form reads back."""
        netlist = Netlist.parse("10.0.0.0/8,2a00::/16")
        self.assertEqual(Netlist.parse(str(netlist)), netlist)
        self.assertEqual(hash(Netlist.parse(str(netlist))), hash(netlist))
        self.assertNotEqual(netlist, Netlist.parse("10.0.0.0/8"))
        self.assertNotEqual(netlist, "10.0.0.0/8")
        self.assertEqual(repr(netlist), "Netlist.parse('10.0.0.0/8,2a00::/16')")


class SubnetTests(SynchronousTestCase):
    """Prefixes and counts by prefix."""

    def test_same_net(self) -> None:
        """Families must match, and the leading bits."""
        for a, b, bits, same in SAME_NET:
            self.assertEqual(same_net(bits, ip_address(a), ip_address(b)), same, (a, b, bits))

    def test_limit(self) -> None:
        """Two of each /15 fit; a removal makes room."""
        nets = DistinctNetSet(15, 15, limit=2)
        steps = [("127.0.0.1", True), ("127.0.0.2", True), ("127.0.0.3", False)]
        steps += [("127.32.0.1", True), ("127.32.0.2", True), ("127.32.0.3", False), ("127.33.0.1", False)]
        steps += [("127.34.0.1", True), ("127.34.0.2", True), ("127.34.0.3", False)]
        for text, fits in steps:
            self.assertEqual(nets.add(ip_address(text)), fits, text)
        nets.remove(ip_address("127.0.0.1"))
        self.assertTrue(nets.add(ip_address("127.0.0.3")))
        self.assertFalse(nets.add(ip_address("127.0.0.3")))
        self.assertEqual(len(nets), 6)

    def test_families_apart(self) -> None:
        """The same leading bits in IPv4 and IPv6 are two networks; mapped IPv4 is IPv4."""
        nets = DistinctNetSet(24, 24, limit=1)
        self.assertTrue(nets.add(ip_address("1.2.3.4")))
        self.assertTrue(nets.add(ip_address("102:300::")))
        self.assertFalse(nets.add(ip_address("::ffff:1.2.3.9")))
        self.assertFalse(nets.add(ip_address("102:3ff::")))

    def test_bits_of_families(self) -> None:
        """Each family has its own length of prefix; an address of NAT64 is counted as the IPv4 address behind it."""
        nets = DistinctNetSet(24, 48, limit=1)
        taken = ["1.2.3.4", "1.2.4.4", "2a00:1:2::1", "2a00:1:3::1", "64:ff9b::1.2.5.4"]
        self.assertEqual([nets.add(ip_address(text)) for text in taken], [True] * 5)
        full = ["1.2.3.5", "2a00:1:2:ffff::1", "64:ff9b::1.2.3.9", "1.2.5.9"]
        self.assertEqual([nets.add(ip_address(text)) for text in full], [False] * 4)

    def test_contains(self) -> None:
        """A network is contained while one of its addresses is."""
        nets = DistinctNetSet(24, 48, limit=2)
        nets.add(ip_address("1.2.3.4"))
        nets.add(ip_address("1.2.3.5"))
        nets.remove(ip_address("1.2.3.5"))
        self.assertIn(ip_address("1.2.3.77"), nets)
        nets.remove(ip_address("1.2.3.4"))
        self.assertNotIn(ip_address("1.2.3.77"), nets)
        self.assertNotIn("1.2.3.77", nets)

    def test_remove_unknown(self) -> None:
        """Nothing happens."""
        nets = DistinctNetSet(24, 48, limit=2)
        nets.remove(ip_address("1.2.3.4"))
        self.assertEqual(len(nets), 0)

    @given(st.lists(addresses, max_size=20))
    def test_add_remove(self, ips: list[IPAddress]) -> None:
        """After all that was added is removed nothing is left."""
        nets = DistinctNetSet(2, 2, limit=3)
        added = [ip for ip in ips if nets.add(ip)]
        self.assertEqual(len(nets), len(added))
        for ip in added:
            nets.remove(ip)
        self.assertEqual(len(nets), 0)
