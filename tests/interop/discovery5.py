"""
What every foreign node that runs discovery v5 must agree on with us.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from os import urandom
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.discv5.calls import lookup_distances
from devp2p_tx.core.discv5.packets import HANDSHAKE, MAX_MESSAGE_SIZE, WHOAREYOU
from devp2p_tx.core.enr.local import Source
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import node_text, parse_node
from devp2p_tx.core.kademlia.distance import log_distance
from devp2p_tx.errors import LocalProtocolError
from tests.interop.foreign import ForeignError, ForeignNode, ForeignTestCase
from tests.interop.ournode import OurNode
from tests.interop.ours import OurPeer

#: The distances at which a crowd is, and how many of it at each: more than sixteen in all, few enough for one packet at
#: one distance.
CROWD_DISTANCES, CROWD_AT_EACH = (256, 255, 254), 6
#: The most nodes in an answer.
MAX_RESULTS = 16
#: The largest message to and from protocol "echo", of which type, lists, request id and name take some bytes.
LARGEST_REQUEST, LARGEST_RESPONSE = MAX_MESSAGE_SIZE - 21, MAX_MESSAGE_SIZE - 16
#: How many calls are made at once.
MANY = 20
#: How many others have to say where a node is, until it believes it.
VOTES = 10

T = TypeVar("T")


class DiscoveryTestCase(ForeignTestCase[ForeignNode]):
    """Brings up nodes."""

    async def ours(
        self,
        key: PrivateKey | None = None,
        interface: str = "127.0.0.1",
        port: int = 0,
        bootnodes: tuple[Node, ...] = (),
    ) -> OurNode:
        """A node of ours that runs until the test ends."""
        node = OurNode(key, bootnodes)
        self.addCleanup(node.discovery.stop)
        await node.start(interface, port)
        return node

    async def both(self) -> tuple[OurNode, ForeignNode]:
        """One of each."""
        return await self.ours(), await self.theirs()

    async def theyLearnOf(self, theirs: ForeignNode, ours: OurNode) -> None:
        """We make a session, by which they learn of us."""
        await ours.discovery.ping(parse_node(theirs.record))
        await theirs.ask("wait", id=ours.id, live=True)

    async def weLearnOf(self, ours: OurNode, theirs: ForeignNode) -> None:
        """They make a session, by which we learn of them."""
        await theirs.ask("ping", record=ours.record)
        await ours.knows(theirs.id)

    async def crowd(self, center: str, join: Callable[[OurNode], Any]) -> dict[int, set[str]]:
        """
        Nodes of ours around another, which know nobody at first; their records by the distance.

        @param join: makes the node in the middle know it.
        """
        records: dict[int, set[str]] = {distance: set() for distance in CROWD_DISTANCES}
        while any(len(each) < CROWD_AT_EACH for each in records.values()):
            key = _newKey()
            there = records.get(log_distance(bytes.fromhex(center), key.public_key.node_id))
            if there is not None and len(there) < CROWD_AT_EACH:
                node = await self.ours(key)
                there.add(node.record)
                await join(node)
        return records


def _firstOf(make: Callable[[], T], isRight: Callable[[T], bool]) -> T:
    while not isRight(made := make()):
        pass
    return made


def _newKey() -> PrivateKey:
    return PrivateKey.generate(urandom)


def _distance(key: PrivateKey, node: Node) -> int:
    return log_distance(key.public_key.node_id, node.node_id)


def _keyNear(neighbour: bytes, target: bytes) -> PrivateKey:
    """The key of a node that tells of a neighbour when it is asked for what is near the target."""

    def tells(key: PrivateKey) -> bool:
        own = key.public_key.node_id
        return log_distance(own, neighbour) in lookup_distances(target, own)

    return _firstOf(_newKey, tells)


def _texts(nodes: list[Node]) -> set[str]:
    return {node_text(node) for node in nodes}


class SessionTests(DiscoveryTestCase):
    """Handshakes, and what they survive."""

    async def test_weCall(self) -> None:
        """They challenge us, and the session serves their calls, too."""
        ours, theirs = await self.both()
        pong = await ours.discovery.ping(parse_node(theirs.record))
        self.assertEqual((str(pong.ip), pong.port), ("127.0.0.1", ours.port))
        self.assertEqual(pong.enr_seq, parse_node(theirs.record).seq)
        await theirs.ask("ping", record=ours.record)
        self.assertEqual((ours.heard[WHOAREYOU], ours.heard[HANDSHAKE]), (1, 0))
        self.assertEqual(ours.discovery.sessions, 1)

    async def test_theyCall(self) -> None:
        """We challenge them, and the session serves our calls, too."""
        ours, theirs = await self.both()
        pong = await theirs.ask("ping", record=ours.record)
        self.assertEqual((pong["ip"], pong["port"], pong["seq"]), ("127.0.0.1", theirs.port, ours.node.seq))
        await ours.discovery.ping(parse_node(theirs.record))
        self.assertEqual((ours.heard[WHOAREYOU], ours.heard[HANDSHAKE]), (0, 1))
        self.assertEqual(ours.discovery.sessions, 1)

    async def test_bothCall(self) -> None:
        """Where both call at once, both are answered, and so are later calls."""
        ours, theirs = await self.both()
        await gatherResults(
            [
                ours.discovery.ping(parse_node(theirs.record)),
                Deferred.fromCoroutine(self.patiently(theirs, "ping", record=ours.record)),
            ]
        )
        await ours.discovery.ping(parse_node(theirs.record))
        await theirs.ask("ping", record=ours.record)

    async def patiently(self, theirs: Any, command: str, **fields: Any) -> Any:
        """Have them call once more if they gave up, which they do early where two handshakes keep a machine busy."""
        try:
            return await theirs.ask(command, **fields)
        except ForeignError:
            return await theirs.ask(command, **fields)

    async def test_weRestart(self) -> None:
        """We lost the session: what they send with it is challenged, and their call succeeds."""
        ours, theirs = await self.both()
        known = ours.record
        await theirs.ask("ping", record=known)
        await ours.discovery.stop()
        again = await self.ours(ours.key, port=ours.port)
        pong = await theirs.ask("ping", record=known)
        self.assertEqual(pong["seq"], again.node.seq)
        self.assertTrue(again.heard[HANDSHAKE])
        self.assertFalse(again.heard[WHOAREYOU])
        await again.discovery.ping(parse_node(theirs.record))

    async def test_manyCalls(self) -> None:
        """Of many calls at once none is lost: not those that wait for the first handshake, nor after a restart."""
        ours, theirs = await self.both()
        known = ours.record
        await self.theyCallOften(theirs, known)
        pings = [ours.discovery.ping(parse_node(theirs.record)) for _ in range(MANY)]
        self.assertEqual(len(await gatherResults(pings, consumeErrors=True)), MANY)
        await ours.discovery.stop()
        await self.ours(ours.key, port=ours.port)
        await self.theyCallOften(theirs, known)

    async def theyCallOften(self, theirs: ForeignNode, record: str) -> None:
        """They send many requests at once, and hear an answer to each."""
        pings = [Deferred.fromCoroutine(theirs.ask("ping", record=record)) for _ in range(MANY)]
        self.assertEqual(len(await gatherResults(pings, consumeErrors=True)), MANY)

    async def test_theyRestart(self) -> None:
        """They lost the session: what we send with it is challenged, and our call succeeds."""
        key = _newKey().secret.hex()
        ours, theirs = await self.ours(), await self.theirs(key=key)
        known = parse_node(theirs.record)
        await ours.discovery.ping(known)
        await theirs.stop()
        again = await self.theirs(key=key, listen=f"127.0.0.1:{theirs.port}")
        pong = await ours.discovery.ping(known)
        self.assertEqual(pong.enr_seq, parse_node(again.record).seq)
        self.assertEqual((ours.heard[WHOAREYOU], ours.heard[HANDSHAKE]), (2, 0))
        await again.ask("ping", record=ours.record)


class RecordTests(DiscoveryTestCase):
    """Records that change, and where their nodes are."""

    async def test_weChange(self) -> None:
        """They see by the number in PING or PONG that our record is another, and ask for it."""
        ours, theirs = await self.both()
        await self.theyLearnOf(theirs, ours)
        ours.local.offer(Source.MAPPING, 4, tcp=30303)
        await ours.discovery.ping(parse_node(theirs.record))
        newest = await theirs.ask("wait", id=ours.id, seq=ours.node.seq)
        self.assertEqual(newest["record"], ours.record)
        self.assertEqual(parse_node(newest["record"]).tcp, 30303)

    async def test_theyChange(self) -> None:
        """Likewise we theirs."""
        ours, theirs = await self.both()
        await self.weLearnOf(ours, theirs)
        changed = (await theirs.ask("set", key="note", value="changed"))["record"]
        newest = await ours.knows(theirs.id, parse_node(changed).seq)
        self.assertEqual(node_text(newest), changed)
        assert newest.record is not None
        self.assertEqual(newest.record.raw(b"note"), b"\x87changed")

    async def test_weMove(self) -> None:
        """At another address there is no session; with the new one they learn where we are, and call us there."""
        ours, theirs = await self.both()
        await self.theyLearnOf(theirs, ours)
        await ours.discovery.stop()
        moved = await self.ours(ours.key, "127.0.0.2")
        pong = await moved.discovery.ping(parse_node(theirs.record))
        self.assertEqual((str(pong.ip), pong.port), ("127.0.0.2", moved.port))
        self.assertEqual(moved.heard[WHOAREYOU], 1)
        known = await theirs.ask("wait", id=moved.id, seq=moved.node.seq)
        self.assertEqual(known["record"], moved.record)
        await theirs.ask("ping", record=known["record"])

    async def test_theyMove(self) -> None:
        """Likewise they."""
        key = _newKey().secret.hex()
        ours, theirs = await self.ours(), await self.theirs(key=key)
        await self.weLearnOf(ours, theirs)
        await theirs.stop()
        moved = await self.theirs(key=key, listen="127.0.0.2:0")
        pong = await moved.ask("ping", record=ours.record)
        self.assertEqual((pong["ip"], pong["port"]), ("127.0.0.2", moved.port))
        self.assertEqual(ours.heard[HANDSHAKE], 2)
        known = await ours.knows(moved.id, parse_node(moved.record).seq)
        self.assertEqual((str(known.ip), known.udp), ("127.0.0.2", moved.port))
        await ours.discovery.ping(known)

    async def test_theySayWhereWeAre(self) -> None:
        """When ten of them, in ten networks, agree on where we are, our record says so."""
        ours = await self.ours()
        ours.local.offer(Source.INTERFACE, 4, ip_address("127.0.0.1"), udp=9)
        for number in range(VOTES):
            self.assertEqual((str(ours.node.ip), ours.node.udp), ("127.0.0.1", 9))
            theirs = await self.theirs(listen=f"127.{10 + number}.0.1:0")
            await ours.discovery.ping(parse_node(theirs.record))
        self.assertEqual((str(ours.node.ip), ours.node.udp), ("127.0.0.1", ours.port))

    async def test_weSayWhereTheyAre(self) -> None:
        """When ten of us agree on where they are, their record says so."""
        theirs = await self.theirs(advertise="127.0.0.9:9999")
        for number in range(VOTES):
            ours = await self.ours(interface=f"127.0.0.{10 + number}")
            await theirs.ask("ping", record=ours.record)
        moved = await theirs.ask("wait", id=theirs.id, seq=parse_node(theirs.record).seq + 1)
        node = parse_node(moved["record"])
        self.assertEqual((str(node.ip), node.udp), ("127.0.0.1", theirs.port))


class FindNodeTests(DiscoveryTestCase):
    """FINDNODE, and lookups, which are made of it."""

    async def test_theirRecord(self) -> None:
        """Distance 0 is the node itself."""
        ours, theirs = await self.both()
        (found,) = await ours.discovery.findDistances(parse_node(theirs.record), [0])
        self.assertEqual(node_text(found), theirs.record)

    async def test_ourRecord(self) -> None:
        """Likewise ours."""
        ours, theirs = await self.both()
        answer = await theirs.ask("find", record=ours.record, distances=[0])
        self.assertEqual(answer["records"], [ours.record])

    async def test_nobody(self) -> None:
        """An answer may be empty."""
        ours, theirs = await self.both()
        self.assertEqual(await ours.discovery.findDistances(parse_node(theirs.record), [250]), [])
        self.assertEqual((await theirs.ask("find", record=ours.record, distances=[250]))["records"], [])

    async def test_theirNeighbours(self) -> None:
        """They tell us all whom they know at a distance, and of many distances sixteen in all, in several packets."""
        theirs = await self.theirs()
        records = await self.crowd(theirs.id, lambda node: self.theyLearnOf(theirs, node))
        node = parse_node(theirs.record)
        ours = await self.ours(_firstOf(_newKey, lambda key: _distance(key, node) not in CROWD_DISTANCES))
        for distance, there in records.items():
            self.assertEqual(_texts(await ours.discovery.findDistances(node, [distance])), there)
        found = _texts(await ours.discovery.findDistances(node, CROWD_DISTANCES))
        self.assertEqual(len(found), MAX_RESULTS)
        self.assertLessEqual(found, set().union(*records.values()))

    async def test_ourNeighbours(self) -> None:
        """Likewise we them; the packets of one answer are put together in a lookup."""
        ours, theirs = await self.both()
        await self.theyLearnOf(theirs, ours)
        records = await self.crowd(ours.id, lambda node: self.introduce(node, ours))
        for distance, there in records.items():
            answer = await theirs.ask("find", record=ours.record, distances=[distance])
            self.assertEqual(set(answer["records"]), there)
        node_id = ours.local.node_id
        target = _firstOf(
            lambda: urandom(32), lambda each: set(lookup_distances(each, node_id)) == set(CROWD_DISTANCES)
        )
        found = (await theirs.ask("lookup", id=target.hex()))["records"]
        self.assertEqual(len(found), MAX_RESULTS)
        self.assertLessEqual(set(found), set().union({ours.record}, *records.values()))

    async def introduce(self, newcomer: OurNode, to: OurNode) -> None:
        """One of ours makes a session with another, which learns of it."""
        await newcomer.discovery.ping(to.node)
        await to.knows(newcomer.id)

    async def test_weFindThroughThem(self) -> None:
        """A node that only they know is found in a lookup."""
        theirs, hidden = await self.theirs(), await self.ours()
        await self.theyLearnOf(theirs, hidden)
        ours = await self.ours(bootnodes=(parse_node(theirs.record),))
        found = await ours.discovery.lookup(hidden.local.node_id)
        self.assertEqual(node_text(found[0]), hidden.record)
        self.assertIn(theirs.record, _texts(found))

    async def test_theyFindThroughUs(self) -> None:
        """A node that only we know is found in a lookup of theirs, and so is one of theirs."""
        ours, theirs, hidden, theirHidden = *await self.both(), await self.ours(), await self.theirs()
        await self.introduce(hidden, ours)
        await self.weLearnOf(ours, theirHidden)
        await self.theyLearnOf(theirs, ours)
        for node in (hidden, theirHidden):
            found = (await theirs.ask("lookup", id=node.id))["records"]
            self.assertIn(node.record, found)

    async def test_chain(self) -> None:
        """Each knows the next alone, and they and we take turns: who begins finds the last one, step by step."""
        last, theirs = await self.both()
        await self.theyLearnOf(theirs, last)
        target = last.local.node_id
        between = await self.ours(_keyNear(bytes.fromhex(theirs.id), target))
        await self.weLearnOf(between, theirs)
        first = await self.theirs(key=_keyNear(between.local.node_id, target).secret.hex())
        await self.theyLearnOf(first, between)
        ours = await self.ours(bootnodes=(parse_node(first.record),))
        found = await ours.discovery.lookup(target)
        self.assertEqual(node_text(found[0]), last.record)
        self.assertLessEqual({first.record, between.record, theirs.record}, _texts(found))


class TalkTests(DiscoveryTestCase):
    """Requests of other protocols."""

    async def weTalk(self, ours: OurNode, theirs: ForeignNode, protocol: bytes, message: bytes) -> bytes:
        return await ours.discovery.talk(parse_node(theirs.record), protocol, message)

    async def theyTalk(self, theirs: ForeignNode, ours: OurNode, protocol: str, message: bytes) -> bytes:
        answer = await theirs.ask("talk", record=ours.record, protocol=protocol, message=message.hex())
        return bytes.fromhex(answer["message"])

    async def test_theyAnswer(self) -> None:
        """They have the request as it was, and we their answer."""
        ours, theirs = await self.both()
        for message in (b"", b"hello", bytes(range(256))):
            self.assertEqual(await self.weTalk(ours, theirs, b"echo", message), message)
            await theirs.expect("talked", id=ours.id, protocol="echo", message=message.hex())

    async def test_weAnswer(self) -> None:
        """Likewise, at once, or later."""
        ours, theirs = await self.both()
        requests = []

        def answer(request: Any) -> bytes | Deferred[bytes]:
            from twisted.internet import reactor

            requests.append((request.node_id.hex(), request.protocol, request.message))
            return deferLater(reactor, 0, lambda: b"later") if request.message == b"wait" else request.message[::-1]

        ours.discovery.registerTalk(b"mirror", answer)
        for message, answered in ((b"", b""), (b"hello", b"olleh"), (b"wait", b"later")):
            self.assertEqual(await self.theyTalk(theirs, ours, "mirror", message), answered)
        self.assertEqual(requests, [(theirs.id, b"mirror", message) for message in (b"", b"hello", b"wait")])

    async def test_unknown(self) -> None:
        """An unknown protocol's request has an empty answer."""
        ours, theirs = await self.both()
        self.assertEqual(await self.weTalk(ours, theirs, b"nobody-speaks", b"hello"), b"")
        self.assertEqual(await self.theyTalk(theirs, ours, "nobody-speaks", b"hello"), b"")

    async def test_largestToThem(self) -> None:
        """Messages that fill a packet, the first of them before there is a session."""
        ours, theirs = await self.both()
        message = urandom(LARGEST_REQUEST)
        for _ in range(2):
            self.assertEqual(await self.weTalk(ours, theirs, b"echo", message), message)
        await self.assertFailure(self.talkTooLong(ours, theirs, message), LocalProtocolError)

    def talkTooLong(self, ours: OurNode, theirs: ForeignNode, message: bytes) -> Deferred[bytes]:
        return ours.discovery.talk(parse_node(theirs.record), b"echo", message + b"!")

    async def test_largestToUs(self) -> None:
        """Likewise of theirs, with a session, and our answers, which may be longer by the protocol's name."""
        ours, theirs = await self.both()
        message = urandom(LARGEST_REQUEST)
        ours.discovery.registerTalk(b"echo", lambda request: request.message.ljust(LARGEST_RESPONSE, b"!"))
        await theirs.ask("ping", record=ours.record)
        answer = await self.theyTalk(theirs, ours, "echo", message)
        self.assertEqual(answer, message.ljust(LARGEST_RESPONSE, b"!"))


class ServerTests(DiscoveryTestCase):
    """What a L{Server<devp2p_tx.node.server.Server>} makes of it."""

    async def server(self, *versions: str, **config: Any) -> OurPeer:
        """A server of ours that runs until the test ends."""
        peer = OurPeer(discovery=True, discoveryVersions=versions, **config)
        self.addCleanup(peer.server.stopService)
        await peer.start()
        return peer

    async def test_weMeetThroughThem(self) -> None:
        """Knowing nothing but a bootnode of theirs, two of us find each other, and are peers."""
        theirs = await self.theirs()
        bootnodes = [parse_node(theirs.record)]
        one = await self.server("v5", bootnodes=bootnodes, noDial=True)
        other = await self.server("v5", bootnodes=bootnodes)
        await other.expect("add", id=one.id, inbound=False)
        await one.expect("add", id=other.id, inbound=True)
        self.assertEqual(other.count("candidates_connected", source="discv5"), 1)

    async def test_talk(self) -> None:
        """Other protocols' requests, both ways."""
        ours, theirs = await self.server("v5", noDial=True), await self.theirs()
        discovery = ours.server.discv5
        assert discovery is not None
        discovery.registerTalk(b"mirror", lambda request: request.message[::-1])
        self.assertEqual(await discovery.talk(parse_node(theirs.record), b"echo", b"hello"), b"hello")
        record = ours.server.nodeInfo()["enr"]
        answer = await theirs.ask("talk", record=record, protocol="mirror", message=b"hello".hex())
        self.assertEqual(bytes.fromhex(answer["message"]), b"olleh")


class Discv5Tests(SessionTests, RecordTests, FindNodeTests, TalkTests, ServerTests):
    """What is asked of every kind of foreign node."""
