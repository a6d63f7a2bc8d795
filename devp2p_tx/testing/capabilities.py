"""
A toy capability, for tests of what lies beneath a capability.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from devp2p_tx._oneshot import OneShot
from devp2p_tx.interfaces import IPeer
from devp2p_tx.net.rlpx.capability import Capability, CapabilityProtocol

#: The two messages: each request is answered with a reply of the same payload.
REQUEST, REPLY = 0, 1


class EchoProtocol(CapabilityProtocol):
    """
    One peer's echo.

    @ivar requests: the payloads that the peer sent, in order.
    @ivar replies: those that it sent back.
    @ivar connected: between L{connectionMade} and L{connectionLost}.
    @ivar reason: why the peer is gone.
    """

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.replies: list[bytes] = []
        self.connected = False
        self.reason: Failure | None = None
        self._lost: OneShot[BaseException | None] = OneShot()

    def whenLost(self) -> Deferred[BaseException | None]:
        """Fires with the reason when the peer is gone."""
        return self._lost.when()

    def request(self, payload: bytes) -> None:
        """Ask the peer to send this back."""
        self.transport.sendMessage(REQUEST, payload)

    def connectionMade(self) -> None:
        """See L{CapabilityProtocol}."""
        self.connected = True

    def messageReceived(self, code: int, payload: bytes) -> None:
        """See L{CapabilityProtocol}."""
        if code == REQUEST:
            self.requests.append(payload)
            self.transport.sendMessage(REPLY, payload)
        else:
            self.replies.append(payload)

    def connectionLost(self, reason: Failure) -> None:
        """See L{CapabilityProtocol}."""
        self.connected = False
        self.reason = reason
        self._lost.fire(reason.value)


class EchoCapability(Capability):
    """
    C{echo/1}: message 0 is a request, message 1 the reply.

    @ivar protocols: those that were made, in order: one a peer.
    """

    def __init__(self, name: str = "echo", version: int = 1, length: int = 2) -> None:
        super().__init__(name, version, length)
        self.protocols: list[EchoProtocol] = []

    def buildProtocol(self, peer: IPeer) -> EchoProtocol:
        """See L{Capability}."""
        protocol = EchoProtocol()
        protocol.peer = peer
        self.protocols.append(protocol)
        return protocol
