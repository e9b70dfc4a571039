"""When shifts begin, for programs and the page: in the device's zone, whatever the browser's is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any

from pydantic import Field

from edge_app.page.api.operation import Answered, Call, Operation
from edge_app.page.rights import Need
from edge_app.report.period import zone_of
from edge_app.shifts import Shifts


class ShiftSpan(Answered):
    """From one moment up to another, RFC 3339 with the device's offset."""

    begin: str = Field(alias="from")
    end: str = Field(alias="to")


class ShiftTimes(Answered):
    """The shifts of a day, the one that is now and the one before it."""

    shifts: list[str] = Field(description="hours of the device's local time, such as 22:00-06:00")
    current: ShiftSpan
    before: ShiftSpan


class ShiftAnswers:
    """Says when shifts begin.

    Args:
        zone: the plant's; None: this machine's.
        now: wall clock, in a zone.
    """

    def __init__(
        self,
        shifts: Shifts,
        zone: tzinfo | None = None,
        now: Callable[[tzinfo], datetime] = datetime.now,
    ) -> None:
        self._shifts, self._zone, self._now = shifts, zone, now

    def operations(self) -> list[Operation]:
        """Return the operations."""
        return [
            Operation("GET", "/shifts", Need.VIEWER,
                      "When shifts begin; see `[page] shifts`.", self.shifts, "state", ShiftTimes),
        ]  # fmt: skip

    def shifts(self, _call: Call) -> dict[str, Any]:
        """Return the shifts of a day, and when this one and the one before began."""
        now = self._now(self._zone or zone_of(None))
        begin = self._shifts.begin_of(now)
        before = self._shifts.begin_of(datetime.fromtimestamp(begin.timestamp() - 1, begin.tzinfo))
        return {
            "shifts": list(self._shifts.names),
            "current": _span(begin, self._shifts.end_of(now)),
            "before": _span(before, begin),
        }


def _span(begin: datetime, end: datetime) -> dict[str, str]:
    return {"from": begin.isoformat(), "to": end.isoformat()}
