"""
A node under twistd: its start, its end, and what its supervisor asks for by signals.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver
from twisted.python.components import Componentized
from twisted.python.failure import Failure

from devp2p_tx._oneshot import OneShot
from devp2p_tx.errors import DevP2PError
from devp2p_tx.net.log import Logger
from devp2p_tx.net.names.hostnames import leaveUnresolved
from devp2p_tx.net.timing.reactortime import useMonotonicTime
from devp2p_tx.node.opening import SETTINGS, CannotOpen
from devp2p_tx.node.server import Server
from devp2p_tx.tap.descriptors import raiseLimit
from devp2p_tx.tap.files import NodeFiles, StartFailed
from devp2p_tx.tap.logs import Log
from devp2p_tx.tap.options import Options
from devp2p_tx.tap.privileges import User
from devp2p_tx.tap.reloading import readAgain
from devp2p_tx.tap.signals import STOPPING, Signals, endInOrder
from devp2p_tx.tap.startpipe import StartPipe

#: The exit status of a node that did not start, or did not end in order.
FAILED = 1
_STDIN = 0

_log = Logger()


class NodeService(Service):
    """
    A L{Server} under twistd. What keeps it from starting ends the process with one sentence and the exit status 1.

    @ivar server: the server, once it is started.
    """

    def __init__(self, options: Options, signals: Signals) -> None:
        self._settings = options.settings
        self._twistd: dict[str, Any] = {} if options.parent is None else options.parent
        self._signals = signals
        self._user = User.after(self._twistd)
        self._files = NodeFiles(self._settings, self._user, _warn)
        self._startPipe = StartPipe(self._twistd)
        self._ended: OneShot[None] = OneShot()
        self._isPrivileged = self._isPrepared = self._isStopping = self._hasTerminal = False
        self.server: Server | None = None

    # The log.

    def setServiceParent(self, parent: Any) -> None:
        """
        See C{IService}; twistd gives us the application here, before it begins to log.

        @raise SystemExit: the log file cannot be opened.
        """
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]
        if not isinstance(parent, Componentized):
            return
        try:
            self._logFile = Log(self._twistd, self._settings.isJSON, self._settings.logPredicate)
        except OSError as error:
            print(f"--logfile: cannot open {error.filename}: {error.strerror}", file=sys.stderr)
            raise SystemExit(FAILED) from None
        if self._logFile.observer is not None:
            parent.setComponent(ILogObserver, self._logFile.observer)

    # The start.

    def privilegedStartService(self) -> None:
        """See C{IService}: open what may need root's rights, which twistd gives up after this."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._isPrivileged = True
        self._startPipe.take()
        self._hasTerminal = os.isatty(_STDIN)
        if not self._signals.isStopRequested:
            self._attempt(self._prepare)

    def _prepare(self) -> None:
        for sentence in self._settings.warnings:
            _warn(sentence)
        self._logFile.give(*self._user)
        if not self._user.canRead(os.__file__, __file__):
            _warn(
                f"--uid: this user cannot read the Python in {sys.prefix}, so what is imported later will be missing:"
                " install the node where that user can read it"
            )
        key = self._files.open()
        config = self._settings.serverConfig(key, self._files.isPersistent)
        raiseLimit(config)
        self.server = Server(config)
        self.server.privilegedStartService()
        self._isPrepared = True

    def _attempt(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception:
            self._failed(Failure())

    def startService(self) -> None:
        """See C{IService}."""
        from twisted.internet import reactor

        if not self._isPrivileged:  # not every runner has that step: twist, which is python -m twisted, has none
            self.privilegedStartService()
        super().startService()  # type: ignore[no-untyped-call]
        leaveUnresolved(reactor)
        useMonotonicTime(reactor)
        reactor.addSystemEventTrigger("during", "startup", self._signals.deliverTo, self._signalled, reactor)
        reactor.addSystemEventTrigger("after", "shutdown", endInOrder, reactor)
        if self._isPrepared:
            assert self.server is not None
            self.server.startService().addCallbacks(self._started, self._failed)

    def _started(self, _: None) -> None:
        self._startPipe.succeeded()

    def _failed(self, failure: Failure) -> None:
        from twisted.internet import reactor

        if self._isStopping:
            return  # it was stopped while it started, as its user wanted
        if not failure.check(DevP2PError, StartFailed, CannotOpen, OSError):
            _log.failure("a mistake in this program keeps the node from starting", failure)
        sentence = self._sentence(failure)
        _log.critical("{sentence}", sentence=sentence)
        self._startPipe.failed(sentence)
        self._endWithFailure()
        reactor.callWhenRunning(reactor.stop)

    def _sentence(self, failure: Failure) -> str:
        """What could not be done, beginning with the option that asked for it."""
        error = failure.value
        if not isinstance(error, CannotOpen):
            return str(error)
        values = self._settings.values
        source = values.source("discovery-port") if error.setting == SETTINGS["UDP"] else ""
        return f"{source or values.source('listen') or '--listen'}: {error}"

    # Signals.

    def _signalled(self, number: int) -> None:
        name = signal.Signals(number).name
        if number == signal.SIGHUP:
            self._hangUp()
        elif number == signal.SIGUSR1:
            self._logFile.rotate()
        elif number in STOPPING:
            self._stop(name)

    def _hangUp(self) -> None:
        if self._hasTerminal and not os.isatty(_STDIN):
            self._stop("SIGHUP, since the terminal was closed")
        elif self.server is not None and self.server.isRunning:
            readAgain(self._settings.lists, self.server)

    def _stop(self, name: str) -> None:
        from twisted.internet import reactor

        if not self._isStopping:
            self._isStopping = True
            _log.info("{name}: the node stops", name=name)
            reactor.stop()
        else:
            _log.warn("{name} again: the node ends without waiting for its peers", name=name)
            self._endWithFailure()
            self._ended.fire(None)

    # The end.

    def stopService(self) -> Deferred[None]:
        """
        See C{IService}.

        @return: fires when all is closed, or as soon as another signal comes.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self._isStopping = True
        if self.server is not None:
            self.server.stopService().addBoth(lambda _: self._close())
        else:
            self._close()
        return self._ended.when()

    def _close(self) -> None:
        self._startPipe.succeeded()
        self._files.close()
        self._ended.fire(None)

    def _endWithFailure(self) -> None:
        """twistd ends with the status 0 whenever its reactor was stopped in order; this is the last that runs."""
        atexit.register(_exitWithFailure)


def _exitWithFailure() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(FAILED)


def _warn(sentence: str) -> None:
    _log.warn("{sentence}", sentence=sentence)
