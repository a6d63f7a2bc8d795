"""
Nodes as text. URLs: C{enode://<128 hex digits>@<host>:<tcp>[?discport=<udp>]} (go-ethereum's "enode URL format").

The host is an IPv4 address, an IPv6 address in brackets, or a DNS name, which is kept. Without C{discport} the UDP port
is the TCP port. The key alone is an incomplete node, known but nowhere to be reached. A node that has a record
is written as that (devp2p C{enr.md}, "Text Encoding").
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qs, urlsplit

from devp2p_tx.core.addressing.addresses import IPAddress, parse_address
from devp2p_tx.core.crypto.secp256k1 import PublicKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import TEXT_PREFIX, Record
from devp2p_tx.errors import InvalidAddress, InvalidNode, InvalidPublicKey

_KEY_ALONE = re.compile(r"(?:enode://)?([0-9a-fA-F]+)")
_LABEL = r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}\.?$){_LABEL}(?:\.{_LABEL})*\.?")


def parse_node(text: str) -> Node:
    """
    Read an enode URL, or the text of a record.

    @raise InvalidNode: it is neither; the sentence says what is wrong with it.
    """
    text = text.strip()
    if text.startswith(TEXT_PREFIX):
        return Node.from_record(Record.from_text(text))
    if alone := _KEY_ALONE.fullmatch(text):
        return Node(_key(alone[1]))
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise InvalidNode(f"{text}: invalid port or host ({error})") from None
    if url.scheme != "enode":
        raise InvalidNode(f'{text}: invalid URL scheme, want "enode"')
    digits, _, location = url.netloc.rpartition("@")
    if not digits:
        raise InvalidNode(f"{text}: does not contain node ID")
    if url.hostname is None or url.path not in ("", "/") or url.fragment:
        raise InvalidNode(f"{text}: want enode://<key>@<host>:<port>")
    if port is None:
        raise InvalidNode(f"{text}: invalid port (it is missing)")
    key = _key(digits)
    udp = _discovery_port(url, text, port)
    host = location.rpartition(":")[0]  # as it is written, where url.hostname is in lower case
    bare = host.removeprefix("[").removesuffix("]")
    ip = _address(bare, bracketed=bare != host, text=text)
    return Node(key, ip, port, udp, None if ip is not None else host)


def _key(digits: str) -> PublicKey:
    if len(digits) != 128:
        raise InvalidNode("invalid public key (wrong length, want 128 hex chars)")
    try:
        return PublicKey.from_bytes(bytes.fromhex(digits))
    except (ValueError, InvalidPublicKey) as error:
        raise InvalidNode(f"invalid public key ({error})") from None


def _discovery_port(url: SplitResult, text: str, tcp: int) -> int:
    value = parse_qs(url.query).get("discport", [""])[0]
    if not value:
        return tcp
    if not (value.isascii() and value.isdigit()) or len(value) > 5 or int(value) > 0xFFFF:
        raise InvalidNode(f"{text}: invalid discport in query")
    return int(value)


def _address(host: str, bracketed: bool, text: str) -> IPAddress | None:
    try:
        return parse_address(host)
    except InvalidAddress:
        looks_numeric = host.replace(".", "").isdigit()
        if bracketed or looks_numeric or not is_hostname(host):
            raise InvalidNode(f"{text}: {host!r} is neither an address nor a host name") from None
        return None


def is_hostname(text: str) -> bool:
    """Whether this can be a DNS name."""
    return _HOSTNAME.fullmatch(text) is not None


def node_text(node: Node) -> str:
    """The shortest text that says all we know of a node: its record, or else its URL; L{parse_node} reads both."""
    return format_node(node) if node.record is None else node.record.to_text()


def format_node(node: Node) -> str:
    """The URL of a node, as L{parse_node} reads it."""
    key = node.public_key.to_bytes().hex()
    if node.host is None:
        return f"enode://{key}"
    host = f"[{node.ip}]" if node.ip is not None and node.ip.version == 6 else node.host
    discport = "" if node.udp == node.tcp else f"?discport={node.udp}"
    return f"enode://{key}@{host}:{node.tcp}{discport}"
