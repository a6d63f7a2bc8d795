"""
Tests for L{devp2p_tx.core.proxy.proxyheader}; the worst cases of version 1 are those of HAProxy's
C{proxy-protocol.txt}, 2.1.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.proxy.proxyheader import MAX_BLOCK, MAX_LINE, ProxyHeader, ProxyHeaderReader
from devp2p_tx.errors import ProxyHeaderError

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, SERVER = ip_address("203.0.113.7"), ip_address("198.51.100.1")
CLIENT_6, SERVER_6 = ip_address("2001:db8::7"), ip_address("2001:db8::1")
LONGEST_6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"


def block(family: int, data: bytes, command: int = 0x21, size: int | None = None) -> bytes:
    """A header of version 2."""
    return SIGNATURE + bytes((command, family)) + (len(data) if size is None else size).to_bytes(2, "big") + data


def addresses(more: bytes = b"") -> bytes:
    """What version 2 says of a client by IPv4."""
    return CLIENT.packed + SERVER.packed + (4000).to_bytes(2, "big") + (30303).to_bytes(2, "big") + more


def addresses6() -> bytes:
    """Likewise by IPv6."""
    return CLIENT_6.packed + SERVER_6.packed + (4000).to_bytes(2, "big") + (30303).to_bytes(2, "big")


GOOD = {
    b"PROXY TCP4 203.0.113.7 198.51.100.1 4000 30303\r\n": ProxyHeader((CLIENT, 4000), (SERVER, 30303)),
    b"PROXY TCP6 2001:db8::7 2001:db8::1 4000 30303\r\n": ProxyHeader((CLIENT_6, 4000), (SERVER_6, 30303)),
    b"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:198.51.100.1 4000 30303\r\n": ProxyHeader((CLIENT, 4000), (SERVER, 30303)),
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n": ProxyHeader(
        (ip_address("255.255.255.255"), 65535), (ip_address("255.255.255.255"), 65535)
    ),
    f"PROXY TCP6 {LONGEST_6} {LONGEST_6} 65535 65535\r\n".encode(): ProxyHeader(
        (IPv6Address(LONGEST_6), 65535), (IPv6Address(LONGEST_6), 65535)
    ),
    b"PROXY UNKNOWN\r\n": ProxyHeader(),
    f"PROXY UNKNOWN {LONGEST_6} {LONGEST_6} 65535 65535\r\n".encode(): ProxyHeader(),
    block(0x11, addresses()): ProxyHeader((CLIENT, 4000), (SERVER, 30303)),
    block(0x11, addresses(b"\x04\0\x01x" * 5)): ProxyHeader((CLIENT, 4000), (SERVER, 30303)),
    block(0x21, addresses6()): ProxyHeader((CLIENT_6, 4000), (SERVER_6, 30303)),
    block(0x31, bytes(216)): ProxyHeader(),
    block(0x00, b""): ProxyHeader(),
    block(0x00, b"whatever"): ProxyHeader(),
    block(0x11, addresses(), command=0x20): ProxyHeader(),
    block(0x77, b"x", command=0x20): ProxyHeader(),
    block(0x11, addresses(bytes(MAX_BLOCK - 12))): ProxyHeader((CLIENT, 4000), (SERVER, 30303)),
}

BAD = (
    b"GET / HTTP/1.1\r\n",
    b"\xf8" * 400,
    b"\0",
    b"proxy TCP4 203.0.113.7 198.51.100.1 4000 30303\r\n",
    b"PROXY\tTCP4",
    b"PROXY TCP4 203.0.113.7 198.51.100.1 4000\r\n",
    b"PROXY TCP4 203.0.113.7 198.51.100.1 4000 x\r\n",
    b"PROXY TCP4 203.0.113.7 198.51.100.1 4000 30303 5\r\n",
    b"PROXY TCP4 203.0.113.7 198.51.100.1 65536 30303\r\n",
    b"PROXY TCP4 203.0.113.700 198.51.100.1 4000 30303\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 4000 30303\r\n",
    b"PROXY TCP6 203.0.113.7 198.51.100.1 4000 30303\r\n",
    b"PROXY TCP5 203.0.113.7 198.51.100.1 4000 30303\r\n",
    b"PROXY UDP4 203.0.113.7 198.51.100.1 4000 30303\r\n",
    b"PROXY UNKNOWNER\r\n",
    b"PROXY \r\n",
    b"PROXY " + b"x" * MAX_LINE,
    block(0x11, addresses(), command=0x31),
    block(0x11, addresses(), command=0x22),
    block(0x12, addresses()),
    block(0x41, addresses()),
    block(0x11, addresses()[:-1]),
    block(0x21, addresses()),
    block(0x31, bytes(215)),
    block(0x11, b"", size=MAX_BLOCK + 1),
)


class ProxyHeaderTests(SynchronousTestCase):
    """L{ProxyHeaderReader}."""

    def test_headers(self) -> None:
        """Each says what it says, and what comes behind it is given back."""
        for data, header in GOOD.items():
            for rest in (b"", b"\r\nrest"):
                reader = ProxyHeaderReader()
                self.assertEqual(reader.receive_data(data + rest), rest, data)
                self.assertEqual(reader.header, header, data)
                self.assertEqual(reader.data_to_send(), b"")

    def test_byte_by_byte(self) -> None:
        """However it comes."""
        for data, header in GOOD.items():
            reader = ProxyHeaderReader()
            for at in range(len(data) - 1):
                self.assertIsNone(reader.receive_data(data[at : at + 1]))
                self.assertIsNone(reader.header)
            self.assertEqual(reader.receive_data(data[-1:]), b"")
            self.assertEqual(reader.header, header)

    def test_what_is_none(self) -> None:
        """It is refused, also byte by byte, and no later than when it is complete."""
        for data in BAD:
            self.assertRaises(ProxyHeaderError, ProxyHeaderReader().receive_data, data)
            reader = ProxyHeaderReader()
            with self.assertRaises(ProxyHeaderError):
                for byte in data:
                    self.assertIsNone(reader.receive_data(bytes((byte,))))
            self.assertIsNone(reader.header)

    def test_at_the_first_byte(self) -> None:
        """An auth packet of RLPx, say, is not waited for."""
        self.assertRaises(ProxyHeaderError, ProxyHeaderReader().receive_data, b"\x01")

    def test_bounds(self) -> None:
        """A line ends within 107 bytes; of a block it is known from its 16th byte how long it will be."""
        self.assertIsNone(ProxyHeaderReader().receive_data(b"PROXY " + b"x" * (MAX_LINE - 7)))
        self.assertRaises(ProxyHeaderError, ProxyHeaderReader().receive_data, b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n")
        self.assertIsNone(ProxyHeaderReader().receive_data(block(0x11, b"", size=MAX_BLOCK)))
        self.assertEqual(MAX_LINE, 107)

    @given(
        st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]), st.binary(max_size=64)
    )
    def test_anything(self, start: bytes, data: bytes) -> None:
        """Nothing but its own error comes of any bytes."""
        reader = ProxyHeaderReader()
        try:
            reader.receive_data(start + data)
        except ProxyHeaderError:
            self.assertIsNone(reader.header)
