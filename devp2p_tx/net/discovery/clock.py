"""
How wrong our clock is: a time server is asked (SNTP version 3, RFC 1769), other nodes are watched, the user is told.

Nodes of discovery v4 drop packets that are expired by their own clocks, so a node whose clock is wrong gets no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure

from devp2p_tx.core.addressing.addresses import IPAddress, parse_address
from devp2p_tx.core.discv4.clock import ClockOffset, ClockState
from devp2p_tx.core.enr.url import is_hostname
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.errors import DevP2PError, InvalidAddress
from devp2p_tx.net.log import Logger
from devp2p_tx.net.names.hostnames import resolveHost

#: The UDP port of time servers.
PORT = 123
#: How often the time is asked; the two extremes are dropped.
MEASUREMENTS = 5
#: Seconds that an answer may take.
ANSWER_TIMEOUT = 5.0
#: Seconds from the start until the time is asked first, from then on, and while the clock is wrong.
FIRST_INTERVAL, INTERVAL, WRONG_INTERVAL = 1.0, 3600.0, 300.0
#: The least seconds between two times, whatever makes the clock suspect.
CHECK_INTERVAL = 60.0

_SIZE = 48
#: Version 3, from a client.
_REQUEST = b"\x1b" + bytes(39)
_SERVER_MODE = 4
#: Where an answer repeats the time stamp of the request.
_ORIGIN = slice(24, 32)
_TRANSMITTED = Struct(">40xQ")
#: Seconds from 1900 to 1970, and after which the seconds of a time stamp, 32 bits, begin at 0 again (RFC 4330, 3).
_EPOCH, _ERA = 2_208_988_800, 1 << 32

_EFFECTS = {
    "ahead": "packets of other nodes, valid for 20 s mostly, count as expired here, so discovery v4 finds no nodes",
    "behind": "other nodes take our packets, valid for 20 s, for expired, so discovery v4 gets no answers",
}

#: With discovery v5 alone, whose packets tell no time.
V5_EFFECT = "a fork enters the local record, and nodes leave the database, at the wrong time"

_log = Logger()


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
            since1900 = transmitted / (1 << 32)
            answer.callback((since1900 if since1900 >= _ERA / 2 else since1900 + _ERA) - _EPOCH)


def checkTimeServer(text: str | None) -> None:
    """
    Check the host of a time server; C{None} is none.

    @raise InvalidAddress: it is neither a host name nor an address.
    """
    if text is None or (is_hostname(text) and not text.replace(".", "").isdigit()):
        return
    try:
        parse_address(text)
    except InvalidAddress:
        raise InvalidAddress(f"a time server is a host name or an address, not {text!r}") from None


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
    fault = f"time server {server} has no address"
    for address in await resolveHost(reactor, server):
        try:
            drifts = await _drifts(reactor, address, seconds, unixTime, randomBytes)
        except TimeoutError:
            fault = f"time server {server} does not answer"
        except (OSError, CannotListenError) as error:
            fault = f"time server {server} cannot be asked: {error}"
        else:
            middle = sorted(drifts)[1:-1]
            return sum(middle) / len(middle)
    raise DevP2PError(fault)


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


class ClockWatch:
    """
    Says when the system clock is wrong, and when it is right again.

    A time server is believed before other nodes: it is asked at the start, every hour, every five minutes while the
    clock is wrong, and when something makes the clock suspect. Without one, or while it does not answer, what other
    nodes show counts (L{devp2p_tx.core.discv4.clock}).
    """

    def __init__(
        self,
        reactor: Any,
        server: str | None,
        seconds: Callable[[], float],
        unixTime: Callable[[], float],
        randomBytes: Callable[[int], bytes],
        metrics: Metrics,
        effects: Mapping[str, str] = _EFFECTS,
    ) -> None:
        """
        @param reactor: C{IReactorUDP}, C{IReactorTime} and C{IReactorPluggableNameResolver}.
        @param server: host name or address of the time server, such as C{pool.ntp.org}; C{None} for none.
        @param seconds: a monotonic clock.
        @param unixTime: the clock in question.
        @param randomBytes: source of randomness.
        @param metrics: where the measurements are counted, as C{clock_checks}.
        @param effects: what fails because of a clock that is C{ahead}, or C{behind}.
        """
        self._reactor, self._server = reactor, server
        self._seconds, self._unixTime, self._randomBytes = seconds, unixTime, randomBytes
        self._metrics, self._effects = metrics, effects
        self._state = ClockState()
        self._asking: Deferred[None] | None = None
        self._alarm: IDelayedCall | None = None
        self._asked = float("-inf")
        self._isSilent = False  # the server did not answer, which was said

    def start(self) -> None:
        """Begin to ask the time server, if there is one."""
        if self._server is not None:
            self._alarm = self._reactor.callLater(FIRST_INTERVAL, self._askAgain)

    def stop(self) -> None:
        """Ask no more."""
        for each in (self._alarm, self._asking):
            if each is not None:
                each.cancel()
        self._alarm = None

    def suspect(self) -> None:
        """Ask the time server, unless that was done lately."""
        if self._alarm is not None and self._seconds() - self._asked >= CHECK_INTERVAL:
            self._alarm.reset(0)

    def nodesShow(self, offset: ClockOffset) -> None:
        """Other nodes show how wrong the clock is."""
        if self._server is None or self._isSilent:
            self._judge(offset.seconds, f"by the packets of {offset.nodes} nodes")
        elif self._state.would_be_wrong(offset.seconds) != self._state.is_wrong:
            self.suspect()

    def _askAgain(self) -> None:
        self._asked = self._seconds()
        self._alarm = self._reactor.callLater(WRONG_INTERVAL if self._state.is_wrong else INTERVAL, self._askAgain)
        if self._asking is None:
            self._asking = Deferred.fromCoroutine(self._ask(self._server or ""))
            self._asking.addErrback(_logUnlessCancelled).addBoth(self._answered)

    def _answered(self, _: object) -> None:
        self._asking = None

    async def _ask(self, server: str) -> None:
        try:
            drift = await measureDrift(self._reactor, server, self._seconds, self._unixTime, self._randomBytes)
        except DevP2PError as error:
            if not self._isSilent:
                _log.info(
                    "the system clock cannot be compared with {server}: {error} (--ntp HOST|none)",
                    server=server,
                    error=error,
                )
            self._isSilent = True
            return
        if self._isSilent:
            _log.info("time server {server} answers", server=server)
        self._isSilent = False
        self._metrics.count("clock_checks")
        self._judge(drift, f"by {server}")
        if self._alarm is not None and self._state.is_wrong:
            self._alarm.reset(WRONG_INTERVAL)

    def _judge(self, offset: float, source: str) -> None:
        if not self._state.judge(offset):
            return
        direction = "ahead" if offset > 0 else "behind"
        if self._state.is_wrong:
            _log.warn(
                "the system clock is {seconds:.1f} s {direction}, {source}: {effect}. Set the clock, or enable network"
                " time synchronization",
                seconds=abs(offset),
                direction=direction,
                source=source,
                effect=self._effects[direction],
            )
        else:
            _log.warn(
                "the system clock is right again: {seconds:.1f} s {direction}, {source}",
                seconds=abs(offset),
                direction=direction,
                source=source,
            )


def _logUnlessCancelled(failure: Failure) -> None:
    if not failure.check(CancelledError):
        _log.failure("while the system clock was compared with a time server", failure)
