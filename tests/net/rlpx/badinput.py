"""
What the tests of bad input share: a friend who must not suffer from it, and what each connection has to end with.
"""

from __future__ import annotations

from typing import Any

from devp2p_tx.errors import (
    DisconnectReason,
)
from devp2p_tx.testing import ScriptedPeer
from tests.net.rlpx.support import FIRST, ConnectionCase


class BadInputCase(ConnectionCase):
    def setUp(self) -> None:
        super().setUp()
        self.friend = self.scripted()
        self.friendly = self.recorder

    def wait(self, peer: ScriptedPeer, within: float = 0.0) -> Any:
        """
        Wait for the end of the last connection.

        @param within: seconds; the default is at once.
        @return: its reason, for us.
        """
        ended: list[Any] = []
        self.ours.whenEnded().addCallback(ended.append)
        self.network.advance(within)
        self.assertTrue(peer.ended and ended, f"it lasts after {within} seconds")
        return ended[0]

    def end(self, peer: ScriptedPeer, within: float = 0.0) -> Any:
        """As L{wait}; and all else is as it was before."""
        reason = self.wait(peer, within)
        self.assertOthersLive()
        self.assertQuiet()
        self.friend.sendDisconnect(DisconnectReason.REQUESTED)
        self.network.settle()
        del self.friendly
        self.assertNothingLeft()
        return reason

    def assertOthersLive(self) -> None:
        self.assertFalse(self.friend.ended)
        self.friend.send(FIRST, b"still here?")
        self.network.settle()
        self.assertEqual(self.friendly.messages[-1], (0, b"still here?"))

    def ping(self) -> None:
        """Keep the friend's connection alive for long waits."""
        self.friend.pingForEver(self.them, 10.0, batch=1)
