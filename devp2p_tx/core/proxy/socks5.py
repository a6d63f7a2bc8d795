"""
The client's side of SOCKS5: asks a proxy to connect somewhere (RFC 1928), with a user name and a password if it wants
them (RFC 1929).

A host name goes to the proxy as it is: who resolves it here tells this network whom it wants to reach.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from devp2p_tx.errors import ProxyError

#: The most bytes that a host name, a user name or a password may have.
MAX_TEXT = 255

_VERSION, _AUTH_VERSION = 5, 1
_NO_AUTHENTICATION, _PASSWORD, _NO_METHOD = 0, 2, 0xFF
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_ADDRESS_SIZES = {_IPV4: 4, _IPV6: 16}
_REFUSALS = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live expired",
    7: "command not supported",
    8: "address type not supported",
}


class Socks5Client:
    """One request: send what L{data_to_send} gives, at first and after each L{receive_data}."""

    def __init__(self, host: str, port: int, username: str = "", password: str = "") -> None:
        """
        @param host: an address, or a name for the proxy to resolve.
        @param port: 1 to 65535.
        @param username: empty to offer no authentication.
        @raise ProxyError: a text is too long, or the name is not ASCII.
        """
        self._request = bytes((_VERSION, _CONNECT, 0)) + _address(host) + port.to_bytes(2, "big")
        self._credentials = b""
        methods = [_NO_AUTHENTICATION]
        if username:
            self._credentials = bytes((_AUTH_VERSION,)) + _text("user name", username) + _text("password", password)
            methods.append(_PASSWORD)
        self._out = bytes((_VERSION, len(methods), *methods))
        self._buffer = b""
        self._read: Callable[[], bool] = self._read_method
        self._done = False

    def data_to_send(self) -> bytes:
        """What to send now, once."""
        data, self._out = self._out, b""
        return data

    def receive_data(self, data: bytes) -> bytes | None:
        """
        Read on.

        @return: what came behind the proxy's last answer, and so from the other end; C{None} while it is not connected.
        @raise ProxyError: the proxy refuses, or speaks something else.
        """
        self._buffer += data
        while not self._done:
            if not self._read():
                return None
        return self._buffer

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _read_method(self) -> bool:
        """The method that it chose; whether that was there."""
        if self._buffer and self._buffer[0] != _VERSION:
            raise ProxyError("the proxy does not speak SOCKS5")
        if len(self._buffer) < 2:
            return False
        method = self._take(2)[1]
        if method == _NO_AUTHENTICATION:
            self._out, self._read = self._request, self._read_reply
        elif method == _PASSWORD and self._credentials:
            self._out, self._read = self._credentials, self._read_verdict
        elif method == _NO_METHOD:
            raise ProxyError(
                "the proxy lets nobody in with this user name and password"
                if self._credentials
                else "the proxy wants a user name and a password"
            )
        else:
            raise ProxyError(f"the proxy chose the authentication {method}, which was not offered")
        return True

    def _read_verdict(self) -> bool:
        """Whether it likes the password."""
        if len(self._buffer) < 2:
            return False
        version, status = self._take(2)
        if version != _AUTH_VERSION or status:
            raise ProxyError("the proxy refused the user name or the password")
        self._out, self._read = self._request, self._read_reply
        return True

    def _read_reply(self) -> bool:
        """What became of the request."""
        buffer = self._buffer
        if buffer and buffer[0] != _VERSION:
            raise ProxyError("the proxy does not speak SOCKS5")
        if len(buffer) < 2:
            return False
        if code := buffer[1]:
            raise ProxyError(f"the proxy could not connect: {_REFUSALS.get(code, f'its reason is {code}')}")
        if len(buffer) < 5:
            return False
        kind = buffer[3]
        if kind != _NAME and kind not in _ADDRESS_SIZES:
            raise ProxyError(f"the proxy answered with an address of the type {kind}")
        size = 1 + buffer[4] if kind == _NAME else _ADDRESS_SIZES[kind]
        if len(buffer) < 4 + size + 2:
            return False
        self._take(4 + size + 2)  # the proxy's own address, which is of no use to us
        self._done = True
        return True


def _address(host: str) -> bytes:
    try:
        ip = ip_address(host)
    except ValueError:
        return bytes((_NAME,)) + _text("host name", host)
    return bytes((_IPV4 if ip.version == 4 else _IPV6,)) + ip.packed


def _text(what: str, text: str) -> bytes:
    try:
        data = text.encode("ascii" if what == "host name" else "utf-8")
    except UnicodeEncodeError:
        raise ProxyError(f"a {what} for a SOCKS5 proxy is ASCII, not {text!r}") from None
    if not 0 < len(data) <= MAX_TEXT:
        raise ProxyError(f"a {what} for a SOCKS5 proxy has 1 to {MAX_TEXT} bytes, not {len(data)}")
    return bytes((len(data),)) + data
