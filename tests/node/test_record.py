"""
Tests of what the capabilities announce in the node's record, and when they are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from devp2p_tx.core.enr import entries
from devp2p_tx.core.enr.entries import ETH, Entry
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.forkid import Chain
from devp2p_tx.errors import LocalProtocolError
from devp2p_tx.node.record import ENTRIES_INTERVAL
from devp2p_tx.node.server import Server
from devp2p_tx.testing import EchoCapability
from tests.node.test_discovery import START, DiscoveryTestCase

X = entries.port(b"x")
#: Seconds from the start to the forks; the first is within a minute.
FORKS = (30.5, 3600, 7200)


class Announcing(EchoCapability):
    """A capability whose entries change."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[tuple[Entry[Any], Any]] = []
        self.asked = 0

    def recordEntries(self) -> Sequence[tuple[Entry[Any], Any]]:
        self.asked += 1
        return self.entries


class OnForks(EchoCapability):
    """A capability of a chain that has forks to come."""

    def __init__(self, chain: Chain, case: RecordTests) -> None:
        super().__init__()
        self._chain, self._case = chain, case

    def recordEntries(self) -> Sequence[tuple[Entry[Any], Any]]:
        return [(ETH, self._chain.fork_id(10, int(self._case.unixTime())))]


class RecordTests(DiscoveryTestCase):
    """Entries that change."""

    def unixTime(self) -> float:
        """The time by the servers' clocks."""
        return START + self.network.clock.seconds()

    def entry(self, server: Server, entry: Entry[Any]) -> Any:
        """What the record says."""
        record = server.self().record
        assert record is not None
        return record.get(entry)

    def announcing(self) -> tuple[Server, Announcing, list[Node]]:
        """A node, and what its subscribers are told."""
        capability = Announcing()
        capability.entries = [(X, 1)]
        server = self.start(2, capabilities=[capability], bootnodes=[])
        told: list[Node] = []
        server.subscribeRecords(told.append)
        return server, capability, told

    def test_fork(self) -> None:
        """At the time of a fork the record has the new id, and not only at the next look; it is signed once."""
        now = int(self.unixTime())
        forks = tuple(now + int(fork) for fork in FORKS)
        chain = Chain("forking", b"\1" * 32, now - 100, (5,), forks)
        server = self.start(2, capabilities=[OnForks(chain, self)], bootnodes=[])
        told: list[Node] = []
        server.subscribeRecords(told.append)
        self.assertEqual(self.entry(server, ETH), chain.fork_id(10, now))
        for count, fork in enumerate(forks, 1):
            self.moment(fork - self.unixTime() - 0.01)
            self.assertEqual((len(told), self.entry(server, ETH)[1]), (count - 1, fork))
            self.moment(0.02)
            self.assertEqual(self.entry(server, ETH), chain.fork_id(10, fork))
            self.moment(1)
            self.assertEqual(len(told), count)
        self.moment(3600)
        self.assertEqual((len(told), self.entry(server, ETH)[1]), (3, 0))

    def test_block_number(self) -> None:
        """The next fork may be a block, about which the clock says nothing."""
        chain = Chain("early", b"\1" * 32, 0, (50,), ())
        server = self.start(2, capabilities=[OnForks(chain, self)], bootnodes=[])
        self.assertEqual(server._discovery.record.untilNext, ENTRIES_INTERVAL)

    def test_on_request(self) -> None:
        """C{refreshRecord} asks at once; an equal answer changes nothing, and what is not said again is deleted."""
        server, capability, told = self.announcing()
        first = server.self()
        self.assertEqual((server.refreshRecord(), capability.asked), (first, 2))
        capability.entries = [(X, 2), (entries.SNAP, True)]
        second = server.refreshRecord()
        self.assertEqual((second.seq, self.entry(server, X)), (first.seq + 1, 2))
        self.moment()
        self.assertEqual(told, [second])
        capability.entries = []
        third = server.refreshRecord()
        self.assertEqual(
            (third.seq, self.entry(server, X), self.entry(server, entries.SNAP)), (first.seq + 2, None, None)
        )
        self.assertEqual(self.entry(server, entries.TCP), 30303)

    def test_by_itself(self) -> None:
        """Every minute."""
        server, capability, told = self.announcing()
        capability.entries = [(X, 7)]
        self.moment(ENTRIES_INTERVAL)
        self.assertEqual((self.entry(server, X), len(told), capability.asked), (7, 1, 2))
        self.assertEqual(ENTRIES_INTERVAL, 60.0)

    def test_refused(self) -> None:
        """Entries that do not fit leave the record as it was; by itself that is logged once, until it is over."""
        server, capability, told = self.announcing()
        capability.entries = [(X, 5), (entries.raw(b"z"), bytes(250))]
        self.assertRaises(LocalProtocolError, server.refreshRecord)
        self.moment(3 * ENTRIES_INTERVAL)
        self.assertEqual((self.entry(server, X), told), (1, []))
        self.assertEqual(len(self.flushLoggedErrors(LocalProtocolError)), 1)
        capability.entries = [(X, 6)]
        self.moment(ENTRIES_INTERVAL)
        self.assertEqual(self.entry(server, X), 6)
        capability.entries = [(X, 65536)]
        self.moment(ENTRIES_INTERVAL)
        self.assertEqual(len(self.flushLoggedErrors(LocalProtocolError)), 1)

    def test_no_fork(self) -> None:
        """An C{eth} entry that is none is said, and the capabilities are asked again as before."""
        for number, value in enumerate(((b"abcd", "x"), (b"abcd", None), (b"abcd",), 7), 2):
            capability = Announcing()
            server = self.start(number, capabilities=[capability], bootnodes=[])
            capability.entries = [(ETH, value)]
            self.moment(2 * ENTRIES_INTERVAL)
            self.assertEqual(len(self.flushLoggedErrors()), 1, value)
            capability.entries = [(X, 5)]
            self.moment(ENTRIES_INTERVAL)
            self.assertEqual(self.entry(server, X), 5, value)

    def test_no_entries(self) -> None:
        """What is no sequence of entries is a mistake that names the capability: at the start, on request, later."""
        for wrong in (None, 42, Deferred(), [X], [(X, 1, 2)], [("x", 1)]):
            capability = Announcing()
            capability.entries = wrong  # type: ignore[assignment]
            starting = self.make(1, capabilities=[capability], discovery=True).startService()
            self.moment()
            error = self.failureResultOf(starting, TypeError).value
            self.assertIn("recordEntries of capability echo/1 returned", str(error))
            server, capability, told = self.announcing()
            capability.entries = wrong  # type: ignore[assignment]
            self.assertRaises(TypeError, server.refreshRecord)
            self.moment(200)
            self.assertEqual((len(self.flushLoggedErrors(TypeError)), self.entry(server, X), told), (1, 1, []))
            server.stopService()
            self.moment(10)

    def test_not_running(self) -> None:
        """Before the start and after the stop nothing is asked."""
        capability = Announcing()
        server = self.make(2, capabilities=[capability])
        self.assertEqual(server.refreshRecord().node_id, server.self().node_id)
        self.assertEqual(capability.asked, 0)
        self.successResultOf(server.startService())
        stopping = server.stopService()
        self.moment(1)
        self.successResultOf(stopping)
        asked = capability.asked
        server.refreshRecord()
        self.moment(ENTRIES_INTERVAL)
        self.assertEqual(capability.asked, asked)
