"""
Options parsed in this process, and nodes in processes of their own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.core.crypto.secp256k1 import PrivateKey
from devp2p_tx.core.enr.node import Node
from devp2p_tx.core.enr.url import format_node
from devp2p_tx.node.config import ServerConfig
from devp2p_tx.tap.options import Options

ROOT = Path(__file__).parents[2]
SECRET = "45a915e4d060149eb4365960e6a7a45f334393093061116b197e3240065ff2d8"
KEY = PrivateKey(bytes.fromhex(SECRET))
TWISTD = "from twisted.scripts.twistd import run; run()"
LOCAL = "tcp:0:interface=127.0.0.1"
#: How long a process may take for anything (seconds).
TIMEOUT = 60


def url(number: int) -> str:
    """The URL of a made-up node."""
    key = PrivateKey(number.to_bytes(32, "big")).public_key
    return format_node(Node(key, ip_address("127.0.0.1"), 30000 + number, 30000 + number))


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Our variables, and no others of ours."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("DEVP2P_")}
    with patch.object(os, "environ", {**others, **{f"DEVP2P_{name}": value for name, value in variables.items()}}):
        yield


class OptionsTestCase(SynchronousTestCase):
    """Options parsed in this process."""

    def parse(self, *arguments: str, **variables: str) -> Options:
        """Parse a command line; the key is given, so nothing is kept in files."""
        options = Options()
        with environment(**variables):
            options.parseOptions(["--node-key-hex", SECRET, *arguments])
        return options

    def config(self, *arguments: str, **variables: str) -> ServerConfig:
        """How the node would be set up."""
        return self.parse(*arguments, **variables).serverConfig(KEY)

    def warnings(self, *arguments: str, **variables: str) -> list[str]:
        """What would be logged of a command line."""
        return self.parse(*arguments, **variables).settings.warnings

    def refusal(self, *arguments: str, **variables: str) -> str:
        """The one line on standard error with which a command line is refused, with the status 2."""
        said: list[str] = []
        with environment(**variables), patch.object(sys, "stderr", _Recorder(said)):
            refused = self.assertRaises(SystemExit, Options().parseOptions, list(arguments))
        self.assertEqual(refused.code, 2)
        text = "".join(said)
        self.assertEqual(text.count("\n"), 1, text)
        return text.rstrip("\n")


class _Recorder:
    def __init__(self, said: list[str]) -> None:
        self.write = said.append


class NodeProcess:
    """
    twistd with a node, as a process.

    @ivar process: the process that was started; of a daemon, the one that ends when the node has started.
    """

    def __init__(self, arguments: list[str], folder: Path, variables: Mapping[str, str], **settings: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TWISTD, *arguments],
            cwd=folder,
            env=dict(variables),
            text=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings},
        )

    def until(self, word: str) -> str:
        """The first line of its output with a word; fails if it ends without."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if word in line:
                return line
        raise AssertionError(f"it ended without {word!r}: {''.join(seen)}{self.process.communicate()[1]}")

    def end(self, number: signal.Signals | None = None) -> tuple[int, str, str]:
        """Send a signal, and wait: the exit status, and what was left of both outputs."""
        if number is not None:
            self.process.send_signal(number)
        out, errors = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, out, errors


class NodeTestCase(SynchronousTestCase):
    """
    Nodes as processes.

    @ivar folder: where they run.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.variables = {
            "DEVP2P_NETWORK": "none",
            "DEVP2P_LISTEN": LOCAL,
            "DEVP2P_DATA_DIR": str(self.folder / "data"),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT)]),
            "PYTHONUNBUFFERED": "1",
        }

    def start(self, *arguments: str, before: tuple[str, ...] = ("-n", "--pidfile="), **settings: Any) -> NodeProcess:
        """
        Start one.

        @param arguments: those behind the word C{devp2p}.
        @param before: those before it.
        """
        node = NodeProcess([*before, "devp2p", *arguments], self.folder, self.variables, **settings)
        self.addCleanup(node.process.wait)
        self.addCleanup(node.process.kill)
        return node

    def ends(self, node: NodeProcess, number: signal.Signals | None = None, status: int = 0) -> tuple[str, str]:
        """What is left of its outputs when it ends, with a status and without a traceback."""
        code, out, errors = node.end(number)
        self.assertEqual(code, status, out + errors)
        self.assertNotIn("Traceback", out + errors)
        return out, errors

    def startDaemon(self, *arguments: str, before: tuple[str, ...] = ()) -> int:
        """Start a node in the background, which logs to C{log}; its process id."""
        node = self.start(*arguments, before=("--pidfile=twistd.pid", "--logfile=log", *before))
        self.ends(node)
        pid = int((self.folder / "twistd.pid").read_text())
        self.addCleanup(_kill, pid)
        return pid

    def log(self) -> str:
        """What was logged to C{log}."""
        return (self.folder / "log").read_text()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
