"""Opening the history at a start: what the last process left open, and what it took along."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_app.errors import OutboxError
from edge_app.history.entries import GapEntry, PartEntry, ReviewEntry
from edge_app.history.ledger import RESTORED
from edge_app.history.review_rows import audit_head, note_audit_head
from edge_app.history.rows import RowWriter, close_open_parts
from edge_app.history.schema import open_for_writing
from edge_app.store.sqlite_files import move_aside, transaction

_log = logging.getLogger(__name__)

_LATEST = (
    "SELECT max(at_ns) FROM (SELECT max(recorded_ns) AS at_ns FROM parts"
    " UNION ALL SELECT max(to_ns) FROM gaps WHERE kind = 'down' AND reason = ?)"
)
"""When something was recorded last, or the file was put back."""

ReviewsSince = Callable[[str], tuple[Sequence[ReviewEntry], str]]
"""Takes the audit's record up to which reviews are here, HASH:COUNT; returns those after it, and
the record up to which they are here then."""


def no_reviews(head: str) -> tuple[Sequence[ReviewEntry], str]:
    """Return that the audit holds none."""
    return (), head


@dataclass(frozen=True, slots=True)
class LeftOver:
    """What other files hold of parts and a kill may have kept from the history.

    Attributes:
        waiting: parts whose alerts wait in the outbox; those without a row get one.
        reviews: what the audit says of parts.
    """

    waiting: Callable[[], Iterable[PartEntry]] = tuple
    reviews: ReviewsSince = no_reviews


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
    left_over: LeftOver | None = None,
) -> Opened:
    """Open the file, or begin a new one beside a damaged one, and declare what is missing.

    Args:
        last_finished: camera → the outbox's last finished part; None where the same process opens
            the file again.
        is_damaged: a write has found damage: a new file begins, whatever a look at it says.
        left_over: what is looked for elsewhere.

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
            other = left_over or LeftOver()
            _declare(connection, rows, last_finished, now_ns(), bool(note), other.waiting)
            if last_finished is not None:
                _follow_audit(connection, rows, other.reviews)
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
    waiting: Callable[[], Iterable[PartEntry]],
) -> None:
    if last_finished is not None:
        close_open_parts(connection, now_ns)
    latest = connection.execute(_LATEST, (RESTORED,)).fetchone()[0]
    if is_damaged:
        rows.write(connection, [GapEntry(None, "loss", "damaged", now_ns)])
    elif latest is not None and last_finished is not None:
        rows.write(connection, [GapEntry(None, "down", "restart", now_ns, from_ns=int(latest))])
    reached = _progress(connection)
    taken_in: dict[str, set[int]] = {}
    if last_finished is not None:
        try:
            for entry in waiting():
                try:
                    _take_in(connection, rows, entry, reached, taken_in)
                except (sqlite3.IntegrityError, sqlite3.ProgrammingError, OverflowError) as error:
                    _log.warning("a waiting alarm cannot be in the history: %s", error)
        except OutboxError as error:
            _log.warning("waiting alarms are not looked for in the history: %s", error)
    for camera, last in (last_finished or {}).items():
        number = rows.camera_id(connection, camera)
        if camera in reached and last > reached[camera]:
            there = taken_in.get(camera, set())
            for first, end in _without(range(reached[camera] + 1, last + 1), there):
                count = end - first + 1
                loss = GapEntry(camera, "loss", "not_recorded", now_ns, first, end, count)
                rows.write(connection, [loss])
        connection.execute(
            "INSERT INTO progress VALUES (?, ?) ON CONFLICT (camera) DO UPDATE"
            " SET number = excluded.number",
            (number, last),
        )


def _follow_audit(connection: sqlite3.Connection, rows: RowWriter, reviews: ReviewsSince) -> None:
    """Write what the audit holds of parts and a kill has kept from here."""
    known = audit_head(connection)
    entries, head = reviews(known)
    for entry in entries:
        try:
            rows.write(connection, [entry])
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, OverflowError) as error:
            _log.warning("a review cannot be in the history: %s", error)
    if head != known:
        note_audit_head(connection, head)


def _progress(connection: sqlite3.Connection) -> dict[str, int]:
    query = "SELECT name, number FROM progress JOIN cameras ON cameras.id = camera"
    return {str(name): int(number) for name, number in connection.execute(query)}


def _take_in(
    connection: sqlite3.Connection,
    rows: RowWriter,
    entry: PartEntry,
    reached: Mapping[str, int],
    taken_in: dict[str, set[int]],
) -> None:
    """Record a part whose alert waits and whose row a kill has cost.

    What is older than the history's own last number, or than what the retention deleted, had a row.
    """
    verdict = entry.verdict
    number, camera = verdict.source_number, verdict.camera
    had = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM parts WHERE part_id = ?) OR EXISTS (SELECT 1 FROM deleted"
        " JOIN cameras ON cameras.id = camera WHERE name = ? AND to_ns >= ?)",
        (verdict.part_id, camera, verdict.captured_at_ns),
    ).fetchone()[0]
    if had or (number is not None and number <= reached.get(camera, -1)):
        return
    rows.write(connection, [entry])
    if number is not None:
        taken_in.setdefault(camera, set()).add(number)


def _without(numbers: range, there: Collection[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of what is left of a range, both included."""
    first = numbers.start
    for number in sorted(n for n in there if n in numbers):
        if number > first:
            yield first, number - 1
        first = number + 1
    if first < numbers.stop:
        yield first, numbers.stop - 1


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Tell whether an error says that the file's contents are broken, not its disk."""
    text = str(error).lower()
    words = ("malformed", "not a database", "no such table", "no such column")
    return any(word in text for word in words)
