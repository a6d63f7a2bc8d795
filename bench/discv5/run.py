"""
Discovery v5, side by side: what this project and go-ethereum answer in a session, and how many handshakes they do.

The server has a core of its own, and so has the client, which is the same for both (C{bench/peers/go discv5-client}).
It keeps 64 requests in flight over loopback, which are sealed beforehand, opens one answer of 64, and never sleeps
meanwhile, so that the server is what is measured, and does not pay for waking the client. Handshakes are those of new
identities, 64 at a time, each from a port of its own; each ends with an answered PING. Loopback is exempt from the
budgets of both. Each implementation does its share in turn, several times, and the median counts: machines drift,
ratios drift less. Prints a JSON line a measurement, and the medians and ratios of each row. Where others use the
machine too, what is answered in a second of the server's processor time tells more than what is answered in a second::

    python bench/discv5/run.py [--repeat 5] [--seconds 3] [--only python,go] [--rows ping,handshake]

Wants Go; builds its side under build/bench.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from bench.sides import (  # noqa: E402
    GO,
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

#: Neighbours of a server that tells sixteen nodes of a bucket or three.
MANY = 32
#: Handshakes for each second that a measurement should take.
HANDSHAKES_A_SECOND = 1500
#: Measurements: name, workload of the client, neighbours of the server.
ROWS = [
    ("pings", "ping", 0),
    ("findnode, 1 node", "findnode1", 0),
    ("findnode, 16 nodes", "findnode16", MANY),
    ("talk requests, unknown protocol", "talk", 0),
    ("talk requests, echoed", "talkecho", 0),
    ("handshakes", "handshake", 0),
]
TIMEOUT = 120


def ask(server: dict[str, Any], pid: int, workload: str, seconds: float) -> tuple[dict[str, Any], float]:
    """Run the client; what it measured, and the processor time that the server spent meanwhile."""
    command = [str(GO), "discv5-client", "--id", server["id"], "--port", str(server["port"]), "--workload", workload]
    amount = ["--seconds", str(seconds), "--count", str(round(seconds * HANDSHAKES_A_SECOND))]
    with subprocess.Popen([*command, *amount], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        begun = client.stdout.readline()
        before = cpuSeconds(pid)
        ended = client.stdout.readline()
        spent = cpuSeconds(pid) - before
        client.wait(TIMEOUT)
    if not begun or not ended:
        raise SystemExit(f"the client failed at {workload}")
    return json.loads(ended), spent


def measure(name: str, row: tuple[str, str, int], seconds: float) -> Rates:
    """One measurement: answers a second, and answers for each second of the server's processor time."""
    label, workload, nodes = row
    with serving(serverCommand("discv5", name, nodes)) as (server, address):
        result, spent = ask(address, server.pid, workload, seconds)
    answers = result["answers"]
    rates = answers / result["seconds"], answers / spent
    figures = {"per_second": round(rates[0]), "per_cpu_second": round(rates[1])}
    rest = {"busy": round(spent / result["seconds"], 2), "answers": answers, "lost": result["lost"]}
    print(json.dumps({"name": NAMES[name], "row": label, **figures, **rest}), flush=True)
    return rates


def main() -> None:
    """Measure, and compare."""
    parser = comparison("discovery v5: answers and handshakes a second, side by side")
    parser.add_argument("--rows", default=",".join(workload for _, workload, _ in ROWS))
    options = parser.parse_args()
    workloads = options.rows.split(",")
    keepOffServersCore()
    buildGo()
    sideBySide([row for row in ROWS if row[1] in workloads], measure, options)


if __name__ == "__main__":
    main()
