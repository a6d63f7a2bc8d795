"""
Tests for L{devp2p_tx.net.discovery.lookups}: random walks. (Lookups are in C{test_discv4}.)
"""

from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise

from twisted.internet.defer import CancelledError

from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import ServerStopped
from tests.net.discovery.support import PORT, DiscoveryCase, Member, addressOf, keyOf


class RandomNodesTests(DiscoveryCase):
    """The endless line of nodes."""

    def watch(self, member: Member) -> list[float]:
        """The times at which lookups of random targets begin."""
        starts: list[float] = []
        begin = member.discovery._newRandomLookup

        def begun() -> object:
            starts.append(self.network.clock.seconds())
            return begin()

        member.discovery._newRandomLookup = begun  # type: ignore[method-assign,assignment]
        return starts

    def test_endless(self) -> None:
        """Nodes come for as long as somebody asks; no two lookups start within a second."""
        members = self.crowd(10)
        starts, nodes, found = self.watch(members[0]), members[0].discovery.randomNodes(), []

        def got(node: Node) -> None:
            found.append(node)
            nodes.next().addCallbacks(got, lambda failure: failure.trap(ServerStopped))

        nodes.next().addCallback(got)
        self.network.advance(20)
        self.assertEqual({node.node_id for node in found}, {member.nodeId for member in members[1:]})
        self.assertGreater(len(found), 50)
        self.assertTrue(10 <= len(starts) <= 21, starts)
        self.assertTrue(all(later - earlier >= 1 for earlier, later in pairwise(starts)))
        nodes.close()

    def test_nobody_asks(self) -> None:
        """Then nothing is looked up."""
        members = self.crowd(5)
        starts = self.watch(members[0])
        nodes = members[0].discovery.randomNodes()
        self.network.advance(10)
        self.assertEqual(starts, [])
        self.result(nodes.next(), 1)
        self.network.advance(30)
        self.assertEqual(len(starts), 1)

    def test_empty_table(self) -> None:
        """While there is nobody to ask it waits, and goes on when somebody comes."""
        member = self.add(1)
        self.network.advance(5)
        waiting = member.discovery.randomNodes().next()
        self.network.advance(20)
        self.assertNoResult(waiting)
        self.add(2, member.node)
        self.assertEqual(self.result(waiting, 1).public_key, keyOf(2).public_key)

    def test_empty_table_is_refreshed(self) -> None:
        """A bootnode that was not there at the start is asked again when nodes are wanted."""
        boot = Node(keyOf(2).public_key, ip_address(addressOf(2)), PORT, PORT)
        member = self.add(1, boot)
        self.network.advance(50)
        self.assertEqual(len(member.discovery.table), 0)
        self.add(2)
        waiting = member.discovery.randomNodes().next()
        self.assertEqual(self.result(waiting, 70).public_key, boot.public_key)

    def test_several_wait(self) -> None:
        """Each gets a node of its own."""
        members = self.crowd(5)
        nodes = members[0].discovery.randomNodes()
        waiting = [nodes.next() for _ in range(4)]
        self.network.advance(5)
        self.assertEqual(len({self.successResultOf(each).node_id for each in waiting}), 4)

    def test_cancel(self) -> None:
        """Who waits no longer takes no node."""
        member = self.add(1)
        nodes = member.discovery.randomNodes()
        one, other = nodes.next(), nodes.next()
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.add(2, member.node)
        self.result(other, 5)

    def test_close(self) -> None:
        """Who waits when it is closed, or afterwards, is told."""
        nodes = self.add(1).discovery.randomNodes()
        waiting = nodes.next()
        nodes.close()
        nodes.close()
        for each in (waiting, nodes.next()):
            self.failure(each, ServerStopped, 0)
