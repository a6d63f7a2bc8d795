"""
The loop that keeps ports mapped.

Rules:

  - A router is searched for until one is found; it is kept as long as it maps anything.
  - A mapping is renewed long before it ends, with the external port that it has. Another port, when the router gives
    one, is told like a new mapping: what we announce is never wrong for longer than it takes to hear of it.
  - A renewal that failed is tried again soon; what is mapped counts as mapped meanwhile, as it probably is. Past
    L{MAX_FAILURES} failures in a row it is deleted and forgotten.
  - Our outer address is asked for every now and then. If it changed, or nobody answers, all mappings are renewed at
    once; so is one that the router has forgotten, which counts as mapped unless that fails: what a router says of its
    memory is not always so.
  - A mapper that makes a mistake, or does not answer at all, has failed like one that refuses.
  - At the end mappings are deleted side by side, also one that was just being asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, gatherResults, maybeDeferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.core.nat.ports import Mapping, Transport, outer_address
from devp2p_tx.errors import PortMappingError, RouterSilent
from devp2p_tx.interfaces import IPortMapper
from devp2p_tx.net.log import Logger
from devp2p_tx.net.nat.finding import attempt

#: So many renewals of a mapping may fail in a row.
MAX_FAILURES = 5
#: How long a mapper may take for anything (seconds); ours take less.
CALL_TIMEOUT = 60.0
#: How long the deleting at the end may take, and before that whatever was under way, to end (seconds).
STOP_TIMEOUT, END_TIMEOUT = 3.0, 0.5
#: The longest life of a mapping that is believed (seconds): that of NAT-PMP and PCP.
MAX_LIFE = float((1 << 32) - 1)
#: However short a life a router grants, this is how long a renewal waits (seconds).
MIN_REFRESH = 1.0

T = TypeVar("T")

_log = Logger()


class Timing(NamedTuple):
    """
    All in seconds.

    @ivar lease: the life that a mapping is asked for.
    @ivar refresh: when it is renewed; sooner, at half its life, if it was granted a short one (RFC 6886, section 3.3).
    @ivar retry: from a failure to the next try; also from a search that found nobody.
    @ivar poll: how often our outer address is asked for.
    """

    lease: float = 20 * 60.0  # so that it outlives a renewal that failed, and the next one
    refresh: float = 8 * 60.0
    retry: float = 5 * 60.0
    poll: float = 2 * 60.0


TIMING = Timing()


class MappingObserver(Protocol):
    """Who is told what the loop has come to."""

    def addressIs(self, ip: IPAddress | None) -> None:
        """Our outer address is another; C{None} if it is not known any more."""

    def mapped(self, mapping: Mapping) -> None:
        """A port was mapped, or is mapped to another port from now on."""

    def lost(self, mapping: Mapping, why: str) -> None:
        """A mapping is no more."""

    def changed(self) -> None:
        """Something was tried: C{error} of the loop, or of a port, may be another."""


class MappedPort:
    """
    A port of ours.

    @ivar transport: TCP or UDP.
    @ivar internal: its number.
    @ivar held: its mapping; C{None} if there is none.
    @ivar wish: the external port to ask for; 0 for none in particular.
    @ivar expires: when that ends, in seconds of the loop's clock.
    @ivar error: why the last try failed; empty if it did not.
    @ivar due: when it is to be mapped, or renewed, on the same clock.
    @ivar failures: how many renewals failed in a row.
    @ivar isForgotten: whether the router says that it has forgotten the mapping.
    @ivar asked: what is being asked for.
    """

    def __init__(self, transport: Transport, internal: int) -> None:
        self.transport, self.internal = transport, internal
        self.held: Mapping | None = None
        self.wish = 0
        self.expires = 0.0
        self.error = ""
        self.due = 0.0
        self.failures = 0
        self.isForgotten = False
        self.asked: Mapping | None = None


class MappingLoop:
    """
    From L{start} to L{stop}, once.

    @ivar ports: what is to be mapped.
    @ivar mapper: who does it; C{None} while it is searched for.
    @ivar ip: our outer address; C{None} while it is not known.
    @ivar error: why there is no mapper, or no address; empty if there is.
    """

    def __init__(
        self,
        find: Callable[[], Deferred[IPortMapper]],
        ports: list[MappedPort],
        observer: MappingObserver,
        reactor: Any,
        seconds: Callable[[], float],
        metrics: Metrics,
        timing: Timing = TIMING,
    ) -> None:
        """
        @param find: searches for a mapper; fails with L{PortMappingError}.
        @param reactor: C{IReactorTime}.
        @param seconds: a monotonic clock.
        """
        self.ports = ports
        self.mapper: IPortMapper | None = None
        self.ip: IPAddress | None = None
        self.error = ""
        self._find = find
        self._observer = observer
        self._reactor, self._seconds = reactor, seconds
        self._metrics = metrics
        self._timing = timing
        self._running: Deferred[None] | None = None
        self._stopping = False
        self._nextPoll = 0.0

    def start(self) -> None:
        """Begin."""
        self._running = Deferred.fromCoroutine(self._run()).addErrback(self._ended)

    def _ended(self, failure: Failure) -> None:
        if not (self._stopping and failure.check(CancelledError)):
            _log.failure("the mapping of ports", failure)

    def stop(self) -> Deferred[None]:
        """End; fires when mappings are deleted, or after L{END_TIMEOUT} and L{STOP_TIMEOUT} seconds; never fails."""
        self._stopping = True
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        try:
            await self._end()
        except Exception:  # of a mapper that somebody else wrote
            _log.failure("what the port mapper was doing cannot be ended")
        mappings = [mapping for port in self.ports if (mapping := port.held or port.asked)]
        await gatherResults([Deferred.fromCoroutine(self._deleteLast(each)) for each in mappings], consumeErrors=True)

    async def _end(self) -> None:
        """Cancel what is under way; a mapper that goes on all the same is not waited for."""
        if self._running is None:
            return
        ended: Deferred[None] = Deferred()
        self._running.addBoth(lambda _: None if ended.called else ended.callback(None))
        self._running.cancel()
        try:
            await ended.addTimeout(END_TIMEOUT, self._reactor)
        except TimeoutError:
            _log.error("the port mapper goes on although it was cancelled; it is not waited for")

    async def _deleteLast(self, mapping: Mapping) -> None:
        deleting = Deferred.fromCoroutine(self._delete(mapping)).addTimeout(STOP_TIMEOUT, self._reactor)
        try:
            await deleting
        except TimeoutError:
            _log.debug("the router was too slow to delete {mapping}", mapping=mapping)
        except Exception:  # a mistake of a mapper must not keep the other deletions from being waited for
            _log.failure("deleting {mapping}", mapping=mapping)

    async def _delete(self, mapping: Mapping) -> None:
        assert self.mapper is not None
        try:
            await self._ask(self.mapper, "delete", self.mapper.deleteMapping, mapping)
        except PortMappingError as error:
            _log.debug(
                "{mapper} does not delete {mapping}: {error}", mapper=self.mapper.name, mapping=mapping, error=error
            )

    async def _ask(self, mapper: IPortMapper, action: str, asking: Callable[..., Deferred[T]], *arguments: Any) -> T:
        """
        Have a mapper do something, and count it.

        @raise PortMappingError: it did not, in time.
        """
        doing = maybeDeferred(asking, *arguments).addTimeout(CALL_TIMEOUT, self._reactor)
        return await attempt(self._metrics, mapper.mechanism, action, doing.addErrback(self._mistaken, mapper, action))

    @staticmethod
    def _mistaken(failure: Failure, mapper: IPortMapper, action: str) -> NoReturn:
        """What a mapper may fail with, as it is; a mistake is logged, and is a failure like others."""
        if failure.check(CancelledError, PortMappingError):
            failure.raiseException()
        if failure.check(TimeoutError):
            raise RouterSilent(f"no answer within {CALL_TIMEOUT:g} s")
        _log.failure("{mapper} fails at {action} in an unexpected way", failure, mapper=mapper.name, action=action)
        raise PortMappingError(f"unexpected {type(failure.value).__name__}: {failure.getErrorMessage()}")

    # The loop.

    async def _run(self) -> None:
        while True:
            try:
                self.mapper = await self._find()
            except PortMappingError as error:
                self._goOn()
                self.error = str(error)
                _log.debug("{error}", error=error)
            else:
                self.error = ""
                await self._keep(self.mapper)
                self.mapper = None
            self._observer.changed()
            await deferLater(self._reactor, self._timing.retry)

    def _goOn(self) -> None:
        """
        Called after each failure: who waits is cancelled, but what it waited for may make another failure of that.

        @raise CancelledError: this is the end.
        """
        if self._stopping:
            raise CancelledError

    async def _keep(self, mapper: IPortMapper) -> None:
        """Use a mapper, until it is good for nothing any more."""
        ports = self.ports if mapper.mapsPorts else []
        self._renewAll()
        self._nextPoll = self._seconds()
        while True:
            await self._renewDue(mapper, ports)
            if self._nextPoll <= self._seconds():
                await self._poll(mapper, ports)
                await self._renewDue(mapper, ports)
            if mapper.mapsPorts and not any(port.held for port in ports):
                self._addressIs(None)
                return
            self._observer.changed()
            next = min([self._nextPoll, *(port.due for port in ports)])
            await deferLater(self._reactor, max(0.0, next - self._seconds()))

    async def _renewDue(self, mapper: IPortMapper, ports: list[MappedPort]) -> None:
        for port in ports:
            if port.due <= self._seconds():
                await self._renew(mapper, port)

    def _renewAll(self) -> None:
        for port in self.ports:
            port.due = self._seconds()

    async def _renew(self, mapper: IPortMapper, port: MappedPort) -> None:
        port.asked = Mapping(port.transport, port.internal, port.wish, self._timing.lease)
        try:
            made = await self._ask(mapper, "map", mapper.addMapping, port.asked)
            _check(made)
        except PortMappingError as error:
            self._goOn()
            await self._failed(mapper, port, str(error))
        else:
            self._made(port, made)
        port.asked = None

    def _made(self, port: MappedPort, made: Mapping) -> None:
        now, lifetime = self._seconds(), min(made.lifetime, MAX_LIFE)
        before, port.held, port.wish = port.held, made, made.external
        port.error, port.failures, port.isForgotten = "", 0, False
        port.expires = now + lifetime
        port.due = now + max(MIN_REFRESH, min(self._timing.refresh, lifetime / 2))
        if before is None or before.external != made.external:
            self._observer.mapped(made)

    async def _failed(self, mapper: IPortMapper, port: MappedPort, why: str) -> None:
        port.error = why
        port.due = self._seconds() + self._timing.retry
        _log.debug("{mapper} does not map port {port}: {why}", mapper=mapper.name, port=port.internal, why=why)
        if port.held is None:
            return
        if port.isForgotten:
            self._lose(port, f"the router forgot it, and does not map it again: {why}")
            return
        port.due = min(port.due, self._seconds() + max(MIN_REFRESH, port.held.lifetime / 4))
        port.failures += 1
        if port.failures > MAX_FAILURES:
            await self._delete(port.held)
            self._goOn()
            self._lose(port, why)
            port.wish = 0

    def _lose(self, port: MappedPort, why: str) -> None:
        lost, port.held, port.failures, port.isForgotten = port.held, None, 0, False
        assert lost is not None
        self._observer.lost(lost, why)

    async def _poll(self, mapper: IPortMapper, ports: list[MappedPort]) -> None:
        """Ask where we are, and whether the router still knows of us."""
        self._nextPoll = self._seconds() + self._timing.poll
        try:
            ip = _checkAddress(await self._ask(mapper, "address", mapper.externalIP), mapper)
        except PortMappingError as error:
            self._goOn()
            self.error = str(error)
            _log.debug("{mapper} does not tell our address: {error}", mapper=mapper.name, error=error)
            self._addressIs(None)
            self._renewAll()
            return
        self.error = ""
        if self.ip not in (None, ip):  # in another network, maybe
            self._renewAll()
        self._addressIs(ip)
        for port in ports:
            if port.held is not None and not await self._isKept(mapper, port.held):
                _log.debug("{mapper} forgot {mapping}", mapper=mapper.name, mapping=port.held)
                port.isForgotten, port.due = True, self._seconds()

    async def _isKept(self, mapper: IPortMapper, mapping: Mapping) -> bool:
        try:
            return await self._ask(mapper, "check", mapper.hasMapping, mapping)
        except PortMappingError:
            self._goOn()
            return True

    def _addressIs(self, ip: IPAddress | None) -> None:
        if ip != self.ip:
            self.ip = ip
            self._observer.addressIs(ip)


def _checkAddress(ip: IPAddress, mapper: IPortMapper) -> IPAddress:
    """
    The outer address that a mapper says, ours or one that somebody else wrote; what maps nothing may say any, such as
    that which the user gave.

    @raise PortMappingError: it cannot be.
    """
    if not isinstance(ip, (IPv4Address, IPv6Address)):
        raise PortMappingError(f"says that our outer address is {ip!r}")
    return outer_address(ip) if mapper.mapsPorts else ip


def _check(made: Mapping) -> None:
    """
    @raise PortMappingError: nothing can have been mapped like that.
    """
    if not (isinstance(made, Mapping) and 0 < made.external <= 0xFFFF and made.lifetime > 0):
        raise PortMappingError(f"says that it mapped {made!r}")
