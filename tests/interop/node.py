"""
A node of ours as a process of its own, such as in a network namespace: C{python -m tests.interop.node}.

Its argument is a JSON object: fields of L{ServerConfig} with simple values, but C{key} as 64 hex digits, C{bootnodes}
as node URLs, and C{timing} as fields of L{Timing}. It reads commands and writes events, an object a line each. It ends
when its input does.

Commands are C{dial} (enode), and C{stop}. Events are C{ready} (enode, id); C{nat} after each change: what C{nodeInfo()}
says (state, router, externalIP, tcp, udp), what the record says (ip, tcpPort, udpPort), and the enode; C{add} (id,
inbound, address); C{undialed} (why).
"""

from __future__ import annotations

import json
import sys
from functools import partial
from os import urandom
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.url import format_node, parse_node
from devp2p_tx.net.nat.mapping import Timing
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.node.events import PeerEvent, PeerEventType
from devp2p_tx.node.nat import PortMapping
from devp2p_tx.node.server import Server


class Node(LineOnlyReceiver):
    """The process."""

    delimiter = b"\n"

    def __init__(self, config: dict[str, Any]) -> None:
        timing = Timing(**config.pop("timing", {}))
        key = PrivateKey(bytes.fromhex(config.pop("key"))) if "key" in config else PrivateKey.generate(urandom)
        config["bootnodes"] = [parse_node(url) for url in config.get("bootnodes", ())]
        self.server = Server(ServerConfig(key, **config), nat=partial(_TellingMapping, self, timing=timing))
        self.server.subscribeEvents(self._peer)
        self.ended: Deferred[None] = Deferred()

    def tell(self, event: str, **fields: Any) -> None:
        """Write an event."""
        self.sendLine(json.dumps({"event": event, **fields}).encode())

    def tellNAT(self) -> None:
        """Write where we are."""
        info, node = self.server.nodeInfo()["nat"], self.server.self()
        said = {name: info[name] for name in ("state", "router", "externalIP")}
        outer = {transport: port["external"] for transport, port in info["mappings"].items()}
        record = {"ip": str(node.ip), "tcpPort": node.tcp, "udpPort": node.udp}
        self.tell("nat", **said, **outer, **record, enode=format_node(node))

    def _peer(self, event: PeerEvent) -> None:
        if event.type is PeerEventType.ADD:
            (peer,) = (peer for peer in self.server.peers() if peer.id == event.peer)
            self.tell("add", id=event.peer, inbound=peer.inbound, address=event.remoteAddress)

    def connectionMade(self) -> None:
        """See C{IProtocol}."""
        Deferred.fromCoroutine(self._start()).addErrback(self._failed)

    async def _start(self) -> None:
        await self.server.startService()
        node = self.server.self()
        self.tell("ready", enode=format_node(node), id=node.node_id.hex())

    def _failed(self, failure: Failure) -> None:
        failure.printTraceback(sys.stderr)
        self.transport.loseConnection()

    def lineReceived(self, line: bytes) -> None:
        """A command."""
        command = json.loads(line)
        if command["cmd"] == "dial":
            dialing = self.server.connect(parse_node(command["enode"]))
            dialing.addErrback(lambda failure: self.tell("undialed", why=str(failure.value)))
        else:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """See C{IProtocol}."""
        self.server.stopService().chainDeferred(self.ended)


class _TellingMapping(PortMapping):
    def __init__(self, node: Node, *args: Any, **kwargs: Any) -> None:
        *others, mapped = args
        super().__init__(*others, partial(self._mappedAndTold, mapped), **kwargs)
        self._node = node

    def _mappedAndTold(self, mapped: Any, *args: Any) -> str:
        unsaid: str = mapped(*args)
        self._node.tellNAT()
        return unsaid


def main(reactor: Any) -> Deferred[None]:
    """Run until the input ends."""
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    node = Node(json.loads(sys.argv[1]))
    StandardIO(node)
    return node.ended


if __name__ == "__main__":
    task.react(main)
