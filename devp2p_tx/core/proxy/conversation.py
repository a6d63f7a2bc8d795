"""
What is said on a connection before it belongs to the protocol that it was made for.
"""

from __future__ import annotations

from typing import Protocol


class Conversation(Protocol):
    """Bytes in, bytes out, until it is over."""

    def data_to_send(self) -> bytes:
        """What to send now, once."""

    def receive_data(self, data: bytes) -> bytes | None:
        """
        Read on.

        @return: what belongs to the protocol, when the conversation is over; C{None} before.
        @raise devp2p_tx.errors.DevP2PError: it went wrong.
        """
