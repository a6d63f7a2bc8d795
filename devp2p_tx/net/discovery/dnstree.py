"""
Node lists in DNS (EIP-1459): L{devp2p_tx.core.dnstree} walks, this resolves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.dnstree.entries import parse_url
from devp2p_tx.core.dnstree.walker import Failed, Found, Query, TreeWalker
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.metrics import SOURCE_FAILURES, Metrics
from devp2p_tx.errors import NameLookupError, ServerStopped
from devp2p_tx.interfaces import INodeSource
from devp2p_tx.net.log import Logger

#: How long one name may take, whatever the resolver does (seconds).
LOOKUP_TIMEOUT = 30.0

#: The type of the DNS records that hold lists; an answer may have others, too (RFC 1035, 3.2.2).
_TXT = 16

_log = Logger()


class TextResolver(Protocol):
    """
    What is asked of a resolver, as C{IResolver} of Twisted has it; L{devp2p_tx.net.names.nameservers} has the system's.
    """

    def lookupText(self, name: str) -> Deferred[Any]: ...


@implementer(INodeSource)
class DNSTrees:
    """
    An endless line of nodes from lists in DNS. Nothing is resolved unless somebody asks for the next one.
    """

    name = "dns"

    def __init__(
        self,
        urls: Iterable[str],
        clock: IReactorTime,
        seconds: Callable[[], float],
        random: Random,
        resolver: Callable[[], TextResolver],
        admits: Callable[[IPAddress], bool] = lambda ip: True,
        metrics: Metrics | None = None,
    ) -> None:
        """
        @param urls: C{enrtree://} URLs.
        @param resolver: makes the resolver when it is first needed.
        @param admits: whether an address that a list names may be contacted; by default all may.
        @param metrics: where lookups that fail are counted.
        @raise devp2p_tx.errors.InvalidNode: a URL cannot be read.
        """
        urls = list(urls)
        self._domains = {parse_url(url).domain for url in urls}
        self._metrics = metrics or Metrics()
        self._walker = TreeWalker(urls, random)
        self._clock, self._seconds = clock, seconds
        self._makeResolver = resolver
        self._admits = admits
        self._resolver: TextResolver | None = None
        self._asked: Deferred[Node] | None = None
        self._query: Deferred[Any] | None = None
        self._alarm: IDelayedCall | None = None
        self._failing: dict[str, str] = {}

    @property
    def failing(self) -> Mapping[str, str]:
        """The domains of the lists that the user named and that cannot be read now, each with the reason."""
        return self._failing

    @property
    def trouble(self) -> str | None:
        """Why none of the lists that the user named can be read: the last reason; C{None} if one can."""
        if len(self._failing) < len(self._domains):
            return None
        return f"none of {len(self._domains)} lists can be read ({list(self._failing.values())[-1]})"

    def next(self) -> Deferred[Node]:
        """
        Fires with the next node that has a TCP port; they come in no order, and come again.

        @raise RuntimeError: another call is still waiting.
        """
        if self._asked is not None:
            raise RuntimeError("a node was asked for already")
        asked = self._asked = Deferred(self._forget)
        self._step()
        return asked

    def stop(self) -> None:
        """Resolve no more; who waits fails with L{ServerStopped}."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        asked, self._asked = self._asked, None
        if self._query is not None:
            self._query.cancel()
        if asked is not None:
            asked.errback(ServerStopped("server stopped"))

    def _forget(self, cancelled: Deferred[Node]) -> None:
        self._asked = None

    def _step(self) -> None:
        while self._asked is not None and self._query is None:
            step = self._walker.next(self._seconds())
            if isinstance(step, Found):
                self._found(Node.from_record(step.record))
            elif isinstance(step, Failed):
                _log.debug("{name}: {reason}", name=step.name, reason=step.reason)
            elif isinstance(step, Query):
                self._resolve(step.name)
            else:
                self._wait(step.time)
                return

    def _found(self, node: Node) -> None:
        asked = self._asked
        if asked is not None and node.ip is not None and node.tcp and self._admits(node.ip):
            self._asked = None
            asked.callback(node)

    def _wait(self, until: float | None) -> None:
        if self._alarm is None and until is not None:
            self._alarm = self._clock.callLater(max(0.0, until - self._seconds()), self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self._step()

    def _resolve(self, name: str) -> None:
        query = self._query = maybeDeferred(self._lookup, name)  # a stranger's name may be none that can be asked for
        query.addCallbacks(self._answered, self._failed, callbackArgs=(name,), errbackArgs=(name,))
        query.addBoth(lambda _: self._sayWhatFails())
        query.addBoth(lambda _: self._step())

    def _sayWhatFails(self) -> None:
        """One sentence when a list that the user named cannot be read, and one when it can be again."""
        before, self._failing = self._failing, dict(self._walker.failing)
        for domain in before.keys() - self._failing.keys():
            _log.info("the DNS list {domain} can be read again", domain=domain)
        for domain in self._failing.keys() - before.keys():
            _log.warn(
                "the DNS list {domain} cannot be read: {reason}; it is tried again from time to time",
                domain=domain,
                reason=self._failing[domain],
            )

    def _lookup(self, name: str) -> Deferred[Any]:
        if self._resolver is None:
            self._resolver = self._makeResolver()
        return self._resolver.lookupText(name).addTimeout(LOOKUP_TIMEOUT, self._clock)

    def _answered(self, answer: Any, name: str) -> None:
        self._query = None
        payloads = [record.payload for record in answer[0] if record.type == _TXT]
        texts = [b"".join(payload.data).decode("utf-8", "replace") for payload in payloads]
        self._walker.on_answer(name, texts, self._seconds())

    def _failed(self, failure: Failure, name: str) -> None:
        self._query = None
        self._metrics.count(SOURCE_FAILURES, source=self.name, reason=type(failure.value).__name__)
        self._walker.on_failure(name, self._seconds(), _reason(failure))


def _reason(failure: Failure) -> str:
    if failure.check(NameLookupError):
        return failure.getErrorMessage()
    if failure.check(TimeoutError):
        return f"no answer within {LOOKUP_TIMEOUT:g} s"
    return f"{type(failure.value).__name__}: {failure.getErrorMessage()}"
