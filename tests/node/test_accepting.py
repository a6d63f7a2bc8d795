"""
Tests of whom a Server lets in: the real thing to L{tests.node.test_inbound}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.node.server import Server
from devp2p_tx.testing import ScriptedPeer, Stage
from tests.node.support import PORT, ServerTestCase, addressOf, keyOf

#: Addresses outside of every local network.
PUBLIC, OTHER, SERVER = "23.55.1.242", "23.55.1.243", "23.0.0.1"
#: Where a proxy is.
PROXY = "23.1.1.1"


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
        """As many handshakes as may be are under way; for the next the one gives way that has been silent longest."""
        self.start(1, maxPendingPeers=2)
        silent = self.call(9, 1, Stage.CONNECTED)
        mute = self.call(2, 1, Stage.HANDSHAKE)
        shaken = self.call(3, 1, Stage.HANDSHAKE)
        self.call(4, 1)
        self.assertEqual((silent.ended, mute.ended), (False, True))
        shaken.sendHello()
        self.moment()
        self.call(5, 1)
        pending = [self.call(number, 1, Stage.HANDSHAKE) for number in (6, 7, 8)]
        self.assertEqual([each.ended for each in pending], [True, False, False])
        self.assertEqual((self.numbers(1), self.refused("gave_way")), ([3, 4, 5], 2))
        self.moment(5)
        self.assertEqual([each.ended for each in pending], [True, True, True])

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


class ProxiedTests(AcceptingTests):
    """The same, and no less, of clients behind a proxy: all that counts is what it says of them."""

    def start(self, number: int, **config: Any) -> Server:
        """A server behind a proxy, which everybody's connections come from."""
        return super().start(number, listen=f"haproxy:tcp:{PORT}", **config)

    def callFrom(self, number: int, address: str, does: Stage = Stage.HELLO) -> ScriptedPeer:
        """The proxy calls node 1, and says who it is that calls."""
        peer = self.scripted(number, Stage.CONNECTED, remote=keyOf(1))
        peer.connect(self.network.host(PROXY), addressOf(1), PORT)
        self.network.settle()
        local = peer.transport.getHost()
        peer.write(f"PROXY TCP4 {address} {addressOf(1)} {local.port} {PORT}\r\n".encode())
        if does:
            peer.goOn(does)
        self.moment()
        return peer

    def call(
        self, number: int, server: int, does: Stage = Stage.HELLO, caps: Sequence[Cap] = (Cap("echo", 1),)
    ) -> ScriptedPeer:
        """Likewise, from the address of the node."""
        return self.callFrom(number, addressOf(number), does)

    def test_shown(self) -> None:
        """peersInfo() has the client's address, and events, too; a proxy's own connection has the proxy's."""
        server = self.start(1)
        peer = self.callFrom(2, PUBLIC)
        port = peer.transport.getHost().port
        [info] = server.peersInfo()
        self.assertEqual(info["network"]["remoteAddress"], f"{PUBLIC}:{port}")
        self.assertEqual(info["network"]["localAddress"], f"{addressOf(1)}:{PORT}")
        self.assertIn(f"@{PUBLIC}:{port}", info["enode"])
        self.assertEqual(self.events[1][0].remoteAddress, f"{PUBLIC}:{port}")
        own = self.scripted(3, Stage.CONNECTED, remote=keyOf(1))
        own.connect(self.network.host(PROXY), addressOf(1), PORT)
        self.moment()
        own.write(b"PROXY UNKNOWN\r\n")
        own.goOn(Stage.HELLO)
        self.moment()
        shown = {info["network"]["remoteAddress"].partition(":")[0] for info in server.peersInfo()}
        self.assertEqual(shown, {PUBLIC, PROXY})

    def test_no_header(self) -> None:
        """Who sends none is closed on, and counted; the throttle knows nothing of it."""
        self.start(1)
        garbage = super(AcceptingTests, self).call(2, 1)
        self.assertRefused(garbage)
        self.assertEqual(self.refused("proxy_header"), 1)
        self.assertEqual(self.servers[1].metrics.value("accepts"), 0)
        self.callFrom(2, PUBLIC)
        self.assertEqual(self.numbers(1), [2])

    def test_stopped_while_a_header_is_awaited(self) -> None:
        """It is not waited for."""
        server = self.start(1)
        waiting = self.scripted(2, Stage.CONNECTED, remote=keyOf(1))
        waiting.connect(self.network.host(PROXY), addressOf(1), PORT)
        self.moment()
        stopping = server.stopService()
        self.moment()
        self.successResultOf(stopping)
        self.assertRefused(waiting)
