"""
Which source of nodes fails wholly, and why: counters, and lookups in DNS that are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from devp2p_tx.core.dnstree.walker import RECHECK_INTERVAL
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.net.discovery.dnstree import TextResolver

#: What is counted, by C{source} and C{reason}.
FAILURES = "source_failures"
#: How long a lookup that succeeded shows that not all of them fail (seconds): of lists that are all cached, the roots
#: alone are looked up from time to time.
MEMORY = RECHECK_INTERVAL + 60.0


class CountedResolver:
    """Another resolver, whose lookups of texts are counted."""

    def __init__(
        self, make: Callable[[], TextResolver], source: str, metrics: Metrics, seconds: Callable[[], float]
    ) -> None:
        """
        @param make: makes the resolver when it is first needed.
        @param source: the name under which failures are counted.
        """
        self._make, self._source, self._metrics, self._seconds = make, source, metrics, seconds
        self._succeededAt = -inf
        self._resolver: TextResolver | None = None
        self._failed = 0  # since the last that succeeded
        self._reason = ""

    def lookupText(self, name: str, *arguments: Any, **options: Any) -> Deferred[Any]:
        """See L{TextResolver}."""
        try:
            self._resolver = self._resolver or self._make()
            looking = self._resolver.lookupText(name, *arguments, **options)
        except Exception as error:
            self._note(error)
            raise
        return looking.addCallbacks(self._succeeded, self._lost)

    def _succeeded(self, answer: Any) -> Any:
        self._failed, self._succeededAt = 0, self._seconds()
        return answer

    def _lost(self, failure: Failure) -> Failure:
        self._note(failure.value)
        return failure

    def _note(self, error: BaseException | None) -> None:
        kind = type(error).__name__
        self._failed += 1
        self._reason = "no answer" if isinstance(error, CancelledError) else f"{kind}: {error}".removesuffix(": ")
        self._metrics.count(FAILURES, source=self._source, reason=kind)

    @property
    def trouble(self) -> str | None:
        """Why every lookup fails: the last reason; C{None} if there was none, or one succeeded not long ago."""
        if not self._failed or self._seconds() < self._succeededAt + MEMORY:
            return None
        return f"every lookup fails, {self._failed} so far ({self._reason})"
