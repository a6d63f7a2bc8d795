"""
What can go wrong, and whose fault it is.

The class of an error tells who misbehaved: L{LocalProtocolError} is a mistake of the code that calls us,
L{RemoteProtocolError} one of the stranger at the other end. What a stranger is told before the connection closes is
written on the class, as its C{reason}; C{None} means that it is told nothing.
"""

from __future__ import annotations

from enum import IntEnum


class DisconnectReason(IntEnum):
    """
    The reasons that a Disconnect message carries (devp2p C{rlpx.md}, "Disconnect (0x01)").

    Values that the specification does not name are legal on the wire; L{DisconnectReason.of} keeps those that fit a
    byte as plain C{int}.
    """

    REQUESTED = 0x00
    NETWORK_ERROR = 0x01
    BREACH_OF_PROTOCOL = 0x02
    USELESS_PEER = 0x03
    TOO_MANY_PEERS = 0x04
    ALREADY_CONNECTED = 0x05
    INCOMPATIBLE_VERSION = 0x06
    INVALID_IDENTITY = 0x07
    CLIENT_QUITTING = 0x08
    UNEXPECTED_IDENTITY = 0x09
    SELF = 0x0A
    READ_TIMEOUT = 0x0B
    SUBPROTOCOL_ERROR = 0x10
    INVALID = 0xFF

    @classmethod
    def of(cls, code: int) -> int:
        """The named reason for C{code} if there is one, else C{code} itself."""
        return _BY_CODE.get(code, code)


_BY_CODE = {int(reason): reason for reason in DisconnectReason}

_TEXT = {
    DisconnectReason.REQUESTED: "disconnect requested",
    DisconnectReason.NETWORK_ERROR: "network error",
    DisconnectReason.BREACH_OF_PROTOCOL: "breach of protocol",
    DisconnectReason.USELESS_PEER: "useless peer",
    DisconnectReason.TOO_MANY_PEERS: "too many peers",
    DisconnectReason.ALREADY_CONNECTED: "already connected",
    DisconnectReason.INCOMPATIBLE_VERSION: "incompatible p2p protocol version",
    DisconnectReason.INVALID_IDENTITY: "invalid node identity",
    DisconnectReason.CLIENT_QUITTING: "client quitting",
    DisconnectReason.UNEXPECTED_IDENTITY: "unexpected identity",
    DisconnectReason.SELF: "connected to self",
    DisconnectReason.READ_TIMEOUT: "read timeout",
    DisconnectReason.SUBPROTOCOL_ERROR: "subprotocol error",
    DisconnectReason.INVALID: "invalid disconnect reason",
}


def reason_text(reason: int) -> str:
    """The sentence for a disconnect reason, known or not."""
    return _TEXT.get(reason) or f"unknown disconnect reason {reason}"  # type: ignore[call-overload]


class DevP2PError(Exception):
    """The root of every error that this package raises on purpose."""


class LocalProtocolError(DevP2PError):
    """Our own side asked for something that the protocol does not allow; nothing was sent."""


class OverBudget(LocalProtocolError):
    """More than we allow ourselves, as of packets to strangers; nothing was sent, and nothing is known of the node."""


class AddressRefused(DevP2PError):
    """An address that must not be contacted; the sentence says why."""


class RemoteProtocolError(DevP2PError):
    """
    The peer broke the protocol; the connection ends.

    @cvar reason: what the peer is told in a Disconnect message, or C{None} for a silent close.
    """

    reason: DisconnectReason | None = None


class InvalidRLP(RemoteProtocolError):
    """Bytes that are no canonical RLP, or of another shape than the message demands."""

    reason = DisconnectReason.BREACH_OF_PROTOCOL


class InvalidSnappy(RemoteProtocolError):
    """A payload that is no snappy block, or that declares more than the limit."""

    reason = DisconnectReason.BREACH_OF_PROTOCOL


class InvalidPublicKey(RemoteProtocolError):
    """Bytes that are no point of secp256k1."""


class InvalidSignature(RemoteProtocolError):
    """A signature from which no key can be recovered."""


class DecryptionError(RemoteProtocolError):
    """An ECIES message that was altered, truncated, or made for another key."""


class HandshakeError(RemoteProtocolError):
    """The RLPx handshake (auth, ack) failed."""


class FrameError(RemoteProtocolError):
    """A frame whose header has a right MAC and declares more than the limit."""

    reason: DisconnectReason | None = DisconnectReason.BREACH_OF_PROTOCOL


class MACError(FrameError):
    """A frame with a wrong MAC: the stream cannot be trusted any further, so the peer is told nothing."""

    reason = None


class HelloError(RemoteProtocolError):
    """The first message was no valid Hello."""

    reason = DisconnectReason.BREACH_OF_PROTOCOL


class InvalidIdentity(HelloError):
    """A Hello whose node id is zero or of the wrong length."""

    reason = DisconnectReason.INVALID_IDENTITY


class MessageError(RemoteProtocolError):
    """
    A message that no agreed capability can take. A capability raises it, or another L{RemoteProtocolError}, where the
    peer is at fault: the peer is told the C{reason} of the class, and nothing is logged above debug.
    """

    reason = DisconnectReason.BREACH_OF_PROTOCOL


class Timeout(RemoteProtocolError):
    """The peer was silent for longer than a deadline allows."""

    reason = DisconnectReason.READ_TIMEOUT


class ProxyHeaderError(RemoteProtocolError):
    """What came in place of a PROXY header is none; whoever sent it is told nothing."""


class ProxyError(DevP2PError):
    """The proxy through which we dial cannot be reached, refuses, or does not speak its protocol."""


class CapabilityFailed(DevP2PError):
    """
    The code of a capability raised; its peer was told "subprotocol error".

    @ivar capability: its name and version.
    """

    def __init__(self, capability: str, error: BaseException) -> None:
        super().__init__(f"{capability}: {type(error).__name__}: {error}")
        self.capability = capability
        self.__cause__ = error


class SendBufferFull(DevP2PError):
    """
    A capability went on sending to a peer that does not read, past every request to pause.

    @cvar reason: what the peer is told, behind what it was being sent. What waits in queues is not sent.
    """

    reason = DisconnectReason.SUBPROTOCOL_ERROR


class InvalidNode(DevP2PError):
    """A node URL or record, given by our user, that cannot be read."""


class InvalidAddress(DevP2PError):
    """A network list or address, given by our user, that cannot be read."""


class NameLookupError(DevP2PError):
    """A name that the name servers of this system do not know, or none of them answered for; the text says which."""


class InvalidNAT(DevP2PError):
    """A way through a NAT, given by our user, that cannot be read."""


class PortMappingError(DevP2PError):
    """
    A router, or a STUN server, did not do what was asked of it.

    @cvar kind: the sort of failure, as a label with few values.
    """

    kind = "failed"


class NoRouter(PortMappingError):
    """There is nobody to ask."""

    kind = "no router"


class RouterSilent(PortMappingError):
    """Whoever was asked does not answer."""

    kind = "no answer"


class InvalidRouterAnswer(PortMappingError):
    """An answer that cannot be read, or makes no sense."""

    kind = "bad answer"


class RouterRefused(PortMappingError):
    """
    Whoever was asked says no.

    @ivar code: its protocol's number for why.
    """

    kind = "refused"

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"refused with {code} ({text})")
        self.code = code


class PeerRejected(DevP2PError):
    """
    A checkpoint said no.

    @ivar reason: the reason that the peer is told.
    """

    def __init__(self, reason: DisconnectReason, why: str = "") -> None:
        """
        @param why: which setting of ours it is about; the peer is not told.
        """
        super().__init__(f"{reason_text(reason)}: {why}" if why else reason_text(reason))
        self.reason = reason


class PeerDisconnected(DevP2PError):
    """
    A connection ended by a Disconnect message.

    @ivar reason: the reason that was sent or received: one of L{DisconnectReason}, or its number if it has no name.
    @ivar remote: whether the peer sent it.
    """

    def __init__(self, reason: int, remote: bool) -> None:
        super().__init__(reason_text(reason))
        self.reason = DisconnectReason.of(reason)
        self.remote = remote


class ServerStopped(DevP2PError):
    """The server is not running, or stopped while the caller waited."""


def reason_label(error: BaseException) -> str:
    """The end of a connection as a label with few values."""
    if isinstance(error, PeerDisconnected):
        return ("they: " if error.remote else "we: ") + reason_text(error.reason)
    if isinstance(error, PeerRejected):
        return "we: " + reason_text(error.reason)
    return type(error).__name__


def ended_by(error: BaseException) -> str:
    """Return who ended a connection: C{local}, C{remote}, or C{connection}, which broke without a Disconnect."""
    if isinstance(error, PeerDisconnected):
        return "remote" if error.remote else "local"
    return "local" if isinstance(error, DevP2PError) else "connection"
