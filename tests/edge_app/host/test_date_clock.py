"""When a date is final: only by a clock that follows its time source and was not just set."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edge_app.host.date_clock import JUMPED, UNKNOWN, UNSYNCHRONISED, DateClock

NOON_S = 1_767_268_800.0  # 2026-01-01 12:00 UTC
HOUR_S = 3600.0
YEAR_S = 365 * 86_400.0


@dataclass
class Machine:
    """A machine whose clock is set by the test while time goes on."""

    wall_s: float = NOON_S
    steady_s: float = 50.0
    is_synchronised: bool | None = True

    def passes(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds

    def clock(self) -> DateClock:
        return DateClock(lambda: self.wall_s, lambda: self.steady_s, lambda: self.is_synchronised)


@pytest.mark.parametrize(
    ("is_synchronised", "jump_s", "doubt"),
    [
        (True, 0.0, ""),
        (True, 59.0, ""),  # as a time source corrects a clock
        (True, YEAR_S, JUMPED),
        (True, -NOON_S, JUMPED),
        (True, -61.0, JUMPED),
        (False, 0.0, UNSYNCHRONISED),
        (False, YEAR_S, UNSYNCHRONISED),
        (None, 0.0, UNKNOWN),
        (None, YEAR_S, JUMPED),
    ],
)
def test_a_date_is_final_by_a_right_clock_only(
    is_synchronised: bool | None, jump_s: float, doubt: str
) -> None:
    """Every state of the time source with every jump; a moment after the start."""
    machine = Machine(is_synchronised=is_synchronised)
    clock = machine.clock()
    machine.passes(1.0)
    machine.wall_s += jump_s
    assert clock.doubt() == doubt
    assert clock.is_right() is (None if doubt == UNKNOWN else not doubt)
    assert clock.now().timestamp() == machine.wall_s


def test_a_jump_counts_from_when_it_was() -> None:
    """An hour after it the clock decides again, if somebody looked at it in between."""
    machine = Machine()
    clock = machine.clock()
    machine.wall_s += YEAR_S
    clock.look()
    machine.passes(HOUR_S - 1)
    assert clock.doubt() == JUMPED
    machine.passes(2)
    assert clock.doubt() == ""


def test_a_clock_that_is_set_back_right_is_in_doubt_for_an_hour_more() -> None:
    """Nobody knows which of the two was right."""
    machine = Machine()
    clock = machine.clock()
    machine.wall_s += YEAR_S
    clock.look()
    machine.passes(HOUR_S / 2)
    machine.wall_s -= YEAR_S
    clock.look()
    machine.passes(HOUR_S / 2 + 1)
    assert clock.doubt() == JUMPED


def test_daylight_saving_is_no_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone is for people; seconds since the epoch go on."""
    import time

    clock = DateClock(is_synchronised=lambda: True)
    for zone in ("Europe/Vienna", "America/New_York", "UTC"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert clock.doubt() == ""
        assert clock.now().utcoffset() is not None
    monkeypatch.undo()
    time.tzset()
