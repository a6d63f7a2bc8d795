"""
Tests of what a Server counts.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol

from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.testing import Stage
from tests.node.support import PORT, ServerTestCase, addressOf, keyOf, node


class MetricTests(ServerTestCase):
    """L{Server.metrics}."""

    def counters(self, number: int = 1) -> dict[str, int]:
        """Everything that was counted, but for messages: name and the values of its labels, in the labels' order."""
        return {
            " ".join([name, *(value for _, value in labels)]): count
            for name, labels, count in self.servers[number].metrics
            if "gress" not in name
        }

    def test_nothing(self) -> None:
        """A server to which nothing has happened has counted nothing."""
        self.start(1)
        self.assertEqual(self.counters(), {})

    def test_inbound(self) -> None:
        """Those who came, and those who became peers."""
        self.start(1)
        peer = self.call(2, 1)
        self.call(3, 1)
        self.call(4, 1, caps=[Cap("foo", 1)])
        peer.sendDisconnect(4)
        self.moment()
        self.assertEqual(
            self.counters(),
            {
                "accepts": 3,
                "accepts_succeeded": 2,
                "handshake_failures inbound we: useless peer addpeer": 1,
                "drops they: too many peers": 1,
            },
        )

    def test_dialed(self) -> None:
        """Those who were dialled, and what became of it."""
        self.host(3)
        self.start(2, maxPeers=0)
        self.start(4)
        server = self.start(1)
        for number in (2, 3, 4, 99):
            server.connect(node(number)).addErrback(lambda failure: None)
        self.moment(16)
        self.assertEqual(
            self.counters(),
            {
                "dials": 4,
                "dials_succeeded": 1,
                "dial_errors ConnectionRefusedError": 1,
                "dial_errors TimeoutError": 1,
                "handshake_failures dialed they: too many peers hello": 1,
            },
        )

    def test_dial_errors(self) -> None:
        """A name that means nothing, and what was given up, have their own labels; for all else there is one."""
        server = self.start(1)
        server.connect(node(2, ip=None)).addErrback(lambda failure: None)
        server.connect(node(2, ip=None, hostname="nobody.example")).addErrback(lambda failure: None)
        self.moment()
        giving = server.connect(node(99))
        giving.addErrback(lambda failure: None)
        self.moment()
        giving.cancel()
        errors = {"dial_errors other": 1, "dial_errors DNSLookupError": 1, "dial_errors cancelled": 1}
        self.assertEqual(self.counters(), {"dials": 3, **errors})

    def test_stages(self) -> None:
        """How far a connection got."""
        self.start(1, maxPeers=1, noDial=True)
        garbage = self.call(2, 1, Stage.CONNECTED)
        garbage.write(b"\xff" * 600)
        self.call(3, 1, Stage.CONNECTED)
        late = self.call(4, 1, Stage.HANDSHAKE)
        wrong = self.call(5, 1, Stage.HANDSHAKE)
        wrong.sendHello(node_key=keyOf(6).public_key.to_bytes())
        quits = self.call(6, 1, Stage.HANDSHAKE)
        quits.sendDisconnect(8)
        self.call(7, 1)
        self.call(8, 1)
        late.sendHello()
        self.moment(6)
        failures = {name: count for name, count in self.counters().items() if name.startswith("handshake_failures")}
        self.assertEqual(
            failures,
            {
                "handshake_failures inbound HandshakeError rlpx": 1,
                "handshake_failures inbound Timeout rlpx": 1,
                "handshake_failures inbound we: unexpected identity hello": 1,
                "handshake_failures inbound they: client quitting hello": 1,
                "handshake_failures inbound we: too many peers posthandshake": 1,
                "handshake_failures inbound we: too many peers addpeer": 1,
            },
        )

    def test_stop(self) -> None:
        """Those that were under way when the server stopped."""
        server = self.start(1)
        self.call(2, 1, Stage.HANDSHAKE)
        self.call(3, 1)
        server.stopService()
        self.moment(2)
        self.assertEqual(
            self.counters(),
            {
                "accepts": 2,
                "accepts_succeeded": 1,
                "handshake_failures inbound we: client quitting hello": 1,
                "drops we: client quitting": 1,
            },
        )

    def test_refused_without_a_word(self) -> None:
        """Those who were not let in at all, and those that gave way, are counted apart."""
        self.start(1, maxPendingPeers=1)
        self.call(2, 1, Stage.HANDSHAKE)
        self.call(3, 1, Stage.HANDSHAKE)
        self.assertEqual(
            self.counters(),
            {"accepts": 2, "accepts_refused gave_way": 1, "handshake_failures inbound we: network error hello": 1},
        )

    def test_messages(self) -> None:
        """Messages and the bytes of their frames, by capability and code, of all peers together."""
        self.start(2)
        self.start(3)
        server = self.start(1, staticNodes=[node(2), node(3)])
        for protocol in self.echo(1).protocols:
            protocol.request(b"")
            protocol.request(bytes(range(100)))
        self.moment()
        traffic = {
            name: {dict(labels)["code"]: count} for name, labels, count in server.metrics if "gress_" in name[:8]
        }
        capabilities = {dict(labels)["capability"] for name, labels, _ in server.metrics if "gress_" in name[:8]}
        # a frame is 32 bytes of head, the body in blocks of 16, and 16 of its MAC: 64 for one and 160 for the other
        self.assertEqual(
            traffic,
            {
                "egress_messages": {"0x00": 4},
                "egress_bytes": {"0x00": 2 * (64 + 160)},
                "ingress_messages": {"0x01": 4},
                "ingress_bytes": {"0x01": 2 * (64 + 160)},
            },
        )
        self.assertEqual(capabilities, {"echo/1"})

    def volume(self, number: int, transport: str) -> tuple[int, int]:
        """How many bytes came in and went out."""
        values = {name: value for name, _, value in self.servers[number].metrics}
        return values.get(f"{transport}_ingress_bytes", 0), values.get(f"{transport}_egress_bytes", 0)

    def test_all_bytes_of_tcp(self) -> None:
        """What the one side sends the other receives, handshakes and queued messages included."""
        self.start(2)
        self.start(1, staticNodes=[node(2)])
        before = self.volume(1, "tcp")
        self.assertGreater(min(before), 300)
        self.echo(1).protocols[0].request(bytes(3_000_000))
        self.moment()
        self.assertEqual(self.volume(1, "tcp"), self.volume(2, "tcp")[::-1])
        self.assertGreater(self.volume(1, "tcp")[1], before[1] + 100_000)
        self.assertEqual(self.volume(1, "udp"), (0, 0))

    def stopped(self, number: int) -> Deferred[None]:
        """Stop a server."""
        stopping = self.servers[number].stopService()
        self.moment(2)
        return stopping

    def test_all_bytes_of_udp(self) -> None:
        """Likewise of datagrams, refused ones included."""
        self.start(2, discovery=True)
        self.start(1, discovery=True, bootnodes=[node(2)])
        self.moment(5)
        self.assertGreater(min(self.volume(1, "udp")), 300)
        self.assertEqual(self.volume(1, "udp"), self.volume(2, "udp")[::-1])
        self.successResultOf(self.stopped(1))
        before = self.volume(2, "udp")
        other = self.host(3).listenUDP(0, DatagramProtocol())
        other.write(bytes(700), (addressOf(2), PORT))
        self.moment()
        self.assertEqual(self.volume(2, "udp")[0], before[0] + 700)
        other.stopListening()
