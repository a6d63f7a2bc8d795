"""
Floods of PINGs of discovery v4 on a node with default options, from many addresses, and what they do to others.

Each flood sends 20,000 PINGs a second for some seconds: from 80 addresses, from one address in each /16 of IPv4, and
from one in each of very many /48s of IPv6. An honest node that has bonded before pings ten times a second. Prints a
JSON line a flood: what was sent and what came, how many PINGs of the honest node were answered, how late the node's
reactor called, and the processor time of a refused datagram beside that of a datagram that a bare
C{DatagramProtocol} drops, which is given the same flood::

    python bench/flood.py [--seconds 10] [--rate 20000]

It wants root and iproute2: both sides are in a network namespace of their own, in which the tester has all addresses
that it sends from, and nothing leaves that.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.sides import cpuSeconds  # noqa: E402
from devp2p_tx.core.crypto.secp256k1 import PrivateKey  # noqa: E402
from devp2p_tx.core.discv4 import packets  # noqa: E402

#: Where the node under test is, in either family, and the honest node.
HERE, HONEST = {4: "34.0.0.1", 6: "2600:1::1"}, {4: "34.99.0.9", 6: "2600:2::9"}
PORT = 30303
#: How often the honest node pings in a second, and how long it waits for an answer (seconds).
PINGS, PATIENCE = 10, 0.5
#: A control message of IP_PKTINFO and IPV6_PKTINFO, by which a sender chooses its address.
IP_PKTINFO = 8
#: Signed PINGs that are sent again and again.
DISTINCT = 2000

BARE = """
import sys
from twisted.internet import reactor, stdio
from twisted.internet.protocol import DatagramProtocol, Protocol
class Dropping(DatagramProtocol):
    count = 0
    def datagramReceived(self, datagram, addr):
        self.count += 1
class UntilClosed(Protocol):
    def connectionLost(self, reason=None):
        reactor.stop()
dropping = Dropping()
reactor.listenUDP(30303, dropping, interface=sys.argv[1])
print('{}', flush=True)
stdio.StandardIO(UntilClosed())
reactor.run()
print('{"received": %d}' % dropping.count, flush=True)
"""


def sources(flood: str) -> list[bytes]:
    """The addresses that a flood comes from, packed."""
    if flood == "80 addresses":
        return [IPv4Address(f"35.1.{number}.1").packed for number in range(80)]
    if flood == "one of each /16":
        places = [number for number in range(0x0B00, 0xDF00) if number >> 8 not in (34, 127)]
        return [IPv4Address((number << 16) + 7).packed for number in places]
    return [IPv6Address((0x2A00 << 112) + (number << 80) + 7).packed for number in range(1, 60_000)]


def signedPings() -> list[bytes]:
    """PINGs of many keys."""
    made = []
    for _ in range(DISTINCT):
        ping = packets.Ping(packets.NO_ENDPOINT, packets.NO_ENDPOINT, int(time()) + 3600)
        made.append(packets.encode_ping(PrivateKey.generate(os.urandom), ping))
    return made


class Sender:
    """Sends from any address that is routed to this host."""

    def __init__(self, version: int) -> None:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        freebind = (socket.SOL_IP, 15) if version == 4 else (socket.IPPROTO_IPV6, 78)
        self._socket.setsockopt(*freebind, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._to = HERE[version], PORT
        self._version = version

    def send(self, datagram: bytes, source: bytes) -> None:
        """Send a datagram from a packed address."""
        if self._version == 4:
            control = (socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + source + bytes(4))
        else:
            control = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source + bytes(4))
        self._socket.sendmsg([datagram], [control], 0, self._to)


class Honest:
    """A node that has bonded, and pings on."""

    def __init__(self, version: int) -> None:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((HONEST[version], PORT))
        self._socket.connect((HERE[version], PORT))
        self._key = PrivateKey.generate(os.urandom)
        self._waiting: dict[bytes, float] = {}
        self._next = 0.0
        self._count = 0
        self.sent = self.answered = 0

    def bond(self) -> None:
        """Ping, and answer the PING back."""
        self._socket.settimeout(2)
        self._ping()
        for _ in range(2):
            self._hear(self._socket.recv(1500))
        assert self.answered == 1
        self._socket.setblocking(False)
        self.sent = self.answered = 0

    def _ping(self) -> None:
        self._count += 1
        ping = packets.Ping(packets.NO_ENDPOINT, packets.NO_ENDPOINT, int(time()) + 20, self._count)
        datagram = packets.encode_ping(self._key, ping)
        self._waiting[packets.datagram_hash(datagram)] = monotonic() + PATIENCE
        self._socket.send(datagram)
        self.sent += 1

    def _hear(self, datagram: bytes) -> None:
        payload, _ = packets.decode(datagram)
        if isinstance(payload, packets.Pong):
            self.answered += self._waiting.pop(payload.ping_hash, 0.0) > monotonic()
        elif isinstance(payload, packets.Ping):
            pong = packets.Pong(packets.NO_ENDPOINT, packets.datagram_hash(datagram), int(time()) + 20)
            self._socket.send(packets.encode_pong(self._key, pong))

    def turn(self, isLast: bool = False) -> None:
        """Hear what came, and ping if it is time."""
        try:
            while True:
                self._hear(self._socket.recv(1500))
        except BlockingIOError:
            pass
        now = monotonic()
        if now >= self._next and not isLast:
            self._next = now + 1 / PINGS
            self._ping()


@contextmanager
def serving(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a server on the first core until its input is closed."""
    environment = {**os.environ, "DEVP2P_NETWORK": "none", "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        ["taskset", "-c", "0", *command], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None and server.stdout is not None
    try:
        server.stdout.readline()
        yield server
    finally:
        server.stdin.close()
        server.wait(timeout=30)


def pour(flood: str, version: int, pings: list[bytes], rate: int, seconds: float, honest: Honest | None) -> int:
    """Send a flood; how many datagrams there were."""
    sender, places = Sender(version), sources(flood)
    begun, sent = monotonic(), 0
    while (passed := monotonic() - begun) < seconds:
        for _ in range(min(int(passed * rate) - sent, 200)):
            sender.send(pings[sent % DISTINCT], places[sent % len(places)])
            sent += 1
        if honest is not None:
            honest.turn()
        sleep(0.001)
    return sent


def measure(flood: str, version: int, pings: list[bytes], rate: int, seconds: float) -> dict[str, Any]:
    """Flood the node, and then a protocol that drops everything."""
    with serving([sys.executable, str(ROOT / "bench" / "floodnode.py"), HERE[version]]) as server:
        honest = Honest(version)
        honest.bond()
        before = cpuSeconds(server.pid)
        sent = pour(flood, version, pings, rate, seconds, honest)
        sleep(PATIENCE)
        honest.turn(isLast=True)
        spent = cpuSeconds(server.pid) - before
        server.stdin.close()  # type: ignore[union-attr]
        figures = json.loads(server.stdout.readline())  # type: ignore[union-attr]
    with serving([sys.executable, "-c", BARE, HERE[version]]) as server:
        before = cpuSeconds(server.pid)
        bareSent = pour(flood, version, pings, rate, seconds, None)
        sleep(PATIENCE)
        bare = cpuSeconds(server.pid) - before
        server.stdin.close()  # type: ignore[union-attr]
        received = json.loads(server.stdout.readline())["received"]  # type: ignore[union-attr]
    refused = figures["refused"]
    work = spent - figures.pop("answering_seconds")
    return {
        "flood": flood,
        "sent": sent,
        **figures,
        "honest pings": honest.sent,
        "answered": honest.answered,
        "share that came": round(figures["received"] / sent, 3),
        "share that came to a bare protocol": round(received / bareSent, 3),
        "us of a refused packet": round(1e6 * work / max(refused, 1), 1),
        "us of one that a bare protocol drops": round(1e6 * bare / received, 1),
        "us of any packet": round(1e6 * spent / max(figures["received"], 1), 1),
    }


def addNamespace() -> None:
    """Go into a network namespace of our own, in which packets from anywhere to us are ours."""
    os.unshare(os.CLONE_NEWNET) if hasattr(os, "unshare") else None
    for words in (
        "link set lo up",
        "address add 34.0.0.1/32 dev lo",
        "address add 34.99.0.9/32 dev lo",
        "route add local 0.0.0.0/1 dev lo",
        "route add local 128.0.0.0/1 dev lo",
        "-6 address add 2600:1::1/128 dev lo nodad",
        "-6 address add 2600:2::9/128 dev lo nodad",
        "-6 route add local 2000::/3 dev lo",
    ):
        subprocess.run(["ip", *words.split()], check=True)


def main() -> None:
    """All floods."""
    parser = argparse.ArgumentParser(description="a node of discovery v4 under floods from many addresses")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--inside", action="store_true", help="be in the namespace already")
    options = parser.parse_args()
    if not options.inside:
        os.execvp("unshare", ["unshare", "--net", sys.executable, __file__, *sys.argv[1:], "--inside"])
    addNamespace()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pings = signedPings()
    for flood, version in (("80 addresses", 4), ("one of each /16", 4), ("one of each /48", 6)):
        print(json.dumps(measure(flood, version, pings, options.rate, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
