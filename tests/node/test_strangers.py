"""
Tests of what strangers can do to a node that only claims, waits, or comes in numbers.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.task import LoopingCall

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.p2p.messages import Cap
from devp2p_tx.core.rlpx.handshake import Initiator
from devp2p_tx.errors import DisconnectReason
from devp2p_tx.node.config import DEFAULT_MAX_PENDING_PEERS
from devp2p_tx.node.inbound import MAX_SILENT
from devp2p_tx.testing import MemoryHost, ScriptedPeer, Stage
from tests.node.support import PORT, ServerTestCase, addressOf, keyOf, node

#: The attackers' addresses: 250 of each of twenty /24s. The other five of each are others'.
NETWORKS, OF_EACH = 20, 250


class Attacker(ClientFactory):
    """An address that connects to node 1, and at once again whenever it is closed on."""

    noisy = False
    kind = "silent"

    def __init__(self, host: MemoryHost, auth: bytes) -> None:
        self.connections = 0
        self.stopped = False
        self._host, self._auth = host, auth
        self.dial()

    def dial(self) -> None:
        """Connect."""
        if not self.stopped:
            self.connections += 1
            self._host.connectTCP(addressOf(1), PORT, self)

    def buildProtocol(self, addr: object) -> Protocol:
        """See C{IProtocolFactory}."""
        return AttackingProtocol(self._host, self._auth, self.kind)

    def clientConnectionLost(self, connector: object, reason: object) -> None:
        """See L{ClientFactory}."""
        self.dial()

    clientConnectionFailed = clientConnectionLost


class AttackingProtocol(Protocol):
    """Says nothing, an auth, or a byte of one each second."""

    def __init__(self, host: MemoryHost, auth: bytes, kind: str) -> None:
        self._auth, self._kind, self._sent = auth, kind, 0
        self._trickle = LoopingCall(self._byte)
        self._trickle.clock = host

    def connectionMade(self) -> None:
        if self._kind == "mute":
            self.transport.write(self._auth)  # type: ignore[union-attr]
        elif self._kind == "trickle":
            self._trickle.start(1.0)

    def _byte(self) -> None:
        self.transport.write(self._auth[self._sent : self._sent + 1])  # type: ignore[union-attr]
        self._sent += 1

    def connectionLost(self, reason: object = None) -> None:
        if self._trickle.running:
            self._trickle.stop()


class FloodTests(ServerTestCase):
    """A node with default limits, and many addresses whose connections come to nothing."""

    latency = 0.1

    def flood(self, kind: str, count: int) -> list[Attacker]:
        """Begin an attack."""
        auth = Initiator(keyOf(99), keyOf(1).public_key, self.network.random.randbytes).auth()
        Attacker.kind = kind
        attackers = []
        for number in range(count):
            address = f"23.55.{number % NETWORKS}.{number // NETWORKS + 1}"
            attackers.append(Attacker(self.network.host(address), auth))
        return attackers

    def honest(self, number: int) -> ScriptedPeer:
        """An honest node dials, once: every other one from a network of the attackers."""
        address = f"23.55.{number % NETWORKS}.{OF_EACH + 2}" if number % 2 else f"40.{number}.0.1"
        peer = self.scripted(number, remote=keyOf(1))
        peer.connect(self.network.host(address), addressOf(1), PORT)
        return peer

    def assertHonestGetIn(self, kind: str, count: int) -> None:
        """Twenty honest nodes dial while it goes on, and each is a peer within two seconds."""
        self.start(1, noDial=True)
        attackers = self.flood(kind, count)
        self.moment(1)
        for number in range(2, 22):
            self.honest(number)
            self.moment(0.05)
        self.moment(1)
        self.assertEqual(self.numbers(1), list(range(2, 22)))
        self.assertLessEqual(self.servers[1]._accepting.pending, DEFAULT_MAX_PENDING_PEERS + MAX_SILENT)
        if kind != "silent":  # of which all sixty have room, and take none of others
            self.assertGreater(sum(each.connections for each in attackers), count)
        for each in attackers:
            each.stopped = True

    def test_sixty(self) -> None:
        """Sixty addresses that are silent."""
        self.assertHonestGetIn("silent", 60)

    def test_sixty_mute(self) -> None:
        """That send an auth and no more."""
        self.assertHonestGetIn("mute", 60)

    def test_sixty_slow(self) -> None:
        """That send a byte a second."""
        self.assertHonestGetIn("trickle", 60)

    def test_thousands(self) -> None:
        """A thousand; C{bench/strangers.py} does it with five thousand real sockets."""
        self.assertHonestGetIn("trickle", 1000)

    def test_time_to_hello(self) -> None:
        """Whatever it sends, and however slowly, nobody is longer on the way than five seconds for either handshake."""
        self.start(1, noDial=True)
        for kind, seconds in (("silent", 5), ("trickle", 5), ("mute", 5)):
            [attacker] = self.flood(kind, 1)
            attacker.stopped = True
            self.moment(seconds)
            self.assertEqual(self.servers[1]._accepting.pending, 1, kind)
            self.moment(1.2)
            self.assertEqual(self.servers[1]._accepting.pending, 0, kind)
            self.moment(30)
        hello = self.call(3, 1, Stage.HANDSHAKE)
        frame = hello.frame(0, hello.hello().encode(), compress=False)
        hello.writeSlowly(frame[:100], self.host(3), 0.2)
        self.moment(4.2)
        self.assertFalse(hello.ended)
        self.moment(1)
        self.assertTrue(hello.ended)
        self.assertEqual(hello.disconnectReason, DisconnectReason.READ_TIMEOUT)


class ForgedIdTests(ServerTestCase):
    """Connections in the name of another node, by one that does not have its key."""

    latency = 0.01

    def forge(self, to: int = 1, name: int = 2) -> AttackingProtocol:
        """An auth needs only public keys: it names a node, and nothing that follows can verify."""
        auth = Initiator(keyOf(name), keyOf(to).public_key, self.network.random.randbytes).auth()
        protocol = AttackingProtocol(self.host(66), auth, "mute")
        factory = ClientFactory()
        factory.noisy = False
        factory.buildProtocol = lambda addr: protocol  # type: ignore[method-assign]
        self.host(66).connectTCP(addressOf(to), PORT, factory)
        self.moment(3 * self.latency)
        return protocol

    def test_our_dial(self) -> None:
        """
        While forged connections are there, and new ones come, our dial of the node succeeds within two seconds, whoever
        of the two has the greater id, and whether the node is static.
        """
        pairs = [(1, 2, True), (4, 3, True), (5, 6, False), (8, 7, False)]
        for we, they, isStatic in pairs:
            server = self.start(we)
            self.start(they, noDial=True)
            self.forge(we, they)
            if isStatic:
                server.addPeer(node(they))
            else:
                server.connect(node(they)).addErrback(lambda failure: None)
            for _ in range(10):
                self.forge(we, they)
                self.moment(0.2)
            self.assertEqual((self.numbers(we), self.numbers(they)), ([they], [we]))
            self.assertEqual((self.kinds(we), self.kinds(they)), (["add"], ["add"]))
        ids = [node(we).node_id < node(they).node_id for we, they, _ in pairs]
        self.assertEqual(set(ids), {True, False})

    def test_its_dial(self) -> None:
        """The node itself gets in, too, from the first time on, and is told of once."""
        self.start(1)
        for _ in range(5):
            self.forge()
        self.call(2, 1)
        self.assertEqual((self.numbers(1), self.kinds(1)), ([2], ["add"]))
        self.forge()
        self.moment(10)
        self.assertEqual(self.kinds(1)[:1], ["add"])

    def test_counts_nowhere(self) -> None:
        """A claimed id is in no event and no list; the dial plan does not know it."""
        server = self.start(1)
        self.forge()
        self.assertNotIn(node(2).node_id, server._dialer.plan.arriving)
        self.assertEqual((self.events[1], server.peers()), ([], []))
        self.assertEqual(len(server._conns), 1)
        self.moment(6)
        self.assertEqual((len(server._conns), self.events[1]), (0, []))

    def test_marks_are_apart(self) -> None:
        """Of two connections in one name the end of one does not touch the other."""
        server = self.start(1)
        first, _ = self.forge(), self.forge()
        first.transport.loseConnection()  # type: ignore[union-attr]
        self.moment()
        self.assertEqual(len(server._conns), 1)
        self.call(2, 1)
        self.assertEqual(self.numbers(1), [2])

    def test_trusted_name(self) -> None:
        """To name a trusted node takes nobody's place for longer than a Hello may take, and makes no peer."""
        server = self.start(1, maxPeers=0, trustedNodes=[node(2)])
        self.forge()
        self.moment(5.2)
        self.assertEqual((len(server._conns), self.events[1]), (0, []))


class TrustedTests(ServerTestCase):
    """Trusted nodes are past limits; C{--netrestrict} holds."""

    def callFrom(self, number: int, address: str) -> ScriptedPeer:
        """Node C{number} calls node 1 from an address."""
        peer = self.scripted(number, caps=(Cap("echo", 1),), remote=keyOf(1))
        peer.connect(self.network.host(address), addressOf(1), PORT)
        self.moment()
        return peer

    def test_past_the_throttle(self) -> None:
        """A trusted node at its configured address may come as often as it likes; another is throttled."""
        trusted = node(2, ip=ip_address("23.55.1.2"))
        self.start(1, trustedNodes=[trusted], maxPeers=0)
        for _ in range(5):
            peer = self.callFrom(2, "23.55.1.2")
            self.assertEqual(self.numbers(1), [2])
            peer.transport.loseConnection()
            self.moment()
        self.callFrom(3, "23.55.1.3")
        self.assertEqual(self.servers[1].metrics.value("accepts_refused", reason="throttled"), 0)
        self.callFrom(3, "23.55.1.3")
        self.assertEqual(self.servers[1].metrics.value("accepts_refused", reason="throttled"), 1)

    def test_proved_elsewhere(self) -> None:
        """Once it proved its id from another address, that address is past the throttle, too."""
        self.start(1, trustedNodes=[node(2)], maxPeers=0)
        for _ in range(3):
            peer = self.callFrom(2, "23.55.1.2")
            self.assertEqual(self.numbers(1), [2])
            peer.transport.loseConnection()
            self.moment()

    def test_at_run_time(self) -> None:
        """What C{addTrustedPeer} and C{removeTrustedPeer} say holds at once."""
        server = self.start(1)
        trusted = node(2, ip=ip_address("23.55.1.2"))
        server.addTrustedPeer(trusted)
        for _ in range(2):
            self.callFrom(2, "23.55.1.2").transport.loseConnection()
            self.moment()
        self.assertEqual(self.kinds(1), ["add", "drop"] * 2)
        server.removeTrustedPeer(trusted)
        self.callFrom(2, "23.55.1.2").transport.loseConnection()
        self.moment()
        self.assertTrue(self.callFrom(2, "23.55.1.2").ended)

    def test_netrestrict(self) -> None:
        """A trusted node outside of the list is refused."""
        trusted = node(2, ip=ip_address("23.55.1.2"))
        self.start(1, trustedNodes=[trusted], netrestrict=Netlist.parse("10.0.0.0/8"))
        self.assertTrue(self.callFrom(2, "23.55.1.2").ended)
        self.assertEqual(self.servers[1].metrics.value("accepts_refused", reason="netrestrict"), 1)
