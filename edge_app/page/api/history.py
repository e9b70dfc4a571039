"""Parts and counts for the API, from inspection's history, in transactions of a second at most."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from edge_app.history.part_filter import PartFilter
from edge_app.history.times import time_text
from edge_app.page.api import models as m
from edge_app.page.api import part_models as pm
from edge_app.page.api.asked_history import AskedHistory
from edge_app.page.api.operation import Call, Operation
from edge_app.page.problem import ProblemError
from edge_app.page.rights import Need

DAY_NS = 86_400 * 10**9
MOST_DAYS = {"hour": 31, "shift": 366, "day": 366}
COUNTED = ("ok", "suspect", "ng", "not_inspected")


class HistoryAnswers:
    """Answers questions about parts.

    Args:
        asked: what people may read of inspection's history.
        now_ns: wall clock.
    """

    def __init__(self, asked: AskedHistory, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._asked, self._now_ns = asked, now_ns

    def operations(self) -> list[Operation]:
        """Return the operations."""
        viewer = Need.VIEWER
        return [
            Operation(
                "GET", "/parts", viewer, "Parts, the newest first, a page at a time.",
                self.parts, "history", pm.PartsPage, pm.PartsQuery,
            ),
            Operation("GET", "/parts/{id:int}", viewer, "One part by its `id`.", self.part,
                      "history", pm.Part),
            Operation(
                "GET", "/counts", viewer, "Parts per hour, shift or day, by verdict.",
                self.counts, "history", m.Counts, m.CountsQuery,
            ),
        ]  # fmt: skip

    def parts(self, call: Call) -> dict[str, Any]:
        """Return a page of parts."""
        query: pm.PartsQuery = call.query
        wanted = PartFilter(
            camera=query.camera,
            states=tuple(query.state),
            suspects=query.suspects == "true",
            part=query.part or "",
            defect_class=query.defect_class or "",
            from_ns=None if query.begin is None else m.moment_ns(query.begin),
            to_ns=None if query.end is None else m.moment_ns(query.end),
            kept_for=query.kept_for or "",
            reviewed=None if query.reviewed is None else query.reviewed == "true",
            mark=query.mark or "",
            disputed=query.disputed == "true",
            serial=query.serial or "",
            golden=None if query.golden is None else query.golden == "true",
        )
        count = int(query.limit)
        before = None if query.cursor is None else int(query.cursor)
        found = self._asked.reader(call.caller).parts(wanted, before, count)
        last = str(found[-1]["id"]) if len(found) == count else None
        return {"parts": [self._asked.shown(part) for part in found], "next": last}

    def part(self, call: Call) -> dict[str, Any]:
        """Return one part."""
        return self._asked.shown(self._asked.part(call))

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
        rows = self._asked.reader(call.caller).counts(begin, end, query.camera)
        starts = sorted({int(hour) for hour in query.shift_start}) if query.per == "shift" else [0]
        if query.per != "hour":
            rows = per_shift(rows, starts)
        return {"counts": [{"from": row.pop("hour"), **row} for row in rows]}


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
