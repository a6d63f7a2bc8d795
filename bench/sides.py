"""
What the benchmarks of discovery have in common: servers that have a core of their own, and figures side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
GO = BUILD / "go"
NAMES = {"python": "devp2p-tx", "go": "go-ethereum"}
#: Answers a second, and answers for each second of the server's processor time.
FIGURES = ("per_second", "per_cpu_second")

Rates = tuple[float, float]
#: A measurement: its name comes first, the rest is its benchmark's.
Row = TypeVar("Row", bound=tuple[Any, ...])


def buildGo() -> None:
    """Build the programs of C{bench/peers/go}."""
    BUILD.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-o", GO, "."], cwd=ROOT / "bench" / "peers" / "go", check=True)


def keepOffServersCore() -> None:
    """Servers have the first core; this process, and what it starts besides them, another one."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def serverCommand(version: str, name: str, nodes: int) -> list[str]:
    """What runs a server of C{discv4} or C{discv5} that has so many neighbours."""
    if name == "go":
        return [str(GO), f"{version}-serve", "--nodes", str(nodes)]
    return [sys.executable, str(ROOT / "bench" / version / "server.py"), "--nodes", str(nodes)]


@contextmanager
def serving(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a server on the first core until its input is closed; it, and the first line that it printed."""
    environment = {**os.environ, "GOMAXPROCS": "1", "DEVP2P_NETWORK": "none", "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        ["taskset", "-c", "0", *command], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None and server.stdout is not None
    try:
        yield server, json.loads(server.stdout.readline())
    finally:
        server.stdin.close()
        server.wait(timeout=30)
        server.stdout.close()


def cpuSeconds(pid: int) -> float:
    """The processor time that a process has used, by itself and by the system for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def comparison(description: str) -> argparse.ArgumentParser:
    """The options that every comparison has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--only", type=lambda names: names.split(","), default=list(NAMES))
    return parser


def sideBySide(rows: Iterable[Row], measure: Callable[[str, Row, float], Rates], options: argparse.Namespace) -> None:
    """
    Measure each row as often as the options say, the implementations in turn, and print what came of it.

    @param measure: takes an implementation's name, a row, and seconds.
    """
    for row in rows:
        rates: dict[str, list[Rates]] = {name: [] for name in options.only}
        for _ in range(options.repeat):
            for name in options.only:
                rates[name].append(measure(name, row, options.seconds))
        print(json.dumps(compare(row[0], rates)), flush=True)


def compare(label: str, rates: dict[str, list[Rates]]) -> dict[str, Any]:
    """The medians of both figures, and the ratios of ours to the other's."""
    result: dict[str, Any] = {"row": label}
    for place, figure in enumerate(FIGURES):
        medians = {name: statistics.median(each[place] for each in rates[name]) for name in rates}
        result |= {f"{NAMES[name]} {figure}": round(medians[name]) for name in medians}
        if len(medians) == 2:
            result[f"ratio {figure}"] = round(medians["python"] / medians["go"], 2)
    return result
