"""The history's SQLite file: its tables, and how a writer and a reader open it.

One process writes and checkpoints; others only read, in short transactions: SQLite before 3.51.3
can lose a write where two connections write and checkpoint at once, and a reader that stays keeps
the write-ahead log from being folded back.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edge_app.errors import HistoryError
from edge_app.host.file_ownership import share_with_readers
from edge_app.store.sqlite_files import transaction

HISTORY_FILE = "history.sqlite"
"""Its name in the state folder."""

FORMAT = 1
"""`PRAGMA user_version`. Later releases add to it and migrate; a newer file is left alone."""

WAL_PAGES = 1000
WAL_LIMIT_BYTES = 8 << 20
BUSY_S = 2.0

KEPT_INDEX = "CREATE INDEX parts_kept ON parts (id, kept_for) WHERE kept_for IS NOT NULL"

_TABLES = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE cameras (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, slot TEXT NOT NULL)",
    "CREATE TABLE models (id INTEGER PRIMARY KEY, product TEXT NOT NULL, serial INTEGER NOT NULL,"
    " bundle_sha256 TEXT NOT NULL, precision TEXT NOT NULL,"
    " UNIQUE (product, serial, bundle_sha256, precision))",
    "CREATE TABLE limits (id INTEGER PRIMARY KEY, threshold REAL NOT NULL,"
    " threshold_id TEXT NOT NULL, UNIQUE (threshold, threshold_id))",
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, camera INTEGER NOT NULL, part_id TEXT NOT NULL,"
    " number INTEGER, trigger_id TEXT, source_name TEXT, captured_ns INTEGER NOT NULL,"
    " recorded_ns INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, score REAL,"
    " is_suspect INTEGER NOT NULL, limit_id INTEGER NOT NULL, model INTEGER,"
    " views INTEGER NOT NULL, latency_ms REAL NOT NULL, corners TEXT, defects TEXT,"
    " alarm_id TEXT, evidence_url TEXT,"
    " evidence_sha256 TEXT, is_final INTEGER NOT NULL, kept_for TEXT)",
    "CREATE INDEX parts_by_time ON parts (captured_ns)",
    "CREATE INDEX parts_by_name ON parts (part_id)",
    "CREATE INDEX parts_by_trigger ON parts (trigger_id) WHERE trigger_id IS NOT NULL",
    "CREATE INDEX parts_by_source ON parts (source_name) WHERE source_name IS NOT NULL",
    "CREATE INDEX parts_by_camera ON parts (camera)",
    "CREATE INDEX parts_not_ok ON parts (state) WHERE state <> 'OK'",
    "CREATE INDEX parts_not_ok_of ON parts (state, camera) WHERE state <> 'OK'",
    "CREATE INDEX parts_suspect ON parts (id) WHERE is_suspect",
    "CREATE INDEX parts_open ON parts (id) WHERE NOT is_final",
    KEPT_INDEX,
    "CREATE TABLE part_classes (class TEXT NOT NULL, part INTEGER NOT NULL,"
    " PRIMARY KEY (class, part)) WITHOUT ROWID",
    "CREATE TABLE gaps (id INTEGER PRIMARY KEY, camera INTEGER, kind TEXT NOT NULL,"
    " first_number INTEGER, last_number INTEGER, count INTEGER, reason TEXT NOT NULL,"
    " from_ns INTEGER, to_ns INTEGER NOT NULL, next_part INTEGER NOT NULL)",
    "CREATE TABLE progress (camera INTEGER PRIMARY KEY, number INTEGER NOT NULL)",
    "CREATE TABLE hours (hour INTEGER NOT NULL, camera INTEGER NOT NULL, model INTEGER NOT NULL,"
    " state TEXT NOT NULL, is_suspect INTEGER NOT NULL, bin INTEGER NOT NULL,"
    " count INTEGER NOT NULL,"
    " PRIMARY KEY (hour, camera, model, state, is_suspect, bin)) WITHOUT ROWID",
    "CREATE TABLE deleted (id INTEGER PRIMARY KEY, camera INTEGER NOT NULL,"
    " first_part INTEGER NOT NULL, last_part INTEGER NOT NULL, first_number INTEGER,"
    " last_number INTEGER, from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL, ok INTEGER NOT NULL,"
    " suspect INTEGER NOT NULL, ng INTEGER NOT NULL, not_inspected INTEGER NOT NULL)",
)


_ADDED = {
    "decisions": "CREATE TABLE decisions (id INTEGER PRIMARY KEY, part INTEGER NOT NULL,"
    " part_id TEXT NOT NULL, camera INTEGER NOT NULL, captured_ns INTEGER NOT NULL,"
    " state TEXT NOT NULL, decided_ns INTEGER NOT NULL, mark TEXT NOT NULL, class TEXT NOT NULL,"
    " region TEXT, note TEXT NOT NULL, author_kind TEXT NOT NULL, author_name TEXT NOT NULL,"
    " author_role TEXT NOT NULL, pseudonym TEXT NOT NULL, order_id TEXT NOT NULL UNIQUE,"
    " is_current INTEGER NOT NULL)",
    "decisions_by_part": "CREATE INDEX decisions_by_part ON decisions (part, is_current, mark)",
    "decisions_current": "CREATE INDEX decisions_current ON decisions (mark, part)"
    " WHERE is_current",
    "take_out": "CREATE TABLE take_out (part INTEGER PRIMARY KEY, camera INTEGER NOT NULL,"
    " captured_ns INTEGER NOT NULL, since_ns INTEGER NOT NULL, settled_ns INTEGER,"
    " outcome TEXT, settled_by TEXT NOT NULL, pseudonym TEXT NOT NULL)",
    "take_out_waiting": "CREATE INDEX take_out_waiting ON take_out (part) WHERE settled_ns IS NULL",
    "take_out_waiting_of": "CREATE INDEX take_out_waiting_of ON take_out (camera, part)"
    " WHERE settled_ns IS NULL",
    "deleted_reviews": "CREATE TABLE deleted_reviews (camera INTEGER NOT NULL,"
    " what TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (camera, what)) WITHOUT ROWID",
    "parts_by_number": "CREATE INDEX parts_by_number ON parts (number) WHERE number IS NOT NULL",
}
"""What builds before reviews did not have: a file of theirs gains it."""

_GOLDEN = {
    "golden_parts": "CREATE TABLE golden_parts (part INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    "golden_checks": "CREATE TABLE golden_checks (id INTEGER PRIMARY KEY,"
    " check_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, camera TEXT NOT NULL,"
    " at_ns INTEGER NOT NULL, due_ns INTEGER, outcome TEXT NOT NULL, part_id TEXT NOT NULL,"
    " state TEXT, score REAL, classes TEXT NOT NULL, expected_class TEXT NOT NULL)",
    "golden_checks_by_time": "CREATE INDEX golden_checks_by_time ON golden_checks (at_ns)",
}
"""What builds before golden parts did not have: which parts are golden, and what became of them."""

NO_GOLDEN = "parts.id NOT IN (SELECT part FROM golden_parts)"
"""A term of a query for parts of production."""

_ACCEPTANCE = (
    "accepted_ns INTEGER",
    "accepted_by TEXT NOT NULL DEFAULT ''",
    "accepted_pseudonym TEXT NOT NULL DEFAULT ''",
    "acceptance TEXT",
)
"""Columns that `decisions` of the first builds with reviews did not have."""


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Return the writer's connection; the file is made if need be, readable by those who may.

    Raises:
        sqlite3.Error, OSError: it cannot be opened, or is damaged.
        HistoryError: a later release wrote it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit={WAL_LIMIT_BYTES}")
        _make_tables(connection, path)
    except BaseException:
        connection.close()
        raise
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        share_with_readers(name)
    return connection


def _make_tables(connection: sqlite3.Connection, path: Path) -> None:
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > FORMAT:
        raise HistoryError(
            f"history {path} has format {found}, this release knows up to {FORMAT}. Update this "
            "device, or move the file away"
        )
    if found == 0:
        with transaction(connection):
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={FORMAT}")
    count = len([s for s in _TABLES if s.startswith("CREATE TABLE")])
    query = "SELECT count(*) FROM sqlite_master WHERE type = 'table'"
    if int(connection.execute(query).fetchone()[0]) < count:
        raise sqlite3.DatabaseError("database disk image is malformed: a table is missing")
    if not _has_column(connection, "parts", "kept_for"):
        with transaction(connection):
            connection.execute("ALTER TABLE parts ADD COLUMN kept_for TEXT")
            connection.execute(KEPT_INDEX)
    _add_missing(connection)


def _add_missing(connection: sqlite3.Connection) -> None:
    """Give an older file what it lacks; its parts stay as they are, and none waits in the queue."""
    added = {**_ADDED, **_GOLDEN}
    missing = [statement for name, statement in added.items() if not _has(connection, name)]
    if missing:
        with transaction(connection):
            for statement in missing:
                connection.execute(statement)
    if not _has_column(connection, "decisions", "acceptance"):
        with transaction(connection):
            _add_acceptance(connection, "decisions")


def _add_acceptance(connection: sqlite3.Connection, table: str) -> None:
    for column in _ACCEPTANCE:
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


def _has(connection: sqlite3.Connection, name: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE name = ?"
    return connection.execute(query, (name,)).fetchone() is not None


def _stand_in_for_missing(connection: sqlite3.Connection) -> None:
    """Let an older file that nobody has opened for writing yet read as one without golden parts,
    without reviews, or without a word of an engineer on them."""
    if not _has(connection, "golden_parts"):
        for name, statement in _GOLDEN.items():
            connection.execute(_temporary(name, statement))
    if _has_column(connection, "decisions", "acceptance"):
        return
    has_reviews = _has(connection, "decisions")
    for name, statement in _ADDED.items():
        if has_reviews and not name.startswith("decisions"):
            continue
        if " ON parts " not in statement:
            connection.execute(_temporary(name, statement))
    if has_reviews:
        connection.execute("INSERT INTO temp.decisions SELECT * FROM main.decisions")
    _add_acceptance(connection, "temp.decisions")


def _temporary(name: str, statement: str) -> str:
    """Return the statement that makes a table, or its index, for one connection."""
    if statement.startswith("CREATE TABLE"):
        return statement.replace("CREATE TABLE", "CREATE TEMP TABLE", 1)
    return statement.replace(f"INDEX {name}", f"INDEX temp.{name}", 1)


def _has_column(connection: sqlite3.Connection, table: str, column: str) -> bool:
    """Tell whether a table has a column; the first builds lacked some."""
    return column in {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Return a connection that changes nothing; close it soon.

    Where no writer runs and the folder may not be written, the write-ahead log is missing and
    cannot be made: the file is complete then and is read as it is.

    Raises:
        HistoryError: there is none, it cannot be read, or a later release wrote it.
    """
    if not path.is_file():
        raise HistoryError(f"there is no history at {path}: this device has not recorded any part")
    address = path.resolve().as_uri()
    for options in ("mode=ro", "mode=ro&immutable=1"):
        connection = sqlite3.connect(f"{address}?{options}", uri=True, timeout=BUSY_S)
        try:
            found = int(connection.execute("PRAGMA user_version").fetchone()[0])
            connection.execute("SELECT kept_for FROM parts LIMIT 1").fetchone()
            _stand_in_for_missing(connection)
        except sqlite3.Error as error:
            connection.close()
            why, is_last = error, "immutable" in options
            if is_last or path.with_name(path.name + "-wal").exists():
                raise HistoryError(f"history {path} cannot be read: {why}") from error
            continue
        if found != FORMAT:
            connection.close()
            raise HistoryError(f"history {path} has format {found}; expected {FORMAT}")
        connection.isolation_level = None
        return connection
    raise AssertionError("one of the two ways returns or raises")
