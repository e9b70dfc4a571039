"""Counts per hour added up per shift or day, in the plant's own zone. No IO."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Any

from edge_app.shifts import Shifts

COUNTED = ("ok", "suspect", "ng", "not_inspected")
HOUR = timedelta(hours=1)
MOST_SHARED = 100
"""Hours of UTC, the newest ones, that are counted apart where a shift begins within them: it may
begin at 06:30, and a whole hour in Kolkata is half past in UTC. An older one counts to the shift
that it begins in."""

Rows = list[dict[str, Any]]
CountApart = Callable[[datetime, datetime], Rows]
"""Returns rows like those of an hour, of parts from one moment up to another."""


def per_shift(rows: Rows, shifts: Shifts, zone: tzinfo, count_apart: CountApart) -> Rows:
    """Return counts per hour added up per shift.

    Args:
        rows: of `HistoryReader.counts`, the oldest first.
        zone: the plant's.

    Returns:
        the same, `hour` being the shift's beginning in the zone, with its offset.
    """
    sums: dict[tuple[str, str], dict[str, Any]] = {}

    def add(begin: datetime, row: dict[str, Any], sign: int = 1) -> None:
        into = sums.setdefault(
            (begin.isoformat(), row["camera"]),
            {"hour": begin.isoformat(), "camera": row["camera"], **dict.fromkeys(COUNTED, 0)},
        )
        for name in COUNTED:
            into[name] += sign * row[name]

    for row in rows:
        add(shifts.begin_of(_moment(row["hour"]).astimezone(zone)), row)
    hours = sorted({row["hour"] for row in rows}, key=_moment)
    shared = [hour for hour in hours if _is_shared(_moment(hour), shifts, zone)]
    for hour in shared[-MOST_SHARED:]:
        first = shifts.begin_of(_moment(hour).astimezone(zone))
        for begin, end in _later_pieces(_moment(hour), shifts, zone):
            for row in count_apart(begin, end):
                add(begin, row)
                add(first, row, -1)
    return sorted(sums.values(), key=lambda row: (_moment(row["hour"]), row["camera"]))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _is_shared(hour: datetime, shifts: Shifts, zone: tzinfo) -> bool:
    return next(_later_pieces(hour, shifts, zone), None) is not None


def _later_pieces(
    hour: datetime, shifts: Shifts, zone: tzinfo
) -> Iterator[tuple[datetime, datetime]]:
    """Yield what of an hour belongs to shifts that begin within it: begin and end, in the zone."""
    end = (hour + HOUR).timestamp()
    begin = shifts.end_of(hour.astimezone(zone))
    while begin.timestamp() < end:
        after = shifts.end_of(begin)
        yield begin, min(after, datetime.fromtimestamp(end, zone), key=datetime.timestamp)
        begin = after
