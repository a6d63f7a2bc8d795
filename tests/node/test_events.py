"""
Tests of what a Server tells its subscribers.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.errors import DisconnectReason
from devp2p_tx.node.events import Feed, PeerEvent, PeerEventType, Subscription
from tests.node.support import PORT, ServerTestCase, addressOf, node

TOO_MANY = DisconnectReason.TOO_MANY_PEERS


class FeedTests(SynchronousTestCase):
    """L{Feed}."""

    def setUp(self) -> None:
        self.feed: Feed[int] = Feed()
        self.heard: list[Any] = []

    def test_everybody(self) -> None:
        """Everybody hears everything, in order, from the subscription on."""
        other: list[int] = []
        self.feed.send(0)
        self.feed.subscribe(self.heard.append)
        self.feed.send(1)
        self.feed.subscribe(other.append)
        self.feed.send(2)
        self.assertEqual((self.heard, other), ([1, 2], [2]))

    def test_order(self) -> None:
        """Who subscribed first hears first."""
        for name in "abc":
            self.feed.subscribe(lambda event, name=name: self.heard.append(name))
        self.feed.send(1)
        self.assertEqual(self.heard, ["a", "b", "c"])

    def test_unsubscribe(self) -> None:
        """Until the end of the subscription, which may be ended again; others go on, the same callable too."""
        first, second = self.feed.subscribe(self.heard.append), self.feed.subscribe(self.heard.append)
        self.assertTrue(self.feed)
        first.unsubscribe()
        first.unsubscribe()
        self.feed.send(1)
        self.assertEqual(self.heard, [1])
        second.unsubscribe()
        self.feed.send(2)
        self.assertEqual(self.heard, [1])
        self.assertFalse(self.feed)

    def test_failure(self) -> None:
        """What a subscriber raises is logged, and stops nobody, nor ends the subscription."""

        def failing(event: int) -> None:
            self.heard.append(-event)
            raise ValueError(event)

        self.feed.subscribe(failing)
        self.feed.subscribe(self.heard.append)
        self.feed.send(1)
        self.feed.send(2)
        self.assertEqual(self.heard, [-1, 1, -2, 2])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_changes_while_told(self) -> None:
        """Who subscribes in the middle hears the next event; who leaves may still hear this one, but no other."""
        subscriptions: list[Subscription] = []

        def first(event: int) -> None:
            if event == 1:
                subscriptions[0].unsubscribe()
                self.feed.subscribe(self.heard.append)

        self.feed.subscribe(first)
        subscriptions.append(self.feed.subscribe(lambda event: self.heard.append(-event)))
        self.feed.send(1)
        self.feed.send(2)
        self.assertEqual([event for event in self.heard if event > 0], [2])
        self.assertNotIn(-2, self.heard)


class EventTests(SynchronousTestCase):
    """L{PeerEvent}."""

    def test_json(self) -> None:
        """go-ethereum's names; what is not known is left out, though not what is zero."""
        event = PeerEvent(PeerEventType.MESSAGE_SENT, "aa", None, "eth", 0, 0, "1.2.3.4:5", "[::1]:6")
        self.assertEqual(
            event.toJSON(),
            {
                "type": "msgsend",
                "peer": "aa",
                "protocol": "eth",
                "msg_code": 0,
                "msg_size": 0,
                "local": "1.2.3.4:5",
                "remote": "[::1]:6",
            },
        )
        drop = PeerEvent(PeerEventType.DROP, "aa", "read timeout")
        self.assertEqual(drop.toJSON(), {"type": "drop", "peer": "aa", "error": "read timeout"})
        json.dumps(drop.toJSON())

    def test_kinds(self) -> None:
        """Their names."""
        self.assertEqual([kind.value for kind in PeerEventType], ["add", "drop", "msgsend", "msgrecv"])


class ServerEventTests(ServerTestCase):
    """L{Server.subscribeEvents}."""

    def test_add_and_drop(self) -> None:
        """With both addresses; a drop tells why."""
        self.start(1)
        peer = self.call(2, 1)
        add = self.events[1][0]
        local = peer.transport.getHost()
        self.assertEqual(
            add.toJSON(),
            {
                "type": "add",
                "peer": node(2).node_id.hex(),
                "local": f"{addressOf(1)}:{PORT}",
                "remote": f"{addressOf(2)}:{local.port}",
            },
        )
        peer.sendDisconnect(DisconnectReason.USELESS_PEER)
        self.moment()
        drop = self.events[1][1]
        ended = {"error": "useless peer", "ended_by": "remote", "duration": 0.5}
        self.assertEqual(drop.toJSON(), {**add.toJSON(), "type": "drop", **ended})

    def test_peers_when_told(self) -> None:
        """Who hears of a new peer finds it; who hears of a lost one finds it gone."""
        server = self.start(1)
        found: list[tuple[str, list[int], int]] = []
        server.subscribeEvents(lambda event: found.append((event.type.value, self.numbers(1), server.peerCount)))
        peer = self.call(2, 1)
        self.call(3, 1)
        peer.transport.abortConnection()
        self.moment()
        self.assertEqual(found, [("add", [2], 1), ("add", [2, 3], 2), ("drop", [3], 1)])

    def test_reasons(self) -> None:
        """Every end has its words."""
        server = self.start(1)
        garbage, silent, lost, unknown = (self.call(number, 1) for number in (2, 3, 4, 5))
        garbage.write(b"\0" * 64)
        lost.transport.abortConnection()
        unknown.sendDisconnect(0x77)
        self.moment(40)
        errors = {event.peer: event.error for event in self.events[1] if event.type is PeerEventType.DROP}
        words = [errors[node(number).node_id.hex()] for number in (2, 3, 4, 5)]
        self.assertIn("MAC", str(words[0]))
        self.assertIn("nothing to read", str(words[1]))
        self.assertIn("lost", str(words[2]))
        self.assertEqual(words[3], "unknown disconnect reason 119")
        self.assertTrue(silent.ended)
        self.assertEqual(server.peers(), [])

    def test_failing_subscriber(self) -> None:
        """One that raises keeps neither the others from hearing, nor the peer from being one."""
        server = self.start(1)
        heard: list[str] = []
        server.subscribeEvents(lambda event: 1 // 0)
        server.subscribeEvents(lambda event: heard.append(event.type.value))
        peer = self.call(2, 1)
        self.assertEqual(self.numbers(1), [2])
        removing = server.removePeer(node(2))
        self.moment()
        self.successResultOf(removing)
        self.assertTrue(peer.ended)
        self.assertEqual(heard, ["add", "drop"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_subscriber_that_disconnects(self) -> None:
        """A subscriber may turn a peer away as soon as it hears of it: its capabilities never see it."""
        server = self.start(1)
        server.subscribeEvents(lambda event: [peer.disconnect(TOO_MANY) for peer in server.peers()])
        peer = self.call(2, 1)
        self.assertEqual(peer.disconnectReason, TOO_MANY)
        self.assertEqual((self.kinds(1), self.numbers(1)), (["add", "drop"], []))
        self.assertEqual(self.echo(1).protocols, [])

    def test_messages(self) -> None:
        """With C{messageEvents} every message is told, by its capability's code and its size, before what it causes."""
        self.start(2)
        server = self.start(1, messageEvents=True, staticNodes=[node(2)])
        self.echo(1).protocols[0].request(b"12345")
        self.moment()
        self.echo(2).protocols[0].request(b"")
        self.moment()
        server.peers()[0].disconnect()
        self.moment(2)
        told = [(event.type.value, event.protocol, event.msgCode, event.msgSize) for event in self.events[1]]
        self.assertEqual(
            told,
            [
                ("add", None, None, None),
                ("msgsend", "echo", 0, 5),
                ("msgrecv", "echo", 1, 5),
                ("msgrecv", "echo", 0, 0),
                ("msgsend", "echo", 1, 0),
                ("drop", None, None, None),
            ],
        )
        self.assertEqual(self.kinds(2), ["add", "drop"])
        self.assertEqual(len({(event.peer, event.localAddress, event.remoteAddress) for event in self.events[1]}), 1)

    def test_unsubscribe(self) -> None:
        """Who has left hears nothing more."""
        server = self.start(1)
        heard: list[PeerEvent] = []
        subscription = server.subscribeEvents(heard.append)
        self.call(2, 1)
        subscription.unsubscribe()
        self.call(3, 1)
        self.assertEqual(len(heard), 1)
