"""The plant's shifts: when they begin, in its own zone, whose days have 23 to 25 hours. No IO."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

DEFAULT_STARTS = ("06:00", "14:00", "22:00")
MOST_SHIFTS = 24
"""Of a day."""

_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_HOURS = re.compile(rf"({_TIME.pattern})-({_TIME.pattern})")


def time_of(text: str) -> time:
    """Return a time of the day by its name, such as "06:00".

    Raises:
        ValueError: it is none, in words for people.
    """
    found = _TIME.fullmatch(text)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:
        raise ValueError(f'expected a time of the day such as "06:00", got {text[:40]!r}')
    return time(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class Shifts:
    """The shifts of a day: each ends when the next begins, the last one on the next day.

    Attributes:
        starts: local times, ascending, 1 to 24 different ones; one alone lasts a day.
    """

    starts: tuple[time, ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Shifts:
        """Return the shifts that begin at these times, in whatever order they are named.

        Raises:
            ValueError: none, too many, twice the same, or no time of the day; in words for people.
        """
        starts = [time_of(text) for text in texts]
        if not 1 <= len(starts) <= MOST_SHIFTS:
            raise ValueError(
                f"expected 1 to {MOST_SHIFTS} times at which a shift begins, got {len(starts)}"
            )
        twice = next((at for at in starts if starts.count(at) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice:%H:%M} stands twice: each shift begins at a time of its own")
        return cls(tuple(sorted(starts)))

    @property
    def names(self) -> tuple[str, ...]:
        """Their hours, such as "22:00-06:00", the earliest beginning first."""
        after = (*self.starts[1:], self.starts[0])
        return tuple(f"{a:%H:%M}-{b:%H:%M}" for a, b in zip(self.starts, after, strict=True))

    def hours_of(self, text: str) -> tuple[time, time]:
        """Return the first moment of a shift and the first after it, local times.

        Args:
            text: "22:00-06:00": any hours; "22:00": the shift of these that begins then.

        Raises:
            ValueError: it is neither, in words for people.
        """
        try:
            if found := _HOURS.fullmatch(text):
                return time_of(found[1]), time_of(found[4])
            at = self.starts.index(time_of(text))
        except ValueError as error:
            raise ValueError(
                f"expected a shift such as 06:00-14:00, or the beginning of one of "
                f"{', '.join(self.names)} ([page] shifts), got {text[:40]!r}"
            ) from error
        return self.starts[at], self.starts[(at + 1) % len(self.starts)]

    def begin_of(self, moment: datetime) -> datetime:
        """Return when the shift began that a moment with a zone is in, in that zone."""
        return max(at for at in self._begins(moment) if at.timestamp() <= moment.timestamp())

    def end_of(self, moment: datetime) -> datetime:
        """Return when it ends, which is when the next one begins."""
        return min(at for at in self._begins(moment) if at.timestamp() > moment.timestamp())

    def _begins(self, moment: datetime) -> Sequence[datetime]:
        """Return the beginnings of three days; in one zone they are in order by their wall time."""
        days = (moment.date() + timedelta(days=n) for n in (-1, 0, 1))
        return [datetime.combine(day, at, moment.tzinfo) for day in days for at in self.starts]


ORDINARY = Shifts.of(DEFAULT_STARTS)
DAYS = Shifts.of(["00:00"])
