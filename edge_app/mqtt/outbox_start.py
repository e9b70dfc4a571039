"""Opening the outbox: its three files, what they say of each other, and what is missing."""

from __future__ import annotations

import logging
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edge_app.mqtt.high_water import LARGEST, HighWater, HighWaterFile, read_high_water
from edge_app.mqtt.numbering import Numbering, StoredNumbers, decide
from edge_app.mqtt.outbox_file import (
    copy_readable,
    fault_of,
    open_file,
    read_meta,
    write_meta,
)
from edge_app.mqtt.outbox_losses import ROW_DAMAGED, Loss, Missing, missing_rows, note_loss
from edge_app.mqtt.outbox_rescue import Found, look_for_rows
from edge_app.mqtt.outbox_rows import Row, delete_rows, put_aside, read_rows
from edge_app.store.last_number import LastNumber, LastNumberFile
from edge_app.store.sqlite_files import move_aside, transaction

ROWS_AT_ONCE = 500

_log = logging.getLogger("edge_app.mqtt.outbox")


@dataclass(slots=True)
class OpenStore:
    """The outbox' files, open, and how the numbers go on.

    Attributes:
        identity: device and inode of the SQLite file.
        lost: alerts that are known to be gone, and noted to be told.
        note: what was repaired, "" if nothing was.
    """

    connection: sqlite3.Connection
    identity: tuple[int, int]
    last_file: LastNumberFile
    mark_file: HighWaterFile
    mark: HighWater
    numbering: Numbering
    skipped_from: int | None
    lost: int
    note: str

    def close(self) -> None:
        """Close all of them."""
        self.connection.close()
        self.last_file.close()
        self.mark_file.close()


def open_store(path: Path, boot: str) -> OpenStore:
    """Open the outbox, check every row, note what is lost.

    Raises:
        sqlite3.Error, OSError: it cannot be opened, or is in use; a damaged file is no error.
    """
    mark_path = path.with_name(path.name + ".highwater")
    mark = read_high_water(mark_path)
    with ExitStack() as undo:
        last_file = LastNumberFile(path.with_name(path.name + ".last"))
        undo.callback(last_file.close)
        mark_file = HighWaterFile(mark_path)
        undo.callback(mark_file.close)
        log = path.with_name(path.name + "-wal")
        found = look_for_rows(path, log) if log.exists() else None  # it did not end in order
        connection, note, is_new = _open_or_replace(path, mark)
        undo.callback(connection.close)
        raw = _Raw(path, found)
        numbering, skipped_from, lost = _compare(
            connection, last_file.found, mark, boot, is_new, raw
        )
        store = OpenStore(
            connection=connection,
            identity=identity_of(path),
            last_file=last_file,
            mark_file=mark_file,
            mark=mark or HighWater(),
            numbering=numbering,
            skipped_from=skipped_from,
            lost=lost,
            note=note,
        )
        undo.pop_all()
        return store


@dataclass(slots=True)
class _Raw:
    """The raw files, read when they are needed and not read before."""

    path: Path
    found: Found | None

    def rows(self) -> Found:
        """Return the whole rows in them, and in the newest file that was put aside."""
        if self.found is None:
            self.found = look_for_rows(self.path, self.path.with_name(self.path.name + "-wal"))
            for kept in sorted(self.path.parent.glob(self.path.name + ".corrupt-*"))[-1:]:
                older = look_for_rows(kept, kept.with_name(kept.name + "-wal"))
                self.found = Found(older.rows | self.found.rows)
        return self.found


def identity_of(path: Path) -> tuple[int, int]:
    """Return a file's device and inode.

    Raises:
        OSError: it is not there.
    """
    found = path.stat()
    return found.st_dev, found.st_ino


def _open_or_replace(path: Path, mark: HighWater | None) -> tuple[sqlite3.Connection, str, bool]:
    is_new = not path.exists()
    try:
        return open_file(path), "", is_new
    except sqlite3.Error as error:
        if fault_of(error) != "corrupt":
            raise
        connection, note = replace_corrupt(path, error, mark.seq if mark else LARGEST)
        return connection, note, True


def replace_corrupt(path: Path, error: Exception, highest: int) -> tuple[sqlite3.Connection, str]:
    """Put a damaged file aside and go on in a new one with what can be read.

    Args:
        highest: no alert has a number above this.

    Raises:
        sqlite3.Error, OSError: the new one cannot be made.
    """
    kept = move_aside(path)
    connection = open_file(path)
    copied = copy_readable(kept, connection, highest)
    note = f"outbox was corrupt ({error}): kept as {kept.name}, {copied} alerts taken over"
    _log.error("%s", note)
    return connection, note


def _compare(
    connection: sqlite3.Connection,
    exact: LastNumber | None,
    mark: HighWater | None,
    boot: str,
    is_new: bool,
    raw: _Raw,
) -> tuple[Numbering, int | None, int]:
    """Check every row and all records; return the numbering, what it skips, how many are lost."""
    session = read_meta(connection, "session")
    with transaction(connection):
        lost = check_rows(connection, raw.rows)
    highest = connection.execute("SELECT max(seq) FROM alerts").fetchone()[0] or 0
    stored = StoredNumbers(
        store_id=read_meta(connection, "store_id"),
        seq=max(read_meta(connection, "next_seq") - 1, highest),
        session=session,
        is_new_file=is_new,
    )
    numbering = decide(stored, exact, mark, boot, secrets.randbits(62) + 1)
    is_ours = exact is not None and exact.store_id == numbering.store_id
    is_checked = session == read_meta(connection, "checked_session")
    known = exact if is_ours else None

    def missing() -> Missing:
        return missing_rows(connection, known, numbering.is_exact, stored.seq, is_checked, lost)

    with transaction(connection):
        if known is not None and numbering.is_exact:
            _forget_delivered(connection, known.first_waiting)
        gone = missing()
        if gone.count > 0 or (is_new and not numbering.is_exact):
            found = raw.rows()
            first = known.first_waiting if known is not None else 1
            there = {seq for (seq,) in connection.execute("SELECT seq FROM alerts")}
            anywhere = (seq for seq in sorted(found.rows) if first <= seq and seq not in there)
            found.restore(connection, list(anywhere) if is_new else gone.seqs)
            gone = missing()
        elif not numbering.is_exact:
            found = raw.found or Found({})
            found.restore(connection, [seq for seq in sorted(found.rows) if seq > stored.seq])
            gone = missing()
    highest = connection.execute("SELECT max(seq) FROM alerts").fetchone()[0] or 0
    numbering = replace(numbering, next_seq=max(numbering.next_seq, highest + 1))
    skipped_from = numbering.skipped_from
    if skipped_from is None and numbering.store_id == stored.store_id:
        skipped_from = read_meta(connection, "skipped_from") or None
    with transaction(connection):
        lost += _note_vanished(connection, gone.loss())
        write_meta(connection, "skipped_from", skipped_from or 0)
    return numbering, skipped_from, lost


def _forget_delivered(connection: sqlite3.Connection, first_waiting: int) -> None:
    """Delete what the broker had: a log that is lost brings deleted alerts back."""
    below = "seq > 0 AND seq < ?"
    rows = connection.execute(f"SELECT seq FROM alerts WHERE {below}", (first_waiting,))
    delete_rows(connection, [seq for (seq,) in rows.fetchall()])


def _note_vanished(connection: sqlite3.Connection, loss: Loss | None) -> int:
    connection.execute(
        "DELETE FROM row_checks WHERE NOT EXISTS"
        " (SELECT 1 FROM alerts WHERE alerts.seq = row_checks.seq)"
    )
    if loss is None:
        return 0
    note_loss(connection, loss)
    _log.error(
        "%d stored alerts are gone (numbers %s to %s): the disk or somebody has removed them",
        loss.count, loss.first_seq, loss.last_seq,
    )  # fmt: skip
    return loss.count


def check_rows(
    connection: sqlite3.Connection, found: Callable[[], Found] = lambda: Found({})
) -> int:
    """Put every damaged row aside; return how many there were.

    Args:
        found: rows from the raw files; a whole one takes the place of a damaged one.
    """
    damaged, after = 0, -(2**63)
    while rows := list(read_rows(connection, after, 2**63 - 1, ROWS_AT_ONCE)):
        after = rows[-1].seq
        for row in rows:
            why = row.fault() or (None if 0 < row.seq < LARGEST else "its number cannot be")
            if why is None or found().restore(connection, [row.seq]):
                continue
            bury(connection, row, why)
            damaged += 1
    return damaged


def bury(connection: sqlite3.Connection, row: Row, why: str) -> None:
    """Put one damaged row aside and note the loss."""
    put_aside(connection, row, why)
    camera = None
    with suppress(UnicodeDecodeError):
        camera = row.camera.decode()
    known = connection.execute("SELECT 1 FROM alerts WHERE camera = ? LIMIT 1", (camera,))
    camera = camera if known.fetchone() else None
    note_loss(connection, Loss(camera, row.seq, row.seq, 1, ROW_DAMAGED))
    _log.error("stored alert %d is damaged and was put aside: %s", row.seq, why)
