"""The history of parts in a backup: a copy while inspection writes, and its way back.

The copy is read in one transaction of a connection that may not write, so it neither checkpoints
nor waits for the writer, and the writer does not wait for it; until it is done the write-ahead log
grows. Put back, the history begins a new reckoning: its numbers belong to another outbox.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from edge_app.backup.contents import HISTORY, Item
from edge_app.errors import HistoryError, OutputError
from edge_app.history.ledger import RESTORED
from edge_app.history.schema import HISTORY_FILE, open_for_reading
from edge_app.store.durable_write import Step, perform
from edge_app.store.free_space import check_room
from edge_app.store.sqlite_files import transaction

COPY_PAGES = 2048
"""Between two looks whether the copy is to end: 8 MB."""

SIDE_FILES = ("-wal", "-shm", "")
WITHOUT = "Leave the history out with --without-history."


class HistoryMark(BaseModel):
    """Where a backup's history ends.

    Attributes:
        parts: rows.
        row, part_id, recorded_ns: of the newest one; 0 and "" where there is none.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    parts: int = Field(0, ge=0)
    row: int = Field(0, ge=0)
    part_id: str = Field("", max_length=4096)
    recorded_ns: int = 0


@contextmanager
def copied_history(items: list[Item], folder: Path) -> Iterator[tuple[list[Item], HistoryMark]]:
    """Yield a backup's files with a copy of the history in its place, and where that ends.

    Args:
        folder: on whose disk the copy lies meanwhile.

    Raises:
        HistoryError: it cannot be read, or is damaged.
        OutputError: there is no room for copy and archive.
    """
    at = next((at for at, item in enumerate(items) if item.part == HISTORY), None)
    if at is None:
        yield items, HistoryMark()
        return
    source = items[at].source
    _check_room(source, folder)
    with tempfile.TemporaryDirectory(prefix=".cropliq-backup-", dir=folder) as made:
        copy = Path(made) / HISTORY_FILE
        try:
            mark = _copy(source, copy)
        except (HistoryError, sqlite3.Error) as error:
            raise HistoryError(f"history {source} cannot be copied: {error}. {WITHOUT}") from error
        shutil.copymode(source, copy)
        still = list(items)
        still[at] = replace(items[at], source=copy)
        yield still, mark


def _check_room(source: Path, folder: Path) -> None:
    size = sum(p.stat().st_size for s in SIDE_FILES if (p := beside(source, s)).exists())
    try:
        check_room(folder, 2 * size)
    except OSError as error:
        raise OutputError(
            f"There is no room in {folder}: the history has {size >> 20} MB, and a copy of it and "
            f"the archive are needed there at a time. Name a file on another disk. {WITHOUT}"
        ) from error


def _copy(source: Path, copy: Path) -> HistoryMark:
    """Copy one state of the file, and check it.

    Raises:
        HistoryError, sqlite3.Error: it cannot be read.
    """
    with closing(open_for_reading(source)) as reader, closing(sqlite3.connect(copy)) as target:
        reader.execute("BEGIN")
        mark = _mark_of(reader)  # from here on it is one state, whatever is written
        reader.backup(target, pages=COPY_PAGES)
        reader.execute("ROLLBACK")
        target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        found = str(target.execute("PRAGMA quick_check(1)").fetchone()[0])
    if found != "ok":
        raise HistoryError(f"it is damaged ({' '.join(found.split())[:200]})")
    return mark


def _mark_of(connection: sqlite3.Connection) -> HistoryMark:
    parts = int(connection.execute("SELECT count(*) FROM parts").fetchone()[0])
    query = "SELECT id, part_id, recorded_ns FROM parts ORDER BY id DESC LIMIT 1"
    newest = connection.execute(query).fetchone()
    if newest is None:
        return HistoryMark(parts=parts)
    return HistoryMark(parts=parts, row=newest[0], part_id=newest[1], recorded_ns=newest[2])


def goes_on_from(present: Path, mark: HistoryMark) -> bool:
    """Tell whether a machine's history has the backup's newest part, or had it: then it stays."""
    if not present.is_file():
        return False
    try:
        with closing(open_for_reading(present)) as connection:
            row = connection.execute(
                "SELECT part_id, recorded_ns FROM parts WHERE id = ?", (mark.row,)
            ).fetchone()
            if row is not None or not mark.row:
                return row == (mark.part_id, mark.recorded_ns) or not mark.row
            query = "SELECT EXISTS (SELECT 1 FROM deleted WHERE ? BETWEEN first_part AND last_part)"
            return bool(connection.execute(query, (mark.row,)).fetchone()[0])
    except (HistoryError, sqlite3.Error):
        return False  # it is kept beside the other


def put_back(staged: Path, target: Path, kept: Path | None, now_ns: int | None = None) -> None:
    """Give a checked copy the history's place; interrupted anywhere, it may be done again.

    Args:
        staged: in the folder of `target`; with its owner and mode.
        kept: where the present one goes; None if there is none.

    Raises:
        sqlite3.Error, OSError: the disk takes nothing.
    """
    _begin_anew(staged, time.time_ns() if now_ns is None else now_ns)
    perform(Step("sync", staged))
    if kept is not None:
        for suffix in SIDE_FILES:
            if (part := beside(target, suffix)).exists():
                perform(Step("rename", part, beside(kept, suffix)))
    for suffix in SIDE_FILES[:2]:  # of a history that is gone: not this one's
        beside(target, suffix).unlink(missing_ok=True)
    perform(Step("rename", staged, target))
    perform(Step("sync", target.parent))


def _begin_anew(path: Path, now_ns: int) -> None:
    """Say that it was put back, and forget how far its sources had come: another outbox knows."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file, transaction(file):
        file.execute("DELETE FROM progress")
        file.execute(
            "INSERT INTO gaps (camera, kind, reason, from_ns, to_ns, next_part)"
            " SELECT NULL, 'down', ?, max(recorded_ns), max(?, ifnull(max(recorded_ns), 0)),"
            " ifnull(max(id), 0) + 1 FROM parts",
            (RESTORED, now_ns),
        )


def beside(path: Path, suffix: str) -> Path:
    """Return the name of a file that SQLite keeps beside another."""
    return path.with_name(path.name + suffix)
