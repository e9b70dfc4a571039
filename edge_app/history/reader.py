"""Reads the history: pages of parts, counts, scores. Every question is one short transaction.

Parts come newest first: as they were recorded, or by their time where a time is asked for. A cursor
is the `id` of the last one seen, so a page costs the same wherever it is.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_app.errors import HistoryError
from edge_app.history.rows import BINS_PER_LIMIT, HOUR_NS, NO_SCORE
from edge_app.history.schema import open_for_reading

MAX_NS = 2**63 - 1
PAGE = 500
"""Most parts of one question."""

ANY = "any"
"""Kept for whatever reason."""

LOOK_EVERY = 5_000
"""SQLite's steps between two looks at the clock: a millisecond at most."""

_PARTS = (
    "SELECT parts.id, cameras.name AS camera, cameras.slot, part_id, number, trigger_id,"
    " source_name, captured_ns, recorded_ns, state, reason, score, is_suspect, threshold,"
    " threshold_id, product, serial, bundle_sha256, precision, views, latency_ms, corners, defects,"
    " alarm_id, evidence_url, evidence_sha256, is_final, kept_for FROM parts"
    " JOIN cameras ON cameras.id = parts.camera JOIN limits ON limits.id = limit_id"
    " LEFT JOIN models ON models.id = parts.model"
)


@dataclass(frozen=True, slots=True)
class PartFilter:
    """Which parts; None and "" mean all.

    Attributes:
        states: any of OK, NG, NOT_INSPECTED.
        suspects: only those that are suspect.
        part: a part id, trigger id or file name, exactly.
        from_ns, to_ns: captured in [from_ns, to_ns), ns since the epoch.
        kept_for: a reason for which their picture was kept, or ANY.
    """

    camera: str | None = None
    states: tuple[str, ...] = ()
    suspects: bool = False
    part: str = ""
    defect_class: str = ""
    from_ns: int | None = None
    to_ns: int | None = None
    kept_for: str = ""

    def ids(self, before: int | None, count: int) -> tuple[str, list[object]]:
        """Return a query for the ids of a page, the newest first, and its values.

        What is rare leads: a name, a class, parts that are not OK, a time, a camera. A plus sign
        keeps SQLite from taking another index.
        """
        terms: list[tuple[str, list[object]]] = []
        table = "parts"
        is_rare = bool(self.part or self.defect_class or self.suspects or self.kept_for)
        is_rare = is_rare or bool(self.states and "OK" not in self.states)
        by_time = not is_rare and (self.from_ns is not None or self.to_ns is not None)
        if self.part:
            same = " UNION ".join(
                f"SELECT id FROM parts WHERE {name} = ?"
                for name in ("part_id", "trigger_id", "source_name")
            )
            terms.append((f"id IN ({same})", [self.part] * 3))
        if self.defect_class:
            terms.append(
                ("id IN (SELECT part FROM part_classes WHERE class = ?)", [self.defect_class])
            )
        if self.suspects:
            terms.append(("is_suspect", []))
        if self.kept_for:
            table = "parts INDEXED BY parts_kept"
            terms.append(("kept_for IS NOT NULL", []))
            if self.kept_for != ANY:
                terms.append(("instr(',' || kept_for || ',', ?)", [f",{self.kept_for},"]))
        if self.states:
            marks = ", ".join("?" * len(self.states))
            is_first = is_rare and not (
                self.part or self.defect_class or self.suspects or self.kept_for
            )
            text = f"state IN ({marks}) AND state <> 'OK'" if is_first else f"+state IN ({marks})"
            terms.append((text, [*self.states]))
            if is_first:  # an index of its own, with the camera in it
                index = "parts_not_ok" if self.camera is None else "parts_not_ok_of"
                table, is_rare = f"parts INDEXED BY {index}", False
        if self.camera is not None:
            plus = "+" if is_rare or by_time else ""
            terms.append((f"{plus}camera = (SELECT id FROM cameras WHERE name = ?)", [self.camera]))
        plus = "" if by_time else "+"
        if self.from_ns is not None:
            terms.append((f"{plus}captured_ns >= ?", [storable_ns(self.from_ns)]))
        if self.to_ns is not None:
            terms.append((f"{plus}captured_ns < ?", [storable_ns(self.to_ns)]))
        if before is not None and by_time:
            at = "(SELECT captured_ns FROM parts WHERE id = ?)"
            terms.append((f"captured_ns <= {at} AND (captured_ns < {at} OR id < ?)", [before] * 3))
        elif before is not None:
            terms.append(("id < ?", [before]))
        where = " AND ".join(text for text, _ in terms) or "1"
        order = "captured_ns DESC, id DESC" if by_time else "id DESC"
        values = [value for _, of_term in terms for value in of_term]
        return f"SELECT id FROM {table} WHERE {where} ORDER BY {order} LIMIT ?", [*values, count]


class HistoryReader:
    """Answers questions about one device's history; opens the file for each.

    Args:
        path: the history's file.
        limit_s: a question that takes longer is given up with a HistoryError; None: none is.
    """

    def __init__(self, path: Path, limit_s: float | None = None) -> None:
        self._path = path
        self._limit_s = limit_s

    def parts(
        self, wanted: PartFilter, before: int | None = None, count: int = PAGE
    ) -> list[dict[str, Any]]:
        """Return up to `count` parts, the newest first, of those older than the cursor `before`.

        Raises:
            HistoryError: there is no history, or it cannot be read.
        """
        query, values = wanted.ids(before, min(count, PAGE))
        with self._opened() as connection:
            ids = [int(row[0]) for row in connection.execute(query, values)]
            marks = ", ".join("?" * len(ids))
            connection.row_factory = sqlite3.Row
            found = connection.execute(f"{_PARTS} WHERE parts.id IN ({marks})", ids).fetchall()
        rows = {int(row["id"]): row for row in found}
        return [part_of(rows[number]) for number in ids if number in rows]

    def part(self, number: int) -> dict[str, Any] | None:
        """Return the part with that `id`, None if there is none, or no longer.

        Raises:
            HistoryError: there is no history, or it cannot be read.
        """
        with self._opened() as connection:
            connection.row_factory = sqlite3.Row
            row = connection.execute(f"{_PARTS} WHERE parts.id = ?", (number,)).fetchone()
        return None if row is None else part_of(row)

    def every_part(self, wanted: PartFilter) -> Iterator[dict[str, Any]]:
        """Return all parts, the newest first, a page at a time: memory stays flat."""
        before: int | None = None
        while page := self.parts(wanted, before):
            yield from page
            before = int(page[-1]["id"])

    def pictures(self) -> Iterator[tuple[str, str, str, int]]:
        """Return (part id, address, sha256, ns since the epoch when the part was recorded) of every
        picture that a part names, the newest first, a page at a time."""
        query = (
            "SELECT id, part_id, evidence_url, evidence_sha256, recorded_ns FROM parts INDEXED BY"
            " parts_kept WHERE kept_for IS NOT NULL AND id < ? ORDER BY id DESC LIMIT ?"
        )
        before = 2**63 - 1
        while True:
            with self._opened() as connection:
                page = connection.execute(query, (before, PAGE)).fetchall()
            for _, part_id, url, sha256, recorded_ns in page:
                yield str(part_id), str(url), str(sha256), int(recorded_ns)
            if not page:
                return
            before = int(page[-1][0])

    def gaps(self, count: int = PAGE) -> list[dict[str, Any]]:
        """Return the latest gaps and losses, the newest first."""
        query = (
            "SELECT gaps.id, cameras.name AS camera, kind, first_number, last_number, count,"
            " reason, from_ns, to_ns FROM gaps LEFT JOIN cameras ON cameras.id = gaps.camera"
            " ORDER BY gaps.id DESC LIMIT ?"
        )
        with self._opened() as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(query, (count,)).fetchall()
        return [_timed(dict(row), "from_ns", "to_ns") for row in rows]

    def deleted(self) -> list[dict[str, Any]]:
        """Return what the retention deleted, counted."""
        query = (
            "SELECT cameras.name AS name, deleted.* FROM deleted"
            " JOIN cameras ON cameras.id = camera ORDER BY deleted.id"
        )
        with self._opened() as connection:
            connection.row_factory = sqlite3.Row
            rows = [dict(row) for row in connection.execute(query)]
        for row in rows:
            row["camera"] = row.pop("name")
        return [_timed(row, "from_ns", "to_ns") for row in rows]

    def counts(self, from_ns: int, to_ns: int, camera: str | None = None) -> list[dict[str, Any]]:
        """Return parts per hour and state; the first and the last hour count whole.

        Returns:
            one dict an hour and camera: `hour` (UTC), `camera`, `ok`, `suspect` (of those OK),
            `ng`, `not_inspected`.
        """
        query = (
            "SELECT hour, cameras.name AS camera, sum((state = 'OK') * count) AS ok,"
            " sum((state = 'OK' AND is_suspect) * count) AS suspect,"
            " sum((state = 'NG') * count) AS ng,"
            " sum((state = 'NOT_INSPECTED') * count) AS not_inspected FROM hours"
            " JOIN cameras ON cameras.id = hours.camera WHERE hour BETWEEN ? AND ?"
            f"{' AND cameras.name = ?' if camera is not None else ''}"
            " GROUP BY hour, cameras.name ORDER BY hour, cameras.name"
        )
        values = (*_hours(from_ns, to_ns), *([] if camera is None else [camera]))
        with self._opened() as connection:
            connection.row_factory = sqlite3.Row
            rows = [dict(row) for row in connection.execute(query, values)]
        for row in rows:
            row["hour"] = time_text(int(row["hour"]) * HOUR_NS)
        return rows

    def histogram(
        self, from_ns: int, to_ns: int, camera: str | None = None
    ) -> list[tuple[float, int]]:
        """Return (score as a share of the limit, parts) in steps of a twentieth of the limit.

        The share is the step's lower end; the last step holds all from there on. Parts without a
        score, or with a limit that is not above 0, are left out.
        """
        query = (
            "SELECT bin, sum(count) FROM hours JOIN cameras ON cameras.id = hours.camera"
            " WHERE hour BETWEEN ? AND ? AND bin <> ?"
            f"{' AND cameras.name = ?' if camera is not None else ''} GROUP BY bin ORDER BY bin"
        )
        values = (*_hours(from_ns, to_ns), NO_SCORE, *([] if camera is None else [camera]))
        with self._opened() as connection:
            found = connection.execute(query, values).fetchall()
        return [(number / BINS_PER_LIMIT, int(count)) for number, count in found]

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one question, which ends in time."""
        with closing(open_for_reading(self._path)) as connection:
            if self._limit_s is None:
                yield connection
                return
            until_s = time.monotonic() + self._limit_s
            connection.set_progress_handler(lambda: time.monotonic() > until_s, LOOK_EVERY)
            try:
                yield connection
            except sqlite3.OperationalError as error:
                if time.monotonic() <= until_s:
                    raise HistoryError(f"history {self._path} cannot be read: {error}") from error
                raise HistoryError(
                    f"The history did not answer within {self._limit_s:g} s: ask for less, or for "
                    "a shorter time."
                ) from error


def storable_ns(ns: int) -> int:
    """Return a time that SQLite can compare with: the years 1677 to 2262, nothing lies beyond."""
    return max(-MAX_NS, min(MAX_NS, ns))


def part_of(row: sqlite3.Row) -> dict[str, Any]:
    """Return a row as people and programs read it."""
    part = dict(row)
    part["corners"], part["defects"] = list_of(part["corners"]), list_of(part["defects"])
    part["is_suspect"], part["is_final"] = bool(part["is_suspect"]), bool(part["is_final"])
    return _timed(part, "captured_ns", "recorded_ns")


def list_of(text: str | None) -> list[Any]:
    """Return a column's list; an empty one where the row is damaged."""
    try:
        found = json.loads(text or "[]")
    except (ValueError, TypeError, RecursionError):
        return []
    return found if isinstance(found, list) else []


def time_text(ns: int) -> str:
    """Return RFC 3339, UTC, in milliseconds; a time that no calendar has is given in ns."""
    try:
        moment = datetime.fromtimestamp(ns // 10**9, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return f"{ns} ns"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns % 10**9 // 10**6:03d}Z"


def _timed(row: dict[str, Any], *names: str) -> dict[str, Any]:
    """Give times of ns as texts, under names that end in `_at`."""
    for name in names:
        ns = row.pop(name)
        row[f"{name.removesuffix('_ns')}_at"] = None if ns is None else time_text(int(ns))
    return row


def _hours(from_ns: int, to_ns: int) -> tuple[int, int]:
    return from_ns // HOUR_NS, max(from_ns, to_ns - 1) // HOUR_NS
