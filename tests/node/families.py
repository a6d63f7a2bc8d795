"""
What the tests of address families share: nodes with addresses in one family, or in both.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from twisted.logger import LogLevel, formatEvent

from devp2p_tx.core.enr.node import Node
from devp2p_tx.testing import MemoryHost
from tests.node.support import node
from tests.node.test_discovery import DiscoveryTestCase

#: What a node may have.
FOUR, SIX, BOTH = (4,), (6,), (4, 6)


def publicAddress(number: int, version: int) -> str:
    """An address that everybody can reach, for each number."""
    return f"34.{number}.0.1" if version == 4 else f"2600:{number:x}::1"


class FamiliesCase(DiscoveryTestCase):
    """
    Nodes with public addresses.

    @ivar families: the address families of a node, by its number; otherwise it has both.
    """

    def setUp(self) -> None:
        super().setUp()
        self.families: dict[int, tuple[int, ...]] = {}
        self._hosts: dict[int, MemoryHost] = {}

    def host(self, number: int) -> MemoryHost:
        """The host of a node, wherever it went."""
        if number not in self._hosts:
            addresses = [publicAddress(number, version) for version in self.families.get(number, BOTH)]
            self._hosts[number] = self.network.host(*addresses)
        return self._hosts[number]

    def addressed(self, number: int, version: int) -> Node:
        """Node C{number} by one of its addresses, as a URL has it."""
        return node(number, ip=ip_address(publicAddress(number, version)))

    def advertised(self, number: int) -> dict[str, tuple[Any, str, str]]:
        """What C{nodeInfo()} shows of where a node is."""
        shown = self.servers[number].nodeInfo()["advertised"]
        return {key: (each["value"], each["source"], each["verdict"]) for key, each in shown.items()}

    def values(self, number: int) -> dict[str, Any]:
        """What its record says."""
        return {key: value for key, (value, _, _) in self.advertised(number).items()}

    def said(self) -> list[str]:
        """What was logged at the level of info."""
        return [formatEvent(event) for event in self.logged if event["log_level"] == LogLevel.info]
