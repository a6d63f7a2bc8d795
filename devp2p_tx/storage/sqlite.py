"""
The node database on SQLite.

All of it is held in memory; the file follows in batches, which the owner asks for every few seconds. So no packet waits
for the disk, and a process that is killed loses the last seconds, never the file: each batch is one transaction of a
write-ahead log.

What can go wrong with the file never keeps the node from running. A file that is damaged or not ours is renamed, and a
new one begun; a disk that cannot be written leaves us with what is in memory. Either is told in a sentence.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, NamedTuple

from devp2p_tx.storage.memory import Dial, Endpoint, Key, LocalNode, MemoryNodeStore, Rows, StoredNode

#: Marks a file as ours ("dp2p"), and the layout of its tables.
APPLICATION_ID, VERSION = 0x64703270, 2
#: Rows that one flush writes: some 10 ms.
MAX_BATCH = 2_000
#: Bytes that the write-ahead log keeps on disk when it is not in use.
MAX_IDLE_LOG = 4 << 20

_TYPES = {"BLOB": bytes, "TEXT": str, "INTEGER": int}


class _Table(NamedTuple):
    """How rows of one kind stand in the file: the columns with their types, those of the key first."""

    name: str
    key_columns: dict[str, str]
    columns: dict[str, str]
    row_type: type[Any]

    def create(self) -> str:
        columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in {**self.key_columns, **self.columns}.items())
        key = ", ".join(self.key_columns)
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID"

    def insert(self) -> str:
        values = ", ".join("?" * (len(self.key_columns) + len(self.columns)))
        return f"INSERT OR REPLACE INTO {self.name} VALUES ({values})"  # noqa: S608 - our own names

    def delete(self) -> str:
        condition = " AND ".join(f"{name} = ?" for name in self.key_columns)
        return f"DELETE FROM {self.name} WHERE {condition}"  # noqa: S608 - our own names

    def read_all(self, connection: sqlite3.Connection) -> Iterator[tuple[Key, Any]]:
        """
        Key and row object of each row in the file.

        @raise sqlite3.DatabaseError: a value has another type than its column, which SQLite does not prevent.
        """
        kinds = tuple(_TYPES[kind] for kind in (*self.key_columns.values(), *self.columns.values()))
        width = len(self.key_columns)
        for row in connection.execute(f"SELECT * FROM {self.name}"):  # noqa: S608 - our own names
            if tuple(map(type, row)) != kinds:
                raise sqlite3.DatabaseError(f"table {self.name} has values of foreign types")
            yield row[:width], self.row_type(*row[width:])


_NODES = _Table("nodes", {"id": "BLOB"}, {"node": "TEXT", "ip": "BLOB"}, StoredNode)
_ENDPOINTS = _Table(
    "endpoints",
    {"id": "BLOB", "ip": "BLOB"},
    {
        "last_ping": "INTEGER",
        "last_pong": "INTEGER",
        "failures_v4": "INTEGER",
        "failures_v5": "INTEGER",
        "last_pong_v5": "INTEGER",
    },
    Endpoint,
)
_DIALS = _Table(
    "dials",
    {"id": "BLOB"},
    {"node": "TEXT", "attempted": "INTEGER", "succeeded": "INTEGER", "failures": "INTEGER"},
    Dial,
)
_LOCAL = _Table("local", {"id": "BLOB"}, {"seq": "TEXT"}, LocalNode)


class _ForeignFile(Exception):
    """The file is a database, but not ours."""


class SQLiteNodeStore(MemoryNodeStore):
    """
    The node database in a file, which one process has for itself.

    @ivar path: the file.
    """

    def __init__(self, path: str, unix_time: Callable[[], int], warn: Callable[[str], None]) -> None:
        """
        Open or make the file. It never fails: where the file cannot be used, the store lives in memory.

        @param path: the file; its directory must exist.
        @param unix_time: the clock, for the names of files that are set aside.
        @param warn: called with a sentence for the operator whenever something is wrong with the file, or right again.
        """
        super().__init__()
        self.path = path
        self._unix_time = unix_time
        self._warn = warn
        self._failing = False
        self._connection: sqlite3.Connection | None = None
        self._open()

    @property
    def persistent(self) -> bool:
        """Whether what is remembered now will be there after a restart."""
        return self._connection is not None and not self._failing

    def set_local_seq(self, node_id: bytes, seq: int) -> None:
        """As in memory, and written at once: a number that was shown to others must never be used again."""
        super().set_local_seq(node_id, seq)
        self._write([(_LOCAL, self._local)], MAX_BATCH)

    def flush(self) -> int:
        """Write up to L{MAX_BATCH} changed rows in one transaction; how many are left for the next time."""
        if self._connection is None:
            return 0
        self._write(self._tables(), MAX_BATCH)
        return sum(len(rows.changed) for _, rows in self._tables())

    def close(self) -> None:
        """Write all changes, and close the file, which then needs no log beside it. The store is not used after."""
        self._write(self._tables(), None)
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA journal_mode = DELETE")
        self._disconnect()

    def _tables(self) -> list[tuple[_Table, Rows[Any]]]:
        return [(_LOCAL, self._local), (_NODES, self._nodes), (_DIALS, self._dials), (_ENDPOINTS, self._endpoints)]

    # -- opening ------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            self._connect()
        except sqlite3.OperationalError as error:
            self._disconnect()
            self._warn(f"node database {self.path} cannot be used, nothing will be remembered: {error}")
        except (sqlite3.DatabaseError, _ForeignFile) as error:
            self._clear()
            self._begin_anew(str(error))

    def _connect(self) -> None:
        """
        Open the file, read everything, and prepare for writing.

        @raise sqlite3.OperationalError: it cannot be opened, locked, read or written.
        @raise sqlite3.DatabaseError: it is damaged or no database.
        @raise _ForeignFile: it is somebody else's database.
        """
        _make_private(self.path)
        self._connection = connection = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        connection.text_factory = _decode_text
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if not _check(connection):
            self._load(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {MAX_IDLE_LOG}")
        with _transaction(connection):
            for table, _ in self._tables():
                connection.execute(table.create())
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def _load(self, connection: sqlite3.Connection) -> None:
        for table, rows in self._tables():
            for key, row in table.read_all(connection):
                rows.put(key, row)
            rows.changed.clear()
        for key, endpoint in self._endpoints:
            if not endpoint.proved:
                self._endpoints.expendable[key] = None

    def _clear(self) -> None:
        """Forget what was read before it turned out that the file is damaged."""
        super().__init__()

    def _begin_anew(self, reason: str) -> None:
        """Rename the file and make a new one, to which all that is in memory will be written."""
        self._disconnect()
        try:
            aside = _set_aside(self.path, self._unix_time())
            self._warn(f"node database {self.path} is set aside as {aside}, and a new one begun: {reason}")
            self._connect()
        except (OSError, sqlite3.Error) as error:
            self._disconnect()
            self._warn(f"node database {self.path} cannot be used, nothing will be remembered: {error}")
        for _, rows in self._tables():
            rows.rewrite_all()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    # -- writing ------------------------------------------------------------------------------------------------------

    def _write(self, tables: list[tuple[_Table, Rows[Any]]], limit: int | None) -> None:
        """Write up to C{limit} changed rows, or none if that fails, in which case they stay marked as changed."""
        if self._connection is None:
            return
        batches = _take_batches(tables, limit)
        try:
            with _transaction(self._connection):
                for table, rows, keys in batches:
                    _write_rows(self._connection, table, rows, keys)
        except sqlite3.OperationalError as error:
            self._write_failed(error)
        except sqlite3.DatabaseError as error:
            self._begin_anew(str(error))
        else:
            self._written(batches)

    def _write_failed(self, error: sqlite3.OperationalError) -> None:
        if not self._failing:
            self._failing = True
            self._warn(f"node database {self.path} cannot be written, what is new is kept in memory only: {error}")

    def _written(self, batches: list[_Batch]) -> None:
        for _, rows, keys in batches:
            rows.rewrite = False
            for key in keys:
                del rows.changed[key]
        if self._failing:
            self._failing = False
            self._warn(f"node database {self.path} can be written again")


def _make_private(path: str) -> None:
    """
    See to it that the file is for its owner alone; its log gets the same permissions.

    Where that cannot be done SQLite says what is wrong.
    """
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)


_Batch = tuple[_Table, Rows[Any], list[Key]]


def _take_batches(tables: list[tuple[_Table, Rows[Any]]], limit: int | None) -> list[_Batch]:
    """The keys of up to C{limit} changes, the oldest of each table."""
    batches: list[_Batch] = []
    for table, rows in tables:
        keys = list(islice(rows.changed, limit))
        batches.append((table, rows, keys))
        if limit is not None:
            limit -= len(keys)
    return batches


def _write_rows(connection: sqlite3.Connection, table: _Table, rows: Rows[Any], keys: list[Key]) -> None:
    if rows.rewrite:
        connection.execute(f"DELETE FROM {table.name}")  # noqa: S608 - our own names
    connection.executemany(table.delete(), [key for key in keys if rows.get(key) is None])
    connection.executemany(table.insert(), [(*key, *row) for key in keys if (row := rows.get(key)) is not None])


def _check(connection: sqlite3.Connection) -> bool:
    """
    Look whether the file is ours and sound; whether it is empty, that is new.

    @raise _ForeignFile: it is not ours, or of another version of this program.
    @raise sqlite3.DatabaseError: it is damaged.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables and not application_id:
        return True
    if application_id != APPLICATION_ID:
        raise _ForeignFile("it is the database of another program")
    if version != VERSION:
        raise _ForeignFile(f"its tables have layout {version}, not {VERSION}")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"it is damaged: {verdict}")
    return False


def _decode_text(data: bytes) -> str:
    """Text that was tampered with is no reason to stop reading; whoever parses it will refuse it."""
    return data.decode("utf-8", "replace")


def _set_aside(path: str, unix_time: int) -> str:
    """
    Rename the file; the new name. (Its log is gone since it was closed, and SQLite never takes a log for a new file's.)

    @raise OSError: it cannot be renamed.
    """
    aside = f"{path}.set-aside-{unix_time}"
    count = 1
    while os.path.lexists(aside):
        count += 1
        aside = f"{path}.set-aside-{unix_time}-{count}"
    os.rename(path, aside)
    return aside


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it is written, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def open_node_store(path: str, unix_time: Callable[[], int], warn: Callable[[str], None]) -> MemoryNodeStore:
    """
    The node database in a file, or in memory for the path C{":memory:"} or none; parameters as for L{SQLiteNodeStore}.
    """
    if path in ("", ":memory:"):
        return MemoryNodeStore()
    return SQLiteNodeStore(path, unix_time, warn)
