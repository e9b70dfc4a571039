"""When shifts begin, also over a change of the clock; and what is said of those that make none."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from edge_app.shifts import ORDINARY, Shifts

VIENNA = ZoneInfo("Europe/Vienna")


def hours_between(first: datetime, last: datetime) -> float:
    return (last.timestamp() - first.timestamp()) / 3600


@pytest.mark.parametrize(
    ("at", "begin", "end"),
    [
        ("2026-11-30T05:59:59", "2026-11-29T22:00", "2026-11-30T06:00"),
        ("2026-11-30T06:00", "2026-11-30T06:00", "2026-11-30T14:00"),
        ("2026-11-30T23:30", "2026-11-30T22:00", "2026-12-01T06:00"),
    ],
)
def test_a_moment_is_in_the_shift_that_began_last(at: str, begin: str, end: str) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=VIENNA)
    assert ORDINARY.begin_of(moment) == datetime.fromisoformat(begin).replace(tzinfo=VIENNA)
    assert ORDINARY.end_of(moment) == datetime.fromisoformat(end).replace(tzinfo=VIENNA)


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 7), ("2026-10-25", 9)])
def test_a_night_over_a_change_of_the_clock_is_an_hour_shorter_or_longer(
    day: str, hours: float
) -> None:
    """The clock is put forward, or back, in the night before that Sunday."""
    morning = datetime.fromisoformat(day).replace(hour=5, tzinfo=VIENNA)
    begin, end = ORDINARY.begin_of(morning), ORDINARY.end_of(morning)
    assert hours_between(begin, end) == hours
    for minute in range(round(hours * 60)):
        moment = datetime.fromtimestamp(begin.timestamp() + 60 * minute, VIENNA)
        assert ORDINARY.begin_of(moment) == begin


def test_one_shift_alone_lasts_a_day() -> None:
    shifts = Shifts.of(["06:30"])
    assert shifts.names == ("06:30-06:30",)
    begin = shifts.begin_of(datetime(2026, 11, 30, 6, 29, tzinfo=VIENNA))
    assert begin == datetime(2026, 11, 29, 6, 30, tzinfo=VIENNA)
    assert shifts.end_of(begin) - begin == timedelta(days=1)


def test_shifts_have_names_whatever_the_order_of_their_beginnings() -> None:
    assert Shifts.of(["22:30", "6:15", "14:00"]).names == (
        "06:15-14:00", "14:00-22:30", "22:30-06:15",
    )  # fmt: skip


def test_a_shift_is_named_by_its_hours_or_its_beginning() -> None:
    assert ORDINARY.hours_of("22:00") == (time(22), time(6))
    assert ORDINARY.hours_of("07:00-09:30") == (time(7), time(9, 30))
    with pytest.raises(ValueError, match="beginning of one of 06:00-14:00, 14:00-22:00"):
        ORDINARY.hours_of("07:00")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "expected 1 to 24 times at which a shift begins, got 0"),
        ([f"{n // 60:02d}:{n % 60:02d}" for n in range(25)], "got 25"),
        (["06:00", "6:00"], "06:00 stands twice"),
        (["24:00"], "a time of the day such as \"06:00\", got '24:00'"),
        (["06:60"], "a time of the day"),
        (["6"], "a time of the day"),
        ([""], "a time of the day"),
        (["06:00\n"], "a time of the day"),
    ],
)
def test_what_makes_no_shifts_is_said(texts: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Shifts.of(texts)
