"""
What L{Discv5<devp2p_tx.core.discv5.protocol.Discv5>} hands out: the handles of calls, and their outcomes.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, NamedTuple

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.discv5.messages import Nodes, Pong, Response, TalkResponse
from devp2p_tx.core.discv5.session import Session
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import DevP2PError


class Contact(NamedTuple):
    """
    Whom to call.

    @ivar ip: unwrapped; C{None} if it is not known.
    @ivar public_key: the node's; without it the call succeeds only where there is a session already.
    """

    node_id: bytes
    ip: IPAddress | None
    port: int
    public_key: PublicKey | None = None


class Refusal(Enum):
    """Why a datagram had no effect; after the first one it may be one of another protocol on the same port."""

    NOT_DISCV5 = "no discv5 packet"
    FORBIDDEN = "forbidden address"
    BAD_HEADER = "invalid header"
    BANNED = "banned"
    OVER_BUDGET = "source sends too much"
    UNSOLICITED = "unsolicited"
    SECOND_HANDSHAKE = "second handshake"
    BAD_HANDSHAKE = "invalid handshake"
    UNREADABLE = "cannot decrypt message"
    BAD_MESSAGE = "malformed message"


class Call:
    """
    Something asked of another node; the handle by which its outcome is told.

    @cvar response_type: what answers it.
    @ivar node_id: whom we asked (32 bytes).
    @ivar ip: from where alone the answer may come, and C{port}.
    @ivar public_key: the node's, if it is known.
    @ivar request_id: what the answer has to echo.
    @ivar message: what is asked.
    @ivar nonce: that of the packet sent last; empty before.
    @ivar deadline: when waiting ends; C{None} while it is queued, and when it is over.
    @ivar challenged: the nonce that the challenge had, whose handshake was sent; empty before.
    """

    __slots__ = ("challenged", "deadline", "ip", "message", "node_id", "nonce", "port", "public_key", "request_id")

    response_type: ClassVar[type[Response]]

    def __init__(self, to: Contact, ip: IPAddress, request_id: bytes, message: bytes) -> None:
        """
        @param ip: that of the contact, which is known.
        """
        self.node_id, _, self.port, self.public_key = to
        self.ip = ip
        self.request_id = request_id
        self.message = message
        self.nonce = b""
        self.deadline: float | None = None
        self.challenged = b""


class PingCall(Call):
    """A PING; ends with L{PingAnswered}."""

    __slots__ = ()

    response_type = Pong


class FindNodeCall(Call):
    """
    A FINDNODE; ends with L{NodesFound}.

    @ivar distances: what was asked for.
    @ivar records: what came so far, by node id.
    @ivar received: how many NODES came.
    @ivar total: how many are awaited, C{None} before the first one.
    """

    __slots__ = ("distances", "received", "records", "total")

    response_type = Nodes

    def __init__(
        self, to: Contact, ip: IPAddress, request_id: bytes, message: bytes, distances: tuple[int, ...]
    ) -> None:
        """As for L{Call}."""
        super().__init__(to, ip, request_id, message)
        self.distances = distances
        self.records: dict[bytes, Record] = {}
        self.received = 0
        self.total: int | None = None


class EnrCall(FindNodeCall):
    """
    A FINDNODE for the node itself; ends with L{RecordFound}.

    @ivar known: the newest record of the node that we had before.
    """

    __slots__ = ("known",)

    def __init__(self, to: Contact, ip: IPAddress, request_id: bytes, message: bytes, known: Record | None) -> None:
        """As for L{Call}."""
        super().__init__(to, ip, request_id, message, (0,))
        self.known = known


class TalkCall(Call):
    """A TALKREQ; ends with L{TalkAnswered}."""

    __slots__ = ()

    response_type = TalkResponse


class PingAnswered(NamedTuple):
    """A node is alive."""

    call: PingCall
    pong: Pong


class NodesFound(NamedTuple):
    """
    A node told others; those that no one should contact, or that were not asked for, were left out.

    @ivar is_complete: whether all NODES came that were announced.
    """

    call: FindNodeCall
    records: tuple[Record, ...]
    is_complete: bool


class RecordFound(NamedTuple):
    """A node sent its record; where that is older than the known one, this is the known one."""

    call: EnrCall
    record: Record


class TalkAnswered(NamedTuple):
    """
    A node answered a request of another protocol.

    @ivar message: empty if it does not know the protocol.
    """

    call: TalkCall
    message: bytes


class CallFailed(NamedTuple):
    """
    A call has no result.

    @ivar error: L{Timeout<devp2p_tx.errors.Timeout>}, L{InvalidRecord<devp2p_tx.core.enr.record.InvalidRecord>},
        L{ServerStopped<devp2p_tx.errors.ServerStopped>}, or, where a node of unknown key demands a handshake,
        L{LocalProtocolError<devp2p_tx.errors.LocalProtocolError>}.
    """

    call: Call
    error: DevP2PError


Event = PingAnswered | NodesFound | RecordFound | TalkAnswered | CallFailed


class IncomingTalk(NamedTuple):
    """
    A request of another protocol that came to us.

    @ivar node_id: who asks, for sure (32 bytes); the endpoint is his, too.
    @ivar request_id: by which the answer is known.
    @ivar protocol: the protocol's name.
    @ivar session: in which it came, and is answered.
    """

    node_id: bytes
    ip: IPAddress
    port: int
    request_id: bytes
    protocol: bytes
    message: bytes
    session: Session | None = None
