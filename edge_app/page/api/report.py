"""The report of a shift, a day or a week for the API: HTML, made one at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from starlette.responses import Response

from edge_app.errors import ConfigError
from edge_app.history.choices import choices
from edge_app.page.api.models import ShortName
from edge_app.page.api.operation import Call, Model, Operation
from edge_app.page.problem import ProblemError
from edge_app.page.rights import Need
from edge_app.page.security_headers import document_alone
from edge_app.report.figures import figures_of
from edge_app.report.html import STYLE, report_html
from edge_app.report.period import (
    Period,
    between,
    date_of,
    day_of,
    moment,
    shift_of,
    week_of,
    zone_of,
)
from edge_app.shifts import ORDINARY, Shifts

LONGEST = timedelta(days=31, hours=1)
"""A month, also of one in which the clock is put back."""

Asked = Annotated[str, StringConstraints(min_length=1, max_length=40)]


class ReportQuery(Model):
    """Which time, whose parts, in which language."""

    day: Asked | None = Field(None, description="a day, such as 2026-11-30; default: yesterday")
    week: Asked | None = Field(None, description="an ISO week, such as 2026-W48")
    begin: Asked | None = Field(
        None, alias="from", description="a date or time, of the device's zone without an offset"
    )
    end: Asked | None = Field(None, alias="to", description="the same; default: now")
    shift: Asked | None = Field(
        None,
        description="of the day, such as 22:00-06:00, which ends on the next one; or when one of "
        "`[page] shifts` begins",
    )
    camera: ShortName | None = None
    language: Literal["en", "ko"] = "en"


class ReportAnswers:
    """Makes reports.

    Args:
        history: inspection's history; None: it keeps none.
        device: its name, SITE/LINE/DEVICE.
        shifts: the plant's.
        zone: the plant's; None: this machine's.
        now: wall clock, in a zone.
    """

    def __init__(
        self,
        history: Path | None,
        device: str,
        shifts: Shifts = ORDINARY,
        zone: tzinfo | None = None,
        now: Callable[[tzinfo], datetime] = datetime.now,
    ) -> None:
        self._history, self._device, self._shifts = history, device, shifts
        self._zone, self._now = zone, now

    def operations(self) -> list[Operation]:
        """Return the operations."""
        return [
            Operation("GET", "/report", Need.VIEWER,
                      "A shift's, day's or week's report, HTML to read and to print; 31 days at "
                      "most. Who marked parts has a pseudonym. One is made at a time, one waits.",
                      self.report, "report", query=ReportQuery, media_type="text/html"),
        ]  # fmt: skip

    def report(self, call: Call) -> Response:
        """Return a report; it has the one style that its policy allows, and no script."""
        if self._history is None:
            raise ProblemError(503, "This device keeps no history: see [history] enabled.")
        query: ReportQuery = call.query
        zone = self._zone or zone_of(None)
        now = self._now(zone)
        try:
            period = _period(query, zone, now, self._shifts)
        except ConfigError as error:
            raise ProblemError(400, f"{str(error)[:1].upper()}{str(error)[1:]}") from error
        self._check_camera(self._history, query.camera)
        now_ns = round(now.timestamp()) * 10**9
        found = figures_of(self._history, period, query.camera, now_ns=now_ns)
        page = report_html(found, period, self._device, now, query.language, query.camera)
        return Response(page, 200, document_alone(STYLE), "text/html")

    def _check_camera(self, history: Path, camera: str | None) -> None:
        if camera is None:
            return
        known, _ = choices(history)
        if camera not in known:
            named = ", ".join(known) or "none"
            raise ProblemError(
                404, f"No part of a camera {camera!r} is recorded. Recorded are those of: {named}."
            )


def _period(query: ReportQuery, zone: tzinfo, now: datetime, shifts: Shifts) -> Period:
    """Return the time that is asked for.

    Raises:
        ConfigError: it is none, too long, or two at once.
    """
    given = [name for name in ("day", "week", "begin") if getattr(query, name) is not None]
    if len(given) > 1:
        raise ConfigError("expected one of day, week, and from with to, got several.")
    if query.shift is not None and given not in ([], ["day"]):
        raise ConfigError("a shift is of a day: give day, or nothing, which means yesterday.")
    if query.end is not None and query.begin is None:
        raise ConfigError("to goes with from: when does the report begin?")
    if query.week is not None:
        return week_of(query.week, zone)
    if query.begin is not None:
        end = now if query.end is None else moment(query.end, zone)
        period = between(moment(query.begin, zone), end)
        if period.end - period.begin > LONGEST:
            raise ConfigError(
                f"a report here is of 31 days at most, got {(period.end - period.begin).days}. "
                "edge-app history report writes longer ones."
            )
        return period
    day = now.date() - timedelta(days=1) if query.day is None else date_of(query.day)
    return day_of(day, zone) if query.shift is None else shift_of(day, query.shift, zone, shifts)
