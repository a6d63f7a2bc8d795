"""
Numbers of RLPx and of the base protocol that a peer can see, against literals: a test that takes them from the code
says nothing when they change.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.ecies import OVERHEAD as ECIES_OVERHEAD
from devp2p_tx.core.dialing import dialplan
from devp2p_tx.core.p2p import messages
from devp2p_tx.core.rlpx import connection, frames, handshake
from devp2p_tx.errors import DisconnectReason
from devp2p_tx.net.rlpx import channels, faults, protocol
from devp2p_tx.node import crossing, inbound


class VisibleNumbersTests(SynchronousTestCase):
    """What go-ethereum 1.17, rlpx.md, EIP-8 and EIP-706 have, and what is ours."""

    def test_messages(self) -> None:
        """Codes and versions of the base protocol."""
        codes = messages.HELLO, messages.DISCONNECT, messages.PING, messages.PONG, messages.BASE_LENGTH
        self.assertEqual(codes, (0, 1, 2, 3, 16))
        self.assertEqual((messages.VERSION, messages.SNAPPY_VERSION, messages.MAX_HELLO_SIZE), (5, 5, 2048))

    def test_reasons(self) -> None:
        """The reasons of a Disconnect."""
        reasons = {each.name: int(each) for each in DisconnectReason}
        self.assertEqual(
            reasons,
            {
                "REQUESTED": 0x00,
                "NETWORK_ERROR": 0x01,
                "BREACH_OF_PROTOCOL": 0x02,
                "USELESS_PEER": 0x03,
                "TOO_MANY_PEERS": 0x04,
                "ALREADY_CONNECTED": 0x05,
                "INCOMPATIBLE_VERSION": 0x06,
                "INVALID_IDENTITY": 0x07,
                "CLIENT_QUITTING": 0x08,
                "UNEXPECTED_IDENTITY": 0x09,
                "SELF": 0x0A,
                "READ_TIMEOUT": 0x0B,
                "SUBPROTOCOL_ERROR": 0x10,
                "INVALID": 0xFF,
            },
        )

    def test_sizes(self) -> None:
        """Bytes of packets and frames."""
        self.assertEqual((handshake.MAX_PACKET_SIZE, handshake.VERSION, ECIES_OVERHEAD), (2048, 4, 113))
        self.assertEqual((handshake._MIN_PADDING, handshake._PADDING_MASK), (100, 127))
        self.assertEqual((frames.MAX_SIZE, frames.OVERHEAD, frames.MAX_INCOMPRESSIBLE), (16_777_215, 48, 14_380_434))

    def test_times(self) -> None:
        """Seconds."""
        timeouts = connection.HANDSHAKE_TIMEOUT, connection.HELLO_TIMEOUT, connection.READ_TIMEOUT
        self.assertEqual((*timeouts, connection.PING_INTERVAL), (5.0, 5.0, 30.0, 15.0))
        self.assertEqual((protocol.WRITE_TIMEOUT, protocol.DISCONNECT_TIMEOUT), (20.0, 1.0))
        self.assertEqual((dialplan.HISTORY_EXPIRATION, crossing.PROOF_TIMEOUT, faults.LOG_INTERVAL), (35.0, 1.0, 60.0))

    def test_bounds(self) -> None:
        """What may wait for a peer, or from one."""
        self.assertEqual((protocol.MAX_QUEUED, channels.HIGH_WATER, channels.LOW_WATER), (1 << 25, 1 << 18, 1 << 16))
        self.assertEqual((connection.MAX_PENDING_PONGS, inbound.MAX_TRUSTED_PENDING), (16, 64))
