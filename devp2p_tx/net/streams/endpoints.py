"""
Twisted endpoints whose connections are streams (L{devp2p_tx.net.streams.protocol}) between two nodes: encrypted, and
each side knows by its key who the other is.
"""

from __future__ import annotations

from collections.abc import Collection
from os import urandom
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from devp2p_tx._oneshot import OneShot
from devp2p_tx._version import __version__
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey, RandomBytes
from devp2p_tx.core.enr.node import Node
from devp2p_tx.errors import DisconnectReason, PeerRejected
from devp2p_tx.net.connecting.dialvia import Via
from devp2p_tx.net.connecting.nodes import connect
from devp2p_tx.net.rlpx.factory import RLPxFactory
from devp2p_tx.net.rlpx.protocol import RLPxProtocol
from devp2p_tx.net.streams.protocol import NAME, VERSION, RLPxAddress, StreamCapability

#: What our Hello calls us.
CLIENT_NAME = f"devp2p-tx/v{__version__}/{NAME}"
#: How many connections may be on their way through the handshakes; one more is closed.
MAX_PENDING = 50


class _ServingFactory(RLPxFactory):
    """
    Streams for the protocols of another factory.

    @ivar pending: how many connections are on their way through the handshakes.
    """

    def __init__(
        self,
        reactor: Any,
        key: PrivateKey,
        wrapped: Any,
        allowed: Collection[PublicKey] | None,
        randomBytes: RandomBytes,
    ) -> None:
        capability = StreamCapability(reactor, wrapped)
        super().__init__(key, [capability], CLIENT_NAME, None, reactor, randomBytes)
        self.pending = 0
        self._wrapped = wrapped
        self._allowed = None if allowed is None else {each.to_bytes() for each in allowed}

    def doStart(self) -> None:
        """See C{IProtocolFactory}."""
        super().doStart()  # type: ignore[no-untyped-call]
        self._wrapped.doStart()

    def doStop(self) -> None:
        """See C{IProtocolFactory}."""
        super().doStop()  # type: ignore[no-untyped-call]
        self._wrapped.doStop()

    def buildProtocol(self, addr: IAddress | None) -> RLPxProtocol | None:  # type: ignore[override]
        """See C{IProtocolFactory}; C{None} closes the connection."""
        if self.pending >= MAX_PENDING:
            return None
        self.pending += 1
        return super().buildProtocol(addr)

    def admit(self, remote: PublicKey) -> None:
        """See L{RLPxFactory}."""
        if self._allowed is not None and remote.to_bytes() not in self._allowed:
            raise PeerRejected(DisconnectReason.USELESS_PEER)

    def settled(self, protocol: RLPxProtocol, failure: Failure | None) -> None:
        """See L{RLPxFactory}."""
        self.pending -= 1


@implementer(IStreamServerEndpoint)
class RLPxServerEndpoint:
    """Listens for streams. A protocol's C{getPeer} is a L{RLPxAddress}, which tells who called."""

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamServerEndpoint,
        key: PrivateKey,
        allowed: Collection[PublicKey] | None = None,
        randomBytes: RandomBytes = urandom,
    ) -> None:
        """
        @param endpoint: where to listen.
        @param key: who we are.
        @param allowed: who may call; C{None} for everybody.
        """
        self._reactor = reactor
        self._endpoint = endpoint
        self._key = key
        self._allowed = allowed
        self._random = randomBytes

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """See C{IStreamServerEndpoint}."""
        factory = _ServingFactory(self._reactor, self._key, protocolFactory, self._allowed, self._random)
        listening: Deferred[IListeningPort] = self._endpoint.listen(factory)
        return listening


class _CallingFactory(RLPxFactory):
    """
    Makes the one stream.

    @ivar opened: fires with the protocol of the other factory.
    """

    def __init__(
        self, reactor: Any, key: PrivateKey, wrapped: Any, remote: PublicKey, randomBytes: RandomBytes
    ) -> None:
        self.opened: OneShot[IProtocol] = OneShot()
        capability = StreamCapability(reactor, wrapped, self.opened.fire)
        super().__init__(key, [capability], CLIENT_NAME, remote, IReactorTime(reactor), randomBytes)

    def settled(self, protocol: RLPxProtocol, failure: Failure | None) -> None:
        """See L{RLPxFactory}."""
        if failure is None:
            failure = Failure(ConnectionLost("the stream ended as it began"))  # if nothing was opened by now
        elif failure.check(PeerRejected) and failure.value.reason is DisconnectReason.USELESS_PEER:  # type: ignore[union-attr]
            failure = Failure(ConnectError(string=f"the node does not speak {NAME}/{VERSION}"))
        self.opened.fire(failure)


@implementer(IStreamClientEndpoint)
class RLPxClientEndpoint:
    """Opens a stream to a node, which has proved to be that node when the protocol gets it."""

    def __init__(
        self, reactor: Any, node: Node, key: PrivateKey, via: Via | None = None, randomBytes: RandomBytes = urandom
    ) -> None:
        """
        @param node: whom to call.
        @param key: who we are.
        @param via: a proxy to go through.
        """
        self._reactor = reactor
        self._node = node
        self._key = key
        self._via = via
        self._random = randomBytes

    def connect(self, protocolFactory: Any) -> Deferred[IProtocol]:
        """
        See C{IStreamClientEndpoint}.

        @return: fires with the protocol. Fails with what Twisted's client endpoints fail with, with
            L{devp2p_tx.errors.InvalidNode} if it is not known where the node is, or with another
            L{devp2p_tx.errors.DevP2PError} that says why it does not speak with us.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, wrapped: Any) -> IProtocol:
        calling = _CallingFactory(self._reactor, self._key, wrapped, self._node.public_key, self._random)
        wrapped.doStart()
        try:
            connection: RLPxProtocol = await connect(self._reactor, self._node, calling.buildProtocol, self._via)
        except BaseException:
            wrapped.doStop()
            raise
        connection.whenEnded().addCallback(lambda _: wrapped.doStop())
        try:
            return await calling.opened.when()
        except CancelledError:
            connection.abort()
            raise ConnectingCancelledError(connection.remoteAddress) from None


__all__ = ["CLIENT_NAME", "MAX_PENDING", "RLPxAddress", "RLPxClientEndpoint", "RLPxServerEndpoint"]
