"""
How wrong our clock is, asked of a time server (SNTP version 3, RFC 1769).

Others drop packets that expired by their clocks, so a node whose own clock is wrong is shunned without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.errors import DevP2PError
from devp2p_tx.net.hostnames import resolveHost

#: The UDP port of time servers.
PORT = 123
#: How often the time is asked; the two extremes are dropped.
MEASUREMENTS = 5
#: Seconds that an answer may take.
ANSWER_TIMEOUT = 5.0

_SIZE = 48
#: Version 3, from a client.
_REQUEST = b"\x1b" + bytes(39)
_SERVER_MODE = 4
#: Where an answer repeats the time stamp of the request.
_ORIGIN = slice(24, 32)
_TRANSMITTED = Struct(">40xQ")
#: Seconds from 1900 to 1970.
_EPOCH = 2_208_988_800


class _Asking(DatagramProtocol):
    """Asks one server, one question at a time."""

    noisy = False

    def __init__(self) -> None:
        self._answer: Deferred[float] | None = None
        self._stamp = b""

    def ask(self, address: tuple[str, int], stamp: bytes) -> Deferred[float]:
        """The server's time (unix time). The C{stamp} of 8 bytes tells its answer from forged ones."""
        self._stamp = stamp
        self._answer = Deferred()
        assert self.transport is not None
        self.transport.write(_REQUEST + stamp, address)
        return self._answer

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if len(datagram) < _SIZE or datagram[0] & 7 != _SERVER_MODE or datagram[_ORIGIN] != self._stamp:
            return
        answer, self._answer = self._answer, None
        if answer is not None:
            (transmitted,) = _TRANSMITTED.unpack_from(datagram)
            answer.callback(transmitted / (1 << 32) - _EPOCH)


async def measureDrift(
    reactor: Any, server: str, seconds: Callable[[], float], unixTime: Callable[[], float], randomBytes: Any
) -> float:
    """
    Compare our clock with a server's.

    @param reactor: C{IReactorUDP}, C{IReactorTime} and C{IReactorPluggableNameResolver}.
    @param server: host name or address.
    @param seconds: a monotonic clock.
    @param unixTime: the clock in question.
    @param randomBytes: source of randomness.
    @return: the seconds by which our clock is ahead.
    @raise DevP2PError: the server has no address, or does not answer, or cannot be asked.
    """
    addresses = await resolveHost(reactor, server)
    if not addresses:
        raise DevP2PError(f"time server {server} has no address")
    try:
        drifts = await _drifts(reactor, addresses[0], seconds, unixTime, randomBytes)
    except TimeoutError:
        raise DevP2PError(f"time server {server} does not answer") from None
    except (OSError, CannotListenError) as error:
        raise DevP2PError(f"time server {server} cannot be asked: {error}") from None
    middle = sorted(drifts)[1:-1]
    return sum(middle) / len(middle)


async def _drifts(
    reactor: Any, address: IPAddress, seconds: Callable[[], float], unixTime: Callable[[], float], randomBytes: Any
) -> list[float]:
    asking = _Asking()
    port = reactor.listenUDP(0, asking, interface="" if address.version == 4 else "::")
    try:
        drifts = []
        for _ in range(MEASUREMENTS):
            begun, sent = seconds(), unixTime()
            answer = asking.ask((str(address), PORT), randomBytes(8))
            theirs = await answer.addTimeout(ANSWER_TIMEOUT, reactor)
            drifts.append(sent - theirs + (seconds() - begun) / 2)
    finally:
        await maybeDeferred(port.stopListening)
    return drifts
