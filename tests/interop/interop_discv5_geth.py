"""
Discovery v5 together with go-ethereum's C{p2p/discover}.
"""

from __future__ import annotations

from devp2p_tx.core.enr.url import parse_node
from tests.interop import discovery5
from tests.interop.foreign import GethNode


class TestGethDiscovery5(discovery5.Discv5Tests):
    """See L{discovery5.Discv5Tests}."""

    foreign = GethNode

    async def test_sharedSocket(self) -> None:
        """Discovery v4 and v5 at one port on either side: each is answered, and nothing is left that nobody takes."""
        ours, theirs = await self.server("v4", "v5", noDial=True), await self.theirs(v4=True)
        us, them = ours.server.nodeInfo()["enr"], parse_node(theirs.record)
        version4, version5 = ours.server.discv4, ours.server.discv5
        assert version4 is not None and version5 is not None
        for _ in range(2):  # the second time there is a proof, and a session
            for protocol in (version4, version5):
                await protocol.ping(them)
            for command in ("ping4", "ping"):
                await theirs.ask(command, record=us)
        self.assertEqual(ours.count("udp_dropped", reason="refused"), 0)
        self.assertEqual(ours.count("discv5_refused", reason="no discv5 packet"), 0)
        self.assertGreater(ours.count("discv4_refused", reason="no discv4 packet"), 0)
