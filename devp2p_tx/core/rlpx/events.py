"""
What L{RLPxConnection.receive_data<devp2p_tx.core.rlpx.connection.RLPxConnection>} tells its owner.
"""

from __future__ import annotations

from dataclasses import dataclass

from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.p2p.messages import Hello
from devp2p_tx.core.rlpx.frames import Message
from devp2p_tx.errors import RemoteProtocolError


@dataclass(frozen=True, slots=True)
class HandshakeCompleted:
    """
    We hold secrets; it is our turn to send a Hello or a Disconnect. For an inbound connection C{remote} is only claimed
    until its first frame verifies, since an auth needs no secret of the id that it names.
    """

    remote: PublicKey


@dataclass(frozen=True, slots=True)
class HelloReceived:
    """The peer said who it is and what it speaks, in a frame that verified: its identity is proved."""

    hello: Hello


@dataclass(slots=True)  # not frozen like the others, which are rare: that would cost a microsecond
class MessagesReceived:
    """A run of capability messages, in order, their codes as on the wire (16 and above)."""

    messages: list[Message]


@dataclass(frozen=True, slots=True)
class DisconnectReceived:
    """The peer leaves, and says why; nothing follows."""

    reason: int


@dataclass(frozen=True, slots=True)
class ConnectionBroken:
    """The peer broke the protocol, or a deadline; nothing follows. Valid messages may stand before it."""

    error: RemoteProtocolError


Event = HandshakeCompleted | HelloReceived | MessagesReceived | DisconnectReceived | ConnectionBroken
