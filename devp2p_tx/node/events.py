"""
What a Server tells those who listen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from devp2p_tx.net.log import Logger

_log = Logger()
T = TypeVar("T")


class PeerEventType(Enum):
    """The kinds of L{PeerEvent}."""

    ADD = "add"
    DROP = "drop"
    MESSAGE_SENT = "msgsend"
    MESSAGE_RECEIVED = "msgrecv"


@dataclass(frozen=True, slots=True)
class PeerEvent:
    """
    @ivar type: what happened.
    @ivar peer: the node id, 64 hex digits.
    @ivar error: why the peer is gone.
    @ivar endedBy: who ended the connection: C{local}, C{remote}, or C{connection}, which broke without a Disconnect.
    @ivar duration: how long it was a peer (seconds).
    @ivar protocol: of a message: the capability's name.
    @ivar msgCode: of a message: its code in that capability.
    @ivar msgSize: of a message: the bytes of its payload.
    @ivar localAddress: our end, C{host:port}.
    @ivar remoteAddress: the peer's end, C{host:port}.
    """

    type: PeerEventType
    peer: str
    error: str | None = None
    protocol: str | None = None
    msgCode: int | None = None
    msgSize: int | None = None
    localAddress: str | None = None
    remoteAddress: str | None = None
    endedBy: str | None = None
    duration: float | None = None

    def toJSON(self) -> dict[str, str | int | float]:
        """
        As go-ethereum's C{admin_subscribe("peerEvents")} names it, and C{ended_by} and C{duration}; what is not known
        is left out.
        """
        fields: dict[str, str | int | float | None] = {
            "type": self.type.value,
            "peer": self.peer,
            "error": self.error,
            "protocol": self.protocol,
            "msg_code": self.msgCode,
            "msg_size": self.msgSize,
            "local": self.localAddress,
            "remote": self.remoteAddress,
            "ended_by": self.endedBy,
            "duration": self.duration,
        }
        return {name: value for name, value in fields.items() if value is not None}


class Subscription:
    """A place in a L{Feed}, kept until L{unsubscribe}."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave

    def unsubscribe(self) -> None:
        """Hear no more; calling it again does nothing."""
        leave, self._leave = self._leave, _nothing
        leave()


def _nothing() -> None: ...


class Feed(Generic[T]):
    """Tells every subscriber everything, at once and in order."""

    def __init__(self) -> None:
        self._subscribers: dict[object, Callable[[T], object]] = {}

    def subscribe(self, subscriber: Callable[[T], object]) -> Subscription:
        """Call C{subscriber} with all that comes from now on; what it raises is logged, and stops nobody else."""
        token = object()
        self._subscribers[token] = subscriber
        return Subscription(lambda: self._subscribers.pop(token, None) and None)

    def send(self, event: T) -> None:
        """Tell all who are subscribed now."""
        for subscriber in list(self._subscribers.values()):
            try:
                subscriber(event)
            except Exception:
                _log.failure("a subscriber failed on {event}", event=event)

    def __bool__(self) -> bool:
        return bool(self._subscribers)
