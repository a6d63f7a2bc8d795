"""
Discovery v4, side by side: how many PINGs and FINDNODEs this project and go-ethereum answer, in one run.

The server has a core of its own, and so has the client, which keeps 64 requests in flight over loopback. Its requests
are signed beforehand, and of the answers it looks at nothing but their type, so that the server is what is measured.
Each implementation does its share in turn, several times, and the median counts: machines drift, ratios drift less.
Prints a JSON line a measurement, and the medians and ratios of each row. Where others use the machine too, what is
answered in a second of the server's processor time tells more than what is answered in a second::

    python bench/discv4/run.py [--repeat 5] [--seconds 3] [--only python,go]

Wants Go; builds its side under build/bench.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from itertools import cycle
from pathlib import Path
from time import monotonic, time

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from bench.sides import (  # noqa: E402
    NAMES,
    Rates,
    buildGo,
    comparison,
    cpuSeconds,
    keepOffServersCore,
    serverCommand,
    serving,
    sideBySide,
)
from devp2p_tx.core.crypto.secp256k1 import PrivateKey  # noqa: E402
from devp2p_tx.core.discv4 import packets  # noqa: E402
from devp2p_tx.core.discv4.packets import PacketType, WireEndpoint  # noqa: E402

IN_FLIGHT = 64
#: Requests that are signed beforehand, and sent time and again.
DISTINCT = 1000
#: What is not answered for so long is lost (seconds).
LOST_AFTER = 0.3
#: Measurements: name, neighbours of the server (without any it tells of the client), request, datagrams of an answer.
ROWS = [
    ("pings", 0, PacketType.PING, 1),
    ("findnode, 1 node", 0, PacketType.FINDNODE, 1),
    ("findnode, 16 nodes", 16, PacketType.FINDNODE, 2),
]
_TYPE = 97
_ANSWERS = {PacketType.PING: PacketType.PONG, PacketType.FINDNODE: PacketType.NEIGHBORS}


class Client:
    """One who asks as fast as it is answered."""

    def __init__(self, port: int) -> None:
        self.key = PrivateKey.generate(os.urandom)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(LOST_AFTER)
        self.here = WireEndpoint(bytes((127, 0, 0, 1)), self.socket.getsockname()[1], 0)
        self.there = WireEndpoint(bytes((127, 0, 0, 1)), port, 0)

    def ping(self, number: int = 0) -> bytes:
        """A PING, another one for each number."""
        return packets.encode_ping(self.key, packets.Ping(self.here, self.there, int(time()) + 3600 + number))

    def request(self, kind: PacketType, number: int) -> bytes:
        """A request that can be sent for an hour."""
        if kind == PacketType.PING:
            return self.ping(number)
        findnode = packets.FindNode(os.urandom(64), int(time()) + 3600)
        return packets.encode_findnode(self.key, findnode)

    def answer(self, datagram: bytes) -> None:
        """Prove our endpoint, when the server asks for it."""
        if datagram[_TYPE] == PacketType.PING:
            pong = packets.Pong(self.there, packets.datagram_hash(datagram), int(time()) + 20)
            self.socket.send(packets.encode_pong(self.key, pong))

    def bond(self) -> None:
        """Exchange proofs, and answer until the server has had the time to believe them."""
        self.socket.send(self.ping())
        begun = monotonic()
        while monotonic() - begun < 2:
            try:
                self.answer(self.socket.recv(1500))
            except TimeoutError:
                continue

    def measure(self, kind: PacketType, datagrams: int, seconds: float) -> tuple[float, float]:
        """
        Keep L{IN_FLIGHT} requests under way.

        @return: answers a second, each of so many C{datagrams}, and the share of requests that were not answered.
        """
        requests = cycle([self.request(kind, number) for number in range(DISTINCT)])
        wanted, received, lost, sent = _ANSWERS[kind], 0, 0, 0
        begun = now = monotonic()
        while now - begun < seconds:
            while sent - lost - received // datagrams < IN_FLIGHT:
                self.socket.send(next(requests))
                sent += 1
            try:
                datagram = self.socket.recv(1500)
            except TimeoutError:
                lost = sent - received // datagrams
            else:
                if datagram[_TYPE] == wanted:
                    received += 1
                else:
                    self.answer(datagram)
            now = monotonic()
        return received / datagrams / (now - begun), lost / sent

    def close(self) -> None:
        """No more."""
        self.socket.close()


def measure(name: str, row: tuple[str, int, PacketType, int], seconds: float) -> Rates:
    """One measurement: answers a second, and answers for each second of the server's processor time."""
    label, nodes, kind, datagrams = row
    with serving(serverCommand("discv4", name, nodes)) as (server, address):
        client = Client(address["port"])
        client.bond()
        client.measure(kind, datagrams, seconds / 4)  # warms up
        before = cpuSeconds(server.pid)
        rate, lost = client.measure(kind, datagrams, seconds)
        busy = (cpuSeconds(server.pid) - before) / seconds
        client.close()
    figures = {"per_second": round(rate), "per_cpu_second": round(rate / busy), "busy": round(busy, 2)}
    print(json.dumps({"name": NAMES[name], "row": label, **figures, "lost": round(lost, 4)}), flush=True)
    return rate, rate / busy


def main() -> None:
    """Measure, and compare."""
    options = comparison("discovery v4: answers a second, side by side").parse_args()
    keepOffServersCore()
    if "go" in options.only:
        buildGo()
    sideBySide(ROWS, measure, options)


if __name__ == "__main__":
    main()
