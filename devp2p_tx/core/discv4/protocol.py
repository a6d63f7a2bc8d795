"""
One node's side of discv4: it answers others, and asks them (devp2p C{discv4.md}; EIP-868).

Rules for what comes in; the first that does not hold ends a packet's way, and only then is the next one's cost paid:

  - It has the size and type of a packet, and comes from a port that can be answered.
  - Its source is not one that our user's lists forbid, and has not used up its budget of packets.
  - An answer is awaited from its source: PONG and ENRRESPONSE echo the hash of a packet of ours, NEIGHBORS come from
    where a FINDNODE went. The port is not compared.
  - Its hash is right, it can be read, it is not expired, its signature yields a key, and that is the one awaited.

Then:

  - PING is answered at once. Who has no L{endpoint proof<EndpointProofs>} is pinged back, if he is somewhere where we
    would look for nodes, and enters the table with his PONG; who has one enters at once.
  - FINDNODE and ENRREQUEST are answered to those who have a proof, else ignored without a word: whatever was sent could
    go to a victim whose address the sender forged.

Rules for what goes out:

  - A call ends with its answer, or half a second later. NEIGHBORS are collected until 16 nodes have come or the time is
    over; a late end with some nodes is as good as another.
  - Who has proved nothing is sent no more than a budget allows; a call beyond it is not begun. Pings back are not
    counted, since they answer something that was.
  - Who probably lacks our own proof is pinged before FINDNODE and ENRREQUEST, whatever comes of it, and then given half
    a second to ping back. Calls that wait for the same node share this.

No method looks at a clock: C{now} is seconds of a monotonic clock, C{unix_time} is unix time in seconds with fractions.
Call L{Discv4.receive_datagram} and L{Discv4.handle_timer}, then send L{Discv4.datagrams_to_send}, dispatch
L{Discv4.next_events}, and wake up again at L{Discv4.get_timer}.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar, cast

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.addressing.ipvote import ExternalEndpoint
from devp2p_tx.core.addressing.outgoing import OutgoingBudget
from devp2p_tx.core.addressing.packetlimit import PacketRateLimiter
from devp2p_tx.core.addressing.policy import BUDGET, AddressPolicy
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.datagram import Datagram
from devp2p_tx.core.discv4 import packets
from devp2p_tx.core.discv4.clock import ClockOffsets
from devp2p_tx.core.discv4.cryptography import Cryptography, OwnCryptography
from devp2p_tx.core.discv4.endpointproof import EndpointProofs, Proofs
from devp2p_tx.core.discv4.events import (
    Call,
    CallFailed,
    ClockSuspect,
    EnrCall,
    Event,
    FindNodeCall,
    NodesFound,
    PingAnswered,
    PingCall,
    RecordFound,
    Refusal,
)
from devp2p_tx.core.discv4.packets import PacketType, WireEndpoint
from devp2p_tx.core.discv4.relay import MAX_LOW_PORT, PROTOCOL, KnownNode, NodeTable, check_record, on_wire
from devp2p_tx.core.discv4.replies import AwaitedReplies
from devp2p_tx.core.enr.local import LocalRecord
from devp2p_tx.core.enr.loopback import LoopbackRecord
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.nodeendpoint import endpoint4, endpoint6
from devp2p_tx.core.enr.record import InvalidRecord, Record
from devp2p_tx.errors import (
    AddressRefused,
    DevP2PError,
    InvalidPublicKey,
    InvalidRLP,
    InvalidSignature,
    LocalProtocolError,
    OverBudget,
    ServerStopped,
    Timeout,
)

#: Seconds that packets of ours are valid.
EXPIRATION = 20
#: How many nodes an answer to FINDNODE has in all.
MAX_RESULTS = 16
#: Calls in flight that we began ourselves.
MAX_CALLS = 1024
#: Strangers pinged back at one time; others are when they ping again.
MAX_PING_BACKS = 4096

#: Answers to FINDNODE of the present second that are kept for the next one who asks.
MAX_REMEMBERED_ANSWERS = 256

C = TypeVar("C", bound=Call)
_Host = tuple[bytes, IPAddress]


class _PingBack(PingCall):
    """A PING to a stranger who pinged us, to be added to the table if it answers."""

    __slots__ = ("public_key", "tcp")

    def __init__(self, public_key: PublicKey, ip: IPAddress, port: int, tcp: int) -> None:
        super().__init__(public_key.node_id, ip, port)
        self.public_key = public_key
        self.tcp = tcp


class _Bonding(PingCall):
    """A PING, and the time given to the node afterwards, for which calls wait."""

    __slots__ = ("calls", "settling")

    def __init__(self, node_id: bytes, ip: IPAddress, port: int) -> None:
        super().__init__(node_id, ip, port)
        self.calls: list[FindNodeCall | EnrCall] = []
        self.settling = False


class _Source(NamedTuple):
    """Who sent a packet, from where and when."""

    sender: PublicKey
    ip: IPAddress
    port: int
    now: float
    unix_time: float


class _Expiring(Protocol):
    @property
    def expiration(self) -> int: ...


class Discv4:
    """
    The state of the protocol at one UDP port.

    @ivar proofs: who has proved to be where.
    """

    def __init__(
        self,
        local: LocalRecord,
        table: NodeTable,
        *,
        policy: AddressPolicy | None = None,
        outgoing: OutgoingBudget | None = None,
        proofs: Proofs | None = None,
        limiter: PacketRateLimiter | None = None,
        cryptography: Cryptography | None = None,
    ) -> None:
        """
        @param local: our record; its key is ours, and it learns our external endpoint from others.
        @param policy: which addresses may be contacted, and told to whom; by default all in use, private ones too.
        @param outgoing: how much may be sent to those who have proved nothing; by default
            L{OutgoingBudget.udp<devp2p_tx.core.addressing.outgoing.OutgoingBudget.udp>}.
        @param proofs: who remembers proofs; by default they are lost with this object.
        @param limiter: how many packets nodes may send us.
        @param cryptography: who signs and verifies; by default it is done with the key of C{local}.
        """
        self.proofs: Proofs = EndpointProofs() if proofs is None else proofs
        self._local = local
        self._own = LoopbackRecord(local)
        self._cryptography: Cryptography = OwnCryptography(local.key) if cryptography is None else cryptography
        self._table = table
        self._policy = AddressPolicy(lan=True) if policy is None else policy
        self._outgoing = OutgoingBudget.udp() if outgoing is None else outgoing
        self._limiter = PacketRateLimiter() if limiter is None else limiter
        self._outbox: list[Datagram] = []
        self._events: list[Event] = []
        self._replies = AwaitedReplies()
        self._clock = ClockOffsets()
        self._calls: set[Call] = set()
        self._ping_backs: dict[_Host, _PingBack] = {}
        self._bondings: dict[_Host, _Bonding] = {}
        # The nodes themselves are kept with each answer, so that no other object can have their ids.
        self._answers: dict[tuple[frozenset[int], int], tuple[list[bytes], list[KnownNode]]] = {}
        self._answers_expire = 0
        self._closed = False
        self._own_endpoints: tuple[Record | None, dict[int, WireEndpoint]] = (None, {})

    def datagrams_to_send(self) -> list[Datagram]:
        """Take what is to be sent."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def next_events(self) -> list[Event]:
        """Take what happened, in its order."""
        events, self._events = self._events, []
        return events

    def get_timer(self) -> float | None:
        """When L{handle_timer} wants to be called; C{None} for never. What is begun later never makes it earlier."""
        return self._replies.next_deadline()

    # -- calls --------------------------------------------------------------------------------------------------------

    def ping(self, node_id: bytes, ip: IPAddress | None, port: int, now: float, unix_time: float) -> PingCall:
        """
        Ask whether a node is alive. Ends with L{PingAnswered} or L{CallFailed}.

        @raise LocalProtocolError: there is no address or no port.
        @raise OverBudget: too much was sent to strangers lately, or too many calls are in flight.
        @raise AddressRefused: the user's lists forbid the address.
        @raise ServerStopped: after L{close}.
        """
        call = PingCall(node_id, self._usable(node_id, ip, port, now, unix_time, amount=1), port)
        self._calls.add(call)
        self._send_ping(call, now, unix_time)
        return call

    def find_node(
        self, node_id: bytes, ip: IPAddress | None, port: int, target: bytes, now: float, unix_time: float
    ) -> FindNodeCall:
        """
        Ask a node for nodes near C{target} (64 bytes). Ends with L{NodesFound} or L{CallFailed}.

        @raise LocalProtocolError: there is no address or no port.
        @raise OverBudget: too much was sent to strangers lately, or too many calls are in flight.
        @raise AddressRefused: the user's lists forbid the address.
        @raise ServerStopped: after L{close}.
        """
        call = FindNodeCall(node_id, self._usable(node_id, ip, port, now, unix_time), port, target)
        self._begin(call, now, unix_time)
        return call

    def request_record(
        self,
        node_id: bytes,
        ip: IPAddress | None,
        port: int,
        now: float,
        unix_time: float,
        known: Record | None = None,
    ) -> EnrCall:
        """
        Ask a node for its record. Ends with L{RecordFound} or L{CallFailed}.

        @param known: the newest record of the node that we have.
        @raise LocalProtocolError: there is no address or no port.
        @raise OverBudget: too much was sent to strangers lately, or too many calls are in flight.
        @raise AddressRefused: the user's lists forbid the address.
        @raise ServerStopped: after L{close}.
        """
        call = EnrCall(node_id, self._usable(node_id, ip, port, now, unix_time), port, known)
        self._begin(call, now, unix_time)
        return call

    def cancel(self, call: Call) -> None:
        """Forget a call; no event tells its outcome. Nothing happens if it is over."""
        self._end(call)

    def close(self) -> None:
        """Fail every call. Nothing is answered or asked from now on."""
        self._closed = True
        for call in list(self._calls):
            self._fail(call, ServerStopped("socket closed"))
        self._replies.clear()
        self._ping_backs.clear()
        self._bondings.clear()
        self._outbox.clear()

    def _usable(
        self, node_id: bytes, ip: IPAddress | None, port: int, now: float, unix_time: float, amount: int = 2
    ) -> IPAddress:
        """The address, if a call that sends so many packets to one who does not answer may be made."""
        if self._closed:
            raise ServerStopped("socket closed")
        if ip is None or ip.is_unspecified or not port:
            raise LocalProtocolError("node has no UDP endpoint")
        if len(self._calls) >= MAX_CALLS:
            raise OverBudget("too many calls in flight")
        if not self._policy.permits(ip, PROTOCOL):
            raise AddressRefused(f"{ip} may not be contacted")
        if not self.proofs.is_proved(node_id, ip, unix_time) and not self._outgoing.take(ip, now, amount):
            self._policy.count(PROTOCOL, BUDGET)
            raise OverBudget("too many packets to nodes that never answered")
        return ip

    def _begin(self, call: FindNodeCall | EnrCall, now: float, unix_time: float) -> None:
        """Send a call, after an exchange of proofs if that is necessary or on its way."""
        self._calls.add(call)
        bonding = self._bondings.get(call.host)
        if bonding is None and self.proofs.should_prove(call.node_id, call.ip, unix_time):
            bonding = self._bondings[call.host] = _Bonding(call.node_id, call.ip, call.port)
            self._send_ping(bonding, now, unix_time)
        if bonding is None:
            self._ask(call, now, unix_time)
        else:
            bonding.calls.append(call)

    def _ask(self, call: FindNodeCall | EnrCall, now: float, unix_time: float) -> None:
        expiration = int(unix_time) + EXPIRATION
        if isinstance(call, FindNodeCall):
            datagram = packets.encode_findnode(self._cryptography, packets.FindNode(call.target, expiration))
            self._replies.expect(call, b"", now)
        else:
            datagram = packets.encode_enr_request(self._cryptography, packets.EnrRequest(expiration))
            self._replies.expect(call, packets.datagram_hash(datagram), now)
        self._send(datagram, call.ip, call.port)

    def _send_ping(self, call: PingCall, now: float, unix_time: float) -> None:
        record = self._record(unix_time)
        recipient = WireEndpoint(call.ip.packed, call.port, 0)
        ping = packets.Ping(self._endpoint(record, call.ip), recipient, int(unix_time) + EXPIRATION, record.seq)
        datagram = packets.encode_ping(self._cryptography, ping)
        self._replies.expect(call, packets.datagram_hash(datagram), now)
        self._local.add_contact(call.ip, now)
        self._send(datagram, call.ip, call.port)

    def _send(self, data: bytes, ip: IPAddress, port: int) -> None:
        self._outbox.append((data, ip, port))

    def _record(self, unix_time: float) -> Record:
        return self._local.record(int(unix_time * 1000))

    def _endpoint(self, record: Record, recipient: IPAddress) -> WireEndpoint:
        """What we announce in the recipient's address family, of which nobody believes more than the TCP port."""
        if self._own_endpoints[0] is not record:
            self._own_endpoints = record, {4: on_wire(endpoint4(record)), 6: on_wire(endpoint6(record))}
        return self._own_endpoints[1][recipient.version]

    # -- ends of calls ------------------------------------------------------------------------------------------------

    def _end(self, call: Call) -> bool:
        """Stop waiting. Whether our user knows of the call, and not yet how it ended."""
        self._replies.forget(call)
        if call not in self._calls:
            return False
        self._calls.remove(call)
        return True

    def _succeed(self, call: Call, event: Event) -> None:
        self._end(call)
        self._events.append(event)

    def _fail(self, call: Call, error: DevP2PError) -> None:
        if self._end(call):
            self._events.append(CallFailed(call, error))

    def handle_timer(self, now: float, unix_time: float) -> None:
        """End what has waited for too long."""
        for call in self._replies.take_due(now):
            if call.deadline is None:
                self._expire(call, now, unix_time)
            else:
                self._fail_warped(call)
        if self._replies.is_clock_suspect(now):
            self._events.append(ClockSuspect())

    def _fail_warped(self, call: Call) -> None:
        """The clock went backwards since the call began."""
        self._abandon(call)
        waiting = call.calls if isinstance(call, _Bonding) else [call]
        for each in waiting:
            self._fail(each, LocalProtocolError("reply deadline too far in the future"))

    def _expire(self, call: Call, now: float, unix_time: float) -> None:
        if isinstance(call, _Bonding) and call.settling:
            self._settle(call, now, unix_time)
            return
        self._replies.note_timeout()
        if isinstance(call, _Bonding):
            self._start_settling(call, now)
        elif isinstance(call, FindNodeCall):
            self._finish_findnode(call)
        else:
            self._abandon(call)
            self._fail(call, Timeout("no answer"))

    def _abandon(self, call: Call) -> None:
        """Forget a PING that our user does not know of."""
        if isinstance(call, _PingBack):
            del self._ping_backs[call.host]
        elif isinstance(call, _Bonding):
            del self._bondings[call.host]
        else:
            return
        self._end(call)

    def _start_settling(self, bonding: _Bonding, now: float) -> None:
        self._end(bonding)
        bonding.settling = True
        self._replies.wait(bonding, now)

    def _settle(self, bonding: _Bonding, now: float, unix_time: float) -> None:
        self._abandon(bonding)
        for call in bonding.calls:
            if call in self._calls:  # else it was cancelled
                self._ask(call, now, unix_time)

    def _finish_findnode(self, call: FindNodeCall) -> None:
        if call.nodes:
            self.proofs.clear_failures(*call.host)
        else:
            self.proofs.count_failure(*call.host)
        if call.answered:
            self._succeed(call, NodesFound(call, tuple(call.nodes)))
        else:
            self._fail(call, Timeout("no answer"))

    # -- what comes in ------------------------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes, ip: IPAddress, port: int, now: float, unix_time: float) -> Refusal | None:
        """
        Take a datagram.

        @param ip: where it comes from, unwrapped (see L{devp2p_tx.core.addressing.addresses.unwrap}).
        @return: C{None}, or why it had no effect. Then another protocol that shares the port should have it.
        """
        kind = packets.packet_type(data)
        if not kind or not port or self._closed:
            return Refusal.NOT_DISCV4
        if self._policy.lists and not self._policy.permits(ip, PROTOCOL):
            return Refusal.FORBIDDEN
        if not self._limiter.take(ip, now):
            return Refusal.OVER_BUDGET
        if not self._cryptography.intact(data):
            return Refusal.BAD_HASH
        try:
            payload = packets.decode_payload(data)
        except InvalidRLP:
            return Refusal.BAD_PAYLOAD
        if kind != PacketType.ENRRESPONSE and packets.is_expired(cast("_Expiring", payload).expiration, unix_time):
            self._note_expired(payload, ip, now, unix_time)
            return Refusal.EXPIRED
        if not self._is_awaited(payload, ip):
            return Refusal.UNSOLICITED
        try:
            sender = self._cryptography.sender(data)
        except InvalidSignature:
            return Refusal.BAD_SIGNATURE
        if isinstance(payload, (packets.Ping, packets.FindNode, packets.EnrRequest)):
            self._tell(self._clock.note_request(sender.node_id, ip, payload.expiration, now, unix_time))
        return self._dispatch(payload, packets.datagram_hash(data), _Source(sender, ip, port, now, unix_time))

    def _note_expired(self, payload: packets.Payload, ip: IPAddress, now: float, unix_time: float) -> None:
        """A PONG that echoes a PING of ours is fresh, whatever its sender's clock and ours say."""
        if isinstance(payload, packets.Pong):
            for call in self._replies.candidates(payload.ping_hash, ip, PingCall)[:1]:
                self._tell(self._clock.note_answer(call.node_id, ip, payload.expiration, now, unix_time))

    def _tell(self, event: Event | None) -> None:
        if event is not None:
            self._events.append(event)

    def _is_awaited(self, payload: packets.Payload, ip: IPAddress) -> bool:
        """Whether the packet is a request, or an answer that somebody at this address may give."""
        if isinstance(payload, packets.Pong):
            return bool(self._replies.candidates(payload.ping_hash, ip, PingCall))
        if isinstance(payload, packets.EnrResponse):
            return bool(self._replies.candidates(payload.request_hash, ip, EnrCall))
        return not isinstance(payload, packets.Neighbors) or bool(self._replies.candidates(b"", ip, FindNodeCall))

    def _answered(self, echo: bytes, kind: type[C], source: _Source) -> list[C]:
        """The calls that an answer is for."""
        node_id = source.sender.node_id
        calls = [call for call in self._replies.candidates(echo, source.ip, kind) if call.node_id == node_id]
        if calls:
            self._replies.note_reply()
        return calls

    def _dispatch(self, payload: packets.Payload, packet_hash: bytes, source: _Source) -> Refusal | None:
        if isinstance(payload, packets.Ping):
            self._on_ping(payload, packet_hash, source)
            return None
        if isinstance(payload, packets.Pong):
            return self._on_pong(payload, source)
        if isinstance(payload, packets.FindNode):
            return self._on_findnode(payload, source)
        if isinstance(payload, packets.Neighbors):
            return self._on_neighbors(payload, source)
        if isinstance(payload, packets.EnrRequest):
            return self._on_enr_request(packet_hash, source)
        return self._on_enr_response(payload, source)

    def _on_ping(self, ping: packets.Ping, packet_hash: bytes, source: _Source) -> None:
        sender, ip, port, now, unix_time = source
        tcp = ping.sender.tcp
        recipient = WireEndpoint(ip.packed, port, tcp)
        pong = packets.Pong(recipient, packet_hash, int(unix_time) + EXPIRATION, self._record(unix_time).seq)
        self._send(packets.encode_pong(self._cryptography, pong), ip, port)
        node_id = sender.node_id
        if self.proofs.is_proved(node_id, ip, unix_time):
            self._limiter.note_known(ip, now)
            self._table.add_inbound(sender, ip, port, tcp, now)
            # Only here: a forged source must have no vote.
            self._note_statement(ip, ping.recipient, now)
        else:
            self._ping_back(_PingBack(sender, ip, port, tcp), now, unix_time)
        self.proofs.ping_received(node_id, ip, unix_time)

    def _ping_back(self, call: _PingBack, now: float, unix_time: float) -> None:
        if call.host in self._ping_backs or len(self._ping_backs) >= MAX_PING_BACKS:
            return
        if self._policy.admits(call.ip, PROTOCOL):
            self._ping_backs[call.host] = call
            self._send_ping(call, now, unix_time)

    def _on_pong(self, pong: packets.Pong, source: _Source) -> Refusal | None:
        calls = self._answered(pong.ping_hash, PingCall, source)
        if not calls:
            return Refusal.UNSOLICITED
        sender, ip, _, now, unix_time = source
        self._tell(self._clock.note_answer(sender.node_id, ip, pong.expiration, now, unix_time))
        self.proofs.pong_received(sender.node_id, ip, unix_time)
        self._limiter.note_known(ip, now)
        self._note_statement(ip, pong.recipient, now)
        for call in calls:
            self._finish_ping(call, pong, now)
        return None

    def _finish_ping(self, call: PingCall, pong: packets.Pong, now: float) -> None:
        if isinstance(call, _PingBack):
            self._abandon(call)
            self._table.add_inbound(call.public_key, call.ip, call.port, call.tcp, now)
        elif isinstance(call, _Bonding):
            self._start_settling(call, now)
        else:
            self._succeed(call, PingAnswered(call, pong))

    def _note_statement(self, host: IPAddress, stated: WireEndpoint, now: float) -> None:
        if stated.ip is not None:
            self._local.add_statement(host, ExternalEndpoint(stated.ip, stated.udp), now)

    def _on_findnode(self, findnode: packets.FindNode, source: _Source) -> Refusal | None:
        if not self.proofs.is_proved(source.sender.node_id, source.ip, source.unix_time):
            return Refusal.UNKNOWN_NODE
        nodes = list(self._table.closest(keccak256(findnode.target), MAX_RESULTS))
        for datagram in self._neighbors(nodes, source.ip, int(source.unix_time) + EXPIRATION):
            self._send(datagram, source.ip, source.port)
        return None

    def _neighbors(self, nodes: list[KnownNode], asker: IPAddress, expiration: int) -> list[bytes]:
        """
        NEIGHBORS with those of C{nodes} that may be told to C{asker}.

        Most targets lie in the farther half of all ids, and the next most in the half of the rest, so that many answers
        name the same full bucket, in another order, which does not matter. Those of one second are signed once.
        """
        if expiration != self._answers_expire or len(self._answers) >= MAX_REMEMBERED_ANSWERS:
            self._answers_expire = expiration
            self._answers.clear()
        key = frozenset(map(id, nodes)), self._policy.standpoint(asker)
        known = self._answers.get(key)
        if known is None:
            told = [
                packets.Neighbor(node.ip.packed, node.udp, node.tcp, node.public_key.to_bytes())
                for node in nodes
                if node.ip is not None and self._policy.relay_fault(asker, node.ip) is None
            ]
            known = self._answers[key] = packets.encode_neighbors(self._cryptography, told, expiration), nodes
        return known[0]

    def _on_neighbors(self, neighbors: packets.Neighbors, source: _Source) -> Refusal | None:
        calls = self._answered(b"", FindNodeCall, source)
        if not calls:
            return Refusal.UNSOLICITED
        checked = (self._check_neighbor(node, source.ip) for node in neighbors.nodes)
        found = [node for node in checked if node is not None]
        for call in calls:
            call.answered = True
            call.received += len(neighbors.nodes)
            call.nodes += found
            if call.received >= MAX_RESULTS:
                self._finish_findnode(call)
        return None

    def _check_neighbor(self, told: packets.Neighbor, teller: IPAddress) -> Node | None:
        """The node, if it may be contacted."""
        ip = told.ip
        if ip is None or told.udp <= MAX_LOW_PORT or ip.version not in self._local.versions:
            return None
        if not self._policy.admits_told(teller, ip, PROTOCOL):
            return None
        try:
            return self._cryptography.node(told)
        except InvalidPublicKey:
            return None

    def _on_enr_request(self, packet_hash: bytes, source: _Source) -> Refusal | None:
        if not self.proofs.is_proved(source.sender.node_id, source.ip, source.unix_time):
            return Refusal.UNKNOWN_NODE
        record = self._own.record_for(source.ip, int(source.unix_time * 1000))
        response = packets.EnrResponse(packet_hash, record.encoded)
        self._send(packets.encode_enr_response(self._cryptography, response), source.ip, source.port)
        return None

    def _on_enr_response(self, response: packets.EnrResponse, source: _Source) -> Refusal | None:
        calls = self._answered(response.request_hash, EnrCall, source)
        for call in calls:
            try:
                record = check_record(
                    self._cryptography.record(response.record), call, self._policy, self._local.versions
                )
                self._succeed(call, RecordFound(call, record))
            except InvalidRecord as error:
                self._fail(call, error)
        return None if calls else Refusal.UNSOLICITED
