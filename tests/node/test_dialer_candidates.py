"""
Tests for L{devp2p_tx.node.dialer}: candidates, bootnodes, and where static nodes are, without a Server. TCP connections
are real ones of a network in memory; what comes after them always succeeds.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from itertools import cycle
from weakref import ref

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx._oneshot import OneShot
from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.dialing.dialplan import DialPlan
from devp2p_tx.core.dialing.places import Places
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import DisconnectReason, PeerRejected, ServerStopped
from devp2p_tx.interfaces import INodeSource
from devp2p_tx.net.names.hostnames import HostNames
from devp2p_tx.node.dialer import Dialer
from devp2p_tx.node.peer import ConnectionFlags
from devp2p_tx.node.sources import Candidates, ListSource
from devp2p_tx.testing import MemoryNetwork
from tests.core.dialing.test_dialplan import InOrder
from tests.node.support import PORT, addressOf, node
from tests.node.test_sources import Given

SELF = 99


def numberOf(there: Node) -> int:
    """Whose number is in its key."""
    return next(number for number in range(1, 100) if node(number).node_id == there.node_id)


class StubPeer:
    """What a set-up connection becomes."""

    def __init__(self, number: int, flags: ConnectionFlags) -> None:
        self.number, self.flags = number, flags
        self.ended: OneShot[None] = OneShot()

    def whenEnded(self) -> Deferred[None]:
        return self.ended.when()


class Steady:
    """A source that gives the same nodes again and again, ten in a second."""

    def __init__(self, name: str, clock: IReactorTime, numbers: Iterable[int]) -> None:
        self.name = name
        self._clock, self._nodes = clock, cycle([node(number) for number in numbers])

    def next(self) -> Deferred[Node]:
        asked = self._asked = Deferred[Node]()
        self._call = self._clock.callLater(0.1, lambda: asked.callback(next(self._nodes)))
        return asked

    def stop(self) -> None:
        if self._call.active():
            self._call.cancel()
            self._asked.errback(ServerStopped("server stopped"))


class DialerTestCase(SynchronousTestCase):
    """
    A dialer of node 99.

    @ivar peers: its peers, by number.
    @ivar dialed: whom it reached, and when.
    @ivar remembered: what it told its memory.
    @ivar resolved: when it searched for a node.
    """

    slots = 2

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.host = self.network.host(addressOf(SELF))
        self.metrics = Metrics()
        self.peers: dict[int, StubPeer] = {}
        self.dialed: list[tuple[float, int]] = []
        self.remembered: list[tuple[str, int]] = []
        self.resolved: list[float] = []
        self.known: dict[int, Node] = {}
        self.names = HostNames(self.host, self.host.seconds)
        self.dialer = self.make()
        self.addCleanup(self.stopAll)

    def make(self, bootnodes: Iterable[Node] = (), netrestrict: Netlist | None = None, slots: int = 2) -> Dialer:
        """A dialer that is not started."""
        self.slots = slots
        self.arriving: set[bytes] = set()
        policy = AddressPolicy(netrestrict, home=[ip_network("10.0.0.0/24")], metrics=self.metrics)
        plan = DialPlan(node(SELF).node_id, Places(50, slots), 50, policy, InOrder(), bootnodes, self.arriving)
        return Dialer(
            self.host,
            self.host.seconds,
            plan,
            lambda _: Protocol(),
            self.setUpConn,
            self.metrics,
            policy,
            self,
            self.names,
        )

    def stopAll(self) -> None:
        for peer in list(self.peers.values()):
            self.end(peer.number)
        stopping = self.dialer.stop()
        self.network.settle()
        self.successResultOf(stopping)
        self.assertEqual(self.host.getDelayedCalls(), [])

    def setUpConn(self, transport: Protocol, flags: ConnectionFlags, there: Node) -> Deferred[StubPeer]:
        """Make a peer of what was reached."""
        number = numberOf(there)
        self.dialed.append((self.host.seconds(), number))
        assert transport.transport is not None
        transport.transport.loseConnection()
        self.peers[number] = peer = StubPeer(number, flags)
        self.dialer.plan.peer_added(there.node_id, dialed=True)
        return succeed(peer)

    def end(self, number: int) -> None:
        """A peer leaves."""
        self.dialer.plan.peer_removed(node(number).node_id)
        self.peers.pop(number).ended.fire(None)
        self.dialer.evaluate()

    def succeeded(self, there: Node) -> None:
        self.remembered.append(("good", numberOf(there)))

    def failed(self, there: Node) -> None:
        self.remembered.append(("failed", numberOf(there)))

    def resolve(self, there: Node) -> Deferred[Node]:
        """Find what the test knows of a node."""
        self.resolved.append(self.host.seconds())
        return succeed(self.known.get(numberOf(there), there))

    def listen(self, *numbers: int) -> None:
        """These nodes take connections; others, if they are hosts at all, refuse them."""
        for number in numbers:
            self.network.host(addressOf(number)).listenTCP(PORT, Factory.forProtocol(Protocol))

    def start(self, *sources: INodeSource, anchors: Sequence[int] = (), seconds: float = 1.0) -> None:
        """Start, and let some time pass."""
        nodes = [node(number) for number in anchors]
        line = Candidates(nodes, sources, self.host, self.host.seconds, self.metrics, self.slots)
        self.dialer.start(line, self.resolve)
        self.network.advance(seconds)

    def count(self, name: str, **labels: str) -> int:
        return self.metrics.value(name, **labels)


class RefusedTests(DialerTestCase):
    """Nodes that take the connection, and then do not want us."""

    def setUp(self) -> None:
        self.errors: list[ref[PeerRejected]] = []
        super().setUp()

    def setUpConn(self, transport: Protocol, flags: ConnectionFlags, there: Node) -> Deferred[StubPeer]:
        """Fail, and leave no trace of the error here."""
        error = PeerRejected(DisconnectReason.TOO_MANY_PEERS)
        self.errors.append(ref(error))
        return fail(error)

    def test_freed_at_once(self) -> None:
        """What a failed dial held does not wait for the garbage collector."""
        gc.disable()
        self.addCleanup(gc.enable)
        for number in (1, 2):
            self.network.host(addressOf(number)).listenTCP(PORT, Factory.forProtocol(Protocol))
        source = ListSource("list", [node(1), node(2)])
        self.dialer.start(Candidates([], [source], self.host, self.host.seconds, self.metrics, 2))
        self.network.settle()
        self.assertEqual(self.remembered, [("failed", 1), ("failed", 2)])
        self.assertEqual([error() for error in self.errors], [None, None])


class CandidateTests(DialerTestCase):
    """Dynamic dials."""

    def test_slots_are_filled(self) -> None:
        """Candidates are dialled until the slots are full; then nobody is asked for another."""
        self.listen(1, 2, 3)
        source = Given()
        self.start(source)
        source.give(1, 2)
        self.network.advance(100)
        self.assertEqual(sorted(self.peers), [1, 2])
        self.assertEqual({peer.flags for peer in self.peers.values()}, {ConnectionFlags.DYNAMIC_DIALED})
        source.give(3)  # asked for while a slot was free
        self.network.advance(100)
        self.assertEqual((sorted(self.peers), source.waits), ([1, 2], False))
        self.end(1)
        self.network.advance(1)
        self.assertEqual((sorted(self.peers), source.waits), ([2, 3], True))

    def test_doubled(self) -> None:
        """Twice as many dials as free slots; a new one for each that fails."""
        self.start(ListSource("list", [node(number) for number in range(1, 11)]))
        self.assertEqual(self.count("dials"), 4)
        self.network.advance(14)
        self.assertEqual(self.count("dial_errors", kind="TimeoutError"), 4)
        self.assertEqual(self.count("dials"), 8)

    def test_history(self) -> None:
        """A node is not dialled again within 35 seconds, however often it is found."""
        self.network.host(addressOf(1))
        source = Given()
        self.start(source, seconds=0)
        for _ in range(70):
            source.give(1)
            self.network.advance(1)
        self.assertEqual(self.count("dial_errors", kind="ConnectionRefusedError"), 2)
        self.assertEqual(self.count("candidates_refused", source="given", reason="recently_dialed"), 68)

    def test_beside_static_nodes(self) -> None:
        """Static nodes use no slots of candidates; while one waits they take half of the dials."""
        self.dialer.plan.max_active = 4
        for number in range(1, 9):
            self.dialer.plan.add_static(node(number))
        self.start(ListSource("list", [node(number) for number in range(20, 30)]), seconds=14)
        self.assertEqual((self.count("dials"), self.count("candidates_dialed", source="list")), (4, 2))
        self.network.advance(15)
        self.assertEqual((self.count("dials"), self.count("candidates_dialed", source="list")), (8, 4))

    def test_all_for_static_nodes(self) -> None:
        """As long as no candidate waits all dials are for static nodes; one that comes has the next slot."""
        source = Given()
        self.dialer.plan.max_active = 4
        for number in range(1, 9):
            self.dialer.plan.add_static(node(number))
        self.start(source, seconds=5)
        self.assertEqual(self.count("dials"), 4)
        source.give(20)
        self.network.advance(11)
        self.assertEqual((self.count("dials"), self.count("candidates_dialed", source="given")), (8, 1))

    def test_refused_candidates(self) -> None:
        """Candidates that are no good are counted, each by its reason, and cost nothing else."""
        self.dialer = self.make(netrestrict=Netlist.parse("10.0.0.0/29"))
        self.arriving.add(node(1).node_id)
        self.dialer.plan.peer_added(node(2).node_id, dialed=False)
        nodes = [node(1), node(2), node(3, tcp=0), node(4, ip=None), node(SELF), node(9)]
        self.start(ListSource("list", nodes))
        reasons = ("pending_inbound", "connected", "no_port", "no_address", "self", "restricted")
        counts = [self.count("candidates_refused", source="list", reason=reason) for reason in reasons]
        self.assertEqual((counts, self.count("dials")), ([1] * 6, 0))

    def test_many_refused_at_once(self) -> None:
        """Any number of them, all there at once, does not use up the stack."""
        self.listen(2)
        self.start(ListSource("list", [*[node(1, tcp=0)] * 3000, node(2)]))
        self.assertEqual(sorted(self.peers), [2])

    def test_many_that_fail_at_once(self) -> None:
        """Nor does any number of dials that fail at once."""
        for number in range(1, 80):
            self.network.host(addressOf(number))
        self.start(ListSource("list", [node(number) for number in range(1, 80)]))
        self.assertEqual(self.count("dial_errors", kind="ConnectionRefusedError"), 79)

    def test_anchors_first(self) -> None:
        """Peers of former times are dialled before anybody is looked for."""
        self.listen(1, 2, 5)
        source = Given()
        self.start(source, anchors=[5])
        self.assertEqual(sorted(self.peers), [5])
        self.assertEqual(self.count("candidates_connected", source="anchors"), 1)

    def test_crowding(self) -> None:
        """One source with any number of good nodes does not get all slots while another has somebody to dial."""
        self.dialer = self.make(slots=4)
        self.listen(*range(1, 20))
        self.start(Steady("crowd", self.host, range(1, 20)), Steady("rest", self.host, range(50, 60)), seconds=40)
        self.assertEqual((len(self.peers), self.count("candidates_dialed", source="crowd")), (3, 3))
        self.assertGreater(self.count("candidates_refused", source="crowd", reason="crowded"), 0)

    def test_crowd_of_dead_nodes(self) -> None:
        """Places of those that did not answer are free again."""
        self.dialer = self.make(slots=4)
        self.listen(1, 2, 3, 4)
        crowd = Steady("crowd", self.host, [60, 61, 62, 1, 2, 3, 4])
        self.start(crowd, Steady("rest", self.host, range(50, 60)), seconds=60)
        self.assertEqual(len(self.peers), 3)

    def test_no_candidates(self) -> None:
        """Without discovery only static nodes are dialled."""
        self.listen(1)
        self.dialer.plan.add_static(node(1))
        self.dialer.start()
        self.network.advance(100)
        self.assertEqual(self.dialed, [(0.0, 1)])


class OutcomeTests(DialerTestCase):
    """What is counted and remembered of dials."""

    def test_useful(self) -> None:
        """A candidate that stays for a minute is useful, and remembered as good, then and when it leaves."""
        self.listen(1)
        self.start(ListSource("list", [node(1)]), seconds=59)
        self.assertEqual((self.remembered, self.count("candidates_useful", source="list")), ([], 0))
        self.network.advance(1)
        self.assertEqual((self.remembered, self.count("candidates_useful", source="list")), ([("good", 1)], 1))
        self.network.advance(5000)
        self.end(1)
        self.assertEqual(self.remembered, [("good", 1)] * 2)

    def test_left_soon(self) -> None:
        """One that leaves sooner was connected, but neither good nor bad."""
        self.listen(1)
        self.start(ListSource("list", [node(1)]), seconds=59)
        self.end(1)
        self.network.advance(100)
        self.assertEqual((self.remembered, self.count("candidates_connected", source="list")), ([], 1))
        self.assertEqual(self.count("candidates_useful", source="list"), 0)

    def test_failed(self) -> None:
        """A dial that fails is remembered."""
        self.network.host(addressOf(1))
        self.start(ListSource("list", [node(1)]))
        self.assertEqual(self.remembered, [("failed", 1)])

    def test_given_up(self) -> None:
        """One that we give up, since we stop, is not the node's fault."""
        self.start(ListSource("list", [node(1)]))
        self.dialer.stop()
        self.network.advance(20)
        self.assertEqual((self.count("dials"), self.remembered), (1, []))

    def test_stopped(self) -> None:
        """After that nobody is asked for candidates, and nobody is dialled, whatever happens."""
        source = Given()
        self.listen(1)
        self.dialer.plan.add_static(node(50))
        self.start(source)
        self.dialer.stop()
        source.give(1)
        self.dialer.plan.add_static(node(1))
        self.dialer.evaluate()
        self.network.advance(100)
        self.assertEqual((self.count("dials"), source.stopped, self.host.getDelayedCalls()), (1, 1, []))


class BootnodeTests(DialerTestCase):
    """Bootnodes as peers."""

    def test_after_twenty_seconds(self) -> None:
        """A node without a peer dials a bootnode then, and after it the next."""
        self.listen(2)
        self.dialer = self.make([node(1), node(2)])
        self.start(Given(), seconds=19)
        self.assertEqual(self.count("dials"), 0)
        self.network.advance(2)
        self.assertEqual((self.count("dials"), self.dialed), (1, []))
        self.network.advance(100)
        self.assertEqual((self.dialed, self.count("dials")), ([(35.0, 2)], 2))

    def test_not_with_a_peer(self) -> None:
        """Not while there is a peer; and 20 seconds after the last one has left."""
        self.listen(1, 2)
        self.dialer = self.make([node(1)])
        self.start(ListSource("list", [node(2)]), seconds=100)
        self.end(2)
        self.network.advance(100)
        self.assertEqual(self.dialed, [(0.0, 2), (120.0, 1)])

    def test_by_name(self) -> None:
        """A bootnode may have a host name, of either family."""
        self.network.names["boot.example"] = ["2001:db8::1"]
        self.host = self.network.host("10.0.9.9", "2001:db8::9")
        self.network.host("2001:db8::1").listenTCP(PORT, Factory.forProtocol(Protocol), interface="::")
        self.dialer = self.make([node(1, ip=None, hostname="boot.example")])
        self.start(Given(), seconds=25)
        self.assertEqual(sorted(self.peers), [1])

    def test_idle(self) -> None:
        """With nobody to reach, little is done."""
        self.dialer = self.make([node(1), node(2), node(SELF), node(3, tcp=0)])
        self.start(Given(), seconds=3600)
        self.assertLessEqual(self.count("dials"), 2 * 3600 / 35 + 2)


class ResolveTests(DialerTestCase):
    """Static nodes that are somewhere else."""

    def add(self, there: Node) -> None:
        """Make a node static."""
        self.dialer.plan.add_static(there)

    def test_without_address(self) -> None:
        """A static node of which only the key is known is searched for, and dialled where it is."""
        self.listen(1)
        self.known[1] = node(1)
        self.add(node(1, ip=None, tcp=0))
        self.start()
        self.assertEqual((self.dialed, self.resolved), ([(0.0, 1)], [0.0]))
        self.end(1)
        self.network.advance(100)
        self.assertEqual((len(self.dialed), self.resolved), (2, [0.0]))  # we know now

    def test_backoff(self) -> None:
        """One that is not found is searched for at most after 60 seconds, then 120, and so on, up to an hour."""
        self.add(node(1, ip=None, tcp=0))
        self.start(seconds=6 * 3600)
        pauses = [later - earlier for earlier, later in zip(self.resolved, self.resolved[1:], strict=False)]
        least = [60, 120, 240, 480, 960, 1920, 3600, 3600]
        for pause, bound in zip(pauses, least, strict=False):
            self.assertTrue(bound <= pause <= bound + 120, pauses)
        self.assertEqual(self.count("dial_errors", kind="other"), self.count("dials"))

    def test_moved(self) -> None:
        """When the connection fails the node is searched for, and dialled once more, at once."""
        self.network.host(addressOf(1))
        self.listen(7)
        self.known[1] = node(1, ip=ip_address(addressOf(7)))
        self.add(node(1))
        self.start()
        self.assertEqual((self.dialed, self.resolved, self.count("dials")), ([(0.0, 1)], [0.0], 1))

    def test_moved_but_not_there(self) -> None:
        """Only once more, until its time comes again; then at the new address."""
        for number in (1, 7, 8):
            self.network.host(addressOf(number))
        self.known[1] = node(1, ip=ip_address(addressOf(7)))
        self.add(node(1))
        self.start()
        self.assertEqual((self.resolved, self.count("dial_errors", kind="ConnectionRefusedError")), ([0.0], 1))
        self.listen(7)
        self.network.advance(35)
        self.assertEqual((self.dialed, self.resolved), ([(35.0, 1)], [0.0]))

    def test_same_address(self) -> None:
        """If nothing better is known it is not dialled once more; the error is the first one, and searches pause."""
        self.network.host(addressOf(1))
        self.add(node(1))
        self.start(seconds=59)
        self.assertEqual((self.resolved, self.count("dial_errors", kind="ConnectionRefusedError")), ([0.0], 2))

    def test_useless_answers(self) -> None:
        """An answer that we could not dial does not replace what we know: no port, no address, a forbidden network."""
        self.dialer = self.make(netrestrict=Netlist.parse("10.0.0.0/28"))
        self.network.host(addressOf(1))
        self.add(node(1))
        for answer in (node(1, tcp=0), node(1, ip=None), node(1, ip=ip_address("10.0.1.1"))):
            self.known[1] = answer
            self.start()
            self.dialer.stop()
            self.network.advance(5000)
        self.assertEqual((len(self.resolved), self.count("dials")), (3, 3))
        self.listen(1)
        self.start()
        self.assertEqual(sorted(self.peers), [1])

    def test_search_fails(self) -> None:
        """A search that fails is one that found nothing."""
        self.network.host(addressOf(1))
        self.add(node(1))
        self.patch(self, "resolve", lambda there: fail(ServerStopped("discovery stopped")))
        self.start(seconds=40)
        self.assertEqual(self.count("dial_errors", kind="ConnectionRefusedError"), 2)

    def test_names_are_not_searched_for(self) -> None:
        """A node that has a host name moves with it."""
        self.network.names["boot.example"] = [addressOf(1)]
        self.network.host(addressOf(1))
        self.add(node(1, ip=None, hostname="boot.example"))
        self.start(seconds=40)
        self.assertEqual((self.resolved, self.count("dials")), ([], 2))

    def test_nor_are_candidates(self) -> None:
        """Whoever finds a candidate says where it is."""
        self.network.host(addressOf(1))
        self.start(ListSource("list", [node(1)]))
        self.assertEqual((self.resolved, self.count("dials")), ([], 1))

    def test_stopped_meanwhile(self) -> None:
        """A search that is under way is given up."""
        searching: Deferred[Node] = Deferred()
        self.patch(self, "resolve", lambda there: searching)
        self.add(node(1, ip=None, tcp=0))
        self.start()
        stopping = self.dialer.stop()
        self.successResultOf(stopping)
        self.assertTrue(searching.called)
