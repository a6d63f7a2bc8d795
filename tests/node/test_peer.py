"""
Tests of what is shown of peers, and of the node itself.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from devp2p_tx.core.enr.url import parse_node
from devp2p_tx.core.p2p.messages import Cap, Hello
from devp2p_tx.interfaces import IPeer
from devp2p_tx.node.peer import Conn, ConnectionFlags, Peer, addressIP, addressText
from devp2p_tx.testing import EchoCapability
from tests.node.support import PORT, ServerTestCase, addressOf, keyOf, node


class Informed(EchoCapability):
    """Has something to show."""

    def nodeInfo(self) -> object:
        return {"network": 1}

    def peerInfo(self, peerId: str) -> object:
        return {"peer": peerId, "version": self.version}


class FlagTests(SynchronousTestCase):
    """L{ConnectionFlags}."""

    def test_text(self) -> None:
        """The names, in go-ethereum's order."""
        flags = ConnectionFlags
        for value, text in [
            (flags.INBOUND, "inbound"),
            (flags.STATIC_DIALED, "staticdial"),
            (flags.DYNAMIC_DIALED, "dyndial"),
            (flags.INBOUND | flags.TRUSTED, "trusted-inbound"),
            (flags.TRUSTED | flags.STATIC_DIALED, "trusted-staticdial"),
            (flags(15), "trusted-dyndial-staticdial-inbound"),
            (flags(0), ""),
        ]:
            self.assertEqual(str(value), text)
        self.assertEqual([int(flag) for flag in flags], [1, 2, 4, 8])


class AddressTests(SynchronousTestCase):
    """Addresses as text, and as numbers."""

    def test_text(self) -> None:
        """An IPv6 address stands in brackets; what has no port is called as Twisted calls it."""
        self.assertEqual(addressText(IPv4Address("TCP", "1.2.3.4", 5)), "1.2.3.4:5")
        self.assertEqual(addressText(IPv6Address("TCP", "::1", 5)), "[::1]:5")
        self.assertEqual(addressText(UNIXAddress(b"/tmp/socket")), "unix:/tmp/socket")
        self.assertEqual(addressText(UNIXAddress(None)), "unix:")

    def test_ip(self) -> None:
        """IPv4 in IPv6 clothes is unwrapped, and a zone left out."""
        self.assertEqual(str(addressIP(IPv6Address("TCP", "::ffff:1.2.3.4", 5))), "1.2.3.4")
        self.assertEqual(str(addressIP(IPv6Address("TCP", "fe80::1%eth0", 5))), "fe80::1")
        self.assertIsNone(addressIP(UNIXAddress(b"/tmp/socket")))
        self.assertIsNone(addressIP(IPv4Address("TCP", "example.org", 5)))


class PeerTests(SynchronousTestCase):
    """L{Peer}."""

    def peer(self, name: str = "client", *caps: Cap) -> Peer:
        """A peer that dialled us through a UNIX socket."""
        socket = UNIXAddress(b"/tmp/socket")
        transport = SimpleNamespace(remoteKey=keyOf(2).public_key, localAddress=socket, remoteAddress=socket)
        conn = Conn(cast(Any, transport), ConnectionFlags.INBOUND)
        conn.setNode(None)
        conn.hello = Hello(name, caps, keyOf(2).public_key.to_bytes())
        return Peer(conn, [], 0)

    def test_name(self) -> None:
        """Twenty characters are shown, more are cut."""
        for fullname, name in [("a" * 20, "a" * 20), ("a" * 21, "a" * 20 + "..."), ("", "")]:
            peer = self.peer(fullname)
            self.assertEqual((peer.name, peer.fullname), (name, fullname))
            self.assertEqual(peer.info()["name"], fullname)

    def test_without_address(self) -> None:
        """Of one without an IP address only the key is known."""
        peer = self.peer()
        self.assertEqual((peer.node.ip, peer.node.tcp, peer.node.udp), (None, 0, 0))
        self.assertEqual(peer.info()["enode"], f"enode://{keyOf(2).public_key.to_bytes().hex()}")
        json.dumps(peer.info())

    def test_caps_as_sent(self) -> None:
        """What it offers is shown as it was sent, whatever we make of it."""
        peer = self.peer("client", Cap("snap", 1), Cap("eth", 68), Cap("eth", 67))
        self.assertEqual(peer.info()["caps"], ["snap/1", "eth/68", "eth/67"])


class InfoTests(ServerTestCase):
    """L{Server.nodeInfo} and L{Server.peersInfo}; the names are those of go-ethereum's C{admin_nodeInfo}."""

    def test_found_by_its_id(self) -> None:
        """C{server.peer()}: by the bytes of a node id or by its digits, as events have it."""
        server = self.start(1)
        self.call(2, 1)
        [peer] = server.peers()
        for nodeId in (node(2).node_id, peer.id, peer.id.upper(), self.events[1][0].peer):
            self.assertIs(server.peer(nodeId), peer)
        self.assertIsNone(server.peer(node(3).node_id))
        peer.disconnect()
        self.moment()
        self.assertIsNone(server.peer(peer.id))
        for wrong in (b"", "", "zz" * 32, node(2).public_key.to_bytes(), "00"):
            self.assertRaises(ValueError, server.peer, wrong)

    def test_interface(self) -> None:
        """It is what a capability is given by others, too."""
        server = self.start(1)
        self.call(2, 1)
        self.assertTrue(verifyObject(IPeer, server.peers()[0]))
        self.assertIs(self.echo(1).protocols[0].peer, server.peers()[0])

    def test_node(self) -> None:
        """Every name, and what stands under it."""
        server = self.start(1, capabilities=[Informed("info"), EchoCapability("none")], name="me/v1")
        info = server.nodeInfo()
        names = {"id", "name", "enode", "enr", "ip", "ports", "listenAddr", "protocols"}
        ours = {"discovery", "nat", "advertised", "listenAddrs"}
        self.assertEqual(set(info), names | ours)
        self.assertEqual((info["id"], info["name"]), (node(1).node_id.hex(), "me/v1"))
        self.assertEqual(parse_node(info["enode"]), server.self())
        self.assertEqual((info["ip"], info["listenAddr"]), ("127.0.0.1", f"0.0.0.0:{PORT}"))
        self.assertEqual(set(info["ports"]), {"discovery", "listener"})
        self.assertEqual(info["ports"]["listener"], PORT)
        self.assertEqual(info["protocols"], {"info": {"network": 1}, "none": "unknown"})
        self.assertEqual(json.loads(json.dumps(info)), info)

    def test_peers(self) -> None:
        """Every name, and what stands under it."""
        self.start(2, name="a name of more than twenty characters", capabilities=[EchoCapability("info")])
        server = self.start(1, capabilities=[Informed("info"), EchoCapability("none")], staticNodes=[node(2)])
        [info] = server.peersInfo()
        self.assertEqual(set(info) - {"enr"}, {"enode", "id", "name", "caps", "network", "protocols"})
        self.assertEqual(parse_node(info["enode"]), node(2))
        self.assertEqual((info["id"], info["name"]), (node(2).node_id.hex(), "a name of more than twenty characters"))
        self.assertEqual(info["caps"], ["info/1"])
        local = info["network"].pop("localAddress")
        self.assertRegex(local, rf"^{addressOf(1)}:\d+$")
        self.assertEqual(
            info["network"],
            {"remoteAddress": f"{addressOf(2)}:{PORT}", "inbound": False, "trusted": False, "static": True},
        )
        self.assertEqual(info["protocols"], {"info": {"peer": info["id"], "version": 1}})
        self.assertEqual(json.loads(json.dumps(info)), info)
        [other] = self.servers[2].peersInfo()
        self.assertEqual(other["protocols"], {"info": "unknown"})
        self.assertEqual(
            other["network"],
            {
                "localAddress": f"{addressOf(2)}:{PORT}",
                "remoteAddress": local,
                "inbound": True,
                "trusted": False,
                "static": False,
            },
        )

    def test_dialed_once(self) -> None:
        """One that was dialled for once is neither inbound nor static."""
        self.start(2)
        server = self.start(1)
        server.connect(node(2))
        self.moment()
        network = server.peersInfo()[0]["network"]
        self.assertFalse(network["inbound"] or network["static"])

    def test_one_protocol_a_name(self) -> None:
        """Of several versions that of which both know the highest is spoken."""
        versions = [Informed("info", 1), Informed("info", 3), Informed("info", 2)]
        server = self.start(1, capabilities=versions)
        self.call(2, 1, caps=[Cap("info", 1), Cap("info", 2), Cap("info", 9)])
        [peer] = server.peers()
        self.assertEqual(peer.info()["protocols"]["info"]["version"], 2)
        self.assertTrue(peer.runningCap("info", [2, 3]))
        self.assertFalse(peer.runningCap("info", [1, 3, 9]) or peer.runningCap("other", [2]))

    def test_order(self) -> None:
        """By node id, whoever came first."""
        server = self.start(1)
        for number in range(2, 12):
            self.call(number, 1)
        ids = [peer.id for peer in server.peers()]
        self.assertEqual(ids, sorted(node(number).node_id.hex() for number in range(2, 12)))
        self.assertEqual([info["id"] for info in server.peersInfo()], ids)
        self.assertEqual(server.peerCount, 10)

    def test_hello(self) -> None:
        """What others are told: our name, every version of every capability, in order, and our key."""
        self.start(1, name="me", capabilities=[EchoCapability("b"), EchoCapability("a", 2), EchoCapability("a", 1)])
        hello = Hello.decode(self.call(2, 1, caps=[Cap("a", 2)]).payloads(0)[0])
        self.assertEqual(hello, Hello("me", (Cap("a", 1), Cap("a", 2), Cap("b", 1)), keyOf(1).public_key.to_bytes()))
        self.assertEqual((hello.version, hello.listen_port), (5, 0))

    def test_created(self) -> None:
        """When it became a peer, in the server's seconds."""
        server = self.start(1)
        self.moment(10)
        self.call(2, 1)
        self.assertEqual(server.peers()[0].created, 10.5)
        self.assertIn(addressOf(2), repr(server.peers()[0]))
