"""
Tests for L{devp2p_tx.core.enr.entries}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr import entries
from devp2p_tx.errors import LocalProtocolError, RemoteProtocolError

KEY = PrivateKey(bytes(31) + b"\7").public_key
VALID: list[tuple[entries.Entry[Any], Any, Any]] = [
    (entries.ID, b"v4", b"v4"),
    (entries.SECP256K1, KEY, KEY.to_compressed()),
    (entries.IP, IPv4Address("1.2.3.4"), b"\1\2\3\4"),
    (entries.IP6, IPv6Address("2a00::1"), b"\x2a" + bytes(14) + b"\1"),
    (entries.TCP, 0, b""),
    (entries.UDP, 30303, b"\x76\x5f"),
    (entries.QUIC6, 65535, b"\xff\xff"),
    (entries.ETH, (b"\xfc\x64\xec\x04", 1150000), [[b"\xfc\x64\xec\x04", b"\x11\x8c\x30"]]),
    (entries.SNAP, True, []),
    (entries.raw(b"x"), [b"1", [b""]], [b"1", [b""]]),
]
INVALID: list[tuple[entries.Entry[Any], Any]] = [
    (entries.ID, [b"v4"]),
    (entries.SECP256K1, KEY.to_bytes()),
    (entries.SECP256K1, b"\2" + b"\xff" * 32),
    (entries.IP, b"\1\2\3"),
    (entries.IP, bytes(16)),
    (entries.IP, []),
    (entries.IP6, bytes(4)),
    (entries.TCP, b"\1\0\0"),
    (entries.TCP, b"\0\1"),
    (entries.TCP, []),
    (entries.ETH, b""),
    (entries.ETH, []),
    (entries.ETH, [b""]),
    (entries.ETH, [[b"\1\2\3\4"]]),
    (entries.ETH, [[b"\1\2\3", b""]]),
    (entries.ETH, [[b"\1\2\3\4", bytes(9)]]),
    (entries.SNAP, b""),
]


class EntryTests(SynchronousTestCase):
    """Values and their RLP items."""

    def test_valid(self) -> None:
        """Both ways."""
        for entry, value, item in VALID:
            self.assertEqual(entry.encode(value), item, entry.key)
            self.assertEqual(entry.decode(item), value, entry.key)

    def test_invalid(self) -> None:
        """Items of another shape."""
        for entry, item in INVALID:
            self.assertRaises(RemoteProtocolError, entry.decode, item)

    def test_later_versions(self) -> None:
        """More than is known may follow."""
        self.assertEqual(entries.ETH.decode([[b"\1\2\3\4", b""], b"more"]), (b"\1\2\3\4", 0))
        self.assertTrue(entries.SNAP.decode([b"more"]))

    def test_port_out_of_range(self) -> None:
        """Our own mistake."""
        self.assertRaises(LocalProtocolError, entries.UDP.encode, 65536)
        self.assertRaises(LocalProtocolError, entries.UDP.encode, -1)
