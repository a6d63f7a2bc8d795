"""
Tests for L{devp2p_tx.node.networks}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing.addresses import is_lan, is_special
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.dnstree.entries import parse_url
from devp2p_tx.core.enr.node import Node
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.networks import NETWORKS, NONE

PUBLIC = [network for network in NETWORKS.values() if network is not NONE]


class NetworkTests(SynchronousTestCase):
    """What the public networks begin with."""

    def test_bootnodes(self) -> None:
        """All can be read, what is signed is so by its node, each is there once, and can be reached from anywhere."""
        for network in PUBLIC:
            settings = network.settings()
            nodes: list[Node] = [*settings["bootnodes"], *settings["bootnodesV5"]]
            self.assertEqual(len({node.node_id for node in nodes}), len(nodes))
            for node in nodes:
                assert node.ip is not None
                self.assertFalse(is_lan(node.ip) or is_special(node.ip))
                self.assertGreater(node.udp, 1024)

    def test_v5_alone(self) -> None:
        """Discovery v5 begins with the same nodes in every network, all of which have a record."""
        beginnings = []
        for network in PUBLIC:
            settings = network.settings()
            beginnings.append({node for node in (*settings["bootnodes"], *settings["bootnodesV5"]) if node.record})
            self.assertGreaterEqual(len(settings["bootnodesV5"]), 15)
            self.assertEqual([node for node in settings["bootnodesV5"] if node.record is None], [])
        self.assertEqual(len(set.intersection(*beginnings)), 20)

    def test_settings(self) -> None:
        """They are fields of a configuration."""
        for network in NETWORKS.values():
            config = ServerConfig(PrivateKey(bytes(31) + b"\1"), **network.settings())
            self.assertEqual(config.chain, network.chain)
            for url in config.dnsTrees:
                self.assertEqual(parse_url(url).domain, f"all.{network.name}.ethdisco.net")
