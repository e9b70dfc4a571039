"""Whether the history accounts for every numbered part: rows, gaps, losses and what was deleted."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from edge_app.history.schema import open_for_reading

RESTORED = "restored"
"""Reason of the `down` of a history that was put back from a backup: numbers begin anew behind it,
as they are of another outbox."""

SHOWN = 20
"""Holes that are named; more are counted."""


@dataclass(slots=True)
class CameraLedger:
    """One camera's account.

    Attributes:
        parts: rows.
        declared: parts in gaps and losses.
        deleted: parts that the retention counted.
        restarts: how often the numbers went back: the source began anew.
        holes: (first, last) of numbers that nothing accounts for; SHOWN at most.
        hole_count: how many there are.
    """

    name: str
    is_numbered: bool = False
    parts: int = 0
    declared: int = 0
    deleted: int = 0
    restarts: int = 0
    holes: list[tuple[int, int]] = field(default_factory=list)
    hole_count: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """What `edge-app history check` says.

    Attributes:
        damage: SQLite's findings; empty if the file is whole.
        downs: times without any record.
        pauses: of cameras whose parts have no number.
        restores: how often it was put back from a backup.
    """

    damage: tuple[str, ...]
    cameras: tuple[CameraLedger, ...]
    downs: int
    pauses: int = 0
    restores: int = 0

    @property
    def is_whole(self) -> bool:
        return not self.damage and not any(camera.hole_count for camera in self.cameras)


def check_history(path: Path) -> Ledger:
    """Read the whole file: some seconds per million parts.

    Raises:
        HistoryError: there is none, or it cannot be opened.
    """
    with closing(open_for_reading(path)) as connection:
        try:
            damage = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
            found = tuple(_cameras(connection))
            query = (
                "SELECT count(*), sum(reason = 'paused'), sum(reason = ?) FROM gaps"
                " WHERE kind = 'down'"
            )
            counts = connection.execute(query, (RESTORED,)).fetchone()
            downs, pauses, restores = (int(n or 0) for n in counts)
        except sqlite3.DatabaseError as error:
            return Ledger((str(error),), (), 0)
    others = downs - pauses - restores
    return Ledger(tuple(d for d in damage if d != "ok"), found, others, pauses, restores)


def _cameras(connection: sqlite3.Connection) -> Iterator[CameraLedger]:
    for camera, name in connection.execute("SELECT id, name FROM cameras ORDER BY id").fetchall():
        ledger = CameraLedger(str(name))
        _count_deleted(connection, camera, ledger)
        _walk(connection, camera, ledger)
        yield ledger


def _count_deleted(connection: sqlite3.Connection, camera: int, ledger: CameraLedger) -> None:
    query = "SELECT sum(ok + ng + not_inspected) FROM deleted WHERE camera = ?"
    ledger.deleted = int(connection.execute(query, (camera,)).fetchone()[0] or 0)


def _walk(connection: sqlite3.Connection, camera: int, ledger: CameraLedger) -> None:
    """Go through the numbers in the order of happening."""
    declared = connection.execute(
        "SELECT first_number, last_number, count FROM gaps WHERE camera = ? AND kind <> 'down'",
        (camera,),
    ).fetchall()
    ledger.declared = sum(int(count or 0) for _, _, count in declared)
    ranges = _merged((int(a), int(b)) for a, b, _ in declared if a is not None and b is not None)
    last: int | None = None
    anew = _first_parts_of_restores(connection)
    query = "SELECT id, number FROM parts WHERE camera = ? ORDER BY id"
    for part, number in connection.execute(query, (camera,)):
        ledger.parts += 1
        while anew and part >= anew[-1]:
            anew.pop()
            last = None
        if number is None:
            continue
        ledger.is_numbered = True
        if last is not None and number < last:
            ledger.restarts += 1
        elif last is not None and number > last + 1:
            _note_holes(ledger, ranges, last + 1, number - 1)
        last = number


def _first_parts_of_restores(connection: sqlite3.Connection) -> list[int]:
    """Return the first row behind each restore, the first one last."""
    query = "SELECT next_part FROM gaps WHERE kind = 'down' AND reason = ? ORDER BY id DESC"
    return [int(row[0]) for row in connection.execute(query, (RESTORED,))]


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges in order, those that overlap as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _note_holes(ledger: CameraLedger, ranges: list[tuple[int, int]], first: int, last: int) -> None:
    """Take what was declared out of a hole, and note the rest."""
    at = first
    for start, end in ranges[max(0, bisect_right(ranges, (first, first)) - 1) :]:
        if start > last:
            break
        if end < at:
            continue
        if start > at:
            _note(ledger, at, start - 1)
        at = max(at, end + 1)
    if at <= last:
        _note(ledger, at, last)


def _note(ledger: CameraLedger, first: int, last: int) -> None:
    ledger.hole_count += 1
    if len(ledger.holes) < SHOWN:
        ledger.holes.append((first, last))
