"""
Tests for L{devp2p_tx.net.proxy.tor}, against a scripted control port; what Tor itself says is in the interop tests.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.proxy.onion import onion_key
from devp2p_tx.errors import InvalidAddress, ProxyError
from devp2p_tx.net.connecting.dialvia import parseVia
from devp2p_tx.net.listening.sockets import serverEndpoint
from devp2p_tx.net.proxy.tor import CONTROL_TIMEOUT, DEFAULT_CONTROLS, RETRY_INTERVAL, ControlPort
from devp2p_tx.testing import MemoryNetwork
from tests.net.proxy.socksproxy import SocksProxy
from tests.net.proxy.test_preamble import Noting, NotingFactory
from tests.net.proxy.torcontrol import SERVICE, TorControlPort

HERE, THERE = "192.0.2.1", "192.0.2.2"
KEY = PrivateKey(bytes(31) + b"\1")


class TorCase(SynchronousTestCase):
    """A host where Tor runs."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.here, self.there = self.network.host(HERE), self.network.host(THERE)
        self.control = TorControlPort()
        self.controlPort = self.here.listenTCP(9051, self.control, interface="127.0.0.1")

    def assertFails(self, failing: Deferred[Any], words: str) -> None:
        failure = self.failureResultOf(failing, ProxyError)
        self.assertIn(words, str(failure.value))
        self.assertNotIn("\n", str(failure.value))
        self.network.settle()
        self.assertEqual((self.here.getDelayedCalls(), self.network.connections), ([], {}))
        self.assertEqual(self.flushLoggedErrors(), [])


class DialTests(TorCase):
    """C{--dial-via tor:}."""

    def setUp(self) -> None:
        super().setUp()
        self.proxy = SocksProxy(self.here)
        self.here.listenTCP(9050, self.proxy, interface="127.0.0.1")
        self.factory = NotingFactory()
        self.there.listenTCP(30303, self.factory)
        self.proxy.names["node.onion"] = THERE

    def dial(self, via: str = "tor:control=9051", seconds: float = 1) -> Deferred[Any]:
        """Connect to an onion service, and let a moment pass."""
        endpoint = parseVia(via)(self.here, "node.onion", 30303)
        connecting: Deferred[Any] = endpoint.connect(Factory.forProtocol(Noting))
        self.network.advance(seconds)
        return connecting

    def test_through(self) -> None:
        """Tor says where its SOCKS port is, which is told the name as it is; the control port is left then."""
        protocol = self.successResultOf(self.dial())
        self.assertEqual(self.proxy.asked, [("node.onion", 30303)])
        self.assertEqual(protocol.transport.getPeer().host, "node.onion")
        self.assertEqual(self.control.commands[-1], "GETINFO net/listeners/socks")
        self.assertEqual(self.control.connections[0].transport.connected, 0)

    def test_the_usual_place(self) -> None:
        """The control port is found where nobody says where it is."""
        self.here.connectUNIX = _nowhere  # type: ignore[attr-defined]
        self.successResultOf(self.dial("tor:"))
        self.assertEqual(ControlPort.parse("").descriptions, DEFAULT_CONTROLS)
        self.assertEqual(DEFAULT_CONTROLS, ("unix:/run/tor/control", "tcp:127.0.0.1:9051"))

    def test_several_socks_ports(self) -> None:
        """The first is taken."""
        self.control.script(
            "GETINFO net/listeners/socks", '250-net/listeners/socks="127.0.0.1:9050" "127.0.0.1:9150"', "250 OK"
        )
        self.successResultOf(self.dial())

    def test_no_socks_port(self) -> None:
        """As when Tor's network is disabled."""
        self.control.script("GETINFO net/listeners/socks", "250-net/listeners/socks=", "250 OK")
        self.assertFails(self.dial(), "Tor has no SOCKS port open")

    def test_nobody_there(self) -> None:
        """It says where it looked."""
        self.assertFails(self.dial("tor:control=9052"), "tcp:127.0.0.1:9052: Connection was refused")

    def test_not_let_in(self) -> None:
        """In Tor's own words, or the library's."""
        self.control.script("AUTHENTICATE", "515 Authentication failed")
        self.assertFails(self.dial(), "Authentication failed")
        self.control.script("PROTOCOLINFO", "250-AUTH METHODS=HASHEDPASSWORD", "250 OK")
        self.assertFails(self.dial(), "tcp:127.0.0.1:9051")

    def test_a_password(self) -> None:
        """Tor is told it, where it has its hash."""
        self.control.script("PROTOCOLINFO", "250-AUTH METHODS=HASHEDPASSWORD", "250 OK")
        self.successResultOf(self.dial("tor:control=9051:password=p%3A%22ss")).transport.abortConnection()
        self.assertEqual(self.control.told("AUTHENTICATE"), ["AUTHENTICATE " + b'p:"ss'.hex()])
        self.control.script("AUTHENTICATE", "515 Authentication failed")
        self.assertFails(self.dial("tor:control=9051:password=wrong"), "Authentication failed")

    def test_the_cookie_cannot_be_read(self) -> None:
        """Which file that is."""
        auth = '250-AUTH METHODS=COOKIE,SAFECOOKIE COOKIEFILE="/nowhere/cookie"'
        self.control.script("PROTOCOLINFO", auth, "250 OK")
        self.assertFails(self.dial(), "/nowhere/cookie")

    def test_silence(self) -> None:
        """Tor has half a minute."""
        self.control.answers = {"PROTOCOLINFO": []}
        connecting = self.dial(seconds=CONTROL_TIMEOUT - 0.5)
        self.assertNoResult(connecting)
        self.network.advance(1)
        self.assertFails(connecting, "Tor did not answer within 30 s")

    def test_it_hangs_up(self) -> None:
        """Whatever it was asked last."""
        for start in ("PROTOCOLINFO", "AUTHENTICATE", "GETINFO version", "GETINFO net"):
            self.control.answers = TorControlPort().answers
            self.control.script(start)
            connecting = self.dial()
            self.control.connections[-1].transport.loseConnection()
            self.network.settle()
            self.failureResultOf(connecting)
            self.assertEqual(self.here.getDelayedCalls(), [])

    def test_somebody_elses_port(self) -> None:
        """It is a sentence, not a traceback."""
        for line in ("SSH-2.0-OpenSSH_9.2", "220 mail ESMTP", "250 OK", "", "\N{EURO SIGN}", "x" * 20000):
            self.control.answers = {"": [line] * 3}
            self.network.advance(CONTROL_TIMEOUT)
            connecting = self.dial(seconds=CONTROL_TIMEOUT + 1)
            self.assertFails(connecting, "Tor")

    def test_cancel(self) -> None:
        """Nothing is left of it."""
        self.control.answers = {"": []}
        connecting = self.dial()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.network.settle()
        self.assertEqual((self.here.getDelayedCalls(), self.network.connections), ([], {}))


def _nowhere(address: str, factory: Any, timeout: float = 30, checkPID: int = 0) -> None:
    raise OSError(2, "No such file or directory")


class ListenTests(TorCase):
    """C{--listen onion:}."""

    def setUp(self) -> None:
        super().setUp()
        self.factory = NotingFactory()

    def listen(self, text: str = "onion:30303:control=9051") -> Deferred[Any]:
        """Listen, and let a moment pass."""
        listening: Deferred[Any] = serverEndpoint(self.here, text, KEY).listen(self.factory)
        self.network.advance(1)
        return listening

    def stop(self, port: Any) -> None:
        stopping = port.stopListening()
        self.network.settle()
        self.successResultOf(stopping)
        self.assertEqual(self.here.getDelayedCalls(), [])

    def localPort(self) -> int:
        """Where Tor is told to find us."""
        [command] = self.control.told("ADD_ONION")[-1:]
        host, _, port = command.rpartition(",")[2].rpartition(":")
        self.assertEqual(host, "127.0.0.1")
        return int(port)

    def test_a_service(self) -> None:
        """Tor is told our key, the port that others see, and where we are, on this host alone."""
        port = self.successResultOf(self.listen())
        [command] = self.control.told("ADD_ONION")
        self.assertEqual(command, f"ADD_ONION {onion_key(KEY)} Port=30303,127.0.0.1:{self.localPort()}")
        at = port.getHost()
        self.assertEqual((at.host, at.port), (f"{SERVICE}.onion", 30303))
        self.assertIsNone(self.there.listenerAt("TCP", THERE, self.localPort()))
        self.here.connectTCP("127.0.0.1", self.localPort(), _Once())
        self.network.settle()
        self.assertEqual(len(self.factory.built), 1)
        self.factory.built[0].transport.abortConnection()  # type: ignore[union-attr]
        self.stop(port)

    def test_a_password(self) -> None:
        """As for dialling, also when the service is published again."""
        self.control.script("PROTOCOLINFO", "250-AUTH METHODS=HASHEDPASSWORD", "250 OK")
        port = self.successResultOf(self.listen("onion:30303:control=9051:password=secret"))
        self.control.connections[0].transport.loseConnection()
        self.network.advance(RETRY_INTERVAL + 1)
        self.assertEqual(self.control.told("AUTHENTICATE"), ["AUTHENTICATE " + b"secret".hex()] * 2)
        self.stop(port)

    def test_it_lasts_as_long_as_we_do(self) -> None:
        """Tor forgets a service when its control connection ends: so it stays, and ends with the port."""
        port = self.successResultOf(self.listen())
        self.network.advance(10 * CONTROL_TIMEOUT)
        self.assertTrue(self.control.connections[0].transport.connected)
        self.stop(port)
        self.assertFalse(self.control.connections[0].transport.connected)
        self.network.advance(10 * RETRY_INTERVAL)
        self.assertEqual(len(self.control.connections), 1)

    def test_tor_restarts(self) -> None:
        """It is published again, at the same address, as soon as Tor is back."""
        port = self.successResultOf(self.listen())
        self.controlPort.stopListening()
        self.control.connections[0].transport.loseConnection()
        self.network.advance(2.5 * RETRY_INTERVAL)
        self.assertEqual(len(self.control.connections), 1)
        self.here.listenTCP(9051, self.control, interface="127.0.0.1")
        self.network.advance(RETRY_INTERVAL)
        first, second = self.control.told("ADD_ONION")
        self.assertEqual(first, second)
        self.stop(port)

    def test_stopped_while_tor_is_away(self) -> None:
        """It does not come back then."""
        port = self.successResultOf(self.listen())
        self.control.connections[0].transport.loseConnection()
        self.network.settle()
        self.stop(port)
        self.network.advance(2 * RETRY_INTERVAL)
        self.assertEqual(len(self.control.connections), 1)

    def test_stopped_while_it_is_published_again(self) -> None:
        """Neither then."""
        port = self.successResultOf(self.listen())
        self.control.answers = {"": []}
        self.control.connections[0].transport.loseConnection()
        self.network.advance(RETRY_INTERVAL + 1)
        self.assertEqual(len(self.control.connections), 2)
        self.stop(port)
        self.network.settle()
        self.assertEqual(self.network.connections, {})

    def test_refused(self) -> None:
        """In Tor's words; nothing listens then."""
        self.control.script("ADD_ONION", "550 Onion address collision")
        self.assertFails(self.listen(), "Tor refused the onion service: 550 Onion address collision")
        self.assertIsNone(self.here.listenerAt("TCP", "127.0.0.1", self.localPort()))

    def test_strange_answers(self) -> None:
        """A service without an address."""
        self.control.script("ADD_ONION", "250-ServiceID=../../x", "250 OK")
        self.assertFails(self.listen(), "Tor did not say the onion service's address")

    def test_silence(self) -> None:
        """It does not wait for ever."""
        self.control.script("ADD_ONION")
        listening = self.listen()
        self.network.advance(CONTROL_TIMEOUT)
        self.assertFails(listening, "Tor did not answer within 30 s")

    def test_nobody_there(self) -> None:
        """It says where it looked."""
        self.assertFails(self.listen("onion:30303:control=9052"), "tcp:127.0.0.1:9052: Connection was refused")

    def test_wrong(self) -> None:
        """A sentence each."""
        for text in ("onion:", "onion:x", "onion:0", "onion:70000", "onion:30303:"):
            error = self.assertRaises(InvalidAddress, serverEndpoint, self.here, text, KEY)
            self.assertIn("want onion:PORT", str(error))
        for rest, words in (
            ("control=x", "a port or the path of a socket"),
            ("control=", "want control="),
            ("password=", "want control="),
            ("control=9051:", "a port or the path of a socket"),
            ("control=9051:password=", "a port or the path of a socket"),
            ("control=/" + 107 * "x", "at most 107 bytes"),
            ("password=hush%0D%0Aquit", "no line breaks"),
            ("hiddenServiceDir=/x", "want control="),
        ):
            error = self.assertRaises(InvalidAddress, serverEndpoint, self.here, f"onion:30303:{rest}", KEY)
            self.assertIn(words, str(error))
        for place, description in (
            ("9051", "tcp:127.0.0.1:9051"),
            ("/run/a:b/control", "unix:/run/a\\:b/control"),
        ):
            self.assertEqual(ControlPort.parse(f"control={place}"), ((description,), ""))
            self.assertEqual(ControlPort.parse(f"control={place}:password=a:b=c%20"), ((description,), "a:b=c "))

    def test_a_wrong_text_does_not_repeat_the_password(self) -> None:
        """Which ends in logs."""
        for text in ("x:password=hush", "0:control=9051:password=hush", "9:control=9051:pass=hush", "9:pass=hush"):
            error = self.assertRaises(InvalidAddress, serverEndpoint, self.here, f"onion:{text}", KEY)
            self.assertNotIn("hush", str(error))

    def test_without_the_library(self) -> None:
        """The sentence says what to install."""
        self.patch(sys, "meta_path", [])
        self.patch(sys, "modules", {name: each for name, each in sys.modules.items() if name != "txtorcon"})
        error = self.assertRaises(InvalidAddress, serverEndpoint, self.here, "onion:30303", KEY)
        self.assertIn("pip install 'devp2p-tx[tor]'", str(error))


class _Once(Factory):
    """As much of a client as connectTCP wants."""

    noisy = False
    protocol = Protocol

    def startedConnecting(self, connector: object) -> None: ...

    def clientConnectionLost(self, connector: object, reason: object) -> None: ...
