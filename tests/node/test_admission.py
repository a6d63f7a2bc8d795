"""
Tests for L{devp2p_tx.node.admission}: every combination of what the checks look at.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.dialing.places import Places
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.p2p.capabilities import Match
from devp2p_tx.errors import DisconnectReason
from devp2p_tx.net.rlpx.capability import Capability
from devp2p_tx.node.admission import Arriving, PeerSet, checkAddPeer, checkPostHandshake
from devp2p_tx.node.peer import Conn, ConnectionFlags

HERSELF, HE = (Node(PrivateKey(bytes([number]) * 32).public_key) for number in (1, 2))
OTHERS = [bytes([number]) * 32 for number in range(3)]
ECHO = Capability("echo", 1, 1)
MAX_PEERS, MAX_INBOUND = 3, 2

TOO_MANY = DisconnectReason.TOO_MANY_PEERS


@dataclass(frozen=True)
class Case:
    """
    One combination.

    @ivar trusted: the connection is one of a trusted node.
    @ivar inbound: it was dialled by the other side.
    @ivar full: there are as many peers as there may be.
    @ivar inboundFull: as many of them as may have dialled us.
    @ivar known: the node is a peer.
    @ivar self: it is ourselves.
    """

    trusted: bool
    inbound: bool
    full: bool
    inboundFull: bool
    known: bool
    self: bool

    @property
    def node(self) -> Node:
        """Who is there."""
        return HERSELF if self.self else HE

    @property
    def conn(self) -> Conn:
        """The connection."""
        flags = ConnectionFlags.INBOUND if self.inbound else ConnectionFlags.STATIC_DIALED
        if self.trusted:
            flags |= ConnectionFlags.TRUSTED
        conn = Conn(cast(Any, None), flags)
        conn.node = self.node
        return conn

    @property
    def peerSet(self) -> PeerSet:
        """What it is compared with."""
        places = Places(MAX_PEERS, MAX_PEERS - MAX_INBOUND, [self.node.node_id] if self.trusted else [])
        ids = ([] if self.trusted or not self.known else [self.node.node_id]) + OTHERS
        inbound = MAX_INBOUND if self.inboundFull else MAX_INBOUND - 1
        for index, nodeId in enumerate(ids[: MAX_PEERS if self.full else MAX_PEERS - 1]):
            places.add(nodeId, index >= inbound)
        if self.known:
            places.add(self.node.node_id, False)
        return PeerSet(places, HERSELF.node_id)

    @property
    def expected(self) -> DisconnectReason | None:
        """The first rule that forbids it."""
        rules = [
            (self.full and not self.trusted, TOO_MANY),
            (self.inbound and self.inboundFull and not self.trusted, TOO_MANY),
            (self.known, DisconnectReason.ALREADY_CONNECTED),
            (self.self, DisconnectReason.SELF),
        ]
        return next((reason for forbids, reason in rules if forbids), None)


CASES = [Case(*each) for each in product((False, True), repeat=6)]


class PostHandshakeTests(SynchronousTestCase):
    """L{checkPostHandshake}."""

    def test_every_combination(self) -> None:
        """The first rule that forbids it gives the reason."""
        for case in CASES:
            self.assertIs(checkPostHandshake(case.conn, case.peerSet), case.expected, case)

    def test_combinations_tell_apart(self) -> None:
        """Every outcome is among them."""
        self.assertEqual(
            {case.expected for case in CASES},
            {None, TOO_MANY, DisconnectReason.ALREADY_CONNECTED, DisconnectReason.SELF},
        )

    def test_trusted_peers_take_no_place(self) -> None:
        """Trusted peers may be more than there may be peers; there is as much room for others as before."""
        places = Places(1, 0, OTHERS)
        for nodeId in OTHERS:
            places.add(nodeId, False)
        stranger = Case(False, True, False, False, False, False).conn
        self.assertIsNone(checkPostHandshake(stranger, PeerSet(places, HERSELF.node_id)))
        places.set_trusted(OTHERS[0], False)
        self.assertIs(checkPostHandshake(stranger, PeerSet(places, HERSELF.node_id)), TOO_MANY)


class AddPeerTests(SynchronousTestCase):
    """L{checkAddPeer}."""

    def test_useless_first(self) -> None:
        """Who shares nothing is told so, whatever else there is against him."""
        for case in CASES:
            reason = checkAddPeer(case.conn, case.peerSet, [ECHO], [])
            self.assertIs(reason, DisconnectReason.USELESS_PEER, case)

    def test_then_all_the_others(self) -> None:
        """Who shares something is looked at as before."""
        for case in CASES:
            reason = checkAddPeer(case.conn, case.peerSet, [ECHO], [Match(ECHO, 16)])
            self.assertIs(reason, case.expected, case)

    def test_nothing_offered(self) -> None:
        """To a node that offers nothing everybody is of use."""
        for case in CASES:
            self.assertIs(checkAddPeer(case.conn, case.peerSet, [], []), case.expected, case)


class CrossingTests(SynchronousTestCase):
    """Two nodes that dial each other at once."""

    def conn(self, node: Node, flags: ConnectionFlags) -> Conn:
        """A connection with a node."""
        conn = Conn(cast(Any, SimpleNamespace(isProved=True)), flags)
        conn.node, conn.isAdmitted = node, True
        return conn

    def refuses(self, we: Node, they: Node, first: ConnectionFlags, second: ConnectionFlags) -> bool:
        """Whether the second connection is refused at the first checkpoint; at the second it never is."""
        peerSet = PeerSet(Places(MAX_PEERS, 1), we.node_id, {self.conn(they, first)})
        conn = self.conn(they, second)
        self.assertIsNone(checkAddPeer(conn, peerSet, [], []))
        reason = checkPostHandshake(conn, peerSet)
        self.assertIn(reason, (None, DisconnectReason.ALREADY_CONNECTED))
        return reason is not None

    def test_every_combination(self) -> None:
        """
        The greater id refuses the second of two connections in opposite directions, at the first checkpoint, where the
        other side cannot have it as a peer yet; the lesser id refuses neither.
        """
        lesser, greater = sorted((HE, HERSELF), key=lambda node: node.node_id)
        inbound, dialed = ConnectionFlags.INBOUND, ConnectionFlags.STATIC_DIALED
        for first, second in product((inbound, dialed), repeat=2):
            self.assertFalse(self.refuses(lesser, greater, first, second))
            self.assertEqual(self.refuses(greater, lesser, first, second), first != second)

    def test_unproved(self) -> None:
        """An inbound connection that only names the id counts nowhere: our own goes on, and the node may be dialed."""
        lesser, greater = sorted((HE, HERSELF), key=lambda node: node.node_id)
        forged = self.conn(lesser, ConnectionFlags.INBOUND)
        arriving = Arriving({forged})
        self.assertIn(lesser.node_id, arriving)
        forged.transport = cast(Any, SimpleNamespace(isProved=False))
        self.assertNotIn(lesser.node_id, arriving)
        peerSet = PeerSet(Places(MAX_PEERS, 1), greater.node_id, {forged})
        self.assertIsNone(checkPostHandshake(self.conn(lesser, ConnectionFlags.STATIC_DIALED), peerSet))

    def test_other_nodes(self) -> None:
        """Connections with others are nothing to it."""
        lesser, greater = sorted((HE, HERSELF), key=lambda node: node.node_id)
        other = self.conn(Node(PrivateKey(bytes([3]) * 32).public_key), ConnectionFlags.INBOUND)
        peerSet = PeerSet(Places(MAX_PEERS, 1), greater.node_id, {other})
        self.assertIsNone(checkPostHandshake(self.conn(lesser, ConnectionFlags.STATIC_DIALED), peerSet))
