"""
Tests for L{devp2p_tx.net.streams.strings}: C{rlpx:} strings, as Twisted finds them.
"""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.local import LocalRecord, Source
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node
from devp2p_tx.errors import InvalidAddress, InvalidNode, PeerDisconnected
from devp2p_tx.storage.keyfile import KeyFileError, load_key
from devp2p_tx.testing import MemoryNetwork
from tests.net.proxy.socksproxy import SocksProxy
from tests.net.streams.support import Adding, Noting, Serving, Sum

HERE, THERE, THERE_6 = "192.0.2.1", "192.0.2.2", "2001:db8::2"


def escaped(text: str) -> str:
    """As an endpoint string wants it within."""
    return text.replace("\\", "\\\\").replace(":", "\\:")


class StringCase(SynchronousTestCase):
    """A key for each side."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.here, self.there = self.network.host(HERE, "2001:db8::1"), self.network.host(THERE, THERE_6)
        folder = Path(self.mktemp())
        folder.mkdir()
        self.clientFile, self.serverFile = folder / "client", folder / "server"

    def serve(self, text: str = "rlpx:30303", make: Any = Noting) -> Serving:
        """Listen, with a key that is made now."""
        serving = Serving(make)
        listening: Deferred[Any] = serverFromString(self.there, f"{text}:key={self.serverFile}").listen(serving)
        self.port = self.successResultOf(listening)
        self.key = load_key(self.serverFile)
        self.hexKey = self.key.public_key.to_bytes().hex()
        return serving

    def connect(self, text: str, make: Any = Noting) -> Deferred[Any]:
        """Connect, and let a moment pass."""
        connecting: Deferred[Any] = clientFromString(self.here, text).connect(Serving(make))
        self.network.advance(1)
        return connecting


class ClientTests(StringCase):
    """C{clientFromString}."""

    def test_forms(self) -> None:
        """Each way to name a node, with Twisted's quoting where it must be, and without it where it can."""
        servings = [self.serve(f"rlpx:{kind}\\:30303") for kind in ("tcp", "tcp6")]
        self.network.names["node.example"] = [THERE]
        url = format_node(Node(self.key.public_key, ip_address(THERE), 30303, 30304))
        local = LocalRecord(self.key, 1, 0, lambda seq: None)
        local.offer(Source.FLAG, 4, ip_address(THERE), tcp=30303)
        record = local.record(1).to_text()
        texts = (
            f"rlpx:{self.hexKey}@{THERE}:30303",
            f"rlpx:{self.hexKey}@node.example:30303",
            f"rlpx:{self.hexKey}@[{escaped(THERE_6)}]:30303",
            f"rlpx:enode={escaped(url)}",
            f"rlpx:enr={escaped(record)}",
            f"rlpx:enr={record.removeprefix('enr:')}",
        )
        for text in texts:
            protocol = self.successResultOf(self.connect(text))
            self.assertEqual(protocol.transport.getPeer().publicKey, self.key.public_key, text)
        self.assertEqual([len(serving.built) for serving in servings], [len(texts) - 1, 1])

    def test_our_key(self) -> None:
        """That of a file, which is made if there is none; or one for this endpoint alone."""
        serving = self.serve()
        to = f"rlpx:{self.hexKey}@{THERE}:30303"
        for text in (f"{to}:key={self.clientFile}", f"{to}:key={self.clientFile}", to, to):
            self.successResultOf(self.connect(text))
        keys = [protocol.transport.getPeer().publicKey for protocol in serving.built]
        self.assertEqual(keys[:2], [load_key(self.clientFile).public_key] * 2)
        self.assertEqual(len(set(keys)), 3)

    def test_through_a_proxy(self) -> None:
        """C{via=}."""
        self.serve()
        host = self.network.host("192.0.2.9")
        proxy = SocksProxy(host)
        host.listenTCP(1080, proxy)
        self.successResultOf(self.connect(f"rlpx:{self.hexKey}@{THERE}:30303:via=socks5\\:192.0.2.9\\:1080"))
        self.assertEqual(proxy.asked, [(THERE, 30303)])

    def test_wrong(self) -> None:
        """A sentence each."""
        self.serve()
        to = f"{self.hexKey}@{THERE}:30303"
        for text, kind, words in (
            ("rlpx:", InvalidNode, "wants one node"),
            (f"rlpx:{to}:enr=x", InvalidNode, "wants one node"),
            ("rlpx:enode=enode\\://12@127.0.0.1\\:1", InvalidNode, "invalid public key"),
            (f"rlpx:{self.hexKey}", InvalidNode, "does not know where the node"),
            (f"rlpx:{to}:more", InvalidNode, "invalid port"),
            ("rlpx:enr=nonsense", InvalidNode, ""),
            (f"rlpx:{to}:via=socks4\\:x", InvalidAddress, "want socks5:host:port"),
            (f"rlpx:{to}:key={__file__}", KeyFileError, __file__),
            (f"rlpx:{to}:colour=red", TypeError, "colour"),
        ):
            error = self.assertRaises(kind, clientFromString, self.here, text)
            self.assertIn(words, str(error))


class ServerTests(StringCase):
    """C{serverFromString}."""

    def test_forms(self) -> None:
        """A port, at one address or at all, and any other endpoint."""
        for text, at in (
            ("rlpx:30303", ("0.0.0.0", 30303)),
            ("rlpx:port=30304", ("0.0.0.0", 30304)),
            (f"rlpx:30305:interface={THERE}", (THERE, 30305)),
            (f"rlpx:30306:interface={escaped(THERE_6)}", (THERE_6, 30306)),
            (f"rlpx:port=tcp\\:30307\\:interface={THERE}", (THERE, 30307)),
        ):
            self.serve(text)
            host = self.port.getHost()
            self.assertEqual((host.host, host.port), at)

    def test_the_key_stays(self) -> None:
        """It is made once, readable by its owner only."""
        self.serve()
        first = self.hexKey
        self.serve("rlpx:30304")
        self.assertEqual(self.hexKey, first)
        self.assertEqual(self.serverFile.stat().st_mode & 0o777, 0o600)

    def test_behind_a_proxy(self) -> None:
        """A caller that sends no PROXY header is no client of it."""
        serving = self.serve("rlpx:haproxy\\:tcp\\:30303")
        refused = self.connect(f"rlpx:{self.hexKey}@{THERE}:30303")
        self.failureResultOf(refused)
        self.assertEqual(serving.built, [])

    def test_allow(self) -> None:
        """Only these keys."""
        ours = [PrivateKey(bytes(31) + bytes((number,))) for number in (1, 2)]
        ids = [key.public_key.to_bytes().hex() for key in ours]
        serving = self.serve(f"rlpx:30303:allow={ids[0]},{ids[1]}")
        for key in ours:
            self.clientFile.unlink(missing_ok=True)
            self.clientFile.touch(0o600)
            self.clientFile.write_text(key.secret.hex())
            self.successResultOf(self.connect(f"rlpx:{self.hexKey}@{THERE}:30303:key={self.clientFile}"))
        self.failureResultOf(self.connect(f"rlpx:{self.hexKey}@{THERE}:30303"), PeerDisconnected)
        self.assertEqual(len(serving.built), 2)

    def test_wrong(self) -> None:
        """A sentence each, and no key left behind for those that miss one."""
        for text, kind, words in (
            ("rlpx:30303", InvalidAddress, "wants PORT:key=FILE"),
            (f"rlpx:key={self.serverFile}", InvalidAddress, "wants PORT:key=FILE"),
            (f"rlpx:1:2:key={self.serverFile}", InvalidAddress, "wants PORT:key=FILE"),
            (f"rlpx:70000:key={self.serverFile}", InvalidAddress, "70000 is no port"),
            (f"rlpx:carrier\\:1:key={self.serverFile}", InvalidAddress, "cannot listen on 'carrier:1'"),
            (f"rlpx:30303:allow=12:key={self.serverFile}", InvalidNode, "invalid public key"),
        ):
            error = self.assertRaises(kind, serverFromString, self.there, text)
            self.assertIn(words, str(error))


class SocketTests(TestCase):
    """Over real sockets, on this host alone."""

    timeout = 30

    async def test_amp(self) -> None:
        """Two services that know nothing of RLPx."""
        from twisted.internet import reactor

        serverFile = Path(self.mktemp())
        serving = Serving(Adding)
        endpoint = serverFromString(reactor, f"rlpx:0:interface=127.0.0.1:key={serverFile}")
        port = await endpoint.listen(serving)
        self.addCleanup(port.stopListening)
        key = load_key(serverFile).public_key.to_bytes().hex()
        text = f"rlpx:{key}@127.0.0.1:{port.getHost().port}"
        client = await clientFromString(reactor, text).connect(Factory.forProtocol(Adding))
        self.assertEqual((await client.callRemote(Sum, a=3, b=4))["total"], 7)
        [server] = serving.built
        self.assertEqual((await server.callRemote(Sum, a=5, b=6))["total"], 11)
        waiting = server.callRemote(Sum, a=1, b=1)
        client.transport.loseConnection()
        await self.assertFailure(waiting, ConnectionDone)

    async def test_large(self) -> None:
        """More than all buffers hold, closed at once."""
        from twisted.internet import reactor

        serverFile = Path(self.mktemp())
        ended: Deferred[Any] = Deferred()

        class Receiving(Noting):
            def connectionLost(self, reason: Any = None) -> None:
                super().connectionLost(reason)
                ended.callback(self)

        port = await serverFromString(reactor, f"rlpx:0:interface=127.0.0.1:key={serverFile}").listen(
            Serving(Receiving)
        )
        self.addCleanup(port.stopListening)
        key = load_key(serverFile).public_key.to_bytes().hex()
        serving = Serving(Noting)
        text = f"rlpx:{key}@127.0.0.1:{port.getHost().port}"
        client = await clientFromString(reactor, text).connect(serving)
        client.transport.write(os.urandom(8 << 20))
        client.transport.loseConnection()
        received = await ended
        self.assertEqual(received.size, 8 << 20)
        self.assertTrue(received.reason.check(ConnectionDone), received.reason)
