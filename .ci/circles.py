"""
Find circles of imports: among the modules of a package, and among its rooms (the packages and modules of one folder).

Every import counts, in functions and for types as well. Prints each circle as C{a -> b -> a} and ends with status 1 if
there is one.

    python .ci/circles.py [FOLDER]
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

#: The imports of each module or room: names of modules or rooms, by dotted name.
Graph = dict[str, set[str]]


def names(package: Path) -> dict[str, Path]:
    """The modules of a package, by dotted name; a package's own is that of its C{__init__}."""
    root = package.parent
    found = {".".join(path.relative_to(root).with_suffix("").parts): path for path in package.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in found.items()}


def imported(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules among C{known} that the module C{name} imports."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in known)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for each in node.names:
                target = f"{base}.{each.name}"
                if target in known or base in known:
                    yield target if target in known else base


def graph(package: Path) -> Graph:
    """The imports of each module of a package."""
    known = names(package)
    return {name: set(imported(name, path, known)) - {name} for name, path in known.items()}


def rooms(modules: Graph, folder: str) -> Graph:
    """
    The imports of each room of C{folder}: a module of it is a room, and so is a folder in it. The imports of the
    C{__init__} of C{folder} do not count.
    """

    def room(name: str) -> str:
        inside = name.removeprefix(folder + ".")
        return f"{folder}.{inside.partition('.')[0]}" if inside != name else ""

    found: Graph = defaultdict(set)
    for name, targets in modules.items():
        if room(name):
            found[room(name)] |= {room(each) for each in targets} - {"", room(name)}
    return dict(found)


def circle(wanted: Graph) -> list[str]:
    """One circle, its first member again at its end; none if there is no circle."""
    done: set[str] = set()

    def follow(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for each in sorted(wanted.get(name, ())):
            if found := follow(each, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(wanted) if (found := follow(name, []))), [])


def circles(package: Path) -> list[str]:
    """The circles of a package, at most one among its modules and one among the rooms of each folder, as text."""
    modules = graph(package)
    folders = {name for name in modules if any(each.startswith(f"{name}.") for each in modules)}
    found = [circle(modules), *(circle(rooms(modules, folder)) for folder in sorted(folders))]
    return [" -> ".join(each) for each in found if each]


if __name__ == "__main__":
    here = Path(__file__).resolve().parents[1] / "devp2p_tx"
    found = circles(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else here)
    print("\n".join(found) or "no circles")
    sys.exit(bool(found))
