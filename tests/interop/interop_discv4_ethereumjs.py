"""
Discovery v4 together with C{@ethereumjs/devp2p}'s DPT.

It has no packets for records (EIP-868), wants no endpoint proof, and finds others by asking each node in its table once
in a while. By itself it would dial whom it finds; here it only tells.
"""

from __future__ import annotations

from devp2p_tx.core.enr.url import parse_node
from devp2p_tx.errors import Timeout
from tests.interop import discovery
from tests.interop.discovery import discv4
from tests.interop.foreign import EthereumJSPeer


class TestEthereumJSDiscovery(discovery.DiscoveryTests):
    """See L{discovery.DiscoveryTests}."""

    foreign = EthereumJSPeer

    async def test_noRecords(self) -> None:
        """Asked for its record it does not know the packet, and answers as before when we ask something else."""
        ours = await self.ours(discovery=True, noDial=True)
        theirs = await self.theirs(discovery=True)
        node = parse_node(theirs.enode)
        await self.assertFailure(discv4(ours).requestENR(node), Timeout)
        await theirs.expect("error", error="Invalid type: 5")
        await discv4(ours).ping(node)

    async def test_theyDialUs(self) -> None:
        """They dial us where they have found us."""
        bootnode = await self.bootnode()
        ours = await self.ourNode(bootnode, noDial=True)
        theirs = await self.theirNode(bootnode)
        found = await theirs.expect("found", id=ours.id)
        us = ours.server.self()
        self.assertEqual((found["address"], found["tcpPort"], found["udpPort"]), (str(us.ip), us.tcp, us.udp))
        await self.theyDial(theirs, ours)
