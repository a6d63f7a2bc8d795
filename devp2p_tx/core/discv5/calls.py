"""
The calls that wait: for an answer, or for the node that they are for to answer another one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import final

from devp2p_tx._sealed import Sealed, seal
from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.discv5.events import Call
from devp2p_tx.core.discv5.session import Session
from devp2p_tx.core.kademlia.distance import ID_BITS, log_distance

#: Seconds that an answer may take, and each further part of it.
RESPONSE_TIMEOUT = 0.7
#: Seconds that a challenge of a call that ended without an answer may still come; as with us others repeat theirs for
#: one second, and may have sent it at the last moment...
LATE_CHALLENGE = 1.7
#: ...and how many such calls are remembered.
MAX_UNANSWERED = 1024
#: Distances that a lookup asks one node for.
LOOKUP_DISTANCES = 3


def lookup_distances(target: bytes, node_id: bytes) -> tuple[int, ...]:
    """Where a node should look for what is near C{target}: at the target's distance from it, and beside that."""
    distance = log_distance(target, node_id)
    beside = (distance + step for width in range(1, LOOKUP_DISTANCES) for step in (width, -width))
    return (distance, *(each for each in beside if 0 < each <= ID_BITS))[:LOOKUP_DISTANCES]


@final
class Calls(Sealed):
    """
    All calls, of which one for each node is active.

    All wait for the same time, so that what is sent last ends last. A call that ended otherwise, or goes on waiting,
    stays in the timeline until it comes to the front, where it is known by its deadline.

    Where a challenge or the handshake gets lost the callee repeats the challenge for the packet of the next call, too,
    with the nonce of the first one: so who was called in vain, and by which packet, is remembered for a while; and also
    who was answered in a new session, which the other side may have lost to another handshake.
    """

    __slots__ = ("_active", "_by_nonce", "_queues", "_timeline", "_unanswered")

    def __init__(self) -> None:
        self._active: dict[bytes, Call] = {}
        self._queues: dict[bytes, deque[Call]] = {}
        self._by_nonce: dict[bytes, Call] = {}
        self._timeline: deque[tuple[float, Call]] = deque()
        self._unanswered: OrderedDict[bytes, tuple[bytes, IPAddress, int, float]] = OrderedDict()

    def add(self, call: Call) -> bool:
        """Take a call; whether it is active at once, and to be sent."""
        if call.node_id in self._active:
            self._queues.setdefault(call.node_id, deque()).append(call)
            return False
        self._active[call.node_id] = call
        return True

    def active(self, node_id: bytes) -> Call | None:
        """The call that the node may answer."""
        return self._active.get(node_id)

    def of_nonce(self, nonce: bytes, now: float) -> Call | None:
        """The call that a challenge of the packet with this nonce is for."""
        call = self._by_nonce.get(nonce)
        earlier = self._unanswered.get(nonce) if call is None else None
        if earlier is None:
            return call
        node_id, ip, port, until = earlier
        call = self._active.get(node_id)
        if call is None or call.ip != ip or call.port != port or now >= until:
            return None
        del self._unanswered[nonce]
        return call

    def sent(self, call: Call, nonce: bytes, now: float) -> None:
        """The active call was sent in a packet with this nonce."""
        self._by_nonce.pop(call.nonce, None)
        call.nonce = nonce
        self._by_nonce[nonce] = call
        self.wait(call, now)

    def wait(self, call: Call, now: float) -> None:
        """Wait anew for an answer to an active call."""
        call.deadline = now + RESPONSE_TIMEOUT
        self._timeline.append((call.deadline, call))

    def note_unanswered(self, call: Call, now: float) -> None:
        """A call is about to end, whose first packet may yet be challenged, be it again."""
        nonce = call.challenged or call.nonce
        if nonce:
            self._note(nonce, call.node_id, call.ip, call.port, now)

    def note_answer(self, session: Session, now: float) -> None:
        """An answer was sent in a session that the other side may not have; a challenge of it is for our next call."""
        self._note(session.nonce, session.node_id, session.ip, session.port, now)

    def _note(self, nonce: bytes, node_id: bytes, ip: IPAddress, port: int, now: float) -> None:
        self._unanswered[nonce] = (node_id, ip, port, now + LATE_CHALLENGE)
        if len(self._unanswered) > MAX_UNANSWERED:
            self._unanswered.popitem(last=False)

    def end(self, call: Call) -> Call | None:
        """Forget a call; the one for the same node that is active instead, and to be sent."""
        call.deadline = None
        self._by_nonce.pop(call.nonce, None)
        queue = self._queues.get(call.node_id)
        if self._active.get(call.node_id) is not call:
            if queue is not None and call in queue:
                queue.remove(call)
            return None
        if not queue:
            del self._active[call.node_id]
            self._queues.pop(call.node_id, None)
            return None
        following = self._active[call.node_id] = queue.popleft()
        return following

    def next_deadline(self) -> float | None:
        """When the first call has waited for too long; C{None} if none waits."""
        while self._timeline:
            deadline, call = self._timeline[0]
            if call.deadline == deadline:
                return deadline
            self._timeline.popleft()
        return None

    def take_due(self, now: float) -> Iterator[Call]:
        """The calls that have waited for too long, one after the other; each is to be ended."""
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            yield self._timeline.popleft()[1]

    def clear(self) -> None:
        """Forget all calls."""
        for table in (self._active, self._queues, self._by_nonce, self._timeline, self._unanswered):
            table.clear()


seal(__name__)
