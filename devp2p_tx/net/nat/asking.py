"""
Questions over UDP: a datagram, sent again and again until its answer comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure

from devp2p_tx.errors import PortMappingError, RouterSilent

T = TypeVar("T")


class _Question(DatagramProtocol):
    """
    @ivar answer: fires with what C{read} made of the answer, or fails with what it raised.
    """

    noisy = False

    def __init__(self, server: tuple[str, int], request: bytes, read: Callable[[bytes], T | None], most: int) -> None:
        self.answer: Deferred[Any] = Deferred()
        self._server, self._request, self._read, self._most = server, request, read, most

    transport: Any = None

    def startProtocol(self) -> None:
        """See C{AbstractDatagramProtocol}; connected, the kernel drops what others send."""
        self.transport.connect(*self._server)

    def ask(self) -> None:
        """Send the question."""
        try:
            self.transport.write(self._request)
        except OSError as error:
            self._settle(Failure(RouterSilent(f"cannot be asked: {error.strerror}")))

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """See C{DatagramProtocol}; what is no answer to the question is passed by."""
        if len(datagram) > self._most:
            return
        try:
            read = self._read(datagram)
        except PortMappingError:
            self._settle(Failure())
        else:
            if read is not None:
                self._settle(read)

    def _settle(self, result: Any) -> None:
        if not self.answer.called:
            self.answer.callback(result)


async def ask(
    reactor: Any,
    server: tuple[str, int],
    request: bytes,
    read: Callable[[bytes], T | None],
    patience: Sequence[float],
    most: int,
) -> T:
    """
    Ask a server.

    @param reactor: C{IReactorUDP} and C{IReactorTime}.
    @param server: its IP address, and UDP port.
    @param read: makes sense of an answer: C{None} if it is the answer to something else; may raise
        L{PortMappingError}.
    @param patience: how long to wait each time that the question is sent (seconds).
    @param most: what is longer is no answer (bytes).
    @raise RouterSilent: no answer came, or the question cannot be sent.
    @raise PortMappingError: as C{read} says.
    """
    question = _Question(server, request, read, most)
    interface = "::" if ":" in server[0] else ""
    try:
        port = reactor.listenUDP(0, question, interface=interface, maxPacketSize=most + 1)
    except (CannotListenError, OSError) as error:
        raise RouterSilent(f"cannot be asked: {error}") from None
    alarms = [reactor.callLater(later, question.ask) for later in accumulate(patience[:-1])]
    try:
        question.ask()
        answer: T = await question.answer.addTimeout(sum(patience), reactor)
        return answer
    except TimeoutError:
        raise RouterSilent(f"no answer from {server[0]} within {sum(patience):g} s") from None
    finally:
        for alarm in alarms:
            if alarm.active():
                alarm.cancel()
        await maybeDeferred(port.stopListening)
