"""
Print one of the commands that README.md gives: C{run} or C{test}. It is the one line of the block after its mark.
"""

import re
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def command(name: str) -> str:
    """The command that stands after C{<!-- name -->}."""
    blocks = re.findall(rf"^<!-- {name} -->\n```sh\n(.*?)^```$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    if len(blocks) != 1 or len(blocks[0].splitlines()) != 1:
        raise SystemExit(f"README.md: want one line in one block after <!-- {name} -->, found {blocks}")
    line: str = blocks[0].strip()
    return line


if __name__ == "__main__":
    print(command(sys.argv[1]))
