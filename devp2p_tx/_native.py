"""
Which form of this package runs: native code, which the wheels for a platform have beside the source, or the source.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

#: C{1} runs the source where native code is installed.
PURE = "DEVP2P_TX_PURE"

_FOLDER = Path(__file__).parent


class SourceFinder(MetaPathFinder):
    """Finds this package's modules as source, whatever native code stands beside it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See C{importlib.abc.MetaPathFinder}; modules of others are left to others."""
        if not fullname.startswith("devp2p_tx."):
            return None
        for folder in path or ():
            spec = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(fullname)
            if spec is not None and spec.loader is not None:
                return spec
        return None


def is_installed(folder: Path = _FOLDER) -> bool:
    """Return whether native code stands beside the source of C{folder}."""
    return any((folder / f"core/rlpx/frames{suffix}").exists() for suffix in EXTENSION_SUFFIXES)


def is_pure(environment: Mapping[str, str]) -> bool:
    """
    Return whether the source is asked for.

    @raise ValueError: C{DEVP2P_TX_PURE} is neither 1 nor 0 nor empty.
    """
    value = environment.get(PURE, "")
    if value not in ("", "0", "1"):
        raise ValueError(f"{PURE} is 1 (run the source) or 0, not {value!r}")
    return value == "1"


def _choose() -> bool:
    """Have the source found, if it is asked for; whether native code runs."""
    if not is_pure(os.environ):
        return is_installed()
    sys.meta_path.insert(0, SourceFinder())
    return False


#: Whether native code runs.
native: bool = _choose()
