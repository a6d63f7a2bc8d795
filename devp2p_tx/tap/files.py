"""
What a node keeps in files: its data directory and its key, as they are found when it starts.
"""

from __future__ import annotations

from collections.abc import Callable
from os import strerror, urandom
from pathlib import Path

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.net.log import Logger
from devp2p_tx.storage.datadirectory import DataDirectory, DataDirectoryError, make_directory
from devp2p_tx.storage.keyfile import KeyFileError, create_key, load_key
from devp2p_tx.tap.privileges import User
from devp2p_tx.tap.settings import KEY_FILE, Settings

_IN_MEMORY = "the node key, if it has no file, and what is learned of other nodes are kept in memory only"

_log = Logger()


class StartFailed(Exception):
    """The node cannot start; the message begins with what asks for what cannot be had."""


class NodeFiles:
    """
    @ivar isPersistent: whether the data directory can be written.
    """

    def __init__(self, settings: Settings, user: User, warn: Callable[[str], object]) -> None:
        """
        @param user: who owns what is made.
        @param warn: is called with a sentence for the log.
        """
        self._settings, self._user, self._warn = settings, user, warn
        self._directory: DataDirectory | None = None
        self.isPersistent = True

    def open(self) -> PrivateKey:
        """
        Make the data directory, lock it, and find or make the key.

        @raise StartFailed: another node has the directory, or a directory or file that was asked for cannot be made.
        """
        if (path := self._settings.dataDirectory) is not None:
            self._openDirectory(path)
        elif not self._settings.isKeyElsewhere:
            self._inMemory("this node's user has no home directory: --data-dir DIRECTORY names another place")
        return self._settings.key or self._makeKey()

    def _openDirectory(self, path: Path) -> None:
        source = self._settings.values.source("data-dir")
        try:
            make_directory(path, *self._user)
        except OSError as error:
            if source:
                raise StartFailed(f"{source}: cannot make the directory {path}: {_reason(error)}") from None
            self._inMemory(f"cannot make the data directory {path}: {_reason(error)}")
            return
        self._directory = DataDirectory(path)
        try:
            with self._user.acting():
                self._lock(self._directory)
                self._directory.write_pid()
        except DataDirectoryError as error:
            raise StartFailed(f"{source or '--data-dir'}: {error}") from None
        except OSError as error:
            self._inMemory(f"the data directory {path} cannot be written: {_reason(error)}")

    def _lock(self, directory: DataDirectory) -> None:
        try:
            directory.lock()
        except OSError as error:
            self._warn(
                f"the data directory {directory.path} cannot be locked: {_reason(error)}; see to it that no other node"
                " uses it"
            )

    def _inMemory(self, why: str) -> None:
        self.isPersistent = False
        self._warn(f"{why}; {_IN_MEMORY}")

    def _makeKey(self) -> PrivateKey:
        """There was no key when the options were read."""
        if (path := self._settings.keyFile) is None:
            if not self.isPersistent or self._settings.dataDirectory is None:
                return PrivateKey.generate(urandom)
            path = self._settings.dataDirectory / KEY_FILE
        source = self._settings.values.source("node-key") or self._settings.values.source("data-dir") or "--data-dir"
        try:
            with self._user.acting():
                key = create_key(path)
        except FileExistsError:  # another process made it meanwhile
            return load_key(path, self._warn)
        except KeyFileError as error:
            raise StartFailed(f"{source}: {error}") from None
        _log.info("made a new node key: file={file} id={id}", file=str(path), id=key.public_key.node_id.hex())
        return key

    def close(self) -> None:
        """Unlock the directory."""
        if self._directory is not None:
            self._directory.release()


def _reason(error: OSError) -> str:
    return strerror(error.errno) if error.errno is not None else str(error)
