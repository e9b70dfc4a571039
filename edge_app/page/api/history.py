"""Parts and counts for the API, from inspection's history, in transactions of a second at most."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from edge_app.history.reader import HistoryReader, PartFilter, time_text
from edge_app.page.api import models as m
from edge_app.page.api.operation import Call, Operation
from edge_app.page.problem import ProblemError
from edge_app.page.rights import Need

LIMIT_S = 1.0
DAY_NS = 86_400 * 10**9
MOST_DAYS = {"hour": 31, "shift": 366, "day": 366}
COUNTED = ("ok", "suspect", "ng", "not_inspected")


class HistoryAnswers:
    """Answers questions about parts.

    Args:
        path: inspection's history; None: it keeps none.
        now_ns: wall clock.
    """

    def __init__(self, path: Path | None, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._reader = None if path is None else HistoryReader(path, LIMIT_S)
        self._now_ns = now_ns

    def operations(self) -> list[Operation]:
        """Return the operations."""
        viewer = Need.VIEWER
        return [
            Operation(
                "GET", "/parts", viewer, "Parts, the newest first, a page at a time.",
                self.parts, "history", m.PartsPage, m.PartsQuery,
            ),
            Operation("GET", "/parts/{id:int}", viewer, "One part by its `id`.", self.part,
                      "history", m.Part),
            Operation(
                "GET", "/counts", viewer, "Parts per hour, shift or day, by verdict.",
                self.counts, "history", m.Counts, m.CountsQuery,
            ),
        ]  # fmt: skip

    def parts(self, call: Call) -> dict[str, Any]:
        """Return a page of parts."""
        query: m.PartsQuery = call.query
        wanted = PartFilter(
            camera=query.camera,
            states=tuple(query.state),
            suspects=query.suspects == "true",
            part=query.part or "",
            defect_class=query.defect_class or "",
            from_ns=None if query.begin is None else m.moment_ns(query.begin),
            to_ns=None if query.end is None else m.moment_ns(query.end),
        )
        count = int(query.limit)
        before = None if query.cursor is None else int(query.cursor)
        found = self._there().parts(wanted, before, count)
        last = str(found[-1]["id"]) if len(found) == count else None
        return {"parts": [_finite(part) for part in found], "next": last}

    def part(self, call: Call) -> dict[str, Any]:
        """Return one part."""
        number = int(call.path["id"])
        found = self._there().part(number) if number <= m.MOST_ID else None
        if found is None:
            raise ProblemError(404, "No such part is recorded, or no longer.")
        return _finite(found)

    def counts(self, call: Call) -> dict[str, Any]:
        """Return counts per hour, shift or day."""
        query: m.CountsQuery = call.query
        end = self._now_ns() if query.end is None else m.moment_ns(query.end)
        begin = end - DAY_NS if query.begin is None else m.moment_ns(query.begin)
        most = MOST_DAYS[query.per]
        if not 0 <= end - begin <= most * DAY_NS:
            raise ProblemError(
                400, f"From {time_text(begin)} to {time_text(end)}: expected 0 to {most} days."
            )
        rows = self._there().counts(begin, end, query.camera)
        starts = sorted({int(hour) for hour in query.shift_start}) if query.per == "shift" else [0]
        if query.per != "hour":
            rows = per_shift(rows, starts)
        return {"counts": [{"from": row.pop("hour"), **row} for row in rows]}

    def _there(self) -> HistoryReader:
        if self._reader is None:
            raise ProblemError(503, "This device keeps no history: see [history] enabled.")
        return self._reader


def per_shift(rows: list[dict[str, Any]], starts: list[int]) -> list[dict[str, Any]]:
    """Return counts per hour added up per shift.

    Args:
        rows: of `HistoryReader.counts`.
        starts: the hours of local time at which shifts begin, ascending; [0]: days.

    Returns:
        the same, `hour` being the shift's start in local time with its offset.
    """
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        hour = datetime.fromisoformat(row["hour"].replace("Z", "+00:00")).astimezone()
        begin = _shift_start(hour, starts).isoformat()
        into = sums.setdefault(
            (begin, row["camera"]),
            {"hour": begin, "camera": row["camera"], **dict.fromkeys(COUNTED, 0)},
        )
        for name in COUNTED:
            into[name] += row[name]
    return list(sums.values())


def _shift_start(hour: datetime, starts: list[int]) -> datetime:
    """Return when the shift began that an hour of local time belongs to."""
    passed = [start for start in starts if start <= hour.hour]
    day = hour if passed else hour - timedelta(days=1)
    wall = day.replace(hour=passed[-1] if passed else starts[-1], minute=0, second=0, microsecond=0)
    return wall.replace(tzinfo=None).astimezone()


def _finite(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part without numbers that JSON does not have."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in part.items()
    }
