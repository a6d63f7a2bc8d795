"""
Discovery v4 together with go-ethereum's C{p2p.Server}.
"""

from __future__ import annotations

from devp2p_tx.core.enr.url import node_text, parse_node
from tests.interop import discovery
from tests.interop.discovery import discv4
from tests.interop.foreign import ForeignPeer, GethPeer
from tests.interop.ours import OurPeer


class TestGethDiscovery(discovery.DiscoveryTests):
    """See L{discovery.DiscoveryTests}."""

    foreign = GethPeer

    async def theirQuietNode(self, bootnode: OurPeer) -> ForeignPeer:
        """See L{discovery.DiscoveryTestCase}; otherwise it dials whom it finds."""
        return await self.theirNode(bootnode, noDial=True)

    async def theyFind(self, theirs: ForeignPeer, id: str) -> None:
        """See L{discovery.DiscoveryTestCase}; we ask, as it does not tell."""
        theirs.command("find", id=id)
        await super().theyFind(theirs, id)

    async def test_theyDialUs(self) -> None:
        """Knowing nothing but the bootnode, they dial us."""
        bootnode = await self.bootnode()
        ours = await self.ourNode(bootnode, noDial=True)
        theirs = await self.theirNode(bootnode)
        await theirs.expect("add", id=ours.id, inbound=False)
        await ours.expect("add", id=theirs.id, inbound=True)

    async def test_table(self) -> None:
        """Their table has us and the bootnode, and nobody else."""
        bootnode = await self.bootnode()
        theirs = await self.theirQuietNode(bootnode)
        ours = await self.ourNode(bootnode, noDial=True)
        for each in (ours, bootnode):
            await self.theyFind(theirs, each.id)
        theirs.command("table")
        self.assertEqual(sorted((await theirs.expect("table"))["ids"]), sorted([ours.id, bootnode.id]))

    async def test_ourRecord(self) -> None:
        """They ask us for our record, and get it."""
        ours = await self.ours(discovery=True, noDial=True)
        theirs = await self.theirs(discovery=True, noDial=True)
        theirs.command("enr", enode=ours.enode)
        answer = await theirs.expect("enr", id=ours.id)
        self.assertEqual((answer["error"], answer["record"]), ("", ours.server.nodeInfo()["enr"]))

    async def test_theirRecord(self) -> None:
        """We ask them for theirs, get it, and when we are asked to find them anew, it is the same."""
        ours = await self.ours(discovery=True, noDial=True)
        theirs = await self.theirs(discovery=True, noDial=True)
        known = parse_node(theirs.enode)
        found = await discv4(ours).requestENR(known)
        self.assertEqual((found.public_key, found.ip, found.tcp), (known.public_key, known.ip, theirs.port))
        self.assertEqual(found.udp, theirs.port)
        assert found.record is not None
        self.assertIsNotNone(found.record.raw(b"secp256k1"))
        resolved = await discv4(ours).resolve(known)
        self.assertEqual(node_text(resolved), node_text(found))
