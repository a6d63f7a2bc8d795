"""
What L{Discv4<devp2p_tx.core.discv4.protocol.Discv4>} hands out: the handles of calls, and their outcomes.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum
from typing import NamedTuple

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.discv4.clock import ClockOffset
from devp2p_tx.core.discv4.packets import Pong
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import Record
from devp2p_tx.errors import DevP2PError


class Refusal(Enum):
    """Why a datagram had no effect; it may be one of another protocol on the same port."""

    NOT_DISCV4 = "no discv4 packet"
    FORBIDDEN = "forbidden address"
    OVER_BUDGET = "source sends too much"
    UNSOLICITED = "unsolicited reply"
    BAD_HASH = "bad hash"
    BAD_PAYLOAD = "malformed packet"
    EXPIRED = "expired"
    BAD_SIGNATURE = "bad signature"
    UNKNOWN_NODE = "unknown node"


class Call:
    """
    Something asked of another node; the handle by which its outcome is told.

    @ivar node_id: whom we asked (32 bytes).
    @ivar awaited: by what an answer to it is found, which is its owner's; C{None} before anything was sent.
    @ivar deadline: when waiting ends; C{None} while nothing was sent, and when the call is over.
    """

    __slots__ = ("awaited", "deadline", "ip", "node_id", "port")

    def __init__(self, node_id: bytes, ip: IPAddress, port: int) -> None:
        self.node_id = node_id
        self.ip = ip
        self.port = port
        self.awaited: Hashable = None
        self.deadline: float | None = None

    @property
    def host(self) -> tuple[bytes, IPAddress]:
        """The key of proofs."""
        return self.node_id, self.ip


class PingCall(Call):
    """A PING; ends with L{PingAnswered}."""

    __slots__ = ()


class FindNodeCall(Call):
    """A FINDNODE; ends with L{NodesFound}."""

    __slots__ = ("answered", "nodes", "received", "target")

    def __init__(self, node_id: bytes, ip: IPAddress, port: int, target: bytes) -> None:
        super().__init__(node_id, ip, port)
        self.target = target
        self.nodes: list[Node] = []
        self.received = 0
        self.answered = False


class EnrCall(Call):
    """An ENRREQUEST; ends with L{RecordFound}."""

    __slots__ = ("known",)

    def __init__(self, node_id: bytes, ip: IPAddress, port: int, known: Record | None) -> None:
        super().__init__(node_id, ip, port)
        self.known = known


class PingAnswered(NamedTuple):
    """A node is alive."""

    call: PingCall
    pong: Pong


class NodesFound(NamedTuple):
    """A node told others; those that no one should contact were left out."""

    call: FindNodeCall
    nodes: tuple[Node, ...]


class RecordFound(NamedTuple):
    """A node sent its record; where that is older than the known one, this is the known one."""

    call: EnrCall
    record: Record


class CallFailed(NamedTuple):
    """
    A call has no result.

    @ivar error: L{Timeout<devp2p_tx.errors.Timeout>}, L{InvalidRecord<devp2p_tx.core.enr.record.InvalidRecord>},
        L{ServerStopped<devp2p_tx.errors.ServerStopped>}, or, where our clock went backwards,
        L{LocalProtocolError<devp2p_tx.errors.LocalProtocolError>}.
    """

    call: Call
    error: DevP2PError


class ClockSuspect(NamedTuple):
    """So many calls timed out that our clock may be wrong: ask an NTP server."""


Event = PingAnswered | NodesFound | RecordFound | CallFailed | ClockSuspect | ClockOffset
