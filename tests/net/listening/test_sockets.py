"""
Tests for L{devp2p_tx.net.listening.sockets}.
"""

from __future__ import annotations

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.errors import InvalidAddress
from devp2p_tx.net.listening.sockets import listenDescription, serverEndpoint
from devp2p_tx.testing import MemoryNetwork


class DescriptionTests(SynchronousTestCase):
    """What a user writes."""

    def test_ports(self) -> None:
        """A number is a TCP port."""
        for listen, description in [
            (30303, "tcp:30303"),
            ("30303", "tcp:30303"),
            (" 0 ", "tcp:0"),
            (65535, "tcp:65535"),
        ]:
            self.assertEqual(listenDescription(listen), description)

    def test_descriptions(self) -> None:
        """Anything else is left to Twisted."""
        for text in ("tcp:30303:interface=127.0.0.1", "tcp6:30303", "unix:/tmp/socket"):
            self.assertEqual(listenDescription(text), text)

    def test_no_port(self) -> None:
        """A number that is no port is refused in a sentence with the number."""
        for listen in (65536, -1, "70000", "-5"):
            error = self.assertRaises(InvalidAddress, listenDescription, listen)
            self.assertEqual(str(error), f"{listen} is no port: want a number from 0 to 65535")

    def test_no_number(self) -> None:
        """What only looks like a number is quoted as no endpoint."""
        for text in ("--5", "\N{SUPERSCRIPT TWO}", "3-3", "0x10"):
            self.assertRaises(InvalidAddress, serverEndpoint, MemoryNetwork().host("192.0.2.1"), text)


class EndpointTests(SynchronousTestCase):
    """What is made of it."""

    def test_listens(self) -> None:
        """At all addresses, or at the one that was named."""
        host = MemoryNetwork().host("192.0.2.1")
        factory = Factory.forProtocol(Protocol)
        port = self.successResultOf(serverEndpoint(host, 30303).listen(factory))
        self.assertEqual((port.getHost().host, port.getHost().port), ("0.0.0.0", 30303))
        port = self.successResultOf(serverEndpoint(host, "tcp:30304:interface=192.0.2.1").listen(factory))
        self.assertEqual((port.getHost().host, port.getHost().port), ("192.0.2.1", 30304))

    def test_endpoint(self) -> None:
        """It is Twisted's own."""
        self.assertIsInstance(serverEndpoint(MemoryNetwork().host("192.0.2.1"), "30303"), TCP4ServerEndpoint)

    def test_unknown(self) -> None:
        """What Twisted does not know is quoted, with what would have been good."""
        host = MemoryNetwork().host("192.0.2.1")
        for text in ("", "carrier-pigeon:1", "tcp:", "tcp:foo", "tcp", "tcp:1:2:3:4:5:6", "tcp:1:nonsense=1"):
            error = self.assertRaises(InvalidAddress, serverEndpoint, host, text)
            self.assertIn(f"cannot listen on {text!r}: ", str(error))
            self.assertIn("want a port, such as 30303, or an endpoint", str(error))

    def test_unusable(self) -> None:
        """An endpoint that Twisted knows, but cannot make, is quoted too."""
        host = MemoryNetwork().host("192.0.2.1")
        for text in (
            "ssl:443:privateKey=/nowhere/key.pem",
            "systemd:domain=INET:index=7",
            "systemd:domain=INET:name=x",
        ):
            error = self.assertRaises(InvalidAddress, serverEndpoint, host, text)
            self.assertIn(f"cannot listen on {text!r}: ", str(error))
