"""Entries as rows: called inside the writer's transactions only."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence

from edge_app.history.entries import (
    Entry,
    EvidenceEntry,
    GapEntry,
    GoldenEntry,
    PartEntry,
    ReviewEntry,
)
from edge_app.history.review_rows import enqueue, write_review
from edge_app.history.schema import NO_GOLDEN
from edge_app.records import Defect, ModelIdentity, PartVerdict, PointXy, VerdictState

HOUR_NS = 3_600_000_000_000
BINS_PER_LIMIT = 20
"""Scores are counted in steps of a twentieth of the limit."""
LAST_BIN = 3 * BINS_PER_LIMIT
"""This bin holds everything from three times the limit on."""
NO_SCORE = -1
MAX_EARLY = 100
"""Pictures that were written before their parts' rows: an alert's may be, by milliseconds."""
NO_MODEL = 0


class RowWriter:
    """Writes entries; keeps the ids of names that repeat, and forgets them with a rollback.

    Args:
        slots: camera → slot.
    """

    def __init__(self, slots: Mapping[str, str], now_ns: Callable[[], int] = time.time_ns) -> None:
        self._slots, self._now_ns = slots, now_ns
        self._ids: dict[tuple[str, tuple[object, ...]], int] = {}
        self._early: OrderedDict[str, EvidenceEntry] = OrderedDict()

    def forget(self) -> None:
        """Look names up anew: what was written last is not in the file."""
        self._ids.clear()

    def write(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
        """Write entries in order, in the caller's transaction."""
        for entry in entries:
            if isinstance(entry, PartEntry):
                self._write_part(connection, entry)
            elif isinstance(entry, GapEntry):
                self._write_gap(connection, entry)
            elif isinstance(entry, ReviewEntry):
                write_review(connection, entry)
            elif isinstance(entry, GoldenEntry):
                _write_golden(connection, entry)
            elif not _write_evidence(connection, entry):
                self._early[entry.part_id] = entry
                if len(self._early) > MAX_EARLY:
                    self._early.popitem(last=False)

    def camera_id(self, connection: sqlite3.Connection, name: str) -> int:
        """Return a camera's number in the file."""
        return self._id(
            connection, "cameras", {"name": name}, {"slot": self._slots.get(name, "default")}
        )

    def _write_part(self, connection: sqlite3.Connection, entry: PartEntry) -> None:
        verdict = entry.verdict
        camera = self.camera_id(connection, verdict.camera)
        model = _or(verdict.model, lambda m: self._model_id(connection, m))
        row = self._row(connection, entry, camera, model)
        found = connection.execute(
            "SELECT id FROM parts WHERE part_id = ? AND NOT is_final",
            (row["part_id"],),
        ).fetchone()
        if found is None:
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            query = f"INSERT INTO parts ({names}) VALUES ({marks})"
            number = connection.execute(query, tuple(row.values())).lastrowid
            if (early := self._early.get(verdict.part_id)) is not None:
                _write_evidence(connection, early)
        else:
            number = found[0]
            if row["alarm_id"] is None:
                del row["alarm_id"]
            sets = ", ".join(f"{name} = ?" for name in row)
            connection.execute(f"UPDATE parts SET {sets} WHERE id = ?", (*row.values(), number))
        if verdict.golden:
            query = "INSERT OR IGNORE INTO golden_parts VALUES (?, ?)"
            connection.execute(query, (number, verdict.golden))
        if entry.is_final and not verdict.golden:
            count_part(connection, camera, model, verdict)
            _note_classes(connection, number, {defect.kind for defect in verdict.defects})
            if verdict.state is VerdictState.NG:
                enqueue(connection, number, camera, verdict.captured_at_ns, self._now_ns())
        if verdict.source_number is not None:
            connection.execute(
                "INSERT INTO progress VALUES (?, ?) ON CONFLICT (camera) DO UPDATE"
                " SET number = excluded.number",
                (camera, verdict.source_number),
            )

    def _row(
        self, connection: sqlite3.Connection, entry: PartEntry, camera: int, model: int | None
    ) -> dict[str, object]:
        v = entry.verdict
        limit = self._id(
            connection, "limits", {"threshold": v.threshold, "threshold_id": v.threshold_id}
        )
        return {
            "camera": camera,
            "part_id": _text(v.part_id),
            "number": v.source_number,
            "trigger_id": _text(v.trigger_id),
            "source_name": _text(v.source_name),
            "captured_ns": v.captured_at_ns,
            "recorded_ns": self._now_ns(),
            "state": v.state.value,
            "reason": v.reason,
            "score": v.score,
            "is_suspect": int(v.is_suspect),
            "limit_id": limit,
            "model": model,
            "views": v.views_judged,
            "latency_ms": round(v.latency_ms, 2),
            "corners": _points(v.product_corners_xy) or None,
            "defects": json.dumps([_defect(d) for d in v.defects]) if v.defects else None,
            "alarm_id": entry.alarm_id,
            "is_final": int(entry.is_final),
        }

    def _write_gap(self, connection: sqlite3.Connection, gap: GapEntry) -> None:
        camera = _or(gap.camera, lambda name: self.camera_id(connection, name))
        connection.execute(
            "INSERT INTO gaps (camera, kind, first_number, last_number, count, reason, from_ns,"
            " to_ns, next_part) VALUES (?, ?, ?, ?, ?, ?, ?, ?,"
            " (SELECT ifnull(max(id), 0) + 1 FROM parts))",
            (camera, gap.kind, gap.first_number, gap.last_number, gap.count, gap.reason,
             gap.from_ns, gap.to_ns),
        )  # fmt: skip

    def _model_id(self, connection: sqlite3.Connection, model: ModelIdentity) -> int:
        return self._id(
            connection,
            "models",
            {
                "product": model.product,
                "serial": model.serial,
                "bundle_sha256": model.bundle_sha256,
                "precision": model.precision,
            },
        )

    def _id(
        self,
        connection: sqlite3.Connection,
        table: str,
        key: Mapping[str, object],
        more: Mapping[str, object] | None = None,
    ) -> int:
        known = (table, tuple(key.values()))
        if known not in self._ids:
            where = " AND ".join(f"{name} = ?" for name in key)
            query = f"SELECT id FROM {table} WHERE {where}"
            found = connection.execute(query, tuple(key.values())).fetchone()
            if found is None:
                row = {**key, **(more or {})}
                connection.execute(
                    f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                    tuple(row.values()),
                )
                found = connection.execute(query, tuple(key.values())).fetchone()
            self._ids[known] = int(found[0])
        return self._ids[known]


def close_open_parts(connection: sqlite3.Connection, now_ns: int) -> int:
    """Make final what an ended process left open, as it was last known; return how many."""
    rows = connection.execute(
        "SELECT id, captured_ns, camera, model, state, is_suspect, score, defects,"
        " (SELECT threshold FROM limits WHERE limits.id = limit_id),"
        f" {NO_GOLDEN} FROM parts WHERE NOT is_final"
    ).fetchall()
    for number, captured, camera, model, state, is_suspect, score, defects, limit, counts in rows:
        connection.execute("UPDATE parts SET is_final = 1 WHERE id = ?", (number,))
        if not counts:
            continue
        _count(connection, captured, camera, model, state, is_suspect, score_bin(score, limit))
        _note_classes(connection, number, classes_of(defects))
        if state == VerdictState.NG.value:
            enqueue(connection, number, camera, captured, now_ns)
    return len(rows)


def classes_of(defects: str | None) -> set[str]:
    """Return the classes of a row's defects; none where the row is damaged."""
    try:
        return {str(defect["class"]) for defect in json.loads(defects or "[]")}
    except (ValueError, TypeError, KeyError, RecursionError):
        return set()


def _note_classes(
    connection: sqlite3.Connection, part: int | None, classes: Collection[str]
) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO part_classes VALUES (?, ?)", [(name, part) for name in classes]
    )


def count_part(
    connection: sqlite3.Connection, camera: int, model: int | None, verdict: PartVerdict
) -> None:
    """Count a finished part in its hour."""
    score = score_bin(verdict.score, verdict.threshold)
    _count(connection, verdict.captured_at_ns, camera, model, verdict.state.value,
           int(verdict.is_suspect), score)  # fmt: skip


def score_bin(score: float | None, limit: float | None) -> int:
    """Return the step of a twentieth of the limit that a score is in, 0 to LAST_BIN, else -1."""
    if score is None or limit is None or not (limit > 0 and math.isfinite(score)):
        return NO_SCORE
    return min(LAST_BIN, max(0, int(BINS_PER_LIMIT * score / limit)))


def _count(
    connection: sqlite3.Connection,
    captured_ns: int,
    camera: int,
    model: int | None,
    state: str,
    is_suspect: int,
    score: int,
) -> None:
    connection.execute(
        "INSERT INTO hours VALUES (?, ?, ?, ?, ?, ?, 1)"
        " ON CONFLICT DO UPDATE SET count = count + 1",
        (captured_ns // HOUR_NS, camera, NO_MODEL if model is None else model, state, is_suspect,
         score),
    )  # fmt: skip


def _write_evidence(connection: sqlite3.Connection, entry: EvidenceEntry) -> bool:
    """Note where a part's picture is; tell whether the part has a row."""
    done = connection.execute(
        "UPDATE parts SET evidence_url = ?, evidence_sha256 = ?, kept_for = ? WHERE id ="
        " (SELECT max(id) FROM parts WHERE part_id = ?)",
        (entry.url, entry.sha256, entry.kept_for, _text(entry.part_id)),
    )
    return done.rowcount > 0


def _write_golden(connection: sqlite3.Connection, entry: GoldenEntry) -> None:
    check = entry.check
    connection.execute(
        "INSERT OR IGNORE INTO golden_checks (check_id, name, camera, at_ns, due_ns, outcome,"
        " part_id, state, score, classes, expected_class) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (entry.check_id, check.name, check.camera, check.at_ns, check.due_ns, check.outcome,
         _text(check.part_id), None if check.state is None else check.state.value, check.score,
         json.dumps(check.found_classes), check.expected_class),
    )  # fmt: skip


def _defect(defect: Defect) -> dict[str, object]:
    return {
        "class": defect.kind,
        "box": [round(v, 1) for v in defect.box_xyxy],
        "peak": round(defect.peak, 4) if math.isfinite(defect.peak) else None,
        "weak": defect.weak_localisation,
    }


def _points(points_xy: Sequence[PointXy]) -> str:
    return json.dumps([[round(x, 1), round(y, 1)] for x, y in points_xy]) if points_xy else ""


def _text(text: str | None) -> str | None:
    """Return a text that SQLite takes: a file's name may hold bytes that are no characters."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def _or(value: object, work: Callable[..., int]) -> int | None:
    return None if value is None else work(value)
