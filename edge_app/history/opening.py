"""Opening the history at a start: what the last process left open, and what it took along."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_app.history.entries import GapEntry
from edge_app.history.rows import RowWriter, close_open_parts
from edge_app.history.schema import open_for_writing
from edge_app.store.sqlite_files import move_aside, transaction


@dataclass(slots=True)
class Opened:
    """The open file.

    Attributes:
        parts: rows of parts.
        note: what was found amiss, for the log; "" if nothing was.
    """

    connection: sqlite3.Connection
    parts: int
    note: str = ""


def open_history(
    path: Path,
    rows: RowWriter,
    last_finished: Mapping[str, int] | None,
    now_ns: Callable[[], int],
    is_damaged: bool = False,
) -> Opened:
    """Open the file, or begin a new one beside a damaged one, and declare what is missing.

    Args:
        last_finished: camera → the outbox's last finished part; None where the same process opens
            the file again.
        is_damaged: a write has found damage: a new file begins, whatever a look at it says.

    Raises:
        sqlite3.Error, OSError: the disk takes nothing.
        HistoryError: a later release wrote the file.
    """
    note = ""
    try:
        if is_damaged:
            raise sqlite3.DatabaseError("malformed")
        connection = _checked(path)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        aside = move_aside(path)
        note = f"the history is damaged ({error}): it lies at {aside.name}, a new one begins"
        connection = open_for_writing(path)
    try:
        rows.forget()
        with transaction(connection):
            _declare(connection, rows, last_finished, now_ns(), bool(note))
        parts = int(connection.execute("SELECT count(*) FROM parts").fetchone()[0])
    except BaseException:
        connection.close()
        raise
    return Opened(connection, parts, note)


def _checked(path: Path) -> sqlite3.Connection:
    """Open it and read a little of each table; `edge-app history check` reads all."""
    connection = open_for_writing(path)
    try:
        for table in ("parts", "gaps", "cameras", "models", "limits", "progress", "deleted"):
            connection.execute(f"SELECT * FROM {table} ORDER BY rowid DESC LIMIT 50").fetchall()
        connection.execute("SELECT * FROM hours ORDER BY hour DESC LIMIT 50").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _declare(
    connection: sqlite3.Connection,
    rows: RowWriter,
    last_finished: Mapping[str, int] | None,
    now_ns: int,
    is_damaged: bool,
) -> None:
    if last_finished is not None:
        close_open_parts(connection)
    latest = connection.execute("SELECT max(recorded_ns) FROM parts").fetchone()[0]
    if is_damaged:
        rows.write(connection, [GapEntry(None, "loss", "damaged", now_ns)])
    elif latest is not None and last_finished is not None:
        rows.write(connection, [GapEntry(None, "down", "restart", now_ns, from_ns=int(latest))])
    for camera, last in (last_finished or {}).items():
        number = rows.camera_id(connection, camera)
        query = "SELECT number FROM progress WHERE camera = ?"
        found = connection.execute(query, (number,)).fetchone()
        if found is not None and last > found[0]:
            first = int(found[0]) + 1
            loss = GapEntry(camera, "loss", "not_recorded", now_ns, first, last, last - first + 1)
            rows.write(connection, [loss])
        connection.execute(
            "INSERT INTO progress VALUES (?, ?) ON CONFLICT (camera) DO UPDATE"
            " SET number = excluded.number",
            (number, last),
        )


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Tell whether an error says that the file's contents are broken, not its disk."""
    text = str(error).lower()
    words = ("malformed", "not a database", "no such table", "no such column")
    return any(word in text for word in words)
