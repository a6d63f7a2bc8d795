"""
Two connections with one node at once: one that we dialed, and one that names the node's id and dialed us.

An auth needs no secret of the id that it names. So an inbound connection counts only once a frame of it has verified,
which its Hello is. An outbound connection waits for those that name its id for a moment, in which an honest node proves
itself, and then goes on, and they are closed: so a stranger delays our dial of a node by that moment and no longer.

Of two nodes that dial each other the one with the greater id chooses (see L{devp2p_tx.node.admission}), so only that
one waits: to close a connection whose Hello the other node has would end both connections.
"""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet.interfaces import IReactorTime

from devp2p_tx.node.peer import Conn

#: How long an inbound connection that names the id of a node that we dialed has to prove it (seconds).
PROOF_TIMEOUT = 1.0


def unproved(nodeId: bytes, conns: Collection[Conn]) -> list[Conn]:
    """The inbound connections that were let in past the first checkpoint, and only name a node's id so far."""
    return [each for each in conns if each.isInbound and each.isAdmitted and not each.isProved and each.isOf(nodeId)]


async def awaitProofs(clock: IReactorTime, dialed: Conn, conns: Collection[Conn], selfId: bytes) -> None:
    """
    Wait until each inbound connection that names the id of the node that we dialed has become a peer, or has not.

    @param dialed: our connection, after its RLPx handshake; for an inbound one nothing is waited for.
    @param conns: all connections that are being set up.
    """
    nodeId = dialed.node.node_id
    rivals = unproved(nodeId, conns) if nodeId < selfId and not dialed.isInbound else []
    if not rivals:
        return

    def close() -> None:
        for each in rivals:
            if not each.isProved:
                each.transport.abort()

    alarm = clock.callLater(PROOF_TIMEOUT, close)
    try:
        for each in rivals:  # one after the other: a DeferredList that is cancelled does not end with that
            await each.whenSetUp()
    finally:
        if alarm.active():
            alarm.cancel()
