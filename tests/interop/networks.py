"""
What is published of the public networks, by go-ethereum and by us, in one shape, and how the two differ.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devp2p_tx.core.nat.stunservers import SERVERS
from devp2p_tx.node import bootnodes
from devp2p_tx.node.networks import NETWORKS, NONE, Network

GETH = "github.com/ethereum/go-ethereum"
#: A Go module of ours; its go.mod pins the version of go-ethereum.
MODULE = Path(__file__).parent / "go"
#: How long Go may take, which may have to download (seconds).
GO_TIMEOUT = 600

#: Words and numbers, and lists and tables of them.
Facts = dict[str, Any]


class GoError(Exception):
    """Go is missing, or what it was told to do failed; its last words."""


def go(directory: Path, *arguments: str) -> str:
    """
    Run Go; what it printed.

    @raise GoError: see there.
    """
    if shutil.which("go") is None:
        raise GoError("Go is not installed")
    try:
        done = subprocess.run(
            ["go", *arguments],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GO_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise GoError(f"go {' '.join(arguments)}: no result within {GO_TIMEOUT} s") from None
    if done.returncode:
        raise GoError(f"go {' '.join(arguments)}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def pinnedVersion(module: Path = MODULE) -> str:
    """The version of go-ethereum that a module pins, as C{v1.2.3}."""
    return go(module, "list", "-m", "-f", "{{.Version}}", GETH).strip()


def theirs(module: Path = MODULE) -> Facts:
    """
    What go-ethereum publishes, in the version that a module pins.

    @raise GoError: Go fails, as where that version has another interface.
    """
    facts: Facts = json.loads(go(module, "run", "./networks"))
    folder = Path(go(module, "list", "-m", "-f", "{{.Dir}}", GETH).strip())
    return {**facts, "stun": (folder / "p2p/nat/stun-list.txt").read_text().split()}


def ours() -> Facts:
    """What we publish."""
    public = {network.name: network for network in NETWORKS.values() if network is not NONE}
    return {
        "names": sorted(public),
        "networks": {name: _facts(network) for name, network in public.items()},
        "v5": list(bootnodes.V5),
        "stun": [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in SERVERS],
    }


def _facts(network: Network) -> Facts:
    assert network.chain is not None
    [tree] = network.trees
    return {
        "genesis": network.chain.genesis_hash.hex(),
        "blockForks": sorted(network.chain.block_forks),
        "timeForks": sorted(network.chain.time_forks),
        "bootnodes": list(network.bootnodes),
        "tree": tree,
    }


def differences(ours: Any, theirs: Any, where: str = "") -> Iterator[str]:
    """In what two collections of facts differ, a line each; the order within lists does not matter."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted({*ours, *theirs}):
            if name not in ours or name not in theirs:
                yield f"{where}{name}: only {'theirs' if name in theirs else 'ours'}"
            else:
                yield from differences(ours[name], theirs[name], f"{where}{name} ")
    elif isinstance(ours, list) and isinstance(theirs, list):
        yield from (f"{where}lacks {each}" for each in theirs if each not in ours)
        yield from (f"{where}has {each}, which they have not" for each in ours if each not in theirs)
    elif ours != theirs:
        yield f"{where}is {ours}, theirs is {theirs}"
