"""
Interoperability with C{@ethereumjs/devp2p}.

Dialled, it does not compare the key of the handshake with that of the Hello, so only as the one who dials is it shown a
wrong one.
"""

from __future__ import annotations

from devp2p_tx.errors import DisconnectReason
from tests.interop import shared
from tests.interop.foreign import EthereumJSPeer
from tests.interop.ours import BarePeer


class TestEthereumJS(shared.ForeignTests):
    """See L{shared.ForeignTests}."""

    foreign = EthereumJSPeer

    async def test_weAreUnexpectedAsDialed(self) -> None:
        """Naming another key than ours in Hello, we are told "invalid node identity"."""
        theirs, transport = await self.dialedByWrongId()
        await self.assertTold(transport, DisconnectReason.INVALID_IDENTITY)
        await theirs.expect("drop", reason=DisconnectReason.INVALID_IDENTITY, we=True)

    async def test_theyAreUnexpected(self) -> None:
        """Naming another key than theirs in Hello, they are told "unexpected identity"."""
        ours, theirs = await self.ours(), await self.theirs()
        theirs.command("wrong-id-dial", enode=ours.enode)
        await theirs.expect("drop", reason=DisconnectReason.UNEXPECTED_IDENTITY, we=False)
        self.assertEqual(
            ours.count("handshake_failures", direction="inbound", stage="hello", reason="we: unexpected identity"), 1
        )

    async def test_theyDisconnect(self) -> None:
        """A peer that disconnects tells us why, in a Disconnect of one bare byte, uncompressed."""
        ours, theirs = await self.ours(), await self.theirs()
        for reason in (DisconnectReason.USELESS_PEER, DisconnectReason.SUBPROTOCOL_ERROR):
            await self.theyDial(theirs, ours)
            theirs.command("disconnect", id=ours.id, reason=reason)
            await ours.expect("ended", reason=reason, remote=True)
            await theirs.expect("drop", id=ours.id, reason=reason, we=True)

    async def test_wrongKeyDialing(self) -> None:
        """They dial us by the key of another node: we close, without an answer."""
        ours, theirs = await self.ours(), await self.theirs()
        wrong = BarePeer()
        theirs.dial(ours.enode.replace(ours.id, wrong.id))
        await ours.expect("ended", error="HandshakeError")
        await theirs.expect("drop", id=wrong.id, reason=None)
        self.assertEqual(
            ours.count("handshake_failures", direction="inbound", stage="rlpx", reason="HandshakeError"), 1
        )
