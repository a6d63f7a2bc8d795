"""
Questions over UDP: a datagram, sent again and again until its answer comes.

All of them go out of one socket in each family, which stays open: Twisted logs each that opens and closes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, TimeoutError, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol

from devp2p_tx.errors import PortMappingError, RouterSilent

#: The most that is read of a datagram (bytes).
MAX_SIZE = 2048

Address = tuple[str, int]
T = TypeVar("T")


class _Socket(DatagramProtocol):
    """
    @ivar listeners: who is told of each datagram, and whence it came.
    """

    noisy = False
    transport: Any = None

    def __init__(self) -> None:
        self.listeners: dict[Callable[[bytes, Address], None], None] = {}

    def logPrefix(self) -> str:
        """See C{ILoggingContext}."""
        return "NAT"

    def datagramReceived(self, datagram: bytes, addr: Address) -> None:
        """See C{DatagramProtocol}."""
        if len(datagram) <= MAX_SIZE:
            for listener in list(self.listeners):
                listener(datagram, addr[:2])


class Asker:
    """
    Asks, until L{close}.
    """

    def __init__(self, reactor: Any) -> None:
        """@param reactor: C{IReactorUDP} and C{IReactorTime}."""
        self._reactor = reactor
        self._sockets: dict[str, _Socket] = {}

    async def ask(
        self, server: Address, request: bytes, read: Callable[[bytes], T | None], patience: Sequence[float]
    ) -> T:
        """
        Ask a server.

        @param server: its IP address, and UDP port.
        @param read: makes sense of an answer: C{None} if it is the answer to something else; may raise
            L{PortMappingError}.
        @param patience: how long to wait each time that the question is sent (seconds).
        @raise RouterSilent: no answer came, or the question cannot be sent.
        @raise PortMappingError: as C{read} says.
        """
        answer: Deferred[T] = Deferred()

        def received(datagram: bytes, source: Address) -> None:
            if source == server and not answer.called:
                try:
                    result = read(datagram)
                except PortMappingError as error:
                    answer.errback(error)
                else:
                    if result is not None:
                        answer.callback(result)

        return await self.broadcast(server, [request], received, answer, patience)

    async def broadcast(
        self,
        server: Address,
        requests: Sequence[bytes],
        received: Callable[[bytes, Address], None],
        answer: Deferred[T],
        patience: Sequence[float],
    ) -> T:
        """
        Ask whoever listens at an address, such as a multicast address.

        @param requests: what is sent, each time all of them.
        @param received: is called with every datagram that comes meanwhile, and its source; it fires C{answer}.
        @return: what C{answer} fired with; the rest as L{ask}.
        """
        socket = self._socket(server[0])

        def send() -> None:
            try:
                for request in requests:
                    socket.transport.write(request, server)
            except OSError as error:
                if not answer.called:
                    answer.errback(RouterSilent(f"cannot be asked: {error.strerror}"))

        alarms = [self._reactor.callLater(later, send) for later in accumulate(patience[:-1])]
        socket.listeners[received] = None
        try:
            send()
            return await answer.addTimeout(sum(patience), self._reactor)
        except TimeoutError:
            raise RouterSilent(f"no answer from {server[0]} within {sum(patience):g} s") from None
        finally:
            del socket.listeners[received]
            for alarm in alarms:
                if alarm.active():
                    alarm.cancel()

    def _socket(self, address: str) -> _Socket:
        """That of the address's family; one that broke is opened anew."""
        interface = "::" if ":" in address else ""
        socket = self._sockets.get(interface)
        if socket is None or socket.transport is None:
            socket = _Socket()
            try:
                self._reactor.listenUDP(0, socket, interface=interface, maxPacketSize=MAX_SIZE + 1)
            except (CannotListenError, OSError) as error:
                raise RouterSilent(f"cannot be asked: {error}") from None
            self._sockets[interface] = socket
        return socket

    def close(self) -> Deferred[Any]:
        """Close the sockets; fires when they are closed."""
        sockets, self._sockets = self._sockets, {}
        open_ = [socket.transport for socket in sockets.values() if socket.transport is not None]
        return gatherResults([maybeDeferred(transport.stopListening) for transport in open_])
