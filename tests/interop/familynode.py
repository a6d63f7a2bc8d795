"""
A node for the tests of address families, as a process of its own::

    python -m tests.interop.familynode 3 --bootnodes enode://... --listen 30303

Its number makes its key; the options are those of the command. It writes, a line each, C{started ENODE}, C{record} and
what its record says of where it is, each time that it was signed anew, and C{peers} with the numbers of its peers, each
with the address family over which it is connected, each time that this changes.
"""

from __future__ import annotations

import sys

from twisted.internet.defer import Deferred
from twisted.logger import FilteringLogObserver, globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.url import format_node
from devp2p_tx.net.listening.families import familyName
from devp2p_tx.node import advertising
from devp2p_tx.node.peer import addressIP
from devp2p_tx.node.server import Server
from devp2p_tx.tap.options import Options

#: As many nodes as a test may have.
NUMBERS = range(1, 100)


def keyOf(number: int) -> PrivateKey:
    """The key of a node."""
    return PrivateKey(number.to_bytes(32, "big"))


class Teller:
    """Writes down what happens to a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._numbers = {keyOf(number).public_key.node_id.hex(): number for number in NUMBERS}
        server.subscribeEvents(lambda event: self.tellPeers())
        server.subscribeRecords(lambda node: self.tellRecord())

    def tellStarted(self) -> None:
        """The node runs."""
        print("started", format_node(self._server.self()), flush=True)

    def tellPeers(self) -> None:
        """Its peers have changed."""
        found = []
        for peer in self._server.peers():
            ip = addressIP(peer.remoteAddress)
            assert ip is not None
            found.append(f"{self._numbers[peer.id]}/{familyName(ip.version)}")
        print("peers", *sorted(found), flush=True)

    def tellRecord(self) -> None:
        """Its record has changed."""
        shown = self._server.nodeInfo()["advertised"]
        print("record", *(f"{key}={each['value']}({each['source']})" for key, each in shown.items()), flush=True)


def main() -> None:
    """Run until a signal comes."""
    from twisted.internet import reactor

    advertising.REFRESH_INTERVAL = 1.0  # so that nobody waits two minutes for it
    number = int(sys.argv[1])
    options = Options()
    options.parseOptions(["--node-key-hex", keyOf(number).secret.hex(), *sys.argv[2:]])
    observer = FilteringLogObserver(textFileLogObserver(sys.stdout), [options.settings.logPredicate])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    server = Server(options.serverConfig(keyOf(number)))
    teller = Teller(server)

    def failed(failure: Failure) -> None:
        print("failed", failure.value, flush=True)
        reactor.stop()  # type: ignore[attr-defined]

    def start() -> None:
        starting: Deferred[None] = server.startService()
        starting.addCallbacks(lambda _: teller.tellStarted(), failed)

    reactor.callWhenRunning(start)  # type: ignore[attr-defined]
    reactor.addSystemEventTrigger("before", "shutdown", server.stopService)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
