"""
The node's secret in a file: 64 hex digits, as go-ethereum's C{nodekey} has them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import mkstemp

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.errors import DevP2PError

#: More than that is no key, and is not read (bytes).
_MAX_SIZE = 1024


class KeyFileError(DevP2PError):
    """A key file that cannot be used; the sentence says why."""


def parse_key(text: str) -> PrivateKey:
    """
    Read a secret as 64 hex digits, with C{0x} before them or without.

    @raise KeyFileError: it is none. The sentence does not repeat what was given.
    """
    try:
        secret = bytes.fromhex(text.strip().removeprefix("0x"))
        return PrivateKey(secret)
    except ValueError:
        raise KeyFileError("a node key is 64 hex digits, not zero and below the order of secp256k1") from None


def load_key(path: Path) -> PrivateKey:
    """
    Read a key file.

    @raise KeyFileError: it is unreadable, no key, or open to users other than its owner.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(_MAX_SIZE)
    except OSError as error:
        raise KeyFileError(f"cannot read the node key {path}: {error.strerror}") from None
    if mode & 0o077:
        raise KeyFileError(f"the node key {path} is open to other users (mode {mode:04o}): chmod 600 it")
    try:
        return parse_key(text.decode("ascii", "replace"))
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}") from None


def load_or_create_key(path: Path, random_bytes: Callable[[int], bytes] = os.urandom) -> PrivateKey:
    """
    Read a key file; if there is none, make a key and the file, with mode 0600, and the folders above it.

    The file appears whole or not at all, and one that another process made meanwhile is read, not replaced.

    @raise KeyFileError: as L{load_key}; or the file cannot be made.
    """
    if os.path.exists(path):
        return load_key(path)
    key = PrivateKey.generate(random_bytes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _create(path, key.secret.hex() + "\n")
    except FileExistsError:
        return load_key(path)
    except OSError as error:
        raise KeyFileError(f"cannot make the node key {path}: {error.strerror}") from None
    return key


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
