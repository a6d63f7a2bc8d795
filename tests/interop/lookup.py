"""
A program that asks the name servers that a file names: its arguments are the lines of that file.

It is the server, too, at any address of its host. It writes the texts that it was answered: over UDP, and over TCP.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from devp2p_tx.net.names.nameservers import NameServers
from tests.net.names.test_nameservers import NAME, PlayedServer, texts, truncated


async def ask(reactor: Any, lines: list[str]) -> None:
    """Serve, and ask."""
    server = PlayedServer(b"answered")
    server.listen(reactor, "::")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "resolv.conf"
        file.write_text("".join(f"{line}\n" for line in lines))
        servers = NameServers(reactor, str(file))
        print(texts(await servers.lookupText(NAME)), flush=True)
        server.change = truncated
        print(texts(await servers.lookupText(NAME)), server.asked_over_tcp, flush=True)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(ask(reactor, sys.argv[1:])))
