"""The audit's SQLite file, and how its writer and its readers open it.

A rollback journal with `synchronous=EXTRA`: a committed record survives a power cut, and the file
alone is the whole audit, so that it can be copied.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from edge_app.errors import AuditError
from edge_app.host.file_ownership import share_with_readers
from edge_app.store.sqlite_files import transaction

AUDIT_FILE = "audit.sqlite"
"""Its name in the state folder."""

LIMITS_NAME = "limits.json"
"""Of the limits that follow from it, beside it."""

FORMAT = 1
"""`PRAGMA user_version`. Later releases add to it; a newer file is left alone."""

BUSY_S = 2.0
HOLD_S = 20.0
"""A copy waits so long for its turn."""

_TABLES = (
    "CREATE TABLE records (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, hash TEXT NOT NULL)",
    "CREATE TABLE orders (order_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, answer TEXT NOT NULL)"
    " WITHOUT ROWID",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Return the writer's connection; the file is made if need be, readable by those who may.

    Raises:
        sqlite3.Error, OSError: it cannot be opened, or is damaged.
        AuditError: a later release wrote it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA synchronous=EXTRA")
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found > FORMAT:
            raise _newer(path, found)
        if found == 0:
            with transaction(connection):
                for statement in _TABLES:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={FORMAT}")
        connection.execute("SELECT 1 FROM records, orders, meta LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    share_with_readers(path)
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Return a connection that changes nothing; close it soon.

    Raises:
        AuditError: there is none, it cannot be read, or a later release wrote it.
    """
    if not path.is_file():
        raise AuditError(f"there is no audit at {path}: nothing has been recorded on this device")
    address = f"{path.resolve().as_uri()}?mode=ro"
    try:
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None)
    except sqlite3.Error as error:
        raise AuditError(f"audit {path} cannot be read: {error}") from error
    try:
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        connection.execute("SELECT 1 FROM records LIMIT 1").fetchone()
    except sqlite3.Error as error:
        connection.close()
        raise AuditError(f"audit {path} cannot be read: {error}") from error
    if found != FORMAT:
        connection.close()
        raise _newer(path, found)
    return connection


@contextmanager
def held_still(path: Path) -> Iterator[None]:
    """Keep an audit as it is meanwhile, so that the file can be copied; where there is none, or it
    is damaged, nothing is done. Its writer waits BUSY_S at most, then refuses.

    A transaction that a kill cut off is undone first.

    Raises:
        AuditError: it is written without a pause.
    """
    if not path.is_file():
        yield
        return
    with closing(sqlite3.connect(path, timeout=HOLD_S, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.OperationalError as error:
            raise AuditError(f"audit {path} cannot be held: {error}. Run it again.") from error
        except sqlite3.DatabaseError:  # damaged: it is copied as it is
            pass
        yield


def _newer(path: Path, found: int) -> AuditError:
    return AuditError(
        f"audit {path} has format {found}, this release knows {FORMAT}. Update this device"
    )
