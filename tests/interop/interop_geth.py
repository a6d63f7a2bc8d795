"""
Interoperability with go-ethereum's C{p2p.Server}, and with scripts that use its C{p2p/rlpx} alone.
"""

from __future__ import annotations

from os import urandom

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.errors import DisconnectReason
from tests.interop import shared
from tests.interop.foreign import ForeignPeer, GethPeer
from tests.interop.journal import Event
from tests.interop.ours import NAME, BarePeer, OurPeer


class TestGeth(shared.ForeignTests):
    """See L{shared.ForeignTests}."""

    foreign = GethPeer

    async def startFull(self) -> ForeignPeer:
        """A third of its slots, at least one, is for those that it dials, unless it dials nobody."""
        return await self.theirs(maxPeers=1, noDial=True)

    async def test_weAreUnexpected(self) -> None:
        """Naming another key than ours in Hello, we are told "unexpected identity"."""
        theirs = await self.theirs()
        other = PrivateKey.generate(urandom).public_key.to_bytes()
        await self.assertTold(await BarePeer().dial(theirs.enode, other), DisconnectReason.UNEXPECTED_IDENTITY)

    async def test_weAreUnexpectedAsDialed(self) -> None:
        """The same when they dialled."""
        theirs, transport = await self.dialedByWrongId()
        await self.assertTold(transport, DisconnectReason.UNEXPECTED_IDENTITY)
        self.assertEqual((await theirs.expect("setup"))["error"], "unexpected identity")

    async def test_theyDisconnect(self) -> None:
        """A peer that removes us tells us so."""
        ours, theirs = await self.ours(), await self.theirs()
        await self.theyDial(theirs, ours)
        theirs.command("remove", enode=ours.enode)
        await ours.expect("ended", reason=DisconnectReason.REQUESTED, remote=True)

    async def test_compressibleMessages(self) -> None:
        """Zeros of the largest size that a message may have, more than a frame holds uncompressed."""
        size = 2**24 - 1
        ours, theirs = await self.ours(), await self.theirs()
        await self.theyDial(theirs, ours)
        ours.send(theirs.id, "echo/1", bytes(size))
        await theirs.expect("request", size=size)
        await ours.expect("reply", size=size)
        theirs.command("send", id=ours.id, cap="echo/1", size=size, zeros=True)
        await ours.expect("request", size=size)
        await theirs.expect("reply", size=size)


class TestGethScripts(shared.PeerTestCase):
    """What bare connections are answered, as it is on the wire."""

    foreign = GethPeer

    def assertAnswer(self, answer: Event, ours: OurPeer, disconnect: DisconnectReason, compressed: bool) -> None:
        """We completed the handshake and sent our Hello, and then that Disconnect."""
        hello = {"version": 5, "name": NAME, "caps": ["abc/3", "echo/1", "echo/2"], "port": 0, "id": ours.id}
        self.assertEqual(answer["hello"], hello)
        self.assertDisconnected(answer, disconnect, compressed)

    def assertDisconnected(self, answer: Event, disconnect: DisconnectReason, compressed: bool) -> None:
        """We completed the handshake, and sent that Disconnect."""
        self.assertEqual((answer["handshake"], answer["error"]), ("", ""))
        self.assertEqual((answer["disconnect"], answer["compressed"]), (disconnect, compressed))

    async def pair(self, **config: object) -> tuple[OurPeer, GethPeer]:
        """A peer of ours, and one of theirs that runs scripts."""
        ours, theirs = await self.ours(caps="echo/1/2,echo/2/3,abc/3/5", **config), await self.theirs()
        assert isinstance(theirs, GethPeer)
        return ours, theirs

    async def failed(self, ours: OurPeer, stage: str, reason: str) -> None:
        """A connection ended before it was a peer, and was counted."""
        await ours.expect("ended")
        self.assertEqual(ours.server.peers(), [])
        count = ours.count("handshake_failures", direction="inbound", stage=stage, reason=reason)
        self.assertEqual(count, 1)

    async def test_compressed(self) -> None:
        """After both Hellos of version 5 all is compressed, a Disconnect too."""
        ours, theirs = await self.pair()
        running = theirs.run("hello", ours.enode)
        added = await ours.expect("add")
        ours.peer(added["id"]).disconnect(DisconnectReason.REQUESTED)
        self.assertAnswer(await running, ours, DisconnectReason.REQUESTED, compressed=True)

    async def test_uncompressed(self) -> None:
        """With a peer of version 4 nothing is compressed."""
        ours, theirs = await self.pair()
        running = theirs.run("v4", ours.enode)
        self.assertEqual((await ours.expect("hello"))["version"], 4)
        added = await ours.expect("add")
        ours.peer(added["id"]).disconnect(DisconnectReason.CLIENT_QUITTING)
        self.assertAnswer(await running, ours, DisconnectReason.CLIENT_QUITTING, compressed=False)

    async def test_wrongIdentity(self) -> None:
        """Naming another key in Hello than the one of the handshake gets "unexpected identity"."""
        ours, theirs = await self.pair()
        answer = await theirs.run("wrong-id", ours.enode)
        self.assertAnswer(answer, ours, DisconnectReason.UNEXPECTED_IDENTITY, compressed=True)
        await self.failed(ours, "hello", "we: unexpected identity")

    async def test_noIdentity(self) -> None:
        """Naming nobody in Hello gets "invalid node identity"; having no valid Hello, we do not compress."""
        ours, theirs = await self.pair()
        answer = await theirs.run("zero-id", ours.enode)
        self.assertAnswer(answer, ours, DisconnectReason.INVALID_IDENTITY, compressed=False)
        await self.failed(ours, "hello", "InvalidIdentity")

    async def test_useless(self) -> None:
        """Offering nothing that we speak gets "useless peer"."""
        ours, theirs = await self.pair()
        answer = await theirs.run("no-common-cap", ours.enode)
        self.assertAnswer(answer, ours, DisconnectReason.USELESS_PEER, compressed=True)
        await self.failed(ours, "addpeer", "we: useless peer")

    async def test_tooMany(self) -> None:
        """A refusal that we know of before the Hellos comes in place of ours, and uncompressed."""
        ours, theirs = await self.pair(maxPeers=0)
        answer = await theirs.run("hello", ours.enode)
        self.assertIsNone(answer["hello"])
        self.assertDisconnected(answer, DisconnectReason.TOO_MANY_PEERS, compressed=False)
        await self.failed(ours, "posthandshake", "we: too many peers")

    async def test_alreadyConnected(self) -> None:
        """A second connection with the key of a peer gets "already connected", and the peer stays."""
        ours, key = await self.ours(), PrivateKey.generate(urandom)
        theirs = await self.theirs(key=key.secret.hex())
        assert isinstance(theirs, GethPeer)
        await self.theyDial(theirs, ours)
        answer = await theirs.run("hello", ours.enode, key=key.secret.hex())
        self.assertIsNone(answer["hello"])
        self.assertDisconnected(answer, DisconnectReason.ALREADY_CONNECTED, compressed=False)
        self.assertEqual(ours.server.peerCount, 1)

    async def test_self(self) -> None:
        """A connection with our own key gets "connected to self"."""
        ours, theirs = await self.pair()
        answer = await theirs.run("hello", ours.enode, key=ours.key.secret.hex())
        self.assertIsNone(answer["hello"])
        self.assertDisconnected(answer, DisconnectReason.SELF, compressed=False)
        await self.failed(ours, "posthandshake", "we: connected to self")

    async def test_disconnectFirst(self) -> None:
        """A Disconnect instead of a Hello is understood; the same reason goes back."""
        ours, theirs = await self.pair()
        answer = await theirs.run("disconnect-first", ours.enode)
        self.assertDisconnected(answer, DisconnectReason.CLIENT_QUITTING, compressed=False)
        await self.failed(ours, "hello", "they: client quitting")

    async def test_wrongKey(self) -> None:
        """An auth for another node's key is not answered."""
        ours, theirs = await self.pair()
        answer = await theirs.run("wrong-key", ours.enode)
        self.assertNotEqual(answer["handshake"], "")
        await self.failed(ours, "rlpx", "HandshakeError")
