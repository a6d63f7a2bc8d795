"""
Tests of what happens when both sides do the same thing at once.
"""

from __future__ import annotations

import gc

from twisted.internet.defer import CancelledError, Deferred

from devp2p_tx.errors import DisconnectReason, PeerDisconnected, ServerStopped
from devp2p_tx.node.peer import Peer
from devp2p_tx.node.server import Server
from devp2p_tx.testing import Stage
from tests.node.support import PORT, ServerTestCase, addressOf, keyOf, node

REQUESTED, TOO_MANY = DisconnectReason.REQUESTED, DisconnectReason.TOO_MANY_PEERS


class CrossDialTests(ServerTestCase):
    """Two nodes, each of which is static to the other."""

    def crossDial(self, one: int, other: int, delay: float) -> None:
        """Start two nodes, the second so much later than the first."""
        for number, partner, start in ((one, other, 0.0), (other, one, delay)):
            server = self.make(number, staticNodes=[node(partner)])
            self.host(number).callLater(start, server.startService)

    def test_one_connection(self) -> None:
        """
        However far apart they dial, at once exactly one connection is there, and none was a peer that is gone again:
        when both are under way, the one that the greater id dialled is given up.
        """
        delays = [0.0, 0.001, 0.25 * self.latency, 0.5 * self.latency, self.latency, 2 * self.latency, 1.0]
        pairs = [(2 * n + 1, 2 * n + 2, delay) for n, delay in enumerate(delays)]
        pairs += [(other + 20, one + 20, delay) for one, other, delay in pairs]
        for pair in pairs:
            self.crossDial(*pair)
        for seconds in (3, 100):
            self.moment(seconds)
            for one, other, delay in pairs:
                self.assertEqual((self.numbers(one), self.numbers(other)), ([other], [one]), delay)
                self.assertEqual((self.kinds(one), self.kinds(other)), (["add"], ["add"]), delay)

    def test_who_gives_way(self) -> None:
        """The one with the greater id is dialled."""
        self.crossDial(1, 2, 0)
        self.moment(3)
        lesser, greater = sorted(self.servers, key=lambda number: node(number).node_id)
        self.assertFalse(self.servers[lesser].peers()[0].inbound)
        self.assertTrue(self.servers[greater].peers()[0].inbound)

    def test_only_while_it_lasts(self) -> None:
        """Whom the greater id has let in once, peer or not, it can dial later."""
        greater, lesser = sorted((1, 2), key=lambda number: node(number).node_id, reverse=True)
        server = self.start(greater)
        for does in (Stage.HANDSHAKE, Stage.HELLO):
            self.call(lesser, greater, does).transport.abortConnection()
            self.moment()
        self.answer(lesser)
        connecting = server.connect(node(lesser))
        self.moment()
        self.successResultOf(connecting)


class AwaitedProofTests(ServerTestCase):
    """A dial that waits for an inbound connection of the same id to prove itself, and is given up meanwhile."""

    def waiting(self) -> Deferred[Peer]:
        """Dial a node of a lower id, while an inbound connection names that id and is mute."""
        lower, self.number = sorted((1, 2), key=lambda number: node(number).node_id)
        self.called = self.answer(lower)
        server = self.start(self.number)
        forged = self.scripted(lower, Stage.HANDSHAKE, remote=keyOf(self.number))
        forged.connect(self.host(3), addressOf(self.number), PORT)
        self.moment(0.1)
        connecting = server.connect(node(lower))
        self.moment(0.1)
        self.assertTrue(self.called.handshaken)
        self.assertNoResult(connecting)
        return connecting

    def assertNothingUnhandled(self) -> None:
        """Nothing was dropped on the way."""
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_cancelled(self) -> None:
        """It ends at once, and becomes no peer afterwards."""
        connecting = self.waiting()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.moment(2)
        self.assertTrue(self.called.ended)
        self.assertEqual(self.numbers(self.number), [])
        self.assertNothingUnhandled()

    def test_stopped(self) -> None:
        """Likewise when the server stops."""
        connecting = self.waiting()
        stopping = self.servers[self.number].stopService()
        self.moment(2)
        self.successResultOf(stopping)
        self.failureResultOf(connecting, ServerStopped, CancelledError)
        self.assertNothingUnhandled()


class CrossDialAfarTests(CrossDialTests):
    """The same, with what is sent under way for a while."""

    latency = 0.05


class DisconnectRaceTests(ServerTestCase):
    """Two peers that leave each other at about the same time."""

    latency = 0.01

    def setUp(self) -> None:
        super().setUp()
        self.one, self.other = self.start(1), self.start(2)

    def race(self, delay: float, messages: int = 0) -> tuple[str | None, str | None]:
        """Connect, let both leave, the second so much later, and return what each says of it."""
        connecting = self.one.connect(node(2))
        self.moment()
        self.successResultOf(connecting)
        for number in (1, 2):
            for _ in range(messages):
                self.echo(number).protocols[-1].request(bytes(1000))
        self.host(1).callLater(0, self.leave, self.one, REQUESTED)
        self.host(2).callLater(delay, self.leave, self.other, TOO_MANY)
        self.moment(2)
        ends = [self.events[number].pop() for number in (1, 2)]
        self.assertEqual([end.type.value for end in ends], ["drop", "drop"])
        return ends[0].error, ends[1].error

    @staticmethod
    def leave(server: Server, reason: DisconnectReason) -> None:
        """Disconnect, if it is still there."""
        for peer in server.peers():
            peer.disconnect(reason)

    def test_reasons(self) -> None:
        """Each side tells its own reason, or the other's if that came first; nothing else is ever told."""
        seen = set()
        for step in range(100):
            seen.add(self.race(step * 0.0002))
        self.assertEqual(
            seen,
            {("disconnect requested", "too many peers"), ("disconnect requested", "disconnect requested")},
        )

    def test_reasons_behind_messages(self) -> None:
        """Also with messages under way in both directions, more than are read at a time."""
        for step in range(20):
            one, other = self.race(step * 0.001, messages=100)
            self.assertEqual(one, "disconnect requested")
            self.assertIn(other, ("disconnect requested", "too many peers"))

    def test_capabilities_are_told(self) -> None:
        """So are the protocols."""
        for step in range(20):
            self.race(step * 0.001)
            for number in (1, 2):
                reason = self.echo(number).protocols[-1].reason
                assert reason is not None
                self.assertIs(reason.type, PeerDisconnected)
                self.assertIn(reason.value.reason, (REQUESTED, TOO_MANY))

    def test_both_stop(self) -> None:
        """Two servers that stop at once, too."""
        connecting = self.one.connect(node(2))
        self.moment()
        self.successResultOf(connecting)
        for server in (self.one, self.other):
            server.stopService()
        self.moment(2)
        self.assertEqual([self.events[number][-1].error for number in (1, 2)], ["client quitting"] * 2)
