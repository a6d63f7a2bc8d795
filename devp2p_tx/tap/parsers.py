"""
What the values of options mean. Each function takes a value's text and raises C{ValueError} or a C{DevP2PError} whose
message is the reason why it cannot be used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from twisted.logger import InvalidLogLevelError, LogLevel
from twisted.plugin import getPlugins

from devp2p_tx.core.addressing.addresses import Netlist
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.dnstree.entries import parse_url
from devp2p_tx.core.text.nat import NATSpecification
from devp2p_tx.interfaces import ICapability
from devp2p_tx.net.connecting.dialvia import parseVia
from devp2p_tx.net.discovery.clock import checkTimeServer
from devp2p_tx.net.listening.adopted import datagramDescriptor, datagramSocket
from devp2p_tx.net.listening.sockets import portNumber, serverEndpoint
from devp2p_tx.node.networks import NETWORKS, unknownNetwork

NONE = "none"
#: The largest number that any option takes.
MAX_NUMBER = 1_000_000
#: The longest text that peers see as a part of our name (characters).
MAX_IDENTITY = 64
VERSIONS = ("v4", "v5")
#: What is logged for every socket that the older parts of Twisted open or close.
LEGACY_NAMESPACE = "log_legacy"

#: Any key: what is read is whether an onion service could be described.
_ANY_KEY = PrivateKey(bytes(31) + b"\1")


def number(low: int, high: int = MAX_NUMBER) -> Callable[[str], int]:
    """A parser of whole numbers in a range."""

    def parse(text: str) -> int:
        text = text.strip()
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(high)) and low <= int(text) <= high):
            raise ValueError(f"want a whole number from {low} to {high}, not {text!r}")
        return int(text)

    return parse


def oneOf(words: Sequence[str]) -> Callable[[str], str]:
    """A parser of some words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"want one of {', '.join(words)}, not {text!r}")
        return text

    return parse


def parsePlace(text: str) -> str:
    """A place to listen: a port, an endpoint, or C{none}."""
    from twisted.internet import reactor

    text = text.strip()
    if text != NONE and portNumber(text) is None:
        serverEndpoint(reactor, text, _ANY_KEY)
    return text


def parseDiscoveryPort(text: str) -> int | str:
    """A UDP port, or an open socket, which has to be there."""
    text = text.strip()
    if not text.startswith("fd:"):
        return number(0, 0xFFFF)(text)
    datagramSocket(datagramDescriptor(text))
    return text


def parseVersions(text: str) -> list[str]:
    """The versions of discovery to speak; none of them for C{none}."""
    versions = [each.strip() for each in {"both": "v4,v5", NONE: ""}.get(text.strip(), text).split(",")]
    if versions == [""]:
        return []
    if unknown := [each for each in versions if each not in VERSIONS]:
        raise ValueError(f"want v4,v5, v4, v5 or none, not {unknown[0]!r}")
    return sorted(set(versions))


def parseNAT(text: str) -> str:
    """A way through a NAT."""
    return str(NATSpecification.parse(text))


def parseNetworks(text: str) -> Netlist:
    """Networks, at least one: an empty list would mean that the node speaks with nobody."""
    networks = Netlist.parse(text)
    if not networks.networks:
        raise ValueError(f"want networks such as 10.0.0.0/8,fd00::/8, not {text!r}")
    return networks


def parseProxy(text: str) -> str:
    """A proxy to dial through."""
    parseVia(text)
    return text


def parseNetwork(text: str) -> str:
    """The name of a network."""
    if text not in NETWORKS:
        raise ValueError(unknownNetwork(text))
    return text


def parseTimeServer(text: str) -> str:
    """The host of a time server, or C{none}."""
    checkTimeServer(text)
    return text


def parseTree(text: str) -> str:
    """The URL of a list of nodes in DNS, or C{none}."""
    if text != NONE:
        parse_url(text)
    return text


def parseIdentity(text: str) -> str:
    """Text for our client name."""
    if not text.isprintable() or "/" in text or len(text) > MAX_IDENTITY:
        raise ValueError(f"want at most {MAX_IDENTITY} printable characters, none of them a slash")
    return text


def parseDirectory(text: str) -> Path:
    """A directory that is there or can be made. Its path is made absolute, since a daemon may run elsewhere."""
    path = Path(os.path.abspath(text))
    there = next(each for each in (path, *path.parents) if each.exists())
    if not there.is_dir():
        raise ValueError(f"{there} is no directory")
    return path


def parseKeyFile(text: str) -> Path:
    """A file with a key, which need not be there, in a directory that is."""
    path = Path(os.path.abspath(text))
    if not path.parent.is_dir():
        raise ValueError(f"there is no directory {os.path.dirname(text)}: make it, or correct the path")
    return path


class Level(NamedTuple):
    """
    How much to log of a part.

    @ivar namespace: the part; empty for all others.
    @ivar isKnown: whether there is such a part.
    """

    namespace: str
    level: Any
    isKnown: bool


def parseLevel(text: str) -> Level:
    """C{[namespace=]level}."""
    namespace, _, name = text.strip().rpartition("=")
    try:
        level = LogLevel.levelWithName(name.lower())
    except InvalidLogLevelError:
        raise ValueError(
            f"want debug, info, warn, error or critical, with namespace= before it for a part, not {text!r}"
        ) from None
    return Level(namespace, level, _isNamespace(namespace))


def _isNamespace(namespace: str) -> bool:
    """Whether a module has that name, since loggers are named after their modules."""
    if namespace in ("", LEGACY_NAMESPACE):
        return True
    try:
        return find_spec(namespace) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def parseCapabilities(text: str) -> list[ICapability]:
    """The capabilities that C{package.module:factory}, or the name of a plugin, stands for."""
    if ":" in text:
        return [_importCapability(text)]
    name, _, version = text.partition("/")
    found = [each for each in getPlugins(ICapability) if each.name == name and version in ("", str(each.version))]
    if not found:
        raise ValueError(
            f"no capability {text!r} among Twisted's plugins: name one of them, or give package.module:factory"
        )
    return found


def _importCapability(text: str) -> ICapability:
    module, _, attribute = text.partition(":")
    try:
        made: Any = import_module(module)
        for part in attribute.split("."):
            made = getattr(made, part)
        if not ICapability.providedBy(made):
            made = made()
    except Exception as error:
        raise ValueError(f"{text}: {type(error).__name__}: {error}") from None
    if not ICapability.providedBy(made):
        raise ValueError(f"{text}: gave {made!r}, which provides no ICapability")
    capability: ICapability = made
    return capability
