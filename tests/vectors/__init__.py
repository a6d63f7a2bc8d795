"""
Published vectors; the origin of each is beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def load(name: str) -> Any:
    """Those that are kept as JSON: C{name.json}."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text())
