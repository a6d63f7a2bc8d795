"""
What every foreign peer must agree on with us.
"""

from __future__ import annotations

import gc
import os
from hashlib import sha256
from os import urandom
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionClosed

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.url import parse_node
from devp2p_tx.errors import DisconnectReason, HandshakeError, PeerDisconnected, PeerRejected, Timeout
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.node.peer import ConnectionFlags
from tests.interop.foreign import ForeignPeer, ForeignTestCase
from tests.interop.ours import LOOPBACK, NAME, BarePeer, OurPeer, hexId, randomPayload

#: The largest payload that cannot be compressed: with the message code and what snappy adds it fills a frame of
#: 2**24 - 1 bytes.
LARGEST = 16_776_442
SIZES = (0, 1, 1024, 100 * 1024, LARGEST)
RECONNECTS = 200
#: How many requests are made at a time on each capability, each way.
MANY = 150

#: What both sides offer where it matters which message codes a capability gets: they speak abc/3 and echo/2, from codes
#: 16 and 21 on, and what only one has, or has a better version too, takes none.
OUR_CAPS = "abc/3/5,bcd/1/9,echo/1/2,echo/2/3"
THEIR_CAPS = "aaa/1/4,abc/2/7,abc/3/5,echo/1/2,echo/2/3,echo/3/2,zzz/1/2"


def _withoutLengths(caps: str) -> list[str]:
    return [cap.rpartition("/")[0] for cap in caps.split(",")]


def _digest(payload: bytes) -> str:
    return sha256(payload).hexdigest()


class PeerTestCase(ForeignTestCase[ForeignPeer]):
    """Brings up peers."""

    async def ours(self, **config: Any) -> OurPeer:
        """A peer of ours that runs until the test ends; for the arguments see L{OurPeer}."""
        peer = OurPeer(**config)
        self.addCleanup(peer.server.stopService)
        await peer.start()
        return peer

    async def assertTold(self, transport: RLPxProtocol, reason: DisconnectReason) -> None:
        """The peer at the other end of C{transport} ends the connection with that reason."""
        error = await transport.whenEnded()
        assert isinstance(error, PeerDisconnected), repr(error)
        self.assertEqual((error.reason, error.remote), (reason, True))

    async def theyDial(self, theirs: ForeignPeer, ours: OurPeer) -> None:
        """They dial us, and both sides are peers."""
        theirs.dial(ours.enode)
        await ours.expect("add", id=theirs.id, inbound=True)
        await theirs.expect("add", id=ours.id, inbound=False)

    async def weDial(self, ours: OurPeer, theirs: ForeignPeer) -> None:
        """We dial them, and both sides are peers."""
        await ours.dial(theirs.enode)
        await ours.expect("add", id=theirs.id, inbound=False)
        await theirs.expect("add", id=ours.id, inbound=True)


class ForeignTests(PeerTestCase):
    """
    What is asked of every kind of foreign peer.
    """

    # Hello.

    async def checkHello(self, weDialed: bool) -> None:
        """One connects with the other, and both tell of what they heard."""
        ours, theirs = await self.ours(caps=OUR_CAPS), await self.theirs(caps=THEIR_CAPS)
        if weDialed:
            await ours.dial(theirs.enode)
        else:
            theirs.dial(ours.enode)

        heard = await ours.expect("hello")
        self.assertEqual(heard["name"], self.foreign.name)
        self.assertEqual(heard["caps"], _withoutLengths(THEIR_CAPS))
        self.assertEqual(heard["id"], theirs.id)
        self.assertEqual(heard["version"], 5)

        told = await theirs.expect("add")
        self.assertEqual(told["name"], NAME)
        self.assertEqual(told["caps"], _withoutLengths(OUR_CAPS))
        self.assertEqual(told["id"], ours.id)
        self.assertEqual(told["inbound"], weDialed)

        await ours.expect("add")
        (info,) = ours.server.peersInfo()
        self.assertEqual(info["name"], self.foreign.name)
        self.assertEqual(info["network"]["inbound"], not weDialed)
        self.assertEqual(sorted(info["protocols"]), ["abc", "echo"])

    async def test_theyDialUs(self) -> None:
        """They dial us, and each reads the other's Hello."""
        await self.checkHello(weDialed=False)

    async def test_weDialThem(self) -> None:
        """We dial them, and each reads the other's Hello."""
        await self.checkHello(weDialed=True)

    # Messages.

    async def checkEcho(self, ours: OurPeer, theirs: ForeignPeer, cap: str, size: int) -> None:
        """A message of C{size} bytes each way, and its echo."""
        message = {"cap": cap, "size": size}
        payload = randomPayload(size, seed=size)
        message["sha256"] = _digest(payload)
        ours.send(theirs.id, cap, payload)
        await theirs.expect("request", id=ours.id, **message)
        await ours.expect("reply", id=theirs.id, **message)

        theirs.send(ours.id, cap, size, seed=size + 1)
        message["sha256"] = (await theirs.expect("sent", id=ours.id, size=size))["sha256"]
        await ours.expect("request", id=theirs.id, **message)
        await theirs.expect("reply", id=ours.id, **message)

    async def test_messagesTheyDialed(self) -> None:
        """On a connection that they dialled, messages of all sizes go both ways unharmed."""
        ours, theirs = await self.ours(), await self.theirs()
        await self.theyDial(theirs, ours)
        for size in SIZES:
            await self.checkEcho(ours, theirs, "echo/1", size)

    async def test_messagesWeDialed(self) -> None:
        """On a connection that we dialled, messages of all sizes go both ways unharmed."""
        ours, theirs = await self.ours(), await self.theirs()
        await self.weDial(ours, theirs)
        for size in SIZES:
            await self.checkEcho(ours, theirs, "echo/1", size)

    async def test_severalCapabilities(self) -> None:
        """Both sides give the same codes to what they share, of each name the highest common version."""
        ours, theirs = await self.ours(caps=OUR_CAPS), await self.theirs(caps=THEIR_CAPS)
        await self.theyDial(theirs, ours)
        for cap in ("abc/3", "echo/2"):
            await self.checkEcho(ours, theirs, cap, 100)
        self.assertTrue(ours.peer(theirs.id).runningCap("echo", [2]))
        self.assertFalse(ours.peer(theirs.id).runningCap("echo", [1]))

    async def test_manyMessages(self) -> None:
        """Many messages on two capabilities, both ways at once, arrive in the order in which each was sent."""
        ours, theirs = await self.ours(caps=OUR_CAPS), await self.theirs(caps=THEIR_CAPS)
        await self.weDial(ours, theirs)
        caps = ("abc/3", "echo/2")
        payloads = {
            cap: [randomPayload(97 * number * (1 + number % 7), seed) for number in range(MANY)]
            for seed, cap in enumerate(caps)
        }
        for number in range(MANY):
            for cap in caps:
                ours.send(theirs.id, cap, payloads[cap][number])
                theirs.send(ours.id, cap, 97 * number, seed=number)
        for cap in caps:
            for payload in payloads[cap]:
                digest = _digest(payload)
                for read in (
                    await theirs.expect("request", cap=cap),
                    await ours.expect("reply", cap=cap),
                ):
                    self.assertEqual((read["size"], read["sha256"]), (len(payload), digest))
            for number in range(MANY):
                request, reply = await ours.expect("request", cap=cap), await theirs.expect("reply", cap=cap)
                self.assertEqual(request["size"], 97 * number)
                self.assertEqual(request["sha256"], reply["sha256"])

    # Refusals.

    async def test_theyAreTooMany(self) -> None:
        """Our slots being taken, they are told "too many peers"."""
        ours, other = await self.ours(maxPeers=1, noDial=True), await self.ours()
        await other.dial(ours.enode)
        await ours.expect("add", id=other.id)
        theirs = await self.theirs()
        self.assertEqual(await theirs.refusal(ours.enode), DisconnectReason.TOO_MANY_PEERS)
        await ours.expect("ended", reason=DisconnectReason.TOO_MANY_PEERS, remote=False)
        self.assertEqual(ours.server.peerCount, 1)
        self.assertEqual(
            ours.count("handshake_failures", direction="inbound", stage="posthandshake", reason="we: too many peers"), 1
        )

    async def test_trustedIsNotTooMany(self) -> None:
        """A trusted node is let in where others are too many."""
        ours, other = await self.ours(maxPeers=1, noDial=True), await self.ours()
        await other.dial(ours.enode)
        await ours.expect("add", id=other.id)
        theirs = await self.theirs()
        ours.server.addTrustedPeer(parse_node(theirs.enode))
        await self.theyDial(theirs, ours)
        self.assertEqual(ours.server.peerCount, 2)

    async def startFull(self) -> ForeignPeer:
        """A foreign peer with a single inbound slot."""
        return await self.theirs(maxPeers=1)

    async def test_weAreTooMany(self) -> None:
        """Their slots being taken, we are told "too many peers"."""
        theirs, other, ours = await self.startFull(), await self.ours(), await self.ours()
        await self.weDial(other, theirs)
        dialing = ours.dial(theirs.enode)
        dialing.addErrback(lambda failure: None)  # it may be after their Hello that they say it
        await ours.expect("ended", reason=DisconnectReason.TOO_MANY_PEERS, remote=True)
        await dialing

    async def test_weAreUseless(self) -> None:
        """Offering nothing that they speak, we are told "useless peer", whoever dialled."""
        theirs = await self.theirs(caps="zzz/1/2")
        ours = await self.ours(caps="")  # which keeps everybody
        for dial in (lambda: theirs.dial(ours.enode), lambda: ours.dial(theirs.enode).addErrback(lambda _: None)):
            dial()
            await ours.expect("ended", reason=DisconnectReason.USELESS_PEER, remote=True)

    async def test_theyAreUseless(self) -> None:
        """
        Offering nothing that we speak, they become no peer, whoever dialled.

        They find it out by themselves too, and it may be their Disconnect that ends the connection; so that they read
        this reason of ours is shown by L{test_everyReason}.
        """
        theirs, ours = await self.theirs(caps="zzz/1/2"), await self.ours()
        theirs.dial(ours.enode)
        await ours.expect("ended", reason=DisconnectReason.USELESS_PEER)
        error: Any = await self.assertFailure(ours.dial(theirs.enode), PeerRejected, PeerDisconnected)
        self.assertEqual(error.reason, DisconnectReason.USELESS_PEER)
        self.assertEqual(ours.server.peerCount, 0)

    async def test_everyReason(self) -> None:
        """Whatever reason we give to a peer, the peer reads it."""
        ours, theirs = await self.ours(), await self.theirs()
        for reason in DisconnectReason:
            await self.theyDial(theirs, ours)
            ours.peer(theirs.id).disconnect(reason)
            self.assertEqual(await theirs.dropped(ours.id), reason)
            await ours.expect("drop", id=theirs.id)

    async def test_wrongKeyDialed(self) -> None:
        """Dialling them by the key of another node fails in the handshake, within its deadline."""
        ours, theirs = await self.ours(), await self.theirs()
        wrong = PrivateKey.generate(urandom).public_key
        await self.assertFailure(
            ours.dial(theirs.enode.replace(theirs.id, hexId(wrong))), HandshakeError, Timeout, ConnectionClosed
        )
        ended = await ours.expect("ended", reason=None)
        self.assertEqual(ours.count("handshake_failures", direction="dialed", stage="rlpx", reason=ended["error"]), 1)
        await ours.dial(theirs.enode)  # and the right one works

    async def dialedByWrongId(self) -> tuple[ForeignPeer, RLPxProtocol]:
        """A listener of ours, whose Hello names another than its key, after they dialled it."""
        from twisted.internet import reactor

        theirs, bare = await self.theirs(), BarePeer()
        built: Deferred[RLPxProtocol] = Deferred()
        other = PrivateKey.generate(urandom).public_key.to_bytes()
        port = await serverFromString(reactor, LOOPBACK).listen(bare.factory(other, built))
        self.addCleanup(port.stopListening)
        theirs.dial(f"enode://{bare.id}@127.0.0.1:{port.getHost().port}")
        return theirs, await built

    # Leaving.

    async def test_weQuit(self) -> None:
        """When we stop, they are told "client quitting"."""
        ours, theirs = await self.ours(), await self.theirs()
        await self.theyDial(theirs, ours)
        await ours.stop()
        self.assertEqual(await theirs.dropped(ours.id), DisconnectReason.CLIENT_QUITTING)
        await ours.expect("drop", id=theirs.id, error="client quitting")

    async def test_theyQuit(self) -> None:
        """When they stop, we are told "client quitting"."""
        ours, theirs = await self.ours(), await self.theirs()
        await self.weDial(ours, theirs)
        await theirs.stop()
        await ours.expect("ended", reason=DisconnectReason.CLIENT_QUITTING, remote=True)
        await ours.expect("drop", id=theirs.id, error="client quitting")
        self.assertEqual(ours.count("drops", reason="they: client quitting"), 1)

    async def test_theyRestart(self) -> None:
        """A static node that was restarted is a peer again when it is dialled again."""
        ours = await self.ours()
        key = PrivateKey.generate(urandom)
        secret = {"key": key.secret.hex()}
        first = await self.theirs(**secret)
        node = parse_node(first.enode)
        ours.server.addPeer(node)
        await ours.expect("add", id=first.id, inbound=False)
        self.assertIn(ConnectionFlags.STATIC_DIALED, ours.peer(first.id).flags)
        await first.stop()
        await ours.expect("drop", id=first.id)

        again = await self.theirs(listen=f"127.0.0.1:{node.tcp}", **secret)
        self.assertEqual(again.id, first.id)
        await self.weDial(ours, again)

    # Reconnects.

    async def checkReconnects(self, dial: Any) -> OurPeer:
        """Connect and disconnect, over and over; nothing is left of it."""
        ours, theirs = await self.ours(), await self.theirs()
        files = -1
        for number in range(RECONNECTS):
            await dial(ours, theirs)
            ours.peer(theirs.id).disconnect(DisconnectReason.REQUESTED)
            await theirs.expect("drop", id=ours.id)
            await ours.expect("drop", id=theirs.id)
            await ours.expect("ended", reason=DisconnectReason.REQUESTED, remote=False)
            if not number:
                files = _openFiles()
        self.assertEqual(ours.server.peers(), [])
        self.assertEqual(_openFiles(), files)
        gc.collect()
        self.assertEqual(list(ours.server.transports), [])
        self.assertEqual(ours.count("drops", reason="we: disconnect requested"), RECONNECTS)
        failures = [name for name, _, _ in ours.server.metrics if "failures" in name or "errors" in name]
        self.assertEqual(failures, [])
        return ours

    async def test_theyReconnect(self) -> None:
        """They connect 200 times, one time after the other."""
        ours = await self.checkReconnects(lambda ours, theirs: self.theyDial(theirs, ours))
        self.assertEqual((ours.count("accepts"), ours.count("accepts_succeeded")), (RECONNECTS, RECONNECTS))
        self.assertEqual(ours.count("dials"), 0)

    async def test_weReconnect(self) -> None:
        """We connect 200 times, one time after the other."""
        ours = await self.checkReconnects(self.weDial)
        self.assertEqual((ours.count("dials"), ours.count("dials_succeeded")), (RECONNECTS, RECONNECTS))
        self.assertEqual(ours.count("accepts"), 0)


def _openFiles() -> int:
    """How many file descriptors this process has open."""
    return len(os.listdir("/dev/fd"))
