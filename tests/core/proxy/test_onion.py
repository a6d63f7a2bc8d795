"""
Tests for L{devp2p_tx.core.proxy.onion}.
"""

from __future__ import annotations

from base64 import b64decode

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.proxy.onion import onion_key


class OnionTests(SynchronousTestCase):
    """L{onion_key}."""

    def secret(self, number: int) -> bytes:
        kind, _, text = onion_key(PrivateKey(number.to_bytes(32, "big"))).partition(":")
        self.assertEqual(kind, "ED25519-V3")
        return b64decode(text, validate=True)

    def test_it_is_an_expanded_secret(self) -> None:
        """64 bytes, the first half of which is clamped."""
        for number in range(1, 20):
            secret = self.secret(number)
            self.assertEqual(len(secret), 64)
            self.assertEqual((secret[0] & 7, secret[31] & 0xC0), (0, 0x40))

    def test_it_is_the_nodes(self) -> None:
        """The same for a node at each start, another for another node, and nothing of it is the node's own key."""
        self.assertEqual(self.secret(1), self.secret(1))
        self.assertNotEqual(self.secret(1), self.secret(2))
        self.assertNotEqual(self.secret(1)[:32], self.secret(1)[32:])
        self.assertNotIn(self.secret(1)[1:31], (1).to_bytes(32, "big"))
