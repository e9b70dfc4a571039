"""What the history deletes: the oldest parts, a piece at a time, and a row that counts them."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass, field

from edge_app.history.review_rows import delete_reviews_to, settle_old
from edge_app.host.age_clock import EPOCH_S, AgeClock
from edge_app.store.sqlite_files import transaction

PIECE = 2_000
"""Parts in one transaction: some tens of milliseconds."""

LOOK_EVERY_S = 30.0

SETTLE_EVERY_S = 5.0


@dataclass(slots=True)
class Retention:
    """How much is kept.

    Attributes:
        max_age_days: by the recording's time; nothing goes for its age while the clock is
            unsynchronised or has jumped.
        max_mb: of the file; always kept to.
        gone_after_min: a bad part is off the line by itself then; None: a person takes it out.
    """

    max_age_days: float
    max_mb: int
    clock: AgeClock = field(default_factory=AgeClock)
    gone_after_min: float | None = None
    next_look_s: float = 0.0
    next_settling_s: float = 0.0
    is_at_work: bool = False

    def settle_some(self, connection: sqlite3.Connection) -> int:
        """Settle bad parts that are gone by now; return how many. Looks every SETTLE_EVERY_S.

        Raises:
            sqlite3.Error, OSError: the disk takes nothing.
        """
        now_s = time.monotonic()
        if self.gone_after_min is None or now_s < self.next_settling_s:
            return 0
        self.next_settling_s = now_s + SETTLE_EVERY_S
        with transaction(connection):
            now_ns = int(self.clock.wall_s() * 1e9)
            return settle_old(connection, now_ns, int(self.gone_after_min * 60e9))

    def delete_some(self, connection: sqlite3.Connection, parts: int) -> int:
        """Delete up to PIECE parts that are too old or too many; return how many.

        Called between two batches; looks every LOOK_EVERY_S while nothing is to be deleted.

        Raises:
            sqlite3.Error, OSError: the disk takes nothing.
        """
        now_s = time.monotonic()
        if not parts or (not self.is_at_work and now_s < self.next_look_s):
            return 0
        self.next_look_s = now_s + LOOK_EVERY_S
        last = self._last_to_go(connection)
        self.is_at_work = last is not None
        if last is None:
            return 0
        with transaction(connection):
            return _delete_to(connection, last)

    def _last_to_go(self, connection: sqlite3.Connection) -> int | None:
        """Return the last row of the next piece; None if nothing has to go."""
        query = "SELECT id, recorded_ns FROM parts WHERE is_final ORDER BY id LIMIT ?"
        piece = connection.execute(query, (PIECE,)).fetchall()
        if not piece:
            return None
        if _used_bytes(connection) > self.max_mb << 20:
            return int(piece[-1][0])
        if not self.clock.may_expire():
            return None
        now_ns = int(self.clock.wall_s() * 1e9)
        return _last_old(piece, now_ns, now_ns - int(self.max_age_days * 86_400e9))


def _last_old(piece: list[tuple[int, int]], now_ns: int, oldest_ns: int) -> int | None:
    """Return the last of the rows at the beginning that are too old; None if the first is not.

    Rows are in the order in which they were recorded, whatever the clock said: none is older than
    the one before it. A stamp of a clock that was ahead, or not set, says nothing; such a row goes
    with the next one that is old.
    """
    last, newest_ns = None, 0
    for row, recorded_ns in piece:
        if recorded_ns <= now_ns:
            newest_ns = max(newest_ns, recorded_ns)
        if newest_ns < EPOCH_S * 1e9:
            continue
        if newest_ns >= oldest_ns:
            break
        last = int(row)
    return last


def _used_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of the file that hold something: freed pages are used again."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _delete_to(connection: sqlite3.Connection, last: int) -> int:
    """Delete all parts up to a row, and count them per camera; in the caller's transaction."""
    where = "WHERE id <= ? AND is_final"
    counted = connection.execute(
        "SELECT camera, min(id), max(id), min(number), max(number), min(captured_ns),"
        " max(captured_ns), sum(state = 'OK'), sum(state = 'OK' AND is_suspect),"
        f" sum(state = 'NG'), sum(state = 'NOT_INSPECTED') FROM parts {where} GROUP BY camera",
        (last,),
    ).fetchall()
    for camera, *figures in counted:
        _note(connection, camera, figures)
    delete_reviews_to(connection, last)
    connection.execute("DELETE FROM part_classes WHERE part <= ?", (last,))
    gone = connection.execute(f"DELETE FROM parts {where}", (last,)).rowcount
    connection.execute("DELETE FROM gaps WHERE next_part <= ? AND kind = 'down'", (last,))
    return gone


def _note(connection: sqlite3.Connection, camera: int, figures: list[int]) -> None:
    """Add a piece to the camera's latest row, as long as its numbers go on there."""
    first, last, first_number, last_number, from_ns, to_ns, *counts = figures
    before = connection.execute(
        "SELECT id, last_number FROM deleted WHERE camera = ? ORDER BY id DESC LIMIT 1", (camera,)
    ).fetchone()
    if before is not None and _goes_on(before[1], first_number):
        connection.execute(
            "UPDATE deleted SET last_part = ?, last_number = ?, to_ns = max(to_ns, ?),"
            " from_ns = min(from_ns, ?), ok = ok + ?, suspect = suspect + ?, ng = ng + ?,"
            " not_inspected = not_inspected + ? WHERE id = ?",
            (last, last_number, to_ns, from_ns, *counts, before[0]),
        )
        return
    connection.execute(
        "INSERT INTO deleted (camera, first_part, last_part, first_number, last_number, from_ns,"
        " to_ns, ok, suspect, ng, not_inspected) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (camera, first, last, first_number, last_number, from_ns, to_ns, *counts),
    )


def _goes_on(last_number: int | None, first_number: int | None) -> bool:
    if last_number is None or first_number is None:
        return last_number is first_number
    return first_number in (last_number, last_number + 1)
