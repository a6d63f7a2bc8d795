"""
Numbers of the limits for connections, which operators and other nodes meet, against literals.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.addressing import connectionlimit, handshakeslots


class ConnectionNumbersTests(SynchronousTestCase):
    """As C{docs/protocols/server.md} has them."""

    def test_rates(self) -> None:
        """Of one source, of a network, and of all."""
        limits = connectionlimit
        self.assertEqual((limits.INTERVAL, limits.LAN_BURST, limits.LAN_INTERVAL), (30.0, 250, 0.5))
        self.assertEqual((limits.NETWORK_BURST, limits.NETWORK_RATE), (512, 10.0))
        self.assertEqual(
            (limits.ALL_BURST, limits.ALL_RATE, limits.MAX_COST, limits.RESERVE), (32768, 400.0, 2.0, 0.25)
        )
        self.assertEqual((limits.PRESSED, limits.PRESSED_BURST, limits.PRESSED_INTERVAL), (0.875, 2, 15.0))
        self.assertEqual((limits.SOURCE_BITS, limits.NETWORK_BITS), ({4: 32, 6: 64}, {4: 24, 6: 48}))
        self.assertEqual((limits.KNOWN_LIFETIME, limits.MAX_KNOWN, limits.MAX_SOURCES), (86400.0, 4096, 65536))

    def test_slots(self) -> None:
        """The levels of networks, and the share of one."""
        self.assertEqual(handshakeslots.LEVELS, ({4: 16, 6: 32}, {4: 24, 6: 48}, {4: 32, 6: 64}))
        self.assertEqual((handshakeslots.SHARED, handshakeslots.SHARE), (1, 0.25))
