"""The outbox's SQLite file: opening it, checking it, and putting a broken one aside."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from edge_app.store.sqlite_files import transaction

FORMAT = 1
WAL_PAGES = 128
"""Pages of 4 KiB after which the write-ahead log is folded back, instead of SQLite's 1,000: on a
full disk the log would eat most of the reserve (56 alerts from 1 MiB, measured)."""
WAL_LIMIT_BYTES = 1 << 20
"""The log's file shrinks back to this: without a limit it keeps its largest size for ever."""

MAX_SOUGHT = 200_000
"""Numbers that are asked for one by one behind a broken page: some seconds at most."""

Fault = Literal["full", "corrupt", "locked", "disk", "other"]

_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS alerts (seq INTEGER PRIMARY KEY, session INTEGER NOT NULL,"
    " camera TEXT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS finished (camera TEXT PRIMARY KEY, number INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS overflow (camera TEXT PRIMARY KEY, first_number INTEGER,"
    " last_number INTEGER, count INTEGER NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS pending_evidence (seq INTEGER PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS row_checks (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL,"
    " extra TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS dead_letters (id INTEGER PRIMARY KEY, seq INTEGER, session TEXT,"
    " camera BLOB, body BLOB, bytes BLOB, extra BLOB, why TEXT)",
    "CREATE TABLE IF NOT EXISTS losses (id INTEGER PRIMARY KEY, camera TEXT, first_seq INTEGER,"
    " last_seq INTEGER, count INTEGER NOT NULL, reason TEXT NOT NULL)",
)


DISK_FAULTS = (errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENODEV, errno.ESTALE)
"""What a disk, or the lack of descriptors, does to a program that is set up as it should be."""


def disk_refuses(folder: Path) -> str | None:
    """Return why a folder takes no new file although it might be expected to, else None.

    Full, read-only, failing: that may pass. A missing right or folder does not.
    """
    probe = folder / ".probe"
    try:
        handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        os.close(handle)
        probe.unlink()
    except OSError as error:
        is_passing = error.errno in (*DISK_FAULTS, errno.ENOSPC, errno.EDQUOT)
        return error.strerror if is_passing else None
    return None


def fault_of(error: Exception) -> Fault:
    """Name what went wrong, as far as it decides what to do next.

    By text, because Python 3.10's sqlite3 has no error codes. An I/O error counts as full: SQLite
    reports a WAL that cannot grow that way, and freeing space is the only remedy there is.
    """
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return "full"
        return "disk" if error.errno in DISK_FAULTS else "other"
    text = str(error).lower()
    if "is full" in text or "disk i/o error" in text:
        return "full"
    if "locked" in text:
        return "locked"
    if "malformed" in text or "not a database" in text or "could not decode" in text:
        return "corrupt"
    if "readonly" in text:
        return "disk"
    return "other"


def open_file(path: Path) -> sqlite3.Connection:
    """Return a connection to a checked outbox that holds the file for itself.

    WAL with synchronous FULL: a commit is on the disk when it returns, for one fsync. The exclusive
    lock keeps a second process out, and avoids the shared-memory file, whose growth on a full disk
    would end in a bus error.

    Raises:
        sqlite3.Error: it cannot be opened, is corrupt, or is in use; see `fault_of`.
    """
    connection = sqlite3.connect(path, timeout=2.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit={WAL_LIMIT_BYTES}")
        verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"database disk image is malformed: {verdict}")
        with transaction(connection):
            for statement in _TABLES:
                connection.execute(statement)
            _check_tables(connection)
            _check_format(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_tables(connection: sqlite3.Connection) -> None:
    """Compare the tables' definitions: SQLite believes a damaged one if it can be parsed."""
    query = "SELECT CAST(sql AS BLOB) FROM sqlite_master"  # damaged, it need not be UTF-8
    found = {sql for (sql,) in connection.execute(query)}
    for statement in _TABLES:
        if statement.replace("IF NOT EXISTS ", "").encode() not in found:
            raise sqlite3.DatabaseError("database disk image is malformed: a table's definition")


def _check_format(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (FORMAT,))
    found = read_meta(connection, "format")
    if found < FORMAT:
        raise sqlite3.DatabaseError("database disk image is malformed: its format's number")
    if found != FORMAT:
        raise sqlite3.DatabaseError(
            f"outbox format {found} is newer than the {FORMAT} this version reads"
        )


def read_meta(connection: sqlite3.Connection, name: str) -> int:
    """Return a stored number, 0 if it was never written."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else 0


def write_meta(connection: sqlite3.Connection, name: str, value: int) -> None:
    """Store a number under a name."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def copy_readable(kept: Path, connection: sqlite3.Connection, highest: int) -> int:
    """Copy every row that can still be read; return how many alerts.

    Behind a broken page rows are asked for one by one. Raises nothing about the broken file.

    Args:
        highest: no alert has a number above this.
    """
    try:
        broken = sqlite3.connect(kept, isolation_level=None)
    except sqlite3.Error:
        return 0
    try:
        broken.text_factory = _Text
        with transaction(connection):
            for table, key in _SMALL_TABLES:
                _copy_table(broken, connection, table, key)
            for table in ("row_checks", "alerts"):
                _copy_numbered(broken, connection, table, highest)
        return int(connection.execute("SELECT count(*) FROM alerts").fetchone()[0])
    finally:
        broken.close()


_SMALL_TABLES = (
    ("finished", "camera"),
    ("overflow", "camera"),
    ("dead_letters", "id"),
    ("losses", "id"),
)


def _copy_table(
    broken: sqlite3.Connection, connection: sqlite3.Connection, table: str, key: str
) -> None:
    for row in _rows(broken, f"SELECT * FROM {table} ORDER BY {key}"):
        _insert(connection, table, row)


def _copy_numbered(
    broken: sqlite3.Connection, connection: sqlite3.Connection, table: str, highest: int
) -> None:
    last = 0
    for row in _rows(broken, f"SELECT * FROM {table} WHERE seq > 0 ORDER BY seq"):
        _insert(connection, table, row)
        last = int(row[0])  # type: ignore[call-overload]
    one = f"SELECT * FROM {table} WHERE seq = ?"
    if not list(_rows(broken, f"EXPLAIN {one}", 0)):
        return  # no such table any more: each of the questions would fail, and cost its time
    for seq in range(last + 1, min(highest, last + MAX_SOUGHT) + 1):
        for row in _rows(broken, one, seq):
            _insert(connection, table, row)


def _insert(connection: sqlite3.Connection, table: str, row: tuple[object, ...]) -> None:
    """Copy one row; texts are read as bytes, because damage may have made them no UTF-8."""
    marks = ", ".join("CAST(? AS TEXT)" if isinstance(v, _Text) else "?" for v in row)
    try:
        connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)
    except sqlite3.IntegrityError:
        return  # a column that damage has emptied


class _Text(bytes):
    """The bytes of a text."""


def _rows(broken: sqlite3.Connection, query: str, *values: int) -> Iterator[tuple[object, ...]]:
    try:
        yield from broken.execute(query, values)
    except (sqlite3.Error, OverflowError):
        return
