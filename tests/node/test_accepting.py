"""
Tests of whom a Server lets in: the real thing to L{tests.node.test_inbound}.
"""

from __future__ import annotations

from devp2p_tx.core.addresses import Netlist
from devp2p_tx.testing import ScriptedPeer, Stage
from tests.node.support import PORT, ServerTestCase, addressOf, keyOf

#: Addresses outside of every local network.
PUBLIC, OTHER, SERVER = "23.55.1.242", "23.55.1.243", "23.0.0.1"


class AcceptingTests(ServerTestCase):
    """Connections from everywhere."""

    def callFrom(self, number: int, address: str, does: Stage = Stage.HELLO) -> ScriptedPeer:
        """Node C{number} calls node 1 from an address."""
        peer = self.scripted(number, does, remote=keyOf(1))
        peer.connect(self.network.host(address), addressOf(1), PORT)
        self.moment()
        return peer

    def assertRefused(self, peer: ScriptedPeer) -> None:
        """The connection was closed, without a byte."""
        self.assertTrue(peer.ended)
        self.assertEqual((peer.data, peer.messages), (b"", []))

    def refused(self, reason: str) -> int:
        """How many were refused for a reason."""
        return self.servers[1].metrics.value("accepts_refused", reason=reason)

    def test_throttle(self) -> None:
        """An address that has just connected is kept out for 30 seconds, whoever is there now; another is not."""
        self.start(1)
        self.callFrom(2, PUBLIC)
        self.assertRefused(self.callFrom(3, PUBLIC))
        self.callFrom(4, OTHER)
        self.assertEqual((self.numbers(1), self.refused("throttled")), ([2, 4], 1))
        self.moment(30 - 4 * 0.5)
        self.assertRefused(self.callFrom(3, PUBLIC))
        self.callFrom(3, PUBLIC)
        self.assertIn(3, self.numbers(1))

    def test_throttle_after_failure(self) -> None:
        """Also one that came to nothing counts."""
        self.start(1)
        garbage = self.callFrom(2, PUBLIC, Stage.CONNECTED)
        garbage.write(b"\xff" * 500)
        self.moment()
        self.assertRefused(self.callFrom(3, PUBLIC))

    def test_lan(self) -> None:
        """Local addresses come as they like."""
        self.start(1)
        for number in range(2, 8):
            self.callFrom(number, "192.168.1.4")
        self.assertEqual(self.numbers(1), [2, 3, 4, 5, 6, 7])

    def test_netrestrict(self) -> None:
        """Only the networks of the list."""
        self.start(1, netrestrict=Netlist.parse("23.55.1.242/32,192.168.0.0/16"))
        self.callFrom(2, PUBLIC)
        self.assertRefused(self.callFrom(3, OTHER))
        self.callFrom(4, "192.168.1.4")
        self.assertEqual((self.numbers(1), self.refused("netrestrict")), ([2, 4], 1))

    def test_empty_netrestrict(self) -> None:
        """Nobody."""
        self.start(1, netrestrict=Netlist.parse(""))
        for number, address in ((2, PUBLIC), (3, addressOf(1)), (4, "192.168.1.4")):
            self.assertRefused(self.callFrom(number, address))

    def test_pending(self) -> None:
        """As many handshakes as may be are under way; the next has to wait until one ends, either way."""
        self.start(1, maxPendingPeers=2)
        silent = self.call(2, 1, Stage.CONNECTED)
        shaken = self.call(3, 1, Stage.HANDSHAKE)
        self.assertRefused(self.call(4, 1))
        shaken.sendHello()
        self.moment()
        self.call(5, 1)
        pending = self.call(6, 1, Stage.HANDSHAKE)
        self.assertRefused(self.call(7, 1))
        self.moment(5)
        self.assertTrue(silent.ended)
        self.call(8, 1)
        self.assertEqual((self.numbers(1), self.refused("pending")), ([3, 5, 8], 2))
        self.assertFalse(pending.ended)

    def test_peers_are_not_pending(self) -> None:
        """A peer takes no place of those who are on their way."""
        self.start(1, maxPendingPeers=1)
        for number in range(2, 12):
            self.call(number, 1)
        self.assertEqual(len(self.numbers(1)), 10)
        self.assertEqual(self.servers[1]._accepting.pending, 0)

    def test_every_end_frees_the_place(self) -> None:
        """However a handshake ends, its place is free again."""
        self.start(1, maxPendingPeers=1, maxPeers=3, noDial=True)
        for number, does in enumerate([Stage.CONNECTED, Stage.HANDSHAKE] * 2, 2):
            peer = self.call(number, 1, does)
            self.assertEqual(self.servers[1]._accepting.pending, 1)
            if number < 4:
                peer.transport.abortConnection()
                self.moment()
            else:
                self.moment(30)
            self.assertTrue(peer.ended)
            self.assertEqual(self.servers[1]._accepting.pending, 0)

    def test_address_of_a_peer(self) -> None:
        """Of one who dialled us is known where from, which is good for nothing but to be shown."""
        server = self.start(1)
        peer = self.callFrom(2, PUBLIC)
        local = peer.transport.getHost()
        shown = server.peers()[0].node
        self.assertEqual((str(shown.ip), shown.tcp, shown.udp), (PUBLIC, local.port, local.port))
