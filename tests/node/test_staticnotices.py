"""
Tests for L{devp2p_tx.node.staticnotices}: what the log says of static nodes that are not connected.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from twisted.internet.error import ConnectError, ConnectionLost, DNSLookupError, NoRouteError
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.errors import (
    AddressRefused,
    DisconnectReason,
    HandshakeError,
    InvalidNode,
    PeerDisconnected,
    PeerRejected,
    ProxyError,
    Timeout,
)
from devp2p_tx.node.staticnotices import MAX_LISTED, MAX_REASONS, SETTLED, explainError
from devp2p_tx.testing import Stage
from tests.node.support import PORT, ServerTestCase, addressOf, node

REASON = DisconnectReason


class NoticeTestCase(ServerTestCase):
    """Reads the log."""

    def setUp(self) -> None:
        super().setUp()
        self.logged: list[LogEvent] = []
        observe: Callable[[LogEvent], None] = self.logged.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def lines(self, level: LogLevel = LogLevel.warn) -> list[str]:
        """What was said of static nodes since the last call."""
        found = [formatEvent(event) for event in self.logged if event["log_level"] is level]
        return [line for line in found if "static node" in line and "no peer for" not in line]

    def label(self, number: int, there: int | None = None) -> str:
        """How a line names a node."""
        return f"id={node(number).node_id.hex()[:16]} addr={addressOf(there or number)}:{PORT}"


class FailureTests(NoticeTestCase):
    """Dials that fail."""

    def test_refused(self) -> None:
        """Nobody listens: one line when it begins, with what to do, and one when it ends, however long it takes."""
        self.host(2)
        self.start(1, staticNodes=[node(2)])
        [line] = self.lines()
        self.assertEqual(
            line,
            f"static node {self.label(2)} is not connected: the connection was refused; check that the node runs, and "
            "its address and port; it is dialed again and again",
        )
        self.moment(3600)
        self.assertEqual((len(self.lines()), self.lines(LogLevel.info)), (1, []))
        self.start(2)
        self.moment(121)
        [end] = self.lines(LogLevel.info)
        self.assertRegex(end, rf"^static node {self.label(2)} is connected after 3[67]\d\d s$")
        self.assertEqual(len(self.lines()), 1)

    def test_each_time(self) -> None:
        """The next time it begins and ends anew."""
        for _ in range(2):
            other = self.start(2)
            if 1 not in self.servers:
                self.start(1, staticNodes=[node(2)])
            self.moment(121)
            other.stopService()
            self.moment(200)
        self.assertEqual((len(self.lines()), len(self.lines(LogLevel.info))), (2, 1))

    def test_no_answer(self) -> None:
        """Nothing is there."""
        self.start(1, staticNodes=[node(2)])
        self.moment(400)
        [line] = self.lines()
        self.assertIn("there is no answer; check that the node runs", line)

    def test_silent(self) -> None:
        """It takes the connection, and says nothing."""
        self.answer(2, Stage.CONNECTED)
        self.start(1, staticNodes=[node(2)])
        self.moment(30)
        [line] = self.lines()
        self.assertIn("there is no answer", line)

    def test_another_key(self) -> None:
        """Another node is there."""
        self.start(3)
        self.start(1, staticNodes=[node(2, ip=node(3).ip)])
        self.moment(1000)
        [line] = self.lines()
        self.assertIn(f"{self.label(2, 3)} is not connected: it closed the connection during the handshake", line)
        self.assertIn("it has another key", line)

    def test_it_refuses(self) -> None:
        """It says why not."""
        self.start(2, maxPeers=0)
        self.start(1, staticNodes=[node(2)])
        self.moment(1000)
        [line] = self.lines()
        self.assertIn("it refused this node: too many peers (it has no place; its operator can make this node", line)

    def test_we_refuse(self) -> None:
        """It is we that refuse."""
        self.answer(2, caps=[Cap("other", 1)])
        self.start(1, staticNodes=[node(2)])
        [line] = self.lines()
        self.assertIn("this node refused it: useless peer (it shares no capability with this node", line)

    def test_other_reasons(self) -> None:
        """Each other reason is said once, and not more than four in all, so that nothing floods the log."""
        self.host(2)
        server = self.start(1, staticNodes=[node(2)])
        notices = server._dialer._notices
        for number in range(1000):
            notices.left(node(2), 0, PeerDisconnected(number % 200, remote=True))
        self.assertEqual((len(self.lines()), MAX_REASONS), (4, 4))

    def test_by_name(self) -> None:
        """A name without an address is logged by the one that looks it up, and not twice."""
        self.start(1, staticNodes=[node(2, ip=None, hostname="boot.example")])
        self.moment(1000)
        warnings = [formatEvent(each) for each in self.logged if each["log_level"] is LogLevel.warn]
        self.assertEqual(len([line for line in warnings if "boot.example" in line and "no peer" not in line]), 1)
        self.assertEqual(self.lines(), [])

    def test_several_addresses(self) -> None:
        """The line has the address that is tried first, and why it failed there."""
        for number in (2, 3):
            self.host(number)
        self.start(1, staticNodes=[node(2, ip=node(9).ip), node(2, ip=node(3).ip)])
        self.moment(20)
        [line] = self.lines()
        self.assertIn(f"{self.label(2, 3)} is not connected: the connection was refused", line)

    def test_not_said(self) -> None:
        """Nothing of nodes that are not static, of dials that are given up, or where both have dialed at once."""
        self.host(2)
        server = self.start(1)
        self.failureResultOf(self.connecting(2))
        server.addPeer(node(9))
        self.moment()
        server.removePeer(node(9))
        self.moment(20)
        server.addPeer(node(8))
        self.moment()
        server.stopService()
        self.moment(3)
        for number, other in ((3, 4), (4, 3)):
            self.make(number, staticNodes=[node(other)])
        for number in (3, 4):
            self.servers[number].startService()
        self.moment(100)
        self.assertEqual((self.numbers(3), self.lines()), ([4], []))

    def connecting(self, number: int) -> object:
        connecting = self.servers[1].connect(node(number))
        self.moment()
        return connecting


class RefusedTests(NoticeTestCase):
    """Static nodes that are never dialed."""

    def test_netrestrict(self) -> None:
        """The line comes at once, and names the option."""
        self.start(1, staticNodes=[node(2)], netrestrict=Netlist.parse("192.168.0.0/16"))
        [line] = self.lines()
        self.assertIn(f"{self.label(2)} is not connected: it is not dialed at {addressOf(2)}:{PORT}", line)
        self.assertIn("--netrestrict", line)
        self.moment(1000)
        self.assertEqual(len(self.lines()), 1)

    def test_others(self) -> None:
        """So it does for the other list, for port 0, and for this node itself; also if it is added later."""
        server = self.start(1, netdeny=Netlist.parse("10.0.0.7/32"))
        for each, words in (
            (node(2, tcp=0), "TCP port 0"),
            (node(7), "--netdeny"),
            (node(1), "this node itself"),
        ):
            server.addPeer(each)
            self.moment()
            self.assertIn(words, self.lines()[-1])
        self.assertEqual(len(self.lines()), 3)

    def test_nowhere(self) -> None:
        """An unspecified or multicast address is never dialed: given at the start, added later, or for one dial."""
        nowhere = ("0.0.0.0", "::", "224.0.0.1", "ff02::1", "::ffff:0.0.0.0", "64:ff9b::")
        nodes = [node(number, ip=ip_address(text)) for number, text in enumerate(nowhere, 2)]
        server = self.start(1, staticNodes=nodes[:3])
        for each in nodes[3:]:
            server.addPeer(each)
        self.moment(1000)
        lines = self.lines()
        self.assertEqual(len(lines), len(nowhere))
        for each, line in zip(nodes, lines, strict=True):
            self.assertIn(each.node_id.hex()[:16], line)
            self.assertIn("no node has an unspecified or multicast address; give the one at which", line)
        self.assertEqual(server.metrics.value("dials"), 0)

    def test_nowhere_by_name(self) -> None:
        """So it is with what a name means; the sentence does not blame the lists."""
        self.network.names["boot.example"] = ["0.0.0.0"]
        named = node(2, ip=None, hostname="boot.example")
        server = self.start(1)
        for each in (named, node(3, ip=ip_address("0.0.0.0"))):
            connecting = server.connect(each)
            self.moment(10)
            error = self.failureResultOf(connecting, AddressRefused).value
            self.assertIn("0.0.0.0 may not be contacted; no node has an unspecified or multicast address", str(error))

    def test_by_name(self) -> None:
        """A name whose addresses may not be contacted is told of when it is dialed."""
        self.network.names["boot.example"] = [addressOf(2)]
        named = node(2, ip=None, hostname="boot.example")
        self.start(1, staticNodes=[named], netrestrict=Netlist.parse("192.168.0.0/16"))
        self.moment(1000)
        [line] = self.lines()
        self.assertIn(f"{addressOf(2)} may not be contacted; see --netrestrict and --netdeny", line)

    def test_cured(self) -> None:
        """Another address ends it."""
        self.start(2)
        server = self.start(1, staticNodes=[node(2, tcp=0)])
        server.addPeer(node(2))
        self.moment()
        self.assertEqual((len(self.lines()), len(self.lines(LogLevel.info))), (1, 1))

    def test_no_dial(self) -> None:
        """Of a node that dials none there is nothing to say."""
        self.start(1, noDial=True, staticNodes=[node(2, tcp=0)])
        self.assertEqual(self.lines(), [])


class BeforeTheStartTests(NoticeTestCase):
    """Static nodes that will never be dialed."""

    def test_once(self) -> None:
        """One line for each at the start, whether the configuration names it, or an order before the start."""
        server = self.make(1, staticNodes=[node(2, tcp=0), node(4)])
        server.addPeer(node(3, tcp=0))
        server.removePeer(node(4))
        self.moment()
        self.assertEqual(self.lines(), [])
        server.startService()
        self.moment()
        two, three = self.lines()
        self.assertIn(f"id={node(2).node_id.hex()[:16]}", two)
        self.assertIn(f"id={node(3).node_id.hex()[:16]}", three)
        server.addPeer(node(5, tcp=0))
        self.moment()
        self.assertEqual(len(self.lines()), 3)


class LeavingTests(NoticeTestCase):
    """Static nodes that are peers for a moment only."""

    def test_at_once(self) -> None:
        """One line, and none that says that it is connected, as long as it never stays."""
        other = self.start(2)
        other.subscribeEvents(lambda event: [peer.disconnect(REASON.USELESS_PEER) for peer in other.peers()])
        self.start(1, staticNodes=[node(2)])
        self.moment(2000)
        self.assertGreater(len(self.events[1]), 50)
        [line] = self.lines()
        self.assertIn("it connects and leaves at once: it refused this node: useless peer (it shares no cap", line)
        self.assertEqual(self.lines(LogLevel.info), [])

    def test_stays_at_last(self) -> None:
        """When it has stayed for ten seconds that is said."""
        other = self.start(2)
        leaving = other.subscribeEvents(lambda event: [peer.disconnect() for peer in other.peers()])
        self.start(1, staticNodes=[node(2)])
        self.moment(10)
        leaving.unsubscribe()
        self.moment(30)
        self.assertEqual((self.numbers(1), self.lines(LogLevel.info)), ([2], []))
        self.moment(10)
        self.assertEqual((len(self.lines()), len(self.lines(LogLevel.info)), SETTLED), (1, 1, 10))

    def test_not_by_our_order(self) -> None:
        """A peer that our user disconnects has not left."""
        self.start(2)
        server = self.start(1, staticNodes=[node(2)])
        server.peers()[0].disconnect()
        self.moment(3)
        self.assertEqual(self.lines(), [])

    def test_not_while_it_is_watched(self) -> None:
        """A node that left at once, comes back, and is disconnected by our user is not said to be connected."""
        other = self.start(2)
        leaving = other.subscribeEvents(lambda event: [peer.disconnect() for peer in other.peers()])
        server = self.start(1, staticNodes=[node(2)])
        self.moment(10)
        leaving.unsubscribe()
        self.moment(30)
        server.peers()[0].disconnect()
        self.moment(20)
        self.assertEqual((self.numbers(1), self.lines(LogLevel.info)), ([], []))
        self.moment(30)
        self.assertEqual((self.numbers(1), len(self.lines(LogLevel.info))), ([2], 1))

    def test_later(self) -> None:
        """One that stayed has not left at once."""
        other = self.start(2)
        self.start(1, staticNodes=[node(2)])
        self.moment(SETTLED)
        other.peers()[0].disconnect(REASON.TOO_MANY_PEERS)
        self.moment(3)
        self.assertEqual(self.lines(), [])


class WaitingTests(NoticeTestCase):
    """More static nodes than places."""

    def test_which(self) -> None:
        """One line says which wait; when there is a place for all, one says that."""
        for number in (2, 3, 4):
            self.start(number)
        server = self.start(1, maxPeers=2, staticNodes=[node(number) for number in (2, 3, 4)])
        [waiting] = {2, 3, 4} - set(self.numbers(1))
        [line] = self.lines()
        self.assertIn("static nodes outnumber --max-peers", line)
        self.assertIn("static=3 max_peers=2", line)
        self.assertIn(f"waiting={node(waiting).node_id.hex()[:16]}@{addressOf(waiting)}:{PORT};", line)
        self.moment(500)
        self.assertEqual((len(self.lines()), self.lines(LogLevel.info)), (1, []))
        server.addTrustedPeer(node(waiting))
        self.moment(3)
        self.assertEqual(self.numbers(1), [2, 3, 4])
        [end] = self.lines(LogLevel.info)
        self.assertEqual(end, "there is a place for every static node: static=2 max_peers=2")

    def test_many(self) -> None:
        """Eight are listed, and how many more there are."""
        self.start(1, maxPeers=1, staticNodes=[node(number) for number in range(20, 40)])
        [line] = self.lines()
        self.assertEqual((line.count("@"), MAX_LISTED), (8, 8))
        self.assertIn(" and 11 more;", line)

    def test_none_at_all(self) -> None:
        """Without any place all of them wait."""
        self.start(1, maxPeers=0, staticNodes=[node(2)])
        [line] = self.lines()
        self.assertIn("static=1 max_peers=0", line)


class ExplainTests(NoticeTestCase):
    """Sentences for errors."""

    def test_table(self) -> None:
        """Each says what happened, and, where something can be done, what."""
        for error, words in (
            (NoRouteError(), "the connection failed: No route to host"),
            (ConnectError(string="x"), "the connection failed"),
            (ConnectionLost(), "it has another key, or takes no connections now"),
            (Timeout("x"), "there is no answer"),
            (AddressRefused("10.0.0.1 may not be contacted"), "10.0.0.1 may not be contacted"),
            (HandshakeError("bad"), "the handshake failed: bad; check that this is its address and key"),
            (InvalidNode("nobody knows where node x is"), "nobody knows where node x is; give its address"),
            (ProxyError("no"), "ProxyError: no"),
            (PeerRejected(REASON.UNEXPECTED_IDENTITY), "unexpected identity (it has another key; check its URL)"),
            (PeerDisconnected(77, remote=True), "it refused this node: unknown disconnect reason 77"),
        ):
            self.assertIn(words, explainError(error))
        self.assertEqual(explainError(DNSLookupError()), "")
