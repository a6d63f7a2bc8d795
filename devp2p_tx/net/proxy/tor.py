"""
Dialling through Tor, and listening as an onion service (Tor's C{control-spec}: C{GETINFO}, C{ADD_ONION}).

Needs the library txtorcon, which finds its way into Tor's control port. Neither Tor itself nor its configuration is
touched: the service lasts as long as the connection to the control port, which is made again when it breaks.
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from typing import Any, NamedTuple
from urllib.parse import unquote

from twisted.internet.defer import CancelledError, Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IListeningPort,
    IProtocol,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from devp2p_tx._oneshot import OneShot
from devp2p_tx.errors import InvalidAddress, ProxyError
from devp2p_tx.net.log import Logger
from devp2p_tx.net.names.hostnames import NamedAddress
from devp2p_tx.net.proxy.socks5 import Socks5Endpoint

#: How long Tor may take to answer at its control port (seconds).
CONTROL_TIMEOUT = 30.0
#: From the loss of the control port to the next attempt to publish an onion service again (seconds).
RETRY_INTERVAL = 30.0
#: What the system takes as the path of a socket (bytes).
MAX_SOCKET_PATH = 107
#: Where Tor's control port is looked for if nobody says.
DEFAULT_CONTROLS = ("unix:/run/tor/control", "tcp:127.0.0.1:9051")

_CONTROL = re.compile("(?:control=(?P<place>.+?))?(?:(?:^|:)password=(?P<password>.+))?")
_LISTENER = re.compile(r'"([^"]+)"')
_SERVICE = re.compile(r"ServiceID=([a-z2-7]{56})")

_log = Logger()


def requireTor() -> None:
    """
    @raise InvalidAddress: txtorcon is not installed.
    """
    if find_spec("txtorcon") is None:
        raise InvalidAddress("Tor needs the library txtorcon: pip install 'devp2p-tx[tor]'")


class ControlPort(NamedTuple):
    """
    Tor's control port.

    @ivar descriptions: of the endpoints at which it may be.
    @ivar password: whose hash Tor was given (C{HashedControlPassword}); empty if it wants none.
    """

    descriptions: tuple[str, ...] = DEFAULT_CONTROLS
    password: str = ""

    @classmethod
    def parse(cls, text: str) -> ControlPort:
        """
        Read C{control=PLACE}, C{password=PASSWORD}, both with a colon between, or nothing.

        A place is a port on this host, or the path of a socket; without it these are the usual ones. In a password
        C{%3A} and the like stand for what has a meaning.

        @raise InvalidAddress: it is none of these. The sentence repeats no password.
        """
        found = _CONTROL.fullmatch(text)
        if found is None:
            raise InvalidAddress("of Tor's control port, want control=PORT-OR-PATH, password=PASSWORD, or both")
        place, password = found["place"], unquote(found["password"] or "")
        if not password.isprintable():
            raise InvalidAddress("a password for Tor's control port has no line breaks and the like")
        return cls(DEFAULT_CONTROLS if place is None else (_description(place),), password)

    def ask(self) -> str | None:
        """The password, if there is one, for txtorcon, which prefers a cookie that it can read."""
        return self.password or None


def _description(place: str) -> str:
    if place.isascii() and place.isdigit() and 0 < int(place) <= 0xFFFF:
        return f"tcp:127.0.0.1:{int(place)}"
    if place.startswith("/"):
        if len(os.fsencode(place)) > MAX_SOCKET_PATH:  # of which Twisted would not tell that it cannot connect
            raise InvalidAddress(f"the path of a socket has at most {MAX_SOCKET_PATH} bytes")
        return "unix:" + place.replace("\\", "\\\\").replace(":", "\\:")
    raise InvalidAddress("Tor's control port is a port or the path of a socket")


def _guarded(protocol: Any) -> Any:
    """The library raises at lines that no Tor sends, such as when the port is somebody else's: that ends it."""
    lineReceived = protocol.lineReceived

    def guarded(line: bytes) -> None:
        try:
            lineReceived(line)
        except Exception as error:
            _log.debug("no control port: {error!r}", error=error)
            protocol.transport.abortConnection()

    protocol.lineReceived = guarded
    return protocol


def _unlessGone(protocol: Any, answer: Deferred[Any]) -> Deferred[Any]:
    """What C{answer} gives, or how the connection to the control port ended: then it may never fire."""
    first: OneShot[Any] = OneShot()
    answer.addBoth(first.fire)
    protocol.when_disconnected().addBoth(first.fire)
    return first.when()


async def _openControl(reactor: Any, control: ControlPort) -> Any:
    """
    A connection to the control port, authenticated.

    @raise ProxyError: nobody is there, or lets us in.
    """
    from twisted.internet.endpoints import clientFromString  # takes over LISTEN_FDS, so not before it is wanted
    from txtorcon import TorControlProtocol

    factory = Factory.forProtocol(lambda: _guarded(TorControlProtocol(control.ask)))
    factory.noisy = False
    failures = []
    for description in control.descriptions:
        try:
            protocol = await clientFromString(reactor, description).connect(factory)
            try:
                return await _unlessGone(protocol, protocol.post_bootstrap)
            except BaseException:
                protocol.transport.abortConnection()
                raise
        except CancelledError:
            raise
        except Exception as error:  # the library has none of its own for what it finds
            failures.append(f"{description}: {_sentence(error)}")
    raise ProxyError(f"Tor's control port cannot be used: {'; '.join(failures)}")


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _bounded(reactor: Any, asking: Any) -> Deferred[Any]:
    def tooLate(result: object, seconds: float) -> Failure:
        return Failure(ProxyError(f"Tor did not answer within {seconds:.0f} s"))

    return Deferred.fromCoroutine(asking).addTimeout(CONTROL_TIMEOUT, reactor, onTimeoutCancel=tooLate)


# Dialling.


async def _socksPort(reactor: Any, control: ControlPort) -> IStreamClientEndpoint:
    from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint

    protocol = await _openControl(reactor, control)
    try:
        answer: str = await _unlessGone(protocol, protocol.get_info_raw("net/listeners/socks"))
    finally:
        protocol.transport.loseConnection()
    for listener in _LISTENER.findall(answer):
        if listener.startswith("unix:"):
            return UNIXClientEndpoint(reactor, listener.removeprefix("unix:"))
        host, _, port = listener.rpartition(":")
        return HostnameEndpoint(reactor, host.strip("[]"), int(port))
    raise ProxyError("Tor has no SOCKS port open")


@implementer(IStreamClientEndpoint)
class TorEndpoint:
    """Where Tor connects to for us: an address, a host name, or an onion service."""

    def __init__(self, reactor: Any, control: ControlPort, host: str, port: int) -> None:
        """
        @param control: where Tor is asked.
        """
        self._reactor = reactor
        self._control = control
        self._target = host, port

    def connect(self, protocolFactory: Any) -> Deferred[IProtocol]:
        """See L{Socks5Endpoint.connect}; it fails with L{ProxyError}, too, if the control port is of no use."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, protocolFactory: Any) -> IProtocol:
        proxy = await _bounded(self._reactor, _socksPort(self._reactor, self._control))
        return await Socks5Endpoint(self._reactor, proxy, *self._target).connect(protocolFactory)


# Listening.


@implementer(IStreamServerEndpoint)
class OnionEndpoint:
    """Listens on this host alone, and has Tor publish that as an onion service."""

    def __init__(self, reactor: Any, port: int, control: ControlPort, key: str) -> None:
        """
        @param port: that of the onion service.
        @param control: where Tor is asked.
        @param key: see L{devp2p_tx.core.proxy.onion.onion_key}.
        """
        self._reactor = reactor
        self._service = port, control, key

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """
        See C{IStreamServerEndpoint}.

        @return: fires when Tor has accepted the service, which it publishes as soon as it can; fails with
            L{ProxyError}.
        """
        return Deferred.fromCoroutine(self._listen(protocolFactory))

    async def _listen(self, protocolFactory: Any) -> IListeningPort:
        from twisted.internet.endpoints import TCP4ServerEndpoint

        local = await TCP4ServerEndpoint(self._reactor, 0, interface="127.0.0.1").listen(protocolFactory)
        port = OnionPort(self._reactor, local, *self._service)
        try:
            await port.publish()
        except BaseException:
            await port.stopListening()
            raise
        return port


@implementer(IListeningPort)
class OnionPort:
    """An onion service."""

    def __init__(self, reactor: Any, local: Any, port: int, control: ControlPort, key: str) -> None:
        """
        @param local: the port of this host at which Tor finds us.
        """
        self._reactor = reactor
        self._local = local
        self._port, self._control, self._key = port, control, key
        self._protocol: Any = None
        self._name = ""
        self._stopped = False
        self._retry: IDelayedCall | None = None
        self._publishing: Deferred[Any] | None = None

    def publish(self) -> Deferred[None]:
        """Fires when Tor has accepted the service; fails with L{ProxyError}."""
        self._publishing = _bounded(self._reactor, self._publish())
        return self._publishing

    async def _publish(self) -> None:
        protocol = await _openControl(self._reactor, self._control)
        local = self._local.getHost()
        try:
            command = f"ADD_ONION {self._key} Port={self._port},{local.host}:{local.port}"
            answer = await _unlessGone(protocol, protocol.queue_command(command))
        except BaseException as error:
            protocol.transport.abortConnection()
            if isinstance(error, Exception) and not isinstance(error, CancelledError):
                raise ProxyError(f"Tor refused the onion service: {_sentence(error)}") from None
            raise
        found = _SERVICE.search(answer)
        if found is None:
            protocol.transport.abortConnection()
            raise ProxyError("Tor did not say the onion service's address")
        self._name, self._protocol = f"{found[1]}.onion", protocol
        _log.info("onion service {name}:{port}", name=self._name, port=self._port)
        protocol.when_disconnected().addBoth(self._lost)

    def _lost(self, result: object) -> None:
        self._protocol = None
        if not self._stopped:
            _log.warn("Tor's control port is gone, and the onion service with it; it is published again")
            self._again()

    def _again(self) -> None:
        self._retry = self._reactor.callLater(RETRY_INTERVAL, lambda: self.publish().addErrback(self._failed))

    def _failed(self, failure: Failure) -> None:
        if not self._stopped:
            _log.warn("the onion service cannot be published: {error}", error=failure.value)
            self._again()

    def startListening(self) -> None:
        """See C{IListeningPort}; it does so from the start."""

    def stopListening(self) -> Deferred[Any]:
        """See C{IListeningPort}; fires when the service is gone, too."""
        self._stopped = True
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        if self._publishing is not None:
            self._publishing.cancel()
        waiting = [maybeDeferred(self._local.stopListening)]
        if self._protocol is not None:
            waiting.append(self._protocol.when_disconnected())
            self._protocol.transport.abortConnection()
        return DeferredList(waiting, consumeErrors=True)

    def getHost(self) -> IAddress:
        """See C{IListeningPort}: the address of the service."""
        return NamedAddress(self._name, self._port)
