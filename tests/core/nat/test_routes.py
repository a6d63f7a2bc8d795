"""
Tests for L{devp2p_tx.core.nat.routes}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.nat.routes import default_gateway

_HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT   \n"


def table(*routes: tuple[str, str, str, int, int, str]) -> str:
    """C{/proc/net/route} of a little endian machine: interface, destination, gateway, flags, metric, mask."""

    def digits(address: str) -> str:
        return IPv4Address(address).packed[::-1].hex().upper()

    lines = (
        f"{interface}\t{digits(destination)}\t{digits(gateway)}\t{flags:04X}\t0\t0\t{metric}\t{digits(mask)}\t0\t0\t0\n"
        for interface, destination, gateway, flags, metric, mask in routes
    )
    return _HEAD + "".join(lines)


HOME = ("eth0", "192.168.1.0", "0.0.0.0", 1, 0, "255.255.255.0")


def default(
    gateway: str, interface: str = "eth0", flags: int = 3, metric: int = 0
) -> tuple[str, str, str, int, int, str]:
    """A default route."""
    return interface, "0.0.0.0", gateway, flags, metric, "0.0.0.0"


def found(*routes: tuple[str, str, str, int, int, str]) -> tuple[str, str] | None:
    """The gateway and network of a table, as text."""
    gateway = default_gateway(table(*routes), "little")
    return None if gateway is None else (str(gateway[0]), str(gateway[1]))


class DefaultGatewayTests(SynchronousTestCase):
    """L{default_gateway}."""

    def test_as_linux_prints_it(self) -> None:
        """A table as it was read on a machine at 192.0.2.5."""
        text = _HEAD + (
            "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0    \n"
            "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0    \n"
        )
        gateway = IPv4Address("192.0.2.1"), IPv4Network("192.0.2.0/24")
        self.assertEqual(default_gateway(text, "little"), gateway)

    def test_big_endian(self) -> None:
        """The other byte order."""
        text = (
            _HEAD
            + "eth0 00000000 C0A80101 0003 0 0 0 00000000 0 0 0\neth0 C0A80100 00000000 0001 0 0 0 FFFFFF00 0 0 0\n"
        )
        gateway = IPv4Address("192.168.1.1"), IPv4Network("192.168.1.0/24")
        self.assertEqual(default_gateway(text, "big"), gateway)

    def test_none(self) -> None:
        """No table, no default route, or one that has no gateway or is down."""
        self.assertIsNone(default_gateway(""))
        self.assertIsNone(found(HOME))
        self.assertIsNone(found(HOME, default("0.0.0.0", flags=1)))
        self.assertIsNone(found(HOME, default("192.168.1.1", flags=2)))

    def test_the_best(self) -> None:
        """Of several the one with the smallest metric."""
        other = ("wlan0", "10.0.0.0", "0.0.0.0", 1, 0, "255.0.0.0")
        routes = (HOME, other, default("192.168.1.1", metric=600), default("10.0.0.1", "wlan0", metric=100))
        self.assertEqual(found(*routes), ("10.0.0.1", "10.0.0.0/8"))

    def test_its_network(self) -> None:
        """The narrowest network of its own interface that it is in; only itself if it is in none."""
        wide = ("eth0", "192.168.0.0", "0.0.0.0", 1, 0, "255.255.0.0")
        other = ("eth1", "192.168.1.0", "0.0.0.0", 1, 0, "255.255.255.128")
        self.assertEqual(found(wide, HOME, other, default("192.168.1.1")), ("192.168.1.1", "192.168.1.0/24"))
        self.assertEqual(found(HOME, default("10.0.0.1")), ("10.0.0.1", "10.0.0.1/32"))
        everything = ("eth0", "0.0.0.0", "0.0.0.0", 1, 5, "0.0.0.0")
        self.assertEqual(found(everything, default("10.0.0.1")), ("10.0.0.1", "10.0.0.1/32"))

    def test_bad_entries(self) -> None:
        """A line that cannot be read costs only itself, whichever field it is."""
        good = table(HOME, default("192.168.1.1"))
        for bad in (
            "eth0 00000000 XX0200C0 0003 0 0 0 00000000",
            "eth0 00000000 0102 0003 0 0 0 00000000",
            "eth0 00000000 010200C0 0003 0 0 x 00000000",
            "eth0 00000000 010200C0 zzzz 0 0 0 00000000",
            "eth0 00000000 010200C0 0003 0 0 0 0000FF00FF",
            "eth0 00000000 010200C0 0003 0 0 0 00FF00FF",
            "eth0 00000000",
            "\ufffd\ufffd",
            "",
        ):
            self.assertEqual(
                default_gateway(_HEAD + bad + "\n" + good.partition("\n")[2], "little"), default_gateway(good, "little")
            )

    @given(st.text(max_size=300), st.sampled_from(("little", "big")))
    def test_nonsense(self, text: str, byteorder: str) -> None:
        """Lines that cannot be read are passed by."""
        self.assertIsNone(default_gateway(text, byteorder))
        lines = table(HOME, default("192.168.1.1")) + text
        self.assertIsNotNone(default_gateway(lines, "little"))
