"""No part leaves the history for its age by a stamp of a clock that was wrong."""

from __future__ import annotations

import pytest

from edge_app.history.retention import _last_old

DAY = 86_400 * 10**9
NOW = 1_767_268_800 * 10**9  # 2026-01-01
OLDEST = NOW - 30 * DAY


def rows(*ages_days: float) -> list[tuple[int, int]]:
    return [(n, int(NOW - age * DAY)) for n, age in enumerate(ages_days, start=1)]


@pytest.mark.parametrize(
    ("ages_days", "last"),
    [
        ((50, 40, 31, 20), 3),
        ((20, 10), None),
        ((), None),
        ((50, 20, 400, 10), 1),  # the clock was a year behind for a moment
        ((20, 400, 400), None),
        ((50, -365, 40, 20), 3),  # a year ahead: goes with the old ones round it
        ((20, -365, 20), None),
        ((-365, -365), None),
    ],
)
def test_only_the_oldest_go(ages_days: tuple[float, ...], last: int | None) -> None:
    """Rows lie in the order of time: what follows a young one is young."""
    assert _last_old(rows(*ages_days), NOW, OLDEST) == last


def test_a_clock_that_was_not_set_says_nothing() -> None:
    """1970: kept, until a row behind it is provably old."""
    unset = [(1, 0), (2, 5 * 10**9)]
    assert _last_old(unset, NOW, OLDEST) is None
    assert _last_old([*unset, (3, NOW - 10 * DAY)], NOW, OLDEST) is None
    assert _last_old([*unset, (3, NOW - 40 * DAY), (4, NOW)], NOW, OLDEST) == 3
