"""
Tests of what the log says of peers that come and go.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.logger import LogLevel, formatEvent

from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.errors import DisconnectReason
from devp2p_tx.node import leavers as leaversModule
from devp2p_tx.node import notices as noticesModule
from devp2p_tx.node.leavers import MAX_NAMED, capabilitiesText
from devp2p_tx.node.nopeers import NO_PEERS_INTERVAL, SETTLED
from devp2p_tx.tap.logs import formatJSON
from devp2p_tx.testing import Stage
from tests.node.support import ServerTestCase, addressOf, node

USELESS, TOO_MANY = DisconnectReason.USELESS_PEER, DisconnectReason.TOO_MANY_PEERS
ETH = (Cap("eth", 68), Cap("eth", 69), Cap("snap", 1))


class NoticeTestCase(ServerTestCase):
    """Reads the log."""

    def setUp(self) -> None:
        super().setUp()
        self.said: list[dict[str, Any]] = []
        for module in (noticesModule, leaversModule):
            self.patch(module._log, "observer", self.said.append)

    def lines(self, *levels: Any, begin: str = "") -> list[str]:
        """What was logged at some levels; by default at all but debug."""
        return [
            text
            for event in self.said
            if (event["log_level"] in levels if levels else event["log_level"] is not LogLevel.debug)
            and (text := formatEvent(event)).startswith(begin)
        ]

    def leave(self, number: int, reason: int = USELESS, caps: tuple[Cap, ...] = ETH, after: float = 0.0) -> None:
        """A client comes, and leaves."""
        peer = self.call(number, 1, caps=caps)
        self.moment(after)
        peer.sendDisconnect(reason)
        self.moment()


class LineTests(NoticeTestCase):
    """The two lines of a peer."""

    def test_fields(self) -> None:
        """Id, address, name, direction, and at the end who ended it, why, and after how long."""
        server = self.start(1)
        peer = self.call(2, 1)
        name = server.peers()[0].fullname
        self.moment(11)
        peer.sendDisconnect(TOO_MANY)
        self.moment()
        short, port = node(2).node_id.hex()[:16], peer.transport.getHost().port
        who = f"id={short} addr={addressOf(2)}:{port}"
        self.assertEqual(
            self.lines(),
            [
                f'peer connected: {who} name="{name}" direction=in flags=inbound peers=1',
                f'peer dropped: {who} by=remote reason="too many peers" duration=11.5s peers=0',
            ],
        )

    def test_json(self) -> None:
        """Both lines have the whole id and the address as fields."""
        server = self.start(1)
        peer = self.call(2, 1)
        name = server.peers()[0].fullname
        peer.sendDisconnect(TOO_MANY)
        self.moment()
        connected, dropped = (
            json.loads(formatJSON(event)) for event in self.said if "peer " in event["log_format"][:5]
        )
        for line in (connected, dropped):
            self.assertEqual(line["id"], node(2).node_id.hex())
            self.assertEqual(line["address"], f"{addressOf(2)}:{peer.transport.getHost().port}")
            self.assertEqual(line["name"], name)
        self.assertEqual((connected["direction"], connected["peers"]), ("in", 1))
        self.assertEqual((dropped["by"], dropped["reason"], dropped["duration"]), ("remote", "too many peers", 0.5))

    def test_hostile_texts(self) -> None:
        """A name, and names of capabilities, are a stranger's: nothing of them leaves its quotes or moves a cursor."""
        self.start(1, capabilities=[])
        peer = self.call(2, 1, Stage.HANDSHAKE)
        peer.sendHello(client_name='\x1b[31mGeth" peers=9\r\n\u202e\0', caps=(Cap("a\x1b\n", 1),))
        self.moment()
        peer.sendDisconnect(USELESS)
        self.moment()
        lines = self.lines(LogLevel.info, LogLevel.warn)
        self.assertEqual(len(lines), 3)
        self.assertTrue(all(line.isprintable() for line in lines), lines)
        self.assertIn(r'name="\x1b[31mGeth\" peers=9\r\n\u202e\x00" direction=in', lines[0])
        self.assertIn(r'theirs="a\x1b\n/1"', lines[1])
        self.assertTrue(all(formatJSON(event).rstrip("\n").isprintable() for event in self.said))

    def test_who_ended_it(self) -> None:
        """We, they, or nobody: in the line and in the event."""
        server = self.start(1)
        self.call(2, 1)
        server.removePeer(node(2))
        self.moment()
        self.call(3, 1).sendDisconnect(TOO_MANY)
        self.moment()
        self.call(4, 1).transport.abortConnection()
        self.moment()
        self.call(5, 1).write(bytes(64))
        self.moment()
        drops = [event for event in self.events[1] if event.endedBy is not None]
        self.assertEqual([event.endedBy for event in drops], ["local", "remote", "connection", "local"])
        self.assertEqual([event.toJSON()["ended_by"] for event in drops], ["local", "remote", "connection", "local"])
        said = [event["by"] for event in self.said if event["log_format"].startswith("peer dropped")]
        self.assertEqual(said, ["local", "remote", "connection", "local"])
        self.assertEqual([event.duration for event in drops], [0.5] * 4)

    def test_useless(self) -> None:
        """What both sides offer stands in the line of a peer that left as there is nothing in common."""
        self.start(1)
        self.call(2, 1).sendDisconnect(USELESS)
        self.moment()
        [line] = self.lines(begin="peer dropped")
        self.assertIn('by=remote reason="useless peer"', line)
        self.assertTrue(line.endswith('offered="echo/1" theirs="echo/1"'), line)

    def test_capabilities(self) -> None:
        """Many of them are not all named."""
        self.assertEqual(capabilitiesText(()), "none")
        self.assertEqual(capabilitiesText(ETH), "eth/68, eth/69, snap/1")
        many = [Cap("a", number) for number in range(MAX_NAMED + 2)]
        self.assertTrue(capabilitiesText(many).endswith(f"a/{MAX_NAMED - 1} and 2 more"))
        self.assertNotIn("more", capabilitiesText(many[:MAX_NAMED]))


class LeaverTests(NoticeTestCase):
    """A node that every peer leaves."""

    def warnings(self) -> list[str]:
        return self.lines(LogLevel.warn)

    def test_a_bare_node(self) -> None:
        """It offers nothing, so every client leaves: it is said once, with what to do, and not once a dial."""
        self.start(1, capabilities=[])
        for number in range(2, 30):
            self.leave(number)
        [warning] = self.warnings()
        self.assertIn(f"no peer stays: id={node(2).node_id.hex()[:16]} addr={addressOf(2)}:", warning)
        self.assertIn(
            'by=remote reason="useless peer" offered="none" theirs="eth/68, eth/69, snap/1": this node', warning
        )
        self.assertIn("a node that offers none is left by every client", warning)
        self.assertIn("--capability, or ServerConfig(capabilities=...)", warning)
        self.assertEqual(len(self.lines()), 3)  # of the first: that it came, this, and that it went
        self.assertEqual(len(self.lines(LogLevel.debug, begin="peer ")), 2 * 27)

    def test_nothing_shared(self) -> None:
        """A client that shares no capability does not even become a peer: that is the same kind."""
        self.start(1)
        for number in (2, 3, 4):
            self.call(number, 1, caps=ETH)
        [warning] = self.warnings()
        self.assertIn('by=local reason="useless peer" offered="echo/1" theirs="eth/68, eth/69, snap/1"', warning)
        self.assertIn("share no capability", warning)
        self.assertEqual(len(self.lines()), 1)

    def test_a_dialed_node(self) -> None:
        """A node that was dialed and leaves, as every client does, is named with its address."""
        peer = self.answer(2, caps=ETH)
        self.start(1, capabilities=[], staticNodes=[node(2)])
        peer.sendDisconnect(USELESS)
        self.moment()
        [warning] = self.warnings()
        self.assertIn(f"addr={addressOf(2)}:30303 by=remote", warning)

    def test_other_reasons(self) -> None:
        """Whatever they say, there is one line for the kind."""
        self.start(1)
        for number in range(2, 10):
            self.leave(number, TOO_MANY, (Cap("echo", 1),))
        [warning] = self.warnings()
        self.assertIn('reason="too many peers"', warning)
        self.assertIn("--log-level devp2p_tx.node=debug", warning)

    def test_one_that_stays(self) -> None:
        """It is logged when it has stayed; from then on all are, at once."""
        self.start(1, capabilities=[])
        self.leave(2)
        peer = self.call(3, 1)
        self.assertEqual(len(self.lines(begin="peer connected")), 1)
        self.moment(SETTLED)
        self.assertEqual(self.lines()[-2], "peers stay again: peers=1")
        self.assertIn(node(3).node_id.hex()[:16], self.lines(begin="peer connected")[-1])
        self.leave(4)
        self.assertIn(node(4).node_id.hex()[:16], self.lines(begin="peer dropped")[-1])
        peer.sendDisconnect(TOO_MANY)
        self.moment()
        self.assertIn(node(3).node_id.hex()[:16], self.lines(begin="peer dropped")[-1])
        self.assertEqual(len(self.warnings()), 1)

    def test_one_that_was_there(self) -> None:
        """Nobody is told that peers leave while one stays."""
        self.start(1, capabilities=[])
        self.call(2, 1)
        self.moment(SETTLED)
        for number in (3, 4, 5):
            self.leave(number)
        self.assertEqual((self.warnings(), len(self.lines())), ([], 7))

    def test_one_that_came_before(self) -> None:
        """A peer that was logged when it came is not logged again when it has stayed."""
        self.start(1, capabilities=[])
        self.call(2, 1)
        self.leave(3)
        self.moment(SETTLED)
        self.assertEqual(len(self.lines(begin="peer connected")), 2)
        self.assertEqual(self.lines()[-1], "peers stay again: peers=1")

    def test_not_too_often(self) -> None:
        """When peers stay in between it is said again, but not sooner than the interval."""
        self.start(1, capabilities=[])
        for number, times in ((2, 1), (4, 1), (6, 2)):
            self.leave(number)
            self.assertEqual(len(self.warnings()), times)
            staying = self.call(number + 1, 1)
            self.moment(SETTLED + 1)
            staying.sendDisconnect(TOO_MANY)
            self.moment(NO_PEERS_INTERVAL / 2)

    def test_a_peer_that_we_leave(self) -> None:
        """That we leave a peer says nothing of the others."""
        server = self.start(1)
        self.call(2, 1)
        server.removePeer(node(2))
        self.moment()
        self.call(3, 1)
        self.assertEqual((self.warnings(), len(self.lines(begin="peer connected"))), ([], 2))

    def test_a_peer_that_stops(self) -> None:
        """Nor that a peer is stopped."""
        self.start(1)
        self.leave(2, DisconnectReason.CLIENT_QUITTING, (Cap("echo", 1),))
        self.assertEqual(self.warnings(), [])

    def test_stop(self) -> None:
        """No timer survives the stop."""
        server = self.start(1, capabilities=[])
        self.leave(2)
        self.call(3, 1)
        stopping = server.stopService()
        self.moment(2)
        self.successResultOf(stopping)
        self.assertEqual(self.host(1).getDelayedCalls(), [])
