"""
Tests of static nodes, and of what a user orders, on real sockets of this host and with the node as a process.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node
from devp2p_tx.errors import DisconnectReason, PeerDisconnected
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.events import PeerEventType
from devp2p_tx.node.server import Server
from devp2p_tx.testing import EchoCapability, ScriptedPeer, Stage
from tests.integration.test_server_tcp import HERE, LISTEN, TCPTestCase, keyOf


class StaticTests(TCPTestCase):
    """Over TCP."""

    async def test_reset(self) -> None:
        """Each of several static nodes whose connection is reset is a peer again, with as few places as there are."""
        others = [await self.start(number) for number in (2, 3)]
        passed = [0.0]
        server = Server(
            ServerConfig(
                keyOf(1),
                [EchoCapability()],
                LISTEN,
                maxPeers=3,
                staticNodes=[other.self() for other in others],
            ),
            seconds=lambda: passed[0] + self.reactor.seconds(),
        )
        self.addCleanup(server.stopService)
        added = [self.whenEvent(other, PeerEventType.ADD) for other in others]
        await server.startService()
        for each in added:
            await each
        for other in others:
            passed[0] += 60  # the pause after a dial is over
            again = self.whenEvent(other, PeerEventType.ADD)
            other.peers()[0]._transport.transport.abortConnection()
            await again
        self.assertEqual(server.peerCount, 2)

    async def test_orders(self) -> None:
        """A peer is the answer at once; one that is cancelled is told so; one that is removed is gone."""
        one, other, peer = await self.connected()
        self.assertIs(self.successResultOf(other.connect(one.self())), peer)
        removed = self.whenEvent(one, PeerEventType.DROP)
        await other.removePeer(one.self())
        self.assertEqual(((await removed).error, other.peerCount), ("disconnect requested", 0))
        puppet = ScriptedPeer(None, Stage.HANDSHAKE, (), keyOf(7))
        port = puppet.listen(self.reactor, 0)
        self.addCleanup(port.stopListening)
        connecting = other.connect(Node(keyOf(7).public_key, HERE, port.getHost().port))
        while not other._conns or not next(iter(other._conns)).isAdmitted:
            await self.turn()
        connecting.cancel()
        await self.assertFailure(connecting, CancelledError)
        while puppet.disconnectReason is None:
            await self.turn()
        self.assertEqual((puppet.disconnectReason, other._conns), (DisconnectReason.REQUESTED, set()))

    async def test_removed_while_dialed(self) -> None:
        """A dial that is under way is given up."""
        server = await self.start(1)
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            there = Node(keyOf(7).public_key, HERE, silent.getsockname()[1])
            connecting = server.connect(there)
            await server.removePeer(there)
            error = await self.assertFailure(connecting, PeerDisconnected)
        self.assertEqual((error.remote, server._conns), (False, set()))


class ProcessTests(SynchronousTestCase):
    """The node as a process of its own."""

    def lines(self, *arguments: str) -> Any:
        """Start it, and read its log."""
        program = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--pidfile=", "-n", "devp2p"]
        process = subprocess.Popen(
            [*program, "--data-dir", self.mktemp(), "--listen", LISTEN, *arguments],
            env={**os.environ, "DEVP2P_NETWORK": "none", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.send_signal, signal.SIGTERM)
        assert process.stdout is not None
        return iter(process.stdout)

    def test_static_nodes_that_cannot_be_peers(self) -> None:
        """One that refuses, one that is shut out, and one without a port: a line for each, with the reason."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        nodes = {
            "the connection was refused": Node(keyOf(2).public_key, HERE, port),
            "--netrestrict": Node(keyOf(3).public_key, HERE.__class__("127.1.0.1"), port),
            "TCP port 0": Node(keyOf(4).public_key, HERE, 0, 30303),
        }
        options = [word for each in nodes.values() for word in ("--static", format_node(each))]
        waiting = dict(nodes)
        for line in self.lines("--netrestrict", "127.0.0.1/32", *options):
            for words, node in list(waiting.items()):
                if words in line and node.node_id.hex()[:16] in line:
                    self.assertIn("static node", line)
                    del waiting[words]
            if not waiting:
                return
        self.fail(f"nothing was said of {sorted(waiting)}")
