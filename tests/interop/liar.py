"""
Those who tell of nodes where there are none: as a bootnode, and as a list in DNS. C{python -m tests.interop.liar}::

    liar node 100.64.0.0/10,10.0.0.0/8 1 --listen 30303     a node, which takes the arguments of familynode after that
    liar list 100.64.0.0/10,10.0.0.0/8 11.0.0.3             name servers of a list, which say where they are

Of each network as many nodes are told of.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network
from itertools import cycle, islice
from random import Random
from typing import Any

from devp2p_tx.core.addressing.policy import AddressPolicy
from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.dnstree.building import make_tree
from devp2p_tx.core.dnstree.entries import Link
from devp2p_tx.core.enr.entries import IP, TCP, UDP
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.record import Record
from devp2p_tx.core.kademlia.distance import log_distance
from devp2p_tx.core.kademlia.table import Table
from tests.interop import familynode

DOMAIN = "nodes.example"
#: The port of those that are told of, and how many they are: enough to be asked for in vain all day long.
PORT, LISTED, TOLD = 4000, 16, 3000
_KEY = PrivateKey(b"\x77" * 32)


def records(networks: str) -> Iterator[Record]:
    """Records of nodes that do not exist, of each network in turn."""
    random = Random(5)
    for text in cycle(networks.split(",")):
        network = ip_network(text)
        assert isinstance(network, IPv4Network)
        where = network[random.randrange(1, network.num_addresses - 1)]
        key = PrivateKey(random.randbytes(32))
        yield Record.sign(
            key, 1, {each.key: each.encode(value) for each, value in ((IP, where), (TCP, PORT), (UDP, PORT))}
        )


def treeURL() -> str:
    """The list, as C{--dns-tree} takes it."""
    return Link.make(DOMAIN, _KEY.public_key).to_text()


def tellNodes(networks: str, *arguments: str) -> None:
    """Be a node that tells everybody of these, whatever it is asked for."""
    told = [Node.from_record(record) for record in islice(records(networks), TOLD)]
    random = Random(6)

    def closest(table: Any, target: bytes, count: int = 16, **_: Any) -> list[Node]:
        return random.sample(told, count)

    def atDistance(table: Any, distance: int, **_: Any) -> list[Node]:
        own = familynode.keyOf(int(arguments[0])).public_key.node_id
        fitting = [node for node in told if log_distance(own, node.node_id) == distance]
        return random.sample(fitting, min(len(fitting), 8))

    Table.closest = closest  # type: ignore[method-assign, assignment]
    Table.at_distance = atDistance  # type: ignore[method-assign, assignment]
    AddressPolicy.relay_fault = lambda *_: None  # type: ignore[method-assign, assignment]
    sys.argv[1:] = arguments
    familynode.main()


def serveList(networks: str, where: str) -> None:
    """Answer those who ask for the list."""
    from twisted.internet import reactor
    from twisted.names import authority, dns, server

    texts = make_tree(1, list(islice(records(networks), LISTED)), []).sign(_KEY).to_txt(DOMAIN)

    def strings(text: str) -> list[bytes]:
        return [text[start : start + 200].encode() for start in range(0, len(text), 200)]

    class Zone(authority.FileAuthority):
        def loadFile(self, filename: str) -> None:
            self.soa = b"example", dns.Record_SOA(b"example", b"example")
            found = {name.lower().encode(): [dns.Record_TXT(*strings(text), ttl=60)] for name, text in texts.items()}
            self.records = {b"example": [self.soa[1]], **found}

    names = server.DNSServerFactory(authorities=[Zone("")])
    reactor.listenUDP(53, dns.DNSDatagramProtocol(names), interface=where)  # type: ignore[attr-defined]
    reactor.listenTCP(53, names, interface=where)  # type: ignore[attr-defined]
    reactor.callWhenRunning(print, "started", flush=True)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    {"node": tellNodes, "list": serveList}[sys.argv[1]](*sys.argv[2:])
