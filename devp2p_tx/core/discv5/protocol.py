"""
One node's side of discv5: it answers others, and asks them (devp2p C{discv5-wire.md} and C{discv5-theory.md}).

Rules for what comes in; the first that does not hold ends a packet's way, and only then is the next one's cost paid:

  - It comes from an address that our user's lists do not forbid, neither that nor the node is banned, and its header,
    once unmasked, is one of discv5.
  - A packet that its sender's session opens is heard. Any other is counted against the budget of its source, and then
    answered with a challenge, the same one for a second unless that may be in vain (see L{session
    <devp2p_tx.core.discv5.session>}). A challenge is smaller than what it answers.
  - A handshake refers to a challenge that lives, and is the first that does. Its sender's record, signature and
    ephemeral key are valid, and its message can be read. There is a session from then on.
  - A WHOAREYOU has the nonce of the packet that one of our calls was sent in. The call is sent again in a handshake,
    once.

Then:

  - PING, FINDNODE and TALKREQ are answered at once, to where they came from. Nodes that the asker should not contact,
    be it ourselves, are not told.
  - An answer counts if it is from the very endpoint that was called, echoes the id of the request, and has its type.

Rules for what goes out:

  - For each node one call is active, others wait for their turn. It ends with its answer, or 0.7 s after it was sent or
    a part of the answer came.
  - Without a session a call begins with a packet that nobody can read, to be challenged. A budget allows no more than
    so many; a call beyond it is not begun.

No method looks at a clock: C{now} is seconds of a monotonic clock, C{unix_time} is unix time in seconds with fractions.
Call L{Discv5.receive_datagram} and L{Discv5.handle_timer}, then send L{Discv5.datagrams_to_send}, dispatch
L{Discv5.next_events}, and wake up again at L{Discv5.get_timer}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar, final

from devp2p_tx._sealed import Sealed, seal
from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.ipvote import ExternalEndpoint
from devp2p_tx.core.addressing.outgoing import OutgoingBudget
from devp2p_tx.core.addressing.policy import BUDGET, AddressPolicy
from devp2p_tx.core.datagram import Datagram
from devp2p_tx.core.discv5 import messages, packets
from devp2p_tx.core.discv5.calls import Calls
from devp2p_tx.core.discv5.events import (
    Call,
    CallFailed,
    Contact,
    EnrCall,
    Event,
    FindNodeCall,
    IncomingTalk,
    NodesFound,
    PingAnswered,
    PingCall,
    RecordFound,
    Refusal,
    TalkAnswered,
    TalkCall,
)
from devp2p_tx.core.discv5.filter import PacketFilter
from devp2p_tx.core.discv5.messages import MessageType, Nodes, Pong
from devp2p_tx.core.discv5.packets import InvalidPacket, NotDiscv5, Packet, PacketReader, PacketWriter, masked
from devp2p_tx.core.discv5.relay import PROTOCOL, NodeTable, ToldNodes, read_told
from devp2p_tx.core.discv5.session import (
    CHALLENGE_LIFE,
    Challenge,
    Challenges,
    Handshake,
    RandomBytes,
    RandomPool,
    Session,
    Sessions,
    accept_handshake,
    initiate,
)
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.loopback import LoopbackRecord
from devp2p_tx.core.enr.record import InvalidRecord, Record
from devp2p_tx.core.kademlia.distance import ID_BITS
from devp2p_tx.errors import (
    AddressRefused,
    DevP2PError,
    HandshakeError,
    InvalidRLP,
    LocalProtocolError,
    OverBudget,
    ServerStopped,
    Timeout,
)

#: A session is new until we have sent so many messages in it: two handshakes that cross are soon over.
NEW_SESSION = 4
#: How many NODES of an answer are heard.
MAX_ANSWERS = 5
#: Calls in flight or queued.
MAX_CALLS = 1024
#: Bytes of the ids of our requests.
REQUEST_ID_SIZE = 8

C = TypeVar("C", bound=Call)
#: Octets, in any of the three types that have them.
Bytes = bytes | bytearray | memoryview
#: Answers a request of another protocol; C{None} to do so later, with L{Discv5.answer_talk}. It must not raise.
TalkHandler = Callable[[IncomingTalk], Bytes | None]


@final
class Discv5(Sealed):
    """
    The state of the protocol at one UDP port.

    @ivar filter: who is not heard; bans are set here.
    """

    __slots__ = (
        "_calls", "_challenges", "_closed", "_events", "_known_calls", "_local", "_outbox", "_outgoing", "_own",
        "_policy", "_pool", "_random_bytes", "_reader", "_requests", "_sessions", "_table", "_talk", "_told",
        "_writer", "filter",
    )  # fmt: skip

    def __init__(
        self,
        local: LocalRecord,
        table: NodeTable,
        random_bytes: RandomBytes,
        *,
        policy: AddressPolicy | None = None,
        outgoing: OutgoingBudget | None = None,
        packet_filter: PacketFilter | None = None,
        protocol_id: bytes = packets.PROTOCOL_ID,
    ) -> None:
        """
        @param local: our record; its key is ours, and it learns our external endpoint from others.
        @param random_bytes: the source of keys and nonces.
        @param policy: which addresses may be contacted, and told to whom; by default all in use, private ones too.
        @param outgoing: how much may be sent to those with whom there is no session; by default
            L{OutgoingBudget.udp<devp2p_tx.core.addressing.outgoing.OutgoingBudget.udp>}.
        @param protocol_id: 6 bytes, by which a private network keeps apart.
        """
        self.filter = PacketFilter() if packet_filter is None else packet_filter
        self._local = local
        self._own = LoopbackRecord(local)
        self._table = table
        self._policy = AddressPolicy(lan=True) if policy is None else policy
        self._told = ToldNodes(local, table, self._policy)
        self._outgoing = OutgoingBudget.udp() if outgoing is None else outgoing
        self._random_bytes = random_bytes
        self._pool = RandomPool(random_bytes)
        self._reader = PacketReader(local.node_id, protocol_id)
        self._writer = PacketWriter(local.node_id, protocol_id)
        self._sessions = Sessions()
        self._challenges = Challenges()
        self._outbox: list[Datagram] = []
        self._events: list[Event] = []
        self._calls = Calls()
        self._known_calls: set[Call] = set()
        self._talk: dict[bytes, TalkHandler] = {}
        self._requests: dict[int, Callable[[bytes, Session, float], None]] = {
            MessageType.PING: self._answer_ping,
            MessageType.FINDNODE: self._answer_findnode,
            MessageType.TALKREQ: self._answer_talk_request,
        }
        self._closed = False

    def datagrams_to_send(self) -> list[Datagram]:
        """Take what is to be sent: data, and the address and port that it goes to."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def next_events(self) -> list[Event]:
        """Take what happened, in its order."""
        events, self._events = self._events, []
        return events

    def get_timer(self) -> float | None:
        """When L{handle_timer} wants to be called; C{None} for never. What is begun later never makes it earlier."""
        return self._calls.next_deadline()

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    @property
    def challenges(self) -> int:
        """At how many endpoints a challenge of ours may await an answer."""
        return len(self._challenges)

    # -- calls --------------------------------------------------------------------------------------------------------

    def ping(self, to: Contact, now: float, unix_time: float) -> PingCall:
        """
        Ask whether a node is alive. Ends with L{PingAnswered} or L{CallFailed}.

        @raise LocalProtocolError: there is no address or no port.
        @raise OverBudget: too much was sent to strangers lately, or too many calls are in flight.
        @raise AddressRefused: the user's lists forbid the address.
        @raise ServerStopped: after L{close}.
        """
        ip, request_id = self._prepare(to, now)
        message = messages.encode_ping(request_id, self._record(unix_time).seq)
        return self._begin(PingCall(to, ip, request_id, message), now)

    def find_node(self, to: Contact, distances: Iterable[int], now: float) -> FindNodeCall:
        """
        Ask a node for nodes at logarithmic distances from it. Ends with L{NodesFound} or L{CallFailed}.

        @param distances: 0..256, 0 being the node itself; see L{lookup_distances
            <devp2p_tx.core.discv5.calls.lookup_distances>}.
        @raise LocalProtocolError: there is no address or no port, or no node can be at such a distance.
        @raise OverBudget: too much was sent to strangers lately, or too many calls are in flight.
        @raise AddressRefused: the user's lists forbid the address.
        @raise ServerStopped: after L{close}.
        """
        wanted = tuple(dict.fromkeys(distances))
        if any(not 0 <= distance <= ID_BITS for distance in wanted):
            raise LocalProtocolError(f"distances are 0 to {ID_BITS}")
        ip, request_id = self._prepare(to, now)
        return self._begin(FindNodeCall(to, ip, request_id, messages.encode_findnode(request_id, wanted), wanted), now)

    def request_record(self, to: Contact, now: float, known: Record | None = None) -> EnrCall:
        """
        Ask a node for its record. Ends with L{RecordFound} or L{CallFailed}.

        @param known: the newest record of the node that we have.
        @raise LocalProtocolError: there is no address or no port.
        @raise OverBudget: too much was sent to strangers lately, or too many calls are in flight.
        @raise AddressRefused: the user's lists forbid the address.
        @raise ServerStopped: after L{close}.
        """
        ip, request_id = self._prepare(to, now)
        return self._begin(EnrCall(to, ip, request_id, messages.encode_findnode(request_id, (0,)), known), now)

    def talk(self, to: Contact, protocol: Bytes, message: Bytes, now: float) -> TalkCall:
        """
        Send a request of another protocol. Ends with L{TalkAnswered} or L{CallFailed}.

        @param protocol: its name.
        @raise LocalProtocolError: there is no address or no port, or the message is too long for a packet.
        @raise OverBudget: too much was sent to strangers lately, or too many calls are in flight.
        @raise AddressRefused: the user's lists forbid the address.
        @raise ServerStopped: after L{close}.
        """
        ip, request_id = self._prepare(to, now)
        written = _fitting(messages.encode_talk_request(request_id, _octets(protocol), _octets(message)))
        return self._begin(TalkCall(to, ip, request_id, written), now)

    def cancel(self, call: Call, now: float) -> None:
        """Forget a call; no event tells its outcome. Nothing happens if it is over."""
        if call in self._known_calls:
            self._calls.note_unanswered(call, now)
            self._end(call, now)

    def close(self) -> None:
        """Fail every call. Nothing is answered or asked from now on."""
        self._closed = True
        self._events += [CallFailed(call, ServerStopped("socket closed")) for call in self._known_calls]
        self._known_calls.clear()
        self._calls.clear()
        self._outbox.clear()

    def _prepare(self, to: Contact, now: float) -> tuple[IPAddress, bytes]:
        """Where a call goes, and the id of its request."""
        if self._closed:
            raise ServerStopped("socket closed")
        if to.ip is None or to.ip.is_unspecified or not to.port:
            raise LocalProtocolError("node has no UDP endpoint")
        if to.public_key is not None and to.public_key.node_id != to.node_id:
            raise LocalProtocolError("the key is not that of the node")
        if len(self._known_calls) >= MAX_CALLS:
            raise OverBudget("too many calls in flight")
        if not self._policy.permits(to.ip, PROTOCOL):
            raise AddressRefused(f"{to.ip} may not be contacted")
        has_session = self._sessions.get((to.node_id, to.ip, to.port)) is not None
        if not has_session and not self._outgoing.take(to.ip, now):
            self._policy.count(PROTOCOL, BUDGET)
            raise OverBudget("too many packets to nodes that never answered")
        return to.ip, self._pool.take(REQUEST_ID_SIZE)

    def _begin(self, call: C, now: float) -> C:
        self._known_calls.add(call)
        if self._calls.add(call):
            self._send_call(call, now)
        return call

    def _send_call(self, call: Call, now: float) -> None:
        self._local.add_contact(call.ip, now)
        session = self._sessions.get((call.node_id, call.ip, call.port))
        if session is None:
            nonce = self._pool.take(packets.NONCE_SIZE)
            head = self._writer.ordinary(self._pool.take(packets.IV_SIZE), nonce)
            random_message = self._pool.take(packets.RANDOM_MESSAGE_SIZE)
            datagram = masked(head, packets.mask_of(call.node_id)) + random_message
        else:
            datagram, nonce = session.write(call.message, self._pool)
        self._outbox.append((datagram, call.ip, call.port))
        self._calls.sent(call, nonce, now)

    def _record(self, unix_time: float) -> Record:
        return self._local.record(int(unix_time * 1000))

    # -- ends of calls ------------------------------------------------------------------------------------------------

    def _end(self, call: Call, now: float) -> None:
        """Stop waiting, and send the next call to the same node."""
        self._known_calls.discard(call)
        following = self._calls.end(call)
        if following is not None:
            self._send_call(following, now)

    def _succeed(self, call: Call, event: Event, now: float) -> None:
        self._events.append(event)
        self._end(call, now)

    def _fail(self, call: Call, error: DevP2PError, now: float) -> None:
        self._calls.note_unanswered(call, now)
        self._succeed(call, CallFailed(call, error), now)

    def handle_timer(self, now: float) -> None:
        """End what has waited for too long."""
        for call in self._calls.take_due(now):
            if isinstance(call, FindNodeCall) and call.total is not None:
                self._finish_findnode(call, now)
            else:
                self._fail(call, Timeout("no answer"), now)

    def _finish_findnode(self, call: FindNodeCall, now: float) -> None:
        records = tuple(call.records.values())
        if not isinstance(call, EnrCall):
            is_complete = call.total is not None and call.received >= call.total
            self._succeed(call, NodesFound(call, records, is_complete), now)
        elif len(records) != 1:
            self._fail(call, InvalidRecord(f"{len(records)} nodes in response for distance zero"), now)
        else:
            known = call.known
            newest = known if known is not None and known.seq > records[0].seq else records[0]
            self._succeed(call, RecordFound(call, newest), now)

    # -- what comes in ------------------------------------------------------------------------------------------------

    def receive_datagram(self, data: Bytes, ip: IPAddress, port: int, now: float, unix_time: float) -> Refusal | None:
        """
        Take a datagram.

        @param ip: where it comes from, unwrapped (see L{devp2p_tx.core.addressing.addresses.unwrap}).
        @return: C{None}, or why it had no effect.
        """
        if not port or self._closed:
            return Refusal.NOT_DISCV5
        if self._policy.lists and not self._policy.permits(ip, PROTOCOL):
            return Refusal.FORBIDDEN
        if self.filter.hosts.bans and self.filter.hosts.has(ip, now):
            return Refusal.BANNED
        data = _octets(data)
        head = self._reader.ordinary_head(data)
        if head is None:
            return self._receive_rarely(data, ip, port, now, unix_time)
        return self._receive_ordinary(head, data[packets.ORDINARY_SIZE :], ip, port, now, unix_time)

    def _receive_ordinary(
        self, head: bytes, sealed: bytes, ip: IPAddress, port: int, now: float, unix_time: float
    ) -> Refusal | None:
        source, nonce = head[packets.AUTH_START :], head[packets.NONCE_START : packets.NONCE_STOP]
        if self.filter.nodes.bans and self.filter.nodes.has(source, now):
            return Refusal.BANNED
        session = self._sessions.get((source, ip, port))
        if session is not None:
            message = session.read(nonce, sealed, head)
            if message is None and session.previous is not None and not session.previous.is_used_up:
                session = session.previous
                message = session.read(nonce, sealed, head)
            if message is not None:
                return self._receive_message(message, session, now, unix_time)
        return self._challenge(source, nonce, ip, port, now)

    def _receive_rarely(self, data: bytes, ip: IPAddress, port: int, now: float, unix_time: float) -> Refusal | None:
        """Take what is no ordinary packet of our version."""
        try:
            packet = self._reader.read(data)
        except NotDiscv5:
            return Refusal.NOT_DISCV5
        except InvalidPacket:
            return Refusal.BAD_HEADER
        if packet.flag == packets.WHOAREYOU:
            return self._receive_whoareyou(packet, now, unix_time)
        if packet.flag == packets.HANDSHAKE:
            return self._receive_handshake(packet, ip, port, now, unix_time)
        return self._receive_ordinary(packet.head, packet.message, ip, port, now, unix_time)

    # -- handshakes ---------------------------------------------------------------------------------------------------

    def _challenge(self, source: bytes, nonce: bytes, ip: IPAddress, port: int, now: float) -> Refusal | None:
        """Ask who sent a packet that cannot be read."""
        if not self.filter.take(ip, now):
            return Refusal.OVER_BUDGET
        endpoint = ip, port
        challenge = self._challenges.get(source, endpoint, now)
        if challenge is None or challenge.may_be_in_vain:
            challenge = self._new_challenge(source, nonce, challenge, now)
            self._challenges.put(endpoint, challenge)
        self._outbox.append((challenge.datagram, ip, port))
        return None

    def _new_challenge(self, source: bytes, nonce: bytes, earlier: Challenge | None, now: float) -> Challenge:
        """A challenge for the packet with this nonce, which leaves those before it good."""
        record, heads = (self._table.record(source), ()) if earlier is None else (earlier.record, earlier.heads)
        enr_seq = 0 if record is None else record.seq
        head = self._writer.whoareyou(self._pool.take(16), nonce, self._pool.take(16), enr_seq)
        datagram = masked(head, packets.mask_of(source))
        return Challenge(source, (*heads, head), datagram, record, now + CHALLENGE_LIFE)

    def _receive_handshake(
        self, packet: Packet, ip: IPAddress, port: int, now: float, unix_time: float
    ) -> Refusal | None:
        source = packet.authdata[: packets.ID_SIZE]
        if self.filter.nodes.has(source, now):
            return Refusal.BANNED
        challenge = self._challenges.take(source, (ip, port), now)
        if challenge is None:
            return Refusal.UNSOLICITED
        try:
            auth = packets.decode_handshake(packet.authdata)
            keys, record = accept_handshake(self._local.key, challenge, auth)
        except (InvalidPacket, HandshakeError):
            return Refusal.BAD_HANDSHAKE
        session = Session(source, ip, port, write_key=keys.recipient, read_key=keys.initiator, writer=self._writer)
        message = session.read(packet.nonce, packet.message, packet.head)
        if message is None:
            return Refusal.UNREADABLE
        self._sessions.put(session)
        self.filter.note_known(ip, now)
        self._table.add_inbound(record, ip, port, now)
        return self._receive_message(message, session, now, unix_time)

    def _receive_whoareyou(self, packet: Packet, now: float, unix_time: float) -> Refusal | None:
        call = self._calls.of_nonce(packet.nonce, now)
        if call is None:
            return Refusal.UNSOLICITED
        if call.challenged:
            return Refusal.SECOND_HANDSHAKE
        if call.public_key is None:
            self._fail(call, LocalProtocolError("remote wants handshake, but call has no ENR"), now)
            return None
        call.challenged = packet.nonce
        handshake = initiate(
            self._local.key, call.public_key, call.ip, call.port, packet.head, self._writer, self._random_bytes
        )
        self._sessions.put(handshake.session)
        _, known_seq = packets.decode_whoareyou(packet.authdata)
        own = self._own.record_for(call.ip, int(unix_time * 1000))
        self._send_handshake(call, handshake, own.encoded if known_seq < own.seq else b"", own.seq, now)
        return None

    def _send_handshake(self, call: Call, handshake: Handshake, record: bytes, seq: int, now: float) -> None:
        """
        Send a call again, to where it was sent before, with our answer to the challenge.

        A message that does not fit beside that follows it, and a PING goes in its place, whose answer nobody awaits.
        """
        datagram, nonce = handshake.write(call.message, record, self._writer, self._pool)
        following: list[Datagram] = []
        if len(datagram) > packets.MAX_SIZE:
            ping = messages.encode_ping(self._pool.take(REQUEST_ID_SIZE), seq)
            datagram, _ = handshake.write(ping, record, self._writer, self._pool)
            packet, nonce = handshake.session.write(call.message, self._pool)
            following.append((packet, call.ip, call.port))
        self._outbox += [(datagram, call.ip, call.port), *following]
        self._calls.sent(call, nonce, now)

    # -- messages -----------------------------------------------------------------------------------------------------

    def _receive_message(self, data: bytes, session: Session, now: float, unix_time: float) -> Refusal | None:
        answer = self._requests.get(data[0]) if data else None
        try:
            if answer is None:
                return self._receive_response(messages.decode_response(data), session, now)
            answer(data, session, unix_time)
        except InvalidRLP:
            return Refusal.BAD_MESSAGE
        if session.messages <= NEW_SESSION:
            self._calls.note_answer(session, now)
        return None

    def _send(self, session: Session, message: bytes) -> None:
        datagram, _ = session.write(message, self._pool)
        self._outbox.append((datagram, session.ip, session.port))

    def _answer_ping(self, data: bytes, session: Session, unix_time: float) -> None:
        request_id = messages.read_ping(data)
        seq = self._record(unix_time).seq
        if session.pong[0] != seq:
            session.pong = (seq, messages.pong_fields(seq, session.ip, session.port))
        self._send(session, messages.encode_pong(request_id, session.pong[1]))

    def _answer_findnode(self, data: bytes, session: Session, unix_time: float) -> None:
        request_id, distances = messages.read_findnode(data)
        fields = self._told.fields(distances, session.ip, unix_time)
        for message in messages.encode_nodes(request_id, fields):
            self._send(session, message)

    def _receive_response(self, response: messages.Response, session: Session, now: float) -> Refusal | None:
        call = self._calls.active(session.node_id)
        if (
            call is None
            or call.request_id != response.request_id
            or call.port != session.port
            or call.ip != session.ip
            or not isinstance(response, call.response_type)
        ):
            return Refusal.UNSOLICITED
        self.filter.note_known(session.ip, now)
        if isinstance(response, Nodes):
            assert isinstance(call, FindNodeCall)
            self._collect_nodes(response, call, now)
        elif isinstance(response, Pong):
            assert isinstance(call, PingCall)
            self._local.add_statement(session.ip, ExternalEndpoint(response.ip, response.port), now)
            self._succeed(call, PingAnswered(call, response), now)
        else:
            assert isinstance(call, TalkCall)
            self._succeed(call, TalkAnswered(call, response.message), now)
        return None

    def _collect_nodes(self, nodes: Nodes, call: FindNodeCall, now: float) -> None:
        call.received += 1
        if call.total is None:
            call.total = min(nodes.total, MAX_ANSWERS)
        for encoded in nodes.records:
            record = read_told(encoded, call.node_id, call.ip, call.distances, self._policy, self._local.versions)
            if record is not None:
                call.records.setdefault(record.node_id, record)
        if call.received >= call.total:
            self._finish_findnode(call, now)
        else:
            self._calls.wait(call, now)

    # -- other protocols ----------------------------------------------------------------------------------------------

    def register_talk(self, protocol: Bytes, handler: TalkHandler) -> None:
        """
        Have requests of another protocol answered.

        @param protocol: its name. Requests of protocols that nobody registered have an empty answer.
        """
        self._talk[_octets(protocol)] = handler

    def unregister_talk(self, protocol: Bytes) -> None:
        """No longer have them answered, if they were."""
        self._talk.pop(_octets(protocol), None)

    def answer_talk(self, request: IncomingTalk, message: Bytes) -> bool:
        """
        Answer a request of another protocol.

        @return: whether it was answered; else the session ended meanwhile.
        @raise LocalProtocolError: the answer is too long for a packet.
        """
        written = _fitting(messages.encode_talk_response(request.request_id, _octets(message)))
        session = self._sessions.get((request.node_id, request.ip, request.port))
        if session is None or self._closed:
            return False
        if session.previous is not None and request.session is session.previous:
            session = session.previous
        self._send(session, written)
        return True

    def _answer_talk_request(self, data: bytes, session: Session, unix_time: float) -> None:
        request_id, protocol, message = messages.read_talk_request(data)
        handler = self._talk.get(protocol)
        if handler is None:
            self._send(session, messages.encode_talk_response(request_id, b""))
            return
        incoming = IncomingTalk(session.node_id, session.ip, session.port, request_id, protocol, message, session)
        answer = handler(incoming)
        if answer is not None:
            self.answer_talk(incoming, answer)


def _octets(data: Bytes) -> bytes:
    return data if isinstance(data, bytes) else memoryview(data).tobytes()


def _fitting(message: bytes) -> bytes:
    """
    The message, if it fits into a packet.

    @raise LocalProtocolError: it does not.
    """
    if len(message) > packets.MAX_MESSAGE_SIZE:
        raise LocalProtocolError(f"message of {len(message)} bytes, more than {packets.MAX_MESSAGE_SIZE}")
    return message


seal(__name__)
