"""
Tests for L{devp2p_tx.net.connecting.dialvia} and L{devp2p_tx.net.proxy.socks5}.
"""

from __future__ import annotations

import sys
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, NoProtocol
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import InvalidAddress, ProxyError
from devp2p_tx.net.connecting.dialvia import parseVia
from devp2p_tx.net.connecting.nodes import CONNECT_TIMEOUT, connect
from devp2p_tx.net.proxy.socks5 import PROXY_TIMEOUT
from devp2p_tx.testing import MemoryNetwork
from tests.net.proxy.socksproxy import SocksProxy
from tests.net.proxy.test_preamble import Noting, NotingFactory

KEY = PrivateKey(bytes(31) + b"\1").public_key
HERE, PROXY, THERE = "192.0.2.1", "192.0.2.9", "192.0.2.2"


class Socks5Tests(SynchronousTestCase):
    """Three hosts: we, a proxy, and a node that we reach through it."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.here, self.there = self.network.host(HERE), self.network.host(THERE)
        self.proxyHost = self.network.host(PROXY)
        self.proxy = self.listen()
        self.factory = NotingFactory()
        self.there.listenTCP(30303, self.factory)
        self.reached: list[IAddress] = []

    def listen(self, port: int = 1080, **credentials: str) -> SocksProxy:
        proxy = SocksProxy(self.proxyHost, **credentials)
        self.proxyHost.listenTCP(port, proxy)
        return proxy

    def connect(self, host: str = THERE, via: str = f"socks5:{PROXY}:1080", port: int = 30303) -> Deferred[Any]:
        """Connect to a node, and let a moment pass."""
        try:
            node = Node(KEY, ip_address(host), port)
        except ValueError:
            node = Node(KEY, None, port, hostname=host)
        connecting = connect(self.here, node, self._build, parseVia(via))
        self.network.advance(1)
        return connecting

    def _build(self, address: IAddress) -> Protocol:
        self.reached.append(address)
        return Noting()

    def assertFails(self, connecting: Deferred[Any], words: str) -> None:
        failure = self.failureResultOf(connecting, ProxyError)
        self.assertIn(words, str(failure.value))

    def test_through(self) -> None:
        """The node sees the proxy, we see the node, and bytes go both ways."""
        protocol = self.successResultOf(self.connect())
        self.assertEqual(self.proxy.asked, [(THERE, 30303)])
        peer: Any = protocol.transport.getPeer()
        self.assertEqual(((peer.host, peer.port), self.reached), ((THERE, 30303), [peer]))
        self.assertEqual(self.factory.seen[0].host, PROXY)
        protocol.transport.write(b"ping")
        self.network.settle()
        [theirs] = self.factory.built
        theirs.transport.write(b"pong")  # type: ignore[union-attr]
        self.network.settle()
        self.assertEqual((theirs.data, protocol.data), (b"ping", b"pong"))
        protocol.transport.loseConnection()
        self.network.settle()
        self.assertIsNotNone(protocol.reason)
        self.assertIsNotNone(theirs.reason)
        self.assertEqual(self.here.getDelayedCalls(), [])

    def test_names_are_not_resolved_here(self) -> None:
        """Only the proxy knows the name, and we do not ask for it."""
        self.network.names["secret.example"] = ["192.0.2.99"]
        self.proxy.names["secret.example"] = THERE
        protocol = self.successResultOf(self.connect("secret.example"))
        self.assertEqual(self.proxy.asked, [("secret.example", 30303)])
        self.assertEqual((protocol.transport.getPeer().host, self.factory.seen[0].host), ("secret.example", PROXY))

    def test_password(self) -> None:
        """What has a meaning in the text is written as in a URL."""
        self.listen(1081, username="joe", password="p@ss:word")
        self.successResultOf(self.connect(via=f"socks5:joe:p%40ss%3Aword@{PROXY}:1081"))
        self.assertFails(self.connect(via=f"socks5:joe:wrong@{PROXY}:1081"), "refused the user name or the password")
        self.assertFails(self.connect(via=f"socks5:{PROXY}:1081"), "wants a user name and a password")

    def test_the_node_refuses(self) -> None:
        """The proxy says why."""
        self.assertFails(self.connect(port=1), "the proxy could not connect: connection refused")

    def test_no_proxy(self) -> None:
        """It is told apart from a node that is not there, also where the name is that of the proxy."""
        self.assertFails(self.connect(via=f"socks5:{PROXY}:9"), "the proxy cannot be reached: Connection was refused")
        self.assertFails(self.connect(via="socks5:nowhere.example:9"), "the proxy cannot be reached: DNS lookup failed")
        connecting = self.connect(via="socks5:192.0.2.77:1080")
        self.network.advance(CONNECT_TIMEOUT)
        self.assertFails(connecting, "the proxy cannot be reached")

    def test_no_socks(self) -> None:
        """Something else listens there."""
        self.proxyHost.listenTCP(25, NotingFactory())
        connecting = self.connect(via=f"socks5:{PROXY}:25")
        [port] = [each for each in self.network.connections if each.reactor is self.proxyHost]
        port.write(b"220 mail.example ESMTP\r\n")
        self.network.settle()
        self.assertFails(connecting, "does not speak SOCKS5")

    def test_silence(self) -> None:
        """The proxy has a minute for all of it."""
        self.proxy.silent = True
        connecting = self.connect()
        self.network.advance(PROXY_TIMEOUT - 1.5)
        self.assertNoResult(connecting)
        self.network.advance(0.5)
        self.assertFails(connecting, "longer than 60 s")
        self.assertEqual(self.network.connections, {})

    def test_the_proxy_hangs_up(self) -> None:
        """While it should connect."""
        self.proxy.silent = True
        connecting = self.connect()
        for each in list(self.network.connections):
            if each.reactor is self.proxyHost:
                each.loseConnection()  # type: ignore[no-untyped-call]
        self.network.settle()
        self.assertFails(connecting, "the proxy closed the connection")

    def test_cancel(self) -> None:
        """At any time; nothing is left of it."""
        for silent, via in ((True, f"socks5:{PROXY}:1080"), (False, "socks5:192.0.2.77:1080")):
            self.proxy.silent = silent
            connecting = self.connect(via=via)
            connecting.cancel()
            self.failureResultOf(connecting, ConnectingCancelledError)
            self.network.settle()
            self.assertEqual((self.here.getDelayedCalls(), self.network.connections), ([], {}))

    def test_no_protocol(self) -> None:
        """C{None} in place of a protocol closes the connection."""
        connecting = connect(
            self.here, Node(KEY, ip_address(THERE), 30303), lambda address: None, parseVia(f"socks5:{PROXY}:1080")
        )
        self.network.advance(1)
        self.failureResultOf(connecting, NoProtocol)
        self.assertEqual(self.network.connections, {})


class TextTests(SynchronousTestCase):
    """L{parseVia}."""

    def test_unknown(self) -> None:
        """It says what would have been good, and never repeats a password."""
        for text in (
            "",
            "socks5",
            "socks5:",
            "socks5:host",
            "socks5:host:0",
            "socks5:host:70000",
            "socks5:host:port",
            "socks5::1080",
            "socks5:secret@host:1080",
            "socks5::secret@host:1080",
            "socks5:joe:secret@host",
            "socks5:joe:se/cret@host:1080",
            "socks5:host:1080/path",
            "socks5:[::1:1080",
            "socks4:host:1080",
            "http:host:1080",
            "tor",
            "host:1080",
        ):
            error = self.assertRaises(InvalidAddress, parseVia, text)
            self.assertIn("want socks5:host:port", str(error), text)
            self.assertNotIn("cret@", str(error))

    def test_wrong_control_port(self) -> None:
        """The sentence says how to write it."""
        for text in ("tor:9051", "tor:pass=secret", "tor:control="):
            error = self.assertRaises(InvalidAddress, parseVia, text)
            self.assertIn("want control=PORT-OR-PATH", str(error))
            self.assertNotIn("secret", str(error))

    def test_known(self) -> None:
        """None of these needs anything to be there yet."""
        for text in ("socks5:host:1080", "socks5:[::1]:1080", "socks5:joe:secret@127.0.0.1:1", "tor:"):
            parseVia(text)
        for control in ("9051", "/run/tor/control"):
            parseVia(f"tor:control={control}")

    def test_tor_without_its_library(self) -> None:
        """The sentence says what to install."""
        self.patch(sys, "path", [])
        self.patch(sys, "meta_path", [])
        modules = {name: module for name, module in sys.modules.items() if not name.startswith("txtorcon")}
        self.patch(sys, "modules", modules)
        error = self.assertRaises(InvalidAddress, parseVia, "tor:")
        self.assertEqual(str(error), "Tor needs the library txtorcon: pip install 'devp2p-tx[tor]'")

    def test_tor_control(self) -> None:
        """A port or a path."""
        for text in ("tor:control=70000", "tor:control=host:1", "tor:control=x"):
            self.assertIn("a port or the path of a socket", str(self.assertRaises(InvalidAddress, parseVia, text)))
