"""
Ask the name servers that this system is set up with (RFC 1035), as glibc asks them.

Rules:

  - The servers of C{/etc/resolv.conf} are asked one after the other, in order, over UDP. One that cannot be reached,
    does not answer in time, or fails (SERVFAIL, REFUSED, and whatever is not "no such name") is followed by the next.
    All of them are asked again, as often as the file says. A server that did not answer lately is asked last.
  - A truncated answer is asked for again over TCP, of the same server.
  - Each query has a socket of its own, connected to the server: the system drops what others send, compares addresses
    as such, and says at once that nobody listens.
  - The file is read at each lookup. Nothing is left pending between lookups: no cache, no watch, no socket.
"""

from __future__ import annotations

from collections.abc import Callable
from os import urandom
from socket import AI_NUMERICHOST, SOCK_DGRAM, getaddrinfo
from struct import unpack_from
from typing import Any, Protocol

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import CannotListenError, ConnectError, MessageLengthError
from twisted.internet.protocol import ClientFactory, DatagramProtocol, connectionDone
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from devp2p_tx.core.crypto.secp256k1 import RandomBytes
from devp2p_tx.core.text import resolvconf
from devp2p_tx.errors import NameLookupError
from devp2p_tx.net.log import Logger

#: Where the name servers of this system are named.
CONFIGURATION = "/etc/resolv.conf"
#: Where name servers listen.
DNS_PORT = 53
#: The most that a server may take, whatever the file says, and that a lookup may take in all (seconds).
MAX_TRY, MAX_LOOKUP = 3.0, 20.0
#: How long a server that did not answer is asked after the others (seconds).
REST = 60.0
#: The most that is read of an answer over UDP, and of the file (bytes).
MAX_DATAGRAM, MAX_FILE = 4096, 65536

_log = Logger()


class _ServerFailed(Exception):
    """
    A server did not answer a query, or said that it cannot.

    @ivar silent: whether it said nothing.
    """

    def __init__(self, text: str, silent: bool = False) -> None:
        super().__init__(text)
        self.silent = silent


class _Question(Protocol):
    """One query to one server, on its way."""

    def begin(self, reactor: Any, server: str) -> None: ...

    def end(self) -> None: ...


class _Query:
    """
    What is asked, and the answer.

    @ivar data: the packet.
    @ivar answer: fires with the answer, a C{dns.Message}; fails with L{_ServerFailed}.
    """

    def __init__(self, name: str, kind: int, number: int) -> None:
        """@param number: from 0 to 65535, which nobody else can guess."""
        from twisted.names import dns

        message = dns.Message(number, recDes=1)
        self._asked = dns.Query(name, kind, dns.IN)
        message.queries = [self._asked]
        self.data: bytes = message.toStr()
        self.answer: Deferred[Any] = Deferred()

    def received(self, data: bytes) -> None:
        """Something came from the server; what is the answer to another query is ignored."""
        if self.answer.called or data[:2] != self.data[:2]:
            return
        message = _decode(data)
        if message is None:
            self.failed("a malformed answer")
        elif message.answer and (message.queries == [self._asked] or (message.rCode and not message.queries)):
            self.answer.callback(message)

    def failed(self, text: str, silent: bool = False) -> None:
        """There will be no answer."""
        if not self.answer.called:
            self.answer.errback(_ServerFailed(text, silent))

    def end(self) -> None:
        """Nobody waits for the answer any more."""
        self.answer.addErrback(lambda _: None)
        self.answer.cancel()


def _decode(data: bytes) -> Any:
    """The C{dns.Message}; C{None} if it cannot be read, or is shorter than it says."""
    from twisted.names import dns

    message = dns.Message()
    try:
        message.fromStr(data)
    except Exception:  # of half a dozen kinds
        return None
    found = len(message.queries), len(message.answers)
    return message if found == unpack_from(">HH", data, 4) else None


class _UDPQuestion(DatagramProtocol):
    noisy = False
    transport: Any

    def __init__(self, query: _Query) -> None:
        self._query = query

    def begin(self, reactor: Any, server: str) -> None:
        """Send the query."""
        interface = "::" if ":" in server else ""
        reactor.listenUDP(0, self, interface=interface, maxPacketSize=MAX_DATAGRAM)
        if "%" in server:
            self._sendInZone(server)
        else:
            self.transport.connect(server, DNS_PORT)
            self.transport.write(self._query.data)

    def _sendInZone(self, server: str) -> None:
        """Send the query to an address with a zone, which Twisted passes on without it."""
        (*_, address), *_ = getaddrinfo(server, DNS_PORT, type=SOCK_DGRAM, flags=AI_NUMERICHOST)
        socket = self.transport.getHandle()
        socket.connect(address)
        socket.send(self._query.data)

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        self._query.received(datagram)

    def connectionRefused(self) -> None:
        self._query.failed("nobody listens there", silent=True)

    stopProtocol = connectionRefused  # epoll's form of the same

    def end(self) -> None:
        """Close the socket."""
        if self.transport is not None:
            self.transport.stopListening()


class _TCPQuestion(Int16StringReceiver):
    noisy = False

    def __init__(self, query: _Query) -> None:
        self._query = query
        self._connector: Any = None

    def begin(self, reactor: Any, server: str) -> None:
        """Connect, and send the query."""
        factory: Any = ClientFactory.forProtocol(lambda: self)
        factory.noisy = False
        factory.clientConnectionFailed = lambda _, reason: self._lost(reason)
        self._connector = reactor.connectTCP(server, DNS_PORT, factory, timeout=MAX_TRY)

    def connectionMade(self) -> None:
        self.sendString(self._query.data)  # type: ignore[no-untyped-call]

    def stringReceived(self, string: bytes) -> None:
        self._query.received(string)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost(reason)

    def _lost(self, reason: Failure) -> None:
        self._query.failed(f"over TCP: {reason.getErrorMessage()}", silent=True)

    def end(self) -> None:
        """Close the connection."""
        if self._connector is not None:
            self._connector.disconnect()


class NameServers:
    """The name servers of this system. Each lookup fires with answers, authority and additional records."""

    def __init__(self, reactor: Any, configuration: str = CONFIGURATION, randomBytes: RandomBytes = urandom) -> None:
        """
        @param reactor: C{IReactorUDP}, C{IReactorTCP} and C{IReactorTime}.
        @param configuration: the file that names them.
        @param randomBytes: tells answers from forged ones.
        """
        self._reactor, self._file, self._randomBytes = reactor, configuration, randomBytes
        self._resting: dict[str, float] = {}
        self._ignored: tuple[str, ...] = ()

    def lookupText(self, name: str) -> Deferred[Any]:
        """Look up TXT records; fails with L{NameLookupError}."""
        return self._lookup(name, 16)

    def lookupAddress(self, name: str) -> Deferred[Any]:
        """Look up A records; fails with L{NameLookupError}."""
        return self._lookup(name, 1)

    def lookupIPV6Address(self, name: str) -> Deferred[Any]:
        """Look up AAAA records; fails with L{NameLookupError}."""
        return self._lookup(name, 28)

    def _lookup(self, name: str, kind: int) -> Deferred[Any]:
        failures: dict[str, str] = {}

        def late(_: object, seconds: float) -> Failure:
            return Failure(_failed(name, {**failures, "in all": f"no answer within {seconds:g} s"}))

        looking = Deferred.fromCoroutine(self._askAll(name, kind, failures))
        return looking.addTimeout(MAX_LOOKUP, self._reactor, late)

    async def _askAll(self, name: str, kind: int, failures: dict[str, str]) -> Any:
        """
        @param failures: is given why each server failed.
        """
        setup = self._setup()
        for _ in range(setup.attempts):
            for server in self._inOrder(setup.servers):
                try:
                    return await self._askServer(server, setup, name, kind)
                except _ServerFailed as error:
                    failures[server] = str(error)
                    if error.silent:
                        self._resting[server] = self._reactor.seconds() + REST
        raise _failed(name, failures)

    def _setup(self) -> resolvconf.ResolverConfiguration:
        try:
            with open(self._file, "rb") as file:
                text = file.read(MAX_FILE).decode("utf-8", "replace")
        except OSError:  # as if it were empty
            text = ""
        setup = resolvconf.parse(text)
        if setup.ignored and setup.ignored != self._ignored:
            _log.warn("{file}:{ignored}: left out", file=self._file, ignored=f"; {self._file}:".join(setup.ignored))
        self._ignored = setup.ignored
        self._resting = {each: until for each, until in self._resting.items() if each in setup.servers}
        return setup

    def _inOrder(self, servers: tuple[str, ...]) -> list[str]:
        now = self._reactor.seconds()
        return sorted(servers, key=lambda server: 0 < self._resting.get(server, now) - now <= REST)

    async def _askServer(self, server: str, setup: resolvconf.ResolverConfiguration, name: str, kind: int) -> Any:
        """
        @raise _ServerFailed: the next one is to be asked.
        @raise NameLookupError: there is no such name.
        """
        from twisted.names import dns

        patience = min(float(setup.timeout), MAX_TRY)
        message = None
        if not setup.uses_tcp:
            message = await self._askOver(_UDPQuestion, server, name, kind, patience)
        if message is None or message.trunc:
            message = await self._askOver(_TCPQuestion, server, name, kind, patience)
        if message.rCode == dns.ENAME:
            raise NameLookupError(f"{name}: no such name, says {server}")
        if message.rCode != dns.OK:
            raise _ServerFailed(f"answers with error {_RESPONSE_CODES.get(message.rCode, message.rCode)}")
        if not message.answers and not message.auth and not message.recAv:
            raise _ServerFailed("asks no other servers for us, and does not know")
        return message.answers, message.authority, message.additional

    async def _askOver(
        self, kind: Callable[[_Query], _Question], server: str, name: str, type: int, patience: float
    ) -> Any:
        query = _Query(name, type, int.from_bytes(self._randomBytes(2), "big"))
        question = kind(query)
        try:
            question.begin(self._reactor, server)
            return await query.answer.addTimeout(patience, self._reactor)
        except TimeoutError:
            raise _ServerFailed(f"no answer within {patience:g} s", silent=True) from None
        except (CannotListenError, ConnectError, MessageLengthError, OSError) as error:
            text = getattr(error, "strerror", None) or str(error)
            raise _ServerFailed(f"cannot be asked: {text}", silent=True) from None
        finally:
            question.end()
            query.end()


_RESPONSE_CODES = {1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED"}


def _failed(name: str, failures: dict[str, str]) -> NameLookupError:
    return NameLookupError(f"{name}: " + "; ".join(f"{server}: {why}" for server, why in failures.items()))
