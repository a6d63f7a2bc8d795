"""
Nodes as supervisors run them: real processes, real signals. docs/howto.md has the table of these tests.
"""

from __future__ import annotations

import json
import os
import pty
import pwd
import re
import resource
import signal
import socket
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from devp2p_tx.storage.keyfile import load_key
from tests.tap import support
from tests.tap.support import LOCAL, TIMEOUT, NodeTestCase, url

#: A resolver that takes its time.
DEAD_NAME_SERVER = """
import socket, threading
plain = socket.getaddrinfo

def getaddrinfo(host, *args, **kwargs):
    if host == "dead.example":
        print("asked for", host, flush=True)
        threading.Event().wait(60)
    return plain(host, *args, **kwargs)

socket.getaddrinfo = getaddrinfo
"""
#: Sends the process a SIGTERM as soon as the reactor takes that signal, which is before the node does.
TERM_AS_THE_REACTOR_STARTS = """
import os, signal
plain = signal.signal

def install(number, handler):
    before = plain(number, handler)
    if number == signal.SIGTERM and getattr(handler, "__name__", "") == "sigTerm":
        os.kill(os.getpid(), number)
    return before

signal.signal = install
"""
#: Says when a module of ours is imported that is needed late in a start, and waits for a line.
STOP_WHILE_IMPORTING = """
import sys
from importlib.abc import MetaPathFinder

class Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "devp2p_tx.node.server":
            print("importing", flush=True)
            sys.stdin.readline()
        return None

sys.meta_path.insert(0, Finder())
"""
#: What a unit of systemd has in its environment, and not much more.
UNIT = {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "INVOCATION_ID": "0" * 32, "JOURNAL_STREAM": "9:12345"}


class TwistTests(NodeTestCase):
    """C{twist devp2p}, which is C{python -m twisted devp2p}: a runner without a step for root's rights."""

    def test_starts_and_ends(self) -> None:
        self.patch(support, "TWISTD", "import runpy; runpy.run_module('twisted', run_name='__main__', alter_sys=True)")
        node = self.start(before=("--log-format", "text"))
        node.until("enode://")
        out, _ = self.ends(node, signal.SIGTERM)
        self.assertIn("SIGTERM: the node stops", out)


class ForegroundTests(NodeTestCase):
    """C{twistd -n devp2p}."""

    def test_term_and_int(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            node = self.start("--log-format", "json")
            message = json.loads(node.until("enode://"))["message"]
            self.assertRegex(json.loads(node.until("enr:"))["message"], "enr:[-_0-9A-Za-z]+$")
            self.assertRegex(message, r"enode://[0-9a-f]{128}@127\.0\.0\.1:[1-9]\d*$")
            out, _ = self.ends(node, number)
            self.assertIn(f"{number.name}: the node stops", out)
            self.assertEqual(sorted(os.listdir(self.folder / "data")), ["nodekey", "nodes-none.sqlite"])

    def test_interrupted_while_it_starts(self) -> None:
        """Whatever it does then, it ends in order, and twistd removes what it made."""
        (self.folder / "sitecustomize.py").write_text(STOP_WHILE_IMPORTING)
        for number in (signal.SIGINT, signal.SIGTERM):
            node = self.start(before=("-n", "--pidfile=twistd.pid"), stdin=subprocess.PIPE)
            node.until("importing")
            node.process.send_signal(number)
            assert node.process.stdin is not None
            node.process.stdin.write("\n")
            node.process.stdin.flush()
            out, errors = self.ends(node)
            self.assertEqual(errors, "")
            self.assertNotIn("enode://", out)
            self.assertFalse((self.folder / "twistd.pid").exists())

    def test_interrupted_twice(self) -> None:
        """The second time it does not wait for its peers any more."""
        (self.folder / "lingering.py").write_text(LINGERING)
        node = self.start("--capability", "lingering:make")
        node.until("enode://")
        node.process.send_signal(signal.SIGINT)
        node.until("SIGINT: the node stops")
        node.process.send_signal(signal.SIGINT)
        out, _ = self.ends(node, status=1)
        self.assertIn("SIGINT again: the node ends without waiting", out)
        self.assertIn("Server Shut Down", out)

    def test_it_stops_while_a_name_is_looked_up(self) -> None:
        """The system does not let go of a thread that asks a dead name server; the node ends without it."""
        (self.folder / "sitecustomize.py").write_text(DEAD_NAME_SERVER)
        node = self.start("--nat", "stun:dead.example")
        node.until("asked for dead.example")
        self.ends(node, signal.SIGTERM)

    def test_terminated_as_the_reactor_starts(self) -> None:
        """Between the reactor's own handler and ours: that ends it in order, too."""
        (self.folder / "sitecustomize.py").write_text(TERM_AS_THE_REACTOR_STARTS)
        out, _ = self.ends(self.start())
        self.assertIn("SIGTERM", out)

    def test_interrupted_while_tor_is_silent(self) -> None:
        with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as control:
            control.bind(f"{folder}/control")
            control.listen()
            node = self.start("--listen", f"onion:30303:control={folder}/control")
            control.accept()
            _, errors = self.ends(node, signal.SIGINT)
        self.assertEqual(errors, "")

    def test_signals_that_it_lives_through(self) -> None:
        """Without a log file there is nothing to rotate, and without files nothing to read again."""
        node = self.start("--static", url(1), "--no-dial")
        node.until("enode://")
        node.process.send_signal(signal.SIGUSR1)
        node.until("SIGUSR1 rotates the log file, but this node logs to none")
        node.process.send_signal(signal.SIGHUP)
        node.until("SIGHUP has lists of nodes read again, but no file is named by --static, --trusted, --bootnodes")
        self.ends(node, signal.SIGTERM)

    def test_its_terminal_is_closed(self) -> None:
        """Then SIGHUP means that nobody is there any more."""
        ours, theirs = pty.openpty()
        node = self.start(stdin=theirs)
        os.close(theirs)
        node.until("enode://")
        os.close(ours)
        out, _ = self.ends(node, signal.SIGHUP)
        self.assertIn("SIGHUP, since the terminal was closed: the node stops", out)

    def test_as_a_unit_of_systemd(self) -> None:
        """Without a home, a terminal, or standard input; standard output and error are one socket."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.variables = {**UNIT, "PYTHONPATH": self.variables["PYTHONPATH"]}
        arguments = ("--network=none", "--listen", LOCAL, "--data-dir", "data")
        node = self.start(*arguments, stdout=theirs, stderr=theirs, start_new_session=True)
        theirs.close()
        with ours.makefile() as journal:
            self.assertTrue(any("enode://" in line for line in journal))
            node.process.send_signal(signal.SIGTERM)
            rest = journal.read()
        self.assertEqual(node.process.wait(TIMEOUT), 0)
        self.assertIn("SIGTERM: the node stops", rest)
        self.assertNotIn("Traceback", rest)

    def test_without_standard_streams(self) -> None:
        """A supervisor may close them."""
        node = self.start(before=("-n", "--pidfile=twistd.pid", "--logfile=log"), preexec_fn=_closeStandardStreams)
        self.addCleanup(node.process.kill)
        while "enode://" not in (self.log() if (self.folder / "log").exists() else ""):
            self.assertIsNone(node.process.poll())
        node.process.send_signal(signal.SIGTERM)
        self.assertEqual(node.process.wait(TIMEOUT), 0)

    def test_wrong_values(self) -> None:
        """Before anything is opened or made."""
        for arguments, line in (
            (["--listen", "abc"], "--listen: cannot listen on 'abc'"),
            (["--max-peers", "-1"], "--max-peers: want a whole number from 0 to 1000000, not '-1'"),
            (["--port", "30303"], "--port: it is go-ethereum's word: write --listen PORT"),
        ):
            for before in (("-n", "--pidfile="), ("--pidfile=twistd.pid", "--logfile=log")):
                out, errors = self.ends(self.start(*arguments, before=before), status=2)
                self.assertEqual((out, errors.count("\n")), ("", 1))
                self.assertTrue(errors.startswith(line), errors)
        self.assertEqual([name for name in os.listdir(self.folder) if name != "__pycache__"], [])

    def test_a_plugin_is_found_by_its_name(self) -> None:
        (self.folder / "twisted" / "plugins").mkdir(parents=True)
        (self.folder / "twisted" / "plugins" / "toy_plugin.py").write_text(
            "from twisted.plugin import IPlugin\n"
            "from zope.interface import alsoProvides\n"
            "from devp2p_tx.testing import EchoCapability\n"
            "toy = EchoCapability('toy', 7)\n"
            "alsoProvides(toy, IPlugin)\n"
        )
        node = self.start("--capability", "toy/7")
        node.until("enode://")
        self.ends(node, signal.SIGTERM)
        _, errors = self.ends(self.start("--capability", "toy/8"), status=2)
        self.assertIn("--capability: no capability 'toy/8'", errors)


#: A capability whose server's stop takes for ever.
LINGERING = """
from twisted.internet.defer import Deferred
from devp2p_tx.node.server import Server
from devp2p_tx.testing import EchoCapability

def make():
    Server.stopService = lambda self: Deferred()
    return EchoCapability()
"""


def _closeStandardStreams() -> None:
    for descriptor in range(3):
        os.close(descriptor)


class StartFailureTests(NodeTestCase):
    """What cannot be opened ends the node with one sentence and the status 1, in the foreground and as a daemon."""

    def refused(self, *arguments: str) -> str:
        """The sentence, which is the same in both."""
        _, errors = self.ends(self.start(*arguments), status=1)
        self.assertEqual(errors.count("\n"), 1, errors)
        daemon = self.start(*arguments, before=("--pidfile=twistd.pid", "--logfile=log"))
        _, said = self.ends(daemon, status=1)
        self.assertEqual(said.splitlines()[0], errors.rstrip("\n"))
        self.assertIn(errors.rstrip("\n"), self.log())
        self.assertNotIn("Traceback", self.log())
        return errors

    def test_a_taken_tcp_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            sentence = self.refused("--listen", f"tcp:{port}:interface=127.0.0.1")
        self.assertRegex(
            sentence, rf"^--listen: cannot listen on IPv4 TCP 127\.0\.0\.1:{port}: Address already in use .*: stop that"
        )

    def test_a_taken_udp_port(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            sentence = self.refused("--discovery-port", str(port))
        self.assertRegex(
            sentence, rf"^--discovery-port: cannot listen on IPv4 UDP 127\.0\.0\.1:{port}: Address already in use"
        )

    def test_no_tor(self) -> None:
        self.assertIn("Tor's control port cannot be used", self.refused("--listen", "onion:30303:control=/nowhere/tor"))

    def test_a_data_directory_that_cannot_be_made(self) -> None:
        sentence = self.refused("--data-dir", "/proc/nothing/data")
        self.assertEqual(
            sentence, "--data-dir: cannot make the directory /proc/nothing/data: No such file or directory\n"
        )


class DaemonTests(NodeTestCase):
    """C{twistd devp2p}, without C{-n}."""

    def waitForEnd(self, pid: int) -> None:
        """Until the daemon is gone; it is no child of ours."""
        descriptor = os.pidfd_open(pid)
        self.addCleanup(os.close, descriptor)
        import select

        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        self.assertTrue(poll.poll(TIMEOUT * 1000), "it goes on")

    def test_its_whole_life(self) -> None:
        """Started, known by its pid file, listening when its starter returns; log rotated; ended by TERM."""
        pid = self.startDaemon()
        [port] = re.findall(r"enode://[0-9a-f]{128}@127.0.0.1:(\d+)", self.log())
        socket.create_connection(("127.0.0.1", int(port)), TIMEOUT).close()
        self.assertEqual((self.folder / "data" / "pid").read_text(), f"{pid}\n")
        self.assertEqual((self.folder / "data" / "nodekey").stat().st_mode & 0o777, 0o600)
        os.kill(pid, signal.SIGUSR1)
        while not (self.folder / "log.1").exists():
            os.sched_yield()
        os.kill(pid, signal.SIGTERM)
        self.waitForEnd(pid)
        self.assertIn("enode://", (self.folder / "log.1").read_text())
        self.assertIn("SIGTERM: the node stops", self.log())
        self.assertIn("Server Shut Down", self.log())
        for name in ("twistd.pid", "data/pid"):
            self.assertFalse((self.folder / name).exists(), name)

    def test_a_log_that_was_moved(self) -> None:
        """logrotate renames the file, and then says so."""
        pid = self.startDaemon()
        (self.folder / "log").rename(self.folder / "log.moved")
        os.kill(pid, signal.SIGUSR1)
        while not (self.folder / "log").exists():
            os.sched_yield()
        os.kill(pid, signal.SIGINT)
        self.waitForEnd(pid)
        self.assertIn("enode://", (self.folder / "log.moved").read_text())
        self.assertIn("SIGINT: the node stops", self.log())
        self.assertFalse((self.folder / "log.1").exists())

    def test_another_user(self) -> None:
        """C{--uid}: sockets are opened as root, and all files are the other user's."""
        nobody = pwd.getpwnam("nobody")
        with TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)
            port = _freePrivilegedPort()
            node = self.start(
                "--listen",
                f"tcp:{port}:interface=127.0.0.1",
                "--data-dir",
                f"{name}/data",
                before=("-n", "--pidfile=", "--uid=nobody", f"--logfile={name}/log"),
            )
            if os.geteuid():  # twistd says that only root can do that
                self.assertEqual(node.process.wait(TIMEOUT), 1)
                return
            while "enode://" not in ((folder / "log").read_text() if (folder / "log").exists() else ""):
                self.assertIsNone(node.process.poll())
            self.assertIn(f"127.0.0.1:{port}", (folder / "log").read_text())
            status = Path(f"/proc/{node.process.pid}/status").read_text()
            self.assertIn(f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}", status)
            owners = {path.stat().st_uid for path in [folder / "data", folder / "log", *(folder / "data").iterdir()]}
            self.assertEqual(owners, {nobody.pw_uid})
            load_key(folder / "data" / "nodekey")
            node.process.send_signal(signal.SIGUSR1)
            while "cannot rotate the log file" not in (folder / "log").read_text():
                self.assertIsNone(node.process.poll())
            node.process.send_signal(signal.SIGTERM)
            self.assertEqual(node.process.wait(TIMEOUT), 0)


def _freePrivilegedPort() -> int:
    """A port below 1024, free for TCP and UDP, that only root can open."""
    for port in range(843, 1024):
        with socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            try:
                stream.bind(("127.0.0.1", port))
                datagrams.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


class HangUpTests(NodeTestCase):
    """SIGHUP has the files of C{--static}, C{--trusted} and C{--bootnodes} read again."""

    def test_lists_are_read_again(self) -> None:
        for name in ("static", "trusted", "bootnodes"):
            (self.folder / name).write_text(f"{url(1)}\n{url(2)}\n")
        node = self.start("--static=static", "--trusted=trusted", "--bootnodes=bootnodes")
        node.until("enode://")
        (self.folder / "static").write_text(f"{url(2)}\n{url(3)}\n")
        (self.folder / "trusted").write_text(f"{url(2)}\nenode://nonsense\n")
        (self.folder / "bootnodes").write_text(json.dumps([url(1), url(2), url(4)]))
        node.process.send_signal(signal.SIGHUP)
        static = node.until("--static")
        self.assertIn("SIGHUP: --static was read again: added=1 removed=1 kept=1; added: ", static)
        self.assertIn("@127.0.0.1:30003; removed: ", static)
        trusted = node.until("trusted:2:")
        self.assertIn("the nodes of --trusted stay as they were", trusted)
        self.assertIn("added=1 removed=0 kept=2", node.until("--bootnodes"))
        (self.folder / "trusted").write_text(f"{url(2)}\n")
        node.process.send_signal(signal.SIGHUP)
        self.assertIn("added=0 removed=0 kept=2", node.until("--static"))
        self.assertIn("added=0 removed=1 kept=1", node.until("--trusted"))
        self.ends(node, signal.SIGTERM)


class DescriptorTests(NodeTestCase):
    """Files that run out."""

    def test_one_line_when_it_begins_and_one_when_it_ends(self) -> None:
        node = self.start(preexec_fn=_allowFewFiles)
        self.assertIn(f"limit={FEW_FILES} needed=584", node.until("the limit on open files is too low"))
        [port] = re.findall(r"@127.0.0.1:(\d+)", node.until("enode://"))
        node.until("node record")
        connections = [socket.create_connection(("127.0.0.1", int(port)), TIMEOUT) for _ in range(FEW_FILES)]
        between = node.until(" [")  # the next line: Twisted would have one for each connection
        self.assertIn("no more files can be opened", between)
        for connection in connections:
            connection.close()
        node.until("files can be opened again")
        out, _ = self.ends(node, signal.SIGTERM)
        self.assertEqual(out.count("can be opened"), 0)


#: How many files a node may have open that is to run out of them.
FEW_FILES = 40


def _allowFewFiles() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_FILES, FEW_FILES))


class DataDirectoryTests(NodeTestCase):
    """One node for each data directory."""

    def test_a_second_node_is_refused(self) -> None:
        first = self.start()
        first.until("enode://")
        _, errors = self.ends(self.start(), status=1)
        self.assertEqual(
            errors,
            f"DEVP2P_DATA_DIR: another node uses the data directory {self.folder}/data (pid {first.process.pid}): stop"
            " that node, or give this one a data directory of its own\n",
        )
        self.ends(first, signal.SIGTERM)
        again = self.start()
        again.until("enode://")
        again.end(signal.SIGKILL)
        third = self.start()
        third.until("enode://")
        self.ends(third, signal.SIGTERM)

    def test_a_directory_that_cannot_be_written(self) -> None:
        """It starts, with everything in memory."""
        data = self.folder / "data"
        data.mkdir()
        (data / "pid").mkdir()  # which root cannot write to, either
        node = self.start()
        line = node.until("kept in memory only")
        self.assertIn(f"the data directory {data} cannot be written: Is a directory", line)
        node.until("enode://")
        self.ends(node, signal.SIGTERM)
        self.assertEqual(sorted(os.listdir(data)), ["pid"])

    def test_a_new_key_is_said(self) -> None:
        node = self.start()
        line = node.until("made a new node key")
        key = load_key(self.folder / "data" / "nodekey")
        self.assertIn(f"file={self.folder}/data/nodekey id={key.public_key.node_id.hex()}", line)
        self.ends(node, signal.SIGTERM)
        node = self.start()
        while "enode://" not in (line := node.until("#")):
            self.assertNotIn("made a new node key", line)
        self.ends(node, signal.SIGTERM)
