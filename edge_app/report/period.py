"""The time that a report is about, in the plant's own zone: days have 23, 24 or 25 hours."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge_app.errors import ConfigError
from edge_app.shifts import ORDINARY, Shifts

LOCALTIME = Path("/etc/localtime")
YEARS = range(1970, 2201)
LONGEST = timedelta(days=370)
_WEEK = re.compile(r"([0-9]{4})-W([0-9]{1,2})")


@dataclass(frozen=True, slots=True)
class Period:
    """[begin, end), both with a zone.

    Attributes:
        title: what a person called it: "2026-11-30", "2026-W48", "2026-11-30 06:00-14:00".
    """

    begin: datetime
    end: datetime
    title: str

    @property
    def from_ns(self) -> int:
        """The first moment, ns since the epoch."""
        return round(self.begin.timestamp()) * 10**9

    @property
    def to_ns(self) -> int:
        """The first moment after it."""
        return round(self.end.timestamp()) * 10**9

    @property
    def before(self) -> Period:
        """The time of equal length in front of it, to compare with."""
        length = self.end - self.begin
        return Period(self.begin - length, self.begin, "")

    @property
    def is_long(self) -> bool:
        """Longer than two days: shown by day, not by hour."""
        return self.end - self.begin > timedelta(days=2)


def zone_of(name: str | None) -> tzinfo:
    """Return a zone by its IANA name; this machine's own without one.

    Raises:
        ConfigError: there is no such zone here.
    """
    if name is None:
        return _zone_here()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f"there is no time zone {name[:40]!r} here. Expected a name such as Europe/Vienna, "
            "Asia/Seoul or UTC."
        ) from error


def date_of(text: str) -> date:
    """Return a calendar day by its name, such as "2026-11-29".

    Raises:
        ConfigError: there is no such day.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"expected a day such as 2026-11-29, got {text[:40]!r}.") from error


def day_of(day: date, zone: tzinfo) -> Period:
    """Return a calendar day.

    Raises:
        ConfigError: it is in no year that a device may have recorded.
    """
    begin = _local(day, time(), zone)
    return Period(begin, _local(day + timedelta(days=1), time(), zone), f"{day}")


def week_of(text: str, zone: tzinfo) -> Period:
    """Return an ISO week, Monday to Sunday, such as "2026-W48".

    Raises:
        ConfigError: there is no such week.
    """
    found = _WEEK.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        monday = date.fromisocalendar(int(found[1]), int(found[2]), 1)
        after = monday + timedelta(days=7)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"expected a week such as 2026-W48, got {text[:40]!r}.") from error
    return Period(_local(monday, time(), zone), _local(after, time(), zone), text)


def shift_of(day: date, text: str, zone: tzinfo, shifts: Shifts = ORDINARY) -> Period:
    """Return a shift that begins on a day, such as "22:00-06:00": it ends on the next one.

    Args:
        text: its hours, or the beginning of one of `shifts`, such as "22:00".

    Raises:
        ConfigError: these are no times of a day, or no shift begins then.
    """
    try:
        begin, end = shifts.hours_of(text)
    except ValueError as error:
        raise ConfigError(f"{error}.") from error
    first = _local(day, begin, zone)
    last = day if end > begin else day + timedelta(days=1)
    return Period(first, _local(last, end, zone), f"{day} {begin:%H:%M}-{end:%H:%M}")


def between(begin: datetime, end: datetime) -> Period:
    """Return a time from one moment to another, both with a zone.

    Raises:
        ConfigError: it ends before it begins, or is longer than a year.
    """
    if end <= begin:
        raise ConfigError(f"the report ends ({end}) before it begins ({begin}).")
    if end - begin > LONGEST:
        raise ConfigError(f"a report is of {LONGEST.days} days at most, got {(end - begin).days}.")
    return Period(begin, end, f"{begin:%Y-%m-%d %H:%M} – {end:%Y-%m-%d %H:%M}")


def moment(text: str, zone: tzinfo) -> datetime:
    """Return a date or time; without an offset it is of the zone.

    Raises:
        ConfigError: it is none.
    """
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        local = _local(found.date(), found.time(), zone)
        return found if found.tzinfo else local
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(
            f"expected a date or time such as 2026-11-30 or 2026-11-30T06:00, got {text[:40]!r}."
        ) from error


def _local(day: date, at: time, zone: tzinfo) -> datetime:
    if day.year not in YEARS:
        raise ConfigError(f"expected a time between {YEARS[0]} and {YEARS[-1]}, got {day}.")
    return datetime.combine(day, at, zone)


def _zone_here() -> tzinfo:
    """Return the machine's zone with its changes over the year; UTC where it has none."""
    try:
        return ZoneInfo(os.environ["TZ"])
    except (KeyError, ZoneInfoNotFoundError, ValueError, OSError):
        pass
    try:
        with LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file, "local")
    except (OSError, ValueError):
        return timezone.utc
