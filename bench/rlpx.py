"""
RLPx, side by side: this project, the same compiled, go-ethereum, and @ethereumjs/devp2p, each against itself, on the
same work in one run.

Two processes on loopback, a core each (and a single core for one row of round trips). Of every row each implementation
does its share in turn, several times, and the median counts: machines drift, ratios drift less. Prints a JSON line a
measurement, and at the end a table with the ratios::

    python bench/rlpx.py [--repeat 3] [--only python,go] [--rows stream,rtt]

Wants a C compiler for what is compiled, Go for go-ethereum, and npm for @ethereumjs/devp2p; builds all three under
build/bench.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parent
ROOT = BENCH.parent
BUILD = ROOT / "build" / "bench"
NAMES = {"python": "devp2p-tx", "compiled": "devp2p-tx, compiled", "go": "go-ethereum", "js": "@ethereumjs/devp2p"}
OURS = ("python", "compiled")
TIMEOUT = 300


@dataclass(frozen=True)
class Row:
    """
    One line of the table.

    @ivar counts: how much of it each implementation does; the figures are rates, so they need not be the same. What is
        compiled does as much as what is not.
    @ivar unit: of the figure; memory is better when less, all else when more.
    """

    name: str
    workload: str
    unit: str
    counts: dict[str, int]
    arguments: tuple[str, ...] = ()
    size: int = 0
    oneCore: bool = False

    def figure(self, result: dict[str, Any], count: int) -> float:
        rate = count / result["seconds"]
        return rate * self.size / 1e6 if self.unit == "MB/s" else rate


def streamRow(size: int, label: str, data: str, unit: str, python: int, go: int, js: int) -> Row:
    counts = {"python": python, "go": go, "js": js}
    return Row(f"stream, {label}, {data}", "stream", unit, counts, ("--size", str(size), "--data", data), size)


KIB, MIB = 1024, 1024 * 1024
ROWS = [
    Row("handshakes, one at a time", "handshake", "1/s", {"python": 1500, "go": 1500, "js": 60}),
    Row("handshakes, 32 at once", "handshake", "1/s", {"python": 4000, "go": 4000, "js": 120}, ("--concurrency", "32")),
    *(
        row
        for data in ("random", "compressible")
        for row in (
            streamRow(32, "32 B", data, "1/s", 300_000, 300_000, 20_000),
            streamRow(KIB, "1 KiB", data, "1/s", 200_000, 200_000, 10_000),
            streamRow(16 * KIB, "16 KiB", data, "MB/s", 30_000, 30_000, 1_000),
            streamRow(128 * KIB, "128 KiB", data, "MB/s", 4_000, 4_000, 100),
            streamRow(MIB, "1 MiB", data, "MB/s", 600, 600, 12),
        )
    ),
    Row("round trips, 32 B, one core", "rtt", "1/s", {"python": 20_000, "go": 20_000, "js": 1_000}, oneCore=True),
    Row("round trips, 32 B, a core each", "rtt", "1/s", {"python": 20_000, "go": 20_000, "js": 1_000}),
]
IDLE_PEERS = 500


def command(name: str, *arguments: str) -> list[str]:
    if name == "go":
        return [str(BUILD / "go"), *arguments]
    if name == "js":
        # Without it each message waits for the delayed acknowledgement of the one before: 44 ms.
        return ["node", str(BUILD / "js" / "bench.mjs"), *arguments, "--no-delay"]
    # the compiled one is installed, and must not see PYTHONPATH, where the other one is
    python = [str(BUILD / "compiled" / "bin" / "python"), "-E"] if name == "compiled" else [sys.executable]
    return [*python, str(BENCH / "peers" / "python" / "peer.py"), *arguments]


def build(names: list[str]) -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    if "compiled" in names:
        for stale in ROOT.glob("build/lib*"):  # setuptools would take along what was compiled before
            shutil.rmtree(stale)
        subprocess.run([sys.executable, "-m", "venv", BUILD / "compiled"], check=True)
        environment = {**os.environ, "DEVP2P_TX_COMPILE": "1"}
        subprocess.run([BUILD / "compiled/bin/pip", "install", "--quiet", ROOT], env=environment, check=True)
    if "go" in names:
        subprocess.run(["go", "build", "-o", BUILD / "go", "."], cwd=BENCH / "peers" / "go", check=True)
    if "js" in names:
        shutil.copytree(BENCH / "peers" / "js", BUILD / "js", dirs_exist_ok=True)
        subprocess.run(["npm", "install", "--silent"], cwd=BUILD / "js", check=True)


def spawn(core: int, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "GOMAXPROCS": "1", "DEVP2P_NETWORK": "none", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        ["taskset", "-c", str(core), *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def readLine(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args} ended without a word, status {process.wait()}")
    fields: dict[str, Any] = json.loads(line)
    return fields


@contextmanager
def serving(name: str, kind: str = "serve") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server on the first core, and its enode URL."""
    process = spawn(0, *command(name, kind))
    try:
        ready = readLine(process)
        yield process, f"enode://{ready['id']}@127.0.0.1:{ready['port']}"
    finally:
        process.kill()
        process.communicate()


def measure(name: str, row: Row) -> float:
    count = row.counts["python" if name in OURS else name]
    with serving(name) as (_, enode):
        arguments = ("client", "--connect", enode, "--workload", row.workload, "--count", str(count), *row.arguments)
        client = spawn(0 if row.oneCore else 1, *command(name, *arguments))
        output, _ = client.communicate(timeout=TIMEOUT)
        if client.returncode:
            raise SystemExit(f"{client.args} ended with status {client.returncode}")
    return row.figure(json.loads(output.splitlines()[0]), count)


def measureIdle(name: str) -> float:
    """KiB of resident memory that each of many idle peers adds to a server."""

    def memory(server: subprocess.Popen[str]) -> int:
        assert server.stdin is not None
        server.stdin.write("rss\n")
        server.stdin.flush()
        return int(readLine(server)["rss_kib"])

    with serving(name, "idle-serve") as (server, enode):
        before = memory(server)
        client = spawn(
            1, *command(name, "client", "--connect", enode, "--workload", "idle", "--count", str(IDLE_PEERS))
        )
        connected = readLine(client)["connected"]
        if connected != IDLE_PEERS:
            raise SystemExit(f"{name}: only {connected} of {IDLE_PEERS} idle peers are connected")
        after = memory(server)
        client.communicate()
    return (after - before) / IDLE_PEERS


def run(names: list[str], rows: list[Row], repeat: int, idle: bool) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    work = [(row.name, row.unit, lambda name, row=row: measure(name, row)) for row in rows]
    if idle:
        work.append((f"memory of an idle peer, of {IDLE_PEERS}", "KiB", measureIdle))
    for title, unit, measured in work:
        figures: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(repeat):
            for name in names:
                figures[name].append(measured(name))
                print(
                    json.dumps({"row": title, "unit": unit, "peer": NAMES[name], "figure": figures[name][-1]}),
                    flush=True,
                )
        table[f"{title} ({unit})"] = {name: statistics.median(each) for name, each in figures.items()}
    return table


def printTable(table: dict[str, dict[str, float]], names: list[str]) -> None:
    pairs = [(ours, other) for other in names if other not in OURS for ours in names if ours in OURS]
    heads = [NAMES[name] for name in names] + [f"{NAMES[ours]} to {NAMES[other]}" for ours, other in pairs]
    print("\n| | " + " | ".join(heads) + " |")
    print("|---|" + "---:|" * len(heads))
    for title, figures in table.items():
        cells = [f"{figures[name]:,.0f}" if figures[name] >= 100 else f"{figures[name]:,.1f}" for name in names]
        ratios = [f"**{figures[ours] / figures[other]:.2f}**" for ours, other in pairs]
        print(f"| {title} | " + " | ".join(cells + ratios) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="how often each row is measured; the median counts")
    parser.add_argument("--only", default=",".join(NAMES), help="which implementations")
    parser.add_argument("--rows", default="handshake,stream,rtt,idle", help="which kinds of rows")
    options = parser.parse_args()
    names, kinds = options.only.split(","), options.rows.split(",")
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two cores are needed")
    build(names)
    printTable(run(names, [row for row in ROWS if row.workload in kinds], options.repeat, "idle" in kinds), names)


if __name__ == "__main__":
    main()
