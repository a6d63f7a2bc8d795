"""
Floods of what strangers can send, and what they do to everything else that the reactor has to do.

One flood after the other, each bounded in count and in time: a GiB of random datagrams of all sizes; first packets from
10,000 endpoints, each of which costs a challenge; heads that are masked for the server, and wrong in some way; and
handshakes whose signature is another's. The server has no budgets, so that each costs as much as it can
(C{bench/flood.py} is with budgets). Meanwhile an honest node sends a PING in its session every 20 ms, and the server
notes how late a call comes that it asks for every 5 ms. Prints a JSON line a flood: what was sent and what came, the
lag, the growth of the server's memory, its sessions and challenges, and how many PINGs of the honest node were
answered. What is lost is lost by the system, which drops what comes while the server is busy, whoever sent it::

    python bench/discv5/flood.py [--mib 1024] [--count 200000] [--seconds 60] [--pause 0]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from itertools import cycle
from pathlib import Path
from random import SystemRandom
from time import monotonic, sleep, time
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from bench.sides import keepOffServersCore, serving  # noqa: E402
from devp2p_tx.core.addressing.addresses import parse_address  # noqa: E402
from devp2p_tx.core.addressing.policy import AddressPolicy  # noqa: E402
from devp2p_tx.core.crypto.secp256k1 import PrivateKey, PublicKey  # noqa: E402
from devp2p_tx.core.discv5 import messages, packets  # noqa: E402
from devp2p_tx.core.discv5.events import Contact, PingAnswered  # noqa: E402
from devp2p_tx.core.discv5.neighbours import Neighbours  # noqa: E402
from devp2p_tx.core.discv5.packets import PacketReader, PacketWriter  # noqa: E402
from devp2p_tx.core.discv5.protocol import Discv5  # noqa: E402
from devp2p_tx.core.discv5.session import RandomPool, initiate  # noqa: E402
from devp2p_tx.core.enr.local import LocalRecord  # noqa: E402
from devp2p_tx.core.enr.node import Node  # noqa: E402
from devp2p_tx.core.enr.record import Record  # noqa: E402
from devp2p_tx.core.kademlia.table import Table  # noqa: E402
from devp2p_tx.storage.memory import MemoryNodeStore  # noqa: E402

LOOPBACK = parse_address("127.0.0.1")
#: Endpoints that first packets come from.
ENDPOINTS = 10_000
#: Packets that are made before the clock starts, and sent time and again.
DISTINCT = 20_000
#: Handshakes, which cost whoever sends them as much as the server.
HANDSHAKES = 10_000
#: Handshakes under way, each from a port of its own.
IN_FLIGHT = 32
#: Seconds between two PINGs of the honest node.
PING_INTERVAL = 0.02
#: What is sent between two turns of the honest node.
TURN = 50
#: Random datagrams have any size below; some are longer than any that is read.
SIZES = 1400
#: Of C{ip(7)}, for Python does not name it: the address that a datagram is to come from.
IP_PKTINFO = 8
PKTINFO = struct.Struct("=i4s4s")

Send = Callable[[bytes, bytes], None]


class Target:
    """The server, as strangers know it."""

    def __init__(self, address: dict[str, Any]) -> None:
        self.key = PublicKey.from_bytes(bytes.fromhex(address["id"]))
        self.port: int = address["port"]
        self.endpoint = ("127.0.0.1", self.port)
        self._mask = packets.mask_of(self.key.node_id)

    def masked(self, head: bytes) -> bytes:
        """A head as the server unmasks it."""
        return packets.masked(head, self._mask)

    def firstPacket(self, node_id: bytes) -> bytes:
        """A packet that nobody can read."""
        head = PacketWriter(node_id).ordinary(os.urandom(packets.IV_SIZE), os.urandom(packets.NONCE_SIZE))
        return self.masked(head) + os.urandom(packets.RANDOM_MESSAGE_SIZE)


class Honest:
    """A node with a session, which asks from time to time whether the server lives."""

    def __init__(self, target: Target) -> None:
        local = LocalRecord(PrivateKey.generate(os.urandom), int(time() * 1000))
        table: Table[Node] = Table(local.node_id, SystemRandom(), monotonic())
        self._core = Discv5(local, Neighbours(table, MemoryNodeStore().node, AddressPolicy(lan=True)), os.urandom)
        self._target = target
        self._contact = Contact(target.key.node_id, LOOPBACK, target.port, target.key)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._next = 0.0
        self.sent = self.answered = 0

    def turn(self) -> None:
        """Do what is due."""
        now = monotonic()
        while (datagram := received(self._socket)) is not None:
            self._core.receive_datagram(datagram, LOOPBACK, self._target.port, now, time())
        self._core.handle_timer(now)
        if now >= self._next:
            self._next = now + PING_INTERVAL
            self._core.ping(self._contact, now, time())
            self.sent += 1
        for data, _, _ in self._core.datagrams_to_send():
            self._socket.sendto(data, self._target.endpoint)
        self.answered += sum(isinstance(event, PingAnswered) for event in self._core.next_events())

    def begin(self) -> None:
        """Make the session, and count anew."""
        deadline = monotonic() + 10
        while not self.answered and monotonic() < deadline:
            self.turn()
            sleep(0.01)
        self.sent -= self.answered
        self.answered = 0

    def end(self) -> None:
        """Wait for the last answers, and that the server has a turn."""
        self._next = float("inf")
        deadline = monotonic() + 1
        while monotonic() < deadline:
            self.turn()
            sleep(0.01)
        self._socket.close()


def received(socket_: socket.socket) -> bytes | None:
    """A datagram, if one has come."""
    try:
        return socket_.recv(1500, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None


# Each flood sends one datagram a turn; what they give is nothing.


def randomDatagrams(target: Target, send: Send, mib: int) -> Iterator[None]:
    """Of all sizes, so many MiB in all."""
    pool = os.urandom(1 << 22)
    left, start = mib << 20, 0
    for size in cycle(range(SIZES)):
        if left <= 0:
            return
        start = (start + 7919) % (len(pool) - SIZES)
        send(pool[start : start + size], LOOPBACK.packed)
        left -= size
        yield


def firstPackets(target: Target, send: Send, count: int) -> Iterator[None]:
    """Of as many nodes, and from many endpoints."""
    made = [target.firstPacket(os.urandom(32)) for _ in range(DISTINCT)]
    sources = [(IPv4Address("127.1.0.0") + number).packed for number in range(ENDPOINTS)]
    for number in range(count):
        send(made[number % DISTINCT], sources[number % ENDPOINTS])
        yield


def wrongHeads(target: Target, send: Send, count: int) -> Iterator[None]:
    """Masked as they should be."""
    writer = PacketWriter(os.urandom(32))
    iv, nonce = os.urandom(packets.IV_SIZE), os.urandom(packets.NONCE_SIZE)
    made = [
        target.masked(writer.whoareyou(iv, nonce, os.urandom(16), 0)),  # nobody was asked anything
        target.masked(writer.handshake(iv, nonce, bytes(64), bytes(33), b"")) + bytes(40),  # nor challenged
        *(  # version 0, a flag that there is not, and sizes that the kind cannot have
            target.masked(iv + packets.PROTOCOL_ID + kind + nonce + b"\1\0" + bytes(300))
            for kind in (b"\0\0\0", b"\0\1\3", b"\0\1\0", b"\0\1\1")
        ),
    ]
    for _, datagram in zip(range(count), cycle(made), strict=False):
        send(datagram, LOOPBACK.packed)
        yield


def forgedHandshakes(target: Target, send: Send, count: int) -> Iterator[None]:
    """With a good record, and the signature of somebody else."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(IN_FLIGHT)]
    for each in sockets:
        each.connect(target.endpoint)
        each.settimeout(0.3)
    key = PrivateKey.generate(os.urandom)
    node_id, record = key.public_key.node_id, Record.sign(key, 1, {})
    writer, reader, pool = PacketWriter(node_id), PacketReader(node_id), RandomPool(os.urandom)
    signature = key.sign(bytes(32))[:64]
    ping = messages.encode_ping(b"id", 1)
    for _ in range(count // IN_FLIGHT):
        for each in sockets:
            each.send(target.firstPacket(node_id))
        for each in sockets:
            try:
                challenge = reader.read(each.recv(1500))
            except TimeoutError:
                continue
            forged = initiate(key, target.key, LOOPBACK, target.port, challenge.head, writer, os.urandom)
            datagram, _ = forged._replace(signature=signature).write(ping, record.encoded, writer, pool)
            each.send(datagram)
            yield
    for each in sockets:
        each.close()


class Sender:
    """Sends from any address of this host."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, datagram: bytes, source: bytes) -> None:
        """Send a datagram; C{source} is an address of four bytes."""
        control = (socket.IPPROTO_IP, IP_PKTINFO, PKTINFO.pack(0, source, bytes(4)))
        self._socket.sendmsg([datagram], [control], 0, self._target.endpoint)


def flood(begin: Callable[[Target, Send], Iterator[None]], seconds: float, pause: float) -> dict[str, Any]:
    """Flood a new server; what was sent, and what it noted."""
    command = [sys.executable, str(ROOT / "bench" / "discv5" / "server.py"), "--figures"]
    with serving(command) as (server, address):
        assert server.stdin is not None and server.stdout is not None

        def figures() -> dict[str, Any]:
            print(file=server.stdin, flush=True)
            return json.loads(server.stdout.readline())  # type: ignore[union-attr,no-any-return]

        target = Target(address)
        honest = Honest(target)
        honest.begin()
        before = figures()
        sent, begun = 0, monotonic()
        for _ in begin(target, Sender(target).send):
            sent += 1
            if sent % TURN == 0:
                honest.turn()
                sleep(pause)
                if monotonic() - begun > seconds:
                    break
        took = monotonic() - begun
        honest.end()
        after = figures()
    growth = {"grown_kib": after.pop("rss_kib") - before["rss_kib"], "received": after.pop("received")}
    answered = {"pings": honest.sent, "answered": honest.answered}
    return {"sent": sent, **growth, "seconds": round(took, 1), **after, **answered}


def main() -> None:
    """All floods."""
    parser = argparse.ArgumentParser(description="a node of discovery v5 under floods")
    parser.add_argument("--mib", type=int, default=1024, help="random datagrams")
    parser.add_argument("--count", type=int, default=200_000, help="packets of the other floods")
    parser.add_argument("--seconds", type=float, default=60.0, help="the most that a flood takes")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds of rest after 50 packets")
    options = parser.parse_args()
    keepOffServersCore()
    floods: dict[str, Callable[[Target, Send], Iterator[None]]] = {
        "random datagrams": lambda target, send: randomDatagrams(target, send, options.mib),
        "first packets": lambda target, send: firstPackets(target, send, options.count),
        "wrong heads": lambda target, send: wrongHeads(target, send, options.count),
        "forged handshakes": lambda target, send: forgedHandshakes(target, send, min(HANDSHAKES, options.count)),
    }
    for name, begin in floods.items():
        print(json.dumps({"flood": name, **flood(begin, options.seconds, options.pause)}), flush=True)


if __name__ == "__main__":
    main()
