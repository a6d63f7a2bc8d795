"""
What the values of all options mean together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from pwd import getpwuid
from typing import Any

from twisted.logger import LogLevel, LogLevelFilterPredicate

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.node.config import ServerConfig, clientName
from devp2p_tx.node.networks import NETWORKS
from devp2p_tx.storage.keyfile import KeyFileError, load_key
from devp2p_tx.tap.contradictions import contradictions
from devp2p_tx.tap.nodelists import NodeList
from devp2p_tx.tap.parsers import LEGACY_NAMESPACE, NONE
from devp2p_tx.tap.values import Values, WrongValue

#: The key's file in the data directory.
KEY_FILE = "nodekey"
#: Parts of Twisted that have a line for each socket that opens or closes, or is refused where files run out: how many
#: lines there are is for strangers to say.
QUIET = (LEGACY_NAMESPACE, "twisted.internet.tcp", "twisted.internet.unix")
#: The options that name nodes.
LISTS = ("static", "trusted", "bootnodes")


class Settings:
    """
    Everything that the user said, checked, with no file made and no socket opened.

    @ivar values: the options' values and where they came from.
    @ivar lists: the nodes that each of L{LISTS} names.
    @ivar warnings: sentences for the log: what was asked for, and has no effect.
    @ivar key: the key; C{None} if it has to be made.
    @ivar keyFile: the file of the key, if it was given; otherwise it is in the data directory.
    @ivar isKeyElsewhere: whether the key is not in the data directory.
    @ivar dataDirectory: where the node keeps what it has to remember; C{None} for a node that has no such place.
    """

    def __init__(self, values: Values, twistd: Mapping[str, Any]) -> None:
        """
        @param twistd: the options before the word C{devp2p}.
        @raise WrongValue: two values exclude each other, or a list of nodes cannot be read.
        """
        self.values = values
        self._checkTogether()
        self.lists = {name: NodeList([part for parts in values.all(name) for part in parts]) for name in LISTS}
        self.warnings = list(contradictions(values, self.lists, twistd))
        self.key: PrivateKey | None = values.one("node-key-hex")
        self.keyFile: Path | None = values.one("node-key")
        self.isKeyElsewhere = bool(self.key or self.keyFile)
        self.dataDirectory = self._dataDirectory(twistd.get("uid"))
        self.key = self.key or self._readKey()

    def _checkTogether(self) -> None:
        values = self.values
        if values.one("node-key") and values.one("node-key-hex"):
            raise WrongValue(f"{values.source('node-key')}: give it or {values.source('node-key-hex')}, but not both")
        if NONE in values.all("listen") and len(values.all("listen")) > 1:
            raise WrongValue(f"{values.source('listen')}: none goes with no other place to listen")
        if NONE in values.all("dns-tree") and len(values.all("dns-tree")) > 1:
            raise WrongValue(f"{values.source('dns-tree')}: none goes with no other list")
        offered = [(each.name, each.version) for each in self._capabilities()]
        if twice := [each for each in offered if offered.count(each) > 1]:
            raise WrongValue(f"{values.source('capability')}: {twice[0][0]}/{twice[0][1]} is given twice")

    def _capabilities(self) -> list[Any]:
        return [each for found in self.values.all("capability") for each in found]

    def _dataDirectory(self, uid: int | None) -> Path | None:
        """A node whose key is elsewhere remembers nothing, unless it is told where."""
        given: Path | None = self.values.one("data-dir")
        if given is not None or self.isKeyElsewhere:
            return given
        return defaultDataDirectory(os.environ, uid)

    def _readKey(self) -> PrivateKey | None:
        """
        The key in its file, if that is there.

        @raise WrongValue: the file is there and cannot be used.
        """
        path = self.keyFile or (self.dataDirectory and self.dataDirectory / KEY_FILE)
        if not path or not os.path.exists(path):
            return None
        try:
            return load_key(path, self.warnings.append)
        except KeyFileError as error:
            source = self.values.source("node-key" if self.keyFile else "data-dir")
            raise WrongValue(f"{source or '--data-dir'}: {error}") from None

    @property
    def isJSON(self) -> bool:
        """Whether log lines are JSON."""
        return bool(self.values.one("log-format") == "json")

    @property
    def logPredicate(self) -> LogLevelFilterPredicate:
        """
        What is logged. Of L{QUIET} only warnings are, unless C{--log-level} asks for more.
        """
        predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
        for namespace in QUIET:
            predicate.setLogLevelForNamespace(namespace, LogLevel.warn)
        for namespace, level, _ in self.values.all("log-level"):
            predicate.setLogLevelForNamespace(namespace, level)
        return predicate

    def serverConfig(self, key: PrivateKey, isPersistent: bool = True) -> ServerConfig:
        """
        How the node is set up.

        @param isPersistent: whether the data directory can be written.
        """
        values = self.values
        return ServerConfig(
            key=key,
            listen=None if values.all("listen") == [NONE] else values.all("listen"),
            advertise=values.one("advertise"),
            name=clientName(values.one("identity") or ""),
            capabilities=self._capabilities(),
            maxPeers=values.one("max-peers"),
            maxPendingPeers=values.one("max-pending-peers"),
            dialRatio=values.one("dial-ratio"),
            noDial=bool(values.one("no-dial")),
            staticNodes=self.lists["static"].nodes,
            trustedNodes=self.lists["trusted"].nodes,
            netrestrict=values.one("netrestrict"),
            netdeny=values.one("netdeny"),
            lan=bool(values.one("lan")),
            dialVia=values.one("dial-via"),
            discoveryPort=values.one("discovery-port"),
            **self._networkSettings(),
            nat=values.one("nat") or (NONE if values.one("network") == NONE else "any"),
            database=self._database() if isPersistent else "",
        )

    def _networkSettings(self) -> dict[str, Any]:
        """The network's settings, and what of them was replaced."""
        versions = self.values.one("discovery")
        settings = {
            **NETWORKS[self.values.one("network")].settings(),
            "discovery": bool(versions) and not self.values.one("no-discovery"),
            "discoveryVersions": versions,
        }
        if self.values.isGiven("bootnodes"):
            settings["bootnodes"] = self.lists["bootnodes"].nodes
            settings["bootnodesV5"] = ()
        if trees := self.values.all("dns-tree"):
            settings["dnsTrees"] = [url for url in trees if url != NONE]
        if server := self.values.one("ntp"):
            settings["ntpServer"] = None if server == NONE else server
        return settings

    def _database(self) -> str:
        if self.dataDirectory is None:
            return ""
        return str(self.dataDirectory / f"nodes-{self.values.one('network')}.sqlite")


def defaultDataDirectory(environment: Mapping[str, str], uid: int | None = None) -> Path | None:
    """
    Where a node keeps what it has to remember if it is not told: C{$XDG_DATA_HOME/devp2p-tx}, or
    C{~/.local/share/devp2p-tx}; C{None} if its user has no home directory.

    @param uid: the user that the process becomes; C{None} if it stays as it is.
    """
    if uid is not None and uid != os.getuid():
        home = _homeOf(uid)
    elif (data := environment.get("XDG_DATA_HOME", "")) and os.path.isabs(data):
        return Path(data) / "devp2p-tx"
    else:
        home = environment.get("HOME") or _homeOf(os.getuid())
    return Path(home) / ".local" / "share" / "devp2p-tx" if os.path.isabs(home) and os.path.isdir(home) else None


def _homeOf(uid: int) -> str:
    try:
        return getpwuid(uid).pw_dir
    except KeyError:
        return ""
