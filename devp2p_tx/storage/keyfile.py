"""
The node's secret in a file: 64 hex digits, as go-ethereum's C{nodekey} has them.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import mkstemp

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.errors import DevP2PError

#: More than that is no key, and is not read (bytes).
_MAX_SIZE = 1024
_OTHERWISE = "--node-key-hex or DEVP2P_NODE_KEY_HEX gives the key itself"


class KeyFileError(DevP2PError):
    """A key file that cannot be used; the message says why."""


def parse_key(text: str) -> PrivateKey:
    """
    Read a secret as 64 hex digits, with C{0x} before them or without.

    @raise KeyFileError: it is none. The message does not repeat what was given.
    """
    try:
        secret = bytes.fromhex(text.strip().removeprefix("0x"))
        return PrivateKey(secret)
    except ValueError:
        raise KeyFileError("a node key is 64 hex digits, not zero and below the order of secp256k1") from None


def load_key(path: Path, warn: Callable[[str], object] = warnings.warn) -> PrivateKey:
    """
    Read a key file.

    A file that other users may open is refused if we can change that. It is used, with a warning, if we cannot: it has
    another owner or its file system is mounted read-only, as secrets are that a supervisor mounts.

    @param warn: is called with that warning.
    @raise KeyFileError: the file is unreadable, no key, or open to other users.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            is_ours = _can_change(status.st_uid, os.fstatvfs(file.fileno()).f_flag)
            text = file.read(_MAX_SIZE)
    except OSError as error:
        raise KeyFileError(f"cannot read the node key {path}: {error.strerror}") from None
    mode = stat.S_IMODE(status.st_mode)
    is_open = f"the node key {path} is open to other users (mode {mode:04o})"
    if mode & 0o077 and is_ours:
        raise KeyFileError(f"{is_open}: chmod 600 it; where that is not possible, {_OTHERWISE}")
    try:
        key = parse_key(text.decode("ascii", "replace"))
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}") from None
    if mode & 0o077:
        warn(f"{is_open}, and is used all the same, since this process cannot change that; {_OTHERWISE}")
    return key


def _can_change(owner: int, mount_flags: int) -> bool:
    """Whether this process may change the permissions of a file."""
    return os.geteuid() in (0, owner) and not mount_flags & os.ST_RDONLY


def create_key(path: Path, random_bytes: Callable[[int], bytes] = os.urandom) -> PrivateKey:
    """
    Make a key and its file, with mode 0600. The file appears whole or not at all, and never replaces another.

    @raise FileExistsError: there is such a file.
    @raise KeyFileError: the file cannot be made; its directory has to be there.
    """
    key = PrivateKey.generate(random_bytes)
    try:
        _create(path, key.secret.hex() + "\n")
    except FileExistsError:
        raise
    except FileNotFoundError:
        raise KeyFileError(
            f"cannot make the node key {path}: there is no directory {path.parent}; make it, or correct the path"
        ) from None
    except OSError as error:
        raise KeyFileError(f"cannot make the node key {path}: {error.strerror}") from None
    return key


def load_or_create_key(path: Path, random_bytes: Callable[[int], bytes] = os.urandom) -> PrivateKey:
    """
    Read a key file; if there is none, make a key and the file, with mode 0600, in a directory that is there.

    A file that another process makes meanwhile is read, not replaced.

    @raise KeyFileError: as L{load_key} and L{create_key}.
    """
    if os.path.exists(path):
        return load_key(path)
    try:
        return create_key(path, random_bytes)
    except FileExistsError:
        return load_key(path)


def _create(path: Path, text: str) -> None:
    """Make a file with mode 0600, whole or not at all."""
    descriptor, unfinished = mkstemp(dir=path.parent, prefix=".nodekey.")
    try:
        with open(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)
    finally:
        os.unlink(unfinished)
