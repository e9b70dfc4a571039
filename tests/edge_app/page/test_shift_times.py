"""The plant's shifts in the API: to the minute, in the device's zone, for page and report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from people_pages import PeoplePage, people_page
from support.history_parts import verdict

from edge_app.history.entries import PartEntry
from edge_app.history.reader import HistoryReader
from edge_app.history.rows import RowWriter
from edge_app.history.schema import HISTORY_FILE, open_for_writing
from edge_app.page.api import shift_counts
from edge_app.page.api.shift_counts import per_shift
from edge_app.page.api.shifts import ShiftAnswers
from edge_app.shifts import DAYS, ORDINARY, Shifts

KOLKATA = ZoneInfo("Asia/Kolkata")
VIENNA = ZoneInfo("Europe/Vienna")


def recorded(folder: Path, moments: list[datetime]) -> HistoryReader:
    """Return a history with a part at each of these moments, every third of them bad."""
    connection = open_for_writing(folder / HISTORY_FILE)
    connection.execute("BEGIN")
    entries = [
        PartEntry(
            replace(
                verdict(number, "OK" if number % 3 else "NG"),
                captured_at_ns=round(moment.timestamp()) * 10**9,
            )
        )
        for number, moment in enumerate(moments, 1)
    ]
    RowWriter({"c": "main"}).write(connection, entries)
    connection.execute("COMMIT")
    connection.close()
    return HistoryReader(folder / HISTORY_FILE)


def counted(
    reader: HistoryReader, moments: list[datetime], shifts: Shifts, zone: tzinfo
) -> dict[str, int]:
    """Return parts by the beginning of their shift."""
    first, last = (round(f(moments).timestamp()) * 10**9 for f in (min, max))

    def apart(begin: datetime, end: datetime) -> list[dict[str, Any]]:
        from_ns, to_ns = (round(at.timestamp()) * 10**9 for at in (begin, end))
        return reader.counts_between(from_ns, to_ns)

    rows = per_shift(reader.counts(first, last + 1), shifts, zone, apart)
    return {row["hour"]: row["ok"] + row["ng"] for row in rows if row["ok"] + row["ng"]}


@pytest.mark.parametrize(
    ("shifts", "zone"),
    [
        (Shifts.of(["06:30", "14:30", "22:30"]), VIENNA),
        (ORDINARY, KOLKATA),
        (DAYS, KOLKATA),
        (Shifts.of(["06:10", "06:25", "06:40"]), VIENNA),
        (ORDINARY, VIENNA),
    ],
)
def test_every_part_counts_to_the_shift_that_it_was_in(
    shifts: Shifts, zone: tzinfo, tmp_path: Path
) -> None:
    """A part every ten minutes over two days, one of which has 25 hours: none twice, none lost."""
    begin = datetime(2026, 10, 24, 12, 5, tzinfo=timezone.utc)
    moments = [begin + timedelta(minutes=10 * n) for n in range(6 * 48)]
    expected: dict[str, int] = {}
    for moment in moments:
        name = shifts.begin_of(moment.astimezone(zone)).isoformat()
        expected[name] = expected.get(name, 0) + 1
    assert counted(recorded(tmp_path, moments), moments, shifts, zone) == expected


def test_only_so_many_hours_are_counted_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year of shifts that begin at half past costs no thousand questions: of those before the
    newest ones an hour counts whole."""
    monkeypatch.setattr(shift_counts, "MOST_SHARED", 1)
    shifts = Shifts.of(["06:30"])
    moments = [
        datetime(2026, 11, day, 6, minute, tzinfo=timezone.utc)
        for day in (29, 30)
        for minute in (20, 40)
    ]
    found = counted(recorded(tmp_path, moments), moments, shifts, timezone.utc)
    assert found == {
        "2026-11-28T06:30:00+00:00": 2,
        "2026-11-29T06:30:00+00:00": 1,
        "2026-11-30T06:30:00+00:00": 1,
    }


def test_a_night_shift_begins_on_the_day_before(tmp_path: Path) -> None:
    """Hours after midnight belong to the shift that began in the evening."""
    evening = datetime(2026, 11, 30, 22, 15, tzinfo=VIENNA)
    moments = [evening + timedelta(hours=n) for n in range(9)]
    assert counted(recorded(tmp_path, moments), moments, ORDINARY, VIENNA) == {
        "2026-11-30T22:00:00+01:00": 8,
        "2026-12-01T06:00:00+01:00": 1,
    }


@pytest.mark.parametrize(
    ("now", "current", "before"),
    [
        ("2026-11-30T05:30", ("2026-11-29T22:00:00+01:00", "2026-11-30T06:00:00+01:00"),
         "2026-11-29T14:00:00+01:00"),
        ("2026-03-29T05:00", ("2026-03-28T22:00:00+01:00", "2026-03-29T06:00:00+02:00"),
         "2026-03-28T14:00:00+01:00"),
    ],
)  # fmt: skip
def test_this_shift_and_the_one_before_are_in_the_zone_of_the_device(
    now: str, current: tuple[str, str], before: str
) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=VIENNA)
    found = ShiftAnswers(ORDINARY, VIENNA, lambda _zone: moment).shifts(None)  # type: ignore[arg-type]
    assert found == {
        "shifts": ["06:00-14:00", "14:00-22:00", "22:00-06:00"],
        "current": {"from": current[0], "to": current[1]},
        "before": {"from": before, "to": current[0]},
    }


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PeoplePage]:
    """A page of a plant in Kolkata whose shifts begin at half past."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    with people_page(tmp_path / "page", shifts=Shifts.of(["06:30", "18:30"])) as served:
        served.remembers(25)
        yield served
    monkeypatch.undo()
    time.tzset()


def test_the_plants_own_shifts_are_those_of_page_counts_and_report(page: PeoplePage) -> None:
    """History's parts are of 19:43 in Kolkata; another beginning can be asked for."""
    client = page.client()
    assert client.get("/api/v1/shifts").json()["shifts"] == ["06:30-18:30", "18:30-06:30"]
    span = {"from": "2026-09-21T00:00:00Z", "to": "2026-09-22T00:00:00Z", "per": "shift"}
    (row,) = client.get("/api/v1/counts", params=span).json()["counts"]
    assert (row["from"], row["ok"], row["ng"]) == ("2026-09-21T18:30:00+05:30", 24, 1)
    asked = {**span, "shift_start": ["9", "19:03"]}
    (row,) = client.get("/api/v1/counts", params=asked).json()["counts"]
    assert row["from"] == "2026-09-21T19:03:00+05:30"
    twice = client.get("/api/v1/counts", params={**span, "shift_start": ["6", "06:00"]})
    assert twice.status_code == 400
    assert "06:00 stands twice" in twice.json()["detail"]
    report = {"day": "2026-09-21", "shift": "18:30"}
    answer = client.get("/api/v1/report", params=report)
    assert "2026-09-21 18:30-06:30" in answer.text
    assert "25 parts inspected" in answer.text
    none = client.get("/api/v1/report", params={**report, "shift": "06:00"})
    assert none.status_code == 400
    assert "06:30-18:30, 18:30-06:30 ([page] shifts), got '06:00'" in none.json()["detail"]
