"""Tests for L{devp2p_tx.storage.sqlite}."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from devp2p_tx.storage.memory import MemoryNodeStore
from devp2p_tx.storage.sqlite import MAX_BATCH, SQLiteNodeStore, open_node_store

ROOT = Path(__file__).parent.parent.parent
NOW = 1_700_000_000
IP = ip_address("88.77.66.1")
IP6 = ip_address("2a00::1")


def node_id(number: int) -> bytes:
    """An id."""
    return number.to_bytes(32, "big")


class StoreTestCase(SynchronousTestCase):
    """
    @ivar path: where the file is.
    @ivar warnings: what the operator was told.
    """

    def setUp(self) -> None:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        directory.parent.chmod(0o755)  # trial's are for its own user only, see C{unprivileged}
        self.path = directory / "nodes.sqlite"
        self.warnings: list[str] = []

    def open(self) -> SQLiteNodeStore:
        """Open the store, until the end of the test at most."""
        store = SQLiteNodeStore(str(self.path), lambda: NOW, self.warnings.append)
        self.addCleanup(store._disconnect)
        return store

    def reopen(self, store: SQLiteNodeStore) -> SQLiteNodeStore:
        """Close and open, as a restart does."""
        store.close()
        return self.open()

    def rows(self) -> int:
        """The endpoints in the file, seen from outside."""
        with closing(sqlite3.connect(self.path)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM endpoints").fetchone()
            return int(count)

    def files_aside(self) -> list[str]:
        """The names of all files but the database and its log."""
        return sorted(name for name in os.listdir(self.path.parent) if "set-aside" in name)


class PersistenceTests(StoreTestCase):
    """What is there after a restart."""

    def test_everything(self) -> None:
        """All kinds of rows."""
        store = self.open()
        store.put_node(node_id(1), "enr:1", IP)
        store.put_node(node_id(2), "enode://2", None)
        store.ping_received(node_id(1), IP, NOW)
        store.pong_received(node_id(1), IP, NOW + 1)
        store.findnode_failed(node_id(1), IP6)
        store.findnode_failed(node_id(1), IP6, v5=True)
        store.dial_succeeded(node_id(3), "enr:3", NOW)
        store.dial_failed(node_id(3), NOW)
        store.set_local_seq(node_id(9), 2**64 - 1)
        store = self.reopen(store)
        self.assertEqual([store.node(node_id(number)) for number in (1, 2, 3)], ["enr:1", "enode://2", None])
        self.assertEqual((store.last_ping(node_id(1), IP), store.last_pong(node_id(1), IP)), (NOW, NOW + 1))
        self.assertEqual(store.findnode_failures(node_id(1), IP6), 1)
        self.assertEqual(store.findnode_failures(node_id(1), IP6, v5=True), 1)
        self.assertEqual(store.seeds(5, 10, NOW, Random(1)), ["enr:1"])
        self.assertEqual(store.good_peers(5), ["enr:3"])
        self.assertEqual(store.local_seq(node_id(9)), 2**64 - 1)
        self.assertEqual(self.warnings, [])
        self.assertTrue(store.persistent)

    def test_deleted(self) -> None:
        """What was forgotten does not come back."""
        store = self.open()
        store.put_node(node_id(1), "enr:1", IP)
        store.pong_received(node_id(1), IP, NOW)
        store = self.reopen(store)
        store.expire(NOW + 10 * 86400)
        store = self.reopen(store)
        self.assertIsNone(store.node(node_id(1)))
        self.assertEqual(store.last_pong(node_id(1), IP), 0)

    def test_lastChangeCounts(self) -> None:
        """Of several changes between two flushes only the last is written."""
        store = self.open()
        for when in range(10):
            store.pong_received(node_id(1), IP, NOW + when)
        store.put_node(node_id(1), "enr:1", IP)
        store.forget_node(node_id(1))
        store.put_node(node_id(1), "enr:2", IP)
        store = self.reopen(store)
        self.assertEqual(store.last_pong(node_id(1), IP), NOW + 9)
        self.assertEqual(store.node(node_id(1)), "enr:2")

    def test_expendableAfterRestart(self) -> None:
        """Which rows matter little is known after a restart too."""
        store = self.open()
        store.pong_received(node_id(1), IP, NOW)
        store.ping_received(node_id(2), IP, NOW)
        store = self.reopen(store)
        self.assertEqual(list(store._endpoints.expendable), [(node_id(2), IP.packed)])

    def test_nothingWrittenTwice(self) -> None:
        """What was read, and what was written, needs no writing."""
        store = self.open()
        store.pong_received(node_id(1), IP, NOW)
        store.flush()
        self.assertEqual(len(store._endpoints.changed), 0)
        self.assertEqual(len(self.reopen(store)._endpoints.changed), 0)

    def test_batches(self) -> None:
        """One flush writes so many rows and no more; the end writes all."""
        store = self.open()
        store.put_node(node_id(1), "enr:1", IP)
        for number in range(2 * MAX_BATCH + 5):
            store.pong_received(node_id(number), IP, NOW)
        self.assertEqual(store.flush(), MAX_BATCH + 6)
        self.assertEqual(store.flush(), 6)
        for number in range(2 * MAX_BATCH):
            store.pong_received(node_id(number), IP, NOW)
        store.close()
        self.assertEqual(self.rows(), 2 * MAX_BATCH + 5)

    def test_localSeqAtOnce(self) -> None:
        """The number of our own record is in the file before anybody sees it, whatever else waits."""
        store = self.open()
        store.pong_received(node_id(1), IP, NOW)
        store.set_local_seq(node_id(9), 5)
        store._disconnect()
        store = self.open()
        self.assertEqual(store.local_seq(node_id(9)), 5)
        self.assertEqual(store.last_pong(node_id(1), IP), 0)

    def test_writeAheadLog(self) -> None:
        """Changes go to a log beside the file, which is gone when the file is closed."""
        log = Path(f"{self.path}-wal")
        store = self.open()
        store.pong_received(node_id(1), IP, NOW)
        store.flush()
        self.assertGreater(log.stat().st_size, 0)
        store.close()
        self.assertFalse(log.exists())

    def test_emptyFile(self) -> None:
        """An empty file, as a tool may have made it, is a new one."""
        self.path.touch()
        self.assertTrue(self.open().persistent)
        self.assertEqual(self.warnings, [])

    def test_memory(self) -> None:
        """No path means memory."""
        for path in ("", ":memory:"):
            self.assertIs(type(open_node_store(path, lambda: NOW, self.warnings.append)), MemoryNodeStore)
        store = open_node_store(str(self.path), lambda: NOW, self.warnings.append)
        self.assertIs(type(store), SQLiteNodeStore)
        store.close()


class UnusableFileTests(StoreTestCase):
    """Files that are set aside."""

    def fill(self, count: int = 500) -> None:
        """A good file."""
        store = self.open()
        for number in range(count):
            store.pong_received(node_id(number), IP, NOW)
        store.close()

    def check_set_aside(self, content: bytes, *words: str) -> None:
        """Opening sets the file aside unchanged, says so, and begins a new one that works."""
        store = self.open()
        (aside,) = self.files_aside()
        self.assertEqual((self.path.parent / aside).read_bytes(), content)
        (warning,) = self.warnings
        for word in (str(self.path), aside, *words):
            self.assertIn(word, warning)
        self.assertEqual(len(store._endpoints), 0)
        store.pong_received(node_id(1), IP, NOW)
        self.assertEqual(self.reopen(store).last_pong(node_id(1), IP), NOW)
        self.assertEqual(len(self.warnings), 1)

    def test_noDatabase(self) -> None:
        """A file that is no database at all."""
        self.path.write_bytes(b"CURRENT manifest of something else\n" * 100)
        self.check_set_aside(self.path.read_bytes(), "not a database")

    def test_truncated(self) -> None:
        """A file that lost its end."""
        self.fill()
        self.path.write_bytes(self.path.read_bytes()[: 3 * 4096 + 17])
        self.check_set_aside(self.path.read_bytes())

    def test_damaged(self) -> None:
        """A file with some pages overwritten, its head being good."""
        self.fill()
        data = bytearray(self.path.read_bytes())
        data[3 * 4096 : 9 * 4096] = bytes(range(256)) * (6 * 16)
        self.path.write_bytes(data)
        self.check_set_aside(bytes(data))

    def test_otherProgram(self) -> None:
        """A database of another program."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("CREATE TABLE bookmarks (url TEXT)")
        self.check_set_aside(self.path.read_bytes(), "another program")

    def test_otherProgramsMark(self) -> None:
        """A database that another program marked as its own, though it is empty."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA application_id = 7")
        self.check_set_aside(self.path.read_bytes(), "another program")

    def test_otherVersion(self) -> None:
        """A database of another version of ours."""
        self.fill()
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA user_version = 99")
        self.check_set_aside(self.path.read_bytes(), "layout 99")

    def test_otherTables(self) -> None:
        """A database that claims to be ours, with other tables."""
        self.fill()
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("INSERT INTO endpoints VALUES (x'ff', x'01', 'yesterday', 1, 1, 1, 1)")
            connection.commit()
        self.check_set_aside(self.path.read_bytes(), "foreign types")

    def test_foreignText(self) -> None:
        """Text that is no text does no harm."""
        self.fill()
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("INSERT INTO nodes VALUES (x'01', CAST(x'ff' AS TEXT), x'')")
            connection.commit()
        self.assertEqual(self.open().node(b"\1"), "\ufffd")
        self.assertEqual(self.warnings, [])

    def test_twice(self) -> None:
        """A second file in the same second has another name."""
        for content in (b"first" * 300, b"second" * 300):
            self.path.write_bytes(content)
            self.open()._disconnect()
        self.assertEqual(len(self.files_aside()), 2)

    def test_damagedWhileOpen(self) -> None:
        """Damage that shows only later: the new file has all that was in memory."""
        self.fill(2000)
        store = self.open()
        store.put_node(node_id(1), "enr:1", IP)
        assert store._connection is not None
        store._connection.execute("PRAGMA shrink_memory")
        with self.path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (self.path.stat().st_size - 4096))
        for number in range(2000):
            store.pong_received(node_id(number), IP, NOW + 1)
        store.flush()
        self.assertEqual((len(self.warnings), len(self.files_aside())), (1, 1))
        store = self.reopen(store)
        self.assertEqual(len(store._endpoints), 2000)
        self.assertEqual(store.last_pong(node_id(1999), IP), NOW + 1)
        self.assertEqual(store.node(node_id(1)), "enr:1")


class UnwritableDiskTests(StoreTestCase):
    """Disks that cannot be written."""

    @contextmanager
    def file_limit(self, size: int) -> Iterator[None]:
        """As on a full disk, no file grows beyond C{size}."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    @contextmanager
    def unprivileged(self) -> Iterator[None]:
        """As a user that file permissions mean something to."""
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(user)

    def test_full(self) -> None:
        """On a full disk we are warned once, keep all in memory, and write it when there is room again."""
        store = self.open()
        with self.file_limit(64 * 1024):
            for number in range(3000):
                store.pong_received(node_id(number), IP, NOW)
            for _ in range(3):
                store.flush()
            self.assertEqual(len(self.warnings), 1)
            self.assertIn("cannot be written", self.warnings[0])
            self.assertFalse(store.persistent)
            self.assertEqual(store.last_pong(node_id(2999), IP), NOW)
        store.flush()
        self.assertEqual(len(self.warnings), 2)
        self.assertIn("again", self.warnings[1])
        self.assertTrue(store.persistent)
        store = self.reopen(store)
        self.assertEqual(len(store._endpoints), 3000)

    def test_fullForLong(self) -> None:
        """What changed while nothing could be written is right in the end, deleted rows included."""
        store = self.open()
        store._endpoints.limit = 50
        for number in range(50):
            store.pong_received(node_id(number), IP, NOW)
        store.flush()
        with self.file_limit(0):
            for number in range(50, 1000):
                store.pong_received(node_id(number), IP, NOW)
                store.flush()
        store = self.reopen(store)
        self.assertEqual(sorted(key[0] for key, _ in store._endpoints), [node_id(n) for n in range(950, 1000)])

    def test_readOnlyFile(self) -> None:
        """A file that cannot be written is read, and what is new stays in memory."""
        store = self.open()
        store.pong_received(node_id(1), IP, NOW)
        store.close()
        self.path.chmod(0o444)
        self.path.parent.chmod(0o555)
        with self.unprivileged():
            store = self.open()
            store.pong_received(node_id(2), IP, NOW)
            self.assertEqual(store.flush(), 0)
            store.close()
        self.path.parent.chmod(0o755)
        (warning,) = self.warnings
        self.assertIn("readonly", warning)
        self.assertEqual([store.last_pong(node_id(number), IP) for number in (1, 2)], [NOW, NOW])
        self.assertFalse(store.persistent)

    def test_readOnlyDirectory(self) -> None:
        """Where no file can be made, or none renamed, all stays in memory."""
        for content in (None, b"no database at all" * 100):
            if content is not None:
                self.path.write_bytes(content)
            self.path.parent.chmod(0o555)
            with self.unprivileged():
                store = self.open()
            self.path.parent.chmod(0o755)
            store.pong_received(node_id(1), IP, NOW)
            store.set_local_seq(node_id(1), 1)
            self.assertEqual((store.flush(), store.persistent, store.last_pong(node_id(1), IP)), (0, False, NOW))
            self.assertIn("nothing will be remembered", self.warnings.pop())
            self.assertEqual(self.path.read_bytes() if self.path.exists() else None, content)
            self.assertEqual(self.files_aside(), [])

    def test_noDirectory(self) -> None:
        """A path to nowhere is no reason not to run, nor is one to a directory."""
        for path in ("/nonexistent/nodes.sqlite", str(self.path.parent)):
            store = SQLiteNodeStore(path, lambda: NOW, self.warnings.append)
            self.assertFalse(store.persistent)
            self.assertIn(path, self.warnings.pop())

    def test_inUse(self) -> None:
        """A file that another process has open is left to it, at once, without harm to either."""
        first = self.open()
        first.pong_received(node_id(1), IP, NOW)
        first.flush()
        second = self.open()
        self.assertFalse(second.persistent)
        self.assertIn("locked", self.warnings.pop())
        self.assertEqual(self.files_aside(), [])
        first.pong_received(node_id(2), IP, NOW)
        self.assertEqual(len(self.reopen(first)._endpoints), 2)
        self.assertEqual(self.warnings, [])


WRITER = """
import sys
from ipaddress import ip_address
from devp2p_tx.storage.sqlite import SQLiteNodeStore

path, start = sys.argv[1], int(sys.argv[2])
store = SQLiteNodeStore(path, lambda: 1, lambda warning: print(warning, flush=True))
for number in range(start, start + 1_000_000):
    store.pong_received(number.to_bytes(32, "big"), ip_address("88.77.66.1"), number + 1)
    if number % 50 == 0:
        store.flush()
        store.set_local_seq(bytes(32), number)
        print(number, flush=True)
"""


class KillTests(StoreTestCase):
    """Processes that end without a word."""

    def run_and_kill(self, start: int, lines: int) -> int:
        """Have another process write, kill it in the midst of it, and return the last number that it had flushed."""
        command = [sys.executable, "-c", WRITER, str(self.path), str(start)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            try:
                flushed = [process.stdout.readline() for _ in range(lines)]
            finally:
                process.kill()
            flushed += process.stdout.read().splitlines()
        self.assertTrue(all(line.strip().isdigit() for line in flushed), flushed[-3:])
        return int(flushed[-1])

    def test_kill(self) -> None:
        """After kill -9 at any moment the file is sound, and has all that was flushed."""
        rng = Random(1)
        number = 0
        for _ in range(5):
            start = number + 1
            number = self.run_and_kill(start, rng.randrange(2, 60))
            store = self.open()
            self.assertEqual(self.warnings, [])
            self.assertGreaterEqual(store.local_seq(bytes(32)) or 0, number)
            kept = range(max(start, number - 2000), number + 1)
            missing = [n for n in kept if store.last_pong(node_id(n), IP) != n + 1]
            self.assertEqual(missing, [])
            store._disconnect()
