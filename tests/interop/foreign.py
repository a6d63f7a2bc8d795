"""
Foreign peers as processes, that are told what to do, and tell what happens, in lines of JSON.

What they understand and say is in C{go/README.md}, C{rust/README.md} and in C{js/peer.mjs}.

As a program this builds all of them, so that tests that run side by side need not wait for each other's builds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from devp2p_tx.errors import DisconnectReason, reason_text
from tests.interop.journal import Event
from tests.interop.programs import ToldProgram, spawn

#: How long a build may take, which downloads what it needs (seconds).
BUILD_TIMEOUT = 900
#: How much of what a build complains of is kept for a test's report (characters).
MAX_COMPLAINT = 4096

_GETH = "github.com/ethereum/go-ethereum"

F = TypeVar("F", bound="ForeignProcess")

_HERE = Path(__file__).resolve().parent


# Builds.


def _digest(files: list[Path]) -> str:
    """What tells one version of a program from another."""
    contents = hashlib.sha256()
    for file in sorted(files):
        contents.update(f"{file.name} {file.stat().st_size}\n".encode() + file.read_bytes())
    return contents.hexdigest()[:16]


@contextmanager
def _cacheDirectory() -> Iterator[Path]:
    """Where the programs are kept; only one process at a time builds there."""
    default = Path(tempfile.gettempdir(), f"devp2p-interop-{os.getuid()}")
    directory = Path(os.environ.get("DEVP2P_INTEROP_CACHE") or default)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise AssertionError(f"{directory} belongs to somebody else: set DEVP2P_INTEROP_CACHE")
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory


def _build(wanted: str, make: Callable[[Path], object]) -> Path:
    """A directory that C{make} filled, once."""
    with _cacheDirectory() as directory:
        made, making = directory / wanted, directory / f"{wanted}.making"
        if not made.exists():
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            make(making)
            making.rename(made)
        return made


def _run(directory: Path, tool: str, *arguments: str) -> str:
    """
    Run a tool, and give its output.

    @raise AssertionError: the tool is not there, or it failed.
    """
    if shutil.which(tool) is None:
        raise AssertionError(f"the interop tests need {tool!r}, which is not on the PATH")
    done = subprocess.run(
        [tool, *arguments],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=BUILD_TIMEOUT,
    )
    if done.returncode:
        raise AssertionError(f"{tool} {' '.join(arguments)} failed in {directory}:\n{done.stdout[-MAX_COMPLAINT:]}")
    return done.stdout


def _buildGeth() -> list[str]:
    source = _HERE / "go"
    files = [*source.glob("*.go"), source / "go.mod", source / "go.sum"]

    def make(directory: Path) -> None:
        _run(source, "go", "build", "-o", str(directory / "peer"), ".")

    return [str(_build(f"geth-{_digest(files)}", make) / "peer")]


def _buildEthCodec() -> list[str]:
    source = _HERE / "ethcodec"
    files = [*source.glob("*.go"), source / "go.mod", source / "go.sum"]

    def make(directory: Path) -> None:
        _run(source, "go", "build", "-o", str(directory / "ethcodec"), ".")

    return [str(_build(f"ethcodec-{_digest(files)}", make) / "ethcodec")]


def _buildDevp2p() -> list[str]:
    """
    The C{devp2p} tool of the go-ethereum that the peer is built with. It is built in the module's own folder, so that
    its dependencies are the ones that the module names, with the checksums that it has.
    """
    source = _HERE / "go"

    def make(directory: Path) -> None:
        _run(source, "go", "mod", "download", _GETH)
        module = _run(source, "go", "list", "-m", "-f", "{{.Dir}}", _GETH).strip()
        _run(Path(module), "go", "build", "-mod=readonly", "-o", str(directory / "devp2p"), "./cmd/devp2p")

    return [str(_build(f"devp2p-{_digest([source / 'go.mod', source / 'go.sum'])}", make) / "devp2p")]


def _buildEthereumJS() -> list[str]:
    names = ("package.json", ".npmrc", "peer.mjs")
    source = _HERE / "js"

    def make(directory: Path) -> None:
        for name in names:
            shutil.copy(source / name, directory)
        _run(directory, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")

    directory = _build(f"ethereumjs-{_digest([source / name for name in names])}", make)
    node = shutil.which("node")
    if node is None:
        raise AssertionError("the interop tests need 'node', which is not on the PATH")
    return [node, str(directory / "peer.mjs")]


def _buildSigp() -> list[str]:
    source = _HERE / "rust"
    files = [*source.glob("src/*.rs"), source / "Cargo.toml", source / "Cargo.lock"]

    def make(directory: Path) -> None:
        target = directory.parent / "cargo"  # what it depends on need not be built again when our program changes
        _run(source, "cargo", "build", "--locked", "--quiet", "--target-dir", str(target))
        shutil.copy(target / "debug" / "interop-discv5", directory / "node")

    return [str(_build(f"sigp-{_digest(files)}", make) / "node")]


@cache
def _attempt(build: Callable[[], list[str]]) -> list[str] | str:
    """How to run a program, or why it cannot be, which is found out once."""
    try:
        return build()
    except AssertionError as error:
        return str(error)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}"


def _built(build: Callable[[], list[str]]) -> list[str]:
    """
    @raise AssertionError: it could not be built.
    """
    built = _attempt(build)
    if isinstance(built, str):
        raise AssertionError(built)
    return built


def devp2p() -> list[str]:
    """
    How to run go-ethereum's C{devp2p} tool, after it was built. Its commands ask public nodes unless they are given
    C{--bootnodes}, so run it only in a namespace without a way out.

    @raise AssertionError: a tool is missing, or failed.
    """
    return _built(_buildDevp2p)


# Processes.


class ForeignProcess(ToldProgram):
    """A program of theirs."""

    _builder: ClassVar[Callable[[], list[str]]]

    @classmethod
    def build(cls) -> list[str]:
        """
        How to run the program, after it was built.

        @raise AssertionError: a tool is missing, or failed.
        """
        return _built(cls._builder)

    @classmethod
    async def start(cls, **flags: Any) -> Self:
        """Run it; C{maxPeers=1} is the flag C{--max-peers 1}, and C{noDial=True} is C{--no-dial}."""
        process = spawn(cls(), *cls.build(), *_arguments(flags))
        try:
            process._ready(await process.expect("ready"))
        except BaseException:
            await process.close()
            raise
        return process

    def _ready(self, event: Event) -> None:
        """It runs, and tells who it is."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Have it end as it should: a peer tells its peers that it quits."""
        self.command("stop")
        await self.expect("stopped")
        await self.whenEnded()

    def _tellToEnd(self) -> None:
        self.transport.closeStdin()


class ForeignTestCase(TestCase, Generic[F]):
    """
    Runs foreign programs.

    @cvar foreign: the kind of them.
    """

    timeout = 150
    foreign: type[F]

    def setUp(self) -> None:
        """Build the program, which blocks, so that no test's time is spent on it."""
        self.foreign.build()

    async def theirs(self, **flags: Any) -> F:
        """One that runs until the test ends; for the flags see C{start} of its kind."""
        process = await self.foreign.start(**flags)
        self.addCleanup(lambda: Deferred.fromCoroutine(process.close()))
        return process


def _arguments(flags: dict[str, Any]) -> Iterator[str]:
    for flag, value in flags.items():
        yield "--" + "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in flag)
        if value is not True:
            yield str(value)


def ethCodec() -> list[str]:
    """
    How to run go-ethereum's codec of C{eth}, after it was built.

    @raise AssertionError: a tool is missing, or failed.
    """
    built = _attempt(_buildEthCodec)
    if isinstance(built, str):
        raise AssertionError(built)
    return built


class ForeignPeer(ForeignProcess):
    """
    A peer in a process of its own.

    @ivar id: its public key, 128 hex digits.
    @ivar enode: its node URL.
    @ivar port: where it listens.
    @cvar name: what its Hello calls it.
    """

    name: ClassVar[str]
    id: str
    enode: str
    port: int

    @classmethod
    async def start(cls, **flags: Any) -> Self:
        """See L{ForeignProcess.start}."""
        return await super().start(name=cls.name, **flags)

    def _ready(self, event: Event) -> None:
        self.id, self.enode, self.port = event["id"], event["enode"], event["port"]

    def dial(self, enode: str) -> None:
        """Have it dial once."""
        raise NotImplementedError

    async def refusal(self, enode: str) -> int:
        """Have it dial once; the reason that it is given."""
        raise NotImplementedError

    async def dropped(self, id: str) -> int:
        """The reason for which it lost a peer that had told it one."""
        raise NotImplementedError

    def send(self, id: str, cap: str, size: int, seed: int) -> None:
        """Have it make a request of random bytes."""
        self.command("send", id=id, cap=cap, size=size, seed=seed)


_REASONS = {reason_text(reason): reason for reason in DisconnectReason}


class GethPeer(ForeignPeer):
    """go-ethereum's C{p2p.Server}."""

    name = "Geth/interop/1.0"
    _builder = staticmethod(_buildGeth)

    def dial(self, enode: str) -> None:
        """See L{ForeignPeer}."""
        self.command("setup", enode=enode)

    async def refusal(self, enode: str) -> int:
        """See L{ForeignPeer}."""
        self.dial(enode)
        error: str = (await self.expect("setup"))["error"]
        return _REASONS[error.rpartition(": ")[2]]  # "rlpx proto error: ..." of a Disconnect instead of a Hello

    async def dropped(self, id: str) -> int:
        """See L{ForeignPeer}."""
        return _REASONS[(await self.expect("drop", id=id))["error"]]

    def run(self, script: str, enode: str, **fields: Any) -> Deferred[Event]:
        """Have it run a script on a bare connection; fires with what came of it."""
        self.command("raw", script=script, enode=enode, **fields)
        return self.expect("raw", script=script)


class EthereumJSPeer(ForeignPeer):
    """C{@ethereumjs/devp2p}."""

    name = "ethereumjs/interop"
    _builder = staticmethod(_buildEthereumJS)

    def dial(self, enode: str) -> None:
        """See L{ForeignPeer}."""
        self.command("dial", enode=enode)

    async def refusal(self, enode: str) -> int:
        """See L{ForeignPeer}."""
        self.dial(enode)
        return int((await self.expect("drop", we=False))["reason"])

    async def dropped(self, id: str) -> int:
        """See L{ForeignPeer}."""
        return int((await self.expect("drop", id=id, we=False))["reason"])


class ForeignNode(ForeignProcess):
    """
    Node discovery v5 by itself.

    @ivar id: its node id, 64 hex digits.
    @ivar record: its record, when it began.
    @ivar port: where it listens.
    """

    id: str
    record: str
    port: int

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count()

    def _ready(self, event: Event) -> None:
        self.id, self.record, self.port = event["id"], event["record"], event["port"]

    async def ask(self, cmd: str, **fields: Any) -> Event:
        """
        Have it do something; what came of it.

        @raise ForeignError: it failed.
        """
        number = next(self._numbers)
        self.command(cmd, n=number, **fields)
        outcome = await self.expect(cmd, n=number)
        if "error" in outcome:
            raise ForeignError(outcome["error"])
        return outcome


class ForeignError(Exception):
    """What a foreign node was told to do has failed."""


class GethNode(ForeignNode):
    """go-ethereum's C{p2p/discover}."""

    _builder = staticmethod(lambda: [*_buildGeth(), "discv5"])


class SigpNode(ForeignNode):
    """The C{discv5} crate."""

    _builder = staticmethod(_buildSigp)


if __name__ == "__main__":
    for kind in (GethPeer, EthereumJSPeer, SigpNode):
        kind.build()
    ethCodec()
    devp2p()
