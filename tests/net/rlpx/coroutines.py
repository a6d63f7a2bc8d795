"""
What the tests of capabilities written as coroutines share.
"""

from __future__ import annotations

from typing import Any

from devp2p_tx.net.rlpx.capability import CoroutineCapability
from devp2p_tx.testing import ScriptedPeer
from tests.net.rlpx.support import ConnectionCase


class CoroutineCase(ConnectionCase):
    def run_(self, run: Any) -> ScriptedPeer:
        self.speak(CoroutineCapability("echo", 1, 2, run))
        return self.scripted()
