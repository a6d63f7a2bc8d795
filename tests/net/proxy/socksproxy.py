"""
A SOCKS5 proxy for tests, on a host of a network in memory. It is no example: it understands what our client says.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

OK, REFUSED = 0, 5


class _Outgoing(Protocol):
    """The connection to the target."""

    def __init__(self, proxy: SocksProxyProtocol) -> None:
        self._proxy = proxy

    def dataReceived(self, data: bytes) -> None:
        self._proxy.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._proxy.transport.loseConnection()


class SocksProxyProtocol(Protocol):
    """One client."""

    transport: Any

    def __init__(self, service: SocksProxy) -> None:
        self._service = service
        self._buffer = b""
        self._read = self._readMethods
        self._outgoing: Any = None

    def dataReceived(self, data: bytes) -> None:
        if self._service.silent:
            return
        self._buffer += data
        if self._outgoing is not None:
            self._relay()
        else:
            self._read()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._outgoing is not None:
            self._outgoing.transport.loseConnection()

    def _readMethods(self) -> None:
        methods = self._buffer[2:]
        self._buffer = b""
        wanted = 2 if self._service.password else 0
        self._read = self._readPassword if wanted else self._readRequest
        self.transport.write(bytes((5, wanted if wanted in methods else 0xFF)))

    def _readPassword(self) -> None:
        said, self._buffer = self._buffer, b""
        self._read = self._readRequest
        self.transport.write(bytes((1, said != self._service.password)))

    def _readRequest(self) -> None:
        request, self._buffer = self._buffer, b""
        host = request[5:-2].decode() if request[3] == 3 else str(ip_address(request[4:-2]))
        port = int.from_bytes(request[-2:], "big")
        self._service.asked.append((host, port))
        endpoint = HostnameEndpoint(self._service.host, self._service.names.get(host, host), port)
        endpoint.connect(Factory.forProtocol(lambda: _Outgoing(self))).addCallbacks(self._connected, self._failed)

    def _connected(self, outgoing: Any) -> None:
        self._outgoing = outgoing
        self.transport.write(bytes((5, OK, 0, 1, 10, 0, 0, 1, 0, 1)))
        self._relay()

    def _failed(self, failure: Failure) -> None:
        self.transport.write(bytes((5, REFUSED, 0, 1, 0, 0, 0, 0, 0, 0)))

    def _relay(self) -> None:
        data, self._buffer = self._buffer, b""
        if data:
            self._outgoing.transport.write(data)


class SocksProxy(Factory):
    """
    The proxy.

    @ivar asked: where clients wanted to go, as they said it.
    @ivar names: host names that only the proxy can resolve.
    @ivar silent: whether it answers nothing.
    """

    noisy = False

    def __init__(self, host: Any, username: str = "", password: str = "") -> None:
        self.host = host
        self.asked: list[tuple[str, int]] = []
        self.names: dict[str, str] = {}
        self.silent = False
        self.password = b""
        if username:
            user, word = username.encode(), password.encode()
            self.password = b"\1" + bytes((len(user),)) + user + bytes((len(word),)) + word

    def buildProtocol(self, addr: Any) -> SocksProxyProtocol:
        return SocksProxyProtocol(self)
