"""
Requests of other protocols that discovery v5 carries, while they are being answered.

Rules:

  - What a callback returns at once is sent at once. Who returns a Deferred takes one of L{MAX_ANSWERING} places until
    it fires.
  - Without a place a request waits, in line, for as long as makes sense to whoever asks, and is dropped then.
  - A Deferred that does not fire while anybody can be waiting for its answer is cancelled: places come back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from devp2p_tx.core.discv5.events import IncomingTalk
from devp2p_tx.core.metrics import Metrics
from devp2p_tx.net.log import Logger

#: Requests that are being answered at one time...
MAX_ANSWERING = 1024
#: ...those that wait for one of them to end; what comes beyond is dropped...
MAX_WAITING = 1024
#: ...and for how long they wait (seconds): others wait 0.7 s for an answer, which takes some time to make.
MAX_WAIT = 0.4
#: How long an answer may take (seconds): by then everybody has given up, who asks patiently and twice included.
ANSWER_TIMEOUT = 5.0
#: Seconds between two log entries on requests that were dropped.
LOG_INTERVAL = 5.0

TalkCallback = Callable[[IncomingTalk], "bytes | Deferred[bytes]"]

_log = Logger()


class _Late(Exception):
    """An answer took too long."""


class _Waiting:
    """A request in line, and the call that would drop it."""

    __slots__ = ("callback", "deadline", "request")

    def __init__(self, callback: TalkCallback, request: IncomingTalk) -> None:
        self.callback, self.request = callback, request
        self.deadline: Any = None


class Talks:
    """The requests that one node is answering."""

    def __init__(
        self,
        reactor: Any,
        seconds: Callable[[], float],
        metrics: Metrics,
        send: Callable[[IncomingTalk, bytes], object],
        flush: Callable[[], object],
    ) -> None:
        """
        @param reactor: C{IReactorTime}.
        @param seconds: the time for the log, in seconds of a monotonic clock.
        @param send: answers a request; raises if that cannot be sent.
        @param flush: is called after answers that do not come at once, when they are to go out.
        """
        self._reactor, self._seconds = reactor, seconds
        self._metrics = metrics
        self._send, self._flush = send, flush
        self._answering: set[Deferred[Any]] = set()
        self._waiting: deque[_Waiting] = deque()
        self._isServing = False
        self._dropped = 0  # since the last log entry
        self._logged: float | None = None

    def take(self, callback: TalkCallback, request: IncomingTalk) -> None:
        """Have a request answered, now or when there is a place for it."""
        if len(self._answering) < MAX_ANSWERING:
            self._begin(callback, request)
        elif len(self._waiting) < MAX_WAITING:
            waiting = _Waiting(callback, request)
            waiting.deadline = self._reactor.callLater(MAX_WAIT, self._giveUp, waiting)
            self._waiting.append(waiting)
        else:
            self._drop()

    def stop(self) -> None:
        """Cancel what is being answered; who asked has an empty answer. Forget what waits."""
        for waiting in self._waiting:
            waiting.deadline.cancel()
        self._waiting.clear()
        for answer in list(self._answering):
            answer.cancel()

    # Answers.

    def _begin(self, callback: TalkCallback, request: IncomingTalk) -> None:
        try:
            answer = callback(request)
        except Exception:
            self._failed(Failure(), request)
            return
        if not isinstance(answer, Deferred):
            self._answered(answer, request)
            return
        answer = _cancellable(answer)
        self._answering.add(answer)
        answer.addTimeout(ANSWER_TIMEOUT, self._reactor, onTimeoutCancel=_late)
        answer.addCallback(self._answered, request)
        answer.addErrback(self._failed, request)
        answer.addBoth(self._ended, answer)

    def _answered(self, message: bytes, request: IncomingTalk) -> None:
        try:
            self._send(request, message)
        except Exception:  # it is too long, or no bytes at all
            self._failed(Failure(), request)

    def _failed(self, failure: Failure, request: IncomingTalk) -> None:
        if failure.check(_Late):
            self._metrics.count("discv5_talk_late")
            return
        if not failure.check(CancelledError):
            _log.failure("answering {protocol}", failure, protocol=request.protocol)
        self._send(request, b"")

    def _ended(self, _: object, answer: Deferred[Any]) -> None:
        self._answering.discard(answer)
        if self._isServing:  # by an answer that was there at once
            return
        self._isServing = True
        try:
            while self._waiting and len(self._answering) < MAX_ANSWERING:
                waiting = self._waiting.popleft()
                waiting.deadline.cancel()
                self._begin(waiting.callback, waiting.request)
        finally:
            self._isServing = False
        self._flush()

    # Requests without an answer.

    def _giveUp(self, waiting: _Waiting) -> None:
        self._waiting.remove(waiting)
        self._drop()

    def _drop(self) -> None:
        self._metrics.count("discv5_talk_dropped")
        self._dropped += 1
        now = self._seconds()
        if self._logged is None or now - self._logged >= LOG_INTERVAL:
            _log.warn("requests of other protocols come faster than they are answered: {n} dropped", n=self._dropped)
            self._dropped, self._logged = 0, now


def _cancellable(answer: Deferred[bytes]) -> Deferred[bytes]:
    """
    What has the same outcome, and ends when it is cancelled, also if the callback's own canceller raises an error: that
    must neither keep us from stopping, nor take a place for ever.
    """

    def cancel(_: object) -> None:
        try:
            answer.cancel()
        except Exception:
            _log.failure("cancelling an answer")

    def ended(outcome: Any) -> None:
        if not guarded.called:
            guarded.callback(outcome)

    guarded: Deferred[bytes] = Deferred(cancel)
    answer.addBoth(ended)
    return guarded


def _late(cancelled: object, seconds: float) -> Failure:
    return Failure(_Late(f"no answer within {seconds} s"))
