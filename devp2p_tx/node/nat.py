"""
A node's way through the NAT: which ports are to be mapped, who is told of it, and what our user reads of it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from devp2p_tx.core.addressing.addresses import LOOPBACK, PRIVATE, IPAddress, kinds
from devp2p_tx.core.crypto.keccak import keccak256
from devp2p_tx.core.crypto.secp256k1 import RandomBytes
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.core.nat.ports import Mapping, Transport
from devp2p_tx.core.text.nat import Mechanism, NATSpecification
from devp2p_tx.interfaces import IPortMapper
from devp2p_tx.net.log import Logger
from devp2p_tx.net.nat.finding import MapperFinder
from devp2p_tx.net.nat.mapping import TIMING, MappedPort, MappingLoop, Timing
from devp2p_tx.node.config import ServerConfig

_log = Logger()


_CURE = "ports that are mapped by hand can be told with --nat extip:ADDRESS"
_STUN_CURE = "another server can be named with --nat stun:HOST:PORT"


class MappedCallback(Protocol):
    """Who announces where we are; gives why he does not, or an empty text."""

    def __call__(self, source: str, ip: IPAddress | None, tcp: int | None, udp: int | None) -> str: ...


class _Wanted(NamedTuple):
    """
    What the user wants.

    @ivar text: how C{nodeInfo()} calls it.
    @ivar mechanism: how L{MappedCallback} is told of it.
    @ivar mapsPorts: whether it maps ports; if not, it only tells our outer address.
    """

    text: str
    mechanism: str
    mapsPorts: bool
    isNone: bool = False

    @classmethod
    def of(cls, nat: str | IPortMapper) -> _Wanted:
        if not isinstance(nat, str):
            return cls(nat.mechanism, nat.mechanism, nat.mapsPorts)
        wanted = NATSpecification.parse(nat)
        mapsPorts = wanted.mechanism not in (Mechanism.FIXED, Mechanism.STUN)
        return cls(str(wanted), wanted.mechanism.value, mapsPorts, wanted.mechanism is Mechanism.NONE)


class _Finder(Protocol):
    """What is asked of a L{MapperFinder}."""

    def find(self) -> Deferred[IPortMapper]: ...

    def close(self) -> Deferred[Any]: ...


class _Given:
    """Finds the port mapper that the user gave."""

    def __init__(self, mapper: IPortMapper) -> None:
        self._mapper = mapper

    def find(self) -> Deferred[IPortMapper]:
        return succeed(self._mapper)

    def close(self) -> Deferred[None]:
        return succeed(None)


class PortMapping:
    """
    From L{start} to L{stop}, once.
    """

    def __init__(
        self,
        config: ServerConfig,
        reactor: Any,
        seconds: Callable[[], float],
        random: Random,
        randomBytes: RandomBytes,
        metrics: Metrics,
        mapped: MappedCallback,
        timing: Timing = TIMING,
        finder: Callable[..., MapperFinder] = MapperFinder,
    ) -> None:
        """
        @param mapped: is called with what has come to be known: the mechanism; our outer address, C{None} when it is
            not known any more; the outer ports, C{None} where they are not mapped, or not mapped any more.
        @param timing: how long and how often.
        @param finder: makes what searches for a mapper.
        """
        self._wanted = _Wanted.of(config.nat)
        self._reactor, self._seconds, self._metrics = reactor, seconds, metrics
        self._mapped, self._timing = mapped, timing
        secret = keccak256(b"devp2p-tx: PCP nonces\n" + config.key.secret)
        self._finder: _Finder = (
            finder(NATSpecification.parse(config.nat), reactor, seconds, random, randomBytes, secret, metrics)
            if isinstance(config.nat, str)
            else _Given(config.nat)
        )
        self._loop: MappingLoop | None = None
        self._off = "turned off"
        self._known: IPAddress | None = None
        self._unsaid = ""
        self._trouble = ""

    def start(self, tcp: tuple[IPAddress, int] | None, udp: tuple[IPAddress, int] | None) -> None:
        """
        Begin, if there is anything to do.

        @param tcp: where RLPx listens; C{None} if it does not.
        @param udp: likewise for discovery.
        """
        if self._wanted.isNone:
            return
        sockets = {Transport.TCP: tcp, Transport.UDP: udp}
        ports = [MappedPort(each, at[1]) for each, at in sockets.items() if at is not None and isMappable(at[0])]
        if not ports and self._wanted.mapsPorts:
            self._off = "nothing listens at an address that a router could map to"
            return
        self._loop = MappingLoop(
            self._finder.find, ports, self, self._reactor, self._seconds, self._metrics, self._timing
        )
        self._loop.start()

    def stop(self) -> Deferred[None]:
        """End, and delete what is mapped; fires when that is done, or takes too long; never fails."""
        loop = self._loop
        if loop is None:
            return succeed(None)
        return maybeDeferred(loop.stop).addBoth(self._stopped, "mapping", self._finder.close).addBoth(self._stopped)

    @staticmethod
    def _stopped(result: object, what: str = "asking", then: Callable[[], Any] = lambda: None) -> Any:
        """One step of the end is over; however that came about, the next one follows."""
        if isinstance(result, Failure):
            _log.failure("{what} for port mappings cannot be stopped", result, what=what)
        return maybeDeferred(then)

    @property
    def ip(self) -> IPAddress | None:
        """Our outer address, while it is known."""
        return None if self._loop is None else self._loop.ip

    def info(self) -> dict[str, Any]:
        """As C{nodeInfo()} shows it."""
        loop = self._loop
        if loop is None:
            return {"mechanism": self._wanted.text, "state": "off", "error": self._off}
        return {
            "mechanism": self._wanted.text,
            "state": self._state(loop),
            "router": None if loop.mapper is None else loop.mapper.name,
            "externalIP": None if loop.ip is None else str(loop.ip),
            "mappings": {port.transport.name.lower(): self._portInfo(port) for port in loop.ports},
            "error": loop.error or self._unsaid or None,
        }

    def _state(self, loop: MappingLoop) -> str:
        if any(port.held for port in loop.ports):
            return "mapped"
        if loop.mapper is not None and not loop.mapper.mapsPorts:
            return "unknown" if loop.ip is None else "known"
        return "failed" if loop.error or any(port.error for port in loop.ports) else "searching"

    def _portInfo(self, port: MappedPort) -> dict[str, Any]:
        if port.held is None:
            return {"internal": port.internal, "external": None, "expiresIn": None, "error": port.error or None}
        return {
            "internal": port.internal,
            "external": port.held.external,
            "expiresIn": round(port.expires - self._seconds()),
            "error": port.error or None,
        }

    # What the loop tells.

    def addressIs(self, ip: IPAddress | None) -> None:
        """See L{MappingObserver}."""
        if ip is not None and ip != self._known:
            self._known = ip
            _log.info("our outer address is {ip}, says {mapper}", ip=ip, mapper=self._mapperName())
        self._tell()

    def mapped(self, mapping: Mapping) -> None:
        """See L{MappingObserver}."""
        _log.info(
            "{transport} port {internal} is mapped to port {external} by {mapper}",
            transport=mapping.transport.name,
            internal=mapping.internal,
            external=mapping.external,
            mapper=self._mapperName(),
        )
        self._tell()

    def lost(self, mapping: Mapping, why: str) -> None:
        """See L{MappingObserver}."""
        _log.info(
            "{transport} port {internal} is not mapped to port {external} any more: {why}",
            transport=mapping.transport.name,
            internal=mapping.internal,
            external=mapping.external,
            why=why,
        )
        self._tell()

    def changed(self) -> None:
        """See L{MappingObserver}: one sentence when something fails that our user wants, and one when nothing does."""
        before, self._trouble = self._trouble, self._failing()
        if bool(before) == bool(self._trouble):
            return
        mechanism = str(self.info()["mechanism"])
        if not self._trouble:
            _log.info("nat={mechanism} works again", mechanism=mechanism)
            return
        # By default a way is looked for, and there may be none: of a host without NAT there is nothing to mend.
        level = LogLevel.info if mechanism == Mechanism.ANY.value else LogLevel.warn
        _log.emit(
            level,
            "nat={mechanism}: {trouble}; it is tried again from time to time, and {cure}",
            mechanism=mechanism,
            trouble=self._trouble,
            cure=_STUN_CURE if mechanism.startswith(Mechanism.STUN.value) else _CURE,
        )

    def _failing(self) -> str:
        assert self._loop is not None
        errors = (
            f"{port.transport.name} port {port.internal} is not mapped: {port.error}"
            for port in self._loop.ports
            if port.error and port.held is None
        )
        return self._loop.error or next(errors, "")

    def _mapperName(self) -> str:
        return self._loop.mapper.name if self._loop is not None and self._loop.mapper is not None else ""

    def _tell(self) -> None:
        assert self._loop is not None
        outer = {port.transport: port.held.external for port in self._loop.ports if port.held is not None}
        source = self._wanted.mechanism
        before = self._unsaid
        self._unsaid = self._mapped(source, self._loop.ip, outer.get(Transport.TCP), outer.get(Transport.UDP))
        if self._unsaid not in ("", before):
            _log.warn("{sentence}", sentence=self._unsaid)


def isMappable(ip: IPAddress) -> bool:
    """Whether a router can map to what listens at C{ip}: not at an address that is one network's only, or our own's."""
    return kinds(ip) & (LOOPBACK | PRIVATE) == 0
