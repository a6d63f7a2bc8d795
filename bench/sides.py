"""
What the benchmarks of discovery have in common: servers that have a core of their own, and figures side by side.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
GO = BUILD / "go"
NAMES = {"python": "devp2p-tx", "go": "go-ethereum"}
#: Answers a second, and answers for each second of the server's processor time.
FIGURES = ("per_second", "per_cpu_second")

Rates = tuple[float, float]


def buildGo() -> None:
    """Build the programs of C{bench/peers/go}."""
    BUILD.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-o", GO, "."], cwd=ROOT / "bench" / "peers" / "go", check=True)


def keepOffServersCore() -> None:
    """Servers have the first core; this process, and what it starts besides them, another one."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


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


def compare(label: str, rates: dict[str, list[Rates]]) -> dict[str, Any]:
    """The medians of both figures, and the ratios of ours to the other's."""
    result: dict[str, Any] = {"row": label}
    for place, figure in enumerate(FIGURES):
        medians = {name: statistics.median(each[place] for each in rates[name]) for name in rates}
        result |= {f"{NAMES[name]} {figure}": round(medians[name]) for name in medians}
        if len(medians) == 2:
            result[f"ratio {figure}"] = round(medians["python"] / medians["go"], 2)
    return result
