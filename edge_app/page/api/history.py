"""Parts and counts for the API, from inspection's history, in transactions of a second at most."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import partial
from typing import Any

from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader
from edge_app.history.times import time_text
from edge_app.page.api import models as m
from edge_app.page.api import part_models as pm
from edge_app.page.api.asked_history import AskedHistory
from edge_app.page.api.operation import Call, Operation
from edge_app.page.api.shift_counts import per_shift
from edge_app.page.problem import ProblemError
from edge_app.page.rights import Need
from edge_app.report.period import zone_of
from edge_app.shifts import DAYS, ORDINARY, Shifts

DAY_NS = 86_400 * 10**9
MOST_DAYS = {"hour": 31, "shift": 366, "day": 366}


class HistoryAnswers:
    """Answers questions about parts.

    Args:
        asked: what people may read of inspection's history.
        shifts: the plant's.
        zone: the plant's; None: this machine's.
        now_ns: wall clock.
    """

    def __init__(
        self,
        asked: AskedHistory,
        shifts: Shifts = ORDINARY,
        zone: tzinfo | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._asked, self._now_ns = asked, now_ns
        self._shifts, self._zone = shifts, zone

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
        reader = self._asked.reader(call.caller)
        rows = reader.counts(begin, end, query.camera)
        if query.per != "hour":
            shifts = DAYS if query.per == "day" else self._asked_shifts(query.shift_start)
            apart = partial(_between, reader, query.camera)
            rows = per_shift(rows, shifts, self._zone or zone_of(None), apart)
        return {"counts": [{"from": row.pop("hour"), **row} for row in rows]}

    def _asked_shifts(self, starts: list[str]) -> Shifts:
        """Return the shifts that are asked for, the plant's own where none are."""
        try:
            times = (start if ":" in start else f"{start}:00" for start in starts)
            return Shifts.of(times) if starts else self._shifts
        except ValueError as error:
            raise ProblemError(400, f"shift_start: {error}.") from error


def _between(
    reader: HistoryReader, camera: str | None, begin: datetime, end: datetime
) -> list[dict[str, Any]]:
    from_ns, to_ns = (round(moment.timestamp()) * 10**9 for moment in (begin, end))
    return reader.counts_between(from_ns, to_ns, camera)
