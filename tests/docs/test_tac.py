"""
The applications in the documents as twistd runs them, where their port is taken.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.test_listings import ROOT, listings

#: How long a process may take for anything (seconds); one that takes longer is killed, which fails its test.
PATIENCE = 60
SENTENCE = (
    "this node cannot start, and what else runs in this process goes on: cannot listen on IPv4 TCP 0.0.0.0:{port}:"
    " Address already in use (errno 98); another program, or another node, has this port: stop that, or choose another"
    " port (--listen, or ServerConfig(listen=...))"
)


class TakenPortTests(SynchronousTestCase):
    """C{twistd -ny}."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        self.sentence = SENTENCE.format(port=port)
        for name, text in listings().items():
            (self.folder / name).write_text(text.replace("30303", port))

    def run_(self, tac: str) -> subprocess.Popen[str]:
        """Have twistd run a listing."""
        process = subprocess.Popen(
            [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--pidfile=", "-ny", tac],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([".", str(ROOT)]), "DEVP2P_NETWORK": "none"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        kill = threading.Timer(PATIENCE, process.kill)
        kill.start()
        self.addCleanup(kill.cancel)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_hello(self) -> None:
        """It is said at once, once, as one sentence that tells what to do; TERM ends the process in order."""
        process = self.run_("hello.tac")
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if self.sentence in line:
                break
        process.send_signal(signal.SIGTERM)
        lines += process.stdout
        output = "".join(lines)
        self.assertEqual(process.wait(), -signal.SIGTERM, output)  # as twistd ends when it is told to
        self.assertEqual(output.count("cannot listen"), 1, output)
        self.assertNotIn("Traceback", output)

    def test_ending(self) -> None:
        """A process that is to end when its node cannot start ends with the status 1."""
        process = self.run_("ending.tac")
        output, _ = process.communicate()
        self.assertEqual(process.returncode, 1, output)
        self.assertEqual(output.count(self.sentence), 1, output)
        self.assertNotIn("Traceback", output)
