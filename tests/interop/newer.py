"""
Report what newer versions of go-ethereum publish of the public networks, and we do not.

It informs: its exit status is 0 whatever it finds, and where Go or its module proxy does not answer.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from tests.interop.networks import GETH, MODULE, GoError, differences, go, ours, pinnedVersion, theirs


def newest() -> str:
    """
    The newest released version, as C{v1.2.3}.

    @raise GoError: it cannot be learned.
    """
    version: str = json.loads(go(MODULE, "list", "-m", "-json", f"{GETH}@latest"))["Version"]
    return version


def withVersion(version: str, folder: Path) -> Path:
    """
    Copy our Go module, with another version of go-ethereum in it.

    @raise GoError: that version is not to be had.
    """
    module = folder / "go"
    shutil.copytree(MODULE, module)
    for other in module.glob("*.go"):  # of the interop tests, which may not fit that version
        other.unlink()
    go(module, "get", f"{GETH}@{version}")
    return module


def report() -> list[str]:
    """
    Return what there is to tell, a line each.

    @raise GoError: it cannot be learned.
    """
    pinned, version = pinnedVersion(), newest()
    if version == pinned:
        return [f"go-ethereum {pinned}, which tests/interop/go/go.mod pins, is the newest version"]
    with tempfile.TemporaryDirectory(prefix="devp2p-newer-") as folder:
        found = list(differences(ours(), theirs(withVersion(version, Path(folder)))))
    lines = [f"go-ethereum {version} is newer than {pinned}, which tests/interop/go/go.mod pins"]
    return lines + (found or ["it publishes the same of the public networks"])


def main() -> None:
    """Print the report, or why there is none."""
    try:
        lines = report()
    except GoError as error:
        lines = [f"newer versions of go-ethereum: unknown: {error}"]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
