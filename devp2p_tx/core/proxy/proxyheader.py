"""
The header that a proxy sends before the bytes of a client: where the client is (HAProxy's "The PROXY protocol",
versions 1 and 2, sections 2.1 and 2.2).

Version 1 is a line of text, version 2 a block of bytes. What is neither is refused at the first byte that is wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from devp2p_tx.core.addressing.addresses import IPAddress, unwrap
from devp2p_tx.errors import ProxyHeaderError

#: The longest line of version 1, its end included (bytes).
MAX_LINE = 107
#: The most that may follow the first 16 bytes of version 2: the addresses, and whatever else a proxy tells (bytes).
MAX_BLOCK = 4096

_LINE_START, _LINE_END = b"PROXY ", b"\r\n"
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED = 16
_UNKNOWN = re.compile(rb"PROXY UNKNOWN( .*)?", re.DOTALL)
_KNOWN = re.compile(rb"PROXY TCP([46]) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) ([0-9]{1,5}) ([0-9]{1,5})")
_LOCAL, _PROXY = 0, 1
#: Family and transport in version 2: the size of an IP address there, 0 for one that has none.
_FAMILIES = {0x00: 0, 0x11: 4, 0x21: 16, 0x31: 0}
_UNIX, _UNIX_SIZE = 0x31, 216

Endpoint = tuple[IPAddress, int]


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """
    @ivar source: the client's address, unwrapped, and port; C{None} when the proxy does not know it, or the
        connection is its own, such as a health check.
    @ivar destination: the address and port to which the client connected; C{None} likewise.
    """

    source: Endpoint | None = None
    destination: Endpoint | None = None


class ProxyHeaderReader:
    """
    Reads the header of one connection.

    @ivar header: the header, once it is complete.
    """

    def __init__(self) -> None:
        self.header: ProxyHeader | None = None
        self._buffer = b""

    def data_to_send(self) -> bytes:
        """Nothing: a proxy expects no answer."""
        return b""

    def receive_data(self, data: bytes) -> bytes | None:
        """
        Read on.

        @return: what came behind the header; C{None} while that is not complete.
        @raise ProxyHeaderError: it is none.
        """
        self._buffer += data
        buffer = self._buffer
        if _LINE_START.startswith(buffer[: len(_LINE_START)]):
            return self._read_line(buffer)
        if _SIGNATURE.startswith(buffer[: len(_SIGNATURE)]):
            return self._read_block(buffer) if len(buffer) >= _FIXED else None
        raise ProxyHeaderError("no PROXY header")

    def _read_line(self, buffer: bytes) -> bytes | None:
        end = buffer.find(_LINE_END, 0, MAX_LINE)
        if end >= 0:
            self.header = _line(buffer[:end])
            return buffer[end + len(_LINE_END) :]
        if len(buffer) >= MAX_LINE:
            raise ProxyHeaderError("a PROXY header of version 1 that does not end")
        return None

    def _read_block(self, buffer: bytes) -> bytes | None:
        size = int.from_bytes(buffer[14:_FIXED], "big")
        if size > MAX_BLOCK:
            raise ProxyHeaderError(f"a PROXY header of {size} bytes")
        if len(buffer) < _FIXED + size:
            return None
        self.header = _block(buffer[12], buffer[13], buffer[_FIXED : _FIXED + size])
        return buffer[_FIXED + size :]


def _line(line: bytes) -> ProxyHeader:
    """Version 1."""
    if _UNKNOWN.fullmatch(line):
        return ProxyHeader()
    found = _KNOWN.fullmatch(line)
    if found is None:
        raise ProxyHeaderError("a PROXY header of version 1 that is not understood")
    version, source, destination, source_port, destination_port = (part.decode() for part in found.groups())
    return ProxyHeader(
        _endpoint(source, int(source_port), int(version)), _endpoint(destination, int(destination_port), int(version))
    )


def _endpoint(text: str, port: int, version: int) -> Endpoint:
    try:
        address = ip_address(text)
    except ValueError:
        raise ProxyHeaderError("a PROXY header whose address is none") from None
    if address.version != version or port > 0xFFFF:
        raise ProxyHeaderError("a PROXY header whose address or port is of another kind")
    return unwrap(address), port


def _block(version_command: int, family: int, data: bytes) -> ProxyHeader:
    """Version 2; what follows the addresses is for others."""
    version, command = version_command >> 4, version_command & 0xF
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError(f"a PROXY header with the version and command {version_command:#04x}")
    if command == _LOCAL:  # whatever else it says
        return ProxyHeader()
    size = _FAMILIES.get(family)
    if size is None:
        raise ProxyHeaderError(f"a PROXY header for the family and transport {family:#04x}")
    if len(data) < (_UNIX_SIZE if family == _UNIX else 2 * size + 4 * bool(size)):
        raise ProxyHeaderError("a PROXY header that ends within its addresses")
    if not size:
        return ProxyHeader()
    ports = data[2 * size :]
    return ProxyHeader(_packed(data[:size], ports[:2]), _packed(data[size : 2 * size], ports[2:4]))


def _packed(address: bytes, port: bytes) -> Endpoint:
    return unwrap(ip_address(address)), int.from_bytes(port, "big")
