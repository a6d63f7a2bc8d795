"""
Tests for L{devp2p_tx.node.config}: values that cannot be used.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.errors import DevP2PError
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.testing import EchoCapability
from tests.node.support import keyOf, node

#: Values that cannot be used, by field.
WRONG: dict[str, list[Any]] = {
    "key": ["nodekey", b"\1" * 32, 1],
    "capabilities": [[EchoCapability(), EchoCapability()]],
    "listen": [-1, 70000, "99999", [30303, -1], 1.5],
    "maxPeers": [-1, "50", 1.5],
    "maxPendingPeers": [0, -1, "50"],
    "dialRatio": [0, -3, None],
    "dialVia": ["http:proxy:1", "proxy", "socks5:"],
    "staticNodes": [["enode://x"], [node(2), b"x"], "enode://x"],
    "trustedNodes": [["enode://x"], [node(2).node_id], [None]],
    "netrestrict": ["10.0.0.0/8", ["10.0.0.0/8"], 10],
    "netdeny": ["10.0.0.0/8", (), b""],
    "discoveryVersions": [["v6"], ["v4", "V5"], []],
    "discoveryPort": [-1, 70000, "fd:x", "30303"],
    "bootnodes": [["enode://x"], "x", [1]],
    "bootnodesV5": [["enr:x"], "x", [1]],
    "dnsTrees": [["example.org"], ["enrtree://x"], "x"],
    "chain": ["mainnet", 1, b"x"],
    "ntpServer": ["a b", "1.2.3", "host:123"],
    "nat": ["magic", "extip", 1],
    "nodeSources": [["x"], [None]],
    "advertise": ["tcp=1.2.3.4:1", 1, {}],
}
#: Fields for which any value of their type will do.
ANY = {"name", "noDial", "lan", "messageEvents", "discovery", "database"}


class FieldTests(SynchronousTestCase):
    """Each wrong value is refused when the configuration is made, in a message that begins with the field."""

    def test_each(self) -> None:
        for name, values in WRONG.items():
            for value in values:
                settings: dict[str, Any] = {"key": keyOf(1), "discovery": True, name: value}
                with self.assertRaises((DevP2PError, ValueError, TypeError), msg=f"{name}={value!r}") as raised:
                    ServerConfig(**settings)
                self.assertTrue(str(raised.exception).startswith(f"{name}: "), f"{name}: {raised.exception}")

    def test_every_field_is_here(self) -> None:
        self.assertEqual(set(WRONG) | ANY, {field.name for field in fields(ServerConfig)})
