"""
Tests of a Server that dials through a proxy.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent, globalLogPublisher

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.errors import AddressRefused, InvalidAddress, ProxyError
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.server import Server
from tests.net.proxy.socksproxy import SocksProxy
from tests.node.support import PORT, ServerTestCase, addressOf, keyOf, node

PROXY = "10.0.0.99"
VIA = f"socks5:{PROXY}:1080"


class DialViaTests(ServerTestCase):
    """Node 2 is there, and so is a proxy."""

    def setUp(self) -> None:
        super().setUp()
        host = self.network.host(PROXY)
        self.proxy = SocksProxy(host)
        host.listenTCP(1080, self.proxy)
        self.start(2)
        self.logged: list[LogEvent] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def dialing(self, to: Any, **config: Any) -> Server:
        return self.start(1, staticNodes=[to], dialVia=VIA, **config)

    def test_a_peer(self) -> None:
        """Its address is the node's, in our eyes; in its eyes ours is the proxy's."""
        server = self.dialing(node(2))
        self.assertEqual(self.proxy.asked, [(addressOf(2), PORT)])
        [info] = server.peersInfo()
        self.assertEqual(info["network"]["remoteAddress"], f"{addressOf(2)}:{PORT}")
        [seen] = self.servers[2].peers()
        self.assertEqual(str(seen.node.ip), PROXY)

    def test_a_name(self) -> None:
        """It is never resolved here."""
        self.proxy.names["hidden.example"] = addressOf(2)
        server = self.dialing(node(2, ip=None, hostname="hidden.example"))
        self.assertEqual(self.proxy.asked, [("hidden.example", PORT)])
        [info] = server.peersInfo()
        self.assertEqual(info["network"]["remoteAddress"], f"hidden.example:{PORT}")
        self.assertIn(f"@hidden.example:{PORT}", info["enode"])

    def test_netrestrict(self) -> None:
        """Of a name nobody tells us the address, so with a list it is not dialled; addresses are as ever."""
        self.proxy.names["hidden.example"] = addressOf(2)
        hidden = node(2, ip=None, hostname="hidden.example")
        server = self.dialing(hidden, netrestrict=Netlist.parse("10.0.0.0/8"))
        self.assertEqual((server.peerCount, self.proxy.asked), (0, []))
        connecting = server.connect(hidden)
        self.moment()
        self.assertIn("through a proxy", str(self.failureResultOf(connecting, AddressRefused).value))
        server.addPeer(node(3))
        self.start(3)
        self.moment(60)
        self.assertIn(3, self.numbers(1))

    def test_failures(self) -> None:
        """They are counted apart from those of nodes, and the one who asked hears why."""
        self.start(1, dialVia="socks5:10.0.0.98:1080")
        self.network.host("10.0.0.98")
        connecting = self.servers[1].connect(node(2))
        self.moment()
        failure = self.failureResultOf(connecting, ProxyError)
        self.assertIn("the proxy cannot be reached: Connection was refused", str(failure.value))
        self.assertEqual(self.servers[1].metrics.value("dial_errors", kind="ProxyError"), 1)

    def test_stop(self) -> None:
        """A dial that waits for the proxy is given up."""
        self.proxy.silent = True
        server = self.dialing(node(2))
        stopping = server.stopService()
        self.moment()
        self.successResultOf(stopping)
        self.assertEqual(server.metrics.value("dial_errors", kind="cancelled"), 1)

    def test_discovery_is_warned_of(self) -> None:
        """It does not go through the proxy."""

        def warnings() -> list[str]:
            return [event["sentence"] for event in self.logged if "--discovery none" in event.get("sentence", "")]

        self.start(3, dialVia=VIA)
        self.assertEqual(warnings(), [])
        self.start(4, dialVia=VIA, discovery=True)
        self.assertEqual(len(warnings()), 1)

    def test_configuration(self) -> None:
        """What cannot be read is refused when it is set."""
        error = self.assertRaises(InvalidAddress, ServerConfig, keyOf(1), dialVia="socks4:x:1")
        self.assertIn("want socks5:host:port", str(error))
