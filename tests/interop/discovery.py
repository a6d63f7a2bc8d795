"""
What every foreign peer that runs discovery v4 must agree on with us. Mostly there are three nodes: ours, theirs, and
one more of ours, the bootnode, which is all that the other two know at first, and nobody's peer.
"""

from __future__ import annotations

from typing import Any

from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import parse_node
from devp2p_tx.net.discovery.discv4 import DiscoveryV4
from tests.interop import shared
from tests.interop.foreign import ForeignPeer
from tests.interop.ours import OurPeer, hexId


def discv4(ours: OurPeer) -> DiscoveryV4:
    """The discovery of a node of ours."""
    running = ours.server.discv4
    assert running is not None
    return running


class DiscoveryTestCase(shared.PeerTestCase):
    """Brings up bootnodes, and peers that know them."""

    async def bootnode(self) -> OurPeer:
        """A node that lets nobody in, and dials nobody."""
        return await self.ours(discovery=True, maxPeers=0)

    async def ourNode(self, bootnode: OurPeer, **config: Any) -> OurPeer:
        """A node of ours that knows the bootnode."""
        return await self.ours(discovery=True, bootnodes=[parse_node(bootnode.enode)], **config)

    async def theirNode(self, bootnode: OurPeer, **flags: Any) -> ForeignPeer:
        """One of theirs."""
        return await self.theirs(discovery=True, bootnodes=bootnode.enode, **flags)

    async def theirQuietNode(self, bootnode: OurPeer) -> ForeignPeer:
        """One of theirs that dials nobody."""
        return await self.theirNode(bootnode)

    async def theyFind(self, theirs: ForeignPeer, id: str) -> None:
        """Wait until they have a node in their table."""
        await theirs.expect("found", id=id)

    async def weFind(self, ours: OurPeer, id: str) -> Node:
        """Walk through the network until we meet a node."""
        walk = discv4(ours).randomNodes()
        while hexId((found := await walk.next()).public_key) != id:
            pass
        walk.close()
        return found


class DiscoveryTests(DiscoveryTestCase):
    """What is asked of every kind of foreign peer."""

    async def test_weFindThem(self) -> None:
        """Through the bootnode we learn where they are."""
        bootnode = await self.bootnode()
        theirs = await self.theirQuietNode(bootnode)
        ours = await self.ourNode(bootnode, noDial=True)
        found = await self.weFind(ours, theirs.id)
        known = parse_node(theirs.enode)
        self.assertEqual((found.ip, found.tcp, found.udp), (known.ip, known.tcp, known.udp))

    async def test_theyFindUs(self) -> None:
        """Through the bootnode they learn of us."""
        bootnode = await self.bootnode()
        theirs = await self.theirQuietNode(bootnode)
        ours = await self.ourNode(bootnode, noDial=True)
        await self.theyFind(theirs, ours.id)

    async def test_weDialThem(self) -> None:
        """Knowing nothing but the bootnode, we dial them, and both sides are peers."""
        bootnode = await self.bootnode()
        theirs = await self.theirQuietNode(bootnode)
        ours = await self.ourNode(bootnode)
        await ours.expect("add", id=theirs.id, inbound=False)
        await theirs.expect("add", id=ours.id, inbound=True)
        self.assertEqual(ours.count("candidates_connected", source="discv4"), 1)

    async def test_whoeverComesFirst(self) -> None:
        """The same if we were there first."""
        bootnode = await self.bootnode()
        ours = await self.ourNode(bootnode)
        theirs = await self.theirQuietNode(bootnode)
        await ours.expect("add", id=theirs.id, inbound=False)
        await theirs.expect("add", id=ours.id, inbound=True)

    async def test_theyAnswerPing(self) -> None:
        """They answer our PING, and tell us where they see us."""
        theirs = await self.theirQuietNode(await self.bootnode())
        ours = await self.ours(discovery=True, noDial=True)
        pong = await discv4(ours).ping(parse_node(theirs.enode))
        us = ours.server.self()
        self.assertEqual((pong.recipient.ip, pong.recipient.udp), (us.ip, us.udp))
