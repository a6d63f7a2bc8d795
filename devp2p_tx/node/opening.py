"""
Open one listening port: wait for an endpoint that may be slow, and say what to do if it cannot be opened.
"""

from __future__ import annotations

from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EMFILE, ENFILE
from os import strerror

from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.python.failure import Failure

from devp2p_tx.errors import ServerStopped
from devp2p_tx.net.listening.families import ANYWHERE, familyName
from devp2p_tx.net.log import Logger
from devp2p_tx.net.proxy.tor import OnionEndpoint

#: The settings that name a port, by what listens there.
SETTINGS = {
    "TCP": "--listen, or ServerConfig(listen=...)",
    "UDP": "--discovery-port, or ServerConfig(discoveryPort=...); without either, the port of --listen",
}
_FILES = "too many files are open: raise the limit (ulimit -n; LimitNOFILE= in a systemd unit)"
_CURES = {
    EADDRINUSE: "another program, or another node, has this port: stop that, or choose another port",
    EACCES: "this user may not open it: choose a port from 1024 on, or have systemd open the socket",
    EADDRNOTAVAIL: "no interface of this host has this address: choose one that it has",
    EMFILE: _FILES,
    ENFILE: _FILES,
}
_log = Logger()


class CannotOpen(CannotListenError):
    """
    A port cannot be opened.

    @ivar setting: the option, and the setting, that name the port.
    """

    def __init__(self, error: CannotListenError, kind: str) -> None:
        """
        @param error: as Twisted has it.
        @param kind: C{TCP} or C{UDP}.
        """
        super().__init__(error.interface, error.port, error.socketError)  # type: ignore[no-untyped-call]
        self._kind = kind
        self.setting = SETTINGS[kind]

    def __str__(self) -> str:
        number = getattr(self.socketError, "errno", None)
        reason = str(self.socketError) if number is None else f"{strerror(number)} (errno {number})"
        cure = _CURES.get(number or 0, "choose another port or address")
        return f"cannot listen on {self._where()}: {reason}; {cure} ({self.setting})"

    def _where(self) -> str:
        if isinstance(self.port, str):  # the path of a UNIX socket
            return self.port
        version = 6 if isIPv6Address(self.interface or "") else 4
        there = self.interface or ANYWHERE[version]
        return f"{familyName(version)} {self._kind} {f'[{there}]' if version == 6 else there}:{self.port}"


class Opening:
    """
    One port that is being opened.

    @ivar port: fires with the port; fails as the endpoint does, or with L{ServerStopped} after L{giveUp}.
    """

    def __init__(self, endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> None:
        self.port: Deferred[IListeningPort] = Deferred(self._cancelled)
        self._isGivenUp = False
        self._endpoint = endpoint
        self._listening: Deferred[IListeningPort] = maybeDeferred(endpoint.listen, factory)
        self._listening.addCallbacks(self._opened, self._failed)

    def giveUp(self) -> Deferred[object] | None:
        """
        Wait no longer. A port that the endpoint opens later is closed at once.

        @return: what to wait for until nothing is left of it; C{None} where nobody can tell.
        """
        if self.port.called:
            return None
        self._isGivenUp = True
        self.port.errback(ServerStopped("the server was stopped while it started"))
        if not isinstance(self._endpoint, OnionEndpoint):  # others may leave their port behind when they are cancelled
            return None
        over: Deferred[object] = Deferred()
        self._listening.addBoth(lambda _: over.callback(None))
        self._listening.cancel()
        return over

    def _cancelled(self, port: Deferred[IListeningPort]) -> None:
        self.giveUp()

    def _opened(self, port: IListeningPort) -> None:
        if self._isGivenUp:
            maybeDeferred(port.stopListening).addErrback(_logFailure)
        else:
            self.port.callback(port)

    def _failed(self, failure: Failure) -> None:
        if not self._isGivenUp:
            self.port.errback(failure)
        elif not failure.check(CancelledError):
            _logFailure(failure)


def _logFailure(failure: Failure) -> None:
    _log.failure("a port that is not wanted any more", failure)
