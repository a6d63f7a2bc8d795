"""
A thousand nodes of discovery v4 on a virtual clock: how lookups fare from the first minute on.

Every fifth datagram is lost, and every ten minutes a tenth of the nodes leave and others come. Prints a JSON line for
each simulated minute, and one with the sum; draws docs/images/convergence.svg::

    python bench/simulation.py [--nodes 1000] [--minutes 5] [--lookups 60] [--seed 1] [--picture PATH]

Wants matplotlib for the picture (the "bench" extra).
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from pathlib import Path
from time import process_time

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from devp2p_tx.testing.dialing import SLOTS  # noqa: E402
from devp2p_tx.testing.simulation import ENOUGH, WANTED, DiscoverySimulation, Sample  # noqa: E402

#: The share of lookups that should find enough.
TARGET = 0.95
#: The network is taken to be settled after so many minutes.
SETTLED = 3


def draw(samples: list[Sample], title: str, path: Path) -> None:
    """The share of good lookups, what they found, and the dialled slots that are taken, over time."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "devp2p-tx"  # the same picture for the same figures
    from matplotlib import pyplot
    from matplotlib.ticker import PercentFormatter

    minutes = [sample.time / 60 for sample in samples]
    figure, (upper, lower, dialed) = pyplot.subplots(3, 1, sharex=True, figsize=(8, 8), layout="constrained")
    upper.plot(minutes, [sample.share for sample in samples], marker="o", color="tab:blue")
    upper.axhline(TARGET, color="tab:gray", linestyle="--", linewidth=1)
    upper.annotate(f"target {TARGET:.0%}", (minutes[0], TARGET), (0, 4), textcoords="offset points", color="tab:gray")
    upper.yaxis.set_major_formatter(PercentFormatter(1.0))
    upper.set_ylim(0, 1.05)
    upper.set_ylabel(f"lookups with {ENOUGH} of\nthe {WANTED} closest")
    upper.set_title(title)
    lower.plot(minutes, [sample.found for sample in samples], marker="o", color="tab:green")
    lower.set_ylim(0, WANTED + 0.5)
    lower.set_ylabel(f"found of the {WANTED} closest\n(mean)", color="tab:green")
    entries = lower.twinx()
    entries.plot(minutes, [sample.tableSize for sample in samples], marker=".", color="tab:orange")
    entries.set_ylim(bottom=0)
    entries.set_ylabel("entries of a table\n(mean)", color="tab:orange")
    dialed.plot(minutes, [sample.dialed for sample in samples], marker="o", color="tab:red")
    dialed.axhline(SLOTS, color="tab:gray", linestyle="--", linewidth=1)
    dialed.annotate(f"{SLOTS} slots", (minutes[0], SLOTS), (0, -10), textcoords="offset points", color="tab:gray")
    dialed.set_ylim(0, 1.2 * SLOTS)
    dialed.set_ylabel("peers that a node dialled\n(mean)", color="tab:red")
    dialed.set_xlabel("simulated minutes")
    for axes in (upper, lower, dialed):
        axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Simulate, print and draw."""
    parser = argparse.ArgumentParser(description="discovery v4 of many nodes on a virtual clock")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--minutes", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lookups", type=int, default=60, help="in each simulated minute")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "images" / "convergence.svg")
    options = parser.parse_args()
    gc.disable()  # a network of nodes is one big live object, and makes no circles
    samples = []
    simulation = DiscoverySimulation(options.nodes, options.seed)
    for sample in simulation.run(options.minutes, options.lookups):
        samples.append(sample)
        print(json.dumps({name: round(value, 4) for name, value in sample._asdict().items()}), flush=True)
    settled = samples[SETTLED:] or samples
    share = sum(sample.share * sample.lookups for sample in settled) / sum(sample.lookups for sample in settled)
    last = samples[-1]
    result = {"nodes": options.nodes, "seed": options.seed, "simulated_seconds": round(last.time)}
    result |= {"share_when_settled": round(share, 4), "slots_filled": round(last.filled, 4), "of": last.settled}
    print(json.dumps({**result, "cpu_seconds": round(process_time(), 1)}))
    title = f"{options.nodes} nodes, every fifth datagram lost, a tenth replaced every ten minutes"
    draw(samples, title, options.picture)


if __name__ == "__main__":
    main()
