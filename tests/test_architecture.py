"""
Rules about the code that neither ruff nor import-linter can express. docs/architecture.md explains them.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "devp2p_tx"
TESTS = ROOT / "tests"
PLUGINS = str(ROOT / "twisted/plugins")

#: The longest module (lines).
MAX_LINES = 600
#: Where functions have names in camelCase, as in Twisted; ruff checks that the others have snake_case.
CAMEL_CASE = ("net", "node", "web", "cli", "testing", "tap", "interfaces.py", "_oneshot.py")
#: The packages whose folders are rooms (docs/architecture.md); each C{__init__} there is a docstring and no more.
ROOMS = ("core", "net", "node", "storage")
#: Methods whose names, with underscores, Twisted has defined.
TWISTED_NAMES = re.compile(r"_*(opt|render|test|lineReceived|stat[eE]|getChild)_\w+")
#: Methods that Twisted calls without awaiting the result: as a coroutine they would never run.
NEVER_AWAITED = {"makeConnection", "connectionMade", "dataReceived", "datagramReceived", "messageReceived"}
#: Folders that tools make, which no rule is about.
FOREIGN = {"build", "dist", "node_modules", "target", "apidocs", "htmlcov", "__pycache__"}


@cache
def source(path: Path) -> str:
    """The text of a file."""
    return path.read_text(encoding="utf-8")


@cache
def tree(path: Path) -> ast.Module:
    """A module, parsed."""
    return ast.parse(source(path), str(path))


def modules(*folders: str) -> list[Path]:
    """The modules under some folders of the project."""
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if not FOREIGN & set(path.relative_to(ROOT).parts)]


def functions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones too."""
    return (each for each in ast.walk(module) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def declared(module: ast.Module) -> list[ast.AST]:
    """What classes of C{typing.Protocol} declare: the names are those of the room that provides it."""
    protocols = (node for node in module.body if isinstance(node, ast.ClassDef))
    return [each for node in protocols if "Protocol" in map(ast.unparse, node.bases) for each in node.body]


def place(path: Path, node: ast.AST | None = None) -> str:
    """Where something was found, as an editor takes it."""
    line = getattr(node, "lineno", None)
    return str(path.relative_to(ROOT)) + (f":{line}" if line else "")


class TestClass(NamedTuple):
    """A class of the tests."""

    path: Path
    node: ast.ClassDef

    @property
    def bases(self) -> list[str]:
        """The last words of its bases' names."""
        return [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in self.node.bases]


@cache
def testClasses() -> dict[str, list[TestClass]]:
    """The classes of the tests, by their names."""
    found: dict[str, list[TestClass]] = {}
    for path in modules("tests"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(TestClass(path, node))
    return found


def isSynchronous(each: TestClass) -> bool:
    """Whether it is a C{SynchronousTestCase}, by way of its own module's classes or those of others."""
    for base in each.bases:
        known = [other for other in testClasses().get(base, []) if other.node is not each.node]
        nearest = [other for other in known if other.path == each.path] or known
        if base == "SynchronousTestCase" or any(isSynchronous(other) for other in nearest):
            return True
    return False


def loadedAfter(imports: str) -> set[str]:
    """The names of all modules that are loaded, in a process of its own, after C{imports} was run."""
    program = f"import sys\n{imports}\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def importing(folder: Path, without: str = "") -> str:
    """The statements that import every module under C{folder}."""
    names = []
    for path in sorted(folder.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not (without and name.startswith(without)):
            names.append(f"import {name}")
    return "\n".join(names)


class ImportTests(SynchronousTestCase):
    """What is loaded when our modules are, by way of others too."""

    def test_core_loads_nothing_of_twisted(self) -> None:
        roots = {name.partition(".")[0] for name in loadedAfter(importing(PACKAGE / "core"))}
        self.assertEqual(roots & {"twisted", "zope", "treq", "OpenSSL", "asyncio"}, set())

    def test_errors_load_nothing_of_ours(self) -> None:
        ours = {name for name in loadedAfter("import devp2p_tx.errors") if name.startswith("devp2p_tx.")}
        self.assertEqual(ours, {"devp2p_tx._native", "devp2p_tx._version", "devp2p_tx.errors"})

    def test_no_module_loads_the_reactor(self) -> None:
        loaded = loadedAfter(
            importing(PACKAGE) + f"\nsys.path.insert(0, {PLUGINS!r})\nimport devp2p_plugin, devp2p_endpoints"
        )
        self.assertNotIn("twisted.internet.reactor", loaded)

    def test_the_command_loads_no_endpoints(self) -> None:
        """They take over C{LISTEN_FDS} when they are imported; and a start does not need treq, which is slow."""
        loaded = loadedAfter(importing(PACKAGE, without="devp2p_tx.testing"))
        self.assertEqual(loaded & {"twisted.internet.endpoints", "treq"}, set())

    def test_nothing_in_production_loads_testing(self) -> None:
        loaded = loadedAfter(importing(PACKAGE, without="devp2p_tx.testing"))
        self.assertEqual([name for name in loaded if name.startswith("devp2p_tx.testing")], [])

    def test_public_names_are_all_there(self) -> None:
        loadedAfter("import devp2p_tx\nfor name in devp2p_tx.__all__: getattr(devp2p_tx, name)")
        loadedAfter("import devp2p_tx\nassert set(devp2p_tx.__all__) == {'__version__', 'native', *devp2p_tx._HOMES}")


def publicModules(room: Path) -> set[str]:
    """What the docstring of a room's C{__init__} lists as its public modules."""
    listed = re.search(r"^Public modules: (.+?)\.$", ast.get_docstring(tree(room / "__init__.py")) or "", re.M | re.S)
    return set(re.findall(r"C\{(\w+)\}", listed[1])) if listed else set()


def imports(path: Path) -> Iterator[str]:
    """The names of all modules that a module may import: each that stands after C{import}, and after C{from}."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


class RoomTests(SynchronousTestCase):
    """What a room's C{__init__} says holds. A room is a folder of C{core}, C{net}, C{node} or C{storage}."""

    rooms = tuple(sorted({path.parent for name in ROOMS for path in (PACKAGE / name).rglob("*.py")}))

    def test_each_lists_public_modules_that_are_there(self) -> None:
        for room in self.rooms:
            there = {path.stem for path in room.glob("*.py")} - {"__init__"}
            self.assertTrue(publicModules(room), f"{place(room)} lists none")
            self.assertEqual(publicModules(room) - there, set(), place(room))

    def test_few_modules_are_in_no_room(self) -> None:
        """A module beside the rooms of a floor is used by several of them, and belongs to none."""
        for floor, most in (("net", 3), ("core", 5)):
            loose = [path.name for path in (PACKAGE / floor).glob("*.py") if path.name != "__init__.py"]
            self.assertLessEqual(len(loose), most, loose)

    def test_no_code_in_its_init(self) -> None:
        self.assertEqual([place(room) for room in self.rooms if len(tree(room / "__init__.py").body) != 1], [])

    def test_other_packages_import_public_modules_only(self) -> None:
        private = {
            ".".join([*room.relative_to(ROOT).parts, path.stem]): room
            for room in self.rooms
            for path in room.glob("*.py")
            if path.stem not in {"__init__", *publicModules(room)}
        }
        wrong = [
            f"{place(path)} imports {name}"
            for path in modules("devp2p_tx", "twisted")
            for name in imports(path)
            if name in private and private[name] != path.parent
        ]
        self.assertEqual(wrong, [])


class CirclesTests(SynchronousTestCase):
    """C{.ci/circles.py} finds circles of imports."""

    def runOn(self, files: dict[str, str]) -> tuple[int, str]:
        """Run it on a package C{a} with these modules."""
        folder = Path(self.mktemp(), "a")
        for name, text in {"__init__.py": "", **files}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(text, "utf-8")
        command = [sys.executable, str(ROOT / ".ci/circles.py"), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout.strip()

    def test_between_modules(self) -> None:
        status, found = self.runOn({"b.py": "from a.c import x", "c.py": "def f():\n    import a.b"})
        self.assertEqual((status, found.splitlines()[0]), (1, "a.b -> a.c -> a.b"))

    def test_between_rooms(self) -> None:
        files = {"b/one.py": "import a.c.one", "c/one.py": "", "c/two.py": "from a.b.two import x", "b/two.py": ""}
        self.assertEqual(self.runOn(files), (1, "a.b -> a.c -> a.b"))

    def test_relative(self) -> None:
        status, found = self.runOn({"b.py": "from . import c", "c.py": "from .b import x"})
        self.assertEqual((status, found.splitlines()[0]), (1, "a.b -> a.c -> a.b"))

    def test_none(self) -> None:
        self.assertEqual(self.runOn({"b.py": "import a.c", "c.py": "import os"}), (0, "no circles"))


class CodeTests(SynchronousTestCase):
    """How modules are written."""

    def test_modules_are_short(self) -> None:
        lengths = {place(path): source(path).count("\n") for path in modules("devp2p_tx", "tests", "bench")}
        self.assertEqual({path: count for path, count in lengths.items() if count > MAX_LINES}, {})

    def test_everything_public_has_a_docstring(self) -> None:
        self.assertEqual([each for path in modules("devp2p_tx") for each in undocumented(path, tree(path), "")], [])

    def test_rooms_around_twisted_speak_camel_case(self) -> None:
        wrong = [
            f"{place(path, function)} {function.name}"
            for room in CAMEL_CASE
            for path in ([PACKAGE / room] if room.endswith(".py") else modules(f"devp2p_tx/{room}"))
            for function in functions(tree(path))
            if "_" in function.name.strip("_")
            and function not in declared(tree(path))
            and not function.name.endswith("__")
            and not TWISTED_NAMES.fullmatch(function.name)
        ]
        self.assertEqual(wrong, [])

    def test_what_twisted_calls_is_no_coroutine(self) -> None:
        wrong = [
            place(path, function)
            for path in modules("devp2p_tx", "tests", "bench")
            for function in functions(tree(path))
            if isinstance(function, ast.AsyncFunctionDef) and function.name in NEVER_AWAITED
        ]
        self.assertEqual(wrong, [])


def undocumented(path: Path, parent: ast.Module | ast.ClassDef, within: str) -> Iterator[str]:
    """What is public under C{parent}, itself included, and has no docstring."""
    if not ast.get_docstring(parent):
        yield f"{place(path)} {within or 'the module'}"
    for node in parent.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        name = f"{within}.{node.name}".removeprefix(".")
        if isinstance(node, ast.ClassDef):
            yield from undocumented(path, node, name)
        elif not ast.get_docstring(node) and not isSpokenForElsewhere(node):
            yield f"{place(path, node)} {name}"


def isSpokenForElsewhere(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it is a setter, whose property says what it is, or a declaration without a body, as Protocols have."""
    return any(ast.unparse(each).endswith(".setter") for each in node.decorator_list) or [
        ast.unparse(each) for each in node.body
    ] == ["..."]


class TestsTests(SynchronousTestCase):
    """How tests are written."""

    def test_no_coroutine_in_a_synchronous_test_case(self) -> None:
        """It would pass without running."""
        wrong = [
            f"{place(each.path, function)} {each.node.name}.{function.name}"
            for namesakes in testClasses().values()
            for each in namesakes
            if isSynchronous(each)
            for function in each.node.body
            if isinstance(function, ast.AsyncFunctionDef) and re.match("test|setUp|tearDown", function.name)
        ]
        self.assertEqual(wrong, [])

    def test_nothing_sleeps_or_is_left_out(self) -> None:
        banned = re.compile(r"\btime\.sleep\b|\bimport sleep\b|\bSkipTest\b|\bskip(If|Unless)?\b\s*[=(]|\btodo\b\s*=")
        wrong = [
            f"{place(path)}: {found[0]}"
            for path in modules("tests")
            if path != Path(__file__)
            for found in banned.finditer(source(path))
        ]
        self.assertEqual(wrong, [])

    def test_no_module_takes_the_reactor_at_its_head(self) -> None:
        wrong = [
            place(path, node)
            for path in modules("tests")
            for node in tree(path).body
            if isinstance(node, ast.Import | ast.ImportFrom) and "reactor" in ast.unparse(node).split()
        ]
        self.assertEqual(wrong, [])

    def test_every_test_module_is_found(self) -> None:
        """What is in no package C{trial tests} passes by, without a word."""
        lost = [
            place(path)
            for path in modules("tests")
            if path.name.startswith("test_")
            for folder in path.parents
            if folder.is_relative_to(TESTS) and not (folder / "__init__.py").exists()
        ]
        self.assertEqual(lost, [])
