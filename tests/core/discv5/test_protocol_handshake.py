"""
Tests for L{devp2p_tx.core.discv5.protocol}: how two nodes come to a session, and lose it.
"""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

from devp2p_tx.core.discv5 import messages, packets, session
from devp2p_tx.core.discv5.calls import RESPONSE_TIMEOUT
from devp2p_tx.core.discv5.events import Contact, IncomingTalk, NodesFound, PingAnswered, Refusal, TalkAnswered
from devp2p_tx.core.discv5.packets import HANDSHAKE, ORDINARY, WHOAREYOU
from devp2p_tx.core.discv5.protocol import NEW_SESSION
from devp2p_tx.errors import LocalProtocolError, Timeout
from tests.core.discv5.playing import COUNTER, Player, ProtocolTestCase


class HandshakeTests(ProtocolTestCase):
    """Sessions between nodes that behave."""

    def test_first_contact(self) -> None:
        """A random packet of 91 bytes, a challenge, the call with a handshake, and its answer."""
        self.ping(self.alice, self.bob)
        (first,) = self.carry(self.alice)
        self.assertEqual((first.flag, len(first.datagram.data)), (ORDINARY, 71 + 20))
        (challenge,) = self.carry(self.bob)
        self.assertEqual(challenge.flag, WHOAREYOU)
        packet = self.unmask(challenge.datagram)
        self.assertEqual(packet.nonce, self.unmask(first.datagram).nonce)
        self.assertEqual(packets.decode_whoareyou(packet.authdata)[1], 0)
        (handshake,) = self.carry(self.alice)
        self.assertEqual((handshake.flag, handshake.refusal), (HANDSHAKE, None))
        auth = packets.decode_handshake(self.unmask(handshake.datagram).authdata)
        record = self.alice.local.record(int(self.unix_time * 1000))
        self.assertEqual(auth.record, record.encoded)
        self.assertEqual([each.refusal for each in self.carry(self.bob)], [None])
        event = self.event(self.alice)
        assert isinstance(event, PingAnswered)
        self.assertEqual((event.pong.ip, event.pong.port), (self.alice.ip, self.alice.port))
        self.assertEqual(event.pong.enr_seq, self.bob.local.seq)
        self.assertEqual(self.bob.table.added, [(record, self.alice.ip, self.alice.port, self.now)])
        self.assertEqual(self.alice.table.added, [])

    def test_session(self) -> None:
        """From then on both sides call without more ado."""
        self.connect()
        for caller, callee in [(self.alice, self.bob), (self.bob, self.alice)]:
            self.ping(caller, callee)
            self.assertEqual(self.settle(), [ORDINARY, ORDINARY])
            self.assertIsInstance(self.event(caller), PingAnswered)
        self.assertEqual((self.alice.node.sessions, self.bob.node.sessions), (1, 1))

    def test_known_record(self) -> None:
        """Whose newest record is known sends none, and enters the table nevertheless."""
        record = self.alice.local.record(int(self.unix_time * 1000))
        self.bob.table.known[self.alice.node_id] = record
        self.ping(self.alice, self.bob)
        self.carry(self.alice)
        (challenge,) = self.carry(self.bob)
        self.assertEqual(packets.decode_whoareyou(self.unmask(challenge.datagram).authdata)[1], record.seq)
        (handshake,) = self.carry(self.alice)
        self.assertEqual(packets.decode_handshake(self.unmask(handshake.datagram).authdata).record, b"")
        self.settle()
        self.assertIsInstance(self.event(self.alice), PingAnswered)
        self.assertEqual([added.record for added in self.bob.table.added], [record])

    def test_outdated_record(self) -> None:
        """Whose older record is known sends the new one."""
        self.bob.table.known[self.alice.node_id] = self.alice.local.record(0)
        self.alice.local.set(COUNTER, b"new")
        self.ping(self.alice, self.bob)
        self.settle()
        newest = self.alice.local.record(int(self.unix_time * 1000))
        self.assertEqual(newest.get(COUNTER), b"new")
        self.assertEqual([added.record for added in self.bob.table.added], [newest])

    def test_restart_of_the_callee(self) -> None:
        """A packet that cannot be read is challenged, session or not (trap 9), and the session is made anew."""
        self.connect()
        self.bob.restart()
        self.ping(self.alice, self.bob)
        self.assertEqual(self.settle(), [ORDINARY, WHOAREYOU, HANDSHAKE, ORDINARY])
        self.assertIsInstance(self.event(self.alice), PingAnswered)

    def test_restart_of_the_caller(self) -> None:
        """The callee has a session that does not open the random packet: it challenges, rather than be silent."""
        self.connect()
        self.alice.restart()
        self.ping(self.alice, self.bob)
        self.assertEqual(self.settle(), [ORDINARY, WHOAREYOU, HANDSHAKE, ORDINARY])
        self.assertIsInstance(self.event(self.alice), PingAnswered)

    def test_other_address(self) -> None:
        """A node that moves has no session where it is now (trap 9), and the one where it was stays."""
        self.connect()
        self.alice.port += 1
        self.ping(self.alice, self.bob)
        self.assertEqual(self.settle(), [ORDINARY, WHOAREYOU, HANDSHAKE, ORDINARY])
        event = self.event(self.alice)
        assert isinstance(event, PingAnswered)
        self.assertEqual(event.pong.port, self.alice.port)
        self.assertEqual(self.bob.node.sessions, 2)

    def test_both_at_once(self) -> None:
        """Each ends with two sessions, writes with one of them, and reads both."""
        self.ping(self.alice, self.bob)
        self.ping(self.bob, self.alice)
        self.assertEqual(sorted(self.settle()), [ORDINARY] * 4 + [WHOAREYOU] * 2 + [HANDSHAKE] * 2)
        for player, peer in [(self.alice, self.bob), (self.bob, self.alice)]:
            self.assertIsInstance(self.event(player), PingAnswered)
            self.ping(player, peer)
        self.assertEqual(self.settle(), [ORDINARY] * 4)

    def test_both_at_once_in_any_order(self) -> None:
        """The same, if one side is quicker by any number of steps."""
        for steps in range(4):
            self.setUp()
            self.ping(self.alice, self.bob)
            for step in range(steps):
                self.carry((self.alice, self.bob)[step % 2])
            self.ping(self.bob, self.alice)
            self.settle()
            self.assertIsInstance(self.event(self.alice), PingAnswered)
            self.assertIsInstance(self.event(self.bob), PingAnswered)
            self.ping(self.alice, self.bob)
            self.ping(self.bob, self.alice)
            self.assertEqual(self.settle(), [ORDINARY] * 4)

    def test_both_at_once_where_one_keeps_one_session(self) -> None:
        """Whichever it is, its calls are answered in that session; go-ethereum keeps just one."""
        for is_newest in (True, False):
            self.setUp()
            self.ping(self.alice, self.bob)
            self.ping(self.bob, self.alice)
            self.settle()
            self.assertIsInstance(self.event(self.bob), PingAnswered)
            sessions = self.bob.node._sessions._sessions
            ((key, newest),) = sessions.items()
            sessions[key] = newest if is_newest else newest.previous
            sessions[key].previous = None
            self.ping(self.bob, self.alice)
            self.assertEqual(self.settle(), [ORDINARY] * 2)
            self.assertIsInstance(self.event(self.bob), PingAnswered)
            requests: list[IncomingTalk] = []
            self.alice.node.register_talk(b"slow", requests.append)
            self.bob.node.talk(self.alice.contact, b"slow", b"hello", self.now)
            self.settle()
            self.assertTrue(self.alice.node.answer_talk(requests[0], b"done"))
            self.assertEqual(self.settle(), [ORDINARY])
            self.assertIsInstance(self.event(self.bob), TalkAnswered)

    def test_challenged_answer(self) -> None:
        """A challenge that names an answer of ours, and is repeated for our next call, is replied to with that call."""
        self.patch(session, "MAX_HEADS", 1)  # as others, who repeat any challenge
        self.ping(self.bob, self.alice)
        self.settle()
        self.ping(self.bob, self.alice)
        self.carry(self.bob)
        self.bob.node._sessions._sessions.clear()
        self.assertEqual([each.flag for each in self.carry(self.alice)], [ORDINARY])
        refusals = [each.refusal for each in self.carry(self.bob)]
        self.assertEqual(refusals, [Refusal.UNSOLICITED])
        self.ping(self.alice, self.bob)
        self.assertEqual(self.settle()[:3], [ORDINARY, WHOAREYOU, HANDSHAKE])
        self.assertIsInstance(self.event(self.alice), PingAnswered)

    def test_answers_of_an_old_session(self) -> None:
        """They are not remembered: who asks much does not push out what is known of our calls."""
        for _ in range(3 * NEW_SESSION):
            self.ping(self.bob, self.alice)
            self.settle()
        self.assertEqual(len(self.alice.node._calls._unanswered), NEW_SESSION)

    def test_every_message_may_need_a_handshake(self) -> None:
        """Not only PING."""
        self.told(7, ip="98.1.1.1")
        self.alice.node.find_node(self.bob.contact, [255], self.now)
        self.settle()
        self.assertIsInstance(self.event(self.alice), NodesFound)
        self.alice.restart()
        self.alice.node.talk(self.bob.contact, b"none", b"hello", self.now)
        self.settle()
        self.assertIsInstance(self.event(self.alice), TalkAnswered)

    def test_message_too_long_for_a_handshake(self) -> None:
        """It follows a PING that makes the session."""
        self.bob.node.register_talk(b"echo", lambda request: request.message[:1])
        size = packets.MAX_MESSAGE_SIZE - len(messages.encode_talk_request(bytes(8), b"echo", bytes(1000))) + 1000
        self.alice.node.talk(self.bob.contact, b"echo", b"x" * size, self.now)
        self.carry(self.alice)
        self.carry(self.bob)
        sent = self.carry(self.alice)
        self.assertEqual([each.flag for each in sent], [HANDSHAKE, ORDINARY])
        self.assertEqual(len(sent[1].datagram.data), packets.MAX_SIZE)
        refusals = [each.refusal for each in self.carry(self.bob)]
        self.assertEqual(refusals, [Refusal.UNSOLICITED, None])
        event = self.event(self.alice)
        assert isinstance(event, TalkAnswered)
        self.assertEqual(event.message, b"x")

    def test_private_network(self) -> None:
        """Nodes with another protocol id do not hear each other."""
        self.bob.node = type(self.bob.node)(
            self.bob.local, self.bob.table, lambda size: bytes(size), protocol_id=b"secret"
        )
        call = self.ping(self.alice, self.bob)
        self.assertEqual([each.refusal for each in self.carry(self.alice)], [Refusal.NOT_DISCV5])
        self.advance(1)
        self.assert_failed(self.alice, call, Timeout)

    def test_ipv6(self) -> None:
        """Addresses of the other family."""
        self.alice.ip, self.bob.ip = ip_address("2a00::1"), ip_address("2a00::2")
        self.connect()
        self.ping(self.bob, self.alice)
        self.settle()
        event = self.event(self.bob)
        assert isinstance(event, PingAnswered)
        self.assertEqual(event.pong.ip, self.bob.ip)


class ChallengeTests(ProtocolTestCase):
    """What the challenger does."""

    def challenged(self) -> bytes:
        """Alice sends the packet that is in her outbox; the datagram that Bob answers with."""
        self.carry(self.alice)
        (challenge,) = self.bob.sent()
        return challenge.data

    def test_repeated(self) -> None:
        """Within a second a challenge is repeated, byte for byte, whatever the nonce is now (trap 9)."""
        self.ping(self.alice, self.bob)
        challenge = self.challenged()
        self.advance(0.75)  # the call is over
        self.ping(self.alice, self.bob)
        self.assertEqual(self.challenged(), challenge)
        self.alice.node.next_events()

    def test_renewed(self) -> None:
        """After a second it is another one, of the packet that it answers."""
        self.ping(self.alice, self.bob)
        challenge = self.challenged()
        self.advance(session.CHALLENGE_LIFE)
        self.ping(self.alice, self.bob)
        (first,) = self.alice.sent()
        self.receive(first.data, self.bob, self.alice.ip, self.alice.port)
        (renewed,) = self.bob.sent()
        self.assertNotEqual(renewed.data, challenge)
        self.assertEqual(self.unmask(renewed).nonce, self.unmask(first).nonce)
        self.alice.node.next_events()

    def test_of_an_answer(self) -> None:
        """
        Nobody replies to a challenge of an answer, in a session that we lost, so that a call has one of its own; the
        crate C{discv5} has its calls fail otherwise.
        """
        self.connect()
        self.ping(self.bob, self.alice)
        self.carry(self.bob)
        self.bob.restart()
        self.assertEqual([each.refusal for each in self.carry(self.alice)], [None])
        self.assertEqual([each.refusal for each in self.carry(self.bob)], [Refusal.UNSOLICITED])
        self.ping(self.alice, self.bob)
        self.assertEqual(self.settle(), [ORDINARY, WHOAREYOU, HANDSHAKE, ORDINARY])
        self.assertIsInstance(self.event(self.alice), PingAnswered)

    def test_of_many(self) -> None:
        """Of packets in a lost session each has its own challenge, up to a bound; any of these may be replied to."""
        for earlier in range(session.MAX_HEADS):
            self.setUp()
            self.connect()
            ((_, lost),) = self.alice.node._sessions._sessions.items()
            self.bob.restart()
            pool = session.RandomPool(Random(earlier).randbytes)
            others = [lost.write(b"", pool)[0] for _ in range(session.MAX_HEADS)]
            self.ping(self.alice, self.bob)
            (call,) = self.alice.sent()
            for data in (*others[:earlier], call.data, *others[earlier:]):
                self.receive(data, self.bob, self.alice.ip, self.alice.port)
            challenges = self.carry(self.bob)
            self.assertEqual(len({each.datagram.data for each in challenges}), session.MAX_HEADS)
            self.assertEqual(challenges[-1].datagram.data, challenges[-2].datagram.data)
            self.assertEqual([each.refusal for each in challenges].count(None), 1)
            (handshake,) = self.carry(self.alice)
            self.assertIsNone(handshake.refusal)
            self.assertEqual(self.bob.node.challenges, 0)
            self.settle()
            self.assertIsInstance(self.event(self.alice), PingAnswered)

    def test_late_handshake(self) -> None:
        """A handshake after the challenge's life counts for nothing."""
        self.ping(self.alice, self.bob)
        self.carry(self.alice)
        self.carry(self.bob)
        self.now += session.CHALLENGE_LIFE
        self.assertEqual([each.refusal for each in self.carry(self.alice)], [Refusal.UNSOLICITED])
        self.assertEqual(self.bob.node.sessions, 0)

    def test_from_elsewhere(self) -> None:
        """A handshake must come from the address that was challenged."""
        self.ping(self.alice, self.bob)
        self.carry(self.alice)
        self.carry(self.bob)
        self.alice.port += 1
        self.assertEqual([each.refusal for each in self.carry(self.alice)], [Refusal.UNSOLICITED])

    def test_failure_deletes_the_challenge(self) -> None:
        """After a bad handshake not even a good one is accepted (trap 9, BadHandshakeAttack)."""
        self.ping(self.alice, self.bob)
        self.carry(self.alice)
        self.carry(self.bob)
        (good,) = self.alice.sent()
        for position, refusal in [
            (len(good.data) - 1, Refusal.UNREADABLE),
            (39 + 40, Refusal.BAD_HANDSHAKE),  # in the signature
            (39 + 34 + 64 + 5, Refusal.BAD_HANDSHAKE),  # in the ephemeral key
            (39 + 34 + 97 + 5, Refusal.BAD_HANDSHAKE),  # in the record
            (39 + 32, Refusal.BAD_HANDSHAKE),  # the size of the signature
            (39 + 33, Refusal.BAD_HANDSHAKE),  # the size of the key
        ]:
            bad = bytearray(good.data)
            bad[position] ^= 0xFF
            challenges = self.bob.node._challenges
            (kept,) = challenges._challenges.items()
            self.assertEqual(self.receive(bytes(bad), self.bob, self.alice.ip, self.alice.port), refusal)
            self.assertEqual(self.deliver(good, self.alice).refusal, Refusal.UNSOLICITED)
            self.assertEqual((self.bob.node.sessions, self.bob.node.challenges), (0, 0))
            challenges.put(*kept)
        self.assertIsNone(self.deliver(good, self.alice).refusal)
        self.assertEqual(self.bob.node.sessions, 1)

    def test_replayed_handshake(self) -> None:
        """What was heard once is not heard again."""
        self.ping(self.alice, self.bob)
        self.carry(self.alice)
        self.carry(self.bob)
        (handshake,) = self.carry(self.alice)
        self.assertEqual(self.deliver(handshake.datagram, self.alice).refusal, Refusal.UNSOLICITED)
        self.assertEqual(len(self.bob.table.added), 1)

    def test_no_message(self) -> None:
        """A handshake that says nothing makes a session all the same, since its sender is proved."""
        call = self.ping(self.alice, self.bob)
        self.carry(self.alice)
        call.message = b""
        self.carry(self.bob)
        self.assertEqual([each.refusal for each in self.carry(self.alice)], [Refusal.BAD_MESSAGE])
        self.assertEqual(self.bob.node.sessions, 1)


class ChallengedTests(ProtocolTestCase):
    """What the challenged node does."""

    def test_wrong_nonce(self) -> None:
        """A challenge of a packet that we did not send is ignored."""
        self.ping(self.alice, self.bob)
        self.carry(self.alice)
        head = self.bob.node._writer.whoareyou(bytes(16), bytes(12), bytes(16), 0)
        datagram = packets.masked(head, packets.mask_of(self.alice.node_id))
        self.assertEqual(self.receive(datagram, self.alice, self.bob.ip, self.bob.port), Refusal.UNSOLICITED)
        self.assertEqual(self.alice.sent(), [])
        self.carry(self.bob)
        self.settle()
        self.assertIsInstance(self.event(self.alice), PingAnswered)

    def test_nothing_asked(self) -> None:
        """Nor is one that comes when there is no call."""
        self.connect()
        head = self.bob.node._writer.whoareyou(bytes(16), bytes(12), bytes(16), 0)
        datagram = packets.masked(head, packets.mask_of(self.alice.node_id))
        self.assertEqual(self.receive(datagram, self.alice, self.bob.ip, self.bob.port), Refusal.UNSOLICITED)

    def test_one_handshake_for_a_call(self) -> None:
        """A second challenge is ignored, be it a replay or of the handshake itself, and the call times out."""
        call = self.ping(self.alice, self.bob)
        self.carry(self.alice)
        (challenge,) = self.carry(self.bob)
        (handshake,) = self.alice.sent()
        self.assertEqual(self.deliver(challenge.datagram, self.bob).refusal, Refusal.UNSOLICITED)
        nonce = self.unmask(handshake).nonce
        head = self.bob.node._writer.whoareyou(bytes(16), nonce, bytes(16), 0)
        datagram = packets.masked(head, packets.mask_of(self.alice.node_id))
        self.assertEqual(self.receive(datagram, self.alice, self.bob.ip, self.bob.port), Refusal.SECOND_HANDSHAKE)
        self.assertEqual(self.alice.sent(), [])
        self.advance(1)
        self.assert_failed(self.alice, call, Timeout)

    def test_goes_to_the_callee(self) -> None:
        """Wherever a challenge comes from, the handshake goes to the address that was called."""
        self.ping(self.alice, self.bob)
        self.carry(self.alice)
        (challenge,) = self.bob.sent()
        self.assertIsNone(self.receive(challenge.data, self.alice, ip_address("99.9.9.9"), 9))
        (handshake,) = self.alice.sent()
        self.assertEqual((handshake.ip, handshake.port), (self.bob.ip, self.bob.port))

    def test_unknown_key(self) -> None:
        """Who does not know the callee's key calls in a session only."""
        contact = Contact(self.bob.node_id, self.bob.ip, self.bob.port)
        call = self.alice.node.ping(contact, self.now, self.unix_time)
        self.settle()
        self.assert_failed(self.alice, call, LocalProtocolError, "remote wants handshake")
        self.connect()
        self.alice.node.ping(contact, self.now, self.unix_time)
        self.settle()
        self.assertIsInstance(self.event(self.alice), PingAnswered)

    def test_wrong_key(self) -> None:
        """The key must be that of the node."""
        contact = self.bob.contact._replace(public_key=self.alice.key.public_key)
        self.assertRaises(LocalProtocolError, self.alice.node.ping, contact, self.now, self.unix_time)

    def test_lost_challenge(self) -> None:
        """The callee repeats it, which names a packet of the call before; it is good for the call that is active."""
        first, second = self.ping(self.alice, self.bob), self.ping(self.alice, self.bob)
        self.carry(self.alice)
        self.bob.sent()
        self.advance(RESPONSE_TIMEOUT)
        self.assert_failed(self.alice, first, Timeout)
        self.assertEqual(self.settle(), [ORDINARY, WHOAREYOU, HANDSHAKE, ORDINARY])
        event = self.event(self.alice)
        assert isinstance(event, PingAnswered)
        self.assertIs(event.call, second)

    def test_lost_handshake(self) -> None:
        """As the callee knows of none, it repeats its challenge for the next call, which answers it anew."""
        first, second = self.ping(self.alice, self.bob), self.ping(self.alice, self.bob)
        self.carry(self.alice)
        self.carry(self.bob)
        self.alice.sent()
        self.advance(RESPONSE_TIMEOUT)
        self.assert_failed(self.alice, first, Timeout)
        self.assertEqual(self.settle(), [ORDINARY, WHOAREYOU, HANDSHAKE, ORDINARY])
        event = self.event(self.alice)
        assert isinstance(event, PingAnswered)
        self.assertIs(event.call, second)

    def test_impostor(self) -> None:
        """Who has another key than the called node cannot answer its calls, even from its address."""
        impostor = Player(3, "99.1.2.1")
        impostor.port = self.bob.port
        call = self.ping(self.alice, self.bob)
        (first,) = self.alice.sent()
        nonce = self.bob.reader.read(first.data).nonce
        impostor.node._challenge(self.alice.node_id, nonce, self.alice.ip, self.alice.port, self.now)
        self.carry(impostor)
        (handshake,) = self.alice.sent()
        self.assertEqual(self.receive(handshake.data, impostor, self.alice.ip, self.alice.port), Refusal.NOT_DISCV5)
        self.advance(1)
        self.assert_failed(self.alice, call, Timeout)
