"""
A flood of forged PINGs, and what it does to everything else that the reactor has to do.

Each of 100,000 PINGs has a key and a source address of its own; the server has no budgets, so that each costs a
signature check (C{bench/flood.py} is with budgets). Meanwhile the server notes how late a call comes that it asks for
every 5 ms. Prints a JSON line: how many PINGs came, the lag, and how many nodes were in the table in the end::

    python bench/discv4/flood.py [--count 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from pathlib import Path
from time import sleep, time

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from bench.sides import keepOffServersCore, serving  # noqa: E402
from devp2p_tx.core.crypto.secp256k1 import PrivateKey  # noqa: E402
from devp2p_tx.core.discv4 import packets  # noqa: E402

#: Sockets, each with an address of its own; of the system's answers nothing is read.
SOURCES = 250


def flood(port: int, count: int) -> None:
    """Send as fast as they can be signed, which is faster than they can be answered."""
    sources = []
    for number in range(SOURCES):
        source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        source.bind((f"127.{1 + number // 250}.{number % 250}.1", 0))
        sources.append(source)
    for number in range(count):
        ping = packets.Ping(packets.NO_ENDPOINT, packets.NO_ENDPOINT, int(time()) + 20)
        sources[number % SOURCES].sendto(
            packets.encode_ping(PrivateKey.generate(os.urandom), ping), ("127.0.0.1", port)
        )
    for source in sources:
        source.close()


def main() -> None:
    """Run a server, flood it, and print what it noted."""
    parser = argparse.ArgumentParser(description="reactor lag under a flood of forged PINGs")
    parser.add_argument("--count", type=int, default=100_000)
    count = parser.parse_args().count
    keepOffServersCore()
    with serving([sys.executable, str(ROOT / "bench" / "discv4" / "server.py"), "--lag"]) as (server, address):
        flood(address["port"], count)
        sleep(1)
        assert server.stdin is not None and server.stdout is not None
        server.stdin.close()
        print(json.dumps({"sent": count, **json.loads(server.stdout.readline())}))


if __name__ == "__main__":
    main()
