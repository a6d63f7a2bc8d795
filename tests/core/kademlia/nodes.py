"""Nodes made up for tests: ids at chosen distances, without keys."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from random import Random

from devp2p_tx.core.addressing.addresses import IPAddress
from devp2p_tx.core.kademlia.bucket import BUCKET_SIZE
from devp2p_tx.core.kademlia.table import NodeView, Ping, Table

OWN_ID = bytes(range(32))
LOCALHOST = ip_address("127.0.0.1")


@dataclass(frozen=True)
class FakeNode:
    """All that the table wants of a node."""

    node_id: bytes
    ip: IPAddress | None = LOCALHOST
    udp: int = 30303
    seq: int = 0


def id_at(distance: int, tail: int, own_id: bytes = OWN_ID) -> bytes:
    """A node id at the logarithmic distance from C{own_id}; its lowest bits tell C{tail}."""
    mark = 1 << (distance - 1)
    return (int.from_bytes(own_id, "big") ^ (mark | tail % mark)).to_bytes(32, "big")


def node_at(distance: int, tail: int = 0, ip: str = "127.0.0.1", **fields: int) -> FakeNode:
    """A node at the logarithmic distance from L{OWN_ID}."""
    return FakeNode(id_at(distance, tail), ip_address(ip), **fields)


def new_table(seed: int = 1, initialised: bool = True) -> Table[FakeNode]:
    """A table at time 0; unless told otherwise its first refresh is done, and the next one far away."""
    table: Table[FakeNode] = Table(OWN_ID, Random(seed), 0.0)
    if initialised:
        table.handle_timer(0.0)
        table.refresh_done(0.0)
    return table


def run_checks(table: Table[FakeNode], now: float, until: float, dead: frozenset[bytes] = frozenset()) -> list[bytes]:
    """Let time pass; nodes answer each check at once unless they are dead. The ids checked, in order."""
    checked = []
    while (timer := table.get_timer()) is not None and timer <= until:
        now = max(now, timer)
        for action in table.handle_timer(now):
            if isinstance(action, Ping):
                checked.append(action.node.node_id)
                if action.node.node_id in dead:
                    table.on_no_pong(action.node, now)
                else:
                    table.on_pong(action.node, now)
            else:
                table.refresh_done(now)
    return checked


def fill_bucket(table: Table[FakeNode], distance: int = 256, count: int = BUCKET_SIZE) -> list[FakeNode]:
    """Fill the bucket of a distance with nodes of the LAN."""
    nodes = [node_at(distance, tail) for tail in range(count)]
    for node in nodes:
        table.add_found(node, 0.0)
    return nodes


def entries(table: Table[FakeNode]) -> dict[bytes, NodeView[FakeNode]]:
    """What the table's view says of each entry."""
    return {entry.node.node_id: entry for bucket in table.view() for entry in bucket.entries}


def replacements(table: Table[FakeNode]) -> list[FakeNode]:
    """All nodes that wait."""
    return [entry.node for bucket in table.view() for entry in bucket.replacements]


def check_once(table: Table[FakeNode], now: float) -> FakeNode:
    """Let time pass until a node is to be checked."""
    while True:
        timer = table.get_timer()
        assert timer is not None
        for action in table.handle_timer(max(now, timer)):
            if isinstance(action, Ping):
                node: FakeNode = action.node
                return node
