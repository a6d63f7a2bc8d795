"""
Endpoint strings that begin with C{rlpx:}, for C{clientFromString} and C{serverFromString}.

::

    rlpx:<128 hex digits>@127.0.0.1:30303:key=FILE
    rlpx:enode=enode\\://<128 hex digits>@127.0.0.1\\:30303
    rlpx:enr=-IS4Q...
    rlpx:30303:key=FILE                                 (to listen)
    rlpx:port=tcp6\\:30303:key=FILE:allow=<128 hex digits>   (to listen)
"""

from __future__ import annotations

from os import urandom
from pathlib import Path
from typing import Any

from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import TEXT_PREFIX
from devp2p_tx.core.enr.url import parse_node
from devp2p_tx.errors import InvalidAddress, InvalidNode
from devp2p_tx.net.connecting.dialvia import parseVia
from devp2p_tx.net.listening.sockets import serverEndpoint
from devp2p_tx.net.streams.endpoints import RLPxClientEndpoint, RLPxServerEndpoint
from devp2p_tx.storage.keyfile import load_or_create_key


def parseClient(reactor: Any, *location: str, enode: str = "", enr: str = "", key: str = "", via: str = "") -> Any:
    """
    The endpoint of a stream to a node.

    @param location: C{<128 hex digits>@host} and the port.
    @param enode: in their place, an enode URL.
    @param enr: in their place, a record, with C{enr:} before it or without.
    @param key: file with our key, made if there is none; without it, a key for this endpoint alone.
    @param via: a proxy to go through, as L{parseVia} takes it.
    @raise InvalidNode: the node cannot be read, or it is not known where it is.
    @raise InvalidAddress: the proxy cannot be read.
    @raise devp2p_tx.storage.keyfile.KeyFileError: the key cannot be used.
    """
    given = [":".join(location), enode, enr]
    if len([each for each in given if each]) != 1:
        raise InvalidNode(
            "rlpx: wants one node: KEY@HOST:PORT, enode= or enr=, with a backslash before each of its colons"
        )
    node = _node(*given)
    if node.host is None or not node.tcp:
        raise InvalidNode(f"rlpx: does not know where the node {node.node_id.hex()[:16]} is")
    return RLPxClientEndpoint(reactor, node, _ownKey(key), parseVia(via) if via else None)


def _node(location: str, enode: str, enr: str) -> Node:
    if enr:
        return parse_node(TEXT_PREFIX + enr.removeprefix(TEXT_PREFIX))
    return parse_node(enode or f"enode://{location}")


def _ownKey(file: str) -> PrivateKey:
    return load_or_create_key(Path(file)) if file else PrivateKey.generate(urandom)


def parseServer(
    reactor: Any, port: str = "", *unexpected: str, key: str = "", interface: str = "", allow: str = ""
) -> Any:
    """
    The endpoint that listens for streams.

    @param port: a port, or whatever L{serverEndpoint} takes.
    @param key: file with our key, made if there is none.
    @param interface: with a port, the address of ours to listen at.
    @param allow: the public keys of who may call, 128 hex digits each, with commas; without it everybody may.
    @raise InvalidAddress: one of these is missing, or cannot be read.
    @raise InvalidNode: a public key cannot be read.
    @raise devp2p_tx.storage.keyfile.KeyFileError: the key cannot be used.
    """
    if not port or unexpected or not key:
        raise InvalidAddress("rlpx: wants PORT:key=FILE to listen, with a backslash before colons that are within")
    if interface:
        quoted = interface.replace(":", "\\:")
        port = f"{'tcp6' if ':' in interface else 'tcp'}:{port}:interface={quoted}"
    own = load_or_create_key(Path(key))
    allowed = [_publicKey(text) for text in allow.split(",")] if allow else None
    return RLPxServerEndpoint(reactor, serverEndpoint(reactor, port, own), own, allowed)


def _publicKey(text: str) -> PublicKey:
    return parse_node(text.strip()).public_key
