"""
The user that twistd's C{--uid} and C{--gid} name: twistd becomes it after our sockets are opened.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple


class User(NamedTuple):
    """A user and a group; -1 where this process stays as it is."""

    uid: int = -1
    gid: int = -1

    @classmethod
    def after(cls, twistd: Mapping[str, Any]) -> User:
        """Whom this process runs as in the end."""
        uid, gid = twistd.get("uid"), twistd.get("gid")
        if uid is not None and gid is None:
            gid = pwd.getpwuid(uid).pw_gid
        return cls(-1 if uid is None else uid, -1 if gid is None else gid)

    def canRead(self, *paths: str) -> bool:
        """Whether this user may read some files."""
        try:
            with self.acting():
                for path in paths:
                    open(path, "rb").close()
        except OSError:
            return False
        return True

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Do something, such as making a file, as this user, if this process is root."""
        if os.geteuid() or self == User():
            yield
            return
        group = os.getegid()
        os.setegid(group if self.gid < 0 else self.gid)
        os.seteuid(max(self.uid, 0))
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(group)
