"""
Tests for L{devp2p_tx.core.addressing.policy}.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import IPAddress, Netlist
from devp2p_tx.core.addressing.policy import AddressFault, AddressPolicy
from devp2p_tx.core.metrics import Metrics

PUBLIC, PUBLIC_6 = "34.1.1.1", "2a00::1"
LOCAL = ["127.0.0.1", "10.1.2.3", "172.16.1.1", "192.168.1.1", "169.254.1.1", "100.64.1.1", "198.18.1.1"]
LOCAL_6 = ["::1", "fd00::1", "fe80::1", "2001:2::1", "64:ff9b::10.0.0.1"]
LOOPBACK = ["127.0.0.1", "::1"]
NOWHERE = [
    "192.0.2.1",
    "240.0.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "0.0.0.0",
    "::",
    "2001:db8::1",
    "ff02::1",
    "2002::1",
]

NOBODY = ("0.0.0.0", "::", "::ffff:0.0.0.0", "64:ff9b::", "224.0.0.1", "239.255.255.255", "ff02::1", "64:ff9b::e000:1")


def ip(text: str) -> IPAddress:
    return ip_address(text)


class PolicyTestCase(SynchronousTestCase):
    """A policy, and what it is asked."""

    def assertFaults(self, policy: AddressPolicy, fault: AddressFault | None, *texts: str) -> None:
        for text in texts:
            self.assertIs(policy.fault(ip(text)), fault, text)


class ReachTests(PolicyTestCase):
    """What others name."""

    def test_by_default(self) -> None:
        """What the whole internet can reach, and nothing else, carrier-grade NAT and benchmarks included."""
        policy = AddressPolicy()
        self.assertFaults(policy, None, PUBLIC, PUBLIC_6, "::ffff:34.1.1.1", "64:ff9b::8.8.8.8")
        private = [text for text in LOCAL + LOCAL_6 if text not in LOOPBACK]
        self.assertFaults(policy, AddressFault.UNREACHABLE, *private, *NOWHERE, "::ffff:10.1.2.3")

    def test_loopback(self) -> None:
        """Other programs of this host, in all of 127.0.0.0/8; but not a host elsewhere that NAT64 would lead to."""
        policy = AddressPolicy()
        self.assertFaults(policy, None, *LOOPBACK, "127.255.0.9", "::ffff:127.0.0.1")
        self.assertFaults(policy, AddressFault.UNREACHABLE, "64:ff9b::127.0.0.1", "::2")
        self.assertFalse(policy.is_reachable(ip("127.0.0.1")))

    def test_nowhere(self) -> None:
        """An unspecified or multicast address is nobody's: not for the user, nor because the user named it."""
        policy = AddressPolicy(lan=True)
        policy.vouch("discv4", map(ip, NOBODY))
        for text in NOBODY:
            self.assertIs(policy.user_fault(ip(text)), AddressFault.NOWHERE, text)
            self.assertFalse(policy.permits(ip(text), "rlpx"), text)
            self.assertFalse(policy.admits(ip(text), "rlpx"), text)
        for text in (PUBLIC, PUBLIC_6, "10.1.2.3", *LOOPBACK):
            self.assertIsNone(policy.user_fault(ip(text)), text)

    def test_named(self) -> None:
        """A public list of nodes cannot mean this host, unless loopback is all there is; nor what others cannot."""
        for policy, isAdmitted in ((AddressPolicy(), False), (AddressPolicy(home=[ip_network("127.0.0.0/8")]), True)):
            self.assertEqual(policy.admits_named(ip("127.0.0.1"), "rlpx"), isAdmitted)
            self.assertTrue(policy.admits_named(ip(PUBLIC), "rlpx"))
            self.assertFalse(policy.admits_named(ip("10.1.2.3"), "rlpx"))
            self.assertFalse(policy.admits_named(ip("64:ff9b::127.0.0.1"), "rlpx"))

    def test_announced(self) -> None:
        """A record names what all reach, and addresses of networks of ours, but for those of a single link."""
        policy = AddressPolicy(home=map(ip_network, ["10.1.2.0/24", "fd00::/64", "fe80::/64", "169.254.0.0/16"]))
        for ip, expected in (
            (PUBLIC, True),
            (PUBLIC_6, True),
            ("10.1.2.3", True),
            ("fd00::5", True),
            ("10.9.9.9", False),
        ):
            self.assertEqual(policy.may_announce(ip_address(ip)), expected, ip)
        for ip in ("fe80::1", "169.254.1.1", *NOWHERE):
            self.assertFalse(policy.may_announce(ip_address(ip)), ip)

    def test_home(self) -> None:
        """Networks that the node itself is in, whatever they are for, and no others beside them."""
        networks = map(ip_network, ["10.1.2.0/24", "198.18.0.0/16", "192.0.2.0/24", "fd00::/64", "127.0.0.0/8"])
        policy = AddressPolicy(home=networks)
        self.assertFaults(policy, None, "10.1.2.3", "198.18.9.9", "192.0.2.1", "fd00::5", "127.3.3.3", PUBLIC)
        self.assertFaults(policy, AddressFault.UNREACHABLE, "10.1.3.3", "198.19.0.1", "fd00:0:0:1::", "192.168.1.1")

    def test_home_moves(self) -> None:
        """Only where it is now."""
        policy = AddressPolicy(home=[ip_network("10.1.2.0/24")])
        policy.set_home([ip_network("192.168.1.0/24")])
        self.assertFaults(policy, None, "192.168.1.1")
        self.assertFaults(policy, AddressFault.UNREACHABLE, "10.1.2.3")

    def test_lan(self) -> None:
        """All networks that people use for themselves, wherever the node is; what is nobody's stays out."""
        policy = AddressPolicy(lan=True)
        policy.set_home([])
        self.assertFaults(policy, None, *LOCAL, *LOCAL_6[:-1], PUBLIC)
        self.assertFaults(policy, AddressFault.UNREACHABLE, *NOWHERE)


class VouchTests(PolicyTestCase):
    """Addresses for which somebody vouches."""

    def test_vouched(self) -> None:
        """They may be named by others, too, until the same voucher names others; nothing beside them may."""
        policy = AddressPolicy(netdeny=Netlist.parse("10.9.9.0/24"))
        policy.vouch("one", [ip("10.9.0.1"), ip("10.9.9.9")])
        policy.vouch("other", [ip("10.9.0.2")])
        self.assertFaults(policy, None, "10.9.0.1", "10.9.0.2")
        self.assertFaults(policy, AddressFault.UNREACHABLE, "10.9.0.3")
        self.assertFaults(policy, AddressFault.NETDENY, "10.9.9.9")
        policy.vouch("one", [])
        self.assertFaults(policy, AddressFault.UNREACHABLE, "10.9.0.1")
        self.assertFaults(policy, None, "10.9.0.2")


class ListTests(PolicyTestCase):
    """The user's lists, which hold for everything."""

    def test_none(self) -> None:
        """Without any, what the user names is allowed, be it anywhere."""
        policy = AddressPolicy()
        self.assertFalse(policy.lists)
        for text in (PUBLIC, *LOCAL, *NOWHERE):
            self.assertIsNone(policy.listed_fault(ip(text)))

    def test_netrestrict(self) -> None:
        """These networks only; that does not make addresses reachable which are not."""
        policy = AddressPolicy(Netlist.parse("34.0.0.0/8,10.0.0.0/8"))
        self.assertFaults(policy, None, PUBLIC)
        self.assertFaults(policy, AddressFault.NETRESTRICT, "35.1.1.1", PUBLIC_6, "192.168.1.1")
        self.assertFaults(policy, AddressFault.UNREACHABLE, "10.1.1.1")
        self.assertIsNone(policy.listed_fault(ip("10.1.1.1")))

    def test_empty_netrestrict(self) -> None:
        """No network at all."""
        self.assertFaults(AddressPolicy(Netlist.parse("")), AddressFault.NETRESTRICT, PUBLIC, "127.0.0.1")

    def test_netdeny(self) -> None:
        """Never these, be they allowed, at home, or in the clothes of IPv6: mapped, NAT64, 6to4."""
        denied = Netlist.parse("34.1.0.0/16,10.0.0.0/8,2a00::/32")
        policy = AddressPolicy(Netlist.parse("0.0.0.0/0,::/0"), denied, lan=True, home=[ip_network("10.0.0.0/24")])
        clothed = ["::ffff:34.1.1.1", "64:ff9b::34.1.1.1", "2002:2201:101::1"]
        self.assertFaults(policy, AddressFault.NETDENY, PUBLIC, PUBLIC_6, "10.0.0.1", *clothed)
        self.assertFaults(policy, None, "34.2.1.1", "2a00:1::1", "192.168.1.1")
        self.assertIs(policy.listed_fault(ip(PUBLIC)), AddressFault.NETDENY)

    def test_netdeny_alone(self) -> None:
        """All others are allowed."""
        policy = AddressPolicy(netdeny=Netlist.parse("34.1.0.0/16"))
        self.assertTrue(policy.lists)
        self.assertFaults(policy, AddressFault.NETDENY, PUBLIC)
        self.assertFaults(policy, None, "34.2.1.1")


class RelayTests(PolicyTestCase):
    """Who may tell of whom."""

    def test_loopback(self) -> None:
        """Nodes on loopback tell of each other, in both families; nobody else does, or is told, whatever is allowed."""
        elsewhere = [PUBLIC, PUBLIC_6, "10.1.2.3", "fd00::1", "169.254.1.1"]
        for policy in (AddressPolicy(), AddressPolicy(lan=True), AddressPolicy(home=[ip_network("10.0.0.0/8")])):
            for told in (*LOOPBACK, "::ffff:127.0.0.1", "127.9.9.9"):
                for sender in elsewhere:
                    self.assertIsNotNone(policy.relay_fault(ip(sender), ip(told)), (sender, told))
                    self.assertFalse(policy.admits_told(ip(sender), ip(told), "discv4"))
                for sender in LOOPBACK:
                    self.assertTrue(policy.admits_told(ip(sender), ip(told), "discv4"), (sender, told))

    def test_hosts_of_one_network(self) -> None:
        """They may tell of each other, even where nobody else would be believed."""
        for network, teller, told in [
            ("198.18.0.0/24", "198.18.0.2", "198.18.0.3"),
            ("192.0.2.0/24",) + ("192.0.2.9",) * 2,
        ]:
            self.assertIsNotNone(AddressPolicy().relay_fault(ip(teller), ip(told)))
            self.assertIsNone(AddressPolicy(home=[ip_network(network)]).relay_fault(ip(teller), ip(told)))

    def test_others(self) -> None:
        """A stranger may not tell of our networks, nor one of them of this very host."""
        policy = AddressPolicy(home=map(ip_network, ["127.0.0.0/8", "192.168.1.0/24", "198.18.0.0/24"]))
        for teller, told in [
            (PUBLIC, "192.168.1.3"),
            (PUBLIC, "198.18.0.3"),
            ("192.168.1.2", "127.0.0.1"),
            (PUBLIC, None),
        ]:
            self.assertIsNotNone(policy.relay_fault(ip(teller), None if told is None else ip(told)), (teller, told))
        for teller, told in [("192.168.1.2", "192.168.1.3"), ("192.168.1.2", PUBLIC), ("127.0.0.1", "127.0.0.2")]:
            self.assertIsNone(policy.relay_fault(ip(teller), ip(told)), (teller, told))

    def test_standpoint(self) -> None:
        """Who has the same may be told the same; who may be told something else has another."""
        policy = AddressPolicy(home=[ip_network("192.168.1.0/24")])
        alike = [policy.standpoint(ip(text)) for text in ("192.168.1.1", "192.168.1.2")]
        self.assertEqual(alike[0], alike[1])
        self.assertEqual(policy.standpoint(ip(PUBLIC)), policy.standpoint(ip(PUBLIC_6)))
        points = {policy.standpoint(ip(text)) for text in ("192.168.1.1", "192.168.2.1", "127.0.0.1", PUBLIC)}
        self.assertEqual(len(points), 4)


class CountTests(SynchronousTestCase):
    """What is refused is counted."""

    def test_counted(self) -> None:
        """By what it was for, and why; what is allowed is not."""
        metrics = Metrics()
        policy = AddressPolicy(Netlist.parse("34.0.0.0/8,10.0.0.0/8"), Netlist.parse("34.9.0.0/16"), metrics=metrics)
        self.assertTrue(policy.admits(ip(PUBLIC), "discv4"))
        self.assertTrue(policy.permits(ip("10.0.0.1"), "rlpx"))
        self.assertTrue(policy.admits_told(ip(PUBLIC), ip("34.2.1.1"), "discv5"))
        self.assertEqual(list(metrics), [])
        self.assertFalse(policy.admits(ip("10.0.0.1"), "discv4"))
        self.assertFalse(policy.admits(ip("34.9.1.1"), "discv4"))
        self.assertFalse(policy.permits(ip("35.1.1.1"), "rlpx"))
        self.assertFalse(policy.admits_told(ip(PUBLIC), ip("127.0.0.1"), "discv5"))
        self.assertFalse(policy.admits_told(ip(PUBLIC), None, "discv5"))
        self.assertFalse(policy.admits_told(ip(PUBLIC), ip("35.1.1.1"), "discv5"))
        counted = {(dict(labels)["protocol"], dict(labels)["reason"]): value for _, labels, value in metrics}
        self.assertEqual(
            counted,
            {
                ("discv4", "unreachable"): 1,
                ("discv4", "netdeny"): 1,
                ("rlpx", "netrestrict"): 1,
                ("discv5", "relay"): 2,
                ("discv5", "netrestrict"): 1,
            },
        )
