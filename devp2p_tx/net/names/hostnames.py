"""
Host names: what they mean, and for how long; and as addresses where nobody resolves them.

Addresses come from the resolver that the reactor has, which is the system's: it knows C{/etc/hosts}, search domains and
whatever else the user's other programs know. It does not say for how long they hold, so the name servers are asked for
that meanwhile, if there are any; where they do not know the name it is L{DEFAULT_TTL}. A name is asked for again when
somebody wants it after that.

A name that has no address is asked for ever more rarely, and logged once. Where it had some before these are kept: most
often it is not the host that went but the name server.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, maybeDeferred, succeed
from twisted.internet.interfaces import IAddress, IHostResolution, IReactorCore, IResolutionReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from devp2p_tx._oneshot import OneShot
from devp2p_tx.core.addressing.addresses import IPAddress, parse_address
from devp2p_tx.net.log import Logger
from devp2p_tx.net.names.nameservers import CONFIGURATION, NameServers

#: How long a name may take (seconds).
RESOLVE_TIMEOUT = 5.0
#: How many names the system is asked for at once.
MAX_RESOLVING = 10
#: Addresses of one name that are used; all of them are tried.
MAX_ADDRESSES = 8
#: How long addresses hold if nobody says, and at most (seconds).
DEFAULT_TTL, MAX_TTL = 30.0, 3600.0
#: How soon a name without an address is asked for again: first, and at most, when the time has doubled often (seconds).
RETRY, MAX_RETRY = 15.0, 240.0
#: Names that are remembered; beyond it the one that was asked for first is forgotten.
MAX_NAMES = 1024

_log = Logger()


class TTLResolver(Protocol):
    """What is asked of a resolver; each answers as C{IResolver} of Twisted has it."""

    def lookupAddress(self, name: str) -> Deferred[Any]: ...

    def lookupIPV6Address(self, name: str) -> Deferred[Any]: ...


@implementer(IAddress)
@dataclass(frozen=True)
class NamedAddress:
    """
    Where a proxy connects to for us, or lets others connect to us.

    @ivar host: a host name, such as that of an onion service.
    @ivar port: the port there.
    """

    host: str
    port: int


@implementer(IResolutionReceiver)
class _Collecting:
    def __init__(self, complete: Deferred[list[IPAddress]]) -> None:
        self._complete = complete
        self._found: list[IPAddress] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        pass

    def addressResolved(self, address: IAddress) -> None:
        found: Any = address
        self._found.append(parse_address(found.host.partition("%")[0]))

    def resolutionComplete(self) -> None:
        self._complete.callback(self._found)


def _lookUp(reactor: Any, name: str) -> Deferred[list[IPAddress]]:
    """The addresses, in the system's order, which prefers what it can reach; none after L{RESOLVE_TIMEOUT}."""
    if not _canBeAskedFor(name):
        return succeed([])
    complete: Deferred[list[IPAddress]] = Deferred()
    complete.addTimeout(RESOLVE_TIMEOUT, reactor)
    complete.addErrback(_none)
    reactor.nameResolver.resolveHostName(_Collecting(complete), name)
    return complete


def _canBeAskedFor(name: str) -> bool:
    """Return whether a text can be a host name: the system's resolver fails at others in a way that nobody catches."""
    try:
        return bool(name.encode("idna")) and "\0" not in name
    except UnicodeError:  # an empty label, or one of more than 63 bytes
        return False


def _none(failure: Failure) -> list[IPAddress]:
    failure.trap(TimeoutError)
    return []


def resolveHost(reactor: Any, name: str) -> Deferred[list[IPAddress]]:
    """
    Look a name up.

    @param reactor: C{IReactorPluggableNameResolver} and C{IReactorTime}.
    @return: fires with the addresses, each family in the order in which they were found, IPv4 first; with none if the
        name has none, or after L{RESOLVE_TIMEOUT}. Cancelling it does no more than no longer to wait.
    """
    return _lookUp(reactor, name).addCallback(lambda found: sorted(found, key=lambda ip: ip.version))


def leaveUnresolved(reactor: Any) -> None:
    """
    Have names resolved by threads that nobody waits for when the process ends: the system does not let go of one that
    asks a dead name server, for half a minute maybe.

    @param reactor: that of this process.
    """
    from twisted.internet._resolver import GAIResolver
    from twisted.python.threadpool import ThreadPool

    pool = ThreadPool(0, MAX_RESOLVING, "names")
    pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]
    pool.start()
    reactor.installNameResolver(GAIResolver(reactor, lambda: pool))


@dataclass
class _Known:
    """What is known of a name: its last addresses, until when they hold, and how often in a row it had none."""

    addresses: list[IPAddress]
    until: float = 0.0
    failures: int = 0


class HostNames:
    """The host names of one node. All who want the same one at the same time wait for one answer."""

    def __init__(
        self, reactor: Any, seconds: Callable[[], float], resolver: Callable[[], TTLResolver] | None = None
    ) -> None:
        """
        @param reactor: C{IReactorPluggableNameResolver} and C{IReactorTime}.
        @param seconds: a monotonic clock.
        @param resolver: makes, for each question, what tells for how long addresses hold; C{None} for nobody.
        """
        self._reactor, self._seconds = reactor, seconds
        self._makeResolver = resolver
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asked: dict[str, OneShot[list[IPAddress]]] = {}
        self._asking: set[Deferred[Any]] = set()

    def resolve(self, name: str) -> Deferred[list[IPAddress]]:
        """
        The addresses of a name.

        @return: fires with up to L{MAX_ADDRESSES}, in the order in which they should be tried; with none if the name
            has none. Cancelling it does no more than no longer to wait.
        """
        name = name.lower()
        known = self._known.get(name)
        if known is not None and self._seconds() < known.until:
            return succeed(list(known.addresses))
        asked = self._asked.get(name)
        if asked is None:
            asked = self._asked[name] = OneShot()
            waiting = asked.when()
            looking = maybeDeferred(_lookUp, self._reactor, name)
            looking.addCallbacks(self._answered, self._broke, callbackArgs=(name,), errbackArgs=(name,))
            self._hold(looking)
            return waiting
        return asked.when()

    def failing(self) -> list[str]:
        """The names that had no address when they were last asked for."""
        return [name for name, known in self._known.items() if known.failures]

    def stop(self) -> None:
        """Wait for nothing any more; who waits is given what was known."""
        for asking in list(self._asking):
            asking.cancel()
        for name in list(self._asked):
            self._tell(name)

    def _hold(self, asking: Deferred[Any]) -> None:
        self._asking.add(asking)
        asking.addBoth(self._let, asking)

    def _let(self, result: object, asking: Deferred[Any]) -> None:
        self._asking.discard(asking)
        if isinstance(result, Failure):
            result.trap(CancelledError)

    def _broke(self, failure: Failure, name: str) -> None:
        """The system's resolver failed in a way that is not to be expected: as good as no address, but for the log."""
        if not failure.check(CancelledError):
            _log.failure("resolving {name}", failure, name=name)
            self._answered([], name)

    def _answered(self, found: list[IPAddress], name: str) -> None:
        known = self._known.pop(name, None) or _Known([])
        self._known[name] = known
        if len(self._known) > MAX_NAMES:
            self._known.popitem(last=False)
        if found:
            self._succeeded(known, list(dict.fromkeys(found))[:MAX_ADDRESSES], name)
        else:
            self._failed(known, name)
        self._tell(name)

    def _succeeded(self, known: _Known, found: list[IPAddress], name: str) -> None:
        if known.failures:
            _log.info("host name {name} has an address again", name=name)
        now = self._seconds()
        known.addresses, known.failures, known.until = found, 0, now + DEFAULT_TTL
        if self._makeResolver is not None:
            self._hold(Deferred.fromCoroutine(self._learnTTL(known, name, now, self._makeResolver)))

    def _failed(self, known: _Known, name: str) -> None:
        if not known.failures:
            _log.warn(
                "host name {name} has no address{kept}; it is asked for again from time to time",
                name=name,
                kept=", so that the one it had is used" if known.addresses else "",
            )
        known.until = self._seconds() + min(RETRY * 2.0 ** min(known.failures, 8), MAX_RETRY)
        known.failures += 1

    def _tell(self, name: str) -> None:
        asked, known = self._asked.pop(name, None), self._known.get(name)
        if asked is not None:
            asked.fire(list(known.addresses) if known is not None else [])

    async def _learnTTL(self, known: _Known, name: str, since: float, makeResolver: Callable[[], TTLResolver]) -> None:
        """Only the families are asked for of which there are addresses, so that what is local stays local."""
        try:
            resolver = makeResolver()
            times = [await _askTTL(resolver, name, version) for version in {ip.version for ip in known.addresses}]
        except CancelledError:
            raise
        except Exception as error:  # of a dozen kinds, all of which mean that there is no answer
            _log.debug("nobody says for how long {name} holds: {error!r}", name=name, error=error)
            return
        if not known.failures:
            known.until = since + min(times)


async def _askTTL(resolver: TTLResolver, name: str, version: int) -> float:
    lookUp = resolver.lookupAddress if version == 4 else resolver.lookupIPV6Address
    answers, _, _ = await lookUp(name)
    return min(min((float(answer.ttl) for answer in answers), default=DEFAULT_TTL), MAX_TTL)


class SystemTTLs:
    """
    For how long addresses hold: the hosts file, as long as if nobody said, then the system's name servers. It keeps
    nothing that would have to be ended.
    """

    def __init__(self, reactor: Any, hostsFile: str = "/etc/hosts", configuration: str = CONFIGURATION) -> None:
        """@param reactor: see L{NameServers}."""
        from twisted.names.hosts import Resolver  # a tenth of a second that only those with host names pay

        self._hosts: TTLResolver = Resolver(hostsFile.encode(), int(DEFAULT_TTL))
        self._servers = NameServers(reactor, configuration)

    def lookupAddress(self, name: str) -> Deferred[Any]:
        """See L{TTLResolver}."""
        return self._hosts.lookupAddress(name).addErrback(lambda _: self._servers.lookupAddress(name))

    def lookupIPV6Address(self, name: str) -> Deferred[Any]:
        """See L{TTLResolver}."""
        return self._hosts.lookupIPV6Address(name).addErrback(lambda _: self._servers.lookupIPV6Address(name))


def isReal(reactor: Any) -> bool:
    """Whether a reactor is of this system, whose name servers can be asked, and not of a pretended network."""
    return bool(IReactorCore.providedBy(reactor))
