"""
What is said on a connection before it belongs to its protocol: a proxy's header, or the request to a proxy.

The protocol is built when that is over, and only then: at a connection whose C{getPeer} and C{getHost} say where the
other end is, not where the proxy is. So whoever decides by the address, as a listener does, decides in one place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from devp2p_tx._oneshot import OneShot
from devp2p_tx.core.proxy.conversation import Conversation
from devp2p_tx.errors import DevP2PError, Timeout


class Preamble(ProtocolWrapper):
    """
    A connection, at first of the conversation, then of the protocol, whose transport this is.

    @ivar peer: what C{getPeer} gives; C{None} for the connection's own.
    @ivar host: what C{getHost} gives; likewise.
    """

    transport: Any
    wrappedProtocol: Any

    def __init__(
        self,
        conversation: Conversation,
        clock: IReactorTime,
        timeout: float,
        build: Callable[[Preamble], IProtocol | None],
    ) -> None:
        """
        @param timeout: how long the conversation may take (seconds).
        @param build: makes the protocol when it is over, having set L{peer} and L{host}; C{None} closes the connection.
        """
        super().__init__(None, None)  # type: ignore[arg-type]
        self.peer: IAddress | None = None
        self.host: IAddress | None = None
        self._conversation = conversation
        self._build = build
        self._clock, self._timeout = clock, timeout
        self._alarm: IDelayedCall | None = None
        self._opened: OneShot[IProtocol | None] = OneShot()

    def whenOpened(self) -> Deferred[IProtocol | None]:
        """
        Fires with the protocol, C{None} if none was built, when it has its transport; fails with the conversation's
        error, or with how the connection ended before.
        """
        return self._opened.when()

    # What the transport says.

    def makeConnection(self, transport: Any) -> None:
        """See C{IProtocol}."""
        directlyProvides(self, providedBy(transport))
        self.transport, self.connected = transport, 1
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)  # as RLPx would, if it had the socket
        self._alarm = self._clock.callLater(self._timeout, self._timedOut)
        self._say()

    def dataReceived(self, data: bytes) -> None:
        """See C{IProtocol}."""
        if self.wrappedProtocol is not None:
            self.wrappedProtocol.dataReceived(data)
        elif self.connected:
            self._converse(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See C{IProtocol}."""
        self._settle()
        protocol, self.wrappedProtocol = self.wrappedProtocol, None
        if protocol is not None:
            protocol.connectionLost(reason)
        self._opened.fire(reason)

    def getPeer(self) -> IAddress:
        """See C{ITransport}."""
        address: IAddress = self.transport.getPeer() if self.peer is None else self.peer
        return address

    def getHost(self) -> IAddress:
        """See C{ITransport}."""
        address: IAddress = self.transport.getHost() if self.host is None else self.host
        return address

    # The conversation.

    def _converse(self, data: bytes) -> None:
        try:
            rest = self._conversation.receive_data(data)
        except DevP2PError as error:
            self._fail(error)
            return
        self._say()
        if rest is not None:
            self._open(rest)

    def _say(self) -> None:
        if data := self._conversation.data_to_send():
            self.transport.write(data)

    def _open(self, rest: bytes) -> None:
        self._settle()
        self.wrappedProtocol = self._build(self)
        if self.wrappedProtocol is None:
            self.connected = 0
            self.transport.loseConnection()
        else:
            self.wrappedProtocol.makeConnection(self)
            if rest:
                self.wrappedProtocol.dataReceived(rest)
        self._opened.fire(self.wrappedProtocol)

    def _timedOut(self) -> None:
        self._fail(Timeout("the proxy is silent"))

    def _fail(self, error: DevP2PError) -> None:
        self._settle()
        self.connected = 0
        self.transport.abortConnection()
        self._opened.fire(Failure(error))

    def _settle(self) -> None:
        alarm, self._alarm = self._alarm, None
        if alarm is not None and alarm.active():
            alarm.cancel()


class PreambleFactory(Factory):
    """
    For connections that begin with a preamble, and belong to the protocols of another factory then.

    @ivar wrapped: that factory, which is told when we start and stop.
    """

    noisy = False

    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped

    def doStart(self) -> None:
        """See C{IProtocolFactory}."""
        super().doStart()  # type: ignore[no-untyped-call]
        self.wrapped.doStart()

    def doStop(self) -> None:
        """See C{IProtocolFactory}."""
        super().doStop()  # type: ignore[no-untyped-call]
        self.wrapped.doStop()
