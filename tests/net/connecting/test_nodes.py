"""
Tests for L{devp2p_tx.net.connecting.nodes}.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.codec.rlp import encode_uint
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import InvalidNode
from devp2p_tx.net.connecting.nodes import CONNECT_TIMEOUT, clientEndpoint, connect
from devp2p_tx.testing import MemoryNetwork

KEY_PAIR = PrivateKey(bytes(31) + b"\1")
KEY = KEY_PAIR.public_key
HERE, HERE_6, THERE, THERE_6 = "34.0.0.1", "2600::1", "34.0.0.2", "2600::2"


def node(host: str, **changes: Any) -> Node:
    """Who listens at an address."""
    return Node(KEY, **{"ip": ip_address(host), "tcp": 30303, **changes})


class ConnectTests(SynchronousTestCase):
    """L{connect}."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.here, self.there = self.network.host(HERE, HERE_6), self.network.host(THERE, THERE_6)
        for interface in ("", "::"):
            self.there.listenTCP(30303, Factory.forProtocol(Protocol), interface=interface)
        self.reached: list[IAddress] = []

    def connect(self, to: Node) -> Deferred[Any]:
        """Connect, and let a moment pass."""
        connecting = connect(self.here, to, self._build)
        self.network.advance(1)
        return connecting

    def _build(self, address: IAddress) -> Protocol:
        self.reached.append(address)
        return Protocol()

    def _hosts(self) -> list[str]:
        return [getattr(address, "host", "") for address in self.reached]

    def test_addresses(self) -> None:
        """Of either family; it fires with the protocol that was made for the address that was reached."""
        for host in (THERE, THERE_6):
            protocol = self.successResultOf(self.connect(node(host)))
            self.assertEqual(protocol.transport.getPeer().host, host)
        self.assertEqual(self._hosts(), [THERE, THERE_6])

    def test_name(self) -> None:
        """A name is looked up, and the address that was found is what is told."""
        self.network.names["boot.example"] = [THERE]
        self.successResultOf(self.connect(node(HERE, ip=None, hostname="Boot.Example")))
        self.assertEqual(self._hosts(), [THERE])

    def test_known_addresses(self) -> None:
        """What a name means, if that is known, is tried in its order, the next one a moment after the one before."""
        to = node(HERE, ip=None, hostname="boot.example")
        for hosts, reached in [([THERE_6], THERE_6), (["192.0.2.99", "2001:db8::99", THERE], THERE)]:
            self.reached.clear()
            addresses = [(ip_address(host), 30303) for host in hosts]
            connecting = connect(self.here, to, self._build, addresses=addresses)
            self.network.advance(0.9)
            self.successResultOf(connecting)
            self.assertEqual(self._hosts(), [reached])

    def test_no_known_address_answers(self) -> None:
        """Each is given its time."""
        addresses = [(ip_address(host), 30303) for host in ("192.0.2.98", "192.0.2.99")]
        connecting = connect(self.here, node(HERE, ip=None, hostname="boot.example"), self._build, addresses=addresses)
        self.network.advance(CONNECT_TIMEOUT)
        self.assertNoResult(connecting)
        self.network.advance(0.5)
        self.failureResultOf(connecting, TimeoutError)

    def test_unknown_name(self) -> None:
        """A name that means nothing."""
        self.failureResultOf(self.connect(node(HERE, ip=None, hostname="nobody.example")), DNSLookupError)

    def both(self, **changes: Any) -> Node:
        """Who says in its record that it is at two addresses."""
        said = {"ip": THERE, "ip6": THERE_6, "tcp": 30303, "tcp6": 30303, **changes}
        pairs: dict[bytes, Any] = {
            name.encode(): encode_uint(value) if isinstance(value, int) else ip_address(value).packed
            for name, value in said.items()
        }
        return Node.from_record(Record.sign(KEY_PAIR, 1, pairs))

    def test_both_families(self) -> None:
        """The first address that answers is taken, and nothing is left of the other."""
        self.assertEqual(str(self.both().ip), THERE)
        self.successResultOf(self.connect(self.both()))
        self.assertEqual(self._hosts(), [THERE])
        self.assertEqual(len(self.network.connections), 2)

    def test_other_family(self) -> None:
        """Where one address refuses, or does not answer for a moment, the other is tried, at its own port."""
        self.there.listenTCP(40404, Factory.forProtocol(Protocol), interface="::")
        for changes in ({"tcp": 1}, {"ip": "34.0.0.99"}):
            self.reached.clear()
            self.successResultOf(self.connect(self.both(**changes, tcp6=40404)))
            self.assertEqual([(each.host, each.port) for each in self.reached], [(THERE_6, 40404)])
            self.assertEqual(self.here.getDelayedCalls(), [])

    def test_only_one_family_here(self) -> None:
        """A host with IPv6 alone reaches a node by that, though IPv4 is what one would try first."""
        self.here = self.network.host("2600::9")
        self.successResultOf(self.connect(self.both()))
        self.assertEqual(self._hosts(), [THERE_6])

    def test_neither_answers(self) -> None:
        """Both fail, and so does it all; soon, when both are refused."""
        self.failureResultOf(self.connect(self.both(tcp=1, tcp6=1)), ConnectionRefusedError)
        connecting = self.connect(self.both(ip="34.0.0.99", ip6="2600::99"))
        self.network.advance(CONNECT_TIMEOUT)
        self.failureResultOf(connecting, TimeoutError)
        self.assertEqual(self.here.getDelayedCalls(), [])

    def test_incomplete(self) -> None:
        """A node that is nowhere to be reached."""
        for to, sentence in [(node(HERE, ip=None), "has no address"), (node(THERE, tcp=0), "has no TCP port")]:
            error = self.assertRaises(InvalidNode, clientEndpoint, self.here, to)
            self.assertIn(sentence, str(error))
            self.assertIn(KEY.node_id.hex()[:16], str(error))

    def test_refused(self) -> None:
        """Nobody listens."""
        self.failureResultOf(self.connect(node(THERE, tcp=1)), ConnectionRefusedError)

    def test_timeout(self) -> None:
        """Nobody answers: it is given up after 15 seconds."""
        connecting = self.connect(node("34.0.0.99"))
        self.network.advance(CONNECT_TIMEOUT - 1.5)
        self.assertNoResult(connecting)
        self.network.advance(0.5)
        self.failureResultOf(connecting, TimeoutError)
        self.assertEqual(CONNECT_TIMEOUT, 15)

    def test_cancel(self) -> None:
        """Cancelling gives it up, and leaves nothing behind."""
        connecting = self.connect(node("34.0.0.99"))
        connecting.cancel()
        self.failureResultOf(connecting, ConnectingCancelledError)
        self.network.settle()
        self.assertEqual(self.here.getDelayedCalls(), [])

    def test_no_protocol(self) -> None:
        """C{None} in place of a protocol closes the connection."""
        connecting = connect(self.here, node(THERE), lambda address: None)
        self.network.advance(1)
        self.failureResultOf(connecting)
        self.assertEqual(self.network.connections, {})
